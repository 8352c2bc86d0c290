//! Events that have arrived, and who publishes: nothing that others decide about.

use domain::event::NewEvent;

use crate::StoreError;
use crate::group::{LeaseChange, Pending};
use crate::postgres::outbox::NOBODY_WANTS_ANY_MORE;
use crate::postgres::sql::{Statements, column, params};
use crate::postgres::write;

const FORGET: &str = "DELETE FROM outbox WHERE id = ANY($1::int8[])";

/// One that webhooks take stays for them.
const FORGET_RAISED: &str = "DELETE FROM events WHERE number = ANY($1::int8[]) AND stage = 0";
const ARE_PUBLISHED: &str = "UPDATE events SET publish = 0 WHERE number = ANY($1::int8[])";

pub(super) fn forget(
    statements: &mut Statements<'_>,
    pendings: &mut [Pending<Vec<i64>, ()>],
) -> Result<(), StoreError> {
    let numbers: Vec<i64> = pendings.iter().flat_map(|pending| pending.question.iter().copied()).collect();
    if !numbers.is_empty() {
        statements.execute(FORGET, params![column(numbers)])?;
    }
    for pending in pendings {
        pending.answer = Some(());
    }
    Ok(())
}

pub(super) fn raise(
    statements: &mut Statements<'_>,
    pendings: &mut [Pending<Vec<NewEvent>, ()>],
) -> Result<(), StoreError> {
    for pending in pendings {
        write::events::raise(statements, &pending.question)?;
        pending.answer = Some(());
    }
    Ok(())
}

pub(super) fn forget_raised(
    statements: &mut Statements<'_>,
    pendings: &mut [Pending<Vec<i64>, ()>],
) -> Result<(), StoreError> {
    let numbers: Vec<i64> = pendings.iter().flat_map(|pending| pending.question.iter().copied()).collect();
    if !numbers.is_empty() {
        for done in [FORGET_RAISED, ARE_PUBLISHED, NOBODY_WANTS_ANY_MORE] {
            statements.execute(done, params![column(&numbers)])?;
        }
    }
    for pending in pendings {
        pending.answer = Some(());
    }
    Ok(())
}

pub(super) fn lease(
    statements: &mut Statements<'_>,
    pendings: &mut [Pending<LeaseChange, bool>],
) -> Result<(), StoreError> {
    for pending in pendings {
        pending.answer = Some(write::events::lease(statements, &pending.question)?);
    }
    Ok(())
}
