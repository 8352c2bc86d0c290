//! The one writer: a batch is one transaction, its rows go through prepared statements.
//!
//! SQLite runs in this process, so a row costs a call, not a round trip: a prepared statement for each row is
//! as fast here as a statement for many.

pub(super) mod accept;
pub(super) mod claim;
pub(super) mod finish;
pub(super) mod receipts;
mod statements;

use self::statements::Statements;

use domain::ids::MessageId;
use domain::message::{MessageStatus, StatusEvent};
use domain::route::ProviderName;
use domain::time::Timestamp;
use rusqlite::{Connection, TransactionBehavior, params};

use super::checkpoint::Checkpointer;
use super::connection::{Lock, error};
use super::row::word;
use crate::StoreError;
use crate::group::{Backend, Batch, KeyChange};
use crate::port::keys::ApiKey;
use crate::port::messages::{Accepted, Idempotency};
use crate::port::queue::Recovery;
use domain::attempt::Failure;

/// Dropped in this order: the checkpointer's connection is the last to close, the lock outlives all writing.
pub(super) struct Writer {
    connection: Connection,
    checkpointer: Checkpointer,
    _lock: Option<Lock>,
}

impl Writer {
    pub(super) fn new(connection: Connection, checkpointer: Checkpointer, lock: Option<Lock>) -> Self {
        Self { connection, checkpointer, _lock: lock }
    }

    fn transact(&mut self, batch: &mut Batch) -> Result<(), StoreError> {
        // Dropping the transaction on an error takes everything back.
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(error)?;
        run(&mut Statements::new(&transaction), batch)?;
        transaction.commit().map_err(error)
    }
}

impl Backend for Writer {
    fn commit(&mut self, batch: &mut Batch) -> Result<(), StoreError> {
        let result = self.transact(batch);
        match &result {
            Ok(()) => self.checkpointer.wrote(batch.written()),
            // A log that is in the database is used again from its beginning: there may be room in it.
            Err(StoreError::Full | StoreError::Io(_)) => _ = self.checkpointer.wake(),
            Err(_) => {}
        }
        result
    }
}

fn run(statements: &mut Statements<'_>, batch: &mut Batch) -> Result<(), StoreError> {
    for pending in &mut batch.finishes {
        pending.answer = Some(finish::finish(statements, &pending.question)?);
    }
    for pending in &mut batch.receipts {
        pending.answer = Some(receipts::record(statements, &pending.question)?);
    }
    for pending in &mut batch.recoveries {
        pending.answer = Some(recover(statements, pending.question)?);
    }
    for pending in &mut batch.accepts {
        pending.answer = Some(accept::accept(statements, &pending.question)?);
    }
    for pending in &mut batch.claims {
        pending.answer = Some(claim::claim(statements, &pending.question)?);
    }
    for pending in &mut batch.keys {
        pending.answer = Some(change_key(statements, &pending.question)?);
    }
    if !batch.pings.is_empty() {
        statements.execute("UPDATE probe SET writes = writes + 1", [])?;
    }
    for pending in &mut batch.pings {
        pending.answer = Some(());
    }
    Ok(())
}

pub(in crate::sqlite) const STATUS: &str = "SELECT status FROM states WHERE message_id = ?1";

pub(in crate::sqlite) const MOVE: &str = "UPDATE states SET status = ?2, reason = ?3, provider_code = ?4, \
     provider = coalesce(?5, provider), updated_at = ?6 \
     WHERE message_id = ?1 AND status = ?7";

/// A change to a message's state row. Every one goes through here, and so through the domain's one function.
struct Move<'a> {
    message_id: MessageId,
    event: StatusEvent,
    failure: Option<&'a Failure>,
    /// The route in force from now on, if it changes.
    provider: Option<&'a ProviderName>,
    now: Timestamp,
}

/// Moves a message's status; answers where it stood and stands, or `None` if there is no such message.
fn move_status(
    statements: &mut Statements<'_>,
    change: &Move<'_>,
) -> Result<Option<(MessageStatus, MessageStatus)>, StoreError> {
    // Nearly all stand where they should: then one statement does.
    let expected = expected_before(change.event);
    if move_from(statements, change, expected)? {
        return Ok(Some((expected, expected.after(change.event))));
    }
    let Some(from) = stands(statements, change.message_id)? else { return Ok(None) };
    let to = from.after(change.event);
    if to != from {
        move_from(statements, change, from)?;
    }
    Ok(Some((from, to)))
}

/// Where a message stands as a rule when this happens to it.
const fn expected_before(event: StatusEvent) -> MessageStatus {
    use StatusEvent as E;
    match event {
        E::Claimed | E::TimeRanOut | E::Stopped => MessageStatus::Queued,
        E::Requeued | E::Accepted | E::Refused => MessageStatus::Sending,
        E::ReceiptFailed | E::ReceiptUndelivered | E::ReceiptDelivered => MessageStatus::Sent,
    }
}

/// Moves the status of a message that stands at `from`; `false` if it stands elsewhere.
fn move_from(
    statements: &mut Statements<'_>,
    change: &Move<'_>,
    from: MessageStatus,
) -> Result<bool, StoreError> {
    let values = params![
        change.message_id.as_bytes(),
        from.after(change.event).as_str(),
        change.failure.map(|failure| failure.reason.as_str()),
        change.failure.and_then(|failure| failure.provider_code.as_deref()),
        change.provider.map(ProviderName::as_str),
        change.now.as_micros(),
        from.as_str(),
    ];
    statements.execute(MOVE, values).map(|moved| moved > 0)
}

fn stands(
    statements: &mut Statements<'_>,
    message_id: MessageId,
) -> Result<Option<MessageStatus>, StoreError> {
    let mut rows = statements.get(STATUS)?.query(params![message_id.as_bytes()]).map_err(error)?;
    rows.next().map_err(error)?.map(|row| word(row, 0)).transpose()
}

/// Repeats the condition of the partial index, so that history costs nothing.
pub(in crate::sqlite) const RECOVER: &str = "UPDATE attempts \
     SET outcome = 'ambiguous', reason = 'crashed', ended_at = ?1 \
     WHERE outcome IS NULL AND (lease_until <= ?1 OR (?2 AND node <> ?3))";

/// What a request was answered when it was made before; reads only.
pub(super) fn earlier(
    connection: &Connection,
    request: &Idempotency,
) -> Result<Option<Accepted>, StoreError> {
    accept::earlier(&mut Statements::new(connection), request)
}

fn recover(statements: &mut Statements<'_>, recovery: Recovery) -> Result<u64, StoreError> {
    let values = params![recovery.now.as_micros(), recovery.only_node, recovery.node.as_bytes()];
    statements.execute(RECOVER, values).map(|closed| closed as u64)
}

fn change_key(statements: &mut Statements<'_>, change: &KeyChange) -> Result<bool, StoreError> {
    let changed = match change {
        KeyChange::Create(ApiKey { id, name, hash, scopes, created_at, expires_at, revoked_at }) => {
            statements.execute(
                "INSERT INTO api_keys (id, name, hash, scopes, created_at, expires_at, revoked_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    id.as_bytes(),
                    name,
                    hash,
                    scopes.join(","),
                    created_at.as_micros(),
                    expires_at.map(Timestamp::as_micros),
                    revoked_at.map(Timestamp::as_micros),
                ],
            )?
        }
        KeyChange::Revoke(id, now) => statements.execute(
            "UPDATE api_keys SET revoked_at = coalesce(revoked_at, ?2) WHERE id = ?1",
            params![id.as_bytes(), now.as_micros()],
        )?,
    };
    Ok(changed > 0)
}
