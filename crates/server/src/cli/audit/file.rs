//! `tuma audit verify --file`: an export holds by itself, without the database it came from.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::Context as _;
use domain::audit::{Broken, Checkpoint, Contents, Entry, Exported, Fault, Hash, Place, Seen};
use domain::time::Timestamp;

use super::export::{ChainLine, CheckpointLine, EntryLine, ExportLine, Line};
use super::print;
use super::verify::held;

/// What of an export was looked at.
#[derive(Default)]
struct Looked {
    entries: u64,
    checkpoints: u64,
    /// The place of the first entry of each chain.
    firsts: HashMap<i64, i64>,
    /// The last place and hash of each chain.
    chains: HashMap<i64, (i64, Hash)>,
    /// The hash at each place that a checkpoint may have seen.
    hashes: HashMap<(i64, i64), Hash>,
    /// What checkpoints saw.
    seen: Vec<Seen>,
    first_checkpoint: Option<i64>,
    last_checkpoint: Option<(i64, Hash)>,
}

pub(super) fn public_key(digits: &str) -> anyhow::Result<Vec<u8>> {
    bytes(digits).context("--public-key must be 64 hexadecimal digits")
}

pub(super) fn verify(path: &Path, public_key: &[u8]) -> anyhow::Result<()> {
    let file = File::open(path).with_context(|| format!("{} can't be read", path.display()))?;
    let (mut looked, mut contents) = (Looked::default(), None);
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let unreadable = || format!("{}: line {} is none of an export", path.display(), number + 1);
        let line: Line = serde_json::from_str(&line?).with_context(unreadable)?;
        match line {
            Line::Export(line) => {
                contents = Some(self::contents(&line, public_key).with_context(unreadable)??);
            }
            Line::Entry(line) => {
                let (entry, previous) = entry(line).with_context(unreadable)?;
                held(looked.see(&entry, previous))?;
            }
            Line::Checkpoint(line) => {
                let checkpoint = checkpoint(line).with_context(unreadable)?;
                held(looked.see_checkpoint(&checkpoint, public_key))?;
            }
        }
    }
    let contents = contents.with_context(|| {
        format!("{} does not say what is in it: its first line was taken out", path.display())
    })?;
    held(looked.check_whole(&contents))?;
    print(format_args!(
        "{} entries in {} chains hold, and {} checkpoints",
        looked.entries,
        looked.chains.len(),
        looked.checkpoints
    ));
    Ok(())
}

impl Looked {
    /// The first entry of a chain is taken as it comes; each other one must follow the one before it.
    fn see(&mut self, entry: &Entry, previous: Hash) -> Result<(), Broken> {
        let place = |seq| Place::Entry { chain: entry.chain, seq };
        if let Some((seq, hash)) = self.chains.get(&entry.chain) {
            if entry.seq != seq + 1 {
                return Err(Broken { place: place(seq + 1), at: None, fault: Fault::Missing });
            }
            if *hash != previous {
                return Err(Broken { place: place(entry.seq), at: Some(entry.at), fault: Fault::Content });
            }
        }
        if entry.hash_behind(&previous) != entry.hash {
            return Err(Broken { place: place(entry.seq), at: Some(entry.at), fault: Fault::Content });
        }
        self.entries += 1;
        self.firsts.entry(entry.chain).or_insert(entry.seq);
        self.chains.insert(entry.chain, (entry.seq, entry.hash));
        self.hashes.insert((entry.chain, entry.seq), entry.hash);
        Ok(())
    }

    fn see_checkpoint(&mut self, checkpoint: &Checkpoint, public_key: &[u8]) -> Result<(), Broken> {
        let place = Place::Checkpoint { number: checkpoint.number };
        let broken = |fault| Broken { place, at: Some(checkpoint.at), fault };
        if let Some((number, hash)) = self.last_checkpoint {
            if checkpoint.number != number + 1 {
                let place = Place::Checkpoint { number: number + 1 };
                return Err(Broken { place, at: None, fault: Fault::Missing });
            }
            if checkpoint.previous != hash {
                return Err(broken(Fault::Content));
            }
        }
        if !checkpoint.holds() {
            return Err(broken(Fault::Content));
        }
        if !checkpoint.is_signed_by(public_key) {
            return Err(broken(Fault::Signature));
        }
        self.seen.extend(checkpoint.seen.iter().cloned());
        self.first_checkpoint.get_or_insert(checkpoint.number);
        self.checkpoints += 1;
        self.last_checkpoint = Some((checkpoint.number, checkpoint.hash));
        Ok(())
    }

    /// Whether all is there that was in the export, and all that checkpoints saw of its time.
    fn check_whole(&self, contents: &Contents) -> Result<(), Broken> {
        let broken = |place, fault| Err(Broken { place, at: None, fault });
        for Exported { chain, first, last } in contents.chains.iter().filter(|it| it.first <= it.last) {
            let end = self.chains.get(chain).map_or(first - 1, |(end, _)| *end);
            if self.firsts.get(chain).is_some_and(|begin| begin > first) {
                return broken(Place::Entry { chain: *chain, seq: *first }, Fault::Missing);
            }
            if end < *last {
                return broken(Place::Entry { chain: *chain, seq: end + 1 }, Fault::TailCut);
            }
        }
        let (first, last) = contents.checkpoints;
        if self.first_checkpoint.is_some_and(|begin| begin > first) {
            return broken(Place::Checkpoint { number: first }, Fault::Missing);
        }
        let end = self.last_checkpoint.map_or(first - 1, |(end, _)| end);
        if end < last {
            return broken(Place::Checkpoint { number: end + 1 }, Fault::TailCut);
        }
        self.seen.iter().try_for_each(|seen| self.check_seen(contents, seen))
    }

    fn check_seen(&self, contents: &Contents, Seen { chain, seq, hash }: &Seen) -> Result<(), Broken> {
        let broken = |place, fault| Err(Broken { place, at: None, fault });
        let Some(exported) = contents.chains.iter().find(|exported| exported.chain == *chain) else {
            return broken(Place::Head { chain: *chain }, Fault::HeadChanged);
        };
        // Behind the last one of a time there may be more, which a checkpoint saw whose clock was a little behind.
        if *seq > exported.last && contents.until.is_none() {
            return broken(Place::Entry { chain: *chain, seq: exported.last + 1 }, Fault::TailCut);
        }
        match self.hashes.get(&(*chain, *seq)) {
            Some(kept) if kept != hash => broken(Place::Entry { chain: *chain, seq: *seq }, Fault::NotAsSeen),
            _ => Ok(()),
        }
    }
}

/// What is said to be in the export; within it the refusal of what is not signed. `None` if it can't be read.
fn contents(line: &ExportLine, public_key: &[u8]) -> Option<anyhow::Result<Contents>> {
    let chains = line.chains.iter();
    let contents = Contents {
        since: line.since_us.map(Timestamp::from_micros),
        until: line.until_us.map(Timestamp::from_micros),
        chains: chains.map(|&ChainLine { chain, first, last }| Exported { chain, first, last }).collect(),
        checkpoints: (line.first_checkpoint, line.last_checkpoint),
    };
    if contents.is_signed_by(public_key, &bytes(&line.signature)?) {
        return Some(Ok(contents));
    }
    print(format_args!("first line: signature (it is not signed with this key)"));
    Some(Err(anyhow::anyhow!("the audit trail is broken")))
}

fn entry(line: EntryLine) -> Option<(Entry, Hash)> {
    let message_id = match line.message_id {
        Some(id) => Some(id.parse().ok()?),
        None => None,
    };
    let entry = Entry {
        chain: line.chain,
        seq: line.seq,
        at: Timestamp::from_micros(line.at_us),
        actor: line.actor,
        event: line.event.into(),
        message_id,
        receiver: line.receiver,
        provider: line.provider,
        length: line.length,
        segments: line.segments,
        outcome: line.outcome.map(Into::into),
        subject: line.subject,
        hash: hash(&line.hash)?,
    };
    Some((entry, hash(&line.previous)?))
}

fn checkpoint(line: CheckpointLine) -> Option<Checkpoint> {
    let seen = line.seen.into_iter();
    Some(Checkpoint {
        number: line.number,
        at: Timestamp::from_micros(line.at_us),
        seen: seen
            .map(|seen| Some(Seen { chain: seen.chain, seq: seen.seq, hash: hash(&seen.hash)? }))
            .collect::<Option<_>>()?,
        previous: hash(&line.previous)?,
        hash: hash(&line.hash)?,
        signature: bytes(&line.signature)?,
    })
}

fn hash(text: &str) -> Option<Hash> {
    bytes(text)?.try_into().ok()
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim().as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks_exact(2).map(byte).collect()
}
