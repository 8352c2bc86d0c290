//! The outbox, from the front.

use domain::event::EventData;
use domain::ids::{BulkId, KeyId, MessageId};

use super::super::row::time;
use super::super::sql::{Row, Statements, get, params};
use crate::StoreError;
use crate::port::events::{About, Event, Outbox, RaisedEvent};
use crate::seal::{Column, Vault};

/// A message may have been deleted meanwhile: what happened to it is told all the same.
pub(in super::super) const FRONT: &str = "SELECT o.id, o.message_id, o.status, o.provider, o.reason, \
     o.provider_code, o.at, m.scenario, m.bulk_id, m.reference, m.group_name, m.metadata \
     FROM outbox o LEFT JOIN messages m ON m.id = o.message_id ORDER BY o.id LIMIT ?1";

/// One end each, for SQLite finds both ends of an index only when asked for them one by one.
pub(in super::super) const OLDEST: &str = "SELECT id, at FROM outbox ORDER BY id LIMIT 1";
pub(in super::super) const NEWEST: &str = "SELECT id FROM outbox ORDER BY id DESC LIMIT 1";

/// Those that were raised.
pub(in super::super) const RAISED: &str = "SELECT number, kind, subject, caller, at, sealed_data FROM events \
     WHERE publish = 1 ORDER BY number LIMIT ?1";

pub(in super::super) const OLDEST_RAISED: &str =
    "SELECT number, at FROM events WHERE publish = 1 ORDER BY number LIMIT 1";
pub(in super::super) const NEWEST_RAISED: &str =
    "SELECT number FROM events WHERE publish = 1 ORDER BY number DESC LIMIT 1";

pub(in super::super) fn raised(
    statements: &mut Statements<'_>,
    limit: u32,
) -> Result<Vec<RaisedEvent>, StoreError> {
    let vault = statements.vault();
    statements.collect(RAISED, params![limit], |row| {
        let (number, subject) = (get(row, 0)?, get::<[u8; 16]>(row, 2)?);
        let data = match data(&vault, &subject, get::<Option<Vec<u8>>>(row, 5)?.as_deref()) {
            // That it happened is told all the same: it would stand before all others for ever.
            Err(StoreError::Corrupt) => {
                tracing::error!(number, "an event is told without its data: its row is damaged");
                EventData::from_json(r#"{"unreadable":true}"#)
            }
            data => data?,
        };
        Ok(RaisedEvent {
            number,
            kind: get(row, 1)?,
            subject,
            caller: get::<Option<[u8; 16]>>(row, 3)?.map(KeyId::from_bytes),
            at: time(row, 4)?,
            data,
        })
    })
}

/// What an event tells; an empty object if it has nothing of its own.
pub(super) fn data(
    vault: &Vault,
    subject: &[u8; 16],
    sealed: Option<&[u8]>,
) -> Result<EventData, StoreError> {
    let Some(sealed) = sealed else { return Ok(EventData::from_json("{}")) };
    let text = vault.open_text(Column::EventData, subject, sealed)?;
    Ok(EventData::from_json(text.expose()))
}

pub(in super::super) fn front(statements: &mut Statements<'_>, limit: u32) -> Result<Vec<Event>, StoreError> {
    statements.collect(FRONT, params![limit], event)
}

fn event(row: &Row<'_>) -> Result<Event, StoreError> {
    let about = match get::<Option<String>>(row, 7)? {
        Some(scenario) => Some(About {
            scenario,
            bulk_id: get::<Option<[u8; 16]>>(row, 8)?.map(BulkId::from_bytes),
            reference: get(row, 9)?,
            group: get(row, 10)?,
            metadata: get(row, 11)?,
        }),
        None => None,
    };
    Ok(Event {
        number: get(row, 0)?,
        message_id: MessageId::from_bytes(get(row, 1)?),
        status: get(row, 2)?,
        provider: get(row, 3)?,
        reason: get(row, 4)?,
        provider_code: get(row, 5)?,
        at: time(row, 6)?,
        about,
    })
}

pub(in super::super) fn outbox(statements: &mut Statements<'_>) -> Result<Outbox, StoreError> {
    let [statuses, raised] = [(OLDEST, NEWEST), (OLDEST_RAISED, NEWEST_RAISED)].map(|(oldest, newest)| {
        let oldest = statements.first(oldest, params![], |row| Ok((get::<i64>(row, 0)?, time(row, 1)?)))?;
        let newest = statements.first(newest, params![], |row| get::<i64>(row, 0))?;
        let (Some((first, at)), Some(last)) = (oldest, newest) else { return Ok(Outbox::default()) };
        Ok(Outbox { events: last.abs_diff(first) + 1, oldest: Some(at) })
    });
    let (statuses, raised): (Outbox, Outbox) = (statuses?, raised?);
    let oldest = statuses.oldest.into_iter().chain(raised.oldest).min();
    Ok(Outbox { events: statuses.events + raised.events, oldest })
}
