//! What the guard counted, of all that is asked at once, and of all nodes side by side: rows are taken in the order of their
//! keys.

use std::collections::BTreeMap;

use domain::guard::ledger::Entered;
use domain::guard::{Bucket, Count, Subject};
use domain::ids::MessageId;

use super::super::sql::{Statements, column, get, params};
use super::super::write::guard::{CONFIRM, decide, forget, said};
use super::ids;
use crate::StoreError;
use crate::group::{Batch, Pending};
use crate::port::guard::{Feedback, KeptByGuard};

/// The same as row by row, for many.
const COUNT: &str = "INSERT INTO guard_counts AS c \
     (grain, bucket, subject, sent, expected, verified, suspected, changed_at) \
     SELECT e.grain, e.bucket, e.subject, e.sent, e.expected, e.verified, e.suspected, $8::int8 \
     FROM UNNEST($1::text[], $2::int8[], $3::text[], $4::int8[], $5::int8[], $6::int8[], $7::int8[]) \
     AS e (grain, bucket, subject, sent, expected, verified, suspected) \
     ORDER BY e.grain COLLATE \"C\", e.bucket, e.subject COLLATE \"C\" \
     ON CONFLICT (grain, bucket, subject) DO UPDATE SET \
     sent = c.sent + excluded.sent, expected = c.expected + excluded.expected, \
     verified = c.verified + excluded.verified, suspected = c.suspected + excluded.suspected, \
     changed_at = excluded.changed_at";

const SAMPLE: &str = "INSERT INTO guard_samples (message_id, decision_id) \
     SELECT * FROM UNNEST($1::uuid[], $2::uuid[]) ON CONFLICT DO NOTHING";

const SAY: &str = "INSERT INTO feedback (message_id, outcome, at) \
     SELECT e.message_id, e.outcome, e.at FROM UNNEST($1::uuid[], $2::text[], $3::int8[]) \
     AS e (message_id, outcome, at) ORDER BY e.message_id ON CONFLICT DO NOTHING RETURNING message_id";

pub(super) fn run(statements: &mut Statements<'_>, batch: &mut Batch) -> Result<(), StoreError> {
    // Counts are taken in their order. Decisions are of one node each, and only feedback reaches for those of others: should
    // two get into each other's way there, the server says so and one of them is done again.
    count(statements, &mut batch.guard_keeps)?;
    feedback(statements, &mut batch.feedbacks)?;
    for pending in &mut batch.guard_forgets {
        pending.answer = Some(forget(statements, &pending.question)?);
    }
    Ok(())
}

fn count(
    statements: &mut Statements<'_>,
    pendings: &mut [Pending<KeptByGuard, ()>],
) -> Result<(), StoreError> {
    let now = pendings.iter().map(|pending| pending.question.now).max();
    let mut rows: BTreeMap<(Bucket, Subject), Count> = BTreeMap::new();
    for Entered { bucket, subject, count } in pendings.iter().flat_map(|pending| &pending.question.counts) {
        let row = rows.entry((*bucket, *subject)).or_default();
        *row = row.plus(*count);
    }
    if let (Some(now), false) = (now, rows.is_empty()) {
        let values = params![
            column(rows.keys().map(|(bucket, _)| bucket.grain.as_str())),
            column(rows.keys().map(|(bucket, _)| bucket.number)),
            column(rows.keys().map(|(_, subject)| subject.to_string())),
            column(rows.values().map(|count| count.sent)),
            column(rows.values().map(|count| count.expected)),
            column(rows.values().map(|count| count.verified)),
            column(rows.values().map(|count| count.suspected)),
            now.as_micros(),
        ];
        statements.execute(COUNT, values)?;
    }
    for pending in pendings {
        for decision in &pending.question.decisions {
            decide(statements, decision)?;
        }
        let samples = &pending.question.samples;
        if !samples.is_empty() {
            let decisions = column(samples.iter().map(|(_, decision)| decision.as_bytes()));
            let values = params![ids(samples.iter().map(|(message, _)| message)), decisions];
            statements.execute(SAMPLE, values)?;
        }
        pending.answer = Some(());
    }
    Ok(())
}

fn feedback(
    statements: &mut Statements<'_>,
    pendings: &mut [Pending<Feedback, bool>],
) -> Result<(), StoreError> {
    // Of a message about which the same is said twice at once, the first counts.
    let heard: BTreeMap<MessageId, Feedback> = pendings
        .iter()
        .rev()
        .map(|pending| (pending.question.message_id, pending.question.clone()))
        .collect();
    if heard.is_empty() {
        return Ok(());
    }
    let values = params![
        ids(heard.keys()),
        column(heard.values().map(|feedback| feedback.outcome.as_str())),
        column(heard.values().map(|feedback| feedback.now.as_micros())),
    ];
    let mut new = statements.collect(SAY, values, |row| Ok(MessageId::from_bytes(get(row, 0)?)))?;
    for id in &new {
        statements.execute(CONFIRM, params![id.as_bytes()])?;
        statements.tell(heard.get(id).map(said));
    }
    for pending in pendings {
        let at = new.iter().position(|id| *id == pending.question.message_id);
        pending.answer = Some(at.map(|at| new.swap_remove(at)).is_some());
    }
    Ok(())
}
