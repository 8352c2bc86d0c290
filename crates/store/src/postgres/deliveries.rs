//! Deliveries, many with one statement each: whoever shares the transaction waits for every answer.

use std::collections::HashSet;

use domain::ids::EndpointId;
use domain::time::Timestamp;

use super::outbox::NOBODY_WANTS_ANY_MORE;
use super::sql::{Statements, column, get, params};
use super::write::webhooks::NewDelivery;
use crate::StoreError;
use crate::port::webhooks::{DeliveryEnd, EndDeliveries, TakeDeliveries, TakenDelivery};

/// One that is under way stays so: it would be posted a second time beside the first.
const DELIVER_AGAIN: &str = "INSERT INTO deliveries (number, endpoint_id, subject, kind, state, due_at, since, posts, \
     posts_before) SELECT d.number, d.endpoint, d.subject, d.kind, 'pending', $5, $5, 0, 0 \
     FROM UNNEST($1::int8[], $2::uuid[], $3::uuid[], $4::text[]) AS d (number, endpoint, subject, kind) \
     ON CONFLICT (number, endpoint_id) DO UPDATE SET state = 'pending', due_at = excluded.due_at, \
     since = excluded.since, posts_before = deliveries.posts WHERE deliveries.state <> 'pending'";

/// Its three days begin with its first post: what was in the way before is not its endpoint's fault.
const ARE_TAKEN: &str = "UPDATE deliveries d SET due_at = $3, \
     since = CASE WHEN d.posts = d.posts_before THEN $4 ELSE d.since END \
     FROM UNNEST($1::int8[], $2::uuid[]) AS t (number, endpoint) \
     WHERE d.number = t.number AND d.endpoint_id = t.endpoint";

const POSTS: &str = "INSERT INTO delivery_posts (number, endpoint_id, post, at, took_ms, status, error) \
     SELECT d.number, d.endpoint_id, d.posts + 1, e.at, e.took_ms, e.status, e.error \
     FROM UNNEST($1::int8[], $2::uuid[], $3::int8[], $4::int4[], $5::int4[], $6::text[]) \
     AS e (number, endpoint, at, took_ms, status, error) \
     JOIN deliveries d ON d.number = e.number AND d.endpoint_id = e.endpoint RETURNING number, endpoint_id";

/// What another node has ended meanwhile is not begun again by a failure that is told late.
const END: &str = "UPDATE deliveries d SET posts = d.posts + 1, \
     state = CASE WHEN e.state = 'delivered' OR d.state = 'pending' THEN e.state ELSE d.state END, \
     due_at = CASE WHEN e.state = 'delivered' OR d.state = 'pending' THEN e.due_at ELSE d.due_at END \
     FROM UNNEST($1::int8[], $2::uuid[], $3::text[], $4::int8[]) AS e (number, endpoint, state, due_at) \
     WHERE d.number = e.number AND d.endpoint_id = e.endpoint";

const FORGET_POSTS: &str = "DELETE FROM delivery_posts WHERE number = ANY($1::int8[])";
const FORGET_DELIVERIES: &str = "DELETE FROM deliveries WHERE number = ANY($1::int8[])";
/// One that the broker has not got yet stays for it.
const ARE_FORGOTTEN: &str = "UPDATE events SET stage = 0 WHERE number = ANY($1::int8[])";

/// Makes events due again; answers how many were not on their way.
pub(super) fn deliver_again(
    statements: &mut Statements<'_>,
    now: Timestamp,
    deliveries: &[NewDelivery],
) -> Result<u64, StoreError> {
    if deliveries.is_empty() {
        return Ok(0);
    }
    let values = params![
        column(deliveries.iter().map(|it| it.number)),
        column(deliveries.iter().map(|it| it.endpoint)),
        column(deliveries.iter().map(|it| it.subject)),
        column(deliveries.iter().map(|it| &it.kind)),
        now.as_micros(),
    ];
    statements.execute(DELIVER_AGAIN, values).map(|again| again as u64)
}

pub(super) fn are_taken(
    statements: &mut Statements<'_>,
    take: &TakeDeliveries,
    taken: &[TakenDelivery],
) -> Result<(), StoreError> {
    if taken.is_empty() {
        return Ok(());
    }
    let values = params![
        column(taken.iter().map(|it| it.number)),
        column(taken.iter().map(|it| it.endpoint.as_bytes())),
        take.again_at.as_micros(),
        take.now.as_micros(),
    ];
    statements.execute(ARE_TAKEN, values).map(|_taken| ())
}

/// Notes how posts ended; answers those of which the delivery is still there.
pub(super) fn note(
    statements: &mut Statements<'_>,
    end: &EndDeliveries,
) -> Result<Vec<DeliveryEnd>, StoreError> {
    let ends = &end.ends;
    if ends.is_empty() {
        return Ok(Vec::new());
    }
    let numbers = column(ends.iter().map(|it| it.number));
    let endpoints = column(ends.iter().map(|it| it.endpoint.as_bytes()));
    let posts = params![
        numbers,
        endpoints,
        column(ends.iter().map(|it| it.at.as_micros())),
        column(ends.iter().map(|it| it.took_ms)),
        column(ends.iter().map(|it| it.status)),
        column(ends.iter().map(|it| it.error)),
    ];
    let noted = statements.collect(POSTS, posts, |row| {
        Ok((get::<i64>(row, 0)?, EndpointId::from_bytes(get::<[u8; 16]>(row, 1)?)))
    })?;
    let states = column(ends.iter().map(DeliveryEnd::state));
    let due_at = column(ends.iter().map(|it| it.again_at.unwrap_or(end.now).as_micros()));
    statements.execute(END, params![numbers, endpoints, states, due_at])?;
    let noted: HashSet<_> = noted.into_iter().collect();
    Ok(ends.iter().filter(|it| noted.contains(&(it.number, it.endpoint))).copied().collect())
}

pub(super) fn forget_told(statements: &mut Statements<'_>, numbers: &[i64]) -> Result<(), StoreError> {
    if numbers.is_empty() {
        return Ok(());
    }
    let numbers = column(numbers);
    for forget in [FORGET_POSTS, FORGET_DELIVERIES, ARE_FORGOTTEN, NOBODY_WANTS_ANY_MORE] {
        statements.execute(forget, params![numbers])?;
    }
    Ok(())
}
