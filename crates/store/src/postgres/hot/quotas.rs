//! Quotas of all requests that gathered.

use std::collections::BTreeSet;

use crate::StoreError;
use crate::port::messages::NewMessage;
use crate::postgres::sql::{Statements, column, get, params};
use crate::quotas::Book;

/// Reads quotas and keeps others from drawing on them, in the order of their numbers, so that nobody waits in a circle.
/// What nobody has drawn on yet gets a row: else two could be the first.
const LOCK: &str = "INSERT INTO quotas AS q (quota) SELECT e.quota FROM UNNEST($1::int8[]) AS e (quota) ORDER BY e.quota \
     ON CONFLICT (quota) DO UPDATE SET quota = q.quota RETURNING q.quota, q.value";

const KEEP: &str = "UPDATE quotas q SET value = e.value, ends_at = e.ends_at \
     FROM UNNEST($1::int8[], $2::int8[], $3::int8[]) AS e (quota, value, ends_at) WHERE q.quota = e.quota";

/// The quotas of these messages, as they stand until this transaction ends. Those in `also` are locked with them, so that
/// whoever changes them afterwards waits for nobody.
pub(super) fn lock<'a>(
    statements: &mut Statements<'_>,
    messages: impl IntoIterator<Item = &'a NewMessage>,
    also: BTreeSet<i64>,
) -> Result<Book, StoreError> {
    let mut quotas = also;
    quotas.extend(messages.into_iter().flat_map(|new| &new.draws).map(|draw| draw.quota));
    let mut book = Book::default();
    if !quotas.is_empty() {
        let rows = statements.collect(LOCK, params![column(quotas)], |row| {
            Ok((get::<i64>(row, 0)?, get::<Option<i64>>(row, 1)?))
        })?;
        for (quota, value) in rows {
            book.enter(quota, value);
        }
    }
    Ok(book)
}

/// Keeps what was drawn.
pub(super) fn keep(statements: &mut Statements<'_>, book: &Book) -> Result<(), StoreError> {
    let changes = book.changes();
    if changes.is_empty() {
        return Ok(());
    }
    let values = params![
        column(changes.iter().map(|(quota, ..)| *quota)),
        column(changes.iter().map(|(_, value, _)| *value)),
        column(changes.iter().map(|(.., ends_at)| ends_at.as_micros())),
    ];
    statements.execute(KEEP, values).map(|_kept| ())
}
