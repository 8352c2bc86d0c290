//! API keys.

use async_trait::async_trait;
use domain::audit::Act;
use domain::ids::KeyId;
use domain::time::Timestamp;

use crate::StoreError;

/// The callers and their keys. Only a hash of a key is kept.
#[async_trait]
pub trait Keys: Send + Sync {
    /// Stores a key.
    async fn create_key(&self, key: ApiKey, act: Act) -> Result<(), StoreError>;

    /// The key with this SHA-256, also if it is revoked or expired.
    async fn find_key(&self, hash: [u8; 32]) -> Result<Option<ApiKey>, StoreError>;

    /// All keys, oldest first.
    async fn keys(&self) -> Result<Vec<ApiKey>, StoreError>;

    /// Ends a key; `false` if there is none of that id.
    async fn revoke_key(&self, id: KeyId, act: Act) -> Result<bool, StoreError>;
}

/// An API key as kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Names the caller.
    pub id: KeyId,
    /// What the operator calls it.
    pub name: String,
    /// SHA-256 over the key.
    pub hash: [u8; 32],
    /// What it may do, such as `sms:send`.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was ended.
    pub revoked_at: Option<Timestamp>,
}
