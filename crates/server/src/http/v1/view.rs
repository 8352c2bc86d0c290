//! Messages as JSON.

use std::collections::BTreeMap;

use domain::attempt::{Attempt, SubmitOutcome};
use domain::civil::QuietHours;
use domain::money::Money;
use domain::template::Used;
use gateway::SendAnswer;
use serde::Serialize;
use store::port::messages::{MessageRecord, MessageSummary};
use utoipa::ToSchema;

use super::timeline::{self, TimelineEntry};
use crate::http::mask;
use crate::keys::Identity;

/// An accepted message.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AcceptedMessage {
    /// Its id.
    #[schema(example = "msg_019ab0c4e1f27d3c8a5b6f7081920a3b")]
    id: String,
    /// Where it stands: scheduled, queued, sending, sent, delivered, undelivered, failed, canceled or expired.
    #[schema(example = "queued")]
    status: &'static str,
    /// Where it goes, in E.164 form; masked unless the key has the scope `sms:read`.
    #[schema(example = "+254712345678")]
    receiver: String,
    /// What it is for.
    #[schema(example = "general")]
    scenario: &'static str,
    /// Its lane: critical, high, normal or bulk.
    #[schema(example = "normal")]
    priority: &'static str,
    /// `gsm7` or `ucs2`.
    #[schema(example = "gsm7")]
    encoding: &'static str,
    /// How many SMS the text takes.
    #[schema(example = 1)]
    segments: u16,
    /// When it was accepted.
    created_at: String,
    /// Why it failed, if it did: a stable word.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

impl AcceptedMessage {
    pub(super) fn new(answer: &SendAnswer, viewer: &Identity) -> Self {
        Self {
            id: answer.id.to_string(),
            status: answer.status.as_str(),
            receiver: mask::number(answer.receiver, viewer),
            scenario: answer.scenario.as_str(),
            priority: answer.priority.as_str(),
            encoding: answer.encoding.as_str(),
            segments: answer.segments,
            created_at: answer.created_at.to_string(),
            reason: None,
        }
    }

    /// The same message as it stands later.
    pub(super) fn at(mut self, record: &MessageRecord) -> Self {
        self.status = record.summary.status.as_str();
        self.reason = record.summary.failure.as_ref().map(|failure| failure.reason.as_str());
        self
    }
}

/// The template that a text was made of.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UsedTemplate {
    /// Its name.
    #[schema(example = "otp")]
    name: String,
    /// Its version; 0 is the built-in one.
    #[schema(example = 3)]
    version: u32,
    /// The language.
    #[schema(example = "sw")]
    locale: String,
    /// Which of the texts of that language, counted from 0.
    #[schema(example = 0)]
    variant: usize,
}

impl From<Used> for UsedTemplate {
    fn from(used: Used) -> Self {
        let Used { name, version, locale, variant } = used;
        Self { name, version, locale: locale.to_string(), variant }
    }
}

/// A message as a list shows it. Its text is not shown.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ListedMessage {
    /// Its id.
    id: String,
    /// The bulk request that it came in with.
    #[serde(skip_serializing_if = "Option::is_none")]
    bulk_id: Option<String>,
    /// Where it stands.
    status: &'static str,
    /// Where it goes; masked unless the key has the scope `sms:read`.
    receiver: String,
    /// ISO 3166-1 code of the receiver's country.
    country: String,
    /// What it is for.
    scenario: &'static str,
    /// Its lane.
    priority: &'static str,
    /// The sender ID asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<String>,
    /// `gsm7` or `ucs2`.
    encoding: &'static str,
    /// How many SMS the text takes, by our count.
    segments: u16,
    /// The caller's own name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    /// The savings group or campaign that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    /// The caller's own data.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
    /// The provider that has it, or will be asked next.
    provider: String,
    /// Why it failed, if it did: a stable word.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// The provider's code for the failure, verbatim.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_code: Option<String>,
    /// Not to be submitted before.
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_at: Option<String>,
    /// Not to be submitted after.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    /// What the text was made of, if it was made of a template.
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<UsedTemplate>,
    /// When it was accepted.
    created_at: String,
    /// When the status last moved.
    updated_at: String,
}

impl ListedMessage {
    pub(super) fn new(summary: MessageSummary, viewer: &Identity) -> Self {
        let MessageSummary { message, status, provider, failure, updated_at } = summary;
        Self {
            id: message.id.to_string(),
            bulk_id: message.bulk_id.map(|id| id.to_string()),
            status: status.as_str(),
            receiver: mask::number(message.receiver, viewer),
            country: message.receiver.country().to_string(),
            scenario: message.scenario.as_str(),
            priority: message.priority.as_str(),
            sender: message.sender.map(|sender| sender.to_string()),
            encoding: message.encoding.as_str(),
            segments: message.segments,
            reference: message.reference,
            group: message.group,
            metadata: message.metadata,
            provider: provider.to_string(),
            reason: failure.as_ref().map(|failure| failure.reason.as_str()),
            provider_code: failure.and_then(|failure| failure.provider_code),
            scheduled_at: message.scheduled_at.map(|at| at.to_string()),
            expires_at: message.expires_at.map(|at| at.to_string()),
            template: message.template.map(UsedTemplate::from),
            created_at: message.created_at.to_string(),
            updated_at: updated_at.to_string(),
        }
    }
}

/// A message with all that happened to it. Its text is not shown.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ShownMessage {
    #[serde(flatten)]
    message: ListedMessage,
    /// The provider's own id for it, once it has it.
    provider_message_id: Option<String>,
    /// What the provider charges, if it says so.
    cost: Option<Cost>,
    /// Every try, in order.
    attempts: Vec<ShownAttempt>,
    /// All that happened, in order of time.
    timeline: Vec<TimelineEntry>,
}

/// An amount of money.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Cost {
    /// The amount as a decimal number in a text.
    #[schema(example = "0.80")]
    amount: String,
    /// ISO 4217 code.
    #[schema(example = "KES")]
    currency: String,
}

impl From<Money> for Cost {
    fn from(money: Money) -> Self {
        Self { amount: money.amount(), currency: money.currency().into() }
    }
}

/// One try to submit the message.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ShownAttempt {
    /// Counted from 1.
    number: u16,
    /// The provider that was asked.
    provider: String,
    /// When it began.
    started_at: String,
    /// When it ended; not there while nobody knows how.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<String>,
    /// accepted, rejected, `not_submitted` or ambiguous.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    /// What went wrong: a stable word.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// The provider's code for it, verbatim.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_code: Option<String>,
}

impl From<&Attempt> for ShownAttempt {
    fn from(attempt: &Attempt) -> Self {
        let outcome = attempt.ended.as_ref().map(|(_, outcome)| outcome);
        let failure = outcome.and_then(SubmitOutcome::failure);
        Self {
            number: attempt.number,
            provider: attempt.provider.to_string(),
            started_at: attempt.started_at.to_string(),
            ended_at: attempt.ended.as_ref().map(|(at, _)| at.to_string()),
            outcome: outcome.map(|outcome| outcome.kind().as_str()),
            reason: failure.map(|failure| failure.reason.as_str()),
            provider_code: failure.and_then(|failure| failure.provider_code.clone()),
        }
    }
}

impl ShownMessage {
    pub(super) fn new(record: MessageRecord, quiet: &QuietHours, viewer: &Identity) -> Self {
        let timeline = timeline::of(&record, quiet, viewer);
        let provider_message_id = record.acceptance().map(|taken| taken.provider_message_id.as_str().into());
        let cost = record.cost().map(Cost::from);
        let MessageRecord { summary, attempts, .. } = record;
        Self {
            provider_message_id,
            cost,
            timeline,
            attempts: attempts.iter().map(ShownAttempt::from).collect(),
            message: ListedMessage::new(summary, viewer),
        }
    }
}
