//! Accepting messages and showing them.

use async_trait::async_trait;
use domain::attempt::{Acceptance, Attempt, Failure, SubmitOutcome};
use domain::audit::Actor;
use domain::consent::Question;
use domain::ids::{BulkId, KeyId, MessageId};
use domain::message::{Message, MessageStatus};
use domain::money::Money;
use domain::phone::Msisdn;
use domain::quota::{Draw, Left};
use domain::receipt::ReceiptStatus;
use domain::route::ProviderName;
use domain::scenario::Priority;
use domain::scenario::Scenario;
use domain::time::Timestamp;

use super::verifications::NewVerification;
use crate::StoreError;
use crate::port::consent::OptedOut;

/// Messages, from the accepting side.
#[async_trait]
pub trait Messages: Send + Sync {
    /// Stores messages and queues them, all or none, in one commit. Answers after the commit.
    async fn accept(&self, accept: Accept) -> Result<Accepted, StoreError>;

    /// What a request was answered when it was made before, without accepting it now: for one that could not be
    /// accepted any more. The idempotency's own reply is not read.
    async fn earlier(&self, request: Idempotency) -> Result<Option<Accepted>, StoreError>;

    /// Stops messages that have not left: those that wait for their turn. One answer for each, in order; `None`
    /// for an id that is no message's.
    async fn cancel(&self, cancel: Cancel) -> Result<Vec<Option<Moved>>, StoreError>;

    /// Queues a message again, for a new round of attempts; `None` if there is no such message. It is not moved if
    /// it does not stand where the caller thinks, if its text is erased, or if a quota has no room.
    async fn resend(&self, resend: Resend) -> Result<Option<Resent>, StoreError>;

    /// Ends the wait of messages that wait in vain, in the order in which they were accepted.
    async fn sweep(&self, sweep: Sweep) -> Result<Swept, StoreError>;

    /// The messages of a bulk request, in no order.
    async fn messages_of_bulk(&self, id: BulkId) -> Result<Vec<MessageSummary>, StoreError>;

    /// Where messages stand. Of those that are not there, nothing.
    async fn statuses(&self, ids: Vec<MessageId>) -> Result<Vec<(MessageId, MessageStatus)>, StoreError>;

    /// One message with all that happened to it.
    async fn message(&self, id: MessageId) -> Result<Option<MessageRecord>, StoreError>;

    /// Messages, newest first.
    async fn messages(&self, filter: Filter, page: Page) -> Result<Vec<MessageSummary>, StoreError>;
}

/// Messages to accept together.
#[derive(Debug, Clone)]
pub struct Accept {
    /// The messages with the route that each one takes.
    pub messages: Vec<NewMessage>,
    /// What makes the request repeatable.
    pub idempotency: Option<Idempotency>,
    /// Refuse a text that its caller has sent to the same number at or after this time. Ignored for a request
    /// with an idempotency key, which says itself what is a repetition.
    pub no_repeats_since: Option<Timestamp>,
}

/// A message to accept.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// The message.
    pub message: Message,
    /// Its first route.
    pub provider: ProviderName,
    /// Held back until this time, whatever the caller asked for: quiet hours.
    pub held_until: Option<Timestamp>,
    /// What it uses up. All of it is there, or the message is not stored.
    pub draws: Vec<Draw>,
    /// Whether its receiver wants it; `None` for one that no opt-out holds back.
    pub consent: Option<Question>,
    /// The verification whose code it carries: it begins with the message, and ends those that its caller has open for the
    /// same receiver.
    pub verification: Option<Box<NewVerification>>,
}

impl NewMessage {
    /// When it may leave.
    pub fn due_at(&self) -> Timestamp {
        // A time in the past is now: it must not overtake what is waiting.
        let earliest = self.message.created_at;
        [self.message.scheduled_at, self.held_until].into_iter().flatten().fold(earliest, Timestamp::max)
    }

    /// Where it stands at first.
    pub fn status(&self) -> MessageStatus {
        if self.due_at() > self.message.created_at { MessageStatus::Scheduled } else { MessageStatus::Queued }
    }
}

/// A request that its caller may repeat.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// A keyed hash of the caller and its key.
    pub key: [u8; 32],
    /// A keyed hash of the request.
    pub request: [u8; 32],
    /// What to answer, now and when the request is repeated. Holds ids and verdicts, no numbers, no texts.
    pub reply: String,
    /// When the request came.
    pub now: Timestamp,
    /// Keys older than this count no more.
    pub since: Timestamp,
}

/// What became of [`Messages::accept`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// Stored and queued.
    Stored,
    /// The request was made before, with this reply. Nothing was stored.
    Repeated(String),
    /// The key was used before with another request. Nothing was stored.
    KeyReused,
    /// These of the messages repeat earlier ones. Nothing was stored.
    Duplicates(Vec<MessageId>),
    /// Stored and queued; of each quota that the messages drew on, in their order, what is left.
    StoredWithin(Vec<Left>),
    /// These of the messages want more than a quota has. Nothing was stored, and nothing drawn.
    Limited(Vec<Limited>),
    /// Receivers of these of the messages have opted out of them. Nothing was stored, and nothing drawn.
    OptedOut(Vec<OptedOut>),
    /// The code that a message carries again has ended. Nothing was stored.
    CodeEnded,
}

impl Accepted {
    /// Stored, with what is left of quotas if any were drawn on.
    pub(crate) fn stored(left: Vec<Left>) -> Self {
        if left.is_empty() { Self::Stored } else { Self::StoredWithin(left) }
    }
}

/// A message that wants more than a quota has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limited {
    /// The message.
    pub message_id: MessageId,
    /// Which of its draws.
    pub place: usize,
    /// When there may be enough, if nobody else draws.
    pub again_at: Timestamp,
}

/// Messages to stop.
#[derive(Debug, Clone)]
pub struct Cancel {
    /// Which.
    pub messages: Vec<MessageId>,
    /// Who stops them.
    pub by: Actor,
    /// The present.
    pub now: Timestamp,
}

/// Where a message stood, and where it stands after a change that may have moved it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// The message.
    pub message_id: MessageId,
    /// Where it stood.
    pub from: MessageStatus,
    /// Where it stands.
    pub to: MessageStatus,
}

impl Moved {
    /// Whether anything changed.
    pub fn has_moved(&self) -> bool {
        self.from != self.to
    }
}

/// A message to queue again.
#[derive(Debug, Clone)]
pub struct Resend {
    /// Which.
    pub message_id: MessageId,
    /// Where it must stand, or it is left alone.
    pub standing: &'static [MessageStatus],
    /// Which attempt must have been its last, or it is left alone; `None` for any.
    pub last_attempt: Option<u16>,
    /// Why it is sent again, shown while it waits.
    pub failure: Option<Failure>,
    /// By which provider.
    pub provider: ProviderName,
    /// In which lane.
    pub priority: Priority,
    /// When.
    pub due_at: Timestamp,
    /// Of no use after.
    pub expires_at: Option<Timestamp>,
    /// Providers that will not be asked again.
    pub refused_by: Vec<ProviderName>,
    /// What it uses up again. All of it is there, or the message is not moved.
    pub draws: Vec<Draw>,
    /// Who asks for it.
    pub by: Actor,
    /// The present.
    pub now: Timestamp,
}

/// What came between a message and another round: it could not be stopped while it was under way, or after it had ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// Its receiver does not want it any more.
    OptedOut,
    /// The code that it carries has ended.
    CodeEnded,
    /// What it asks has been decided.
    Decided,
}

/// What became of a [`Resend`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resent {
    /// Where it stood, and where it stands.
    pub moved: Moved,
    /// What it wanted more of than there is, if it was not moved because of that.
    pub limited: Option<Limited>,
    /// What else kept it where it stood, beside where that is.
    pub obstacle: Option<Obstacle>,
}

impl Resent {
    /// Whether it was queued again.
    pub fn has_moved(&self) -> bool {
        self.moved.has_moved()
    }
}

impl From<Moved> for Resent {
    fn from(moved: Moved) -> Self {
        Self { moved, limited: None, obstacle: None }
    }
}

/// Which messages to look through for a wait in vain.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// Those accepted before this time, from where the last sweep ended.
    pub accepted_before: Timestamp,
    /// Those that did not move since this time are ended; the others are put on watch until they are as old.
    pub unmoved_since: Timestamp,
    /// How many to look through at most.
    pub limit: u32,
    /// The providers that report delivery. What another one has stays `sent`: nobody will say more.
    pub reporting: Vec<ProviderName>,
    /// The present.
    pub now: Timestamp,
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many messages it looked through; fewer than the limit when it has come to the end.
    pub seen: u32,
    /// Messages for which no receipt came: `undelivered` now.
    pub without_receipt: u32,
    /// Messages that waited in the queue for too long: `expired` now.
    pub expired: u32,
}

/// A message as a list shows it.
#[derive(Debug, Clone)]
pub struct MessageSummary {
    /// What was accepted.
    pub message: Message,
    /// Where it stands.
    pub status: MessageStatus,
    /// The route in force: the provider that has it, or will be asked next.
    pub provider: ProviderName,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// When the status last moved.
    pub updated_at: Timestamp,
}

/// A message with all that happened to it.
#[derive(Debug, Clone)]
pub struct MessageRecord {
    /// The message and where it stands.
    pub summary: MessageSummary,
    /// Every try, in order.
    pub attempts: Vec<Attempt>,
    /// Everything the provider told us, in the order it came.
    pub receipts: Vec<ReceiptRecord>,
}

impl MessageRecord {
    /// What the provider that has the message said when it took it.
    pub fn acceptance(&self) -> Option<&Acceptance> {
        self.attempts.iter().rev().find_map(|attempt| match &attempt.ended {
            Some((_, SubmitOutcome::Accepted(acceptance))) => Some(acceptance),
            _ => None,
        })
    }

    /// What the provider charges, if it said so.
    pub fn cost(&self) -> Option<Money> {
        self.acceptance().and_then(|acceptance| acceptance.cost)
    }
}

/// A receipt as kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptRecord {
    /// When it came.
    pub received_at: Timestamp,
    /// Who sent it.
    pub provider: ProviderName,
    /// Their word.
    pub provider_status: String,
    /// What it means, if we know.
    pub status: Option<ReceiptStatus>,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// The mobile network that reported.
    pub network_code: Option<String>,
    /// The callback as it came.
    pub raw: Vec<u8>,
    /// The attempt that it tells of, if it says so.
    pub attempt: Option<u16>,
}

/// Which messages to list. Conditions left out are met by all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only this caller's; `None` for a caller who may read all.
    pub caller: Option<KeyId>,
    /// To this number.
    pub receiver: Option<Msisdn>,
    /// Standing here.
    pub status: Option<MessageStatus>,
    /// For this purpose.
    pub scenario: Option<Scenario>,
    /// On this route.
    pub provider: Option<ProviderName>,
    /// Accepted at or after this time.
    pub since: Option<Timestamp>,
    /// Accepted before this time.
    pub until: Option<Timestamp>,
}

/// A page of a list.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Begin after this message, going back in time; `None` for the newest.
    pub after: Option<MessageId>,
    /// How many at most.
    pub limit: u32,
}
