//! `tuma audit verify`: reads the whole trail, also while a gateway goes on writing it.

use std::io::IsTerminal as _;

use domain::audit::{
    AuditKeys, Broken, ChainCheck, Checkpoint, check_chains, check_checkpoints, check_last_checkpoint,
};
use indicatif::{ProgressBar, ProgressStyle};
use store::Store;
use store::port::messages::{Filter, Page};

use super::print;

/// Entries that are read at once.
const PART: u32 = 10_000;

const BAR: &str = "verifying {bar:24} {human_pos:>12} of {human_len} entries, {per_sec}, {eta} left";

pub(super) async fn run(store: &dyn Store, keys: &AuditKeys, kept: Option<&str>) -> anyhow::Result<()> {
    let (head, checkpoints) = store.audit_checkpoints().await?;
    let mut expected = held(check_checkpoints(keys, head.as_ref(), &checkpoints))?;
    if let Some(kept) = kept {
        let is_there =
            checkpoints.iter().any(|checkpoint| checkpoint.name().eq_ignore_ascii_case(kept.trim()));
        anyhow::ensure!(
            is_there,
            "the checkpoint that you have kept is not there: the database was put back to what it was before, or it is \
             another one, or the checkpoint is older than what is kept"
        );
    }
    let mut chains = store.audit_chains().await?;
    held(check_chains(chains.iter().map(|chain| chain.chain)))?;
    if chains.is_empty() && is_in_use(store).await? {
        print(format_args!(
            "there is no entry, though the database has messages or keys: the trail was deleted"
        ));
        anyhow::bail!("the audit trail is broken");
    }
    // A chain that a checkpoint saw, of which nothing is left, is one too.
    for chain in expected
        .keys()
        .filter(|chain| chains.iter().all(|known| known.chain != **chain))
        .copied()
        .collect::<Vec<_>>()
    {
        chains.push(store::port::audit::AuditChain { chain, first: 0, last: 0 });
    }
    let bar = bar(chains.iter().map(|chain| (chain.last - chain.first + 1).max(0).cast_unsigned()).sum());
    let (mut entries, mut last_checkpoint) = (0, 0);
    for chain in chains.iter().map(|chain| chain.chain) {
        let mut check = ChainCheck::new(keys, chain, expected.remove(&chain).unwrap_or_default());
        loop {
            let part = store.audit_part(chain, check.seq(), PART).await?;
            let seen = check.see(&part);
            if seen.is_err() {
                bar.finish_and_clear();
            }
            held(seen)?;
            entries += part.entries.len();
            bar.inc(part.entries.len() as u64);
            if part.is_last {
                break;
            }
        }
        last_checkpoint = last_checkpoint.max(check.last_checkpoint());
    }
    bar.finish_and_clear();
    // Again: one may have been made meanwhile.
    let (head, _) = store.audit_checkpoints().await?;
    held(check_last_checkpoint(head.as_ref(), last_checkpoint))?;
    print(format_args!(
        "{entries} entries in {} chains hold, and {} checkpoints",
        chains.len(),
        checkpoints.len()
    ));
    if let Some(Checkpoint { number, at, hash, .. }) = checkpoints.last() {
        print(format_args!("last checkpoint: {number}, {at}, {}", domain::audit::hex(hash)));
    }
    Ok(())
}

/// Whether there is anything that must have left an entry.
async fn is_in_use(store: &dyn Store) -> anyhow::Result<bool> {
    let newest = Page { after: None, limit: 1 };
    Ok(!store.keys().await?.is_empty() || !store.messages(Filter::default(), newest).await?.is_empty())
}

/// Says what is broken, if anything is.
pub(super) fn held<T>(seen: Result<T, Broken>) -> anyhow::Result<T> {
    seen.map_err(|broken| {
        print(broken);
        anyhow::anyhow!("the audit trail is broken")
    })
}

fn bar(entries: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    // A template that can't be read is a mistake of this file, which a test finds: then the bar is a plain one.
    let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_wrong| ProgressStyle::default_bar());
    ProgressBar::new(entries).with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn template_of_the_bar_can_be_read() {
        assert!(ProgressStyle::with_template(BAR).is_ok());
    }
}
