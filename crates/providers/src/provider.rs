//! What a provider can do, whichever it is.

use std::fmt;
use std::net::IpAddr;

use async_trait::async_trait;
use domain::attempt::{Failure, ProviderMessageId, Submission, SubmitOutcome};
use domain::consent::Extent;
use domain::inbound::{Inbound, ListedOptOut};
use domain::money::Money;
use domain::phone::{Country, Msisdn, SenderId};
use domain::receipt::{Receipt, ReceiptStatus};
use domain::route::ProviderName;
use domain::secret::Body;
use domain::time::Timestamp;

use crate::pace::Pace;

/// A company with an API that we submit messages to, by one account.
#[async_trait]
pub trait SmsProvider: Send + Sync + fmt::Debug {
    /// The name in settings, routes, metrics and URLs.
    fn provider_name(&self) -> &ProviderName;

    /// What this provider offers beyond sending one message.
    fn capabilities(&self) -> Capabilities;

    /// How fast this account may be used.
    fn pace(&self) -> &Pace;

    /// Submits one message. Every end is an outcome: there is no error beside it.
    async fn send_sms(&self, submission: &Submission) -> SubmitOutcome;

    /// Submits messages that share one text and one sender, in one request where the provider can: one outcome
    /// for each, in the same order. There are at most [`Pace::max_receivers_per_request`].
    async fn send_bulk_sms(&self, submissions: &[Submission]) -> Vec<SubmitOutcome> {
        let mut outcomes = Vec::with_capacity(submissions.len());
        for submission in submissions {
            outcomes.push(self.send_sms(submission).await);
        }
        outcomes
    }

    /// Reads what the provider posts to us. Checks first that it is really the provider who speaks, and does
    /// nothing else: no clock, no store.
    fn parse_callback(&self, request: &CallbackRequest<'_>) -> Result<Vec<Receipt>, CallbackError> {
        let _ = request;
        Err(CallbackError::Unsupported)
    }

    /// Reads a message from a phone, in the same way.
    fn parse_incoming(&self, request: &CallbackRequest<'_>) -> Result<Inbound, CallbackError> {
        let _ = request;
        Err(CallbackError::Unsupported)
    }

    /// Reads the provider's word that somebody opted out, in the same way.
    fn parse_opt_out(&self, request: &CallbackRequest<'_>) -> Result<ListedOptOut, CallbackError> {
        let _ = request;
        Err(CallbackError::Unsupported)
    }

    /// Whether the answer to a message from a phone carries a reply to it. Else a reply is a message like any other.
    fn answers_carry_replies(&self) -> bool {
        false
    }

    /// What to answer to the callback that brings a message from a phone. `reply` is a text for that phone, where answers
    /// carry one.
    fn answer_incoming(&self, reply: Option<&Body>) -> CallbackAnswer {
        let _ = reply;
        CallbackAnswer { content_type: "text/plain; charset=utf-8", body: String::new() }
    }

    /// The sender of messages that name none; `None` where the provider picks it.
    fn default_sender(&self) -> Option<SenderId> {
        None
    }

    /// How far an opt-out goes that the provider tells of by refusing a message.
    fn refusal_extent(&self) -> Extent {
        Extent::All
    }

    /// Asks whether a message whose submission ended ambiguously arrived after all. `None` if it did not.
    async fn find_submission(&self, query: &SubmissionQuery) -> Result<Option<Found>, ProbeError> {
        let _ = query;
        Err(ProbeError::Unsupported)
    }

    /// The money left on the account.
    async fn balance(&self) -> Result<Money, ProbeError> {
        Err(ProbeError::Unsupported)
    }

    /// Whether the credentials work: the cheapest request that needs them. A line for the operator, without
    /// secrets.
    async fn check_credentials(&self) -> Result<String, ProbeError> {
        Err(ProbeError::Unsupported)
    }
}

/// What a provider offers beyond sending one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Its callbacks carry our message id, so that a receipt finds its message without the provider's id.
    pub callbacks_name_our_message: bool,
    /// It can be asked whether it has a message: [`SmsProvider::find_submission`].
    pub finds_submissions: bool,
    /// It posts delivery receipts, given the present settings.
    pub reports_delivery: bool,
}

/// Which of its URLs the provider called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallbackKind {
    /// What became of a message.
    Status,
    /// A message from a phone.
    Incoming,
    /// A receiver's word that no more messages are wanted.
    OptOut,
}

/// An HTTP request from a provider, as it came.
#[derive(Clone, Copy)]
pub struct CallbackRequest<'a> {
    /// Which URL was called.
    pub kind: CallbackKind,
    /// The URL as the provider wrote it: our public base URL, then path and query byte for byte.
    pub url: &'a str,
    /// The secret path segment, where the URL had one.
    pub token: Option<&'a str>,
    /// Who called, as far as known.
    pub caller: Option<IpAddr>,
    /// Its headers.
    pub headers: &'a http::HeaderMap,
    /// Its body.
    pub body: &'a [u8],
    /// When it came.
    pub received_at: Timestamp,
}

/// What a callback is answered.
#[derive(Clone, PartialEq, Eq)]
pub struct CallbackAnswer {
    /// The media type of the body.
    pub content_type: &'static str,
    /// The body. May hold the text of a reply.
    pub body: String,
}

impl fmt::Debug for CallbackAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallbackAnswer({} bytes of {})", self.body.len(), self.content_type)
    }
}

/// Why a callback was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError {
    /// Not signed by the provider, or without the secret: answered 403, changes nothing.
    #[error("callback is not from the provider: {0}")]
    Forged(&'static str),
    /// Not of a form that the provider documents.
    #[error("callback can't be read: {0}")]
    Malformed(&'static str),
    /// This provider has no such callback.
    #[error("this provider has no such callback")]
    Unsupported,
}

/// What is known of a submission whose end is not.
#[derive(Debug, Clone)]
pub struct SubmissionQuery {
    /// Where the message went.
    pub receiver: Msisdn,
    /// Its text.
    pub body: Body,
    /// When the attempt began.
    pub started_at: Timestamp,
    /// Ids that other messages already have, so that one message is not taken for another with the same text.
    pub known: Vec<ProviderMessageId>,
}

/// A message that the provider has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name for the message.
    pub provider_message_id: ProviderMessageId,
    /// Where it stands.
    pub status: Option<ReceiptStatus>,
    /// What it charged, if it says so.
    pub cost: Option<Money>,
}

/// Why a question to a provider has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// This provider can't be asked that.
    #[error("this provider can't be asked that")]
    Unsupported,
    /// It refused, for instance the credentials.
    #[error("the provider refused: {}{}", .0.reason, .0.provider_code.as_deref().map(|code| format!(" (code {code})")).unwrap_or_default())]
    Refused(Failure),
    /// It could not be asked now.
    #[error("the provider can't be reached: {}", .0.reason)]
    Unavailable(Failure),
}

/// The region in which numbers from a provider are read: none, for they are all in international form.
pub(crate) const INTERNATIONAL: Country = Country::ZZ;
