//! What is counted between the broker and us.

use std::sync::Arc;

use domain::scenario::Priority;
use domain::time::Clock;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};
use parking_lot::Mutex;
use store::port::events::Outbox;

/// What became of a request from the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is on disk and acknowledged, or was before.
    Accepted,
    /// It can never be accepted, and lies among the dead.
    Dead,
    /// It could not be accepted now, and comes again.
    Later,
}

impl Fate {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Dead => "dead",
            Self::Later => "later",
        }
    }
}

/// All instruments.
#[derive(Debug)]
pub(super) struct Figures {
    consumed: Counter<u64>,
    published: Counter<u64>,
    oversized: Counter<u64>,
    failures: Counter<u64>,
    outbox: Arc<Mutex<Option<Outbox>>>,
}

impl Figures {
    pub(super) fn new(meter: &Meter, clock: Arc<dyn Clock>) -> Self {
        let counter =
            |name: &'static str, help: &'static str| meter.u64_counter(name).with_description(help).build();
        let figures = Self {
            consumed: counter(
                "sms.broker.consumed.count",
                "Requests from the broker, by what became of them.",
            ),
            published: counter("sms.broker.published.count", "Events that the broker has."),
            oversized: counter(
                "sms.broker.oversized.count",
                "Events that were larger than the broker carries, by what became of them.",
            ),
            failures: counter("sms.broker.failure.count", "Turns that failed and are repeated."),
            outbox: Arc::default(),
        };
        figures.observe(meter, clock);
        figures
    }

    fn observe(&self, meter: &Meter, clock: Arc<dyn Clock>) {
        let outbox = Arc::clone(&self.outbox);
        meter
            .u64_observable_gauge("sms.outbox.depth")
            .with_description("About how many events wait for the broker.")
            .with_callback(move |gauge| {
                if let Some(outbox) = *outbox.lock() {
                    gauge.observe(outbox.events, &[]);
                }
            })
            .build();
        let outbox = Arc::clone(&self.outbox);
        meter
            .f64_observable_gauge("sms.outbox.age")
            .with_description("How long the oldest event has waited for the broker.")
            .with_unit("s")
            .with_callback(move |gauge| {
                if let Some(outbox) = *outbox.lock() {
                    let age = outbox.oldest.map(|oldest| clock.now().since(oldest));
                    gauge.observe(age.unwrap_or_default().as_secs_f64(), &[]);
                }
            })
            .build();
    }

    pub(super) fn consumed(&self, lane: Priority, fate: Fate) {
        self.consumed.add(1, &[KeyValue::new("lane", lane.as_str()), KeyValue::new("fate", fate.as_str())]);
    }

    pub(super) fn published(&self, events: usize) {
        self.published.add(events as u64, &[]);
    }

    /// `fate` is `shortened` or `set_aside`.
    pub(super) fn oversized(&self, fate: &'static str) {
        self.oversized.add(1, &[KeyValue::new("fate", fate)]);
    }

    /// `what` is `consume` or `publish`.
    pub(super) fn failed(&self, what: &'static str) {
        self.failures.add(1, &[KeyValue::new("what", what)]);
    }

    pub(super) fn outbox(&self, outbox: Outbox) {
        *self.outbox.lock() = Some(outbox);
    }
}
