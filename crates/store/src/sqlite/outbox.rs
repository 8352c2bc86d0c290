//! What fills the outbox. Of changes of status: triggers, a row at a time, for SQLite knows no other.

use domain::time::Timestamp;

use super::sql::{Statements, get, params};
use super::write::events::{SealedEvent, Takers};
use super::write::webhooks::{DELIVER, HandedOut, NewDelivery};
use crate::StoreError;

/// `sending` is a step of ours that callers don't ask for.
pub(super) const KEEP: &[&str] = &[
    "CREATE TRIGGER keep_new AFTER INSERT ON states WHEN new.status <> 'sending' BEGIN \
     INSERT INTO outbox (message_id, status, provider, reason, provider_code, at) VALUES \
     (new.message_id, new.status, new.provider, new.reason, new.provider_code, new.updated_at); END",
    "CREATE TRIGGER keep_moved AFTER UPDATE OF status ON states \
     WHEN new.status <> 'sending' AND new.status <> old.status BEGIN \
     INSERT INTO outbox (message_id, status, provider, reason, provider_code, at) VALUES \
     (new.message_id, new.status, new.provider, new.reason, new.provider_code, new.updated_at); END",
];

pub(super) const NO_MORE: &[&str] = &["DROP TRIGGER keep_new", "DROP TRIGGER keep_moved"];

/// The same for webhooks.
pub(super) const TELL: &[&str] = &[
    "CREATE TRIGGER tell_new AFTER INSERT ON states WHEN new.status <> 'sending' BEGIN \
     INSERT INTO events (kind, subject, at, provider, reason, provider_code, publish, stage) VALUES \
     ('message.' || new.status, new.message_id, new.updated_at, new.provider, new.reason, new.provider_code, 0, 1); END",
    "CREATE TRIGGER tell_moved AFTER UPDATE OF status ON states \
     WHEN new.status <> 'sending' AND new.status <> old.status BEGIN \
     INSERT INTO events (kind, subject, at, provider, reason, provider_code, publish, stage) VALUES \
     ('message.' || new.status, new.message_id, new.updated_at, new.provider, new.reason, new.provider_code, 0, 1); END",
];

pub(super) const TELL_NO_MORE: &[&str] = &["DROP TRIGGER tell_new", "DROP TRIGGER tell_moved"];

const ARE_TOLD: &str = "SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND name = 'tell_moved'";

pub(super) fn are_told(statements: &mut Statements<'_>) -> Result<bool, StoreError> {
    statements.first(ARE_TOLD, params![], |row| get::<i64>(row, 0)).map(|found| found.is_some())
}

const ARE_KEPT: &str = "SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND name = 'keep_moved'";

pub(super) fn are_kept(statements: &mut Statements<'_>) -> Result<bool, StoreError> {
    statements.first(ARE_KEPT, params![], |row| get::<i64>(row, 0)).map(|found| found.is_some())
}

const INSERT: &str = "INSERT INTO events (kind, subject, caller, at, sealed_data, publish, stage) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

pub(super) fn insert(
    statements: &mut Statements<'_>,
    takers: Takers,
    events: &[SealedEvent<'_>],
) -> Result<(), StoreError> {
    for SealedEvent { event, data } in events {
        let values = params![
            event.kind.as_str(),
            event.subject,
            event.caller.map(|caller| *caller.as_bytes()),
            event.at.as_micros(),
            data,
            takers.publish,
            takers.stage,
        ];
        statements.execute(INSERT, values)?;
    }
    Ok(())
}

/// What endpoints are to get.
pub(super) fn deliver(
    statements: &mut Statements<'_>,
    now: Timestamp,
    deliveries: &[NewDelivery],
) -> Result<(), StoreError> {
    for NewDelivery { number, endpoint, subject, kind } in deliveries {
        statements.execute(DELIVER, params![number, endpoint, subject, kind, now.as_micros()])?;
    }
    Ok(())
}

/// Whose it is, is known now: its message may go before it.
const IS_HANDED_OUT: &str = "UPDATE events SET stage = ?2, caller = coalesce(caller, ?3) WHERE number = ?1";

const NOBODY_WANTS: &str = "DELETE FROM events WHERE number = ?1 AND publish = 0";

pub(super) fn are_handed_out(
    statements: &mut Statements<'_>,
    events: &[HandedOut],
) -> Result<(), StoreError> {
    for HandedOut { number, caller, is_kept } in events {
        if *is_kept || statements.execute(NOBODY_WANTS, params![number])? == 0 {
            let stage = if *is_kept { 2 } else { 0 };
            statements.execute(IS_HANDED_OUT, params![number, stage, caller])?;
        }
    }
    Ok(())
}
