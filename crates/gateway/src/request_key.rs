//! What a request is known by when it is made again.
//!
//! A request holds a number and, for a one-time code, a text that is soon guessed: so its fingerprint is made under a key,
//! and tells nothing to whoever finds it in the database.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use store::Store;

use crate::request::{Caller, Content};

/// What the key is derived for.
const PURPOSE: &str = "idempotency";

/// Makes fingerprints.
pub(crate) struct RequestKey(Hmac<Sha256>);

impl std::fmt::Debug for RequestKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RequestKey")
    }
}

impl RequestKey {
    /// The key of a database.
    pub(crate) fn of(store: &dyn Store) -> Self {
        let key = store.derive_key(PURPOSE);
        let mut block = [0; 64];
        block[..key.len()].copy_from_slice(&*key);
        // A key of a block's length is taken as it is, and one that is filled up with zeros is the same key (RFC 2104).
        Self(Hmac::new(&block.into()))
    }

    /// What identifies a request: every field, each with its length, so that no two requests look alike.
    pub(crate) fn fingerprint(&self, kind: &str, receivers: &[String], content: &Content) -> [u8; 32] {
        let mut hash = self.0.clone();
        let mut feed = |text: &str| {
            hash.update(&(text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        };
        feed(kind);
        for receiver in receivers {
            feed(receiver);
        }
        feed(&content.message);
        for optional in [&content.scenario, &content.sender, &content.reference, &content.group] {
            feed(if optional.is_some() { "+" } else { "-" });
            feed(optional.as_deref().unwrap_or_default());
        }
        for time in [content.scheduled_at, content.expires_at] {
            feed(&time.map_or_else(String::new, |time| time.as_micros().to_string()));
        }
        feed(&content.client_ip.map_or_else(String::new, |address| address.to_string()));
        content.metadata.iter().for_each(|(name, value)| {
            feed(name);
            feed(value);
        });
        hash.finalize().into_bytes().into()
    }

    /// An idempotency key belongs to its caller: another caller's same key is another key.
    pub(crate) fn scoped(&self, caller: &Caller, key: &str) -> [u8; 32] {
        let hash = self.0.clone().chain_update(caller.key.as_bytes()).chain_update(key);
        hash.finalize().into_bytes().into()
    }
}
