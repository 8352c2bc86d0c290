//! Messages that somebody must look after at a later time.
//!
//! A watch is a durable reminder: that nobody knows how an attempt ended, that a receipt should have come by then,
//! or that a receipt asks for another route. It is set in the same commit as what it is about.

use async_trait::async_trait;
use domain::attempt::{Attempt, Failure, ProviderMessageId};
use domain::ids::MessageId;
use domain::message::{Message, MessageStatus};
use domain::route::ProviderName;
use domain::time::Timestamp;

use super::messages::Resend;
use super::queue::AttemptEnd;
use crate::StoreError;

/// The watches.
#[async_trait]
pub trait Watches: Send + Sync {
    /// Takes watches that are due, and sets each anew to `lease_until`: if the taker dies, they come back. Watches
    /// that have become pointless end here. An ambiguous attempt to which exactly one parked receipt can belong is
    /// settled by it first.
    async fn take_watches(&self, take: TakeWatches) -> Result<Vec<Watched>, StoreError>;

    /// Ends watches or sets them anew, and does what was decided, all in one commit.
    async fn settle_watches(&self, settled: Vec<Settled>) -> Result<(), StoreError>;

    /// How many watches there are, by kind: for figures and for people.
    async fn watch_counts(&self) -> Result<Vec<WatchCount>, StoreError>;
}

/// Which watches to take.
#[derive(Debug, Clone, Copy)]
pub struct TakeWatches {
    /// Those due at or before the present.
    pub now: Timestamp,
    /// When they are due again if nobody settles them.
    pub lease_until: Timestamp,
    /// How many at most.
    pub limit: u32,
}

/// What a watch is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WatchKind {
    /// The message is `sending` and nobody knows how its last attempt ended.
    Doubt,
    /// A provider has it, and no receipt has said what became of it.
    Silence,
    /// A receipt says that it was not delivered, for a reason that another route may not share.
    Undelivered,
}

impl WatchKind {
    /// The kind in a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Doubt => "doubt",
            Self::Silence => "silence",
            Self::Undelivered => "undelivered",
        }
    }
}

/// A message on watch, with what is needed to decide.
#[derive(Debug, Clone)]
pub struct Watched {
    /// Names the watch.
    pub watch: WatchId,
    /// What it is about.
    pub kind: WatchKind,
    /// The message.
    pub message: Message,
    /// Where it stands.
    pub status: MessageStatus,
    /// Why, if it failed.
    pub failure: Option<Failure>,
    /// When the status last moved.
    pub updated_at: Timestamp,
    /// Its last attempt. For a message that nobody was asked to send yet, one with the number 0 and the route in
    /// force.
    pub attempt: Attempt,
    /// When it was due first in the present round: when it was accepted, was to leave, or was sent again.
    pub first_due_at: Timestamp,
    /// Of no use after, in the present round.
    pub expires_at: Option<Timestamp>,
    /// Every provider that was asked so far.
    pub asked: Vec<ProviderName>,
    /// How many attempts a provider took or may have taken.
    pub perhaps_sent: u16,
    /// For a doubt: ids that the provider gave to other messages for this receiver since an hour before the attempt.
    pub known: Vec<ProviderMessageId>,
    /// For a doubt: an attempt at the same receiver by the same provider is under way, so that what the provider
    /// has may be that one's.
    pub has_rival: bool,
}

/// Names a watch as it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchId {
    /// The message.
    pub message_id: MessageId,
    /// When the watch is due, as set when it was taken.
    pub due_at: Timestamp,
}

/// What was decided about a watch.
#[derive(Debug, Clone)]
pub struct Settled {
    /// Which.
    pub watch: WatchId,
    /// What.
    pub verdict: Verdict,
}

/// What comes after a look.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Look again at this time.
    Again(Timestamp),
    /// Nothing: it is as it should be.
    Done,
    /// This is how the attempt ended, and what comes next. The end may set a watch of its own.
    Ended(AttemptEnd),
    /// Send it again.
    Resend(Resend),
    /// No receipt came within the horizon: the wait is over.
    WaitedInVain(Timestamp),
}

/// How many watches of a kind there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchCount {
    /// The kind.
    pub kind: WatchKind,
    /// How many.
    pub watches: u64,
    /// When the first of them is due.
    pub next_due_at: Timestamp,
    /// When the oldest message among them was accepted.
    pub oldest_accepted_at: Timestamp,
}
