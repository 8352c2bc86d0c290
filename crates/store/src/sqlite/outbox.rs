//! What fills the outbox. Of changes of status: triggers, a row at a time, for SQLite knows no other.

use super::sql::{Statements, get, params};
use super::write::events::{SealedEvent, Takers};
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
