//! The audit trail, a row at a time: what is written for each message costs a call.

use std::collections::HashMap;

use domain::audit::{Entry, Forgotten, Sealed};
use domain::ids::MessageId;
use domain::time::Timestamp;

use super::read;
use super::sql::{Statements, get, params};
use super::write;
use crate::StoreError;

/// A chain to go on with. Not one with entries behind its head: somebody has put that back.
pub(super) const LANE: &str = "SELECT chain, seq, at, hash, forgotten_seq, forgotten_hash, code, last_checkpoint \
     FROM audit_heads h WHERE chain > 0 AND at <= ?1 AND NOT EXISTS \
     (SELECT 1 FROM audit a WHERE a.chain = h.chain AND a.seq > h.seq) ORDER BY chain DESC LIMIT 1";

pub(super) const ADD: &str = "INSERT INTO audit (chain, seq, at, actor, event, message_id, receiver, provider, length, \
     segments, outcome, subject, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";

/// Adds entries at the end of a chain, and says in its head where that is now.
pub(super) fn extend(
    statements: &mut Statements<'_>,
    entries: &[Entry],
    head: &Sealed,
) -> Result<(), StoreError> {
    for entry in entries {
        let values = params![
            entry.chain,
            entry.seq,
            entry.at.as_micros(),
            entry.actor,
            entry.event,
            entry.message_id.as_ref().map(MessageId::as_bytes),
            entry.receiver,
            entry.provider,
            entry.length,
            entry.segments,
            entry.outcome,
            entry.subject,
            entry.hash,
        ];
        statements.execute(ADD, values)?;
    }
    write::audit::move_head(statements, head)
}

/// What the receivers of messages are known by.
pub(super) fn receivers(
    statements: &mut Statements<'_>,
    ids: &[MessageId],
) -> Result<HashMap<MessageId, i64>, StoreError> {
    let mut receivers = HashMap::with_capacity(ids.len());
    for id in ids {
        let found = statements.first(write::watches::RECEIVER, params![id.as_bytes()], |row| get(row, 0))?;
        receivers.extend(found.map(|hash: i64| (*id, hash)));
    }
    Ok(receivers)
}

const HASH: &str = "SELECT hash FROM audit WHERE chain = ?1 AND seq = ?2";

pub(super) const FORGET: &str = "DELETE FROM audit WHERE chain = ?1 AND seq <= ?2";

/// Forgets entries from before a time, a part at once. Answers whether these were all.
pub(super) fn forget(
    statements: &mut Statements<'_>,
    since: Timestamp,
    limit: u32,
) -> Result<bool, StoreError> {
    let vault = statements.vault();
    let keys = vault.audit();
    write::audit::forget_checkpoints(statements, keys, since)?;
    let mut left = i64::from(limit);
    for mut head in write::audit::heads(statements, keys)? {
        let place = read::audit::place(statements, head.chain, since)?;
        let last = (place - 1).min(head.seq).min(head.forgotten.seq + left);
        if last <= head.forgotten.seq {
            continue;
        }
        let hash = statements.first(HASH, params![head.chain, last], |row| get(row, 0))?;
        // A chain with a hole is left for whoever verifies it.
        let Some(hash) = hash else { continue };
        left -= last - head.forgotten.seq;
        statements.execute(FORGET, params![head.chain, last])?;
        head.forgotten = Forgotten { seq: last, hash };
        write::audit::move_head(statements, &keys.seal(&head))?;
    }
    Ok(left > 0)
}
