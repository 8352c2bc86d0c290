//! Claiming: rows leave the front of a lane, attempts are opened.
//!
//! What can't be claimed leaves the front too, so that nothing stands in the way of those behind: what was settled
//! while it waited, what must not leave before the quiet hours end or its sender's turn, what can't be read, and what has
//! lost its text.

use std::ops::ControlFlow;

use domain::attempt::{Failure, Reason, Submission};
use domain::audit::Actor;
use domain::batch::Requests;
use domain::ids::MessageId;
use domain::message::{MessageStatus, StatusEvent};
use domain::scenario::Priority;
use domain::sender_pace::{SenderPace, Turn};
use domain::time::Timestamp;

use super::super::row::{self, word};
use super::super::sql::{Row, Statements, get, params};
use super::place;
use super::{Move, has_moved, move_status};
use crate::StoreError;
use crate::port::queue::{Claim, Claimed, Claims, LaneRoom};
use crate::seal::Vault;

/// How many messages one claim moves to the end of the quiet hours or to a turn of their sender, beyond those that it
/// takes.
const HELD_AT_ONCE: u32 = 256;

/// The front of a lane, up to the present, with what a provider needs of each message.
pub(in super::super) const FRONT: &str = "SELECT m.sealed_receiver, m.country, q.message_id, q.attempt, q.due_at, \
     q.expires_at, m.sender, m.sealed_body, m.encoding, m.scenario, m.segments, m.created_at, m.scheduled_at, \
     q.refused_by, q.resends, coalesce(r.resends, 0), r.began_at \
     FROM queue q JOIN messages m ON m.id = q.message_id LEFT JOIN rounds r ON r.message_id = q.message_id \
     WHERE q.provider = ?1 AND q.lane = ?2 AND q.due_at <= ?3 ORDER BY q.due_at, q.message_id LIMIT ?4";

/// The same rows leave with one statement: they are a run of the table's own order.
pub(in super::super) const LEAVE: &str =
    "DELETE FROM queue WHERE provider = ?1 AND lane = ?2 AND (due_at, message_id) <= (?3, ?4)";

pub(in super::super) const NEXT_DUE: &str =
    "SELECT due_at FROM queue WHERE provider = ?1 AND lane = ?2 ORDER BY due_at LIMIT 1";

/// Nothing, where there is an attempt of that number: the row of the queue is left over.
const OPEN: &str = "INSERT INTO attempts \
     (message_id, number, provider, node, lease_until, started_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";

pub(in super::super) const UNDO_OPEN: &str = "DELETE FROM attempts WHERE message_id = ?1 AND number = ?2";

/// For a state that can't be read, which no event moves.
pub(in super::super) const GIVE_UP: &str =
    "UPDATE states SET status = ?2, reason = ?3, updated_at = ?4 WHERE message_id = ?1";

pub(super) fn claim(statements: &mut Statements<'_>, claim: &Claim) -> Result<Claims, StoreError> {
    let mut claims = Claims { senders: claim.senders.clone(), ..Claims::default() };
    let mut requests = Requests::new(claim.receivers_per_request);
    let mut is_due = [false; Priority::ALL.len()];
    for lane in Priority::ALL {
        is_due[lane.index()] = next_due(statements, claim, *lane)?.is_some_and(|due| due <= claim.now);
    }
    for lane in Priority::ALL {
        let room = claim.room(*lane, claims.claimed.len(), requests.count(), is_due);
        if room.messages > 0 && is_due[lane.index()] {
            take(statements, claim, *lane, room, &mut requests, &mut claims)?;
        }
        claims.next_due[lane.index()] = next_due(statements, claim, *lane)?;
    }
    Ok(claims)
}

/// A row from the front of a lane.
pub(in super::super) struct Front {
    pub(in super::super) claimed: Claimed,
    /// How often the message was sent again.
    resends: u32,
}

/// What a claim does with the front of a lane.
#[derive(Default)]
pub(in super::super) struct Sorted {
    pub(in super::super) due: Vec<Front>,
    pub(in super::super) too_late: Vec<Front>,
    pub(in super::super) held: Vec<(Timestamp, Front)>,
    pub(in super::super) unreadable: Vec<MessageId>,
    /// Those whose text is gone: there is nothing to send.
    pub(in super::super) erased: Vec<MessageId>,
    /// Rows of an earlier round.
    pub(in super::super) left_over: usize,
    /// The last of them all: they are a run of the table's own order.
    last: Option<(Timestamp, MessageId)>,
}

/// Takes messages from the front of a lane, no more than there is room for.
fn take(
    statements: &mut Statements<'_>,
    claim: &Claim,
    lane: Priority,
    room: LaneRoom,
    requests: &mut Requests,
    claims: &mut Claims,
) -> Result<(), StoreError> {
    let may_hold = !claim.quiet.is_empty() || claims.senders.is_limited();
    let most = room.messages.saturating_add(if may_hold { HELD_AT_ONCE } else { 0 });
    let sorted = sort(statements, FRONT, claim, lane, (room, most), requests, &mut claims.senders)?;
    if let Some((due_at, id)) = sorted.last {
        let values = params![claim.provider.as_str(), lane.index(), due_at.as_micros(), id.as_bytes()];
        statements.execute(LEAVE, values)?;
    }
    if sorted.left_over > 0 {
        tracing::debug!(
            rows = sorted.left_over,
            "places in the queue that earlier rounds had left over are gone"
        );
    }
    // What a receipt has settled while it waited does not move any more, and is neither sent nor expired.
    for front in sorted.due {
        let id = front.claimed.submission.message_id;
        if !open_attempt(statements, claim, &front.claimed.submission)? {
            continue;
        }
        match start(statements, claim, &front) {
            Ok(true) => claims.claimed.push(front.claimed),
            Ok(false) => {}
            Err(StoreError::Corrupt) => give_up(statements, claim, id)?,
            Err(problem) => return Err(problem),
        }
    }
    for front in sorted.too_late {
        let id = front.claimed.submission.message_id;
        match expire(statements, claim, &front) {
            Ok(true) => claims.expired.push(id),
            Ok(false) => {}
            Err(StoreError::Corrupt) => give_up(statements, claim, id)?,
            Err(problem) => return Err(problem),
        }
    }
    for (until, front) in sorted.held {
        hold(statements, claim, lane, until, &front)?;
    }
    for id in sorted.unreadable {
        give_up(statements, claim, id)?;
    }
    for id in sorted.erased {
        tracing::error!(message.id = %id, "the text of a waiting message was erased: it left the queue as failed");
        fail(statements, claim, id, Reason::TextErased)?;
    }
    Ok(())
}

/// Reads the front of a lane and decides what to do with each row.
pub(in super::super) fn sort(
    statements: &mut Statements<'_>,
    front_of_lane: &'static str,
    claim: &Claim,
    lane: Priority,
    (room, most): (LaneRoom, u32),
    requests: &mut Requests,
    senders: &mut SenderPace,
) -> Result<Sorted, StoreError> {
    let is_quiet = !claim.quiet.is_empty();
    let limit = room.requests as usize;
    let values = params![claim.provider.as_str(), lane.index(), claim.now.as_micros(), most];
    let (vault, mut sorted) = (statements.vault(), Sorted::default());
    statements.walk(front_of_lane, values, |row| {
        let place = (row::time(row, 4)?, MessageId::from_bytes(get(row, 2)?));
        let front = match front(&vault, row, lane) {
            // Left over from an earlier round.
            Ok(front) if front.resends != get::<u32>(row, 15)? => {
                sorted.last = Some(place);
                sorted.left_over += 1;
                return Ok(ControlFlow::Continue(()));
            }
            Ok(front) => front,
            Err(StoreError::Corrupt) => {
                sorted.last = Some(place);
                sorted.unreadable.push(place.1);
                return Ok(ControlFlow::Continue(()));
            }
            Err(problem) => return Err(problem),
        };
        let submission = &front.claimed.submission;
        let quiet_until = || {
            let country = submission.receiver.country();
            claim.quiet.ends(submission.scenario, country, claim.now).filter(|until| *until > claim.now)
        };
        if submission.expires_at.is_some_and(|end| end <= claim.now) {
            sorted.too_late.push(front);
        } else if submission.body.is_erased() {
            sorted.erased.push(submission.message_id);
        } else if let Some(until) = is_quiet.then(quiet_until).flatten() {
            sorted.held.push((until, front));
        } else if !requests.has_place(submission, lane, limit) {
            return Ok(ControlFlow::Break(()));
        } else if let Turn::At(turn) = senders.turn(submission.sender.as_ref(), lane, claim.now) {
            sorted.held.push((turn, front));
        } else {
            requests.place(submission, lane, limit);
            sorted.due.push(front);
        }
        sorted.last = Some(place);
        let is_full = sorted.due.len() >= room.messages as usize;
        Ok(if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(sorted)
}

/// Reads a row of [`FRONT`].
fn front(vault: &Vault, row: &Row<'_>, lane: Priority) -> Result<Front, StoreError> {
    let message_id = MessageId::from_bytes(get(row, 2)?);
    let submission = Submission {
        receiver: row::msisdn(vault, message_id, row, 0)?,
        message_id,
        attempt: get(row, 3)?,
        expires_at: row::optional_time(row, 5)?,
        sender: row::optional_word(row, 6)?,
        body: row::body(vault, message_id, row, 7)?,
        encoding: word(row, 8)?,
        scenario: word(row, 9)?,
    };
    let created_at = row::time(row, 11)?;
    let first_due_at = row::optional_time(row, 12)?.map_or(created_at, |at| at.max(created_at));
    let claimed = Claimed {
        submission,
        priority: lane,
        created_at,
        first_due_at: row::optional_time(row, 16)?.unwrap_or(first_due_at),
        due_at: row::time(row, 4)?,
        segments: get(row, 10)?,
        refused_by: row::providers(row, 13)?,
    };
    Ok(Front { claimed, resends: get(row, 14)? })
}

fn next_due(
    statements: &mut Statements<'_>,
    claim: &Claim,
    lane: Priority,
) -> Result<Option<Timestamp>, StoreError> {
    let values = params![claim.provider.as_str(), lane.index()];
    let due_at = statements.first(NEXT_DUE, values, |row| get(row, 0))?;
    Ok(due_at.map(Timestamp::from_micros))
}

/// Opens an attempt, unless there is one of that number.
fn open_attempt(
    statements: &mut Statements<'_>,
    claim: &Claim,
    submission: &Submission,
) -> Result<bool, StoreError> {
    let values = params![
        submission.message_id.as_bytes(),
        submission.attempt,
        claim.provider.as_str(),
        claim.node.as_bytes(),
        claim.lease_until.as_micros(),
        claim.now.as_micros(),
    ];
    statements.execute(OPEN, values).map(|opened| opened > 0)
}

/// Moves a message to the attempt that was opened for it. The attempt goes, if the message needs none any more.
fn start(statements: &mut Statements<'_>, claim: &Claim, front: &Front) -> Result<bool, StoreError> {
    let submission = &front.claimed.submission;
    let change = Move {
        message_id: submission.message_id,
        event: StatusEvent::Claimed,
        failure: None,
        provider: Some(&claim.provider),
        by: Actor::System,
        now: claim.now,
    };
    let moved = move_status(statements, &change).map(has_moved);
    if moved != Ok(true) {
        statements.execute(UNDO_OPEN, params![submission.message_id.as_bytes(), submission.attempt])?;
    }
    moved
}

/// Ends a message whose time has run out, unless it has ended already.
fn expire(statements: &mut Statements<'_>, claim: &Claim, front: &Front) -> Result<bool, StoreError> {
    let change = Move {
        message_id: front.claimed.submission.message_id,
        event: StatusEvent::TimeRanOut,
        failure: Some(&Failure::new(Reason::Expired)),
        provider: None,
        by: Actor::System,
        now: claim.now,
    };
    Ok(has_moved(move_status(statements, &change)?))
}

/// Puts a message back until it may leave.
fn hold(
    statements: &mut Statements<'_>,
    claim: &Claim,
    lane: Priority,
    until: Timestamp,
    front: &Front,
) -> Result<(), StoreError> {
    let submission = &front.claimed.submission;
    let turn = place::Turn {
        provider: &claim.provider,
        lane,
        due_at: until,
        message_id: submission.message_id,
        attempt: submission.attempt,
        expires_at: submission.expires_at,
        refused_by: &front.claimed.refused_by,
        resends: front.resends,
    };
    place::put(statements, &turn)
}

/// Ends a message that can't be read: nobody could send it, and it must not keep those behind it waiting.
fn give_up(statements: &mut Statements<'_>, claim: &Claim, message_id: MessageId) -> Result<(), StoreError> {
    tracing::error!(message.id = %message_id, "a waiting message can't be read: it left the queue as failed");
    fail(statements, claim, message_id, Reason::Unknown)
}

fn fail(
    statements: &mut Statements<'_>,
    claim: &Claim,
    message_id: MessageId,
    reason: Reason,
) -> Result<(), StoreError> {
    let failure = Failure::new(reason);
    let change = Move {
        message_id,
        event: StatusEvent::Refused,
        failure: Some(&failure),
        provider: None,
        by: Actor::System,
        now: claim.now,
    };
    match move_status(statements, &change) {
        Err(StoreError::Corrupt) => {
            let (status, reason) = (MessageStatus::Failed.as_str(), failure.reason.as_str());
            let values = params![message_id.as_bytes(), status, reason, claim.now.as_micros()];
            statements.execute(GIVE_UP, values)?;
            statements.tell(change.entry(MessageStatus::Failed));
            Ok(())
        }
        moved => moved.map(|_moved| ()),
    }
}
