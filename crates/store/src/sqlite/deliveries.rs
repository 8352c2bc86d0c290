//! Deliveries, a row at a time: a statement costs little where nobody waits for it.

use domain::time::Timestamp;

use super::sql::{Statements, params};
use super::write::webhooks::NewDelivery;
use crate::StoreError;
use crate::port::webhooks::{DeliveryEnd, EndDeliveries, TakeDeliveries, TakenDelivery};

/// One that is under way stays so: it would be posted a second time beside the first.
pub(super) const DELIVER_AGAIN: &str = "INSERT INTO deliveries (number, endpoint_id, subject, kind, state, \
     due_at, since, posts, posts_before) VALUES (?1, ?2, ?3, ?4, 'pending', ?5, ?5, 0, 0) \
     ON CONFLICT (number, endpoint_id) DO UPDATE SET state = 'pending', due_at = excluded.due_at, \
     since = excluded.since, posts_before = deliveries.posts WHERE deliveries.state <> 'pending'";

/// Its three days begin with its first post: what was in the way before is not its endpoint's fault.
pub(super) const IS_TAKEN: &str = "UPDATE deliveries SET due_at = ?3, \
     since = CASE WHEN posts = posts_before THEN ?4 ELSE since END WHERE number = ?1 AND endpoint_id = ?2";

pub(super) const POST: &str = "INSERT INTO delivery_posts (number, endpoint_id, post, at, took_ms, status, error) \
     SELECT number, endpoint_id, posts + 1, ?3, ?4, ?5, ?6 FROM deliveries \
     WHERE number = ?1 AND endpoint_id = ?2";

/// What another node has ended meanwhile is not begun again by a failure that is told late.
pub(super) const END: &str = "UPDATE deliveries SET posts = posts + 1, \
     state = CASE WHEN ?3 = 'delivered' OR state = 'pending' THEN ?3 ELSE state END, \
     due_at = CASE WHEN ?3 = 'delivered' OR state = 'pending' THEN ?4 ELSE due_at END \
     WHERE number = ?1 AND endpoint_id = ?2";

pub(super) const FORGET_POSTS: &str = "DELETE FROM delivery_posts WHERE number = ?1";
pub(super) const FORGET_DELIVERIES: &str = "DELETE FROM deliveries WHERE number = ?1";
/// One that the broker has not got yet stays for it.
pub(super) const FORGET_EVENT: &str = "DELETE FROM events WHERE number = ?1 AND publish = 0";
const IS_FORGOTTEN: &str = "UPDATE events SET stage = 0 WHERE number = ?1";

/// Makes events due again; answers how many were not on their way.
pub(super) fn deliver_again(
    statements: &mut Statements<'_>,
    now: Timestamp,
    deliveries: &[NewDelivery],
) -> Result<u64, StoreError> {
    let mut again = 0;
    for NewDelivery { number, endpoint, subject, kind } in deliveries {
        let values = params![number, endpoint, subject, kind, now.as_micros()];
        again += statements.execute(DELIVER_AGAIN, values)? as u64;
    }
    Ok(again)
}

pub(super) fn are_taken(
    statements: &mut Statements<'_>,
    take: &TakeDeliveries,
    taken: &[TakenDelivery],
) -> Result<(), StoreError> {
    let (again_at, now) = (take.again_at.as_micros(), take.now.as_micros());
    for delivery in taken {
        let values = params![delivery.number, delivery.endpoint.as_bytes(), again_at, now];
        statements.execute(IS_TAKEN, values)?;
    }
    Ok(())
}

/// Notes how posts ended; answers those of which the delivery is still there.
pub(super) fn note(
    statements: &mut Statements<'_>,
    end: &EndDeliveries,
) -> Result<Vec<DeliveryEnd>, StoreError> {
    let mut noted = Vec::new();
    for post in &end.ends {
        let (number, id) = (post.number, post.endpoint.as_bytes());
        let values = params![number, id, post.at.as_micros(), post.took_ms, post.status, post.error];
        if statements.execute(POST, values)? > 0 {
            let due_at = post.again_at.unwrap_or(end.now).as_micros();
            statements.execute(END, params![number, id, post.state(), due_at])?;
            noted.push(*post);
        }
    }
    Ok(noted)
}

pub(super) fn forget_told(statements: &mut Statements<'_>, numbers: &[i64]) -> Result<(), StoreError> {
    for number in numbers {
        statements.execute(FORGET_POSTS, params![number])?;
        statements.execute(FORGET_DELIVERIES, params![number])?;
        if statements.execute(FORGET_EVENT, params![number])? == 0 {
            statements.execute(IS_FORGOTTEN, params![number])?;
        }
    }
    Ok(())
}
