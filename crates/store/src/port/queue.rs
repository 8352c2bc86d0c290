//! Taking messages from the queue, and recording how their attempts ended.

use async_trait::async_trait;
use domain::attempt::{Submission, SubmitOutcome};
use domain::ids::{MessageId, NodeId};
use domain::route::ProviderName;
use domain::scenario::Priority;
use domain::time::Timestamp;

use crate::StoreError;

/// The queue. A message waits in it, or has an open attempt, or neither, and never both.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Takes due messages of one provider off the queue and opens an attempt for each, in one commit: when this
    /// answers, the intent to submit is durable. Claim only what will be submitted at once. A message that was
    /// settled while it waited, by a receipt or by the late answer to an earlier attempt, leaves the queue and is
    /// not claimed.
    async fn claim(&self, claim: Claim) -> Result<Claims, StoreError>;

    /// Records how attempts ended and what comes next, in one commit. An attempt ends once: another end is
    /// ignored, except that an ambiguous one may still be told how it really ended. That a provider has the message
    /// counts whichever attempt it is; what else comes next is for the last attempt to say, and only while the
    /// message waits for its outcome.
    async fn finish(&self, ends: Vec<AttemptEnd>) -> Result<(), StoreError>;

    /// Closes open attempts that nobody will finish, as ambiguous: those whose lease ended before `now`, and
    /// all of other nodes where this process is known to be the only one. Answers how many.
    async fn recover(&self, recovery: Recovery) -> Result<u64, StoreError>;

    /// How many messages wait, by lane: for figures, not for decisions.
    async fn depth(&self) -> Result<Vec<LaneDepth>, StoreError>;
}

/// What to take.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Who takes it.
    pub node: NodeId,
    /// Whose messages.
    pub provider: ProviderName,
    /// How many at most, by lane, first lane first.
    pub at_most: [u32; Priority::ALL.len()],
    /// How many at most over all lanes.
    pub total: u32,
    /// By lane, how many requests may have been filled when a message of it opens another one.
    pub requests: [u32; Priority::ALL.len()],
    /// How many messages of the bulk lane with one text and sender share a request (`domain::batch`).
    pub receivers_per_request: u32,
    /// The present.
    pub now: Timestamp,
    /// When somebody else may conclude that this node is gone.
    pub lease_until: Timestamp,
}

/// What was taken.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    /// The messages, lane by lane and in order of their turn, each with an open attempt.
    pub claimed: Vec<Claimed>,
    /// Messages whose time had run out: they are `expired` now and were not claimed.
    pub expired: Vec<MessageId>,
    /// By lane, when the next waiting message is due; at or before the present where more is due than was
    /// allowed.
    pub next_due: [Option<Timestamp>; Priority::ALL.len()],
}

/// A message whose attempt is open.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// What the provider needs.
    pub submission: Submission,
    /// Its lane.
    pub priority: Priority,
    /// When the message was accepted.
    pub created_at: Timestamp,
    /// When it was due.
    pub due_at: Timestamp,
    /// How many segments it has, by our count.
    pub segments: u16,
}

/// How an attempt ended.
#[derive(Debug, Clone)]
pub struct AttemptEnd {
    /// The message.
    pub message_id: MessageId,
    /// The attempt's number.
    pub attempt: u16,
    /// How it ended.
    pub outcome: SubmitOutcome,
    /// When.
    pub ended_at: Timestamp,
    /// What comes next.
    pub next: Next,
}

/// What comes after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing: the provider has it, or refused it, or it was tried often enough.
    Stop,
    /// Nothing: another try would come after the message's time has run out.
    Expire,
    /// Nothing before somebody finds out how the attempt ended.
    Wait,
    /// Another try.
    Retry {
        /// By which provider.
        provider: ProviderName,
        /// In which lane.
        priority: Priority,
        /// When.
        due_at: Timestamp,
        /// Of no use after.
        expires_at: Option<Timestamp>,
    },
}

/// Which open attempts to close.
#[derive(Debug, Clone, Copy)]
pub struct Recovery {
    /// Who asks.
    pub node: NodeId,
    /// The present.
    pub now: Timestamp,
    /// Close also those of other nodes whose lease still runs: right only at the start of the one process that
    /// serves this store.
    pub only_node: bool,
}

/// How many messages wait in one lane for one provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneDepth {
    /// The provider.
    pub provider: ProviderName,
    /// The lane.
    pub priority: Priority,
    /// How many.
    pub messages: u64,
    /// When the first of them was due.
    pub oldest_due_at: Timestamp,
}
