//! The word to stop, and the sign of life that is given in return.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use domain::time::Timestamp;
use tokio_util::sync::CancellationToken;

/// What a worker is told, and what it tells.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Begin nothing new, finish what is under way.
    pub(crate) soft: CancellationToken,
    /// Leave everything.
    pub(crate) hard: CancellationToken,
    pub(crate) pulse: Arc<Pulse>,
}

/// A worker's signs of life.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    last_beat: AtomicI64,
    paused: AtomicBool,
    pub(crate) restarts: AtomicU64,
}

impl Stop {
    /// Tells that the worker is not stuck. Every turn of its loop does so.
    pub fn beat(&self, now: Timestamp) {
        self.pulse.beat(now);
    }

    /// Returns when the worker is told to finish.
    pub async fn asked(&self) {
        self.soft.cancelled().await;
    }

    /// Whether the worker was told to finish.
    pub fn is_asked(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Whether an operator has told the worker to rest.
    pub fn is_paused(&self) -> bool {
        self.pulse.is_paused()
    }
}

impl Pulse {
    pub(crate) fn beat(&self, now: Timestamp) {
        self.last_beat.store(now.as_micros(), Ordering::Relaxed);
    }

    pub(crate) fn last_beat(&self) -> Timestamp {
        Timestamp::from_micros(self.last_beat.load(Ordering::Relaxed))
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    pub(crate) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }
}
