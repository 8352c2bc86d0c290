//! Says each second that this node lives, and hears who else does and what operators told them.

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

/// Says each second that this node lives, until it stops.
pub(crate) async fn beat_regularly(shared: Arc<Shared>, stop: Stop) {
    while !stop.soft.is_cancelled() {
        let now = shared.clock.now();
        stop.beat(now);
        if let Err(problem) = beat(&shared).await {
            tracing::error!(%problem, "this node can't say that it lives");
        }
        tokio::select! {
            () = stop.soft.cancelled() => {}
            () = shared.clock.sleep_until(now.plus(TURN)) => {}
        }
    }
}
