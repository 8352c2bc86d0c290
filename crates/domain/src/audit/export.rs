//! What is in an export, signed: so that nothing can be taken out of one, not even a chain as a whole.

use ring::digest::{Context, SHA256};
use ring::signature::{ED25519, UnparsedPublicKey};

use super::chain::{Hash, digest};
use super::key::AuditKeys;
use crate::time::Timestamp;

/// The entries of a chain that are in an export; none if the last is before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// Which chain.
    pub chain: i64,
    /// The place of the first.
    pub first: i64,
    /// The place of the last.
    pub last: i64,
}

/// What is in an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// From which time on, if not from the beginning.
    pub since: Option<Timestamp>,
    /// Before which time, if not to the end.
    pub until: Option<Timestamp>,
    /// Of each chain that there is.
    pub chains: Vec<Exported>,
    /// The numbers of the first and the last checkpoint; none if the last is before the first.
    pub checkpoints: (i64, i64),
}

impl Contents {
    /// Signs it.
    pub fn sign(&self, keys: &AuditKeys) -> Vec<u8> {
        keys.sign(&self.hash())
    }

    /// Whether it was signed with the secret half of this key.
    pub fn is_signed_by(&self, public_key: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, public_key).verify(&self.hash(), signature).is_ok()
    }

    /// Begins with its kind: what signs this signs checkpoints too.
    fn hash(&self) -> Hash {
        let mut hash = Context::new(&SHA256);
        hash.update(b"tuma audit export");
        for time in [self.since, self.until] {
            hash.update(&[u8::from(time.is_some())]);
            hash.update(&time.map_or(0, Timestamp::as_micros).to_be_bytes());
        }
        hash.update(&self.checkpoints.0.to_be_bytes());
        hash.update(&self.checkpoints.1.to_be_bytes());
        for Exported { chain, first, last } in &self.chains {
            for number in [chain, first, last] {
                hash.update(&number.to_be_bytes());
            }
        }
        digest(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Key;

    #[test]
    fn what_is_said_to_be_in_an_export_holds_as_it_was_signed_only() {
        let keys = AuditKeys::new(&Key::new([7; 32]));
        let chains = vec![Exported { chain: 1, first: 1, last: 9 }, Exported { chain: 2, first: 3, last: 4 }];
        let contents = Contents { since: None, until: None, chains, checkpoints: (1, 2) };
        let signature = contents.sign(&keys);
        assert!(contents.is_signed_by(keys.public_key(), &signature));
        let since = Some(Timestamp::from_micros(0));
        let changed = [
            Contents { since, ..contents.clone() },
            Contents { until: since, ..contents.clone() },
            Contents { chains: contents.chains[..1].to_vec(), ..contents.clone() },
            Contents { checkpoints: (1, 1), ..contents.clone() },
        ];
        for changed in changed {
            assert!(!changed.is_signed_by(keys.public_key(), &signature), "{changed:?}");
        }
    }
}
