//! The audit trail: what a batch tells is collected while it runs ([`Statements::tell`]), and chained at its end, in its
//! transaction. So no room can change something and forget the chain, and nothing is told that was taken back.
//!
//! [`append`] is the only way in.

use std::time::Duration;

use domain::audit::{Actor, AuditKeys, Checkpoint, Event, Head, NewEntry, Sealed};
use domain::time::Timestamp;

use super::super::audit::{self, LANE};
use super::super::read::audit::{HEAD, sealed};
use super::super::sql::{Row, Statements, get, params};
use crate::StoreError;
use crate::port::messages::NewMessage;

/// How far a chain may be ahead of a writer's clock that goes on with it: those of nodes are apart by so much.
pub(in super::super) const AHEAD: Duration = Duration::from_secs(2);

/// The chain of checkpoints.
pub(in super::super) const CHECKPOINTS: i64 = 0;

const NEWEST: &str = "SELECT coalesce(max(chain), 0) FROM audit_heads";

const BEGIN: &str = "INSERT INTO audit_heads (chain, seq, at, hash, forgotten_seq, forgotten_hash, code, \
     last_checkpoint) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING";

pub(in super::super) const MOVE_HEAD: &str = "UPDATE audit_heads SET seq = ?2, at = ?3, hash = ?4, \
     forgotten_seq = ?5, forgotten_hash = ?6, code = ?7, last_checkpoint = ?8 WHERE chain = ?1";

const ALL_HEADS: &str = "SELECT chain, seq, at, hash, forgotten_seq, forgotten_hash, code, last_checkpoint \
     FROM audit_heads WHERE chain > 0 ORDER BY chain";

const ADD_CHECKPOINT: &str = "INSERT INTO audit_checkpoints (number, at, seen, previous, hash, signature) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

const LAST_SEEN: &str = "SELECT seen FROM audit_checkpoints WHERE number = ?1";

const FORGET_CHECKPOINTS: &str = "DELETE FROM audit_checkpoints WHERE number <= ?1";

const LAST_FORGOTTEN_CHECKPOINT: &str =
    "SELECT number, hash FROM audit_checkpoints WHERE at < ?1 ORDER BY number DESC LIMIT 1";

/// What a message tells when it is accepted, whose receiver is known by this hash.
pub(in super::super) fn accepted(receiver: i64, new: &NewMessage) -> NewEntry {
    let message = &new.message;
    NewEntry {
        message_id: Some(message.id),
        receiver: Some(receiver),
        provider: Some(new.provider.clone()),
        length: u32::try_from(message.body.chars()).ok(),
        segments: Some(message.segments),
        outcome: Some(new.status().as_str()),
        ..NewEntry::new(message.created_at, Actor::Key(message.caller), Event::SmsAccepted)
    }
}

/// Chains what this transaction has told.
pub(in super::super) fn append(statements: &mut Statements<'_>) -> Result<(), StoreError> {
    let vault = statements.vault();
    let keys = vault.audit();
    let mut told = statements.take_told();
    // Those of one moment stay as they happened.
    told.sort_by_key(|entry| entry.at);
    let Some(latest) = told.last().map(|entry| entry.at) else { return Ok(()) };
    name_receivers(statements, &mut told)?;
    let mut head = lane(statements, keys, latest)?;
    let entries: Vec<_> = told.into_iter().map(|new| head.extend(new)).collect();
    audit::extend(statements, &entries, &keys.seal(&head))
}

/// Finds the receivers of messages that were moved: the rooms that move them don't know.
fn name_receivers(statements: &mut Statements<'_>, told: &mut [NewEntry]) -> Result<(), StoreError> {
    let is_nameless = |entry: &NewEntry| entry.receiver.is_none();
    let ids: Vec<_> =
        told.iter().filter(|entry| is_nameless(entry)).filter_map(|entry| entry.message_id).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let receivers = audit::receivers(statements, &ids)?;
    for entry in told.iter_mut().filter(|entry| is_nameless(entry)) {
        entry.receiver = entry.message_id.and_then(|id| receivers.get(&id).copied());
    }
    Ok(())
}

/// A chain to go on with, held for this transaction: one that no other writer holds, and that is not ahead of this one's
/// clock. A chain that somebody has tampered with is left as it is, for whoever looks at it: entries go on in another.
fn lane(statements: &mut Statements<'_>, keys: &AuditKeys, latest: Timestamp) -> Result<Head, StoreError> {
    let latest = latest.plus(AHEAD).as_micros();
    let found = statements.first(LANE, params![latest], |row| Ok((get::<i64>(row, 0)?, sealed(row).ok())))?;
    match found {
        Some((_, Some(sealed))) if keys.holds(&sealed) => return Ok(sealed.head),
        Some((chain, _)) => {
            tracing::error!(chain, "the head of an audit chain was changed: tuma audit verify says more");
        }
        None => {}
    }
    begin(statements, keys)
}

/// A new chain.
fn begin(statements: &mut Statements<'_>, keys: &AuditKeys) -> Result<Head, StoreError> {
    let newest: i64 = statements.first(NEWEST, params![], |row| get(row, 0))?.unwrap_or(0);
    let checkpoints = head(statements, keys, CHECKPOINTS)?.map_or(0, |head| head.seq);
    let mut head = Head { last_checkpoint: checkpoints, ..Head::new(newest + 1) };
    // Another node may begin the same one.
    while add_head(statements, &keys.seal(&head))? == 0 {
        head.chain += 1;
    }
    Ok(head)
}

/// A head as statements take it.
macro_rules! head_params {
    ($head:expr, $code:expr) => {
        params![
            $head.chain,
            $head.seq,
            $head.at.as_micros(),
            $head.hash,
            $head.forgotten.seq,
            $head.forgotten.hash,
            $code,
            $head.last_checkpoint,
        ]
    };
}

fn add_head(statements: &mut Statements<'_>, sealed: &Sealed) -> Result<usize, StoreError> {
    let Sealed { head, code } = sealed;
    statements.execute(BEGIN, head_params!(head, code))
}

pub(in super::super) fn move_head(
    statements: &mut Statements<'_>,
    sealed: &Sealed,
) -> Result<(), StoreError> {
    let Sealed { head, code } = sealed;
    match statements.execute(MOVE_HEAD, head_params!(head, code))? {
        1 => Ok(()),
        _ => Err(StoreError::Conflict),
    }
}

/// The head of a chain, if it is there and holds.
pub(in super::super) fn head(
    statements: &mut Statements<'_>,
    keys: &AuditKeys,
    chain: i64,
) -> Result<Option<Head>, StoreError> {
    let found = statements.first(HEAD, params![chain], |row| Ok(sealed(row).ok()))?;
    Ok(found.flatten().filter(|sealed| keys.holds(sealed)).map(|sealed| sealed.head))
}

/// All heads that hold. The others are for whoever verifies.
pub(in super::super) fn heads(
    statements: &mut Statements<'_>,
    keys: &AuditKeys,
) -> Result<Vec<Head>, StoreError> {
    let heads = statements.collect(ALL_HEADS, params![], |row| Ok(sealed(row).ok()))?;
    Ok(heads.into_iter().flatten().filter(|sealed| keys.holds(sealed)).map(|sealed| sealed.head).collect())
}

/// Signs where all chains end, unless the last checkpoint says the same.
pub(super) fn checkpoint(
    statements: &mut Statements<'_>,
    now: Timestamp,
) -> Result<Option<Checkpoint>, StoreError> {
    let vault = statements.vault();
    let keys = vault.audit();
    let heads = heads(statements, keys)?;
    let last = if let Some(last) = head(statements, keys, CHECKPOINTS)? {
        last
    } else {
        let first = Head::new(CHECKPOINTS);
        // One that is there and does not hold is for whoever verifies.
        if add_head(statements, &keys.seal(&first))? == 0 {
            return Err(StoreError::Corrupt);
        }
        first
    };
    let (made, head) = Checkpoint::make(keys, &last, now, &heads);
    let seen: Option<Vec<u8>> = statements.first(LAST_SEEN, params![last.seq], |row| get(row, 0))?;
    if heads.is_empty() || seen.is_some_and(|seen| seen == made.heads()) {
        return Ok(None);
    }
    let values =
        params![made.number, made.at.as_micros(), made.heads(), made.previous, made.hash, made.signature];
    statements.execute(ADD_CHECKPOINT, values)?;
    move_head(statements, &keys.seal(&head))?;
    // Each chain knows of it: whoever takes checkpoints out must put all heads back.
    for head in heads {
        move_head(statements, &keys.seal(&Head { last_checkpoint: made.number, ..head }))?;
    }
    Ok(Some(made))
}

/// Forgets checkpoints from before a time.
pub(in super::super) fn forget_checkpoints(
    statements: &mut Statements<'_>,
    keys: &AuditKeys,
    since: Timestamp,
) -> Result<(), StoreError> {
    let Some(mut head) = head(statements, keys, CHECKPOINTS)? else { return Ok(()) };
    let read = |row: &Row<'_>| Ok((get::<i64>(row, 0)?, get(row, 1)?));
    let Some((number, hash)) =
        statements.first(LAST_FORGOTTEN_CHECKPOINT, params![since.as_micros()], read)?
    else {
        return Ok(());
    };
    statements.execute(FORGET_CHECKPOINTS, params![number])?;
    head.forgotten = domain::audit::Forgotten { seq: number, hash };
    move_head(statements, &keys.seal(&head))
}
