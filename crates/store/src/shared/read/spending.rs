//! What is reserved of caps, and what became of the messages that it is reserved for.

use domain::ids::MessageId;
use domain::quota::Draw;

use super::super::quotas;
use super::super::row::{cost, word};
use super::super::sql::{Row, Statements, get, params};
use crate::StoreError;
use crate::port::spending::{Reservation, ReservationId, ReservedFor, Taking};

/// Reservations behind one, each with the attempts that a provider took or may have taken.
pub(in super::super) const RESERVED: &str = "SELECT r.message_id, r.quota, r.amount, s.status, m.country, m.segments, \
     a.provider, a.segments, a.cost_micros, a.cost_currency FROM (SELECT message_id, quota, amount, after_attempt \
     FROM reservations WHERE (message_id, quota) > (?1, ?2) ORDER BY message_id, quota LIMIT ?3) AS r \
     LEFT JOIN states s ON s.message_id = r.message_id LEFT JOIN messages m ON m.id = r.message_id \
     LEFT JOIN attempts a ON a.message_id = r.message_id AND a.number > r.after_attempt \
     AND (a.outcome = 'accepted' OR a.outcome = 'ambiguous') ORDER BY r.message_id, r.quota";

pub(in super::super) fn reservations(
    statements: &mut Statements<'_>,
    after: Option<ReservationId>,
    limit: u32,
) -> Result<Vec<Reservation>, StoreError> {
    let first = ReservationId { message_id: MessageId::from_bytes([0; 16]), quota: i64::MIN };
    let ReservationId { message_id, quota } = after.unwrap_or(first);
    let rows = statements.collect(RESERVED, params![message_id.as_bytes(), quota, limit], |row| {
        Ok((reservation(row)?, taking(row)?))
    })?;
    let mut reservations: Vec<Reservation> = Vec::new();
    for (reservation, taking) in rows {
        if reservations.last().is_none_or(|last| last.id != reservation.id) {
            reservations.push(reservation);
        }
        if let (Some(message), Some(taking)) =
            (reservations.last_mut().and_then(|last| last.message.as_mut()), taking)
        {
            message.taken.push(taking);
        }
    }
    Ok(reservations)
}

fn reservation(row: &Row<'_>) -> Result<Reservation, StoreError> {
    let id = ReservationId { message_id: MessageId::from_bytes(get(row, 0)?), quota: get(row, 1)? };
    let is_kept = get::<Option<String>>(row, 3)?.is_some() && get::<Option<String>>(row, 4)?.is_some();
    let message = if is_kept {
        Some(ReservedFor {
            status: word(row, 3)?,
            country: word(row, 4)?,
            segments: get(row, 5)?,
            taken: Vec::new(),
        })
    } else {
        None
    };
    Ok(Reservation { id, amount: get(row, 2)?, message })
}

fn taking(row: &Row<'_>) -> Result<Option<Taking>, StoreError> {
    if get::<Option<String>>(row, 6)?.is_none() {
        return Ok(None);
    }
    Ok(Some(Taking { provider: word(row, 6)?, segments: get(row, 7)?, cost: cost(row, 8)? }))
}

/// The numbers of these quotas.
pub(in super::super) fn standing(
    statements: &mut Statements<'_>,
    draws: &[Draw],
) -> Result<Vec<Option<i64>>, StoreError> {
    let mut standing = Vec::with_capacity(draws.len());
    for draw in draws {
        standing.push(quotas::shown(statements, draw.quota)?);
    }
    Ok(standing)
}
