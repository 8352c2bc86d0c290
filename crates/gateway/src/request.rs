//! What callers ask, and what they are answered.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::limits::LimitRule;
use domain::consent::{Extent, Source};
use domain::content::RuleName;
use domain::encoding::Encoding;
use domain::ids::{BulkId, DecisionId, KeyId, MessageId};
use domain::message::MessageStatus;
use domain::phone::{Msisdn, PhoneError, SenderError};
use domain::scenario::{Priority, Scenario};
use domain::template::{LocaleError, VariableError, VariableProblem, Variables};
use domain::time::Timestamp;
use domain::verification::CodeLengthError;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use store::StoreError;
use store::port::consent::HeldBack;

use crate::allowed::{Allowed, NotAllowed};

/// Who asks: an authenticated business service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Its API key, or what stands for one.
    pub key: KeyId,
    /// What it is held to.
    pub allowed: Arc<Allowed>,
}

impl Caller {
    /// A caller that is held to nothing.
    pub fn of(key: KeyId) -> Self {
        Self { key, allowed: Arc::default() }
    }
}

/// What one message shares with the others of a bulk request.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// The text; none where it is made of a template.
    pub message: String,
    /// The template that the text is made of, by name.
    pub template: Option<String>,
    /// What stands in the place of the template's variables.
    pub variables: Variables,
    /// The language wanted of the template.
    pub locale: Option<String>,
    /// What it is for, by name; what the template says, or `general`, where none is given.
    pub scenario: Option<String>,
    /// The sender ID asked for.
    pub sender: Option<String>,
    /// The caller's own name for it.
    pub reference: Option<String>,
    /// The savings group or campaign that it belongs to.
    pub group: Option<String>,
    /// Not to be submitted before.
    pub scheduled_at: Option<Timestamp>,
    /// Not to be submitted after.
    pub expires_at: Option<Timestamp>,
    /// The address of the end user who asked for it.
    pub client_ip: Option<IpAddr>,
    /// The caller's own data.
    pub metadata: BTreeMap<String, String>,
}

/// One message to one receiver, as asked for.
#[derive(Clone, PartialEq, Eq)]
pub struct SendRequest {
    /// The receiver in any form that people write phone numbers.
    pub receiver: String,
    /// The rest.
    pub content: Content,
    /// What makes the request repeatable.
    pub idempotency_key: Option<String>,
}

/// One text, or one template, to many receivers, as asked for.
#[derive(Clone, PartialEq, Eq)]
pub struct BulkRequest {
    /// The receivers in any form that people write phone numbers.
    pub receivers: Vec<String>,
    /// What each receiver has of its own, in their order; none where nobody has anything.
    pub own: Vec<Own>,
    /// The rest.
    pub content: Content,
    /// What makes the request repeatable.
    pub idempotency_key: Option<String>,
}

/// What a receiver has of its own, for a text that is made of a template.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Own {
    /// Values that go before those that all have in common.
    pub variables: Variables,
    /// Its language, if it is not that of all.
    pub locale: Option<String>,
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let characters = self.message.chars().count();
        write!(f, "Content({:?}, {characters} characters)", self.scenario)
    }
}

impl fmt::Debug for SendRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SendRequest({:?})", self.content)
    }
}

impl fmt::Debug for BulkRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BulkRequest({} receivers, {:?})", self.receivers.len(), self.content)
    }
}

/// An accepted message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendAnswer {
    /// Its id.
    pub id: MessageId,
    /// Where it stands.
    pub status: MessageStatus,
    /// Where it goes.
    pub receiver: Msisdn,
    /// What it is for.
    pub scenario: Scenario,
    /// Its lane.
    pub priority: Priority,
    /// How the text travels.
    pub encoding: Encoding,
    /// How many SMS it takes.
    pub segments: u16,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// The scarcest of the limits that it counts for; `None` without limits, and for a repeated request.
    pub remaining: Option<Remaining>,
}

/// What became of a bulk request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkAnswer {
    /// Names the request.
    pub bulk_id: BulkId,
    /// One verdict for each receiver, in the order asked.
    pub verdicts: Vec<Verdict>,
}

/// What became of one receiver of a bulk request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Stored and queued.
    Accepted(SendAnswer),
    /// Stored and queued when the same request was made before. By the settings of now it would be refused, so that no more is
    /// known of it.
    AcceptedBefore {
        /// The message's id.
        id: MessageId,
        /// Where it stood then.
        status: MessageStatus,
    },
    /// Refused.
    Rejected {
        /// A stable word for the reason.
        code: String,
        /// The reason in a sentence. Holds no number.
        detail: String,
    },
}

/// Why a request was refused as a whole. Nothing was stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Fields are wrong: each is named.
    #[error("the request has wrong fields")]
    Invalid(Vec<FieldError>),
    /// The idempotency key was used before, with another request.
    #[error("the idempotency key was used with another request")]
    KeyReused,
    /// Its caller sent the same text to the same number a moment ago.
    #[error("the same text was sent to the same number a moment ago")]
    Repeated,
    /// A limit is reached.
    #[error("{0}")]
    Limited(Reached),
    /// No receiver is left of many, and limits of receivers are why: others may be sent to.
    #[error("{longest}")]
    LimitedReceivers {
        /// The limit of which room is waited for longest.
        longest: Reached,
        /// Why each of them is refused.
        refusals: Vec<FieldError>,
    },
    /// No provider is configured that could carry the message.
    #[error("no provider is configured for this receiver")]
    NoProvider,
    /// The guard against SMS pumping found it suspicious.
    #[error("too many codes go to numbers like this one, or nobody verifies them: decision {decision}")]
    GuardRefused {
        /// The decision, which says why.
        decision: DecisionId,
    },
    /// The receiver has opted out of such messages.
    #[error("the receiver {0}")]
    OptedOut(OptedOut),
    /// The store can't take it now.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An opt-out that holds a message back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptedOut(pub HeldBack);

impl fmt::Display for OptedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HeldBack { sender, extent, source, since } = &self.0;
        let what = match extent {
            Extent::Promotional => "promotions",
            Extent::All => "all messages but codes",
        };
        write!(f, "has opted out of {what}")?;
        match sender {
            Some(sender) => write!(f, " from {sender}")?,
            None => write!(f, " from all senders")?,
        }
        let how = match source {
            Source::Keyword => "by a message",
            Source::Provider => "as the provider says",
            Source::Api => "as a caller said",
            Source::Import => "by an imported list",
        };
        write!(f, ", {how}, since {since}")
    }
}

/// A limit that a message would have gone beyond.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the limit {} is reached: {}; again in {} seconds", .limit.name, .limit.allows, .again_in.as_secs_f64().ceil())]
pub struct Reached {
    /// The limit.
    pub limit: Arc<LimitRule>,
    /// When there may be room, if nobody else uses it.
    pub again_in: Duration,
}

/// What is left of a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remaining {
    /// The limit.
    pub limit: Arc<LimitRule>,
    /// How many more messages it lets pass now.
    pub remaining: u64,
    /// When all of it is there again.
    pub whole_in: Duration,
}

/// A field with a mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Where: a JSON pointer (RFC 6901) into the request's body.
    pub pointer: String,
    /// What.
    pub problem: FieldProblem,
}

/// What is wrong with a field. None holds the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldProblem {
    /// Left empty.
    #[error("is required")]
    Missing,
    /// No phone number.
    #[error("{0}")]
    Receiver(PhoneError),
    /// A number of a country that messages may not go to.
    #[error("is of a country that messages may not go to")]
    CountryNotAllowed,
    /// The guard against SMS pumping found it suspicious.
    #[error("was refused by the guard: decision {decision}")]
    GuardRefused {
        /// The decision, which says why.
        decision: DecisionId,
    },
    /// The same number as an earlier receiver of the request.
    #[error("is the same number as an earlier receiver")]
    DuplicateReceiver,
    /// No receivers, or more than allowed.
    #[error("must have 1 to {max} receivers, has {found}")]
    ReceiverCount {
        /// How many there are.
        found: usize,
        /// How many there may be.
        max: usize,
    },
    /// Nothing to read in it.
    #[error("is empty")]
    EmptyMessage,
    /// Has a character that no text may have.
    #[error("has the character U+0000, which no text may have")]
    NulCharacter,
    /// Neither a text nor a template, or both.
    #[error("must be there, or else message, and not both")]
    MessageOrTemplate,
    /// No template of that name.
    #[error("is no template, or none of it is published")]
    UnknownTemplate,
    /// Something for a template where there is none.
    #[error("is for a template, and none is asked for")]
    WithoutTemplate,
    /// No language tag.
    #[error("{0}")]
    Locale(LocaleError),
    /// A variable is wrong.
    #[error("{problem}")]
    Variable {
        /// Which one, where its name is one.
        variable: Option<String>,
        /// What is wrong with it.
        problem: VariableProblem,
    },
    /// Longer than the scenario allows.
    #[error("has {found} characters, {max} are allowed")]
    MessageTooLong {
        /// How many there are.
        found: usize,
        /// How many there may be.
        max: usize,
    },
    /// Takes too many segments.
    #[error("takes {found} segments, {max} are allowed")]
    TooManySegments {
        /// How many it takes.
        found: usize,
        /// How many it may take.
        max: usize,
    },
    /// Has something that no text may hold.
    #[error("has what no message may: {rule}")]
    SensitiveContent {
        /// The rule, by its name.
        rule: RuleName,
    },
    /// No scenario of that name.
    #[error("{0}")]
    UnknownScenario(domain::scenario::UnknownWord),
    /// No sender ID.
    #[error("{0}")]
    Sender(SenderError),
    /// Longer than is kept.
    #[error("is longer than {max} characters")]
    TooLong {
        /// How many there may be.
        max: usize,
    },
    /// Too many entries, or entries that are too long.
    #[error("may have {max} entries, names of 64 characters and values of 256")]
    Metadata {
        /// How many entries there may be.
        max: usize,
    },
    /// Too far ahead.
    #[error("is more than {days} days ahead")]
    TooFarAhead {
        /// How far it may be.
        days: u64,
    },
    /// Over before it begins.
    #[error("is not after the time at which the message may leave")]
    ExpiresTooSoon,
    /// The same text went to this receiver a moment ago.
    #[error("was sent the same text a moment ago")]
    RepeatedMessage,
    /// A limit is reached.
    #[error("{0}")]
    Limited(Reached),
    /// The receiver has opted out of such messages.
    #[error("{0}")]
    OptedOut(OptedOut),
    /// No provider for this receiver.
    #[error("no provider is configured for this receiver")]
    NoProvider,
    /// No kind of prompt.
    #[error("{0}")]
    UnknownKind(domain::scenario::UnknownWord),
    /// No reference.
    #[error("{0}")]
    Reference(domain::reply::ReferenceError),
    /// An approval whose name could be any word.
    #[error("must have a digit: no word of a reply may be taken for what is approved")]
    ReferenceWithoutDigit,
    /// A template that hides what is approved.
    #[error("makes a text that does not show the reference")]
    ReferenceNotShown,
    /// One of the receivers has an open prompt of this name.
    #[error("is the name of a prompt that is open for one of the receivers")]
    ReferenceTaken,
    /// None must approve, or more than are asked.
    #[error("must be from 1 to the {asked} who are asked")]
    PolicyBeyondReceivers {
        /// How many are asked.
        asked: u32,
    },
    /// Over before it begins, or too late.
    #[error("must be later than now, and within {days} days")]
    ClosesAt {
        /// How far ahead it may be.
        days: u64,
    },
    /// Too many reminders.
    #[error("may have {max} times")]
    TooManyReminders {
        /// How many there may be.
        max: usize,
    },
    /// A reminder before or after the prompt.
    #[error("must be later than now, and before closes_at")]
    ReminderOutside,
    /// A code has another number of digits.
    #[error(transparent)]
    CodeLength(CodeLengthError),
    /// A code is good for another time.
    #[error("must be from {least} to {most} seconds")]
    Ttl {
        /// The shortest.
        least: u64,
        /// The longest.
        most: u64,
    },
    /// No name of a site.
    #[error("is no name of a site, such as example.com")]
    WebOtpDomain,
    /// Its caller is held to others.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
}

impl From<VariableError> for FieldError {
    fn from(error: VariableError) -> Self {
        Self { pointer: error.pointer(), problem: error.into() }
    }
}

impl From<VariableError> for FieldProblem {
    fn from(error: VariableError) -> Self {
        Self::Variable { variable: error.variable, problem: error.problem }
    }
}

impl FieldProblem {
    /// The problem as a receiver's verdict says it, which has no pointer.
    pub fn in_words(&self) -> String {
        match self {
            Self::Variable { variable: Some(name), problem } => format!("the variable {name} {problem}"),
            Self::Variable { variable: None, problem } => format!("a variable {problem}"),
            other => other.to_string(),
        }
    }

    /// A stable word for callers to decide on. Each one is described in docs/api.md.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing => "required",
            Self::Receiver(_) => "invalid_receiver",
            Self::CountryNotAllowed => "country_not_allowed",
            Self::GuardRefused { .. } => "guard_refused",
            Self::DuplicateReceiver => "duplicate_receiver",
            Self::ReceiverCount { .. } => "receiver_count",
            Self::EmptyMessage => "message_empty",
            Self::NulCharacter => "nul_character",
            Self::MessageOrTemplate => "message_or_template",
            Self::UnknownTemplate => "unknown_template",
            Self::WithoutTemplate => "without_template",
            Self::Locale(_) => "invalid_locale",
            Self::Variable { problem, .. } => problem.code(),
            Self::MessageTooLong { .. } => "message_too_long",
            Self::TooManySegments { .. } => "too_many_segments",
            Self::SensitiveContent { .. } => "sensitive_content",
            Self::UnknownScenario(_) => "unknown_scenario",
            Self::Sender(_) => "invalid_sender",
            Self::TooLong { .. } => "too_long",
            Self::Metadata { .. } => "invalid_metadata",
            Self::TooFarAhead { .. } => "too_far_ahead",
            Self::ExpiresTooSoon => "expires_too_soon",
            Self::RepeatedMessage => "repeated_message",
            Self::Limited(_) => "rate_limited",
            Self::OptedOut(_) => "opted_out",
            Self::NoProvider => "no_provider",
            Self::UnknownKind(_) => "unknown_kind",
            Self::Reference(_) | Self::ReferenceWithoutDigit | Self::ReferenceNotShown => "invalid_reference",
            Self::ReferenceTaken => "reference_taken",
            Self::PolicyBeyondReceivers { .. } => "invalid_policy",
            Self::ClosesAt { .. } => "invalid_closes_at",
            Self::TooManyReminders { .. } | Self::ReminderOutside => "invalid_reminders",
            Self::CodeLength(_) => "invalid_length",
            Self::Ttl { .. } => "invalid_ttl",
            Self::WebOtpDomain => "invalid_domain",
            Self::NotAllowed(what) => what.code(),
        }
    }
}

/// The answer to a request as it is kept with its idempotency key: ids and verdicts, no numbers, no text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Reply {
    pub(crate) bulk_id: Option<BulkId>,
    pub(crate) created_at: Timestamp,
    pub(crate) scenario: Scenario,
    pub(crate) priority: Priority,
    pub(crate) encoding: Encoding,
    pub(crate) segments: u16,
    pub(crate) status: MessageStatus,
    pub(crate) verdicts: Vec<ReplyVerdict>,
}

/// One receiver's part of a [`Reply`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReplyVerdict {
    Accepted(MessageId),
    Rejected { code: String, detail: String },
}
