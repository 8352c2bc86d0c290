//! Claiming from the front of lanes, past what other writers are taking.

use std::collections::{HashMap, HashSet};

use domain::batch::Requests;
use domain::ids::MessageId;
use domain::message::{MessageStatus, StatusEvent};
use domain::scenario::Priority;
use domain::time::Timestamp;

use super::ids;
use crate::StoreError;
use crate::port::queue::{Claim, Claimed, Claims};
use crate::postgres::row::{optional_time, word};
use crate::postgres::sql::{Statements, column, get, params};
use crate::postgres::write::claim::{Sorted, sort};

/// The front of a lane, as `write::claim::FRONT` reads it, without what another writer is taking.
const FRONT: &str = "SELECT m.sealed_receiver, m.country, q.message_id, q.attempt, q.due_at, \
     q.expires_at, m.sender, m.sealed_body, m.encoding, m.scenario, m.segments, m.created_at, m.scheduled_at, \
     q.refused_by, q.resends, coalesce(r.resends, 0), r.began_at \
     FROM queue q JOIN messages m ON m.id = q.message_id LEFT JOIN rounds r ON r.message_id = q.message_id \
     WHERE q.provider = $1 AND q.lane = $2 AND q.due_at <= $3 ORDER BY q.due_at, q.message_id LIMIT $4 \
     FOR UPDATE OF q SKIP LOCKED";

/// When the first message of each lane is due.
const NEXT_DUE: &str = "SELECT (SELECT due_at FROM queue WHERE provider = $1 AND lane = l.lane \
     ORDER BY due_at LIMIT 1) FROM generate_series(0, 3) AS l (lane) ORDER BY l.lane";

/// Locks those that nobody else is deciding about.
const LOCK: &str = "SELECT message_id, status FROM states WHERE message_id = ANY($1::uuid[]) \
     AND message_id BETWEEN $2 AND $3 FOR UPDATE SKIP LOCKED";

/// How many of these have a state at all.
const COUNT: &str = "SELECT count(*) FROM states WHERE message_id = ANY($1::uuid[])";

/// Takes all of `$2` to `$4` off the queue, opens attempts for those of `$5`, but for those that were made already (their
/// place in the queue was left over), and moves what has an attempt now.
const TAKE: &str = "WITH gone AS (DELETE FROM queue q \
     USING UNNEST($2::int2[], $3::int8[], $4::uuid[]) AS e (lane, due_at, id) \
     WHERE q.provider = $1 AND q.lane = e.lane AND q.due_at = e.due_at AND q.message_id = e.id), \
     opened AS (INSERT INTO attempts (message_id, number, provider, node, lease_until, started_at) \
     SELECT e.message_id, e.number, $1, $7, $8, $9 FROM UNNEST($5::uuid[], $6::int4[]) AS e (message_id, number) \
     ON CONFLICT DO NOTHING RETURNING message_id) \
     UPDATE states s SET status = 'sending', provider = $1, reason = NULL, provider_code = NULL, updated_at = $9 \
     FROM opened o WHERE s.message_id = o.message_id RETURNING s.message_id";

/// `None` where anything is out of the ordinary: then nothing was written.
pub(super) fn run(statements: &mut Statements<'_>, claim: &Claim) -> Result<Option<Claims>, StoreError> {
    let mut claims = Claims { senders: claim.senders.clone(), ..Claims::default() };
    let next_due = next_due(statements, claim)?;
    let is_due = next_due.map(|due| due.is_some_and(|due| due <= claim.now));
    let mut requests = Requests::new(claim.receivers_per_request);
    let mut found: Vec<Claimed> = Vec::new();
    for lane in Priority::ALL.iter().filter(|lane| is_due[lane.index()]) {
        let room = claim.room(*lane, found.len(), requests.count(), is_due);
        if room.messages == 0 {
            continue;
        }
        // No more than may leave: what is read is locked, and so passed by for others.
        let room = (room, room.messages);
        let sorted = sort(statements, FRONT, claim, *lane, room, &mut requests, &mut claims.senders)?;
        if !is_plain(&sorted) {
            return Ok(None);
        }
        found.extend(sorted.due.into_iter().map(|front| front.claimed));
    }
    if found.is_empty() {
        claims.next_due = next_due;
        return Ok(Some(claims));
    }
    let Some(standing) = lock(statements, &found)? else { return Ok(None) };
    claims.claimed = take(statements, claim, found, &standing)?;
    claims.next_due = self::next_due(statements, claim)?;
    Ok(Some(claims))
}

/// Whether all that was found may leave now: nothing is late, held, damaged or left over.
fn is_plain(sorted: &Sorted) -> bool {
    sorted.too_late.is_empty()
        && sorted.held.is_empty()
        && sorted.unreadable.is_empty()
        && sorted.erased.is_empty()
        && sorted.left_over == 0
}

fn next_due(
    statements: &mut Statements<'_>,
    claim: &Claim,
) -> Result<[Option<Timestamp>; Priority::ALL.len()], StoreError> {
    let lanes =
        statements.collect(NEXT_DUE, params![claim.provider.as_str()], |row| optional_time(row, 0))?;
    lanes.try_into().map_err(|_fewer| StoreError::Internal("a lane is missing".into()))
}

/// Takes messages off the queue and opens their attempts. Those that somebody else decides about at this moment stay;
/// those that were settled while they waited leave without an attempt.
fn take(
    statements: &mut Statements<'_>,
    claim: &Claim,
    mut found: Vec<Claimed>,
    standing: &HashMap<MessageId, MessageStatus>,
) -> Result<Vec<Claimed>, StoreError> {
    found.retain(|claimed| standing.contains_key(&claimed.submission.message_id));
    let may_leave = |claimed: &&Claimed| {
        let stands = standing.get(&claimed.submission.message_id).copied();
        stands.is_some_and(|stands| stands.after(StatusEvent::Claimed) != stands)
    };
    let leaving: Vec<&Claimed> = found.iter().filter(may_leave).collect();
    let values = params![
        claim.provider.as_str(),
        column(found.iter().map(|claimed| claimed.priority.index())),
        column(found.iter().map(|claimed| claimed.due_at.as_micros())),
        ids(found.iter().map(|claimed| &claimed.submission.message_id)),
        ids(leaving.iter().map(|claimed| &claimed.submission.message_id)),
        column(leaving.iter().map(|claimed| claimed.submission.attempt)),
        claim.node.as_bytes(),
        claim.lease_until.as_micros(),
        claim.now.as_micros(),
    ];
    let taken = statements.collect(TAKE, values, |row| Ok(MessageId::from_bytes(get(row, 0)?)))?;
    let taken: HashSet<MessageId> = taken.into_iter().collect();
    found.retain(|claimed| taken.contains(&claimed.submission.message_id));
    Ok(found)
}

/// Where messages stand of which nobody else decides at this moment. `None` if one of all can't be read, or has no state:
/// such a message would stay at the front for ever.
fn lock(
    statements: &mut Statements<'_>,
    found: &[Claimed],
) -> Result<Option<HashMap<MessageId, MessageStatus>>, StoreError> {
    let messages = || found.iter().map(|claimed| &claimed.submission.message_id);
    let (Some(first), Some(last)) = (messages().min(), messages().max()) else {
        return Ok(Some(HashMap::new()));
    };
    let values = params![ids(messages()), first.as_bytes(), last.as_bytes()];
    let rows = statements.collect(LOCK, values, |row| {
        Ok((MessageId::from_bytes(get(row, 0)?), word::<MessageStatus>(row, 1).ok()))
    })?;
    if rows.iter().any(|(_, status)| status.is_none()) {
        return Ok(None);
    }
    let standing: HashMap<_, _> = rows.into_iter().filter_map(|(id, status)| Some((id, status?))).collect();
    let elsewhere: Vec<&MessageId> = messages().filter(|id| !standing.contains_key(id)).collect();
    if !elsewhere.is_empty() {
        let there =
            statements.first(COUNT, params![ids(elsewhere.iter().copied())], |row| get::<usize>(row, 0))?;
        if there != Some(elsewhere.len()) {
            return Ok(None);
        }
    }
    Ok(Some(standing))
}
