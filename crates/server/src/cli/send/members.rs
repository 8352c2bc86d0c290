//! Sending a template to each row of a file.
//!
//! Rows go in batches of a hundred, cut from the file alone: a run that goes on after another makes the same batches, with
//! the same idempotency keys. What a batch was answered is written beside the file before the next one is sent. So each row is
//! sent once, however often the command is run.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use domain::secret::ExposeSecret as _;
use domain::time::Clock as _;
use gateway::SystemClock;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::super::{print, say};
use super::batch::{Gateway, NotSent, Outcome};
use super::progress::{Progress, Run};
use super::rows::{Bad, Member, read};

/// Rows of a batch: what a bulk request takes.
const BATCH: usize = 100;

/// Rows that a dry run asks about at once.
const AT_ONCE: usize = 8;

const BAR: &str = "{bar:40} {pos} of {len} rows, {eta} left";

/// Sends to each row, or asks about each. Fails if a row was not sent, or could not be.
pub(super) async fn send(
    file: &Path,
    progress: Option<&Path>,
    dry_run: bool,
    common: Map<String, Value>,
    gateway: &Gateway,
) -> anyhow::Result<()> {
    let bytes = std::fs::read(file).with_context(|| format!("{} can't be read", file.display()))?;
    let (members, mut bad) = read(&bytes)?;
    let bar = bar(members.len());
    if dry_run {
        for asked in members.chunks(AT_ONCE) {
            let answers = asked.iter().map(|member| gateway.explain(member, &common));
            let answers = futures_util::future::join_all(answers).await;
            for (member, answer) in asked.iter().zip(answers) {
                bad.extend(answer?.map(|why| Bad { line: member.line, why }));
            }
            bar.inc(asked.len() as u64);
        }
        bar.finish_and_clear();
        return tell(&members, bad, "would be sent");
    }
    let path = progress.map_or_else(|| beside(file), Path::to_path_buf);
    let mut progress = Progress::open(&path, run(&bytes, &common, gateway), caller(gateway))?;
    let mut for_now = 0;
    for (number, batch) in members.chunks(BATCH).enumerate() {
        let known = step(&mut progress, number, batch, &common, gateway).await?;
        let known = known.with_context(|| format!("{} is of another file", path.display()))?;
        for (member, outcome) in batch.iter().zip(known) {
            for_now += usize::from(outcome.is_for_now());
            if let Outcome::Refused { why, .. } = outcome {
                bad.push(Bad { line: member.line, why });
            }
        }
        bar.inc(batch.len() as u64);
    }
    bar.finish_and_clear();
    let told = tell(&members, bad, "sent");
    if for_now > 0 {
        say(format_args!(
            "{for_now} of them were refused for now: run the command again later, it asks for these alone"
        ));
    }
    told
}

/// Asks for what of a batch has no answer that stays, once. Answers what is known then; `None` if the progress is of other rows.
async fn step(
    progress: &mut Progress,
    number: usize,
    batch: &[Member],
    common: &Map<String, Value>,
    gateway: &Gateway,
) -> anyhow::Result<Option<Vec<Outcome>>> {
    let Some(standing) = progress.standing(number, batch.len()) else { return Ok(None) };
    if !standing.wanted.is_empty() {
        let wanted: Vec<_> = standing.wanted.iter().filter_map(|row| batch.get(*row)).collect();
        let is_new = progress.begin(number, SystemClock::new().now())?;
        match gateway.send(&wanted, common, &progress.key(number)).await {
            Ok(outcomes) => progress.end(number, outcomes)?,
            Err(NotSent { why, is_certain, is_limited }) => {
                if is_new && is_certain {
                    progress.take_back(number)?;
                }
                // Rows that had no room and still have none are no reason to keep those behind them waiting.
                if !(is_new && is_certain && is_limited && standing.is_answered()) {
                    return Err(why);
                }
            }
        }
    }
    let known = progress.standing(number, batch.len()).map(|standing| standing.known);
    Ok(known.and_then(|known| known.into_iter().collect()))
}

fn tell(members: &[Member], mut bad: Vec<Bad>, done: &str) -> anyhow::Result<()> {
    bad.sort_by_key(|bad| bad.line);
    for Bad { line, why } in &bad {
        say(format_args!("line {line}: {why}"));
    }
    let lines: BTreeSet<u64> = bad.iter().map(|bad| bad.line).collect();
    let good = members.iter().filter(|member| !lines.contains(&member.line)).count();
    print(format_args!("{good} rows {done}, {} not", bad.len()));
    anyhow::ensure!(bad.is_empty(), "not every row was sent");
    Ok(())
}

/// What tells this file, these options and this gateway from all others.
fn run(bytes: &[u8], common: &Map<String, Value>, gateway: &Gateway) -> Run {
    let options = Value::Object(common.clone()).to_string();
    let rows = hash([options.as_bytes(), bytes]);
    Run { rows, gateway: gateway.url.origin().ascii_serialization() }
}

/// What tells callers apart. Gateways know requests again by caller, and a key is what we know of ours.
fn caller(gateway: &Gateway) -> String {
    let mut hash = hash([b"caller", gateway.key.expose_secret().as_bytes()]);
    // Enough to tell keys apart, and nothing to find one by.
    hash.truncate(16);
    hash
}

fn hash(parts: [&[u8]; 2]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().fold(String::new(), |mut text, byte| {
        // Writing to a text can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".progress");
    name.into()
}

fn bar(rows: usize) -> ProgressBar {
    // A template that can't be read is a mistake of this file, which a test finds: then the bar is a plain one.
    let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_wrong| ProgressStyle::default_bar());
    ProgressBar::new(rows as u64).with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn template_of_the_bar_can_be_read() {
        assert!(ProgressStyle::with_template(BAR).is_ok());
    }
}
