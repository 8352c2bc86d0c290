//! The outbox: forgetting what has arrived, whether anything is kept at all, and who publishes.

use super::super::outbox::{self, KEEP, NO_MORE};
use super::super::sql::{Statements, params};
use crate::StoreError;
use crate::group::LeaseChange;

pub(in super::super) const FORGET: &str = "DELETE FROM outbox WHERE id = ?1";

/// Anew, the holder's own, or one that has ended.
pub(in super::super) const TAKE_LEASE: &str = "INSERT INTO leases (name, node, until_at) VALUES (?1, ?2, ?3) \
     ON CONFLICT (name) DO UPDATE SET node = excluded.node, until_at = excluded.until_at \
     WHERE leases.node = excluded.node OR leases.until_at < ?4";

pub(in super::super) const RELEASE_LEASE: &str = "DELETE FROM leases WHERE name = ?1 AND node = ?2";

/// Makes or drops the triggers. Looks first: a change to the schema makes others wait.
pub(super) fn keep(statements: &mut Statements<'_>, keep: bool) -> Result<(), StoreError> {
    if outbox::are_kept(statements)? == keep {
        return Ok(());
    }
    for statement in if keep { KEEP } else { NO_MORE } {
        statements.execute(statement, params![])?;
    }
    Ok(())
}

pub(super) fn forget(statements: &mut Statements<'_>, numbers: &[i64]) -> Result<(), StoreError> {
    for number in numbers {
        statements.execute(FORGET, params![number])?;
    }
    Ok(())
}

pub(in super::super) fn lease(
    statements: &mut Statements<'_>,
    change: &LeaseChange,
) -> Result<bool, StoreError> {
    let changed = match change {
        LeaseChange::Take(lease) => {
            let until = lease.until.as_micros();
            let values = params![lease.name, lease.node.as_bytes(), until, lease.ended_before.as_micros()];
            statements.execute(TAKE_LEASE, values)?
        }
        LeaseChange::Release(name, node) => {
            statements.execute(RELEASE_LEASE, params![name, node.as_bytes()])?
        }
    };
    Ok(changed > 0)
}
