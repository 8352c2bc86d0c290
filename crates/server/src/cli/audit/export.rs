//! `tuma audit export`: entries and checkpoints for whoever keeps or verifies them elsewhere.
//!
//! First what is in it, signed; then chain by chain, each entry with the hash before it: so each holds by itself, and no line
//! can be taken out. A number or a text is not in it, for there is none in the trail.

use std::io::{BufWriter, Write};

use domain::audit::{AuditKeys, Checkpoint, Contents, Entry, Exported, GENESIS, Hash, Part, Seen, hex};
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use store::Store;
use store::port::audit::AuditChain;

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
    Export(ExportLine),
    Entry(EntryLine),
    Checkpoint(CheckpointLine),
}

/// The first line: what is in the export, signed.
#[derive(Serialize, Deserialize)]
pub(super) struct ExportLine {
    pub(super) since_us: Option<i64>,
    pub(super) until_us: Option<i64>,
    pub(super) chains: Vec<ChainLine>,
    pub(super) first_checkpoint: i64,
    pub(super) last_checkpoint: i64,
    pub(super) signature: String,
    pub(super) public_key: String,
}

/// The entries of a chain.
#[derive(Serialize, Deserialize)]
pub(super) struct ChainLine {
    pub(super) chain: i64,
    pub(super) first: i64,
    pub(super) last: i64,
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
        // Checkpoints first: what they have seen is there when the chains are looked at.
        let (_, mut checkpoints) = self.store.audit_checkpoints().await?;
        checkpoints.retain(|checkpoint| self.is_wanted(checkpoint.at));
        let contents = self.contents(&checkpoints).await?;
        out.line(&Line::Export(self.signed(&contents)))?;
        for chain in &contents.chains {
            self.chain(*chain, &mut out).await?;
        }
        for checkpoint in &checkpoints {
            out.line(&Line::Checkpoint(self.checkpoint(checkpoint)))?;
        }
        out.end()
    }

    async fn contents(&self, checkpoints: &[Checkpoint]) -> anyhow::Result<Contents> {
        let mut chains = Vec::new();
        for AuditChain { chain, first, last } in self.store.audit_chains().await? {
            let first = match self.since {
                Some(since) => self.store.audit_place(chain, since).await?,
                None => first.max(1),
            };
            let last = match self.until {
                Some(until) => self.store.audit_place(chain, until).await? - 1,
                None => last,
            };
            chains.push(Exported { chain, first, last });
        }
        let number = |checkpoint: Option<&Checkpoint>| checkpoint.map(|checkpoint| checkpoint.number);
        let (first, last) = (number(checkpoints.first()), number(checkpoints.last()));
        let checkpoints = (first.unwrap_or(1), last.unwrap_or(0));
        Ok(Contents { since: self.since, until: self.until, chains, checkpoints })
    }

    fn signed(&self, contents: &Contents) -> ExportLine {
        let chains = contents.chains.iter();
        ExportLine {
            since_us: contents.since.map(Timestamp::as_micros),
            until_us: contents.until.map(Timestamp::as_micros),
            chains: chains.map(|&Exported { chain, first, last }| ChainLine { chain, first, last }).collect(),
            first_checkpoint: contents.checkpoints.0,
            last_checkpoint: contents.checkpoints.1,
            signature: hex(&contents.sign(self.keys)),
            public_key: hex(self.keys.public_key()),
        }
    }

    fn is_wanted(&self, at: Timestamp) -> bool {
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until)
    }

    async fn chain(&self, Exported { chain, first, last }: Exported, out: &mut Out) -> anyhow::Result<()> {
        // The one before tells the hash that the first one stands behind.
        let (mut behind, mut previous) = ((first - 2).max(0), GENESIS);
        while behind < last {
            let part: Part = self.store.audit_part(chain, behind, PART).await?;
            if let Some(forgotten) = part.head.as_ref().map(|sealed| &sealed.head.forgotten)
                && forgotten.seq >= behind
            {
                previous = forgotten.hash;
            }
            for kept in part.entries.iter().take_while(|kept| kept.seq <= last) {
                // What can't be read is for tuma audit verify to tell of; here it is a hole.
                let Some(entry) = &kept.entry else { continue };
                if kept.seq >= first {
                    out.line(&Line::Entry(line(entry, &previous)))?;
                }
                previous = entry.hash;
            }
            let Some(end) = part.entries.last().filter(|_| !part.is_last) else { break };
            behind = end.seq;
        }
        Ok(())
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
            Self::Csv(out) => {
                if let Some(row) = row(line) {
                    out.write_record(row)?;
                }
            }
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

/// A line of the table; `None` for what is only there to verify the other form.
fn row(line: &Line) -> Option<[String; 18]> {
    let word = |text: &Option<String>| text.clone().unwrap_or_default();
    Some(match line {
        Line::Export(_) => return None,
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
    })
}
