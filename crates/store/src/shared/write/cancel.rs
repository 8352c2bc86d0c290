//! Stopping messages that have not left.

use domain::attempt::Failure;
use domain::audit::Actor;
use domain::ids::MessageId;
use domain::message::StatusEvent;
use domain::time::Timestamp;

use super::super::sql::Statements;
use super::{Move, move_status, place};
use crate::StoreError;
use crate::port::messages::{Cancel, Moved};

pub(super) fn cancel(
    statements: &mut Statements<'_>,
    cancel: &Cancel,
) -> Result<Vec<Option<Moved>>, StoreError> {
    cancel.messages.iter().map(|id| cancel_one(statements, *id, &cancel.by, cancel.now)).collect()
}

/// Stops one message if it has not left.
pub(in super::super) fn cancel_one(
    statements: &mut Statements<'_>,
    message_id: MessageId,
    by: &Actor,
    now: Timestamp,
) -> Result<Option<Moved>, StoreError> {
    stop_one(statements, message_id, None, by, now)
}

/// The same, and says why.
pub(super) fn stop_one(
    statements: &mut Statements<'_>,
    message_id: MessageId,
    failure: Option<&Failure>,
    by: &Actor,
    now: Timestamp,
) -> Result<Option<Moved>, StoreError> {
    let by = by.clone();
    let change = Move { message_id, event: StatusEvent::Stopped, failure, provider: None, by, now };
    let Some((from, to)) = move_status(statements, &change)? else { return Ok(None) };
    let moved = Moved { message_id, from, to };
    if moved.has_moved() {
        place::vacate(statements, message_id)?;
    }
    Ok(Some(moved))
}
