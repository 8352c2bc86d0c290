//! How fast, and in which shape, messages go to a provider's account. The same settings for every provider.

use std::time::Duration;

use serde::Deserialize;

/// The pace of one provider account, from `[providers.<name>]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pace {
    /// Messages per second, single and bulk together; 0 for no limit.
    pub messages_per_second: u32,
    /// Messages of one sender per second; 0 for no limit beside the account's.
    pub sender_messages_per_second: u32,
    /// Messages of the bulk lane that leave together; 0 for no batches.
    pub bulk_batch_size: u32,
    /// Milliseconds from one such batch to the next.
    pub bulk_batch_interval_ms: u64,
    /// Receivers that one request may carry when the text is the same; 1 if the provider knows no such request.
    pub max_receivers_per_request: u32,
    /// Requests under way at once.
    pub max_in_flight: u32,
    /// Milliseconds for a connection to stand.
    pub connect_timeout_ms: u64,
    /// Milliseconds for a request in all, from its first byte to the last of the answer.
    pub request_timeout_ms: u64,
}

impl Pace {
    /// The keys of `[providers.<name>]` that are read here; the others are the adapter's.
    pub const KEYS: &[&str] = &[
        "messages_per_second",
        "sender_messages_per_second",
        "bulk_batch_size",
        "bulk_batch_interval_ms",
        "max_receivers_per_request",
        "max_in_flight",
        "connect_timeout_ms",
        "request_timeout_ms",
    ];

    /// The first value that can't be, with its key.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        [
            (self.max_receivers_per_request == 0, "max_receivers_per_request: expected at least 1"),
            (self.max_in_flight == 0, "max_in_flight: expected at least 1"),
            (self.connect_timeout_ms == 0, "connect_timeout_ms: expected at least 1"),
            // Else a connection that does not stand would end as a request that may have been made.
            (
                self.request_timeout_ms <= self.connect_timeout_ms,
                "request_timeout_ms: expected more than connect_timeout_ms",
            ),
        ]
        .into_iter()
        .find_map(|(wrong, problem)| wrong.then_some(problem))
    }

    /// How long after a bulk batch the next may leave.
    pub fn bulk_batch_interval(&self) -> Duration {
        Duration::from_millis(self.bulk_batch_interval_ms)
    }

    /// How long a connection may take to stand.
    pub fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    /// How long a request may take in all.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }
}
