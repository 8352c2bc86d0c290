//! What was, and for how long it is kept.

use async_trait::async_trait;
use domain::time::Timestamp;

use crate::StoreError;

/// History.
#[async_trait]
pub trait History: Send + Sync {
    /// Makes room for what will come, and forgets what is no longer kept: messages that have ended, with all that
    /// happened to them. What has not ended stays, however old it is, and what ends with it where the backend can only
    /// forget weeks as a whole. A part at a time: call it again until it answers that it is done.
    async fn keep_history(&self, keep: KeepHistory) -> Result<Forgotten, StoreError>;
}

/// What is kept.
#[derive(Debug, Clone, Copy)]
pub struct KeepHistory {
    /// The present.
    pub now: Timestamp,
    /// Messages accepted since then; `None` for all.
    pub messages_since: Option<Timestamp>,
    /// Entries of the audit trail since then.
    pub audit_since: Timestamp,
    /// Answers to requests with an idempotency key, made since then.
    pub replies_since: Timestamp,
    /// How much to forget at once: a part of a commit that others wait for.
    pub limit: u32,
}

/// What was forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Messages; about how many where weeks are dropped without being counted.
    pub messages: u64,
    /// Answers to requests with an idempotency key.
    pub replies: u64,
    /// Nothing is left to forget.
    pub is_done: bool,
}
