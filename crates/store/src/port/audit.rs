//! The audit trail. Changes of messages and of what operators rule enter what they tell by themselves, in their own
//! commit; here is the rest: entries of what is not in the store, checkpoints, and reading.

use async_trait::async_trait;
use domain::audit::{Actor, Checkpoint, Entry, Event, NewEntry, Part, Sealed};
use domain::ids::MessageId;
use domain::phone::Msisdn;
use domain::time::Timestamp;

use crate::StoreError;

/// The audit trail.
#[async_trait]
pub trait Audit: Send + Sync {
    /// Enters what is not told by a change in the store. Refused at once where there is no room or the database does not
    /// answer: nobody waits for an entry who would be refused anyway.
    async fn note(&self, entries: Vec<NewEntry>) -> Result<(), StoreError>;

    /// Signs where all chains end; `None` if nothing was entered since the last time.
    async fn checkpoint_audit(&self, now: Timestamp) -> Result<Option<Checkpoint>, StoreError>;

    /// Entries, newest first.
    async fn audit(&self, filter: AuditFilter, page: AuditPage) -> Result<Vec<Entry>, StoreError>;

    /// All chains, also those of which only entries or only a head are left.
    async fn audit_chains(&self) -> Result<Vec<AuditChain>, StoreError>;

    /// The entries of a chain behind a place, and its head at that moment.
    async fn audit_part(&self, chain: i64, behind: i64, limit: u32) -> Result<Part, StoreError>;

    /// The place of the first entry of a chain at a time or later.
    async fn audit_place(&self, chain: i64, at: Timestamp) -> Result<i64, StoreError>;

    /// All checkpoints in their order, and the head of their own chain at that moment.
    async fn audit_checkpoints(&self) -> Result<(Option<Sealed>, Vec<Checkpoint>), StoreError>;
}

/// A chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditChain {
    /// Its number.
    pub chain: i64,
    /// The place of its first entry that is kept.
    pub first: i64,
    /// The place of its last entry.
    pub last: i64,
}

/// Which entries to list. Conditions left out are met by all.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Of this event.
    pub event: Option<Event>,
    /// By this actor.
    pub actor: Option<Actor>,
    /// Of this message.
    pub message_id: Option<MessageId>,
    /// Of messages to this number.
    pub receiver: Option<Msisdn>,
    /// At or after this time.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
}

/// A page of entries.
#[derive(Debug, Clone, Copy)]
pub struct AuditPage {
    /// Begin behind this entry, going back in time; `None` for the newest.
    pub after: Option<AuditCursor>,
    /// How many at most.
    pub limit: u32,
}

/// Names an entry by its place in the order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditCursor {
    /// When.
    pub at: Timestamp,
    /// In which chain.
    pub chain: i64,
    /// Where there.
    pub seq: i64,
}

impl From<&Entry> for AuditCursor {
    fn from(entry: &Entry) -> Self {
        Self { at: entry.at, chain: entry.chain, seq: entry.seq }
    }
}
