//! API keys: their scopes, how they are made, and who holds one.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use domain::audit::Actor;
use domain::ids::KeyId;
use domain::phone::{Country, SenderId};
use domain::scenario::Scenario;
use domain::secret::SecretString;
use domain::time::Timestamp;
use gateway::Caller;
use gateway::allowed::Allowed;
use rand::RngExt as _;
use serde::{Deserialize, Deserializer};
use sha2::{Digest as _, Sha256};
use store::port::keys::{ApiKey, FoundKey, Only};

/// What every key begins with, so that a leaked one is recognized.
pub const PREFIX: &str = "tuma_";

/// How long the secrets of before a rotation are taken unless asked otherwise.
pub const OVERLAP: Duration = Duration::from_hours(7 * 24);

/// The same at the longest: a secret that is never given up is not rotated.
pub const LONGEST_OVERLAP: Duration = Duration::from_hours(90 * 24);

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Send messages, and see its own with masked numbers.
    Send,
    /// See all messages, with numbers in full.
    Read,
    /// Send one-time codes and check them.
    Verify,
    /// Ask people, and hear what they answer.
    Prompts,
    /// See who has opted out, and enter opt-outs and opt-ins.
    Consent,
    /// Change templates.
    Templates,
    /// Have events posted to endpoints of its own.
    Webhooks,
    /// Everything.
    Admin,
}

impl Scope {
    /// All scopes.
    pub const ALL: &[Self] = &[
        Self::Send,
        Self::Read,
        Self::Verify,
        Self::Prompts,
        Self::Consent,
        Self::Templates,
        Self::Webhooks,
        Self::Admin,
    ];

    /// The word in `--scopes` and in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Send => "sms:send",
            Self::Read => "sms:read",
            Self::Verify => "verify",
            Self::Prompts => "prompts",
            Self::Consent => "consent",
            Self::Templates => "templates",
            Self::Webhooks => "webhooks",
            Self::Admin => "admin",
        }
    }
}

impl std::str::FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|scope| scope.as_str() == text).ok_or(UnknownScope)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A word that names no scope. It is not repeated: somebody may have put a key there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no scope; there are sms:send, sms:read, verify, prompts, consent, templates, webhooks and admin")]
pub struct UnknownScope;

/// Makes a key that is held to nothing: what is shown once, and what is kept.
pub fn create(
    name: &str,
    scopes: &[Scope],
    lifetime: Option<Duration>,
    now: Timestamp,
) -> (SecretString, ApiKey) {
    let (secret, hash) = secret();
    let kept = ApiKey {
        scopes: scopes.iter().map(ToString::to_string).collect(),
        expires_at: lifetime.map(|lifetime| now.plus(lifetime)),
        ..ApiKey::new(KeyId::new(now, rand::rng().random()), name, hash, now)
    };
    (secret, kept)
}

/// Makes a secret: what is shown once, and the hash that is kept.
pub fn secret() -> (SecretString, [u8; 32]) {
    // 32 bytes from a generator that the operating system seeds; only their hash is kept.
    let secret: [u8; 32] = rand::rng().random();
    let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret));
    let hash = Sha256::digest(&text).into();
    (text.into(), hash)
}

/// Makes what events are signed with, in the form of Standard Webhooks.
pub fn webhook_secret() -> SecretString {
    webhook_secret_of(rand::rng().random())
}

pub(crate) fn webhook_secret_of(secret: [u8; 32]) -> SecretString {
    format!("whsec_{}", STANDARD.encode(secret)).into()
}

/// What a key is held to, in the words that are kept. Empty lists hold it to nothing.
pub fn only(scenarios: &[Scenario], countries: &[Country], senders: &[SenderId]) -> Only {
    Only {
        scenarios: scenarios.iter().map(ToString::to_string).collect(),
        countries: countries.iter().map(ToString::to_string).collect(),
        senders: senders.iter().map(ToString::to_string).collect(),
    }
}

/// An authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The key that it showed, or what stands for one.
    pub key: KeyId,
    scopes: Vec<Scope>,
    allowed: Arc<Allowed>,
    ends_at: Option<Timestamp>,
    is_revoked: bool,
}

impl Identity {
    /// Somebody whom an issuer of tokens knows.
    pub(crate) fn of_token(key: KeyId, scopes: Vec<Scope>) -> Self {
        Self { key, scopes, allowed: Arc::default(), ends_at: None, is_revoked: false }
    }

    /// Whether the caller may do that; `admin` may do everything.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|held| *held == scope || *held == Scope::Admin)
    }

    /// The caller, for the audit trail.
    pub fn actor(&self) -> Actor {
        Actor::Key(self.key)
    }

    /// Who asks, for the use cases.
    pub fn caller(&self) -> Caller {
        Caller { key: self.key, allowed: Arc::clone(&self.allowed) }
    }

    /// What it is held to.
    pub fn allowed(&self) -> &Allowed {
        &self.allowed
    }

    pub(crate) fn is_revoked(&self) -> bool {
        self.is_revoked
    }

    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        self.ends_at.is_some_and(|end| end <= now)
    }
}

impl From<FoundKey> for Identity {
    fn from(found: FoundKey) -> Self {
        let key = found.key;
        Self {
            key: key.id,
            // A scope of a newer version is one that this version does not grant.
            scopes: known(&key.scopes),
            allowed: Arc::new(Allowed {
                scenarios: held_to(&key.only.scenarios),
                countries: held_to(&key.only.countries),
                senders: held_to(&key.only.senders),
            }),
            ends_at: key.expires_at.into_iter().chain(found.secret_ends_at).min(),
            is_revoked: key.revoked_at.is_some(),
        }
    }
}

impl From<ApiKey> for Identity {
    fn from(key: ApiKey) -> Self {
        FoundKey { key, secret_ends_at: None }.into()
    }
}

fn known<T: std::str::FromStr>(words: &[String]) -> Vec<T> {
    words.iter().filter_map(|word| word.parse().ok()).collect()
}

/// A word that this version does not know stays a limit: a list of such words lets nothing pass.
fn held_to<T: std::str::FromStr>(words: &[String]) -> Option<Vec<T>> {
    (!words.is_empty()).then(|| known(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_that_is_held_to_words_of_a_newer_version_may_send_nothing() {
        let now = Timestamp::from_micros(0);
        let only = Only { scenarios: vec!["novelty".into()], ..Only::default() };
        let (_secret, kept) = create("new", &[Scope::Send], None, now);
        let identity = Identity::from(ApiKey { only, ..kept });
        assert_eq!(identity.allowed().scenarios, Some(Vec::new()));
        assert_eq!(identity.allowed().countries, None);
    }

    #[test]
    fn secret_of_before_ends_with_its_key_at_the_latest() {
        let at = |seconds: u64| Timestamp::from_micros(0).plus(Duration::from_secs(seconds));
        let (_secret, kept) = create("key", &[], Some(Duration::from_secs(10)), at(0));
        let identity = |secret_ends_at| Identity::from(FoundKey { key: kept.clone(), secret_ends_at });
        assert!(identity(Some(at(5))).has_expired(at(5)) && !identity(Some(at(5))).has_expired(at(4)));
        assert!(identity(Some(at(20))).has_expired(at(10)) && !identity(None).has_expired(at(9)));
    }
}
