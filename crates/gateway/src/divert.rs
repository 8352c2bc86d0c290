//! Finds other routes for messages that wait for a provider that can't be used: its breaker is open, an operator
//! drained it, or the settings don't name it any more.

use std::sync::Arc;
use std::time::Duration;

use domain::route::{ProviderName, Standing};
use domain::scenario::Priority;
use domain::time::Timestamp;
use store::StoreError;
use store::port::queue::{Diversion, Waiter, Waiting};

use crate::routing::Traveler;
use crate::shared::Shared;
use crate::stop::Stop;

/// From one look to the next.
pub(crate) const TURN: Duration = Duration::from_millis(500);

/// Messages of a lane that are looked at together.
const BATCH: u32 = 512;

/// Runs until stopped.
pub(crate) async fn run(shared: Arc<Shared>, stop: Stop) {
    while !stop.soft.is_cancelled() {
        let now = shared.clock.now();
        stop.beat(now);
        if !stop.is_paused()
            && let Err(problem) = divert_all(&shared, now).await
        {
            tracing::error!(%problem, "messages of a failing route can't be given to another");
            shared.metrics.store_failed();
        }
        let rest = shared.clock.sleep_until(now.plus(TURN));
        tokio::select! {
            () = stop.soft.cancelled() => {}
            () = rest => {}
        }
    }
}

async fn divert_all(shared: &Shared, now: Timestamp) -> Result<(), StoreError> {
    let health = shared.router.health();
    for provider in shared.router.providers() {
        let name = provider.provider_name();
        if health.drained_since(name).is_some() || health.has_trouble(name, now) {
            divert(shared, name, now, now).await?;
        }
    }
    // What waits for a provider that the settings don't name: also what could not leave when the service started.
    for name in shared.metrics.waited_for() {
        if shared.router.provider(&name).is_none() {
            divert(shared, &name, Timestamp::from_micros(i64::MAX), now).await?;
        }
    }
    Ok(())
}

/// Gives what waits for a provider, and is due by a time, to others, as far as they can take it.
pub(crate) async fn divert(
    shared: &Shared,
    from: &ProviderName,
    due_by: Timestamp,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let mut diverted = 0;
    for lane in Priority::ALL {
        let mut lanes = [false; Priority::ALL.len()];
        lanes[lane.index()] = true;
        loop {
            let waiting = Waiting { provider: from.clone(), lanes, now: due_by, limit: BATCH };
            let waiters = shared.store.waiting(waiting).await?;
            let full = waiters.len() == BATCH as usize;
            let diversions: Vec<Diversion> =
                waiters.into_iter().filter_map(|waiter| elsewhere(shared, from, waiter, now)).collect();
            if diversions.is_empty() {
                break;
            }
            let takers: Vec<ProviderName> = diversions.iter().map(|diversion| diversion.to.clone()).collect();
            let moved = shared.store.divert(diversions).await?;
            diverted += moved;
            for taker in takers {
                shared.wakeups.wake(&taker);
            }
            // What stays at the front has no other route, and nothing behind it is looked at now.
            if !full || moved == 0 {
                break;
            }
        }
    }
    if diverted > 0 {
        tracing::warn!(provider = %from, messages = diverted, "messages of a failing route take another");
        shared.metrics.diverted(from, diverted);
    }
    Ok(diverted)
}

/// A waiting message's other route, if one works now.
fn elsewhere(shared: &Shared, from: &ProviderName, waiter: Waiter, now: Timestamp) -> Option<Diversion> {
    let traveler = Traveler {
        receiver: waiter.receiver,
        scenario: waiter.scenario,
        priority: waiter.place.priority,
        segments: waiter.segments,
        refused_by: &waiter.refused_by,
    };
    let best = shared.router.rank(&traveler, now).into_iter().next()?;
    // A route that is being probed gets its probe from what is new.
    let is_better = best.provider != *from && matches!(best.standing, Standing::Usable);
    is_better.then_some(Diversion { place: waiter.place, to: best.provider })
}
