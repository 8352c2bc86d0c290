//! Quotas one by one, for whoever is alone in the database.

use std::collections::{BTreeMap, BTreeSet};

use domain::time::Timestamp;

use super::sql::{Row, Statements, column, get, params};
use crate::StoreError;
use crate::quotas::Book;

const KEPT: &str = "SELECT value FROM quotas WHERE quota = $1";

const KEEP: &str = "INSERT INTO quotas (quota, value, ends_at) VALUES ($1, $2, $3) \
     ON CONFLICT (quota) DO UPDATE SET value = excluded.value, ends_at = excluded.ends_at";

/// A quota that has ended takes nothing more.
const ADJUST: &str = "UPDATE quotas SET value = value + $2 WHERE quota = $1 AND ends_at > $3";

/// What has ended, and what somebody looked at and did not draw on. What somebody draws on now is passed by.
const FORGET: &str = "DELETE FROM quotas WHERE (ends_at < $1 OR value IS NULL) AND quota IN \
     (SELECT quota FROM quotas WHERE ends_at < $1 OR value IS NULL LIMIT $2 FOR UPDATE SKIP LOCKED)";

/// The number of a quota; `None` where nothing was drawn.
pub(super) fn kept(statements: &mut Statements<'_>, quota: i64) -> Result<Option<i64>, StoreError> {
    Ok(statements.first(KEPT, params![quota], |row| get::<Option<i64>>(row, 0))?.flatten())
}

const KEPT_OF: &str = "SELECT quota, value FROM quotas WHERE quota = ANY($1::int8[])";

/// Enters the numbers of these into a book: one question for all of them.
pub(super) fn enter(
    statements: &mut Statements<'_>,
    quotas: impl Iterator<Item = i64>,
    book: &mut Book,
) -> Result<(), StoreError> {
    let quotas: BTreeSet<i64> = quotas.collect();
    if quotas.is_empty() {
        return Ok(());
    }
    let read = |row: &Row<'_>| Ok((get::<i64>(row, 0)?, get::<Option<i64>>(row, 1)?));
    let found = statements.collect(KEPT_OF, params![column(&quotas)], read)?;
    let mut kept: BTreeMap<i64, Option<i64>> = quotas.into_iter().map(|quota| (quota, None)).collect();
    kept.extend(found);
    for (quota, value) in kept {
        book.enter(quota, value);
    }
    Ok(())
}

/// The same, for whoever only reads.
pub(super) fn shown(statements: &mut Statements<'_>, quota: i64) -> Result<Option<i64>, StoreError> {
    kept(statements, quota)
}

/// Keeps what was drawn.
pub(super) fn keep(
    statements: &mut Statements<'_>,
    quota: i64,
    value: i64,
    ends_at: Timestamp,
) -> Result<(), StoreError> {
    statements.send(KEEP, params![quota, value, ends_at.as_micros()])
}

/// Changes the number of a quota, unless it has ended.
pub(super) fn adjust(
    statements: &mut Statements<'_>,
    quota: i64,
    difference: i64,
    now: Timestamp,
) -> Result<(), StoreError> {
    statements.execute(ADJUST, params![quota, difference, now.as_micros()]).map(|_changed| ())
}

/// Forgets what has ended; answers how many.
pub(super) fn forget(
    statements: &mut Statements<'_>,
    now: Timestamp,
    limit: u32,
) -> Result<usize, StoreError> {
    statements.execute(FORGET, params![now.as_micros(), limit])
}
