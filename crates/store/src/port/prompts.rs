//! Questions to many, and the replies to them.

use async_trait::async_trait;
use domain::audit::{Act, Actor};
use domain::ids::{InboundId, KeyId, MessageId, PromptId};
use domain::message::MessageStatus;
use domain::phone::Msisdn;
use domain::prompt::{Fate, Kind, Outcome, Policy, Tally};
use domain::reply::{Answer, Reference};
use domain::secret::Body;
use domain::time::Timestamp;

use super::messages::{Accept, Accepted, NewMessage};
use crate::StoreError;

/// Prompts.
#[async_trait]
pub trait Prompts: Send + Sync {
    /// Opens a prompt and accepts its messages, all or nothing, in one commit.
    async fn open_prompt(&self, open: OpenPrompt) -> Result<PromptOpened, StoreError>;

    /// Closes a prompt as canceled; `false` if it was closed before, `None` if there is none.
    async fn close_prompt(&self, id: PromptId, act: Act) -> Result<Option<bool>, StoreError>;

    /// Closes those whose time is over; answers how many.
    async fn expire_prompts(&self, now: Timestamp, limit: u32) -> Result<u64, StoreError>;

    /// Those who are to be reminded now: prompts that are due, each with whoever is silent.
    async fn due_reminders(&self, now: Timestamp, limit: u32) -> Result<Vec<DueReminder>, StoreError>;

    /// Accepts the reminders of one prompt, for those who are silent still, and sets its next time. Answers which were stored.
    async fn remind(&self, remind: Remind) -> Result<Vec<MessageId>, StoreError>;

    /// One prompt with all that happened to it.
    async fn prompt(&self, id: PromptId) -> Result<Option<PromptRecord>, StoreError>;

    /// Prompts, newest first, without their replies.
    async fn prompts(&self, filter: PromptFilter) -> Result<Vec<PromptSummary>, StoreError>;

    /// Forgets what is no longer kept, a part at a time. Answers whether it is done.
    async fn forget_prompts(&self, forget: ForgetPrompts) -> Result<bool, StoreError>;
}

/// A prompt as it begins.
#[derive(Debug, Clone)]
pub struct NewPrompt {
    /// Its id.
    pub id: PromptId,
    /// Whose it is.
    pub caller: KeyId,
    /// What is asked.
    pub kind: Kind,
    /// What replies name it by.
    pub reference: Reference,
    /// How many must approve.
    pub policy: Policy,
    /// Whether one who rejects ends it.
    pub veto: bool,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its time is over.
    pub closes_at: Timestamp,
    /// When those are reminded who are silent, in this order.
    pub reminders: Vec<Timestamp>,
}

/// A prompt to open.
#[derive(Debug, Clone)]
pub struct OpenPrompt {
    /// The prompt.
    pub prompt: NewPrompt,
    /// Its messages, one for each receiver.
    pub accept: Accept,
}

/// What became of [`Prompts::open_prompt`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PromptOpened {
    /// What became of the messages; the prompt is open if they were stored.
    Accepted(Accepted),
    /// These receivers, by their positions, have an open prompt of the same reference. Nothing was stored.
    ReferenceTaken(Vec<usize>),
}

/// What became of a message from a phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyFate {
    /// It is no reply: others may want it.
    NotOurs,
    /// It is kept with its prompt.
    Kept(KeptReply),
    /// It answers something, and nobody knows what: one of these.
    Which {
        /// What is open for its sender, the newest first.
        open: Vec<OpenQuestion>,
        /// Whether the sender is asked now, or was a moment ago.
        ask: bool,
    },
}

/// A prompt that is open for somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenQuestion {
    /// Whose it is.
    pub caller: KeyId,
    /// What it asks.
    pub kind: Kind,
    /// What it is named by.
    pub reference: Reference,
}

/// A reply that is kept with its prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptReply {
    /// Which.
    pub prompt: PromptId,
    /// Whose that is.
    pub caller: KeyId,
    /// What it asks.
    pub kind: Kind,
    /// What it is named by.
    pub reference: Reference,
    /// What became of the reply.
    pub fate: Fate,
    /// Yes or no, if it says so.
    pub answer: Option<Answer>,
    /// Whether its sender hears of it now: not of an answer that changes nothing, and not again and again.
    pub tell: bool,
}

/// A prompt and those to remind.
#[derive(Debug, Clone)]
pub struct DueReminder {
    /// The prompt.
    pub prompt: PromptId,
    /// The time that is due.
    pub remind_at: Timestamp,
    /// When the prompt's own time is over.
    pub closes_at: Timestamp,
    /// The first message to each of those who are silent and have it, or could not be reached by it.
    pub messages: Vec<domain::message::Message>,
}

/// Reminders of one prompt.
#[derive(Debug, Clone)]
pub struct Remind {
    /// Which.
    pub prompt: PromptId,
    /// The time that was due. If somebody else has reminded meanwhile, nothing is done.
    pub remind_at: Timestamp,
    /// What is to be sent instead of which first message.
    pub messages: Vec<(MessageId, NewMessage)>,
    /// The present.
    pub now: Timestamp,
}

/// When a prompt was closed, how, and by whom.
pub type Closing = (Timestamp, Outcome, Actor);

/// A prompt and where it stands.
#[derive(Debug, Clone)]
pub struct PromptSummary {
    /// As it began.
    pub prompt: NewPrompt,
    /// When it was closed, how, and by whom.
    pub closed: Option<Closing>,
    /// Where the answers stand.
    pub tally: Tally,
}

/// A prompt with all that happened to it.
#[derive(Debug, Clone)]
pub struct PromptRecord {
    /// The prompt and where it stands.
    pub summary: PromptSummary,
    /// Whom it was put to, in the order of the request.
    pub receivers: Vec<PromptReceiver>,
    /// What came back, in the order in which it came.
    pub replies: Vec<PromptReply>,
}

/// Somebody who was asked.
#[derive(Debug, Clone)]
pub struct PromptReceiver {
    /// The number; `None` of somebody who was forgotten.
    pub receiver: Option<Msisdn>,
    /// The messages that asked: the first, then reminders. With where they stand, as long as they are kept.
    pub messages: Vec<(MessageId, Option<MessageStatus>)>,
    /// The answer that stands.
    pub answer: Option<Answer>,
    /// How many of their replies are not among those that are kept: see [`LAST_REPLIES`].
    pub left_out: u64,
}

/// So many of a person's last replies to a prompt are kept, beside the first one and the one that stands: whoever writes again
/// and again fills nothing.
pub const LAST_REPLIES: usize = 20;

/// A reply.
#[derive(Debug, Clone)]
pub struct PromptReply {
    /// The message from the phone.
    pub id: InboundId,
    /// Whose it is, by the position among the receivers.
    pub place: usize,
    /// When it reached us.
    pub received_at: Timestamp,
    /// What became of it.
    pub fate: Fate,
    /// Yes or no, if it says so.
    pub answer: Option<Answer>,
    /// The words as they came; erased when their time is over.
    pub words: Body,
}

/// Which prompts. A condition left empty is met by all.
#[derive(Debug, Clone, Default)]
pub struct PromptFilter {
    /// Only this caller's.
    pub caller: Option<KeyId>,
    /// Only those that are open, or only those that are not.
    pub is_open: Option<bool>,
    /// Those before this one.
    pub after: Option<PromptId>,
    /// How many at most.
    pub limit: u32,
}

/// What is kept.
#[derive(Debug, Clone, Copy)]
pub struct ForgetPrompts {
    /// Closed prompts that were opened before this time are forgotten; `None` for none.
    pub prompts_before: Option<Timestamp>,
    /// Words that came before this time are erased, if their prompt is closed; `None` for none.
    pub words_before: Option<Timestamp>,
    /// How much at once.
    pub limit: u32,
}
