//! The word to stop.

use tokio_util::sync::CancellationToken;

/// How a worker learns that it should end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop {
    /// Begin nothing new, finish what is under way.
    pub(crate) soft: CancellationToken,
    /// Leave everything.
    pub(crate) hard: CancellationToken,
}
