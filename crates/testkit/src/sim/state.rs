//! What the parts of one simulator share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::time::Timestamp;
use parking_lot::RwLock;
use serde::Serialize;

use crate::serve::Answer;
use crate::sim::callbacks::{Callbacks, Journey};
use crate::sim::config::{CallbackUrls, SimConfig};
use crate::sim::faults::Faults;
use crate::sim::ledger::Ledger;
use crate::sim::life::{Pace, Step};
use crate::sim::provider::Provider;
use crate::sim::seed::Seed;

/// What the parts of one simulator share.
pub(crate) struct State {
    pub(crate) config: SimConfig,
    pub(crate) seed: Seed,
    pub(crate) ledger: Ledger,
    pub(crate) faults: Faults,
    pub(crate) callbacks: Callbacks,
    pub(crate) urls: RwLock<CallbackUrls>,
    pub(crate) twilio: Counters,
    pub(crate) africastalking: Counters,
    ids: AtomicU64,
    batches: AtomicU64,
}

/// What one provider has counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: AtomicU64,
    pub(crate) submissions: AtomicU64,
    pub(crate) accepted: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) faulted: AtomicU64,
}

/// What came of a request to send.
pub(crate) struct Submitted {
    pub(crate) answer: Answer,
    pub(crate) recipients: usize,
    pub(crate) accepted: usize,
    pub(crate) departures: Vec<Departure>,
}

/// A message that sets out.
pub(crate) struct Departure {
    pub(crate) journey: Arc<dyn Journey>,
    pub(crate) steps: Vec<Step>,
    pub(crate) early: bool,
}

/// Counts since the start, or the last reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Twilio's side.
    pub twilio: ProviderStats,
    /// Africa's Talking's side.
    pub africastalking: ProviderStats,
    /// Posts to callback URLs.
    pub callbacks: CallbackStats,
    /// Messages taken, by both together.
    pub messages: u64,
    /// Different messages among them: by reference or, without one, by receiver and text. Fewer than
    /// `messages` means that something was sent twice.
    pub distinct_messages: u64,
}

/// What one provider has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ProviderStats {
    /// All requests.
    pub requests: u64,
    /// Requests to send among them.
    pub submissions: u64,
    /// Messages taken.
    pub accepted: u64,
    /// Messages refused, and requests to send that were refused whole. Without those that met a fault.
    pub refused: u64,
    /// Requests that met a fault other than slowness.
    pub faulted: u64,
}

/// What became of posts to callback URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CallbackStats {
    /// Answered with 2xx.
    pub sent: u64,
    /// Answered otherwise, or not at all.
    pub failed: u64,
    /// Given up because too many were waiting.
    pub dropped: u64,
    /// Waiting for their moment, or under way.
    pub pending: u64,
    /// Being posted at this moment: not answered yet.
    pub under_way: u64,
}

impl State {
    pub(crate) fn new(config: SimConfig, callbacks: Callbacks) -> Self {
        let salt = config.clock.now().as_micros().unsigned_abs();
        let seed = Seed::new(config.seed, salt);
        Self {
            seed,
            ledger: Ledger::new(config.ledger, config.watched_text.clone()),
            faults: Faults::new(seed),
            callbacks,
            urls: RwLock::new(config.callback_urls.clone()),
            twilio: Counters::default(),
            africastalking: Counters::default(),
            ids: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            config,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.config.clock.now()
    }

    pub(crate) fn pace(&self) -> Pace {
        Pace {
            sent_after: self.config.sent_after,
            ended_after: self.config.ended_after,
            detail: self.config.receipts,
        }
    }

    /// `prefix` and 32 hexadecimal digits that come once.
    pub(crate) fn new_id(&self, prefix: &str) -> String {
        self.seed.id(prefix, 1 << 15, self.ids.fetch_add(1, Ordering::Relaxed))
    }

    /// The number of the next request to send, from 1.
    pub(crate) fn new_batch(&self) -> u64 {
        self.batches.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn counters(&self, provider: Provider) -> &Counters {
        match provider {
            Provider::Twilio => &self.twilio,
            Provider::AfricasTalking => &self.africastalking,
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        let tally = self.callbacks.tally();
        Stats {
            twilio: self.twilio.read(),
            africastalking: self.africastalking.read(),
            callbacks: CallbackStats {
                sent: tally.sent.load(Ordering::Relaxed),
                failed: tally.failed.load(Ordering::Relaxed),
                dropped: tally.dropped.load(Ordering::Relaxed),
                pending: tally.pending.load(Ordering::Relaxed),
                under_way: tally.under_way.load(Ordering::Relaxed),
            },
            messages: self.ledger.count(),
            distinct_messages: self.ledger.distinct(),
        }
    }

    pub(crate) fn reset(&self) {
        self.faults.clear();
        self.callbacks.clear();
        self.ledger.clear();
        self.twilio.clear();
        self.africastalking.clear();
    }
}

impl Counters {
    fn read(&self) -> ProviderStats {
        ProviderStats {
            requests: self.requests.load(Ordering::Relaxed),
            submissions: self.submissions.load(Ordering::Relaxed),
            accepted: self.accepted.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            faulted: self.faulted.load(Ordering::Relaxed),
        }
    }

    fn clear(&self) {
        for counter in [&self.requests, &self.submissions, &self.accepted, &self.refused, &self.faulted] {
            counter.store(0, Ordering::Relaxed);
        }
    }
}

impl Submitted {
    /// The whole request is refused.
    pub(crate) fn refused(answer: Answer, recipients: usize) -> Self {
        Self { answer, recipients, accepted: 0, departures: Vec::new() }
    }
}
