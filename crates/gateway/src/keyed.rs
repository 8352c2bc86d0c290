//! Hashes under a key that is derived from the data key of the database: whoever finds one there learns nothing.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use store::Store;

/// A hash that was given its key.
#[derive(Clone)]
pub(crate) struct KeyedHash(Hmac<Sha256>);

impl KeyedHash {
    /// Under the key for one purpose: the same input gives another hash for another purpose.
    pub(crate) fn new(store: &dyn Store, purpose: &str) -> Self {
        let key = store.derive_key(purpose);
        let mut block = [0; 64];
        block[..key.len()].copy_from_slice(&*key);
        // A key that is filled up with zeros to a block is the same key (RFC 2104).
        Self(Hmac::new(&block.into()))
    }

    /// Takes a part of the input with its length, so that no two inputs look alike.
    pub(crate) fn feed(&mut self, part: impl AsRef<[u8]>) {
        let part = part.as_ref();
        self.0.update(&(part.len() as u64).to_be_bytes());
        self.0.update(part);
    }

    /// The beginning of the hash, as a number.
    pub(crate) fn number(self) -> i64 {
        let hash: [u8; 32] = self.0.finalize().into_bytes().into();
        hash.first_chunk().map_or(0, |first| i64::from_be_bytes(*first))
    }

    /// The hash.
    pub(crate) fn finish(self) -> [u8; 32] {
        self.0.finalize().into_bytes().into()
    }
}
