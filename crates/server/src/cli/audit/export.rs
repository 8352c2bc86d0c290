//! `tuma audit export`: entries and checkpoints for whoever keeps or verifies them elsewhere.
//!
//! Chain by chain, each entry with the hash before it: so each holds by itself, and a line that was taken out is missed
//! by the next one. A number or a text is not in it, for there is none in the trail.

use std::io::{BufWriter, Write};

use domain::audit::{AuditKeys, Checkpoint, Entry, GENESIS, Hash, Part, Seen, hex};
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use store::Store;

use super::Format;

/// Entries that are read at once.
const PART: u32 = 10_000;

/// What to export.
pub(super) struct Export<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) keys: &'a AuditKeys,
    pub(super) since: Option<Timestamp>,
    pub(super) until: Option<Timestamp>,
}

/// A line.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Line {
    Entry(EntryLine),
    Checkpoint(CheckpointLine),
}

/// An entry. Its time is there for people, and in microseconds since 1970 for who verifies.
#[derive(Serialize, Deserialize)]
pub(super) struct EntryLine {
    pub(super) chain: i64,
    pub(super) seq: i64,
    pub(super) at: String,
    pub(super) at_us: i64,
    pub(super) actor: String,
    pub(super) event: String,
    pub(super) message_id: Option<String>,
    pub(super) receiver: Option<i64>,
    pub(super) provider: Option<String>,
    pub(super) length: Option<u32>,
    pub(super) segments: Option<u16>,
    pub(super) outcome: Option<String>,
    pub(super) subject: Option<String>,
    pub(super) previous: String,
    pub(super) hash: String,
}

/// A checkpoint, with the key that proves its signature.
#[derive(Serialize, Deserialize)]
pub(super) struct CheckpointLine {
    pub(super) number: i64,
    pub(super) at: String,
    pub(super) at_us: i64,
    pub(super) seen: Vec<SeenLine>,
    pub(super) previous: String,
    pub(super) hash: String,
    pub(super) signature: String,
    pub(super) public_key: String,
}

/// Where a chain ended.
#[derive(Serialize, Deserialize)]
pub(super) struct SeenLine {
    pub(super) chain: i64,
    pub(super) seq: i64,
    pub(super) hash: String,
}

/// The names of the columns, in the order of [`row`].
const COLUMNS: [&str; 18] = [
    "kind",
    "chain",
    "seq",
    "at",
    "at_us",
    "actor",
    "event",
    "message_id",
    "receiver",
    "provider",
    "length",
    "segments",
    "outcome",
    "subject",
    "previous",
    "hash",
    "signature",
    "seen",
];

impl Export<'_> {
    pub(super) async fn run(self, format: Format) -> anyhow::Result<()> {
        let mut out = Out::new(format)?;
        for chain in self.store.audit_chains().await? {
            if chain.chain > 0 {
                self.chain(chain.chain, &mut out).await?;
            }
        }
        let (_, checkpoints) = self.store.audit_checkpoints().await?;
        for checkpoint in checkpoints.iter().filter(|checkpoint| self.is_wanted(checkpoint.at)) {
            out.line(&Line::Checkpoint(self.checkpoint(checkpoint)))?;
        }
        out.end()
    }

    fn is_wanted(&self, at: Timestamp) -> bool {
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until)
    }

    async fn chain(&self, chain: i64, out: &mut Out) -> anyhow::Result<()> {
        let first = match self.since {
            Some(since) => self.store.audit_place(chain, since).await?,
            None => 0,
        };
        // The one before tells the hash that the first one stands behind.
        let (mut behind, mut previous) = ((first - 2).max(0), GENESIS);
        loop {
            let part: Part = self.store.audit_part(chain, behind, PART).await?;
            if let Some(forgotten) = part.head.as_ref().map(|sealed| &sealed.head.forgotten)
                && forgotten.seq >= behind
            {
                previous = forgotten.hash;
            }
            for kept in &part.entries {
                behind = kept.seq;
                // What can't be read is for tuma audit verify to tell of; here it is a hole.
                let Some(entry) = &kept.entry else { continue };
                if self.until.is_some_and(|until| entry.at >= until) {
                    return Ok(());
                }
                if kept.seq >= first {
                    out.line(&Line::Entry(line(entry, &previous)))?;
                }
                previous = entry.hash;
            }
            if part.is_last {
                return Ok(());
            }
        }
    }

    fn checkpoint(&self, checkpoint: &Checkpoint) -> CheckpointLine {
        let seen = |seen: &Seen| SeenLine { chain: seen.chain, seq: seen.seq, hash: hex(&seen.hash) };
        CheckpointLine {
            number: checkpoint.number,
            at: checkpoint.at.to_string(),
            at_us: checkpoint.at.as_micros(),
            seen: checkpoint.seen.iter().map(seen).collect(),
            previous: hex(&checkpoint.previous),
            hash: hex(&checkpoint.hash),
            signature: hex(&checkpoint.signature),
            public_key: hex(self.keys.public_key()),
        }
    }
}

fn line(entry: &Entry, previous: &Hash) -> EntryLine {
    EntryLine {
        chain: entry.chain,
        seq: entry.seq,
        at: entry.at.to_string(),
        at_us: entry.at.as_micros(),
        actor: entry.actor.clone(),
        event: entry.event.to_string(),
        message_id: entry.message_id.map(|id| id.to_string()),
        receiver: entry.receiver,
        provider: entry.provider.clone(),
        length: entry.length,
        segments: entry.segments,
        outcome: entry.outcome.as_ref().map(ToString::to_string),
        subject: entry.subject.clone(),
        previous: hex(previous),
        hash: hex(&entry.hash),
    }
}

/// Standard output in one of the forms.
enum Out {
    Jsonl(BufWriter<std::io::Stdout>),
    Csv(Box<csv::Writer<std::io::Stdout>>),
}

impl Out {
    fn new(format: Format) -> anyhow::Result<Self> {
        let stdout = std::io::stdout();
        Ok(match format {
            Format::Jsonl => Self::Jsonl(BufWriter::new(stdout)),
            Format::Csv => {
                let mut out = csv::Writer::from_writer(stdout);
                out.write_record(COLUMNS)?;
                Self::Csv(Box::new(out))
            }
        })
    }

    fn line(&mut self, line: &Line) -> anyhow::Result<()> {
        match self {
            Self::Jsonl(out) => {
                serde_json::to_writer(&mut *out, line)?;
                out.write_all(b"\n")?;
            }
            Self::Csv(out) => out.write_record(row(line))?,
        }
        Ok(())
    }

    fn end(self) -> anyhow::Result<()> {
        match self {
            Self::Jsonl(mut out) => Ok(out.flush()?),
            Self::Csv(mut out) => Ok(out.flush()?),
        }
    }
}

fn row(line: &Line) -> [String; 18] {
    let word = |text: &Option<String>| text.clone().unwrap_or_default();
    match line {
        Line::Entry(entry) => [
            "entry".into(),
            entry.chain.to_string(),
            entry.seq.to_string(),
            entry.at.clone(),
            entry.at_us.to_string(),
            entry.actor.clone(),
            entry.event.clone(),
            word(&entry.message_id),
            entry.receiver.map(|hash| hash.to_string()).unwrap_or_default(),
            word(&entry.provider),
            entry.length.map(|length| length.to_string()).unwrap_or_default(),
            entry.segments.map(|segments| segments.to_string()).unwrap_or_default(),
            word(&entry.outcome),
            word(&entry.subject),
            entry.previous.clone(),
            entry.hash.clone(),
            String::new(),
            String::new(),
        ],
        Line::Checkpoint(checkpoint) => {
            let seen =
                checkpoint.seen.iter().map(|seen| format!("{}:{}:{}", seen.chain, seen.seq, seen.hash));
            let mut row: [String; 18] = std::array::from_fn(|_| String::new());
            row[0] = "checkpoint".into();
            row[1] = "0".into();
            row[2] = checkpoint.number.to_string();
            row[3].clone_from(&checkpoint.at);
            row[4] = checkpoint.at_us.to_string();
            row[14].clone_from(&checkpoint.previous);
            row[15].clone_from(&checkpoint.hash);
            row[16].clone_from(&checkpoint.signature);
            row[17] = seen.collect::<Vec<_>>().join(" ");
            row
        }
    }
}
