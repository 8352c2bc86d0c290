//! The nodes that serve one database together.

use async_trait::async_trait;
use domain::ids::NodeId;
use domain::route::ProviderName;
use domain::time::Timestamp;
use tokio::sync::mpsc;

use crate::StoreError;

/// Who lives.
#[async_trait]
pub trait Nodes: Send + Sync {
    /// Says that a node lives. Answers all that do, in the order of their ids. Nodes that have not said so for too long are
    /// forgotten: the leases of their open attempts end, so that [`recover`](super::Queue::recover) closes them.
    async fn beat(&self, beat: Beat) -> Result<Vec<NodeId>, StoreError>;

    /// Wakes the nodes that dispatch: messages wait for these providers.
    async fn wake_nodes(&self, providers: Vec<ProviderName>) -> Result<(), StoreError>;

    /// What other nodes tell by [`wake_nodes`](Self::wake_nodes). Some of it may be lost: whoever listens must look from time
    /// to time all the same. Ends at once where there can be no other nodes.
    fn wakeups(&self) -> mpsc::Receiver<ProviderName>;

    /// Forgets a node that stops, the leases of its open attempts, and those on what it does for all: the others need not
    /// wait until it is missed.
    async fn leave(&self, leave: Leave) -> Result<(), StoreError>;
}

/// The end of a node: it has no request under way any more, and whatever it left open is known to nobody.
#[derive(Debug, Clone, Copy)]
pub struct Leave {
    /// Who stops.
    pub node: NodeId,
    /// The present.
    pub now: Timestamp,
}

/// A sign of life.
#[derive(Debug, Clone, Copy)]
pub struct Beat {
    /// Who lives.
    pub node: NodeId,
    /// The present.
    pub now: Timestamp,
    /// Whoever was not heard of since is gone.
    pub gone_before: Timestamp,
}
