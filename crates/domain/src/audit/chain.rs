//! A chain: entries, each with the hash of its content and of the hash before it, and the head that says where it ends.

use std::borrow::Cow;

use ring::digest::{Context, SHA256};

use super::entry::NewEntry;
use crate::ids::MessageId;
use crate::time::Timestamp;

/// SHA-256.
pub type Hash = [u8; 32];

/// What stands before the first entry.
pub const GENESIS: Hash = [0; 32];

/// Which form of an entry is hashed. Another form needs another number, so that old entries go on to hold.
const FORM: u8 = 1;

/// An entry as it is kept. Words are as they were written: those of a newer version pass through an older one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which chain.
    pub chain: i64,
    /// Its place there, from 1.
    pub seq: i64,
    /// When. Never before the entry in front of it.
    pub at: Timestamp,
    /// Who: see [`Actor`](super::Actor).
    pub actor: String,
    /// What: see [`Event`](super::Event).
    pub event: Cow<'static, str>,
    /// To which message.
    pub message_id: Option<MessageId>,
    /// The keyed hash of its receiver.
    pub receiver: Option<i64>,
    /// By which provider, or to which one.
    pub provider: Option<String>,
    /// How many characters the text has.
    pub length: Option<u32>,
    /// How many SMS it takes.
    pub segments: Option<u16>,
    /// How it ended.
    pub outcome: Option<Cow<'static, str>>,
    /// What else was acted on.
    pub subject: Option<String>,
    /// The hash of all that, and of the hash before it.
    pub hash: Hash,
}

impl Entry {
    /// The hash that it must have behind an entry with this one.
    pub fn hash_behind(&self, previous: &Hash) -> Hash {
        let mut hash = Context::new(&SHA256);
        hash.update(previous);
        hash.update(&self.bytes());
        digest(hash)
    }

    /// Every field, each with its length, so that no two entries look alike.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(192);
        bytes.push(FORM);
        for number in [self.chain, self.seq, self.at.as_micros()] {
            bytes.extend(number.to_be_bytes());
        }
        text(&mut bytes, &self.actor);
        text(&mut bytes, &self.event);
        optional(&mut bytes, self.message_id.as_ref(), |bytes, id| bytes.extend(id.as_bytes()));
        optional(&mut bytes, self.receiver, |bytes, hash| bytes.extend(hash.to_be_bytes()));
        optional(&mut bytes, self.provider.as_deref(), text);
        optional(&mut bytes, self.length, |bytes, length| bytes.extend(length.to_be_bytes()));
        optional(&mut bytes, self.segments, |bytes, segments| bytes.extend(segments.to_be_bytes()));
        optional(&mut bytes, self.outcome.as_deref(), text);
        optional(&mut bytes, self.subject.as_deref(), text);
        bytes
    }
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_be_bytes());
    bytes.extend(text.as_bytes());
}

fn optional<T>(bytes: &mut Vec<u8>, value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) {
    match value {
        None => bytes.push(0),
        Some(value) => {
            bytes.push(1);
            write(bytes, value);
        }
    }
}

pub(super) fn digest(context: Context) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// Bytes as people compare them.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // A text has room.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A row as it was found: somebody may have changed it so that it is no entry any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Which chain.
    pub chain: i64,
    /// Its place there.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// What it says; `None` if that can't be read.
    pub entry: Option<Entry>,
}

/// What was forgotten of the beginning of a chain: the last entry that is not there any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgotten {
    /// Its place; 0 if nothing was forgotten.
    pub seq: i64,
    /// Its hash, behind which the first entry that is there stands.
    pub hash: Hash,
}

/// Where a chain ends, and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Which chain.
    pub chain: i64,
    /// The place of its last entry; 0 if there is none.
    pub seq: i64,
    /// When that was entered.
    pub at: Timestamp,
    /// Its hash.
    pub hash: Hash,
    /// What is before its first entry.
    pub forgotten: Forgotten,
    /// The number of the last checkpoint that saw the chain, or that was there when it began; 0 if there was none.
    pub last_checkpoint: i64,
}

impl Head {
    /// The head of a chain without entries.
    pub const fn new(chain: i64) -> Self {
        let forgotten = Forgotten { seq: 0, hash: GENESIS };
        Self {
            chain,
            seq: 0,
            at: Timestamp::from_micros(i64::MIN),
            hash: GENESIS,
            forgotten,
            last_checkpoint: 0,
        }
    }

    /// The next entry. Its time is that of the one before if it would be earlier: what gathered for one commit comes in no
    /// order of time, and clocks of nodes differ by moments.
    pub fn extend(&mut self, new: NewEntry) -> Entry {
        let mut entry = Entry {
            chain: self.chain,
            seq: self.seq + 1,
            at: new.at.max(self.at),
            actor: new.actor.to_string(),
            event: Cow::Borrowed(new.event.as_str()),
            message_id: new.message_id,
            receiver: new.receiver,
            provider: new.provider.map(Into::into),
            length: new.length,
            segments: new.segments,
            outcome: new.outcome.map(Cow::Borrowed),
            subject: new.subject,
            hash: GENESIS,
        };
        entry.hash = entry.hash_behind(&self.hash);
        (self.seq, self.at, self.hash) = (entry.seq, entry.at, entry.hash);
        entry
    }

    /// What its code is over.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![FORM];
        for number in [self.chain, self.seq, self.at.as_micros(), self.forgotten.seq] {
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend(self.hash);
        bytes.extend(self.forgotten.hash);
        // Without one, as heads were sealed that knew of none.
        if self.last_checkpoint != 0 {
            bytes.extend(self.last_checkpoint.to_be_bytes());
        }
        bytes
    }
}

/// A head and the code that only who has the key can make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The head.
    pub head: Head,
    /// HMAC-SHA256 over it.
    pub code: [u8; 32],
}
