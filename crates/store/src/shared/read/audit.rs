//! Reading the audit trail.

use std::fmt::Write as _;
use std::time::Duration;

use domain::audit::{Checkpoint, Entry, Forgotten, Head, Kept, Part, Sealed};
use domain::ids::MessageId;
use domain::time::Timestamp;

use super::super::row::time;
use super::super::sql::{self, Row, Statements, Value, get, params};
use crate::StoreError;
use crate::port::audit::{AuditChain, AuditCursor, AuditFilter, AuditPage};
use crate::port::messages::{Filter, Page};

/// The columns of an entry, for [`kept`].
const ENTRY: &str = "chain, seq, at, actor, event, message_id, receiver, provider, length, segments, outcome, \
     subject, hash";

pub(in super::super) const HEAD: &str = "SELECT chain, seq, at, hash, forgotten_seq, forgotten_hash, code, \
     last_checkpoint FROM audit_heads WHERE chain = ?1";

/// The next number of a chain that has entries, or a head.
pub(in super::super) const NEXT_WITH_ENTRIES: &str =
    "SELECT chain FROM audit WHERE chain > ?1 ORDER BY chain LIMIT 1";
pub(in super::super) const NEXT_WITH_HEAD: &str =
    "SELECT chain FROM audit_heads WHERE chain > ?1 ORDER BY chain LIMIT 1";

pub(in super::super) const FIRST: &str =
    "SELECT seq, at FROM audit WHERE chain = ?1 AND seq >= ?2 ORDER BY seq LIMIT 1";
pub(in super::super) const LAST: &str =
    "SELECT seq, at FROM audit WHERE chain = ?1 ORDER BY seq DESC LIMIT 1";

pub(in super::super) const PART: &str = "SELECT chain, seq, at, actor, event, message_id, receiver, provider, length, \
     segments, outcome, subject, hash FROM audit WHERE chain = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";

const CHECKPOINTS: &str =
    "SELECT number, at, seen, previous, hash, signature FROM audit_checkpoints ORDER BY number";

/// How many of a receiver's messages are looked at, newest first.
const MESSAGES_OF_RECEIVER: u32 = 1_000;

/// How long before its first entry a message may have been accepted: scheduled far ahead, and a time to spare. And how far
/// clocks that were set may put an entry before its message.
const LONGEST_LIFE: Duration = Duration::from_hours(40 * 24);
const SLACK: Duration = Duration::from_hours(24);

/// A head as it is kept.
pub(in super::super) fn sealed(row: &Row<'_>) -> Result<Sealed, StoreError> {
    let forgotten = Forgotten { seq: get(row, 4)?, hash: get(row, 5)? };
    let head = Head {
        chain: get(row, 0)?,
        seq: get(row, 1)?,
        at: time(row, 2)?,
        hash: get(row, 3)?,
        forgotten,
        last_checkpoint: get(row, 7)?,
    };
    Ok(Sealed { head, code: get(row, 6)? })
}

/// A row that may not be what was written.
fn kept(row: &Row<'_>) -> Result<Kept, StoreError> {
    Ok(Kept { chain: get(row, 0)?, seq: get(row, 1)?, at: time(row, 2)?, entry: entry(row).ok() })
}

fn entry(row: &Row<'_>) -> Result<Entry, StoreError> {
    let owned = |at| get::<Option<String>>(row, at);
    Ok(Entry {
        chain: get(row, 0)?,
        seq: get(row, 1)?,
        at: time(row, 2)?,
        actor: get(row, 3)?,
        event: get::<String>(row, 4)?.into(),
        message_id: get::<Option<[u8; 16]>>(row, 5)?.map(MessageId::from_bytes),
        receiver: get(row, 6)?,
        provider: owned(7)?,
        length: get(row, 8)?,
        segments: get(row, 9)?,
        outcome: owned(10)?.map(Into::into),
        subject: owned(11)?,
        hash: get(row, 12)?,
    })
}

/// One by one: an index that is walked whole would take the longer the more entries there are.
pub(in super::super) fn chains(statements: &mut Statements<'_>) -> Result<Vec<AuditChain>, StoreError> {
    let mut chains = Vec::new();
    let mut passed = 0;
    loop {
        let mut next = |sql| statements.first(sql, params![passed], |row| get::<i64>(row, 0));
        let found = [next(NEXT_WITH_ENTRIES)?, next(NEXT_WITH_HEAD)?];
        let Some(chain) = found.into_iter().flatten().min() else { return Ok(chains) };
        let first = statements.first(FIRST, params![chain, i64::MIN], |row| get(row, 0))?.unwrap_or(0);
        let last = statements.first(LAST, params![chain], |row| get(row, 0))?.unwrap_or(0);
        chains.push(AuditChain { chain, first, last });
        passed = chain;
    }
}

pub(in super::super) fn part(
    statements: &mut Statements<'_>,
    chain: i64,
    behind: i64,
    limit: u32,
) -> Result<Part, StoreError> {
    let head = statements.first(HEAD, params![chain], |row| Ok(sealed(row).ok()))?.flatten();
    let entries = statements.collect(PART, params![chain, behind, limit], kept)?;
    let is_last = entries.len() < limit as usize;
    Ok(Part { head, entries, is_last })
}

pub(in super::super) fn checkpoints(
    statements: &mut Statements<'_>,
) -> Result<(Option<Sealed>, Vec<Checkpoint>), StoreError> {
    let head = statements.first(HEAD, params![0_i64], |row| Ok(sealed(row).ok()))?.flatten();
    let checkpoints = statements.collect(CHECKPOINTS, params![], |row| {
        // One that somebody has changed does not hold: that is for whoever verifies to say.
        let seen = get::<Vec<u8>>(row, 2).ok().and_then(|bytes| Checkpoint::read_heads(&bytes));
        Ok(Checkpoint {
            number: get(row, 0)?,
            at: time(row, 1)?,
            seen: seen.unwrap_or_default(),
            previous: get(row, 3).unwrap_or_default(),
            hash: get(row, 4).unwrap_or_default(),
            signature: get(row, 5).unwrap_or_default(),
        })
    })?;
    Ok((head, checkpoints))
}

/// The place of the first entry of a chain at a time or later; behind its end if there is none. Time never goes back in a
/// chain, so halving finds it.
pub(in super::super) fn place(
    statements: &mut Statements<'_>,
    chain: i64,
    at: Timestamp,
) -> Result<i64, StoreError> {
    let entry = |row: &Row<'_>| Ok((get::<i64>(row, 0)?, time(row, 1)?));
    let Some((first, _)) = statements.first(FIRST, params![chain, i64::MIN], entry)? else { return Ok(1) };
    let Some((last, _)) = statements.first(LAST, params![chain], entry)? else { return Ok(1) };
    // All before `low` are earlier, all from `high` on are not.
    let (mut low, mut high) = (first, last + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        match statements.first(FIRST, params![chain, middle], entry)? {
            Some((seq, time)) if time < at => low = seq + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// A page of entries, newest first: by the way that leads to few of them. `receiver` is the keyed hash of the filter's.
pub(in super::super) fn page(
    statements: &mut Statements<'_>,
    filter: &AuditFilter,
    receiver: Option<i64>,
    page: AuditPage,
) -> Result<Vec<Entry>, StoreError> {
    match (filter.message_id, receiver) {
        (Some(id), _) => {
            let mut found = run(statements, of_message_sql(filter, id))?;
            found.retain(|entry| receiver.is_none_or(|receiver| entry.receiver == Some(receiver)));
            Ok(cut(found, page))
        }
        (None, Some(receiver)) => of_receiver(statements, filter, receiver, page),
        (None, None) if filter.event.is_some_and(|event| !event.is_of_message()) => {
            run(statements, of_no_message_sql(filter, None, page))
        }
        (None, None) => newest(statements, filter, page),
    }
}

/// The page out of all that there is.
fn cut(mut found: Vec<Entry>, page: AuditPage) -> Vec<Entry> {
    found.retain(|entry| page.after.is_none_or(|after| AuditCursor::from(entry) < after));
    found.sort_by_key(|entry| std::cmp::Reverse(AuditCursor::from(entry)));
    found.truncate(page.limit as usize);
    found
}

/// An id begins with the millisecond at which its message was accepted.
fn accepted_at(id: MessageId) -> Timestamp {
    let millis = id.as_bytes().iter().take(6).fold(0, |millis, byte| (millis << 8) | i64::from(*byte));
    Timestamp::from_micros(millis * 1_000)
}

/// A query under construction.
struct Query {
    sql: String,
    values: Vec<Value>,
}

impl Query {
    fn new() -> Self {
        Self { sql: format!("SELECT {ENTRY} FROM audit WHERE true"), values: Vec::new() }
    }

    fn and(&mut self, condition: &str, value: Value) {
        self.values.push(value);
        let _ = write!(self.sql, " AND {}", condition.replace('?', &format!("?{}", self.values.len())));
    }

    /// What comes after a time, chain and place, newest first. Bound, so that all pages are one statement.
    fn behind(&mut self, cursor: [i64; 3]) {
        let first = self.values.len();
        self.values.extend(cursor.map(Value::Integer));
        let [at, chain, seq] = [1, 2, 3].map(|place| first + place);
        let _ = write!(
            self.sql,
            " AND at <= ?{at} AND (at < ?{at} OR chain < ?{chain} OR (chain = ?{chain} AND seq < ?{seq}))"
        );
    }

    /// What the filter asks of each entry.
    fn filter(&mut self, filter: &AuditFilter) {
        if let Some(event) = filter.event {
            self.and("event = ?", Value::Text(event.as_str().into()));
        }
        if let Some(actor) = &filter.actor {
            self.and("actor = ?", Value::Text(actor.to_string()));
        }
        if let Some(since) = filter.since {
            self.and("at >= ?", Value::Integer(since.as_micros()));
        }
        if let Some(until) = filter.until {
            self.and("at < ?", Value::Integer(until.as_micros()));
        }
    }

    fn ordered(mut self, order: &str, limit: u32) -> (String, Vec<Value>) {
        self.values.push(Value::Integer(limit.into()));
        let _ = write!(self.sql, " ORDER BY {order} LIMIT ?{}", self.values.len());
        (self.sql, self.values)
    }
}

/// What can't be read is left out, for whoever verifies.
fn run(
    statements: &mut Statements<'_>,
    (sql, values): (String, Vec<Value>),
) -> Result<Vec<Entry>, StoreError> {
    let found = statements.collect_of(&sql, sql::list(values), |row| Ok(entry(row).ok()))?;
    Ok(found.into_iter().flatten().collect())
}

const NEWEST_FIRST: &str = "at DESC, chain DESC, seq DESC";

/// The query for a message's entries.
pub(in super::super) fn of_message_sql(filter: &AuditFilter, id: MessageId) -> (String, Vec<Value>) {
    let mut query = Query::new();
    query.and("message_id = ?", Value::Blob(id.as_bytes().to_vec()));
    // By which PostgreSQL tells the weeks.
    query.and("at >= ?", Value::Integer(accepted_at(id).minus(SLACK).as_micros()));
    query.filter(filter);
    query.ordered(NEWEST_FIRST, u32::MAX)
}

/// By way of the receiver's messages, and of what was refused.
fn of_receiver(
    statements: &mut Statements<'_>,
    filter: &AuditFilter,
    receiver: i64,
    page: AuditPage,
) -> Result<Vec<Entry>, StoreError> {
    let until = [filter.until, page.after.map(|after| after.at.plus(SLACK))].into_iter().flatten().min();
    let of_messages = Filter {
        receiver: filter.receiver,
        since: filter.since.map(|since| since.minus(LONGEST_LIFE)),
        until,
        ..Filter::default()
    };
    let newest = Page { after: None, limit: MESSAGES_OF_RECEIVER };
    let mut found = run(statements, of_no_message_sql(filter, Some(receiver), page))?;
    for message in super::messages(statements, &of_messages, newest)? {
        found.extend(run(statements, of_message_sql(filter, message.message.id))?);
    }
    Ok(cut(found, page))
}

/// The query for what is not of a message, which is found among all others by an index of its own.
pub(in super::super) fn of_no_message_sql(
    filter: &AuditFilter,
    receiver: Option<i64>,
    page: AuditPage,
) -> (String, Vec<Value>) {
    let mut query = Query::new();
    // Word for word what the index says.
    query.sql.push_str(" AND message_id IS NULL");
    query.filter(filter);
    if let Some(receiver) = receiver {
        query.and("receiver = ?", Value::Integer(receiver));
    }
    if let Some(AuditCursor { at, chain, seq }) = page.after {
        query.behind([at.as_micros(), chain, seq]);
    }
    query.ordered(NEWEST_FIRST, page.limit)
}

/// Walks all chains back, each from the place of the cursor.
fn newest(
    statements: &mut Statements<'_>,
    filter: &AuditFilter,
    page: AuditPage,
) -> Result<Vec<Entry>, StoreError> {
    let mut found = Vec::new();
    for AuditChain { chain, first, last } in chains(statements)? {
        let mut end = last + 1;
        if let Some(after) = page.after {
            // Of entries of one moment, those of higher chains come first.
            let behind = if chain < after.chain { after.at.plus(Duration::from_micros(1)) } else { after.at };
            end = if chain == after.chain { after.seq } else { place(statements, chain, behind)? };
        }
        if let Some(until) = filter.until {
            end = end.min(place(statements, chain, until)?);
        }
        let begin = match filter.since {
            Some(since) => place(statements, chain, since)?,
            None => first,
        };
        if begin >= end {
            continue;
        }
        let mut query = Query::new();
        query.and("chain = ?", Value::Integer(chain));
        query.and("seq >= ?", Value::Integer(begin));
        query.and("seq < ?", Value::Integer(end));
        query.filter(filter);
        found.extend(run(statements, query.ordered("seq DESC", page.limit))?);
    }
    Ok(cut(found, page))
}
