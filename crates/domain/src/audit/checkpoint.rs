//! Checkpoints: where all chains ended at a moment, signed, each with the hash of the one before.

use ring::digest::{Context, SHA256};
use ring::signature::{ED25519, UnparsedPublicKey};

use super::chain::{Hash, Head, digest, hex};
use super::key::AuditKeys;
use crate::time::Timestamp;

/// A checkpoint. Its hash and signature tell nothing of what is in the trail, and may stand in any log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Counts them, from 1.
    pub number: i64,
    /// When it was made.
    pub at: Timestamp,
    /// Where each chain ended.
    pub seen: Vec<Seen>,
    /// The hash of the checkpoint before it.
    pub previous: Hash,
    /// The hash of all that.
    pub hash: Hash,
    /// Ed25519 over the hash.
    pub signature: Vec<u8>,
}

/// Where a chain ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Which chain.
    pub chain: i64,
    /// The place of its last entry.
    pub seq: i64,
    /// That entry's hash.
    pub hash: Hash,
}

impl From<&Head> for Seen {
    fn from(head: &Head) -> Self {
        Self { chain: head.chain, seq: head.seq, hash: head.hash }
    }
}

/// Bytes of a chain in the text form.
const SEEN_BYTES: usize = 8 + 8 + 32;

impl Checkpoint {
    /// The checkpoint behind those that end with `last`, with the head that they have then.
    pub fn make(keys: &AuditKeys, last: &Head, at: Timestamp, heads: &[Head]) -> (Self, Head) {
        let mut made = Self {
            number: last.seq + 1,
            at: at.max(last.at),
            seen: heads.iter().map(Seen::from).collect(),
            previous: last.hash,
            hash: [0; 32],
            signature: Vec::new(),
        };
        made.hash = made.expected_hash();
        made.signature = keys.sign(&made.hash);
        let head = Head { seq: made.number, at: made.at, hash: made.hash, ..last.clone() };
        (made, head)
    }

    /// Whether its hash is that of its content.
    pub fn holds(&self) -> bool {
        self.hash == self.expected_hash()
    }

    /// The hash that it must have.
    fn expected_hash(&self) -> Hash {
        let mut hash = Context::new(&SHA256);
        hash.update(&self.previous);
        hash.update(&self.number.to_be_bytes());
        hash.update(&self.at.as_micros().to_be_bytes());
        hash.update(&self.heads());
        digest(hash)
    }

    /// Whether it is signed with the secret half of this key.
    pub fn is_signed_by(&self, public_key: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, public_key).verify(&self.hash, &self.signature).is_ok()
    }

    /// The ends of the chains as bytes, for whoever keeps them.
    pub fn heads(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SEEN_BYTES * self.seen.len());
        for Seen { chain, seq, hash } in &self.seen {
            bytes.extend(chain.to_be_bytes());
            bytes.extend(seq.to_be_bytes());
            bytes.extend(hash);
        }
        bytes
    }

    /// The ends of the chains from these bytes; `None` if they are none.
    pub fn read_heads(bytes: &[u8]) -> Option<Vec<Seen>> {
        let chunks = bytes.chunks_exact(SEEN_BYTES);
        if !chunks.remainder().is_empty() {
            return None;
        }
        let seen = chunks.map(|chunk| {
            let (chain, rest) = chunk.split_first_chunk()?;
            let (seq, hash) = rest.split_first_chunk()?;
            let (chain, seq) = (i64::from_be_bytes(*chain), i64::from_be_bytes(*seq));
            Some(Seen { chain, seq, hash: hash.try_into().ok()? })
        });
        seen.collect()
    }

    /// Its hash as people keep it.
    pub fn name(&self) -> String {
        hex(&self.hash)
    }
}
