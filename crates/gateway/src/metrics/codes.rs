//! What becomes of one-time codes.

use std::sync::Arc;

use domain::verification::{Examined, VerificationStatus};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};
use parking_lot::Mutex;
use store::port::verifications::RouteConversion;

use super::{Metrics, by_provider};

/// Codes of a route that must have ended before their share is shown: it is noise below.
const SHOWN_FROM: u64 = 10;

/// The instruments.
#[derive(Debug)]
pub(super) struct Codes {
    begun: Counter<u64>,
    ended: Counter<u64>,
    checked: Counter<u64>,
    conversions: Arc<Mutex<Vec<RouteConversion>>>,
}

impl Codes {
    pub(super) fn new(meter: &Meter) -> Self {
        let counter =
            |name: &'static str, help: &'static str| meter.u64_counter(name).with_description(help).build();
        let conversions: Arc<Mutex<Vec<RouteConversion>>> = Arc::default();
        let shown = Arc::clone(&conversions);
        meter
            .f64_observable_gauge("sms.verification.conversion")
            .with_description("Share of the codes of the last hour that were typed in again, by route.")
            .with_callback(move |gauge| {
                for route in shown.lock().iter() {
                    if let Some(share) = route.conversion.share(SHOWN_FROM) {
                        let country = KeyValue::new("country", route.country.to_string());
                        gauge.observe(share, &[by_provider(&route.provider), country]);
                    }
                }
            })
            .build();
        Self {
            begun: counter("sms.verification.begun.count", "One-time codes that were made and sent."),
            ended: counter("sms.verification.ended.count", "One-time codes that have ended, by how."),
            checked: counter("sms.verification.check.count", "Codes that were typed in, by what they were."),
            conversions,
        }
    }
}

impl Metrics {
    pub(crate) fn verification_begun(&self) {
        self.codes.begun.add(1, &[]);
    }

    /// Those that another code took the place of are not counted: the store ends them in passing.
    pub(crate) fn verification_ended(&self, status: VerificationStatus) {
        self.codes.ended.add(1, &[KeyValue::new("status", status.as_str())]);
    }

    pub(crate) fn code_checked(&self, examined: Examined) {
        let outcome = match examined {
            Examined::Right => "right",
            Examined::Wrong => "wrong",
            Examined::Not => "not_examined",
        };
        self.codes.checked.add(1, &[KeyValue::new("outcome", outcome)]);
    }

    /// What came of the codes of the last hour.
    pub(crate) fn conversions(&self, lately: Vec<RouteConversion>) {
        *self.codes.conversions.lock() = lately;
    }
}
