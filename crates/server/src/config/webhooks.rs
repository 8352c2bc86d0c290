//! Settings of webhooks.

use std::time::Duration;

use gateway::settings::WebhookSettings;
use serde::Deserialize;

use super::{Config, SettingsError, days};

/// Days that events are tried, and one more to replay what was given up.
const LEAST_KEPT_DAYS: u32 = 4;

/// Webhooks.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each key means")]
pub struct Webhooks {
    pub allow_private: bool,
    pub allow_http: bool,
    pub timeout_ms: u64,
    pub in_flight: u32,
    pub in_flight_each: u32,
    pub keep_days: u32,
}

#[cfg(test)]
impl Default for Webhooks {
    fn default() -> Self {
        Self {
            allow_private: false,
            allow_http: false,
            timeout_ms: 15_000,
            in_flight: 128,
            in_flight_each: 16,
            keep_days: 7,
        }
    }
}

impl Webhooks {
    /// What the use cases need to be told.
    pub(super) fn settings(&self) -> WebhookSettings {
        WebhookSettings {
            timeout: Duration::from_millis(self.timeout_ms),
            in_flight: self.in_flight,
            in_flight_each: self.in_flight_each,
            keep: days(self.keep_days),
        }
    }
}

/// Refuses values that can't be.
pub(super) fn validate(config: &Config) -> Result<(), SettingsError> {
    let webhooks = &config.webhooks;
    let checks = [
        ((100..=60_000).contains(&webhooks.timeout_ms), "webhooks.timeout_ms", "must be from 100 to 60000"),
        ((1..=1_024).contains(&webhooks.in_flight), "webhooks.in_flight", "must be from 1 to 1024"),
        (
            (1..=webhooks.in_flight).contains(&webhooks.in_flight_each),
            "webhooks.in_flight_each",
            "must be from 1 to webhooks.in_flight",
        ),
        (webhooks.keep_days >= LEAST_KEPT_DAYS, "webhooks.keep_days", "must be at least 4"),
    ];
    match checks.into_iter().find(|(is_right, ..)| !is_right) {
        Some((_, key, problem)) => Err(SettingsError::Value { key: key.into(), problem: problem.into() }),
        None => Ok(()),
    }
}
