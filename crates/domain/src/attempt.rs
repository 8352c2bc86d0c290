//! One try to submit a message to a provider, and how it ended.

use std::time::Duration;

use crate::encoding::Encoding;
use crate::ids::MessageId;
use crate::money::Money;
use crate::phone::{Msisdn, SenderId};
use crate::route::ProviderName;
use crate::scenario::{Scenario, closed_set};
use crate::secret::Body;
use crate::time::Timestamp;

/// What a provider needs to carry one message: the message's part in an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Ours, so that a callback can name it.
    pub message_id: MessageId,
    /// Counts the tries at this message, from 1.
    pub attempt: u16,
    /// Where it goes.
    pub receiver: Msisdn,
    /// The sender ID asked for; the account's default if none.
    pub sender: Option<SenderId>,
    /// The text.
    pub body: Body,
    /// How the text travels, by our count.
    pub encoding: Encoding,
    /// What it is for.
    pub scenario: Scenario,
    /// Of no use to the receiver after this time.
    pub expires_at: Option<Timestamp>,
}

/// A provider's own name for a message it took: opaque, at most 128 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProviderMessageId(String);

impl ProviderMessageId {
    /// Takes a provider's id. `None` for a text that can't be one: empty, or longer than 128 bytes.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        Some(text.into()).filter(|text| (1..=128).contains(&text.len())).map(Self)
    }

    /// The id as the provider wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

closed_set! {
    /// Why something did not go as hoped: our closed set, whatever words a provider uses.
    Reason ("reason") {
        /// The number can't receive an SMS.
        InvalidRecipient => "invalid_recipient",
        /// The phone is off, or out of reach.
        Unreachable => "unreachable",
        /// The receiver does not want messages from this sender.
        OptedOut => "opted_out",
        /// The sender ID is not registered, or not allowed there.
        SenderNotAllowed => "sender_not_allowed",
        /// The provider does not serve the destination from this account.
        DestinationNotServed => "destination_not_served",
        /// The text was refused or filtered.
        Content => "content",
        /// The request was wrong: our fault, or a setting's.
        Config => "config",
        /// The provider refused the credentials.
        Credential => "credential",
        /// The account has no money left, or is suspended.
        Balance => "balance",
        /// Held by the provider's risk control until somebody there acts.
        RiskHold => "risk_hold",
        /// Too many requests.
        RateLimited => "rate_limited",
        /// The provider can't be reached, or says that it is out of order.
        ProviderDown => "provider_down",
        /// The mobile network's own gateway can't take it now.
        OperatorDown => "operator_down",
        /// No answer in time.
        Timeout => "timeout",
        /// The connection broke after the request had been written.
        ConnectionLost => "connection_lost",
        /// The answer was not of a form that the provider documents.
        BadAnswer => "bad_answer",
        /// The gateway stopped between writing the intent and recording the outcome.
        Crashed => "crashed",
        /// The message's own time ran out.
        Expired => "expired",
        /// Nobody could find out whether the provider has it, and it was not sent again.
        OutcomeUnknown => "outcome_unknown",
        /// No delivery receipt came.
        NoReceipt => "no_receipt",
        /// Its text was erased before it left.
        TextErased => "text_erased",
        /// The provider gave a code that is not in our tables.
        Unknown => "unknown",
    }
}

impl Reason {
    /// Whether another route may well do what this one did not: the fault is the provider's, the account's or the
    /// way's, not the receiver's or the text's.
    pub const fn another_route_may_help(self) -> bool {
        match self {
            Self::SenderNotAllowed
            | Self::DestinationNotServed
            | Self::Config
            | Self::Credential
            | Self::Balance
            | Self::RiskHold
            | Self::RateLimited
            | Self::ProviderDown
            | Self::OperatorDown
            | Self::NoReceipt => true,
            // A filter is one company's, but the text would be the same: sending it around is not ours to do.
            Self::Content
            | Self::InvalidRecipient
            | Self::OptedOut
            // A phone that is off is off on every route.
            | Self::Unreachable
            | Self::Expired
            | Self::TextErased
            | Self::Unknown
            // Nobody knows whether it left.
            | Self::Timeout
            | Self::ConnectionLost
            | Self::BadAnswer
            | Self::Crashed
            | Self::OutcomeUnknown => false,
        }
    }

    /// Whether it is the account or its provider that can't be used now, rather than this message: the provider
    /// may take it later.
    pub const fn is_of_account(self) -> bool {
        matches!(self, Self::ProviderDown | Self::RateLimited | Self::Balance | Self::Credential)
    }
}

/// What went wrong, in our word and the provider's code. Never holds a provider's sentence: those quote
/// phone numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Our word for it.
    pub reason: Reason,
    /// Theirs, verbatim: `21211`, `InvalidSenderId`, `503`.
    pub provider_code: Option<String>,
}

impl Failure {
    /// A failure without a code of the provider.
    pub const fn new(reason: Reason) -> Self {
        Self { reason, provider_code: None }
    }

    /// A failure with the provider's code, cut to 64 characters.
    #[expect(clippy::needless_pass_by_value, reason = "codes are numbers and short texts alike")]
    pub fn with_code(reason: Reason, code: impl ToString) -> Self {
        Self { reason, provider_code: Some(code.to_string().chars().take(64).collect()) }
    }
}

/// What a provider said when it took a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptance {
    /// Its name for the message.
    pub provider_message_id: ProviderMessageId,
    /// How many segments it counted, if it says so at once.
    pub segments: Option<u16>,
    /// What it charges, if it says so at once.
    pub cost: Option<Money>,
}

/// How an attempt ended. There are four ends, because a boolean can't say "maybe": a gateway that turns a
/// time-out into "retry" sends one person two texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubmitOutcome {
    /// The provider has it.
    Accepted(Acceptance),
    /// The provider refused it: it was certainly not sent, and the same request would be refused again.
    Rejected(Failure),
    /// It certainly did not leave, and may be tried again: connection refused, rate limit.
    NotSubmitted {
        /// What happened.
        failure: Failure,
        /// How long the provider asked us to wait.
        retry_after: Option<Duration>,
    },
    /// It may have left: time-out or broken connection after writing, or an answer that does not say.
    Ambiguous(Failure),
}

closed_set! {
    /// The four ends by name, for the store and for metrics.
    OutcomeKind ("outcome") {
        /// The provider has it.
        Accepted => "accepted",
        /// Refused for good.
        Rejected => "rejected",
        /// Certainly not submitted.
        NotSubmitted => "not_submitted",
        /// Perhaps submitted.
        Ambiguous => "ambiguous",
    }
}

impl SubmitOutcome {
    /// Which of the four ends it is.
    pub const fn kind(&self) -> OutcomeKind {
        match self {
            Self::Accepted(_) => OutcomeKind::Accepted,
            Self::Rejected(_) => OutcomeKind::Rejected,
            Self::NotSubmitted { .. } => OutcomeKind::NotSubmitted,
            Self::Ambiguous(_) => OutcomeKind::Ambiguous,
        }
    }

    /// What went wrong, unless it was accepted.
    pub const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Accepted(_) => None,
            Self::Rejected(failure) | Self::NotSubmitted { failure, .. } | Self::Ambiguous(failure) => {
                Some(failure)
            }
        }
    }

    /// Certainly not submitted, and worth another try without a word from the provider when.
    pub const fn not_submitted(failure: Failure) -> Self {
        Self::NotSubmitted { failure, retry_after: None }
    }
}

/// An attempt as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Counts the tries at this message, from 1.
    pub number: u16,
    /// The provider that was asked.
    pub provider: ProviderName,
    /// When the intent was made durable: just before the request.
    pub started_at: Timestamp,
    /// How it ended, and when; `None` while nobody knows.
    pub ended: Option<(Timestamp, SubmitOutcome)>,
}
