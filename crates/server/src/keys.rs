//! API keys: making them, and finding out who calls.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::audit::Actor;
use domain::ids::KeyId;
use domain::secret::{ExposeSecret as _, SecretString};
use domain::time::{Clock, Timestamp};
use parking_lot::RwLock;
use rand::RngExt as _;
use sha2::{Digest as _, Sha256};
use store::port::keys::ApiKey;
use store::{Store, StoreError};

/// What every key begins with, so that a leaked one is recognized.
pub const PREFIX: &str = "tuma_";

/// Keys remembered at most: more than any installation has, and a bound all the same.
const MAX_REMEMBERED: usize = 10_000;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Send messages, and see its own with masked numbers.
    Send,
    /// See all messages, with numbers in full.
    Read,
    /// Everything.
    Admin,
}

impl Scope {
    /// All scopes.
    pub const ALL: &[Self] = &[Self::Send, Self::Read, Self::Admin];

    /// The word in `--scopes` and in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Send => "sms:send",
            Self::Read => "sms:read",
            Self::Admin => "admin",
        }
    }
}

impl std::str::FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| UnknownScope(text.into()))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no scope is called {0}; there are sms:send, sms:read and admin")]
pub struct UnknownScope(String);

/// Makes a key: what is shown once, and what is kept.
pub fn create(
    name: &str,
    scopes: &[Scope],
    lifetime: Option<Duration>,
    now: Timestamp,
) -> (SecretString, ApiKey) {
    // 32 bytes from a generator that the operating system seeds; only their hash is kept.
    let secret: [u8; 32] = rand::rng().random();
    let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret));
    let kept = ApiKey {
        id: KeyId::new(now, rand::rng().random()),
        name: name.into(),
        hash: Sha256::digest(&text).into(),
        scopes: scopes.iter().map(ToString::to_string).collect(),
        created_at: now,
        expires_at: lifetime.map(|lifetime| now.plus(lifetime)),
        revoked_at: None,
    };
    (text.into(), kept)
}

/// An authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The key that it showed.
    pub key: KeyId,
    scopes: Vec<Scope>,
    expires_at: Option<Timestamp>,
    revoked: bool,
}

impl Identity {
    /// Whether the caller may do that; `admin` may do everything.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|held| *held == scope || *held == Scope::Admin)
    }

    /// The caller, for the audit trail.
    pub fn actor(&self) -> Actor {
        Actor::Key(self.key)
    }

    fn is_valid(&self, now: Timestamp) -> bool {
        !self.revoked && self.expires_at.is_none_or(|end| now < end)
    }
}

impl From<ApiKey> for Identity {
    fn from(key: ApiKey) -> Self {
        Self {
            key: key.id,
            // A scope of a newer version is one that this version does not grant.
            scopes: key.scopes.iter().filter_map(|scope| scope.parse().ok()).collect(),
            expires_at: key.expires_at,
            revoked: key.revoked_at.is_some(),
        }
    }
}

/// Finds out who calls. Remembers keys for a short while, so that not every request reads the store.
#[derive(Debug)]
pub struct Authenticator {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    remember: Duration,
    known: RwLock<HashMap<[u8; 32], (Identity, Timestamp)>>,
}

impl Authenticator {
    /// An authenticator that trusts a key for `remember` before it looks again.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, remember: Duration) -> Self {
        Self { store, clock, remember, known: RwLock::default() }
    }

    /// Who holds this key; `None` if nobody does, or not any more.
    pub async fn identify(&self, key: &SecretString) -> Result<Option<Identity>, StoreError> {
        if !key.expose_secret().starts_with(PREFIX) {
            return Ok(None);
        }
        // Found by hash: a comparison that takes longer for a better guess has nothing to compare.
        let hash: [u8; 32] = Sha256::digest(key.expose_secret()).into();
        let now = self.clock.now();
        let known =
            self.known.read().get(&hash).filter(|(_, until)| now < *until).map(|(known, _)| known.clone());
        let identity = match known {
            Some(identity) => Some(identity),
            None => self.look_up(hash, now).await?,
        };
        Ok(identity.filter(|identity| identity.is_valid(now)))
    }

    async fn look_up(&self, hash: [u8; 32], now: Timestamp) -> Result<Option<Identity>, StoreError> {
        let found = self.store.find_key(hash).await?.map(Identity::from);
        let mut known = self.known.write();
        match &found {
            Some(identity) => {
                if known.len() >= MAX_REMEMBERED {
                    known.clear();
                }
                known.insert(hash, (identity.clone(), now.plus(self.remember)));
            }
            None => {
                known.remove(&hash);
            }
        }
        Ok(found)
    }
}
