//! Quotas of all requests that gathered.

use std::collections::{BTreeMap, BTreeSet};

use domain::time::Timestamp;

use crate::StoreError;
use crate::port::messages::Accept;
use crate::postgres::sql::{Statements, Value, column, get, params};
use crate::quotas::Book;

/// Reads quotas and keeps others from drawing on them, in the order of their numbers, so that nobody waits in a circle: first
/// those that are there, then those that are not. Nobody who adds some holds up whoever still looks for his.
///
/// What nobody has drawn on yet is added as it will be if all is granted, which is nearly always: so it is written once. Where
/// somebody else adds the same at this moment, this fails once he has committed, and is run again: see [`errors`](super::super::errors).
const LOCK: &str = "WITH found AS (SELECT quota, value FROM quotas WHERE quota = ANY($1::int8[]) ORDER BY quota FOR UPDATE), \
     added AS (INSERT INTO quotas (quota, value, ends_at) SELECT e.quota, e.value, e.ends_at \
     FROM UNNEST($1::int8[], $2::int8[], $3::int8[]) AS e (quota, value, ends_at) \
     WHERE NOT EXISTS (SELECT 1 FROM found f WHERE f.quota = e.quota) ORDER BY e.quota RETURNING quota, value, true) \
     SELECT quota, value, false FROM found UNION ALL SELECT * FROM added";

/// Asks for the quotas of these messages, as they stand until this transaction ends: see [`book`]. Those in `also` are locked
/// with them, so that whoever changes them afterwards waits for nobody. Answers whether there are any.
pub(super) fn lock(
    statements: &mut Statements<'_>,
    accepts: &[&Accept],
    also: BTreeSet<i64>,
) -> Result<bool, StoreError> {
    let quotas = accepts.iter().flat_map(|accept| &accept.messages).flat_map(|new| &new.draws);
    let mut first: BTreeMap<i64, Option<(i64, Timestamp)>> =
        also.into_iter().map(|quota| (quota, None)).collect();
    first.extend(quotas.map(|draw| (draw.quota, None)));
    if first.is_empty() {
        return Ok(false);
    }
    let mut granted = Book::default();
    for accept in accepts {
        // What is refused at once is refused also of what is there.
        _ = granted.draw(&accept.messages);
    }
    first
        .extend(granted.changes().into_iter().map(|(quota, value, ends_at)| (quota, Some((value, ends_at)))));
    let values = params![
        column(first.keys().copied()),
        column(first.values().map(|first| first.map(|(value, _)| value))),
        column(first.values().map(|first| first.map(|(_, ends_at)| ends_at.as_micros()))),
    ];
    statements.ask_early(LOCK, values)?;
    Ok(true)
}

/// The quotas that were asked for.
pub(super) fn book(statements: &mut Statements<'_>) -> Result<Book, StoreError> {
    let rows = statements.collect(LOCK, params![], |row| {
        Ok((get::<i64>(row, 0)?, get::<Option<i64>>(row, 1)?, get::<bool>(row, 2)?))
    })?;
    let mut book = Book::default();
    for (quota, value, is_new) in rows {
        if is_new { book.enter_new(quota, value) } else { book.enter(quota, value) }
    }
    Ok(book)
}

/// What was drawn, as columns: quota, number, and when it ends.
pub(super) fn changes(book: &Book) -> [Value; 3] {
    let changes = book.corrections();
    [
        column(changes.iter().map(|(quota, _)| *quota)),
        column(changes.iter().map(|(_, kept)| kept.map(|(value, _)| value))),
        column(changes.iter().map(|(_, kept)| kept.map(|(_, ends_at)| ends_at.as_micros()))),
    ]
}

const KEEP: &str = "UPDATE quotas q SET value = e.value, ends_at = e.ends_at \
     FROM UNNEST($1::int8[], $2::int8[], $3::int8[]) AS e (quota, value, ends_at) WHERE q.quota = e.quota";

/// Keeps what was drawn, where no message is stored with it.
pub(super) fn keep(statements: &mut Statements<'_>, book: &Book) -> Result<(), StoreError> {
    if book.corrections().is_empty() {
        return Ok(());
    }
    statements.send(KEEP, changes(book))
}
