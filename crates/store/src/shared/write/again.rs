//! What is not queued again, though it was accepted: while it was under way, or after it had ended, it could not be stopped.

use domain::attempt::{Failure, Reason};
use domain::consent::Extent;
use domain::ids::MessageId;
use domain::phone::SenderId;
use domain::time::Timestamp;

use super::super::row::word;
use super::super::sql::{Statements, get, params, text};
use super::{consent, verifications};
use crate::StoreError;
use crate::port::messages::Obstacle;

/// What its receiver has opted out of since it was accepted. Whoever had opted out before was asked about then, or is meant to get it all
/// the same: the confirmation of an opt-out is a message, too.
pub(in super::super) const OPTED_OUT: &str = "SELECT m.id, m.scenario, m.priority, m.sender, o.sender, o.extent \
     FROM messages m JOIN opt_outs o ON o.number_hash = m.receiver_hash WHERE m.id = ?1 AND o.since > m.created_at";

/// Whether it asks what has been decided.
pub(in super::super) const IS_DECIDED: &str = "SELECT EXISTS (SELECT 1 FROM prompt_messages m JOIN prompts p \
     ON p.id = m.prompt_id WHERE m.message_id = ?1 AND p.outcome IS NOT NULL)";

/// What is shown of a message that this keeps from going on.
pub(super) fn failure(obstacle: Obstacle) -> Option<Failure> {
    match obstacle {
        Obstacle::OptedOut => Some(Failure::new(Reason::OptedOut)),
        Obstacle::CodeEnded | Obstacle::Decided => None,
    }
}

/// What stands in the way of queuing a message again.
pub(super) fn obstacle(
    statements: &mut Statements<'_>,
    message_id: MessageId,
    now: Timestamp,
) -> Result<Option<Obstacle>, StoreError> {
    if verifications::is_dead(statements, message_id, now)? {
        return Ok(Some(Obstacle::CodeEnded));
    }
    if is_decided(statements, message_id)? {
        return Ok(Some(Obstacle::Decided));
    }
    let opt_outs = statements.collect(OPTED_OUT, params![message_id.as_bytes()], |row| {
        let sender: Option<SenderId> = match text(row, 4)? {
            "" => None,
            name => Some(name.parse().map_err(|_unreadable| StoreError::Corrupt)?),
        };
        Ok((consent::waiting(row)?, sender, word::<Extent>(row, 5)?))
    })?;
    let is_unwanted =
        opt_outs.iter().any(|(message, sender, extent)| message.is_held_back(sender.as_ref(), *extent));
    Ok(is_unwanted.then_some(Obstacle::OptedOut))
}

fn is_decided(statements: &mut Statements<'_>, message_id: MessageId) -> Result<bool, StoreError> {
    Ok(statements.first(IS_DECIDED, params![message_id.as_bytes()], |row| get(row, 0))?.unwrap_or(false))
}
