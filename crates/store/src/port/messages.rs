//! Accepting messages and showing them.

use async_trait::async_trait;
use domain::attempt::{Acceptance, Attempt, Failure, SubmitOutcome};
use domain::ids::{KeyId, MessageId};
use domain::message::{Message, MessageStatus};
use domain::money::Money;
use domain::phone::Msisdn;
use domain::receipt::ReceiptStatus;
use domain::route::ProviderName;
use domain::scenario::Scenario;
use domain::time::Timestamp;

use crate::StoreError;

/// Messages, from the accepting side.
#[async_trait]
pub trait Messages: Send + Sync {
    /// Stores messages and queues them, all or none, in one commit. Answers after the commit.
    async fn accept(&self, accept: Accept) -> Result<Accepted, StoreError>;

    /// What a request was answered when it was made before, without accepting it now: for one that could not be
    /// accepted any more. The idempotency's own reply is not read.
    async fn earlier(&self, request: Idempotency) -> Result<Option<Accepted>, StoreError>;

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
}

/// A message to accept.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// The message.
    pub message: Message,
    /// Its first route.
    pub provider: ProviderName,
}

impl NewMessage {
    /// When it may leave.
    pub fn due_at(&self) -> Timestamp {
        // A time in the past is now: it must not overtake what is waiting.
        self.message.scheduled_at.map_or(self.message.created_at, |at| at.max(self.message.created_at))
    }

    /// Where it stands at first.
    pub fn status(&self) -> MessageStatus {
        if self.due_at() > self.message.created_at { MessageStatus::Scheduled } else { MessageStatus::Queued }
    }
}

/// A request that its caller may repeat.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// SHA-256 over the caller and its key.
    pub key: [u8; 32],
    /// SHA-256 over the request.
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
