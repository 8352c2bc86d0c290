//! Drawing on quotas, for messages one by one.

use domain::quota::Left;

use super::super::quotas;
use super::super::sql::Statements;
use crate::StoreError;
use crate::port::messages::Limited;
use crate::quotas::{Book, Drawing};

/// Draws for all of these messages, or for none.
pub(super) fn draw<'a>(
    statements: &mut Statements<'_>,
    drawings: impl IntoIterator<Item = impl Into<Drawing<'a>>>,
) -> Result<Result<Vec<Left>, Vec<Limited>>, StoreError> {
    let drawings: Vec<Drawing<'_>> = drawings.into_iter().map(Into::into).collect();
    let mut book = Book::default();
    let drawn_on = drawings.iter().flat_map(|drawing| drawing.draws).map(|draw| draw.quota);
    quotas::enter(statements, drawn_on, &mut book)?;
    let drawn = book.draw(drawings);
    for (quota, value, ends_at) in book.changes() {
        quotas::keep(statements, quota, value, ends_at)?;
    }
    Ok(drawn)
}
