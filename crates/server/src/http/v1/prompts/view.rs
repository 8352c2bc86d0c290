//! Prompts as callers see them.

use domain::message::MessageStatus;
use domain::prompt::{Policy, Tally};
use domain::reply::Answer;
use domain::time::Timestamp;
use gateway::prompts::PromptAnswer;
use serde::Serialize;
use store::port::prompts::{PromptReceiver, PromptRecord, PromptReply, PromptSummary};
use utoipa::ToSchema;

use super::{AtLeast, PolicyBody, PolicyWord};
use crate::http::mask;
use crate::keys::Identity;

/// A prompt that was opened.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct OpenedPrompt {
    /// Its id.
    #[schema(example = "prm_019ab0c4e1f27d3c8a5b6f7081920a3b")]
    id: String,
    /// Always open.
    #[schema(example = "open")]
    status: &'static str,
    /// What is asked.
    #[schema(example = "approval")]
    kind: &'static str,
    /// What replies name it by.
    #[schema(example = "WR-12345")]
    reference: String,
    /// When it was opened.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When its time is over.
    #[schema(value_type = String, format = DateTime)]
    closes_at: Timestamp,
    /// Who is asked, by which message, in the order of the request.
    receivers: Vec<AskedReceiver>,
}

/// Somebody who is asked.
#[derive(Serialize, ToSchema)]
pub(super) struct AskedReceiver {
    /// The receiver as given; digits masked unless the key has the scope `sms:read`.
    receiver: String,
    /// The message's id.
    #[schema(example = "msg_019ab0c4e1f27d3c8a5b6f7081920a3b")]
    message_id: String,
}

impl OpenedPrompt {
    pub(super) fn new(
        answer: &PromptAnswer,
        reference: String,
        receivers: &[String],
        viewer: &Identity,
    ) -> Self {
        let asked = receivers.iter().zip(&answer.messages).map(|(given, message)| AskedReceiver {
            receiver: mask::as_given(given, viewer),
            message_id: message.to_string(),
        });
        Self {
            id: answer.id.to_string(),
            status: "open",
            kind: answer.kind.as_str(),
            reference,
            created_at: answer.created_at,
            closes_at: answer.closes_at,
            receivers: asked.collect(),
        }
    }
}

/// Where the answers stand. Each person counts once.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct ShownTally {
    /// How many are asked.
    asked: u32,
    /// How many must approve.
    needed: u32,
    /// How many approve.
    approved: u32,
    /// How many reject.
    rejected: u32,
    /// How many have not answered.
    silent: u32,
}

impl From<Tally> for ShownTally {
    fn from(tally: Tally) -> Self {
        let Tally { asked, needed, approved, rejected } = tally;
        Self { asked, needed, approved, rejected, silent: tally.silent() }
    }
}

/// A prompt in a list.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct ListedPrompt {
    /// Its id.
    #[schema(example = "prm_019ab0c4e1f27d3c8a5b6f7081920a3b")]
    id: String,
    /// open or closed.
    #[schema(example = "closed")]
    status: &'static str,
    /// How it ended: approved, rejected, expired or canceled. Not there while it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "approved")]
    outcome: Option<&'static str>,
    /// What is asked.
    #[schema(example = "approval")]
    kind: &'static str,
    /// What replies name it by.
    #[schema(example = "WR-12345")]
    reference: String,
    /// How many must approve.
    policy: PolicyBody,
    /// Whether one who rejects ends it.
    veto: bool,
    /// When it was opened.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When its time is over.
    #[schema(value_type = String, format = DateTime)]
    closes_at: Timestamp,
    /// When it was closed. Not there while it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    closed_at: Option<Timestamp>,
    /// Where the answers stand.
    tally: ShownTally,
}

impl From<&PromptSummary> for ListedPrompt {
    fn from(summary: &PromptSummary) -> Self {
        let PromptSummary { prompt, closed, tally } = summary;
        Self {
            id: prompt.id.to_string(),
            status: if closed.is_some() { "closed" } else { "open" },
            outcome: closed.as_ref().map(|(_, outcome, _)| outcome.as_str()),
            kind: prompt.kind.as_str(),
            reference: prompt.reference.to_string(),
            policy: match prompt.policy {
                Policy::Any => PolicyBody::Word(PolicyWord::Any),
                Policy::All => PolicyBody::Word(PolicyWord::All),
                Policy::AtLeast(n) => PolicyBody::AtLeast(AtLeast { n }),
            },
            veto: prompt.veto,
            created_at: prompt.created_at,
            closes_at: prompt.closes_at,
            closed_at: closed.as_ref().map(|(at, ..)| *at),
            tally: (*tally).into(),
        }
    }
}

/// A prompt with all replies.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct ShownPrompt {
    #[serde(flatten)]
    summary: ListedPrompt,
    /// When those who are silent are asked again.
    #[schema(value_type = Vec<String>)]
    reminders: Vec<Timestamp>,
    /// Who was asked, in the order of the request.
    receivers: Vec<ShownReceiver>,
    /// What came back, in the order in which it came.
    replies: Vec<ShownReply>,
}

/// Somebody who was asked.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownReceiver {
    /// The number; masked unless the key has the scope `sms:read`. Not there of somebody who was forgotten.
    #[serde(skip_serializing_if = "Option::is_none")]
    receiver: Option<String>,
    /// The answer that stands: approve or reject. Not there of somebody who is silent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "approve")]
    answer: Option<&'static str>,
    /// The messages that asked: the first, then reminders.
    messages: Vec<AskingMessage>,
    /// How many of their replies are left out: the first, the one that stands and the last twenty are shown. Not there if none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    replies_left_out: Option<u64>,
}

/// A message that asked.
#[derive(Serialize, ToSchema)]
pub(super) struct AskingMessage {
    /// Its id.
    #[schema(example = "msg_019ab0c4e1f27d3c8a5b6f7081920a3b")]
    id: String,
    /// Where it stands. Not there when it is no longer kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "delivered")]
    status: Option<&'static str>,
}

/// A reply.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownReply {
    /// The id of the message from the phone.
    #[schema(example = "inb_019ab0c4e1f27d3c8a5b6f7081920a3b")]
    message_id: String,
    /// Who wrote; masked unless the key has the scope `sms:read`. Not there of somebody who was forgotten.
    #[serde(skip_serializing_if = "Option::is_none")]
    receiver: Option<String>,
    /// When it came.
    #[schema(value_type = String, format = DateTime)]
    received_at: Timestamp,
    /// What became of it: counted, as its sender's answer unless a later one follows; late; or unclear.
    #[schema(example = "counted")]
    fate: &'static str,
    /// What it says: approve or reject. Not there if that is unclear.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "approve")]
    answer: Option<&'static str>,
    /// The words exactly as they came. Empty when they are no longer kept.
    #[schema(example = "Approve WR-12345, asante")]
    words: String,
}

impl ShownPrompt {
    pub(super) fn new(record: &PromptRecord, viewer: &Identity) -> Self {
        Self {
            summary: (&record.summary).into(),
            reminders: record.summary.prompt.reminders.clone(),
            receivers: record.receivers.iter().map(|one| ShownReceiver::new(one, viewer)).collect(),
            replies: record.replies.iter().map(|reply| ShownReply::new(reply, record, viewer)).collect(),
        }
    }
}

impl ShownReceiver {
    fn new(receiver: &PromptReceiver, viewer: &Identity) -> Self {
        let messages = receiver.messages.iter().map(|(id, status)| AskingMessage {
            id: id.to_string(),
            status: status.map(MessageStatus::as_str),
        });
        Self {
            receiver: receiver.receiver.map(|number| mask::number(number, viewer)),
            answer: receiver.answer.map(Answer::as_str),
            messages: messages.collect(),
            replies_left_out: Some(receiver.left_out).filter(|left_out| *left_out > 0),
        }
    }
}

impl ShownReply {
    fn new(reply: &PromptReply, record: &PromptRecord, viewer: &Identity) -> Self {
        let from = record.receivers.get(reply.place).and_then(|receiver| receiver.receiver);
        Self {
            message_id: reply.id.to_string(),
            receiver: from.map(|number| mask::number(number, viewer)),
            received_at: reply.received_at,
            fate: reply.fate.as_str(),
            answer: reply.answer.map(Answer::as_str),
            words: reply.words.expose().to_owned(),
        }
    }
}
