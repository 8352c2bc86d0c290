//! What is counted of connections.

use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};

use super::bounds::Bounds;
use super::certificate::Certificate;

/// Why a connection was not served, or not to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// Too many were open.
    Full,
    /// Too many were open from one address.
    FullForAddress,
    /// TLS could not be agreed on.
    Handshake,
    /// A head did not come in time.
    SlowHead,
    /// What was written was not taken in time.
    SlowReader,
}

impl Cut {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::FullForAddress => "full_for_address",
            Self::Handshake => "handshake",
            Self::SlowHead => "slow_head",
            Self::SlowReader => "slow_reader",
        }
    }
}

/// The instruments of one listener.
#[derive(Debug, Clone)]
pub(super) struct Figures {
    cut: Counter<u64>,
    listener: &'static str,
}

impl Figures {
    pub(super) fn new(meter: &Meter, listener: &'static str, bounds: &Arc<Bounds>) -> Self {
        let bounds = Arc::clone(bounds);
        meter
            .u64_observable_gauge("sms.http.connections")
            .with_description("Open connections.")
            .with_callback(move |gauge| {
                gauge.observe(bounds.open() as u64, &[KeyValue::new("listener", listener)]);
            })
            .build();
        let cut = meter
            .u64_counter("sms.http.cut.count")
            .with_description("Connections that were not served, or not to their end, by the reason.")
            .build();
        Self { cut, listener }
    }

    pub(super) fn cut(&self, why: Cut) {
        self.cut.add(1, &[KeyValue::new("listener", self.listener), KeyValue::new("why", why.as_str())]);
    }
}

/// Shows when the certificate ends.
pub(super) fn observe_end(meter: &Meter, certificate: &Arc<Certificate>) {
    let certificate = Arc::clone(certificate);
    meter
        .f64_observable_gauge("sms.http.certificate.end")
        .with_description("When the certificate ends, in seconds since 1970.")
        .with_unit("s")
        .with_callback(move |gauge| {
            let seconds = std::time::Duration::from_millis(certificate.ends().as_millis());
            gauge.observe(seconds.as_secs_f64(), &[]);
        })
        .build();
}
