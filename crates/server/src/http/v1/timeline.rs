//! All that happened to a message, in order, in sentences that can be read aloud.

use domain::attempt::{Attempt, SubmitOutcome};
use domain::civil::QuietHours;
use domain::message::MessageStatus;
use domain::receipt::ReceiptStatus;
use domain::time::Timestamp;
use serde::Serialize;
use store::port::messages::{MessageRecord, ReceiptRecord};
use utoipa::ToSchema;

use super::raw::RawCallback;
use super::words;
use crate::keys::Identity;

/// Something that happened.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TimelineEntry {
    /// When.
    at: String,
    /// accepted, scheduled, held, `attempt_started`, `attempt_ended`, rerouted, resent, requeued, receipt, canceled,
    /// expired, failed or undelivered.
    #[schema(example = "held")]
    event: &'static str,
    /// In a sentence. For people: its wording may change.
    #[schema(example = "held back until 2026-11-24T04:00:00.000Z: quiet hours")]
    detail: String,
    /// Of a receipt: the callback as it came, without the text of a message, its receiver masked unless the key has
    /// the scope `sms:read`. A form is a list of its fields, in order; JSON is JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<RawCallback>,
}

/// An entry with its place. Events may share a moment, so each has a rank by what causes what: all that belongs to an
/// attempt stands between its number and the next.
struct Placed {
    at: Timestamp,
    rank: u32,
    entry: TimelineEntry,
}

/// Ranks between two attempts.
const STEPS: u32 = 10;
const STARTED: u32 = 1;
const ENDED: u32 = 2;
const REPORTED: u32 = 3;
const LEFT: u32 = 4;
const CONCLUDED: u32 = 5;

/// The story of a message.
pub(super) fn of(record: &MessageRecord, quiet: &QuietHours, viewer: &Identity) -> Vec<TimelineEntry> {
    let mut story = Story { record, entries: Vec::new() };
    story.beginning(quiet);
    for (index, attempt) in record.attempts.iter().enumerate() {
        story.attempt(attempt);
        if let Some(next) = record.attempts.get(index + 1) {
            story.between(attempt, next);
        }
    }
    for receipt in &record.receipts {
        story.receipt(receipt, viewer);
    }
    story.ending();
    story.entries.sort_by_key(|placed| (placed.at, placed.rank));
    story.entries.into_iter().map(|placed| placed.entry).collect()
}

struct Story<'a> {
    record: &'a MessageRecord,
    entries: Vec<Placed>,
}

impl Story<'_> {
    fn tell(&mut self, at: Timestamp, rank: u32, event: &'static str, detail: String) {
        let entry = TimelineEntry { at: at.to_string(), event, detail, raw: None };
        self.entries.push(Placed { at, rank, entry });
    }

    fn beginning(&mut self, quiet: &QuietHours) {
        let summary = &self.record.summary;
        let message = &summary.message;
        let first = self.record.attempts.first();
        let route = first.map_or(&summary.provider, |attempt| &attempt.provider);
        let accepted = format!("accepted for the scenario {}, to be sent by {route}", message.scenario);
        let due_at = message.scheduled_at.map_or(message.created_at, |at| at.max(message.created_at));
        self.tell(message.created_at, 0, "accepted", accepted);
        if due_at > message.created_at {
            let waits = format!("waits until {due_at}, as its sender asked");
            self.tell(message.created_at, 0, "scheduled", waits);
        }
        // When the hours were others then, what happened shows it: it left before these end.
        let held = quiet.ends(message.scenario, message.receiver.country(), due_at);
        if let Some(until) = held.filter(|until| first.is_none_or(|attempt| attempt.started_at >= *until)) {
            self.tell(message.created_at, 0, "held", format!("held back until {until}: quiet hours"));
        }
    }

    fn attempt(&mut self, attempt: &Attempt) {
        let (number, provider) = (attempt.number, &attempt.provider);
        let begun = format!("attempt {number}: handed to {provider}");
        self.tell(attempt.started_at, rank(number, STARTED), "attempt_started", begun);
        let Some((at, outcome)) = &attempt.ended else { return };
        let ended = match outcome {
            SubmitOutcome::Accepted(_) => format!("{provider} took it"),
            SubmitOutcome::Rejected(failure) => format!("{provider} refused it: {}", words::failure(failure)),
            SubmitOutcome::NotSubmitted { failure, .. } => {
                format!("it did not get to {provider}: {}", words::failure(failure))
            }
            SubmitOutcome::Ambiguous(failure) => {
                format!("nobody knows whether {provider} has it: {}", words::failure(failure))
            }
        };
        self.tell(*at, rank(number, ENDED), "attempt_ended", format!("attempt {number}: {ended}"));
    }

    /// Why there was another attempt, where that is not plain from the one before it.
    fn between(&mut self, last: &Attempt, next: &Attempt) {
        let event = if last.provider == next.provider { "resent" } else { "rerouted" };
        let why = match last.ended.as_ref().map(|(_, outcome)| outcome) {
            Some(SubmitOutcome::Accepted(_)) => self.why_after_acceptance(last, next.started_at),
            Some(SubmitOutcome::Ambiguous(_)) => {
                format!("nobody could find out whether {} has it", last.provider)
            }
            Some(SubmitOutcome::Rejected(failure) | SubmitOutcome::NotSubmitted { failure, .. })
                if event == "rerouted" =>
            {
                words::failure(failure)
            }
            _ => return,
        };
        let detail = match event {
            "resent" => format!("sent again by {}: {why}", next.provider),
            _ => format!("goes by {} instead of {}: {why}", next.provider, last.provider),
        };
        self.tell(next.started_at, rank(last.number, LEFT), event, detail);
    }

    /// Why a message was sent again that a provider had taken.
    fn why_after_acceptance(&self, last: &Attempt, until: Timestamp) -> String {
        let failed = |receipt: &&ReceiptRecord| {
            matches!(receipt.status, Some(ReceiptStatus::Failed | ReceiptStatus::Undelivered))
                && receipt.provider == last.provider
                && receipt.received_at <= until
        };
        match self.record.receipts.iter().rev().find(failed) {
            Some(receipt) => format!("{} reported that {}", last.provider, meaning(receipt)),
            None => format!("no delivery receipt came from {}", last.provider),
        }
    }

    fn receipt(&mut self, receipt: &ReceiptRecord, viewer: &Identity) {
        let attempts = self.record.attempts.iter().rev();
        // Without a number, it is about the last time that its provider was asked.
        let number = receipt.attempt.or_else(|| {
            attempts
                .filter(|attempt| {
                    attempt.provider == receipt.provider && attempt.started_at <= receipt.received_at
                })
                .map(|attempt| attempt.number)
                .next()
        });
        let word = &receipt.provider_status;
        let detail = format!("{} reports \"{word}\": {}", receipt.provider, meaning(receipt));
        let entry = TimelineEntry {
            at: receipt.received_at.to_string(),
            event: "receipt",
            detail,
            raw: RawCallback::read(&receipt.raw, self.record.summary.message.receiver, viewer),
        };
        self.entries.push(Placed {
            at: receipt.received_at,
            rank: rank(number.unwrap_or(0), REPORTED),
            entry,
        });
    }

    /// Where it stands now, unless the last attempt or a receipt has said so.
    fn ending(&mut self) {
        let summary = &self.record.summary;
        let last = self.record.attempts.last();
        // What came in about an earlier attempt says nothing of the last one.
        let is_of_last = |receipt: &&ReceiptRecord| match last {
            Some(last) => {
                receipt.received_at >= last.started_at && receipt.attempt.is_none_or(|it| it == last.number)
            }
            None => true,
        };
        let of_last: Vec<_> = self.record.receipts.iter().filter(is_of_last).collect();
        let told = |status| of_last.iter().any(|receipt| receipt.status == Some(status));
        let (event, detail) = match summary.status {
            MessageStatus::Queued | MessageStatus::Scheduled => match last {
                Some(last) if last.provider != summary.provider => {
                    ("rerouted", format!("waits to go by {} instead of {}", summary.provider, last.provider))
                }
                Some(_) => ("requeued", format!("waits for another try by {}", summary.provider)),
                None => return,
            },
            MessageStatus::Canceled => ("canceled", "canceled before it left".to_owned()),
            MessageStatus::Expired => {
                ("expired", "given up: its time ran out before a provider took it".into())
            }
            MessageStatus::Failed if !told(ReceiptStatus::Failed) => {
                let why =
                    summary.failure.as_ref().map_or_else(|| "no reason is known".into(), words::failure);
                ("failed", format!("given up: {why}"))
            }
            MessageStatus::Undelivered if !told(ReceiptStatus::Undelivered) => {
                ("undelivered", "given up: no delivery receipt came in time".into())
            }
            _ => return,
        };
        let number = last.map_or(0, |attempt| attempt.number);
        self.tell(summary.updated_at, rank(number, CONCLUDED), event, detail);
    }
}

const fn rank(attempt: u16, step: u32) -> u32 {
    attempt as u32 * STEPS + step
}

fn meaning(receipt: &ReceiptRecord) -> String {
    let words = words::receipt(receipt.status);
    match &receipt.failure {
        Some(failure) => format!("{words}, {}", words::failure(failure)),
        None => words.into(),
    }
}
