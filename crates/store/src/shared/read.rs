//! What readers ask.

#[path = "read/audit.rs"]
pub(super) mod audit;
#[path = "read/consent.rs"]
pub(super) mod consent;
#[path = "read/erase.rs"]
pub(super) mod erase;
#[path = "read/events.rs"]
pub(super) mod events;
#[path = "read/guard.rs"]
pub(super) mod guard;
#[path = "read/inbound.rs"]
pub(super) mod inbound;
#[path = "read/keys.rs"]
pub(super) mod keys;
#[path = "read/prompts.rs"]
pub(super) mod prompts;
#[path = "read/queue.rs"]
pub(super) mod queue;
#[path = "read/spending.rs"]
pub(super) mod spending;
#[path = "read/templates.rs"]
pub(super) mod templates;
#[path = "read/verifications.rs"]
pub(super) mod verifications;
#[path = "read/watches.rs"]
pub(super) mod watches;
#[path = "read/webhooks.rs"]
pub(super) mod webhooks;

use std::fmt::Write as _;

use domain::ids::{BulkId, MessageId};
use domain::message::MessageStatus;
use domain::route::ProviderName;
use domain::time::Timestamp;

use super::row::{self, MESSAGE, STATE, word};
use super::sql::{self, Row, Statements, Value, get, params};
use crate::StoreError;
use crate::port::messages::{Filter, MessageRecord, MessageSummary, Page};

/// Microseconds in the hour by which messages are indexed: the migration's `created_at / 3600000000`.
pub(super) const HOUR: i64 = 3_600_000_000;

/// The first and the last hour of the index by receiver. One each, for SQLite finds both ends of an index only
/// when asked for them one by one.
pub(super) const OLDEST_HOUR: &str = "SELECT min(created_at / 3600000000) FROM messages";
pub(super) const NEWEST_HOUR: &str = "SELECT max(created_at / 3600000000) FROM messages";

pub(super) const ATTEMPTS: &str = "SELECT number, provider, started_at, ended_at, outcome, reason, provider_code, \
     provider_message_id, segments, cost_micros, cost_currency FROM attempts WHERE message_id = ?1 ORDER BY number";

pub(super) const RECEIPTS: &str = "SELECT received_at, provider, provider_status, status, reason, provider_code, \
     network_code, sealed_raw, attempt, provider_message_id FROM callbacks WHERE message_id = ?1 ORDER BY id";

pub(super) const DRAINED: &str = "SELECT provider, since FROM drained ORDER BY provider";

/// A move into this database that has begun and not ended.
pub(super) const MOVING: &str = "SELECT 1 FROM progress WHERE chore = 'move:source'";

/// Refuses a database of which only a part is there.
pub(super) fn check_whole(statements: &mut Statements<'_>) -> Result<(), StoreError> {
    match statements.first(MOVING, params![], |_row| Ok(()))? {
        Some(()) => Err(StoreError::Moving),
        None => Ok(()),
    }
}

/// Reads something that is always there.
pub(super) fn check(statements: &mut Statements<'_>) -> Result<(), StoreError> {
    statements.first("SELECT writes FROM probe", params![], |row| get::<i64>(row, 0)).map(|_writes| ())
}

pub(super) const STANDS: &str = "SELECT status FROM states WHERE message_id = ?1";

/// One by one: few ask, and seldom.
pub(super) fn statuses(
    statements: &mut Statements<'_>,
    ids: &[MessageId],
) -> Result<Vec<(MessageId, MessageStatus)>, StoreError> {
    let mut statuses = Vec::with_capacity(ids.len());
    for id in ids {
        let status = statements.first(STANDS, params![id.as_bytes()], |row| word(row, 0))?;
        statuses.extend(status.map(|status| (*id, status)));
    }
    Ok(statuses)
}

pub(super) fn message(
    statements: &mut Statements<'_>,
    id: MessageId,
) -> Result<Option<MessageRecord>, StoreError> {
    let (vault, values) = (statements.vault(), params![id.as_bytes()]);
    let read = |row: &Row<'_>| row::summary(&vault, row);
    let Some(summary) = statements.collect_of(&message_sql(), values, read)?.pop() else {
        return Ok(None);
    };
    let attempts = statements.collect(ATTEMPTS, params![id.as_bytes()], row::attempt)?;
    let receipts = statements.collect(RECEIPTS, params![id.as_bytes()], |row| row::receipt(&vault, row))?;
    Ok(Some(MessageRecord { summary, attempts, receipts }))
}

pub(super) fn message_sql() -> String {
    format!(
        "SELECT {MESSAGE}, {STATE} FROM states s JOIN messages m ON m.id = s.message_id WHERE s.message_id = ?1"
    )
}

pub(super) fn messages(
    statements: &mut Statements<'_>,
    filter: &Filter,
    page: Page,
) -> Result<Vec<MessageSummary>, StoreError> {
    match filter.receiver {
        Some(_) => messages_of_receiver(statements, filter, page),
        None => newest(statements, filter, page, None, page.limit),
    }
}

/// The index is by hour first: walks back hour by hour, from the newest wanted to the oldest there is.
fn messages_of_receiver(
    statements: &mut Statements<'_>,
    filter: &Filter,
    page: Page,
) -> Result<Vec<MessageSummary>, StoreError> {
    let mut bound = |sql| statements.first(sql, params![], |row| get::<Option<i64>>(row, 0));
    let (Some(oldest), Some(newest_hour)) = (bound(OLDEST_HOUR)?.flatten(), bound(NEWEST_HOUR)?.flatten())
    else {
        return Ok(Vec::new());
    };
    let first = filter.until.map_or(newest_hour, |until| newest_hour.min(until.as_micros() / HOUR));
    let last = filter.since.map_or(oldest, |since| oldest.max(since.as_micros() / HOUR));
    let mut found = Vec::new();
    let mut hour = first;
    while hour >= last && found.len() < page.limit as usize {
        let missing = page.limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        found.extend(newest(statements, filter, page, Some(hour), missing)?);
        hour -= 1;
    }
    Ok(found)
}

fn newest(
    statements: &mut Statements<'_>,
    filter: &Filter,
    page: Page,
    hour: Option<i64>,
    limit: u32,
) -> Result<Vec<MessageSummary>, StoreError> {
    let vault = statements.vault();
    let receiver = filter.receiver.map(|receiver| vault.blind(receiver));
    let (sql, values) = newest_sql(filter, receiver, page, hour, limit);
    statements.collect_of(&sql, sql::list(values), |row| row::summary(&vault, row))
}

/// The words of the partial index `states_in_trouble`.
fn is_trouble(status: MessageStatus) -> bool {
    use MessageStatus::{Canceled, Expired, Failed, Undelivered};
    matches!(status, Undelivered | Failed | Canceled | Expired)
}

/// The query for a page, within one hour of the index by receiver where the receiver is given.
pub(super) fn newest_sql(
    filter: &Filter,
    receiver: Option<i64>,
    page: Page,
    hour: Option<i64>,
    limit: u32,
) -> (String, Vec<Value>) {
    let mut sql = format!("SELECT {MESSAGE}, {STATE} FROM ");
    let mut values: Vec<Value> = Vec::new();
    let mut conditions: Vec<String> = Vec::new();
    let mut condition = |sql: &str, value: Value| {
        values.push(value);
        conditions.push(sql.replace('?', &format!("?{}", values.len())));
    };
    // The order of the tables is ours (CROSS JOIN): the walk back goes through the one that tells more messages
    // apart. The rows of states are a tenth of those of messages.
    let in_trouble = filter.status.is_some_and(is_trouble);
    let stands_somewhere = filter.status.is_some() || filter.provider.is_some();
    let by_state = receiver.is_none() && (in_trouble || (stands_somewhere && filter.caller.is_none()));
    let (tables, id) = if by_state {
        ("states s CROSS JOIN messages m ON m.id = s.message_id", "s.message_id")
    } else {
        ("messages m CROSS JOIN states s ON s.message_id = m.id", "m.id")
    };
    let _ = write!(sql, "{tables} WHERE true");
    if let Some(status) = filter.status {
        // The word itself, not a value: only so can SQLite tell that the partial index of trouble has all such
        // rows.
        let column = if in_trouble { sql::TROUBLE } else { "s.status" };
        let _ = write!(sql, " AND {column} = '{status}'");
    }
    if let Some(hour) = hour {
        condition("m.created_at / 3600000000 = ?", Value::Integer(hour));
    }
    if let Some(receiver) = receiver {
        condition("m.receiver_hash = ?", Value::Integer(receiver));
    }
    if let Some(caller) = filter.caller {
        // A plus keeps a column from choosing the index: these have better ones.
        let better = receiver.is_some() || by_state;
        let of_caller = if better { "+m.caller = ?" } else { "m.caller = ?" };
        condition(of_caller, Value::Blob(caller.as_bytes().to_vec()));
    }
    if let Some(scenario) = filter.scenario {
        condition("m.scenario = ?", Value::Text(scenario.as_str().into()));
    }
    if let Some(provider) = &filter.provider {
        condition("s.provider = ?", Value::Text(provider.as_str().into()));
    }
    // Ids begin with the time of creation: a bound on the id keeps the scan short, the exact one follows.
    if let Some(since) = filter.since {
        condition(&format!("{id} >= ?"), Value::Blob(first_id(since).to_vec()));
        condition("m.created_at >= ?", Value::Integer(since.as_micros()));
    }
    if let Some(until) = filter.until {
        let last = MessageId::new(until, [255; 10]).as_bytes().to_vec();
        condition(&format!("{id} <= ?"), Value::Blob(last));
        condition("m.created_at < ?", Value::Integer(until.as_micros()));
    }
    if let Some(after) = page.after {
        condition(&format!("{id} < ?"), Value::Blob(after.as_bytes().to_vec()));
    }
    for condition in conditions {
        sql.push_str(" AND ");
        sql.push_str(&condition);
    }
    values.push(Value::Integer(limit.into()));
    let _ = write!(sql, " ORDER BY {id} DESC LIMIT ?{}", values.len());
    (sql, values)
}

/// The messages of a bulk request. All ids of a request begin with its millisecond, so that no index is needed.
pub(super) fn messages_of_bulk(
    statements: &mut Statements<'_>,
    id: BulkId,
) -> Result<Vec<MessageSummary>, StoreError> {
    let (mut begin, mut end) = (*id.as_bytes(), *id.as_bytes());
    begin[6..].fill(0);
    end[6..].fill(0xff);
    let vault = statements.vault();
    let read = |row: &Row<'_>| row::summary(&vault, row);
    statements.collect_of(&of_bulk_sql(), params![begin, end, id.as_bytes()], read)
}

pub(super) fn of_bulk_sql() -> String {
    format!(
        "SELECT {MESSAGE}, {STATE} FROM messages m CROSS JOIN states s ON s.message_id = m.id \
         WHERE m.id >= ?1 AND m.id <= ?2 AND m.bulk_id = ?3"
    )
}

pub(super) fn drained(statements: &mut Statements<'_>) -> Result<Vec<(ProviderName, Timestamp)>, StoreError> {
    statements.collect(DRAINED, params![], |row| Ok((word(row, 0)?, row::time(row, 1)?)))
}

/// What no id of a message comes before that was accepted at this time or later: ids begin with the millisecond.
pub(super) fn first_id(time: Timestamp) -> [u8; 16] {
    let mut id = *MessageId::new(time, [0; 10]).as_bytes();
    id[6..].fill(0);
    id
}
