//! Outcomes: the provider took the message.

use std::collections::{HashMap, HashSet};

use domain::attempt::{Acceptance, SubmitOutcome};
use domain::audit::{Actor, Event, NewEntry};
use domain::ids::MessageId;
use domain::message::StatusEvent;
use domain::money::Money;
use domain::route::ProviderName;

use super::{Standing, ids};
use crate::StoreError;
use crate::group::Pending;
use crate::port::queue::AttemptEnd;
use crate::postgres::row::word;
use crate::postgres::sql::{Statements, column, get, params};

/// Receipts that wait for one of these ids of a provider.
const PARKED: &str = "SELECT DISTINCT provider_message_id FROM callbacks \
     WHERE message_id IS NULL AND provider_message_id = ANY($1::text[])";

/// Closes the attempts that are open and moves their messages; answers which were closed.
const CLOSE: &str = "WITH closed AS (UPDATE attempts a SET ended_at = e.ended_at, outcome = 'accepted', \
     provider_message_id = e.provider_message_id, segments = e.segments, cost_micros = e.cost_micros, \
     cost_currency = e.cost_currency \
     FROM UNNEST($1::uuid[], $2::int4[], $3::int8[], $4::text[], $5::int4[], $6::int8[], $7::text[], $8::text[]) \
     AS e (message_id, number, ended_at, provider_message_id, segments, cost_micros, cost_currency, status) \
     WHERE a.message_id = e.message_id AND a.number = e.number AND a.outcome IS NULL \
     RETURNING a.message_id, a.provider, a.ended_at, e.status), \
     moved AS (UPDATE states s SET status = c.status, provider = c.provider, reason = NULL, provider_code = NULL, \
     updated_at = c.ended_at FROM closed c WHERE s.message_id = c.message_id AND s.status <> c.status) \
     SELECT message_id, provider FROM closed";

/// An attempt whose message the provider took, and that nobody is to look after.
fn acceptance(end: &AttemptEnd) -> Option<&Acceptance> {
    match (&end.outcome, end.watch_at) {
        (SubmitOutcome::Accepted(acceptance), None) => Some(acceptance),
        _ => None,
    }
}

pub(super) fn run(
    statements: &mut Statements<'_>,
    standing: &mut Standing,
    pendings: &mut [Pending<Vec<AttemptEnd>, ()>],
) -> Result<(), StoreError> {
    let plain = plain(statements, standing, pendings)?;
    let ends: Vec<(&AttemptEnd, &Acceptance)> = plain
        .iter()
        .flat_map(|at| &pendings[*at].question)
        .filter_map(|end| acceptance(end).map(|acceptance| (end, acceptance)))
        .collect();
    if ends.is_empty() {
        return Ok(());
    }
    let closed = close(statements, &ends, standing)?;
    for (end, _) in ends.iter().filter(|(end, _)| closed.contains_key(&end.message_id)) {
        if let Some(stands) = standing.get_mut(&end.message_id) {
            let to = stands.after(StatusEvent::Accepted);
            let entry =
                Event::of_move(StatusEvent::Accepted, to).filter(|_| to != *stands).map(|event| NewEntry {
                    message_id: Some(end.message_id),
                    provider: closed.get(&end.message_id).cloned().flatten(),
                    ..NewEntry::new(end.ended_at, Actor::System, event)
                });
            statements.tell(entry);
            *stands = to;
        }
    }
    for at in plain {
        let pending = &mut pendings[at];
        // An attempt that had ended already is for the other way, which finds the rest done.
        if pending.question.iter().all(|end| closed.contains_key(&end.message_id)) {
            pending.answer = Some(());
        }
    }
    Ok(())
}

/// The positions of those of which all ends are plain: taken, known, once each, and nothing waits for the provider's id.
fn plain(
    statements: &mut Statements<'_>,
    standing: &Standing,
    pendings: &[Pending<Vec<AttemptEnd>, ()>],
) -> Result<Vec<usize>, StoreError> {
    let mut seen = HashSet::new();
    let mut candidates = Vec::new();
    for (at, pending) in pendings.iter().enumerate() {
        let is_first = pending.question.iter().all(|end| seen.insert(end.message_id));
        let is_plain = |end: &AttemptEnd| acceptance(end).is_some() && standing.contains_key(&end.message_id);
        if is_first && pending.question.iter().all(is_plain) {
            candidates.push(at);
        }
    }
    let theirs = candidates.iter().flat_map(|at| &pendings[*at].question).filter_map(acceptance);
    let theirs: Vec<&str> = theirs.map(|acceptance| acceptance.provider_message_id.as_str()).collect();
    if theirs.is_empty() {
        return Ok(candidates);
    }
    let parked: HashSet<String> =
        statements.collect(PARKED, params![column(&theirs)], |row| get(row, 0))?.into_iter().collect();
    candidates.retain(|at| {
        let mut ends = pendings[*at].question.iter().filter_map(acceptance);
        !ends.any(|acceptance| parked.contains(acceptance.provider_message_id.as_str()))
    });
    Ok(candidates)
}

/// Closes attempts that are open, and moves their messages; answers which, and who was asked.
fn close(
    statements: &mut Statements<'_>,
    ends: &[(&AttemptEnd, &Acceptance)],
    standing: &Standing,
) -> Result<HashMap<MessageId, Option<ProviderName>>, StoreError> {
    let after =
        |end: &AttemptEnd| standing.get(&end.message_id).map(|it| it.after(StatusEvent::Accepted).as_str());
    let values = params![
        ids(ends.iter().map(|(end, _)| &end.message_id)),
        column(ends.iter().map(|(end, _)| end.attempt)),
        column(ends.iter().map(|(end, _)| end.ended_at.as_micros())),
        column(ends.iter().map(|(_, acceptance)| acceptance.provider_message_id.as_str())),
        column(ends.iter().map(|(_, acceptance)| acceptance.segments)),
        column(ends.iter().map(|(_, acceptance)| acceptance.cost.map(Money::micros))),
        column(ends.iter().map(|(_, acceptance)| acceptance.cost.map(|cost| cost.currency().to_owned()))),
        column(ends.iter().map(|(end, _)| after(end))),
    ];
    let closed = statements
        .collect(CLOSE, values, |row| Ok((MessageId::from_bytes(get(row, 0)?), word(row, 1).ok())))?;
    Ok(closed.into_iter().collect())
}
