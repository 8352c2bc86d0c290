//! Values that were sealed anew, many rows with one statement.

use super::sql::{Statements, column, params};
use crate::StoreError;
use crate::seal::{SealedCallback, SealedMessage};

/// A text that was erased meanwhile stays so, and a row that somebody else has sealed anew.
const MESSAGES: &str = "UPDATE messages m SET sealed_receiver = e.receiver, receiver_hash = e.hash, \
     sealed_body = CASE WHEN m.sealed_body IS NULL THEN NULL ELSE e.body END \
     FROM UNNEST($1::uuid[], $2::bytea[], $3::bytea[], $4::int8[], $5::bytea[]) AS e (id, receiver, body, hash, was) \
     WHERE m.id = e.id AND m.sealed_receiver = e.was";

const CALLBACKS: &str = "UPDATE callbacks c SET sealed_raw = e.raw, receiver_hash = e.hash \
     FROM UNNEST($1::int8[], $2::int8[], $3::bytea[], $4::int8[], $5::bytea[]) AS e (id, received_at, raw, hash, was) \
     WHERE c.received_at = e.received_at AND c.id = e.id AND c.sealed_raw = e.was";

pub(super) fn write(
    statements: &mut Statements<'_>,
    messages: &[SealedMessage],
    callbacks: &[SealedCallback],
) -> Result<(), StoreError> {
    if !messages.is_empty() {
        let values = params![
            column(messages.iter().map(|message| message.id.as_bytes())),
            column(messages.iter().map(|message| &message.receiver)),
            column(messages.iter().map(|message| message.body.clone())),
            column(messages.iter().map(|message| message.receiver_hash)),
            column(messages.iter().map(|message| &message.was)),
        ];
        statements.execute(MESSAGES, values)?;
    }
    if !callbacks.is_empty() {
        let values = params![
            column(callbacks.iter().map(|callback| callback.id)),
            column(callbacks.iter().map(|callback| callback.received_at.as_micros())),
            column(callbacks.iter().map(|callback| &callback.raw)),
            column(callbacks.iter().map(|callback| callback.receiver_hash)),
            column(callbacks.iter().map(|callback| &callback.was)),
        ];
        statements.execute(CALLBACKS, values)?;
    }
    Ok(())
}
