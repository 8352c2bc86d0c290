//! Settings of what becomes of a message: tried again, sent by another route, looked after, held back, given up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::breaker::BreakerPolicy;
use domain::civil::{QuietHours, TimeZone, Window};
use domain::policy::{OnAmbiguous, OnSilence, ScenarioPolicy};
use domain::retry::RetryPolicy;
use domain::route::Exchange;
use domain::scenario::Scenario;
use gateway::settings;
use serde::Deserialize;

use super::{Config, SettingsError, optional};

/// How submissions that certainly did not leave are tried again.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each key means")]
pub struct Retry {
    pub base_ms: u64,
    pub cap_ms: u64,
    pub max_attempts: u16,
    pub give_up_after_s: u64,
}

/// How messages of one scenario are treated.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each key means")]
pub struct ScenarioRules {
    pub expires_after_s: u64,
    pub on_ambiguous: OnAmbiguous,
    pub decide_after_s: u64,
    pub on_silence: OnSilence,
    pub deliver_within_s: u64,
}

/// When which messages must not leave.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each key means")]
pub struct Quiet {
    #[serde(deserialize_with = "optional")]
    pub time_zone: Option<TimeZone>,
    pub by_scenario: BTreeMap<Scenario, QuietWindow>,
}

/// A part of the day; an empty text is none, so that a default can be taken back.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(transparent)]
pub struct QuietWindow(#[serde(deserialize_with = "optional")] pub Option<Window>);

/// When messages take another route.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each key means")]
pub struct Failover {
    pub bulk_patience_s: u64,
    pub silence_cap_percent: u32,
}

/// What lanes leave to each other.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each key means")]
pub struct Lanes {
    pub guaranteed_percent: GuaranteedPercent,
}

/// The share of each lane.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each key means")]
pub struct GuaranteedPercent {
    pub high: u32,
    pub normal: u32,
    pub bulk: u32,
}

/// When a route counts as failing.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each key means")]
pub struct Breaker {
    pub failures_in_row: u32,
    pub window_s: u64,
    pub least: u32,
    pub failure_percent: u32,
    pub first_open_ms: u64,
    pub longest_open_ms: u64,
    pub probes: u32,
}

/// How the fate of messages is found out.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each key means")]
pub struct Reconcile {
    pub first_look_ms: u64,
    pub interval_ms: u64,
    pub absent_after_ms: u64,
    pub horizon_hours: u32,
}

/// Whether a value can't be, its key, and what it must be.
type Check = (bool, String, &'static str);

/// Refuses the first value that can't be.
pub(super) fn validate(config: &Config) -> Result<(), SettingsError> {
    let scenarios = config.scenarios.iter().flat_map(|(scenario, rules)| rules.checks(*scenario));
    let mut checks = config
        .retry
        .checks()
        .into_iter()
        .chain(scenarios)
        .chain(config.failover.checks())
        .chain(config.lanes.checks())
        .chain(config.breaker.checks())
        .chain(config.reconcile.checks())
        .chain(exchange_checks(&config.routing.exchange));
    match checks.find(|(wrong, ..)| *wrong) {
        Some((_, key, problem)) => Err(SettingsError::Value { key, problem: problem.into() }),
        None => Ok(()),
    }
}

fn check(wrong: bool, key: &str, problem: &'static str) -> Check {
    (wrong, key.into(), problem)
}

impl Retry {
    fn checks(&self) -> [Check; 3] {
        [
            check(self.max_attempts == 0, "retry.max_attempts", "must be at least 1"),
            check(self.base_ms == 0, "retry.base_ms", "must be at least 1"),
            check(self.cap_ms < self.base_ms, "retry.cap_ms", "must be at least retry.base_ms"),
        ]
    }

    fn policy(&self) -> RetryPolicy {
        RetryPolicy {
            base: Duration::from_millis(self.base_ms),
            cap: Duration::from_millis(self.cap_ms),
            max_attempts: self.max_attempts,
            give_up_after: Duration::from_secs(self.give_up_after_s),
        }
    }
}

impl ScenarioRules {
    fn checks(&self, scenario: Scenario) -> [Check; 2] {
        let key = |last: &str| format!("scenarios.{scenario}.{last}");
        [
            (self.decide_after_s == 0, key("decide_after_s"), "must be at least 1"),
            (self.deliver_within_s == 0, key("deliver_within_s"), "must be at least 1"),
        ]
    }

    fn policy(&self, retry: RetryPolicy) -> ScenarioPolicy {
        ScenarioPolicy {
            expires_after: Some(Duration::from_secs(self.expires_after_s)).filter(|after| !after.is_zero()),
            retry,
            on_ambiguous: self.on_ambiguous,
            decide_after: Duration::from_secs(self.decide_after_s),
            on_silence: self.on_silence,
            deliver_within: Duration::from_secs(self.deliver_within_s),
        }
    }
}

impl Failover {
    fn checks(&self) -> [Check; 1] {
        [check(self.silence_cap_percent > 100, "failover.silence_cap_percent", "must be from 0 to 100")]
    }
}

impl Lanes {
    fn checks(&self) -> [Check; 1] {
        let GuaranteedPercent { high, normal, bulk } = self.guaranteed_percent;
        let sum = high.saturating_add(normal).saturating_add(bulk);
        // What is left is for alerts, and for whoever comes first.
        [check(sum > 50, "lanes.guaranteed_percent", "must not be more than 50 in all")]
    }

    pub(super) fn shares(&self) -> settings::GuaranteedShares {
        let GuaranteedPercent { high, normal, bulk } = self.guaranteed_percent;
        settings::GuaranteedShares { high, normal, bulk }
    }
}

impl Breaker {
    fn checks(&self) -> [Check; 7] {
        let percent = (1..=100).contains(&self.failure_percent);
        [
            check(self.failures_in_row == 0, "breaker.failures_in_row", "must be at least 1"),
            check(self.window_s == 0, "breaker.window_s", "must be at least 1"),
            check(self.least == 0, "breaker.least", "must be at least 1"),
            check(!percent, "breaker.failure_percent", "must be from 1 to 100"),
            check(self.first_open_ms < 100, "breaker.first_open_ms", "must be at least 100"),
            check(
                self.longest_open_ms < self.first_open_ms,
                "breaker.longest_open_ms",
                "must be at least breaker.first_open_ms",
            ),
            check(self.probes == 0, "breaker.probes", "must be at least 1"),
        ]
    }

    fn policy(&self) -> BreakerPolicy {
        BreakerPolicy {
            failures_in_row: self.failures_in_row,
            window: Duration::from_secs(self.window_s),
            least: self.least,
            failure_percent: self.failure_percent,
            first_open: Duration::from_millis(self.first_open_ms),
            longest_open: Duration::from_millis(self.longest_open_ms),
            probes: self.probes,
        }
    }
}

impl Reconcile {
    fn checks(&self) -> [Check; 4] {
        [
            check(self.first_look_ms < 100, "reconcile.first_look_ms", "must be at least 100"),
            check(self.interval_ms < 100, "reconcile.interval_ms", "must be at least 100"),
            // A provider's list is behind by moments: to trust it at once is to send twice.
            check(self.absent_after_ms < 1_000, "reconcile.absent_after_ms", "must be at least 1000"),
            check(self.horizon_hours == 0, "reconcile.horizon_hours", "must be at least 1"),
        ]
    }
}

fn exchange_checks(exchange: &BTreeMap<String, f64>) -> impl Iterator<Item = Check> + '_ {
    exchange.iter().map(|(currency, worth)| {
        let is_code = currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_alphabetic());
        let is_worth = worth.is_finite() && *worth > 0.0;
        let key = if is_code { format!("routing.exchange.{currency}") } else { "routing.exchange".into() };
        (!is_code || !is_worth, key, "needs an ISO 4217 code, and a number greater than 0 as its worth")
    })
}

impl Config {
    /// How messages of each scenario are treated.
    pub(super) fn policies(&self) -> BTreeMap<Scenario, ScenarioPolicy> {
        let retry = self.retry.policy();
        self.scenarios.iter().map(|(scenario, rules)| (*scenario, rules.policy(retry))).collect()
    }

    pub(super) fn breaker_policy(&self) -> BreakerPolicy {
        self.breaker.policy()
    }

    pub(super) fn reconcile(&self) -> settings::Reconcile {
        settings::Reconcile {
            first_look: Duration::from_millis(self.reconcile.first_look_ms),
            interval: Duration::from_millis(self.reconcile.interval_ms),
            absent_after: Duration::from_millis(self.reconcile.absent_after_ms),
            horizon: Duration::from_secs(u64::from(self.reconcile.horizon_hours) * 3_600),
        }
    }

    /// When which messages must not leave.
    pub fn quiet_hours(&self) -> Arc<QuietHours> {
        let windows = self.quiet_hours.by_scenario.iter();
        Arc::new(QuietHours {
            by_scenario: windows.filter_map(|(scenario, window)| Some((*scenario, window.0?))).collect(),
            zone: self.quiet_hours.time_zone.clone(),
        })
    }

    /// What currencies are worth. Names of variables come in small letters.
    pub(super) fn exchange(&self) -> Exchange {
        let worths = self.routing.exchange.iter();
        Exchange(worths.map(|(currency, worth)| (currency.to_ascii_uppercase(), *worth)).collect())
    }
}
