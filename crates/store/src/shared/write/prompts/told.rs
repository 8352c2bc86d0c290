//! What others are told of a prompt: the answers with all that proves them.

use domain::event::{EventData, EventKind, NewEvent};
use domain::ids::InboundId;
use domain::message::MessageStatus;
use domain::phone::Msisdn;
use domain::prompt::Policy;
use domain::time::Timestamp;
use serde_json::{Value, json};

use crate::port::prompts::{PromptReceiver, PromptRecord, PromptReply};

/// That somebody replied.
pub(super) fn replied(record: &PromptRecord, id: InboundId, at: Timestamp) -> Vec<NewEvent> {
    let Some(reply) = record.replies.iter().find(|reply| reply.id == id) else { return Vec::new() };
    let mut data = common(record);
    data["reply"] = evidence(record, reply);
    vec![event(record, EventKind::PromptReplied, at, &data)]
}

/// That it is closed, with all replies.
pub(super) fn closed(record: &PromptRecord, at: Timestamp) -> Vec<NewEvent> {
    let mut data = common(record);
    if let Some((closed_at, outcome, _)) = &record.summary.closed {
        data["outcome"] = json!(outcome);
        data["closed_at"] = json!(closed_at);
    }
    data["receivers"] = record.receivers.iter().map(receiver).collect();
    data["replies"] = record.replies.iter().map(|reply| evidence(record, reply)).collect();
    vec![event(record, EventKind::PromptClosed, at, &data)]
}

fn event(record: &PromptRecord, kind: EventKind, at: Timestamp, data: &Value) -> NewEvent {
    let prompt = &record.summary.prompt;
    let data = EventData::from_json(data.to_string());
    NewEvent { kind, subject: *prompt.id.as_bytes(), caller: Some(prompt.caller), at, data }
}

fn common(record: &PromptRecord) -> Value {
    let (prompt, tally) = (&record.summary.prompt, record.summary.tally);
    let policy = match prompt.policy {
        Policy::AtLeast(number) => json!({ "n": number }),
        word => json!(word.to_string()),
    };
    json!({
        "prompt_id": prompt.id,
        "kind": prompt.kind,
        "reference": prompt.reference.as_str(),
        "policy": policy,
        "veto": prompt.veto,
        "created_at": prompt.created_at,
        "closes_at": prompt.closes_at,
        "tally": {
            "asked": tally.asked,
            "needed": tally.needed,
            "approved": tally.approved,
            "rejected": tally.rejected,
            "silent": tally.silent(),
        },
    })
}

fn receiver(receiver: &PromptReceiver) -> Value {
    let messages = receiver.messages.iter();
    let messages =
        messages.map(|(id, status)| json!({ "id": id, "status": status.map(MessageStatus::as_str) }));
    json!({
        "receiver": receiver.receiver.map(Msisdn::to_e164),
        "answer": receiver.answer,
        "messages": messages.collect::<Vec<_>>(),
    })
}

fn evidence(record: &PromptRecord, reply: &PromptReply) -> Value {
    let from = record.receivers.get(reply.place).and_then(|receiver| receiver.receiver);
    json!({
        "message_id": reply.id,
        "receiver": from.map(Msisdn::to_e164),
        "received_at": reply.received_at,
        "answer": reply.answer,
        "fate": reply.fate,
        "words": reply.words.expose(),
    })
}
