//! Giving waiting messages to other providers.

use rusqlite::params;

use super::place::{self, Turn};
use super::statements::Statements;
use crate::StoreError;
use crate::port::queue::Diversion;
use crate::sqlite::connection::error;
use crate::sqlite::row::{self, get};

pub(in crate::sqlite) const TAKE_OUT: &str = "DELETE FROM queue \
     WHERE provider = ?1 AND lane = ?2 AND due_at = ?3 AND message_id = ?4 \
     RETURNING attempt, expires_at, refused_by, resends";

/// Another route for a message that still waits, in this round.
pub(in crate::sqlite) const REROUTE: &str = "UPDATE states SET provider = ?2 \
     WHERE message_id = ?1 AND (status = 'queued' OR status = 'scheduled') \
     AND ?3 = (SELECT coalesce(max(resends), 0) FROM rounds WHERE message_id = ?1)";

pub(super) fn divert(statements: &mut Statements<'_>, diversions: &[Diversion]) -> Result<u64, StoreError> {
    let mut changed = 0;
    for diversion in diversions {
        changed += u64::from(divert_one(statements, diversion)?);
    }
    Ok(changed)
}

fn divert_one(statements: &mut Statements<'_>, diversion: &Diversion) -> Result<bool, StoreError> {
    let (place, to) = (&diversion.place, &diversion.to);
    if *to == place.provider {
        return Ok(false);
    }
    let values = params![
        place.provider.as_str(),
        place.priority.index(),
        place.due_at.as_micros(),
        place.message_id.as_bytes()
    ];
    let mut rows = statements.get(TAKE_OUT)?.query(values).map_err(error)?;
    let Some(row) = rows.next().map_err(error)? else { return Ok(false) };
    let (attempt, expires_at, resends) = (get(row, 0)?, row::optional_time(row, 1)?, get::<u32>(row, 3)?);
    let refused_by = row::providers(row, 2)?;
    drop(rows);
    let values = params![place.message_id.as_bytes(), to.as_str(), resends];
    if statements.execute(REROUTE, values)? == 0 {
        // It was settled while it waited, and would have left the queue at its turn.
        return Ok(false);
    }
    let turn = Turn {
        provider: to,
        lane: place.priority,
        due_at: place.due_at,
        message_id: place.message_id,
        attempt,
        expires_at,
        refused_by: &refused_by,
        resends,
    };
    place::put(statements, &turn)?;
    Ok(true)
}
