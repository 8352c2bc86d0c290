//! What the guard counted and decided, and what callers say of messages.

use domain::audit::{Event, NewEntry};
use domain::guard::ledger::Entered;
use domain::guard::{Grain, Reason};

use super::super::read::first_id;
use super::super::sql::{Statements, params};
use crate::StoreError;
use crate::port::guard::{Decision, Feedback, ForgetGuard, KeptByGuard};

pub(in super::super) const COUNT: &str = "INSERT INTO guard_counts AS c \
     (grain, bucket, subject, sent, expected, verified, suspected, changed_at) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (grain, bucket, subject) DO UPDATE SET \
     sent = c.sent + excluded.sent, expected = c.expected + excluded.expected, \
     verified = c.verified + excluded.verified, suspected = c.suspected + excluded.suspected, \
     changed_at = excluded.changed_at";

pub(in super::super) const DECIDE: &str = "INSERT INTO guard_decisions AS d \
     (id, at, last_at, mode, country, prefix, caller, scenario, reasons, messages, sampled, confirmed) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 0) ON CONFLICT (id) DO UPDATE SET \
     last_at = excluded.last_at, messages = d.messages + excluded.messages, sampled = d.sampled + excluded.sampled";

pub(in super::super) const SAMPLE: &str =
    "INSERT INTO guard_samples (message_id, decision_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING";

pub(in super::super) const SAY: &str =
    "INSERT INTO feedback (message_id, outcome, at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";

/// A message that is no sample changes nothing.
pub(in super::super) const CONFIRM: &str = "UPDATE guard_decisions SET confirmed = confirmed + 1 \
     WHERE id = (SELECT decision_id FROM guard_samples WHERE message_id = ?1)";

pub(in super::super) const FORGET_COUNTS: &str = "DELETE FROM guard_counts WHERE (grain, bucket, subject) IN \
     (SELECT grain, bucket, subject FROM guard_counts WHERE grain = ?1 AND bucket < ?2 \
     ORDER BY bucket, subject LIMIT ?3)";

const FORGET_DECISIONS: &str = "DELETE FROM guard_decisions WHERE id IN \
     (SELECT id FROM guard_decisions WHERE id < ?1 ORDER BY id LIMIT ?2)";

const FORGET_SAMPLES: &str = "DELETE FROM guard_samples WHERE message_id IN \
     (SELECT message_id FROM guard_samples WHERE message_id < ?1 ORDER BY message_id LIMIT ?2)";

const FORGET_FEEDBACK: &str = "DELETE FROM feedback WHERE message_id IN \
     (SELECT message_id FROM feedback WHERE message_id < ?1 ORDER BY message_id LIMIT ?2)";

pub(super) fn keep(statements: &mut Statements<'_>, kept: &KeptByGuard) -> Result<(), StoreError> {
    for Entered { bucket, subject, count } in &kept.counts {
        let values = params![
            bucket.grain.as_str(),
            bucket.number,
            subject.to_string(),
            count.sent,
            count.expected,
            count.verified,
            count.suspected,
            kept.now.as_micros(),
        ];
        statements.execute(COUNT, values)?;
    }
    for decision in &kept.decisions {
        decide(statements, decision)?;
    }
    for (message, decision) in &kept.samples {
        statements.execute(SAMPLE, params![message.as_bytes(), decision.as_bytes()])?;
    }
    Ok(())
}

pub(in super::super) fn decide(
    statements: &mut Statements<'_>,
    decision: &Decision,
) -> Result<(), StoreError> {
    let values = params![
        decision.id.as_bytes(),
        decision.at.as_micros(),
        decision.last_at.as_micros(),
        decision.mode.as_str(),
        decision.country.as_str(),
        decision.prefix.map(|prefix| prefix.digits().cast_signed()),
        decision.caller.as_bytes(),
        decision.scenario.as_str(),
        reasons(&decision.reasons)?,
        decision.messages,
        decision.sampled,
    ];
    statements.execute(DECIDE, values).map(|_rows| ())
}

/// As they are kept.
fn reasons(reasons: &[Reason]) -> Result<String, StoreError> {
    serde_json::to_string(reasons).map_err(|error| StoreError::Internal(error.to_string()))
}

/// What the audit trail is told of feedback.
pub(in super::super) fn said(feedback: &Feedback) -> NewEntry {
    NewEntry {
        message_id: Some(feedback.message_id),
        outcome: Some(feedback.outcome.as_str()),
        ..NewEntry::new(feedback.now, feedback.by.clone(), Event::SmsFeedback)
    }
}

pub(in super::super) fn feedback(
    statements: &mut Statements<'_>,
    feedback: &Feedback,
) -> Result<bool, StoreError> {
    let id = feedback.message_id.as_bytes();
    let values = params![id, feedback.outcome.as_str(), feedback.now.as_micros()];
    let is_new = statements.execute(SAY, values)? > 0;
    if is_new {
        statements.execute(CONFIRM, params![id])?;
        statements.tell(said(feedback));
    }
    Ok(is_new)
}

pub(in super::super) fn forget(
    statements: &mut Statements<'_>,
    forget: &ForgetGuard,
) -> Result<bool, StoreError> {
    let limit = forget.limit as usize;
    let mut is_done = true;
    for (grain, before) in [
        (Grain::Minute, forget.minutes_before),
        (Grain::Hour, forget.hours_before),
        (Grain::Day, forget.days_before),
    ] {
        let values = params![grain.as_str(), grain.at(before).number, forget.limit];
        is_done &= statements.execute(FORGET_COUNTS, values)? < limit;
    }
    let decisions = first_id(forget.decisions_before);
    is_done &= statements.execute(FORGET_DECISIONS, params![decisions, forget.limit])? < limit;
    is_done &= statements.execute(FORGET_SAMPLES, params![decisions, forget.limit])? < limit;
    if let Some(before) = forget.feedback_before {
        is_done &= statements.execute(FORGET_FEEDBACK, params![first_id(before), forget.limit])? < limit;
    }
    Ok(is_done)
}
