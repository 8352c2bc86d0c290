//! Figures about webhooks.

use std::sync::Arc;

use domain::time::Timestamp;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Meter};
use store::port::webhooks::Backlog;

/// The instruments.
#[derive(Debug)]
pub(crate) struct Figures {
    posts: Counter<u64>,
    disabled: Counter<u64>,
    waiting: Gauge<u64>,
    lag: Gauge<f64>,
}

impl Figures {
    pub(crate) fn new(meter: &Meter) -> Arc<Self> {
        let counter =
            |name: &'static str, help: &'static str| meter.u64_counter(name).with_description(help).build();
        Arc::new(Self {
            posts: counter("sms.webhook.post.count", "Posts of events to endpoints, by what came of them."),
            disabled: counter(
                "sms.webhook.disabled.count",
                "Endpoints that were disabled because they failed.",
            ),
            waiting: meter
                .u64_gauge("sms.webhook.waiting")
                .with_description("Events that an endpoint has not got yet.")
                .build(),
            lag: meter
                .f64_gauge("sms.webhook.lag")
                .with_description("Since when the oldest event waits that an endpoint has not got yet.")
                .with_unit("s")
                .build(),
        })
    }

    /// `is_left` is whether it will be tried again.
    pub(crate) fn posted(&self, error: Option<&'static str>, is_left: bool) {
        let fate = match error {
            None => "delivered",
            Some(_) if is_left => "again",
            Some(_) => "given_up",
        };
        self.posts.add(1, &[KeyValue::new("fate", fate), KeyValue::new("error", error.unwrap_or("none"))]);
    }

    pub(crate) fn disabled(&self) {
        self.disabled.add(1, &[]);
    }

    pub(crate) fn waits(&self, backlog: Backlog, now: Timestamp) {
        self.waiting.record(backlog.deliveries, &[]);
        self.lag.record(backlog.oldest.map_or(0.0, |oldest| now.since(oldest).as_secs_f64()), &[]);
    }
}
