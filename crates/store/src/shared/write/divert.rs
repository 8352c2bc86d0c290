//! Giving waiting messages to other providers.

use super::super::row;
use super::super::sql::{Statements, get, params};
use super::place::{self, Turn};
use crate::StoreError;
use crate::port::queue::Diversion;

pub(in super::super) const TAKE_OUT: &str = "DELETE FROM queue \
     WHERE provider = ?1 AND lane = ?2 AND due_at = ?3 AND message_id = ?4 \
     RETURNING attempt, expires_at, refused_by, resends";

/// Another route for a message that still waits, in this round.
pub(in super::super) const REROUTE: &str = "UPDATE states SET provider = ?2 \
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
    let taken = statements.first(TAKE_OUT, values, |row| {
        Ok((get::<u16>(row, 0)?, row::optional_time(row, 1)?, row::providers(row, 2)?, get::<u32>(row, 3)?))
    })?;
    let Some((attempt, expires_at, refused_by, resends)) = taken else { return Ok(false) };
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
