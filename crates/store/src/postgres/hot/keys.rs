//! That keys were used, once a minute of every node: nobody should have to stand still for it.

use crate::StoreError;
use crate::group::{KeyChange, Pending};
use crate::postgres::sql::Statements;
use crate::postgres::write;

pub(super) fn is_note(pending: &Pending<KeyChange, bool>) -> bool {
    matches!(pending.question, KeyChange::Used(_))
}

/// Changes of the keys themselves are left to the other way.
pub(super) fn note(
    statements: &mut Statements<'_>,
    pendings: &mut [Pending<KeyChange, bool>],
) -> Result<(), StoreError> {
    for pending in pendings {
        if let KeyChange::Used(uses) = &pending.question {
            pending.answer = Some(write::keys::note(statements, uses)?);
        }
    }
    Ok(())
}
