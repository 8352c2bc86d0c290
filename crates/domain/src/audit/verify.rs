//! Finding the first place at which the trail is not what it was.

use std::collections::BTreeMap;
use std::fmt;

use super::chain::{Entry, GENESIS, Hash, Kept, Sealed};
use super::checkpoint::Checkpoint;
use super::key::AuditKeys;
use crate::time::Timestamp;

/// Where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// At an entry.
    Entry {
        /// Its chain.
        chain: i64,
        /// Its place there.
        seq: i64,
    },
    /// At the head of a chain.
    Head {
        /// The chain.
        chain: i64,
    },
    /// At a checkpoint.
    Checkpoint {
        /// Its number.
        number: i64,
    },
}

/// What is wrong there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is not what was written, or not behind what it was written behind.
    Content,
    /// It stands where another was.
    Order,
    /// It is not there.
    Missing,
    /// It is not there, nor is anything behind it.
    TailCut,
    /// The head says that the chain ends before it.
    BehindHead,
    /// The head is not there, or not what was written.
    HeadChanged,
    /// A checkpoint saw another entry here.
    NotAsSeen,
    /// It is not signed with this key.
    Signature,
}

impl Fault {
    /// The fault in a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Order => "order",
            Self::Missing => "missing",
            Self::TailCut => "tail cut",
            Self::BehindHead => "behind the head",
            Self::HeadChanged => "head changed",
            Self::NotAsSeen => "not as a checkpoint saw it",
            Self::Signature => "signature",
        }
    }

    const fn in_words(self) -> &'static str {
        match self {
            Self::Content => "it is not what was written here",
            Self::Order => "another entry of the chain stands in its place",
            Self::Missing => "it was taken out: a later one is there",
            Self::TailCut => "the end of the chain was cut off from here on",
            Self::BehindHead => "the head says that the chain ends before it: the head was put back",
            Self::HeadChanged => "the head is not what was written, or it was made with another key",
            Self::NotAsSeen => "a checkpoint saw another entry here",
            Self::Signature => "it is not signed with this key",
        }
    }
}

/// The first place that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub struct Broken {
    /// Where.
    pub place: Place,
    /// The time that is written there, or before it if nothing is.
    pub at: Option<Timestamp>,
    /// What is wrong.
    pub fault: Fault,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Place::Entry { chain, seq } => write!(f, "chain {chain}, entry {seq}")?,
            Place::Head { chain } => write!(f, "chain {chain}, head")?,
            Place::Checkpoint { number } => write!(f, "checkpoint {number}")?,
        }
        let is_gone = matches!(self.fault, Fault::Missing | Fault::TailCut);
        if let Some(at) = self.at {
            write!(f, ", {}{at}", if is_gone { "after " } else { "" })?;
        }
        write!(f, ": {} ({})", self.fault.as_str(), self.fault.in_words())
    }
}

/// What checkpoints saw of a chain: the hash at each place, and which checkpoint saw it.
pub type Expected = BTreeMap<i64, Hash>;

/// Checks checkpoints in their order, under the head of their own chain, and answers what they saw of each chain.
pub fn check_checkpoints(
    keys: &AuditKeys,
    head: Option<&Sealed>,
    checkpoints: &[Checkpoint],
) -> Result<BTreeMap<i64, Expected>, Broken> {
    let broken = |number, at, fault| Broken { place: Place::Checkpoint { number }, at, fault };
    let Some(sealed) = head else {
        return match checkpoints.first() {
            None => Ok(BTreeMap::new()),
            Some(first) => Err(broken(first.number, Some(first.at), Fault::HeadChanged)),
        };
    };
    if !keys.holds(sealed) {
        return Err(Broken {
            place: Place::Head { chain: sealed.head.chain },
            at: None,
            fault: Fault::HeadChanged,
        });
    }
    let mut expected: BTreeMap<i64, Expected> = BTreeMap::new();
    let (mut number, mut hash) = (sealed.head.forgotten.seq, sealed.head.forgotten.hash);
    let mut before = None;
    for checkpoint in checkpoints.iter().filter(|it| it.number > sealed.head.forgotten.seq) {
        let here = |fault| broken(checkpoint.number, Some(checkpoint.at), fault);
        if checkpoint.number != number + 1 {
            return Err(broken(number + 1, before, Fault::Missing));
        }
        if checkpoint.number > sealed.head.seq {
            return Err(here(Fault::BehindHead));
        }
        if checkpoint.previous != hash || !checkpoint.holds() {
            return Err(here(Fault::Content));
        }
        if !checkpoint.is_signed_by(keys.public_key()) {
            return Err(here(Fault::Signature));
        }
        (number, hash, before) = (checkpoint.number, checkpoint.hash, Some(checkpoint.at));
        for seen in &checkpoint.seen {
            expected.entry(seen.chain).or_default().insert(seen.seq, seen.hash);
        }
    }
    if number < sealed.head.seq {
        return Err(broken(number + 1, before, Fault::TailCut));
    }
    if hash != sealed.head.hash {
        return Err(broken(number, before, Fault::HeadChanged));
    }
    Ok(expected)
}

/// Checks that all chains are there, by their numbers in ascending order. They are counted from 1, and the head of one is
/// never taken away, whatever is forgotten of it.
pub fn check_chains(chains: impl IntoIterator<Item = i64>) -> Result<(), Broken> {
    match (1..).zip(chains).find(|(number, chain)| number != chain) {
        None => Ok(()),
        Some((number, _)) => {
            Err(Broken { place: Place::Head { chain: number }, at: None, fault: Fault::HeadChanged })
        }
    }
}

/// Checks that the checkpoint is there which some chain was last seen by: `head` is that of the checkpoints' own chain,
/// read after all others.
pub fn check_last_checkpoint(head: Option<&Sealed>, last: i64) -> Result<(), Broken> {
    let kept = head.map_or(0, |sealed| sealed.head.seq);
    if last <= kept {
        return Ok(());
    }
    Err(Broken { place: Place::Checkpoint { number: kept + 1 }, at: None, fault: Fault::TailCut })
}

/// A part of a chain, as it was at one moment.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its head; `None` if it has none.
    pub head: Option<Sealed>,
    /// The entries behind the place that was asked for, in their order.
    pub entries: Vec<Kept>,
    /// There is nothing behind them.
    pub is_last: bool,
}

/// Follows one chain, part by part.
#[derive(Debug)]
pub struct ChainCheck<'keys> {
    keys: &'keys AuditKeys,
    chain: i64,
    seq: i64,
    hash: Hash,
    at: Option<Timestamp>,
    expected: Expected,
    last_checkpoint: i64,
}

impl<'keys> ChainCheck<'keys> {
    /// At the beginning of a chain of which checkpoints have seen this.
    pub const fn new(keys: &'keys AuditKeys, chain: i64, expected: Expected) -> Self {
        Self { keys, chain, seq: 0, hash: GENESIS, at: None, expected, last_checkpoint: 0 }
    }

    /// The last place that holds.
    pub const fn seq(&self) -> i64 {
        self.seq
    }

    /// The last checkpoint that saw the chain, as its head says.
    pub const fn last_checkpoint(&self) -> i64 {
        self.last_checkpoint
    }

    /// Sees the part behind [`seq`](Self::seq).
    pub fn see(&mut self, part: &Part) -> Result<(), Broken> {
        let head = part.head.as_ref().filter(|sealed| self.keys.holds(sealed)).map(|sealed| &sealed.head);
        let Some(head) = head else {
            return Err(Broken {
                place: Place::Head { chain: self.chain },
                at: None,
                fault: Fault::HeadChanged,
            });
        };
        self.last_checkpoint = head.last_checkpoint;
        if head.forgotten.seq > self.seq {
            // What was forgotten in order is not missed. What checkpoints saw of it can't be looked at any more.
            (self.seq, self.hash) = (head.forgotten.seq, head.forgotten.hash);
            self.expected = self.expected.split_off(&self.seq);
            self.check_seen()?;
        }
        for (at, kept) in part.entries.iter().enumerate().filter(|(_, kept)| kept.seq > head.forgotten.seq) {
            if kept.seq != self.seq + 1 {
                return Err(self.broken(self.at, Fault::Missing));
            }
            if kept.seq > head.seq {
                return Err(self.broken(Some(kept.at), Fault::BehindHead));
            }
            let whole = kept.entry.as_ref().filter(|entry| entry.hash_behind(&self.hash) == entry.hash);
            let Some(entry) = whole else {
                let belongs_here = |other: &Kept| self.is_next(other);
                let is_moved = part.entries.iter().skip(at + 1).any(belongs_here);
                return Err(self.broken(Some(kept.at), if is_moved { Fault::Order } else { Fault::Content }));
            };
            (self.seq, self.hash, self.at) = (entry.seq, entry.hash, Some(entry.at));
            self.check_seen()?;
        }
        if !part.is_last {
            return Ok(());
        }
        if self.seq < head.seq || self.expected.keys().any(|seq| *seq > self.seq) {
            return Err(self.broken(self.at, Fault::TailCut));
        }
        if self.hash != head.hash {
            return Err(Broken {
                place: Place::Head { chain: self.chain },
                at: None,
                fault: Fault::HeadChanged,
            });
        }
        Ok(())
    }

    /// Whether an entry that stands elsewhere was written behind the last one that holds.
    fn is_next(&self, other: &Kept) -> bool {
        other.entry.as_ref().is_some_and(|entry| {
            let here = Entry { seq: self.seq + 1, ..entry.clone() };
            here.hash_behind(&self.hash) == entry.hash
        })
    }

    /// Whether a checkpoint that saw the last entry saw this one.
    fn check_seen(&self) -> Result<(), Broken> {
        match self.expected.get(&self.seq) {
            Some(seen) if *seen != self.hash => {
                let place = Place::Entry { chain: self.chain, seq: self.seq };
                Err(Broken { place, at: self.at, fault: Fault::NotAsSeen })
            }
            _ => Ok(()),
        }
    }

    fn broken(&self, at: Option<Timestamp>, fault: Fault) -> Broken {
        Broken { place: Place::Entry { chain: self.chain, seq: self.seq + 1 }, at, fault }
    }
}
