//! API keys.

use async_trait::async_trait;
use domain::audit::{Act, Actor};
use domain::ids::KeyId;
use domain::time::Timestamp;
use tokio::sync::mpsc;

use crate::StoreError;

/// The callers and their keys. Only hashes of secrets are kept.
#[async_trait]
pub trait Keys: Send + Sync {
    /// Stores a key.
    async fn create_key(&self, key: ApiKey, act: Act) -> Result<(), StoreError>;

    /// Stores a key if there is none at all; answers whether it did. Of several nodes that ask at once, one does.
    async fn create_first_key(&self, key: ApiKey, act: Act) -> Result<bool, StoreError>;

    /// The key that a secret with this SHA-256 belongs to, also if it is revoked or expired.
    async fn find_key(&self, hash: [u8; 32]) -> Result<Option<FoundKey>, StoreError>;

    /// All keys, oldest first.
    async fn keys(&self) -> Result<Vec<ApiKey>, StoreError>;

    /// Gives a key another secret, and tells other nodes; `false` if there is none of that id that could be used.
    async fn rotate_key(&self, rotation: Rotation) -> Result<bool, StoreError>;

    /// Ends a key, and tells other nodes; `false` if there is none of that id.
    async fn revoke_key(&self, id: KeyId, act: Act) -> Result<bool, StoreError>;

    /// Notes when keys were last used.
    async fn note_key_uses(&self, uses: Vec<KeyUse>) -> Result<(), StoreError>;

    /// Keys that other nodes, or the command line, have rotated or revoked. Some of it may be lost: what is known of a key
    /// must not be trusted for long all the same. Ends at once where there can be no other nodes.
    fn changed_keys(&self) -> mpsc::Receiver<KeyId>;
}

/// An API key as kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Names the caller.
    pub id: KeyId,
    /// What the operator calls it.
    pub name: String,
    /// SHA-256 over its secret; of several, the newest.
    pub hash: [u8; 32],
    /// What it may do, such as `sms:send`.
    pub scopes: Vec<String>,
    /// What it is held to.
    pub only: Only,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was ended.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, as far as it is written yet.
    pub last_used_at: Option<Timestamp>,
    /// When the last of its earlier secrets ends.
    pub former_secret_ends_at: Option<Timestamp>,
}

impl ApiKey {
    /// A key that may do nothing yet, is held to nothing, and does not end by itself.
    pub fn new(id: KeyId, name: impl Into<String>, hash: [u8; 32], created_at: Timestamp) -> Self {
        Self {
            id,
            name: name.into(),
            hash,
            scopes: Vec::new(),
            only: Only::default(),
            created_at,
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
            former_secret_ends_at: None,
        }
    }
}

/// What a key is held to. An empty list holds it to nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Only {
    /// Scenarios that it may send for.
    pub scenarios: Vec<String>,
    /// Countries that it may send to.
    pub countries: Vec<String>,
    /// Senders that it may show.
    pub senders: Vec<String>,
}

/// A key, found by one of its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundKey {
    /// The key.
    pub key: ApiKey,
    /// When that secret ends, if it is an earlier one.
    pub secret_ends_at: Option<Timestamp>,
}

/// A new secret for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// Which key.
    pub id: KeyId,
    /// SHA-256 over the new secret.
    pub hash: [u8; 32],
    /// When the secrets of before end, at the latest.
    pub others_end_at: Timestamp,
    /// Who gives it.
    pub by: Actor,
    /// The present.
    pub now: Timestamp,
}

/// That a key was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyUse {
    /// Which one.
    pub id: KeyId,
    /// When.
    pub at: Timestamp,
}
