//! What no receipt says: whether a route that is silent normally reports, and how many messages may be sent again
//! because of it.
//!
//! Learned from samples of what was accepted lately, in memory and bounded: after a start the gateway knows nothing
//! of any route, and then silence is no reason for anything.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use domain::delay::ReceiptDelays;
use domain::ids::MessageId;
use domain::limit::SlidingWindow;
use domain::phone::Country;
use domain::route::ProviderName;
use domain::time::Timestamp;
use parking_lot::Mutex;

/// Messages whose receipts are waited for, to learn from them.
const SAMPLES: usize = 4_096;

/// How long a sample waits for its receipt before it counts as one without.
const LONGEST_WAIT: Duration = Duration::from_mins(10);

/// Over how long extra sends are capped.
const WINDOW: Duration = Duration::from_mins(10);

/// Extra sends in a window that are always allowed: with little traffic, a share of it would be none.
const ALWAYS_ALLOWED: u32 = 5;

type RouteKey = (ProviderName, Country);

/// What was learned.
#[derive(Debug)]
pub(crate) struct Silence {
    /// Percent of the messages of a window that may be sent again for silence.
    cap_percent: u32,
    learned: Mutex<Learned>,
}

#[derive(Debug)]
struct Learned {
    delays: HashMap<RouteKey, ReceiptDelays>,
    samples: HashMap<MessageId, (RouteKey, Timestamp)>,
    /// The same, oldest first; those that have had their receipt are only in here.
    order: VecDeque<(MessageId, Timestamp)>,
    sent: SlidingWindow,
    extra: SlidingWindow,
}

impl Silence {
    pub(crate) fn new(cap_percent: u32) -> Self {
        let learned = Learned {
            delays: HashMap::new(),
            samples: HashMap::new(),
            order: VecDeque::new(),
            sent: SlidingWindow::new(u32::MAX, WINDOW),
            extra: SlidingWindow::new(u32::MAX, WINDOW),
        };
        Self { cap_percent, learned: Mutex::new(learned) }
    }

    /// A provider took a message.
    pub(crate) fn accepted(&self, id: MessageId, provider: &ProviderName, country: Country, now: Timestamp) {
        let mut learned = self.learned.lock();
        learned.sent.pass(1, now);
        learned.forget(now);
        if learned.order.len() < SAMPLES {
            learned.samples.insert(id, ((provider.clone(), country), now));
            learned.order.push_back((id, now));
        }
    }

    /// A receipt said what became of a message.
    pub(crate) fn reported(&self, id: MessageId, now: Timestamp) {
        let mut learned = self.learned.lock();
        if let Some((route, accepted_at)) = learned.samples.remove(&id) {
            learned.delays.entry(route).or_default().reported(now.since(accepted_at));
        }
    }

    /// Whether the silence of a message should send it again: its route normally reports in time, and the share of
    /// extra sends is not used up. Counts the extra send if so.
    pub(crate) fn is_telling(
        &self,
        provider: &ProviderName,
        country: Country,
        deliver_within: Duration,
        now: Timestamp,
    ) -> bool {
        let mut learned = self.learned.lock();
        learned.forget(now);
        let delays = learned.delays.entry((provider.clone(), country)).or_default();
        if !delays.normally_within(deliver_within) {
            return false;
        }
        let sent = u64::from(u32::MAX - learned.sent.available(100, now));
        let allowed = (sent * u64::from(self.cap_percent) / 100).max(u64::from(ALWAYS_ALLOWED));
        let used = u64::from(u32::MAX - learned.extra.available(100, now));
        if used < allowed {
            learned.extra.pass(1, now);
        }
        used < allowed
    }
}

impl Learned {
    /// Samples that have waited too long had no receipt.
    fn forget(&mut self, now: Timestamp) {
        while let Some((id, accepted_at)) = self.order.front().copied() {
            let waited = now.since(accepted_at);
            if waited < LONGEST_WAIT && self.samples.contains_key(&id) {
                break;
            }
            self.order.pop_front();
            if let Some((route, _)) = self.samples.remove(&id) {
                self.delays.entry(route).or_default().missing(waited);
            }
        }
    }
}
