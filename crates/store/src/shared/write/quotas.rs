//! Quotas, one by one.

use domain::quota::Left;
use domain::time::Timestamp;

use super::super::sql::{FORGET_QUOTAS, Statements, get, params};
use crate::StoreError;
use crate::port::messages::Limited;
use crate::quotas::{Book, Drawing};

pub(in super::super) const KEPT: &str = "SELECT value FROM quotas WHERE quota = ?1";

const KEEP: &str = "INSERT INTO quotas (quota, value, ends_at) VALUES (?1, ?2, ?3) \
     ON CONFLICT (quota) DO UPDATE SET value = excluded.value, ends_at = excluded.ends_at";

/// Draws for all of these messages, or for none.
pub(super) fn draw<'a>(
    statements: &mut Statements<'_>,
    drawings: impl IntoIterator<Item = impl Into<Drawing<'a>>>,
) -> Result<Result<Vec<Left>, Vec<Limited>>, StoreError> {
    let drawings: Vec<Drawing<'_>> = drawings.into_iter().map(Into::into).collect();
    let mut book = Book::default();
    for quota in drawings.iter().flat_map(|drawing| drawing.draws).map(|draw| draw.quota) {
        if !book.knows(quota) {
            let kept = statements.first(KEPT, params![quota], |row| get::<Option<i64>>(row, 0))?;
            book.enter(quota, kept.flatten());
        }
    }
    let drawn = book.draw(drawings);
    for (quota, value, ends_at) in book.changes() {
        statements.execute(KEEP, params![quota, value, ends_at.as_micros()])?;
    }
    Ok(drawn)
}

/// Forgets quotas that have ended; answers how many.
pub(in super::super) fn forget(
    statements: &mut Statements<'_>,
    now: Timestamp,
    limit: u32,
) -> Result<usize, StoreError> {
    statements.execute(FORGET_QUOTAS, params![now.as_micros(), limit])
}
