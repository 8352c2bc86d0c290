//! What fills the outbox. Of changes of status: triggers, once for each statement. On the parent: statements name no partition.
//!
//! They are made and dropped while their transaction runs alone (see [`super::writer`]), so that no node is writing: the
//! lock that this takes of `states` makes nobody wait who holds others. Readers go on while triggers are made; dropping
//! waits for them.

use domain::time::Timestamp;

use super::sql::{Statements, column, get, params};
use super::write::events::{SealedEvent, Takers};
use super::write::webhooks::{HandedOut, NewDelivery};
use crate::StoreError;

/// Not for updates of `status` alone: PostgreSQL allows no list of columns beside transition tables.
pub(super) const KEEP: &[&str] = &[
    "CREATE TRIGGER keep_new AFTER INSERT ON states REFERENCING NEW TABLE AS new_rows \
     FOR EACH STATEMENT EXECUTE FUNCTION tuma_keep_new()",
    "CREATE TRIGGER keep_moved AFTER UPDATE ON states REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows \
     FOR EACH STATEMENT EXECUTE FUNCTION tuma_keep_moved()",
];

pub(super) const NO_MORE: &[&str] = &["DROP TRIGGER keep_new ON states", "DROP TRIGGER keep_moved ON states"];

/// The same for webhooks.
pub(super) const TELL: &[&str] = &[
    "CREATE TRIGGER tell_new AFTER INSERT ON states REFERENCING NEW TABLE AS new_rows \
     FOR EACH STATEMENT EXECUTE FUNCTION tuma_tell_new()",
    "CREATE TRIGGER tell_moved AFTER UPDATE ON states REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows \
     FOR EACH STATEMENT EXECUTE FUNCTION tuma_tell_moved()",
];

pub(super) const TELL_NO_MORE: &[&str] =
    &["DROP TRIGGER tell_new ON states", "DROP TRIGGER tell_moved ON states"];

const ARE_TOLD: &str =
    "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'states'::regclass AND tgname = 'tell_moved'";

pub(super) fn are_told(statements: &mut Statements<'_>) -> Result<bool, StoreError> {
    let found = statements.first(ARE_TOLD, params![], |row| get::<i64>(row, 0))?;
    Ok(found.is_some_and(|triggers| triggers > 0))
}

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

const DELIVER: &str = "INSERT INTO deliveries (number, endpoint_id, subject, kind, state, due_at, since, posts, \
     posts_before) SELECT d.number, d.endpoint, d.subject, d.kind, 'pending', $5, $5, 0, 0 \
     FROM UNNEST($1::int8[], $2::uuid[], $3::uuid[], $4::text[]) AS d (number, endpoint, subject, kind) \
     ON CONFLICT DO NOTHING";

/// What endpoints are to get.
pub(super) fn deliver(
    statements: &mut Statements<'_>,
    now: Timestamp,
    deliveries: &[NewDelivery],
) -> Result<(), StoreError> {
    if deliveries.is_empty() {
        return Ok(());
    }
    let values = params![
        column(deliveries.iter().map(|it| it.number)),
        column(deliveries.iter().map(|it| it.endpoint)),
        column(deliveries.iter().map(|it| it.subject)),
        column(deliveries.iter().map(|it| &it.kind)),
        now.as_micros(),
    ];
    statements.execute(DELIVER, values).map(|_delivered| ())
}

const NOBODY_WANTS: &str = "DELETE FROM events e USING UNNEST($1::int8[], $2::bool[]) AS h (number, is_kept) \
     WHERE e.number = h.number AND NOT h.is_kept AND e.publish = 0";

/// What neither the broker nor webhooks want any more. Asked after one of them has said so, by which it holds the rows: of two that do so
/// at the same moment, the second sees what the first has said.
pub(super) const NOBODY_WANTS_ANY_MORE: &str =
    "DELETE FROM events WHERE number = ANY($1::int8[]) AND publish = 0 AND stage = 0";

const ARE_HANDED_OUT: &str = "UPDATE events e SET stage = CASE WHEN h.is_kept THEN 2 ELSE 0 END, \
     caller = coalesce(e.caller, h.caller) \
     FROM UNNEST($1::int8[], $2::bool[], $3::uuid[]) AS h (number, is_kept, caller) WHERE e.number = h.number";

pub(super) fn are_handed_out(
    statements: &mut Statements<'_>,
    events: &[HandedOut],
) -> Result<(), StoreError> {
    let numbers = column(events.iter().map(|event| event.number));
    let kept = column(events.iter().map(|event| event.is_kept));
    statements.execute(NOBODY_WANTS, params![numbers, kept])?;
    let callers = column(events.iter().map(|event| event.caller));
    statements.execute(ARE_HANDED_OUT, params![numbers, kept, callers])?;
    statements.execute(NOBODY_WANTS_ANY_MORE, params![numbers]).map(|_forgotten| ())
}
