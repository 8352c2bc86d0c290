//! Taking messages from the queue, and recording how their attempts ended.

use std::sync::Arc;

use async_trait::async_trait;
use domain::attempt::{Submission, SubmitOutcome};
use domain::civil::QuietHours;
use domain::ids::{MessageId, NodeId};
use domain::phone::Msisdn;
use domain::route::ProviderName;
use domain::scenario::{Priority, Scenario};
use domain::sender_pace::SenderPace;
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

    /// Messages that wait for a provider and are due, first lane first, without taking them: to find them another
    /// route.
    async fn waiting(&self, waiting: Waiting) -> Result<Vec<Waiter>, StoreError>;

    /// Gives waiting messages to other providers, in one commit. Those that have left the queue meanwhile are left
    /// alone. Answers how many changed.
    async fn divert(&self, diversions: Vec<Diversion>) -> Result<u64, StoreError>;

    /// How many messages wait, by lane and age: for figures, not for decisions.
    async fn depth(&self, now: Timestamp) -> Result<Vec<LaneDepth>, StoreError>;

    /// Messages that have not moved since `before` and have not ended: waiting though due, under way, or in doubt.
    /// The oldest first.
    async fn stuck(&self, before: Timestamp, limit: u32) -> Result<Vec<Stuck>, StoreError>;
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
    /// How many requests may begin now over all lanes, whatever else they have.
    pub at_once: u32,
    /// By lane, how many of `total` lanes above leave to it if something of it is due.
    pub guaranteed: [u32; Priority::ALL.len()],
    /// By lane, how many requests lanes above leave to it if something of it is due.
    pub guaranteed_requests: [u32; Priority::ALL.len()],
    /// How many messages of the bulk lane with one text and sender share a request (`domain::batch`).
    pub receivers_per_request: u32,
    /// The present.
    pub now: Timestamp,
    /// When somebody else may conclude that this node is gone.
    pub lease_until: Timestamp,
    /// When which messages must not leave: those stay queued until the quiet hours end.
    pub quiet: Arc<QuietHours>,
    /// How fast each sender may send: what may not leave now stays queued for a later turn.
    pub senders: SenderPace,
}

/// How much a claim may take of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LaneRoom {
    pub(crate) messages: u32,
    /// How many requests may have been filled in all when a message of the lane opens another one.
    pub(crate) requests: u32,
}

impl Claim {
    /// How much it may take of a lane after it has taken so many `messages` and filled so many `requests`. `is_due`
    /// says in which lanes something is due.
    pub(crate) fn room(
        &self,
        lane: Priority,
        messages: usize,
        requests: usize,
        is_due: [bool; Priority::ALL.len()],
    ) -> LaneRoom {
        let count = |taken: usize| u32::try_from(taken).unwrap_or(u32::MAX);
        let below =
            || Priority::ALL.iter().map(|it| it.index()).filter(|it| *it > lane.index() && is_due[*it]);
        let kept = |guaranteed: &[u32]| below().map(|it| guaranteed[it]).fold(0, u32::saturating_add);
        let free = self.total.saturating_sub(count(messages)).saturating_sub(kept(&self.guaranteed));
        let own = count(requests).saturating_add(self.guaranteed_requests[lane.index()]);
        let all =
            self.requests.into_iter().max().unwrap_or(0).saturating_sub(kept(&self.guaranteed_requests));
        LaneRoom {
            messages: self.at_most[lane.index()].min(free),
            requests: self.requests[lane.index()].max(own).min(all).min(self.at_once),
        }
    }
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
    /// How the senders stand now.
    pub senders: SenderPace,
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
    /// When it was due first in the present round: when it was accepted, at the later time that its caller asked
    /// for, or when it was sent again.
    pub first_due_at: Timestamp,
    /// When it was due now.
    pub due_at: Timestamp,
    /// How many segments it has, by our count.
    pub segments: u16,
    /// Providers that refused it.
    pub refused_by: Vec<ProviderName>,
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
    /// When to look what has become of the message: one whose end is ambiguous, or one that a provider took and
    /// that should be delivered by then.
    pub watch_at: Option<Timestamp>,
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
        /// Providers that refused it, this one perhaps among them.
        refused_by: Vec<ProviderName>,
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

/// Whose waiting messages to show.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The provider they wait for.
    pub provider: ProviderName,
    /// By lane, whether to show its messages.
    pub lanes: [bool; Priority::ALL.len()],
    /// Those that are due now.
    pub now: Timestamp,
    /// How many at most, from each lane.
    pub limit: u32,
}

/// A message that waits.
#[derive(Debug, Clone)]
pub struct Waiter {
    /// Its place in the queue.
    pub place: Place,
    /// Where it goes.
    pub receiver: Msisdn,
    /// What it is for.
    pub scenario: Scenario,
    /// How many segments it has, by our count.
    pub segments: u16,
    /// Providers that refused it.
    pub refused_by: Vec<ProviderName>,
}

/// A place in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Whose queue.
    pub provider: ProviderName,
    /// The lane.
    pub priority: Priority,
    /// When the message is due.
    pub due_at: Timestamp,
    /// The message.
    pub message_id: MessageId,
}

/// A waiting message that gets another route.
#[derive(Debug, Clone)]
pub struct Diversion {
    /// Where it waits.
    pub place: Place,
    /// Who gets it.
    pub to: ProviderName,
}

/// Ends of the age groups in which waiting messages are counted, in seconds since they were due.
pub const AGES: [u64; 3] = [10, 60, 600];

/// How many messages wait in one lane for one provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneDepth {
    /// The provider.
    pub provider: ProviderName,
    /// The lane.
    pub priority: Priority,
    /// How many in all.
    pub messages: u64,
    /// How many of them are not due yet.
    pub later: u64,
    /// How many have been due for longer than each of [`AGES`].
    pub overdue: [u64; AGES.len()],
    /// When the first of them was due.
    pub oldest_due_at: Timestamp,
}

/// A message that does not move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// The message.
    pub message_id: MessageId,
    /// The provider that it waits for, or that was asked.
    pub provider: ProviderName,
    /// Its lane.
    pub priority: Priority,
    /// What it waits for.
    pub cause: StuckCause,
    /// Since when.
    pub since: Timestamp,
}

/// What a stuck message waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StuckCause {
    /// Its turn: it is due, and was not claimed.
    Turn,
    /// The end of its attempt.
    Outcome,
    /// Somebody's finding out how its attempt ended.
    Certainty,
}

impl StuckCause {
    /// The cause in a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Turn => "waits_for_turn",
            Self::Outcome => "waits_for_outcome",
            Self::Certainty => "in_doubt",
        }
    }
}
