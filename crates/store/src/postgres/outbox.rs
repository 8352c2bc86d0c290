//! What fills the outbox. Of changes of status: triggers, once for each statement. On the parent: statements name no partition.
//!
//! They are made and dropped while their transaction runs alone (see [`super::writer`]), so that no node is writing: the
//! lock that this takes of `states` makes nobody wait who holds others. Readers go on while triggers are made; dropping
//! waits for them.

use super::sql::{Statements, column, get, params};
use super::write::events::{SealedEvent, Takers};
use crate::StoreError;

/// Not for updates of `status` alone: PostgreSQL allows no list of columns beside transition tables.
pub(super) const KEEP: &[&str] = &[
    "CREATE TRIGGER keep_new AFTER INSERT ON states REFERENCING NEW TABLE AS new_rows \
     FOR EACH STATEMENT EXECUTE FUNCTION tuma_keep_new()",
    "CREATE TRIGGER keep_moved AFTER UPDATE ON states REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows \
     FOR EACH STATEMENT EXECUTE FUNCTION tuma_keep_moved()",
];

pub(super) const NO_MORE: &[&str] = &["DROP TRIGGER keep_new ON states", "DROP TRIGGER keep_moved ON states"];

const ARE_KEPT: &str =
    "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'states'::regclass AND tgname = 'keep_moved'";

pub(super) fn are_kept(statements: &mut Statements<'_>) -> Result<bool, StoreError> {
    let found = statements.first(ARE_KEPT, params![], |row| get::<i64>(row, 0))?;
    Ok(found.is_some_and(|triggers| triggers > 0))
}

const INSERT: &str = "INSERT INTO events (kind, subject, caller, at, sealed_data, publish, stage) \
     SELECT e.kind, e.subject, e.caller, e.at, e.data, $6::int2, $7::int2 \
     FROM UNNEST($1::text[], $2::uuid[], $3::uuid[], $4::int8[], $5::bytea[]) WITH ORDINALITY \
     AS e (kind, subject, caller, at, data, place) ORDER BY e.place";

pub(super) fn insert(
    statements: &mut Statements<'_>,
    takers: Takers,
    events: &[SealedEvent<'_>],
) -> Result<(), StoreError> {
    let values = params![
        column(events.iter().map(|it| it.event.kind.as_str())),
        column(events.iter().map(|it| &it.event.subject)),
        column(events.iter().map(|it| it.event.caller.map(|caller| *caller.as_bytes()))),
        column(events.iter().map(|it| it.event.at.as_micros())),
        column(events.iter().map(|it| &it.data)),
        takers.publish,
        takers.stage,
    ];
    statements.execute(INSERT, values).map(|_inserted| ())
}
