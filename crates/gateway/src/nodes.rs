//! What nodes that serve one database tell each other: that they live, what operators told them, what waits and what has
//! ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use store::StoreError;
use store::port::nodes::Beat;

use crate::share::GONE_AFTER;
use crate::shared::Shared;
use crate::stop::Stop;

/// From one sign of life to the next.
pub(crate) const TURN: Duration = Duration::from_secs(1);

/// From one message to other nodes to the next: what waits for the same provider is told once.
const BETWEEN_WAKEUPS: Duration = Duration::from_millis(5);

/// From one look for outcomes that callers wait for to the next.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// Says that this node lives, and hears who else does.
pub(crate) async fn beat(shared: &Shared) -> Result<(), StoreError> {
    let now = shared.clock.now();
    let beat = Beat { node: shared.node, now, gone_before: now.minus(GONE_AFTER) };
    let live = shared.store.beat(beat).await?;
    let rank = live.iter().position(|node| *node == shared.node).unwrap_or(0);
    if shared.nodes.hear(rank, live.len(), now) {
        tracing::info!(nodes = live.len(), rank, "nodes that share this database");
        shared.wakeups.wake_all();
    }
    hear_of_drains(shared).await
}

/// Operators talk to one node, and what they say is for all.
async fn hear_of_drains(shared: &Shared) -> Result<(), StoreError> {
    let drained: BTreeMap<_, _> = shared.store.drained().await?.into_iter().collect();
    let health = shared.router.health();
    for provider in shared.router.providers() {
        let name = provider.provider_name();
        let since = drained.get(name).copied();
        if since.is_some() != health.drained_since(name).is_some() {
            tracing::warn!(provider = %name, drained = since.is_some(), "an operator said so to another node");
            health.set_drained(name, since);
            shared.wakeups.wake(name);
        }
    }
    Ok(())
}

/// Says each second that this node lives, if it dispatches, and hears what operators told others, until it stops.
pub(crate) async fn keep_in_touch(shared: Arc<Shared>, stop: Stop) {
    while !stop.soft.is_cancelled() {
        let now = shared.clock.now();
        stop.beat(now);
        let told =
            if shared.settings.roles.dispatch { beat(&shared).await } else { hear_of_drains(&shared).await };
        if let Err(problem) = told {
            tracing::error!(%problem, "the other nodes can't be reached");
        }
        tokio::select! {
            () = stop.soft.cancelled() => {}
            () = shared.clock.sleep_until(now.plus(TURN)) => {}
        }
    }
}

/// Wakes dispatchers when another node tells that messages wait.
pub(crate) async fn hear_wakeups(shared: Arc<Shared>, stop: Stop) {
    let mut wakeups = shared.store.wakeups();
    loop {
        let now = shared.clock.now();
        stop.beat(now);
        tokio::select! {
            () = stop.soft.cancelled() => return,
            () = shared.clock.sleep_until(now.plus(TURN)) => {}
            provider = wakeups.recv() => match provider {
                Some(provider) => shared.wakeups.wake(&provider),
                None => wakeups = shared.store.wakeups(),
            },
        }
    }
}

/// Tells the nodes that dispatch of what waits, for one that does not dispatch itself.
pub(crate) async fn wake_others(shared: Arc<Shared>, stop: Stop) {
    loop {
        let now = shared.clock.now();
        stop.beat(now);
        let waiting = tokio::select! {
            () = stop.soft.cancelled() => return,
            () = shared.clock.sleep_until(now.plus(TURN)) => continue,
            waiting = shared.wakeups.for_others() => waiting,
        };
        if let Err(problem) = shared.store.wake_nodes(waiting).await {
            // They look by themselves a little later.
            tracing::warn!(%problem, "the nodes that dispatch could not be woken");
        }
        // What comes meanwhile goes together.
        shared.clock.sleep_until(now.plus(BETWEEN_WAKEUPS)).await;
    }
}

/// Looks for the outcomes that callers wait for: another node may have submitted their messages.
pub(crate) async fn look_for_outcomes(shared: Arc<Shared>, stop: Stop) {
    loop {
        let now = shared.clock.now();
        stop.beat(now);
        tokio::select! {
            () = stop.soft.cancelled() => return,
            () = shared.clock.sleep_until(now.plus(BETWEEN_LOOKS)) => {}
        }
        let expected = shared.outcomes.expected();
        if expected.is_empty() {
            continue;
        }
        match shared.store.statuses(expected).await {
            Ok(statuses) => {
                let settled = statuses.into_iter().filter(|(_, status)| status.is_submitted_or_final());
                settled.for_each(|(id, _)| shared.outcomes.settle(id));
            }
            Err(problem) => tracing::warn!(%problem, "outcomes that callers wait for can't be looked for"),
        }
    }
}
