//! What is made of the secret behind the trail.

use std::fmt;

use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::chain::{Head, Sealed};
use crate::secret::{Key, Zeroizing};

/// What the trail is made and checked with. Whoever has the secret behind it can make a trail that holds; whoever has the
/// database alone can't.
pub struct AuditKeys {
    heads: hmac::Key,
    signer: Ed25519KeyPair,
}

impl fmt::Debug for AuditKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditKeys(…)")
    }
}

impl AuditKeys {
    /// The purpose for which the store derives the secret.
    pub const PURPOSE: &str = "audit";

    /// The keys of a secret.
    #[expect(clippy::expect_used, reason = "any 32 bytes are a seed")]
    pub fn new(secret: &Key) -> Self {
        let signer = Ed25519KeyPair::from_seed_unchecked(&*derived(secret, "tuma audit checkpoints"));
        Self {
            heads: hmac::Key::new(hmac::HMAC_SHA256, &*derived(secret, "tuma audit heads")),
            signer: signer.expect("a seed of 32 bytes"),
        }
    }

    /// A head under its code.
    pub fn seal(&self, head: &Head) -> Sealed {
        let tag = hmac::sign(&self.heads, &head.bytes());
        let mut code = [0; 32];
        code.copy_from_slice(tag.as_ref());
        Sealed { head: head.clone(), code }
    }

    /// Whether a head is as it was sealed.
    pub fn holds(&self, sealed: &Sealed) -> bool {
        hmac::verify(&self.heads, &sealed.head.bytes(), &sealed.code).is_ok()
    }

    /// Signs the hash of a checkpoint (Ed25519).
    pub(super) fn sign(&self, hash: &[u8; 32]) -> Vec<u8> {
        self.signer.sign(hash).as_ref().to_vec()
    }

    /// With this, others can check signatures, and sign nothing.
    pub fn public_key(&self) -> &[u8] {
        self.signer.public_key().as_ref()
    }
}

/// A key of its own for each use, so that none tells anything of another.
fn derived(secret: &Key, purpose: &str) -> Key {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &**secret), purpose.as_bytes());
    let mut derived = Zeroizing::new([0; 32]);
    derived.copy_from_slice(tag.as_ref());
    derived
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_holds_only_by_the_secret_that_sealed_it() {
        let [keys, others] = [7, 8].map(|byte| AuditKeys::new(&Key::new([byte; 32])));
        let sealed = keys.seal(&Head::new(1));
        assert!(keys.holds(&sealed));
        assert!(!others.holds(&sealed));
        assert_ne!(keys.public_key(), others.public_key());
        assert_eq!(format!("{keys:?}"), "AuditKeys(…)");
    }
}
