//! Chores that find nothing to do, as nearly always: nobody should have to stand still for these. Those that find something
//! are for the other way.

use super::super::sql::{Statements, get, params};
use crate::StoreError;
use crate::group::{Pending, Taken};
use crate::port::queue::Recovery;
use crate::port::watches::TakeWatches;

const IS_DUE: &str = "SELECT EXISTS (SELECT 1 FROM watches WHERE due_at <= $1)";

/// Repeats the condition of the partial index.
const IS_OPEN: &str = "SELECT EXISTS (SELECT 1 FROM attempts WHERE outcome IS NULL \
     AND (lease_until <= $1 OR ($2 AND node <> $3)))";

pub(super) fn take_watches(
    statements: &mut Statements<'_>,
    pendings: &mut [Pending<TakeWatches, Vec<Taken>>],
) -> Result<(), StoreError> {
    for pending in pendings {
        let now = pending.question.now.as_micros();
        if statements.first(IS_DUE, params![now], |row| get::<bool>(row, 0))? == Some(false) {
            pending.answer = Some(Vec::new());
        }
    }
    Ok(())
}

pub(super) fn recover(
    statements: &mut Statements<'_>,
    pendings: &mut [Pending<Recovery, u64>],
) -> Result<(), StoreError> {
    for pending in pendings {
        let Recovery { node, now, only_node } = pending.question;
        let values = params![now.as_micros(), only_node, node.as_bytes()];
        if statements.first(IS_OPEN, values, |row| get::<bool>(row, 0))? == Some(false) {
            pending.answer = Some(0);
        }
    }
    Ok(())
}
