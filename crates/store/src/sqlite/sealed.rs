//! Values that were sealed anew, row by row.

use super::sql::{Statements, params};
use crate::StoreError;
use crate::seal::{SealedCallback, SealedMessage};

/// A text that was erased meanwhile stays so, and a row that somebody else has sealed anew.
const MESSAGE: &str = "UPDATE messages SET sealed_receiver = ?2, receiver_hash = ?4, \
     sealed_body = CASE WHEN sealed_body IS NULL THEN NULL ELSE ?3 END WHERE id = ?1 AND sealed_receiver = ?5";

const CALLBACK: &str =
    "UPDATE callbacks SET sealed_raw = ?2, receiver_hash = ?3 WHERE id = ?1 AND sealed_raw = ?4";

pub(super) fn write(
    statements: &mut Statements<'_>,
    messages: &[SealedMessage],
    callbacks: &[SealedCallback],
) -> Result<(), StoreError> {
    for SealedMessage { id, receiver_hash, was, receiver, body } in messages {
        statements.execute(MESSAGE, params![id.as_bytes(), receiver, body, receiver_hash, was])?;
    }
    for SealedCallback { id, receiver_hash, was, raw, .. } in callbacks {
        statements.execute(CALLBACK, params![id, raw, receiver_hash, was])?;
    }
    Ok(())
}
