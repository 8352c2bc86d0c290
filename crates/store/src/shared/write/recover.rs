//! Closing attempts that nobody will finish.

use domain::ids::MessageId;
use domain::route::ProviderName;

use super::super::row::word;
use super::super::sql::{Row, Statements, get, params};
use super::{doubt, watches};
use crate::StoreError;
use crate::port::queue::Recovery;

/// Repeats the condition of the partial index, so that history costs nothing.
pub(in super::super) const RECOVER: &str = "UPDATE attempts \
     SET outcome = 'ambiguous', reason = 'crashed', ended_at = ?1 \
     WHERE outcome IS NULL AND (lease_until <= ?1 OR (?2 AND node <> ?3)) RETURNING message_id, number, provider";

/// Whatever was under way may have left: a doubt, unless a receipt has told already.
pub(super) fn recover(statements: &mut Statements<'_>, recovery: Recovery) -> Result<u64, StoreError> {
    let values = params![recovery.now.as_micros(), recovery.only_node, recovery.node.as_bytes()];
    let closed = statements.collect(RECOVER, values, left_open)?;
    for (message_id, attempt, provider) in &closed {
        if !doubt::adopt_told(statements, *message_id, *attempt, provider, recovery.now)?
            && doubt::is_in_force(statements, *message_id, *attempt)?.is_some()
        {
            watches::set_doubt(statements, recovery.now, *message_id, *attempt, provider)?;
        }
    }
    Ok(closed.len() as u64)
}

fn left_open(row: &Row<'_>) -> Result<(MessageId, u16, ProviderName), StoreError> {
    Ok((MessageId::from_bytes(get(row, 0)?), get(row, 1)?, word(row, 2)?))
}
