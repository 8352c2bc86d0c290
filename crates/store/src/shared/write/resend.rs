//! Queuing a message again, for a new round of attempts.

use std::time::Duration;

use domain::message::{MessageStatus, StatusEvent};
use domain::time::Timestamp;

use super::super::row::word;
use super::super::sql::{Statements, get, params};
use super::place::{self, Turn};
use super::watches::{self, Watch};
use super::{Move, again, has_moved, move_status, quotas, spending, sweep};
use crate::StoreError;
use crate::port::messages::{Moved, Resend, Resent};
use crate::port::watches::WatchKind;
use crate::quotas::Drawing;

/// When to look first at a message that a sweep will not come by any more.
const FIRST_LOOK: Duration = Duration::from_hours(1);

/// Where a message stands, how often it was sent again, the number of its last attempt, whether one is under way, and
/// whether there is a text to send.
pub(in super::super) const STANDING: &str = "SELECT s.status, \
     (SELECT coalesce(max(resends), 0) FROM rounds WHERE message_id = ?1), \
     (SELECT coalesce(max(number), 0) FROM attempts WHERE message_id = ?1), \
     EXISTS (SELECT 1 FROM attempts WHERE message_id = ?1 AND outcome IS NULL), \
     EXISTS (SELECT 1 FROM messages WHERE id = ?1 AND sealed_body IS NOT NULL) \
     FROM states s WHERE s.message_id = ?1";

pub(in super::super) const NEW_ROUND: &str = "INSERT INTO rounds (message_id, round, resends, began_at, expires_at) \
     VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (message_id) DO UPDATE SET round = excluded.round, \
     resends = excluded.resends, began_at = excluded.began_at, expires_at = excluded.expires_at";

pub(super) fn resend(statements: &mut Statements<'_>, resend: &Resend) -> Result<Option<Resent>, StoreError> {
    let message_id = resend.message_id;
    let standing = statements.first(STANDING, params![message_id.as_bytes()], |row| {
        let (status, resends, last) =
            (word::<MessageStatus>(row, 0)?, get::<u32>(row, 1)?, get::<u16>(row, 2)?);
        Ok((status, resends, last, get::<bool>(row, 3)?, get::<bool>(row, 4)?))
    })?;
    let Some((from, resends, last, has_open, has_text)) = standing else { return Ok(None) };
    let unmoved = Moved { message_id, from, to: from };
    let is_last = resend.last_attempt.is_none_or(|wanted| wanted == last);
    if has_open || !has_text || !is_last || !resend.standing.contains(&from) {
        return Ok(Some(unmoved.into()));
    }
    let obstacle = again::obstacle(statements, message_id, resend.now)?;
    if obstacle.is_some() {
        return Ok(Some(Resent { obstacle, ..unmoved.into() }));
    }
    let drawing = Drawing { message_id, draws: &resend.draws, now: resend.now };
    if let Err(limited) = quotas::draw(statements, [drawing])? {
        return Ok(Some(Resent { limited: limited.into_iter().next(), ..unmoved.into() }));
    }
    let change = Move {
        message_id,
        event: StatusEvent::Resent,
        failure: resend.failure.as_ref(),
        provider: Some(&resend.provider),
        by: resend.by.clone(),
        now: resend.now,
    };
    let moved = move_status(statements, &change)?;
    if !has_moved(moved) {
        return Ok(Some(unmoved.into()));
    }
    spending::reserve(statements, message_id, &resend.draws, last)?;
    let (attempt, resends) = (last.saturating_add(1), resends.saturating_add(1));
    let (began_at, expires_at) = (resend.due_at.as_micros(), resend.expires_at.map(Timestamp::as_micros));
    statements.execute(NEW_ROUND, params![message_id.as_bytes(), attempt, resends, began_at, expires_at])?;
    let turn = Turn {
        provider: &resend.provider,
        lane: resend.priority,
        due_at: resend.due_at,
        message_id,
        attempt,
        expires_at: resend.expires_at,
        refused_by: &resend.refused_by,
        resends,
    };
    place::put(statements, &turn)?;
    if sweep::has_passed(statements, message_id)? {
        let watch = Watch::new(message_id, WatchKind::Silence, 0);
        watches::set(statements, resend.due_at.plus(FIRST_LOOK), &watch)?;
    }
    Ok(moved.map(|(from, to)| Moved { message_id, from, to }.into()))
}
