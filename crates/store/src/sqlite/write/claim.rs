//! Claiming: rows leave the front of a lane, attempts are opened.

use domain::attempt::{Failure, Reason, Submission};
use domain::batch::Requests;
use domain::ids::MessageId;
use domain::message::{MessageStatus, StatusEvent};
use domain::scenario::Priority;
use domain::time::Timestamp;
use rusqlite::{Row, params};

use super::statements::Statements;
use super::{Move, move_status};
use crate::StoreError;
use crate::port::queue::{Claim, Claimed, Claims};
use crate::sqlite::connection::error;
use crate::sqlite::row::{self, get, word};

/// The front of a lane, up to the present, with what a provider needs of each message.
pub(in crate::sqlite) const FRONT: &str = "SELECT m.receiver, m.country, q.message_id, q.attempt, q.due_at, \
     q.expires_at, m.sender, m.body, m.encoding, m.scenario, m.segments, m.created_at \
     FROM queue q JOIN messages m ON m.id = q.message_id \
     WHERE q.provider = ?1 AND q.lane = ?2 AND q.due_at <= ?3 ORDER BY q.due_at, q.message_id LIMIT ?4";

/// The same rows leave with one statement: they are a run of the table's own order.
pub(in crate::sqlite) const LEAVE: &str =
    "DELETE FROM queue WHERE provider = ?1 AND lane = ?2 AND (due_at, message_id) <= (?3, ?4)";

pub(in crate::sqlite) const NEXT_DUE: &str =
    "SELECT due_at FROM queue WHERE provider = ?1 AND lane = ?2 ORDER BY due_at LIMIT 1";

const OPEN: &str = "INSERT INTO attempts (message_id, number, provider, node, lease_until, started_at) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

pub(super) fn claim(statements: &mut Statements<'_>, claim: &Claim) -> Result<Claims, StoreError> {
    let mut claims = Claims::default();
    let mut requests = Requests::new(claim.receivers_per_request);
    for (lane, at_most) in Priority::ALL.iter().zip(claim.at_most) {
        let taken = u32::try_from(claims.claimed.len()).unwrap_or(u32::MAX);
        let room = claim.total.saturating_sub(taken).min(at_most);
        if room > 0 {
            take(statements, claim, *lane, room, &mut requests, &mut claims)?;
        }
        claims.next_due[lane.index()] = next_due(statements, claim, *lane)?;
    }
    Ok(claims)
}

/// Takes up to `room` messages from the front of a lane, and no more than the requests have places for. They are a run of the table's own order, so that they
/// leave with one statement.
fn take(
    statements: &mut Statements<'_>,
    claim: &Claim,
    lane: Priority,
    room: u32,
    requests: &mut Requests,
    claims: &mut Claims,
) -> Result<(), StoreError> {
    let select = statements.get(FRONT)?;
    let provider = claim.provider.as_str();
    let mut rows =
        select.query(params![provider, lane.index(), claim.now.as_micros(), room]).map_err(error)?;
    let mut last: Option<(Timestamp, MessageId)> = None;
    let (mut due, mut too_late) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next().map_err(error)? {
        let claimed = claimed(row, lane)?;
        let too_late_now = claimed.submission.expires_at.is_some_and(|end| end <= claim.now);
        let limit = claim.requests[lane.index()] as usize;
        if !too_late_now && requests.place(&claimed.submission, lane, limit).is_none() {
            break;
        }
        last = Some((claimed.due_at, claimed.submission.message_id));
        if too_late_now {
            too_late.push(claimed.submission.message_id);
        } else {
            due.push(claimed);
        }
    }
    drop(rows);
    if let Some((due_at, id)) = last {
        let values = params![provider, lane.index(), due_at.as_micros(), id.as_bytes()];
        statements.execute(LEAVE, values)?;
    }
    // What a receipt has settled while it waited does not move any more, and is neither sent nor expired.
    for claimed in due {
        if open_attempt(statements, claim, &claimed.submission)? {
            claims.claimed.push(claimed);
        }
    }
    for message_id in too_late {
        if expire(statements, claim, message_id)? {
            claims.expired.push(message_id);
        }
    }
    Ok(())
}

/// Reads a row of [`FRONT`].
fn claimed(row: &Row<'_>, lane: Priority) -> Result<Claimed, StoreError> {
    let submission = Submission {
        receiver: row::msisdn(row, 0)?,
        message_id: MessageId::from_bytes(get(row, 2)?),
        attempt: get(row, 3)?,
        expires_at: get::<Option<i64>>(row, 5)?.map(Timestamp::from_micros),
        sender: row::optional_word(row, 6)?,
        body: row::body(row, 7)?,
        encoding: word(row, 8)?,
        scenario: word(row, 9)?,
    };
    Ok(Claimed {
        submission,
        priority: lane,
        created_at: Timestamp::from_micros(get(row, 11)?),
        due_at: Timestamp::from_micros(get(row, 4)?),
        segments: get(row, 10)?,
    })
}

fn next_due(
    statements: &mut Statements<'_>,
    claim: &Claim,
    lane: Priority,
) -> Result<Option<Timestamp>, StoreError> {
    let values = params![claim.provider.as_str(), lane.index()];
    let due_at = statements.first(NEXT_DUE, values, |row| row.get(0))?;
    Ok(due_at.map(Timestamp::from_micros))
}

/// Opens an attempt, unless the message needs none any more.
fn open_attempt(
    statements: &mut Statements<'_>,
    claim: &Claim,
    submission: &Submission,
) -> Result<bool, StoreError> {
    let change = Move {
        message_id: submission.message_id,
        event: StatusEvent::Claimed,
        failure: None,
        provider: Some(&claim.provider),
        now: claim.now,
    };
    if !has_moved(move_status(statements, &change)?) {
        return Ok(false);
    }
    statements.execute(
        OPEN,
        params![
            submission.message_id.as_bytes(),
            submission.attempt,
            claim.provider.as_str(),
            claim.node.as_bytes(),
            claim.lease_until.as_micros(),
            claim.now.as_micros(),
        ],
    )?;
    Ok(true)
}

/// Ends a message whose time has run out, unless it has ended already.
fn expire(statements: &mut Statements<'_>, claim: &Claim, message_id: MessageId) -> Result<bool, StoreError> {
    let change = Move {
        message_id,
        event: StatusEvent::TimeRanOut,
        failure: Some(&Failure::new(Reason::Expired)),
        provider: None,
        now: claim.now,
    };
    Ok(has_moved(move_status(statements, &change)?))
}

fn has_moved(moved: Option<(MessageStatus, MessageStatus)>) -> bool {
    moved.is_some_and(|(from, to)| from != to)
}
