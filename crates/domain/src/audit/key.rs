//! The secret behind the trail, and what is made of it.

use std::fmt;
use std::str::FromStr;

use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use secrecy::zeroize::Zeroize as _;

use super::chain::{Head, Sealed};
use super::entry::Receiver;

/// 32 secret bytes. Whoever has them can make a trail that holds; whoever has the database alone can't.
#[derive(Clone)]
pub struct AuditKey([u8; 32]);

/// A text that is no key. Never holds the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 64 hexadecimal digits, such as openssl rand -hex 32 makes")]
pub struct AuditKeyError;

impl AuditKey {
    /// A key of these bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A key of its own for each use, so that none tells anything of another.
    fn derive(&self, purpose: &str) -> [u8; 32] {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.0), purpose.as_bytes());
        let mut derived = [0; 32];
        derived.copy_from_slice(tag.as_ref());
        derived
    }
}

impl FromStr for AuditKey {
    type Err = AuditKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.as_bytes();
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(AuditKeyError);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_no_digits| AuditKeyError)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_no_digits| AuditKeyError)?;
        }
        Ok(Self(bytes))
    }
}

impl Drop for AuditKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditKey(…)")
    }
}

/// The keyed hash of a receiver: the same for the same number, and of no use to who does not have the key, though all
/// numbers there are could be tried.
#[derive(Clone)]
pub struct ReceiverHash(hmac::Key);

impl ReceiverHash {
    fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The hash of a receiver: the first eight bytes of HMAC-SHA256.
    pub fn of(&self, receiver: impl Into<Receiver>) -> i64 {
        let number = match receiver.into() {
            Receiver::Hash(hash) => return hash,
            Receiver::Number(number) => number,
        };
        let tag = hmac::sign(&self.0, &number.to_be_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(tag.as_ref().split_at(8).0);
        i64::from_be_bytes(first)
    }
}

/// What the trail is made and checked with.
pub struct AuditKeys {
    receivers: ReceiverHash,
    heads: hmac::Key,
    signer: Ed25519KeyPair,
}

impl fmt::Debug for AuditKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditKeys(…)")
    }
}

impl AuditKeys {
    /// The keys of a secret.
    #[expect(clippy::expect_used, reason = "any 32 bytes are a seed")]
    pub fn new(key: &AuditKey) -> Self {
        let signer = Ed25519KeyPair::from_seed_unchecked(&key.derive("tuma audit checkpoints"));
        Self {
            receivers: ReceiverHash::new(&key.derive("tuma audit receivers")),
            heads: hmac::Key::new(hmac::HMAC_SHA256, &key.derive("tuma audit heads")),
            signer: signer.expect("a seed of 32 bytes"),
        }
    }

    /// Hashes receivers.
    pub fn receivers(&self) -> &ReceiverHash {
        &self.receivers
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phone::{Country, Msisdn};

    #[test]
    fn key_is_read_from_its_digits_and_never_shown() {
        let key: AuditKey = "0f".repeat(32).parse().unwrap();
        assert_eq!(key.0, [0x0f; 32]);
        assert_eq!(format!("{key:?}"), "AuditKey(…)");
        for wrong in ["", "0f", &"0g".repeat(32), &"0f".repeat(33), &"é".repeat(32)] {
            assert!(wrong.parse::<AuditKey>().is_err());
        }
    }

    #[test]
    fn receiver_is_told_by_its_hash_only_with_the_key() {
        let hashes = |byte| AuditKeys::new(&AuditKey::new([byte; 32])).receivers().clone();
        let number = |n: u64| Msisdn::from_parts(254_712_000_000 + n, Country::KE).unwrap();
        assert_eq!(hashes(1).of(number(1)), hashes(1).of(number(1)));
        assert_ne!(hashes(1).of(number(1)), hashes(1).of(number(2)));
        assert_ne!(hashes(1).of(number(1)), hashes(2).of(number(1)));
    }
}
