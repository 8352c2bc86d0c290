//! What waits, and what waits for too long.

use std::time::Duration;

use domain::ids::MessageId;
use domain::route::ProviderName;
use domain::scenario::Priority;
use domain::time::Timestamp;

use super::super::row::{self, word};
use super::super::sql::{Row, Statements, get, params};
use crate::StoreError;
use crate::port::queue::{AGES, LaneDepth, Place, Stuck, StuckCause, Waiter, Waiting};
use crate::seal::Vault;

/// The front of a lane, without what was settled while it waited.
pub(in super::super) const WAITING: &str = "SELECT m.sealed_receiver, m.country, q.due_at, q.message_id, m.scenario, \
     m.segments, q.refused_by FROM queue q CROSS JOIN states s ON s.message_id = q.message_id \
     CROSS JOIN messages m ON m.id = q.message_id \
     WHERE q.provider = ?1 AND q.lane = ?2 AND q.due_at <= ?3 \
     AND (s.status = 'queued' OR s.status = 'scheduled') \
     AND q.resends = (SELECT coalesce(max(resends), 0) FROM rounds r WHERE r.message_id = q.message_id) \
     ORDER BY q.due_at, q.message_id LIMIT ?4";

pub(in super::super) fn waiting(
    statements: &mut Statements<'_>,
    waiting: &Waiting,
) -> Result<Vec<Waiter>, StoreError> {
    let (vault, mut found) = (statements.vault(), Vec::new());
    for (lane, _) in Priority::ALL.iter().zip(waiting.lanes).filter(|(_, is_wanted)| *is_wanted) {
        let provider = waiting.provider.as_str();
        let values = params![provider, lane.index(), waiting.now.as_micros(), waiting.limit];
        let waiters = statements.collect(WAITING, values, |row| {
            // A claim takes what can't be read off the queue.
            match waiter(&vault, row, &waiting.provider, *lane) {
                Err(StoreError::Corrupt) => Ok(None),
                waiter => waiter.map(Some),
            }
        })?;
        found.extend(waiters.into_iter().flatten());
    }
    Ok(found)
}

fn waiter(
    vault: &Vault,
    row: &Row<'_>,
    provider: &ProviderName,
    priority: Priority,
) -> Result<Waiter, StoreError> {
    let message_id = MessageId::from_bytes(get(row, 3)?);
    Ok(Waiter {
        place: Place { provider: provider.clone(), priority, due_at: row::time(row, 2)?, message_id },
        receiver: row::msisdn(vault, message_id, row, 0)?,
        scenario: word(row, 4)?,
        segments: get(row, 5)?,
        refused_by: row::providers(row, 6)?,
    })
}

/// Counts all that waits in one walk, in the table's own order.
pub(in super::super) const DEPTH: &str = "SELECT provider, lane, count(*), min(due_at), count(*) FILTER (WHERE due_at > ?1), \
     count(*) FILTER (WHERE due_at < ?2), count(*) FILTER (WHERE due_at < ?3), \
     count(*) FILTER (WHERE due_at < ?4) FROM queue GROUP BY provider, lane";

pub(in super::super) fn depth(
    statements: &mut Statements<'_>,
    now: Timestamp,
) -> Result<Vec<LaneDepth>, StoreError> {
    let [a, b, c] = AGES.map(|age| now.minus(Duration::from_secs(age)).as_micros());
    statements.collect(DEPTH, params![now.as_micros(), a, b, c], |row| {
        Ok(LaneDepth {
            provider: word(row, 0)?,
            priority: row::lane(row, 1)?,
            messages: get(row, 2)?,
            oldest_due_at: row::time(row, 3)?,
            later: get(row, 4)?,
            overdue: [get(row, 5)?, get(row, 6)?, get(row, 7)?],
        })
    })
}

/// The first lane after another one: from lane to lane, over all that waits in them.
pub(in super::super) const NEXT_LANE: &str = "SELECT provider, lane FROM queue \
     WHERE (provider, lane) > (?1, ?2) ORDER BY provider, lane LIMIT 1";

pub(in super::super) const STUCK_IN_LANE: &str = "SELECT q.message_id, q.provider, q.lane, q.due_at \
     FROM queue q CROSS JOIN states s ON s.message_id = q.message_id \
     WHERE q.provider = ?1 AND q.lane = ?2 AND q.due_at <= ?3 \
     AND (s.status = 'queued' OR s.status = 'scheduled') \
     AND q.resends = (SELECT coalesce(max(resends), 0) FROM rounds r WHERE r.message_id = q.message_id) \
     ORDER BY q.due_at, q.message_id LIMIT ?4";

/// The open attempts, which are few. Repeats the condition of the partial index.
pub(in super::super) const STUCK_UNDER_WAY: &str = "SELECT a.message_id, a.provider, m.priority, a.started_at \
     FROM attempts a INDEXED BY attempts_open CROSS JOIN messages m ON m.id = a.message_id \
     WHERE a.outcome IS NULL AND a.started_at <= ?1 ORDER BY a.started_at LIMIT ?2";

/// The doubts, which are few. Repeats the condition of the partial index.
pub(in super::super) const STUCK_IN_DOUBT: &str = "SELECT a.message_id, a.provider, m.priority, s.updated_at \
     FROM watches w INDEXED BY watches_in_doubt CROSS JOIN states s ON s.message_id = w.message_id \
     CROSS JOIN attempts a ON a.message_id = w.message_id AND a.number = w.attempt \
     CROSS JOIN messages m ON m.id = w.message_id \
     WHERE w.receiver_hash IS NOT NULL AND s.status = 'sending' AND s.updated_at <= ?1 AND a.outcome = 'ambiguous' \
     AND NOT EXISTS (SELECT 1 FROM attempts l WHERE l.message_id = w.message_id AND l.number > w.attempt) \
     ORDER BY s.updated_at LIMIT ?2";

pub(in super::super) fn stuck(
    statements: &mut Statements<'_>,
    before: Timestamp,
    limit: u32,
) -> Result<Vec<Stuck>, StoreError> {
    let mut found = Vec::new();
    let mut lane: (String, i64) = (String::new(), 0);
    loop {
        let values = params![lane.0, lane.1];
        let next = statements.first(NEXT_LANE, values, |row| Ok((get(row, 0)?, get(row, 1)?)))?;
        let Some(next) = next else { break };
        lane = next;
        let values = params![lane.0, lane.1, before.as_micros(), limit];
        found.extend(
            statements
                .collect(STUCK_IN_LANE, values, |row| stuck_one(row, row::lane(row, 2), StuckCause::Turn))?,
        );
    }
    for (sql, cause) in [(STUCK_UNDER_WAY, StuckCause::Outcome), (STUCK_IN_DOUBT, StuckCause::Certainty)] {
        let values = params![before.as_micros(), limit];
        found.extend(statements.collect(sql, values, |row| stuck_one(row, word(row, 2), cause))?);
    }
    let mut found: Vec<_> = found.into_iter().flatten().collect();
    found.sort_by_key(|stuck| (stuck.since, stuck.message_id));
    found.truncate(limit as usize);
    Ok(found)
}

/// Reads a row; `None` for one that can't be read, which must not hide the others.
fn stuck_one(
    row: &Row<'_>,
    priority: Result<Priority, StoreError>,
    cause: StuckCause,
) -> Result<Option<Stuck>, StoreError> {
    let message_id = MessageId::from_bytes(get(row, 0)?);
    let (Ok(provider), Ok(priority)) = (word(row, 1), priority) else { return Ok(None) };
    Ok(Some(Stuck { message_id, provider, priority, cause, since: row::time(row, 3)? }))
}
