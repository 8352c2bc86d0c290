//! What is reserved of caps, row by row.

use domain::ids::MessageId;
use domain::quota::{Allowance, Draw};

use super::super::quotas;
use super::super::sql::{Statements, params};
use crate::StoreError;
use crate::port::spending::Charge;

/// For a message that is sent again before its first reservation was settled, more is reserved.
const RESERVE: &str = "INSERT INTO reservations AS r (message_id, quota, amount, after_attempt) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT (message_id, quota) DO UPDATE SET amount = r.amount + excluded.amount";

/// Only as it was read: a message may have been sent again meanwhile.
pub(in super::super) const RELEASE: &str =
    "DELETE FROM reservations WHERE message_id = ?1 AND quota = ?2 AND amount = ?3";

/// Reserves what a message has drawn of caps. What it drew of rates is gone.
pub(super) fn reserve(
    statements: &mut Statements<'_>,
    message_id: MessageId,
    draws: &[Draw],
    after_attempt: u16,
) -> Result<(), StoreError> {
    for Draw { quota, allowance, amount } in draws {
        if matches!(allowance, Allowance::Cap { .. }) {
            let values = params![message_id.as_bytes(), *quota, amount.cast_signed(), after_attempt];
            statements.send(RESERVE, values)?;
        }
    }
    Ok(())
}

/// Answers how many were settled.
pub(super) fn settle(statements: &mut Statements<'_>, charges: &[Charge]) -> Result<u64, StoreError> {
    let mut settled = 0;
    for Charge { id, reserved, charged, now } in charges {
        if statements.execute(RELEASE, params![id.message_id.as_bytes(), id.quota, *reserved])? > 0 {
            settled += 1;
            let difference = charged.saturating_sub(*reserved);
            if difference != 0 {
                quotas::adjust(statements, id.quota, difference, *now)?;
            }
        }
    }
    Ok(settled)
}
