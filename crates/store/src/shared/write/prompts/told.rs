//! What others are told of a prompt: the answers with all that proves them, as far as there is room.

use domain::event::{EventData, EventKind, NewEvent};
use domain::message::MessageStatus;
use domain::phone::Msisdn;
use domain::prompt::{Fate, Policy};
use domain::time::Timestamp;
use serde_json::{Value, json};

use crate::port::prompts::{PromptReceiver, PromptRecord, PromptReply, PromptSummary};

/// What the replies in one event may take: with all else it stays below what a NATS server carries unless told otherwise, 1 MB.
const REPLIES_BYTES: usize = 512 * 1024;

/// What the words of one reply may take in an event, as JSON. A text of 1,600 letters has room.
const WORDS_BYTES: usize = 2_000;

/// That somebody replied.
pub(super) fn replied(summary: &PromptSummary, reply: &PromptReply, from: Msisdn, at: Timestamp) -> NewEvent {
    let mut data = common(summary);
    data["reply"] = evidence(Some(from), reply);
    event(summary, EventKind::PromptReplied, at, &data)
}

/// That it is closed, with the replies: first those that stand, then the last ones, as many as there is room for.
pub(super) fn closed(record: &PromptRecord, at: Timestamp) -> NewEvent {
    let mut data = common(&record.summary);
    if let Some((closed_at, outcome, _)) = &record.summary.closed {
        data["outcome"] = json!(outcome);
        data["closed_at"] = json!(closed_at);
    }
    data["receivers"] = record.receivers.iter().map(receiver).collect();
    let (replies, left_out) = replies(record);
    data["replies"] = replies.into();
    if left_out > 0 {
        data["replies_left_out"] = left_out.into();
    }
    event(&record.summary, EventKind::PromptClosed, at, &data)
}

/// Those for which there is room, in the order in which they came, and how many others there were.
fn replies(record: &PromptRecord) -> (Vec<Value>, u64) {
    let mut stands = vec![false; record.receivers.len()];
    // Whether each is its sender's answer: the last of them that counted.
    let mut standing: Vec<bool> = Vec::with_capacity(record.replies.len());
    for reply in record.replies.iter().rev() {
        let seen = stands.get_mut(reply.place).filter(|seen| reply.fate == Fate::Counted && !**seen);
        standing.push(seen.map(|seen| *seen = true).is_some());
    }
    let newest_first = record.replies.iter().enumerate().rev().zip(standing);
    let (first, rest): (Vec<_>, Vec<_>) = newest_first.partition(|(_, stands)| *stands);
    let (mut room, mut shown) = (REPLIES_BYTES, Vec::new());
    for ((at, reply), _) in first.into_iter().chain(rest) {
        let from = record.receivers.get(reply.place).and_then(|receiver| receiver.receiver);
        let evidence = evidence(from, reply);
        let Some(left) = room.checked_sub(evidence.to_string().len() + 1) else { break };
        room = left;
        shown.push((at, evidence));
    }
    shown.sort_unstable_by_key(|(at, _)| *at);
    let not_kept: u64 = record.receivers.iter().map(|receiver| receiver.left_out).sum();
    let left_out = not_kept + (record.replies.len() - shown.len()) as u64;
    (shown.into_iter().map(|(_, evidence)| evidence).collect(), left_out)
}

fn event(summary: &PromptSummary, kind: EventKind, at: Timestamp, data: &Value) -> NewEvent {
    let prompt = &summary.prompt;
    let data = EventData::from_json(data.to_string());
    NewEvent { kind, subject: *prompt.id.as_bytes(), caller: Some(prompt.caller), at, data }
}

fn common(summary: &PromptSummary) -> Value {
    let (prompt, tally) = (&summary.prompt, summary.tally);
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

fn evidence(from: Option<Msisdn>, reply: &PromptReply) -> Value {
    let words = reply.words.expose();
    let shown = beginning(words);
    let mut evidence = json!({
        "message_id": reply.id,
        "receiver": from.map(Msisdn::to_e164),
        "received_at": reply.received_at,
        "answer": reply.answer,
        "fate": reply.fate,
        "words": shown,
    });
    if shown.len() < words.len() {
        evidence["words_are_cut"] = true.into();
    }
    evidence
}

/// As much of the words as there is room for.
fn beginning(words: &str) -> &str {
    let mut room = WORDS_BYTES;
    for (at, character) in words.char_indices() {
        let takes = match character {
            '"' | '\\' | '\n' | '\r' | '\t' => 2,
            control if control < ' ' => 6,
            other => other.len_utf8(),
        };
        match room.checked_sub(takes) {
            Some(left) => room = left,
            None => return words.split_at_checked(at).map_or(words, |(beginning, _)| beginning),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use domain::ids::{InboundId, KeyId, MessageId, PromptId};
    use domain::phone::Country;
    use domain::prompt::{Kind, Tally};
    use domain::reply::Answer;
    use domain::secret::Body;

    use super::*;
    use crate::port::prompts::NewPrompt;

    /// A hundred people, of whom each wrote as much as there is room for, and more.
    fn record() -> PromptRecord {
        let at = Timestamp::from_micros(1_795_422_600_000_000);
        let prompt = NewPrompt {
            id: PromptId::new(at, [1; 10]),
            caller: KeyId::new(at, [1; 10]),
            kind: Kind::Approval,
            reference: "WR-1".parse().unwrap(),
            policy: Policy::All,
            veto: false,
            created_at: at,
            closes_at: at,
            reminders: Vec::new(),
        };
        let messages = (0..6).map(|n| (MessageId::new(at, [n; 10]), Some(MessageStatus::Undelivered)));
        let receiver = PromptReceiver {
            receiver: Msisdn::from_parts(254_712_345_678, Country::KE).ok(),
            messages: messages.collect(),
            answer: Some(Answer::Approve),
            left_out: 3,
        };
        let replies = (0..100 * 22_usize).map(|n| PromptReply {
            id: InboundId::new(at, [1; 10]),
            place: n % 100,
            received_at: at,
            // The first of each.
            fate: if n < 100 { Fate::Counted } else { Fate::Unclear },
            answer: None,
            words: Body::new("\u{1}é👍".repeat(10_000)),
        });
        let tally = Tally::of(Policy::All, 100, []);
        let summary = PromptSummary { prompt, closed: None, tally };
        PromptRecord { summary, receivers: vec![receiver; 100], replies: replies.collect() }
    }

    #[test]
    fn event_of_a_closed_prompt_fits_the_broker_and_has_every_answer_that_stands() {
        let (record, at) = (record(), Timestamp::from_micros(0));
        let told = closed(&record, at);
        let text = told.data.expose();
        assert!(text.len() < 800 * 1024, "{}", text.len());
        let data: Value = serde_json::from_str(text).unwrap();
        let replies = data["replies"].as_array().unwrap();
        let counted = replies.iter().filter(|reply| reply["fate"] == "counted").count();
        assert_eq!((counted, replies.len() > 100), (100, true));
        assert_eq!(data["replies_left_out"], 300 + 2_200 - replies.len());
    }

    #[test]
    fn words_are_cut_where_there_is_no_room_and_never_within_a_character() {
        assert_eq!(beginning("Approve WR-1, asante 👍"), "Approve WR-1, asante 👍");
        assert_eq!(beginning(&"é".repeat(1_600)), "é".repeat(1_000));
        assert_eq!(beginning(&"\u{1}".repeat(1_600)).len(), WORDS_BYTES / 6);
        assert_eq!(beginning(&"a".repeat(1_600)).len(), 1_600);
    }
}
