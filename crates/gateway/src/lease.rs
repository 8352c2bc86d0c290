//! What one node does for all, as long as it holds a lease.

use std::sync::Arc;
use std::time::Duration;

use domain::ids::NodeId;
use domain::time::{Clock, Timestamp};
use store::port::events::Lease;
use store::{Store, StoreError};

/// How far the clocks of nodes may be apart.
pub(crate) const SKEW: Duration = Duration::from_secs(2);

/// A lease that a node means to hold for long, and renews in good time.
#[derive(Debug)]
pub struct HeldLease {
    name: &'static str,
    store: Arc<dyn Store>,
    node: NodeId,
    clock: Arc<dyn Clock>,
    holds_for: Duration,
    renew_below: Duration,
    holds_until: Option<Timestamp>,
}

impl HeldLease {
    /// One that nobody holds yet. Held, it is held for `holds_for`, and renewed when less than `renew_below` is left: more
    /// than what is done between two questions may take.
    pub fn new(
        name: &'static str,
        (store, node, clock): (Arc<dyn Store>, NodeId, Arc<dyn Clock>),
        holds_for: Duration,
        renew_below: Duration,
    ) -> Self {
        Self { name, store, node, clock, holds_for, renew_below, holds_until: None }
    }

    /// Whether this node is the one. Where one process serves the database, nobody need be asked.
    pub async fn is_ours(&mut self) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let is_safe = |until| now.plus(self.renew_below) < until;
        if !self.store.is_shared() || self.holds_until.is_some_and(is_safe) {
            return Ok(true);
        }
        let until = now.plus(self.holds_for);
        // Not known to be ours until it is said: an answer may come late, or not at all.
        self.holds_until = None;
        let ended_before = now.minus(SKEW);
        let is_ours =
            self.store.take_lease(Lease { name: self.name, node: self.node, until, ended_before }).await?;
        self.holds_until = is_ours.then_some(until);
        Ok(is_ours)
    }

    /// Lets another node have it at once.
    pub async fn give_back(&mut self) {
        if self.holds_until.take().is_some()
            && let Err(problem) = self.store.release_lease(self.name, self.node).await
        {
            // The others wait for its end.
            tracing::debug!(%problem, lease = self.name, "a lease could not be given back");
        }
    }
}
