//! Settles what was reserved of caps: once it is known what a message cost, that takes the place of what it was taken to cost.

use std::sync::Arc;
use std::time::Duration;

use domain::time::Timestamp;
use store::StoreError;
use store::port::spending::{Charge, Reservation, ReservationId};

use crate::shared::Shared;
use crate::spending::Tariff;
use crate::stop::Stop;
use crate::sweep::{does_for_all, pause};

/// From one look at all that is reserved to the next.
pub(crate) const TURN: Duration = Duration::from_secs(1);

/// Reservations that are looked at together: a part of a commit that others wait for.
const BATCH: u32 = 1_000;

/// Settles until it is told to stop.
pub(crate) async fn settle_regularly(shared: Arc<Shared>, stop: Stop) {
    while pause(&*shared.clock, TURN, &stop).await {
        if !does_for_all(&shared, "spending", TURN).await {
            continue;
        }
        let mut after = None;
        loop {
            stop.beat(shared.clock.now());
            match settle(&shared, after).await {
                Ok(Some(last)) if !stop.soft.is_cancelled() => after = Some(last),
                Ok(_) => break,
                Err(problem) => {
                    tracing::error!(%problem, "what messages cost can't be settled: caps hold what was reserved");
                    break;
                }
            }
        }
    }
}

/// Settles a part of what is reserved; answers the last that was looked at if there is more.
async fn settle(shared: &Shared, after: Option<ReservationId>) -> Result<Option<ReservationId>, StoreError> {
    let (tariff, now) = (shared.limits.tariff(), shared.clock.now());
    let reservations = shared.store.reservations(after, BATCH).await?;
    let is_last = reservations.len() < BATCH as usize;
    let last = reservations.last().map(|reservation| reservation.id);
    let charges: Vec<Charge> =
        reservations.iter().filter_map(|reservation| charge(tariff, reservation, now)).collect();
    if !charges.is_empty() {
        shared.store.settle(charges).await?;
    }
    Ok(last.filter(|_| !is_last))
}

/// What a reservation comes to, once that is known: when the message has left, or never will. What may have left is taken to
/// have cost what the provider charges.
fn charge(tariff: &Tariff, reservation: &Reservation, now: Timestamp) -> Option<Charge> {
    let Reservation { id, amount: reserved, message } = reservation;
    let charged = match message {
        // It is so old that it is kept no longer.
        None => *reserved,
        Some(message) if message.status.is_submitted_or_final() => message
            .taken
            .iter()
            .map(|taking| {
                let segments = taking.segments.unwrap_or(message.segments);
                tariff.charged(&taking.provider, message.country, segments, taking.cost).micros()
            })
            .fold(0, i64::saturating_add),
        Some(_) => return None,
    };
    Some(Charge { id: *id, reserved: *reserved, charged, now })
}
