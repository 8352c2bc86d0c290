//! The audit trail: what a transaction tells, with one statement.

use std::collections::HashMap;

use domain::audit::{Entry, Forgotten, Sealed};
use domain::ids::MessageId;
use domain::time::Timestamp;

use super::read;
use super::sql::{Statements, column, get, params};
use super::write;
use crate::StoreError;

/// A chain to go on with, that no other writer goes on with at this moment. Not one with entries behind its head:
/// somebody has put that back. They are looked for in the weeks where they would be, a day ahead at most, which leaves out those to
/// come: no two clocks are so far apart.
pub(super) const LANE: &str = "SELECT chain, seq, at, hash, forgotten_seq, forgotten_hash, code, last_checkpoint \
     FROM audit_heads h WHERE chain > 0 AND at <= $1 AND NOT EXISTS \
     (SELECT 1 FROM audit a WHERE a.chain = h.chain AND a.seq > h.seq AND a.at BETWEEN h.at AND $1 + 86400000000) ORDER BY chain DESC LIMIT 1 \
     FOR UPDATE OF h SKIP LOCKED";

/// The entries and the head by one statement: each way to the server and back costs as much as a few entries. It fails where
/// there is no head: an entry without a chain is none.
const EXTEND: &str = "WITH moved AS (UPDATE audit_heads SET seq = $14, at = $15, hash = $16, forgotten_seq = $17, \
     forgotten_hash = $18, code = $19, last_checkpoint = $20 WHERE chain = $13 RETURNING chain) \
     INSERT INTO audit (chain, seq, at, actor, event, message_id, receiver, provider, length, segments, outcome, subject, \
     hash) SELECT (SELECT chain FROM moved), e.* FROM UNNEST($1::int8[], $2::int8[], $3::text[], $4::text[], \
     $5::uuid[], $6::int8[], $7::text[], $8::int4[], $9::int4[], $10::text[], $11::text[], $12::bytea[]) AS e";

/// Asks for a chain to go on with before it is known what there is to tell, which will happen at about this moment.
pub(super) fn ask_early(statements: &mut Statements<'_>, at: Timestamp) -> Result<(), StoreError> {
    statements.ask_early(LANE, params![at.plus(write::audit::AHEAD).as_micros()])
}

/// Adds entries at the end of a chain, and says in its head where that is now.
pub(super) fn extend(
    statements: &mut Statements<'_>,
    entries: &[Entry],
    head: &Sealed,
) -> Result<(), StoreError> {
    let Sealed { head, code } = head;
    let values = params![
        column(entries.iter().map(|entry| entry.seq)),
        column(entries.iter().map(|entry| entry.at.as_micros())),
        column(entries.iter().map(|entry| entry.actor.as_str())),
        column(entries.iter().map(|entry| entry.event.as_ref())),
        column(entries.iter().map(|entry| entry.message_id.map(|id| *id.as_bytes()))),
        column(entries.iter().map(|entry| entry.receiver)),
        column(entries.iter().map(|entry| entry.provider.as_deref())),
        column(entries.iter().map(|entry| entry.length)),
        column(entries.iter().map(|entry| entry.segments)),
        column(entries.iter().map(|entry| entry.outcome.as_deref())),
        column(entries.iter().map(|entry| entry.subject.as_deref())),
        column(entries.iter().map(|entry| entry.hash)),
        head.chain,
        head.seq,
        head.at.as_micros(),
        head.hash,
        head.forgotten.seq,
        head.forgotten.hash,
        code,
        head.last_checkpoint,
    ];
    statements.send(EXTEND, values)
}

const RECEIVERS: &str =
    "SELECT id, receiver_hash FROM messages WHERE id = ANY($1::uuid[]) AND id BETWEEN $2 AND $3";

/// What the receivers of messages are known by.
pub(super) fn receivers(
    statements: &mut Statements<'_>,
    ids: &[MessageId],
) -> Result<HashMap<MessageId, i64>, StoreError> {
    let (Some(first), Some(last)) = (ids.iter().min(), ids.iter().max()) else { return Ok(HashMap::new()) };
    let values = params![column(ids.iter().map(MessageId::as_bytes)), first.as_bytes(), last.as_bytes()];
    let found = statements
        .collect(RECEIVERS, values, |row| Ok((MessageId::from_bytes(get(row, 0)?), get(row, 1)?)))?;
    Ok(found.into_iter().collect())
}

const HASH: &str = "SELECT hash FROM audit WHERE chain = $1 AND seq = $2";

/// Says in the heads that what is before a time is forgotten. The weeks that hold it are dropped after that, whatever
/// happens between: what is left of them is not missed.
pub(super) fn forget(statements: &mut Statements<'_>, until: Timestamp) -> Result<(), StoreError> {
    let vault = statements.vault();
    let keys = vault.audit();
    write::audit::forget_checkpoints(statements, keys, until)?;
    for mut head in write::audit::heads(statements, keys)? {
        let last = (read::audit::place(statements, head.chain, until)? - 1).min(head.seq);
        if last <= head.forgotten.seq {
            continue;
        }
        let hash = statements.first(HASH, params![head.chain, last], |row| get(row, 0))?;
        // A chain with a hole is left for whoever verifies it.
        let Some(hash) = hash else { continue };
        head.forgotten = Forgotten { seq: last, hash };
        write::audit::move_head(statements, &keys.seal(&head))?;
    }
    Ok(())
}
