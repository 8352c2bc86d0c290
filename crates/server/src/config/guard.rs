//! Settings of the guard against SMS pumping.

use std::collections::BTreeSet;

use domain::guard::{AllowedCountries, Limits, Mode, Policy};
use domain::scenario::Scenario;
use gateway::settings::GuardSettings;
use serde::Deserialize;

use super::{Config, SettingsError, days};

/// The most digits behind the calling code. Whatever it is, the last four digits of a number are in no block.
const MAX_PREFIX_DIGITS: u32 = 6;

/// The guard.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each key means")]
pub struct Guard {
    pub countries: AllowedCountries,
    pub mode: Mode,
    pub scenarios: BTreeSet<Scenario>,
    pub prefix_digits: u32,
    pub prefix_per_minute: u32,
    pub prefix_per_hour: u32,
    pub prefix_per_day: u32,
    pub caller_per_minute: u32,
    pub caller_per_hour: u32,
    pub caller_per_day: u32,
    pub growth: u32,
    pub least_unverified: u32,
    pub keep_decisions_days: u32,
}

impl Guard {
    /// What the use cases need to be told.
    pub(super) fn settings(&self) -> GuardSettings {
        GuardSettings {
            mode: self.mode,
            countries: self.countries.clone(),
            scenarios: self.scenarios.clone(),
            policy: self.policy(),
            keep_decisions: days(self.keep_decisions_days),
        }
    }

    /// When something is suspicious.
    pub fn policy(&self) -> Policy {
        Policy {
            prefix_digits: self.prefix_digits,
            prefix: Limits {
                per_minute: self.prefix_per_minute,
                per_hour: self.prefix_per_hour,
                per_day: self.prefix_per_day,
            },
            caller: Limits {
                per_minute: self.caller_per_minute,
                per_hour: self.caller_per_hour,
                per_day: self.caller_per_day,
            },
            growth: self.growth,
            least_unverified: self.least_unverified,
        }
    }
}

/// Refuses values that can't be.
pub(super) fn validate(config: &Config) -> Result<(), SettingsError> {
    let guard = &config.guard;
    let checks = [
        (
            (1..=MAX_PREFIX_DIGITS).contains(&guard.prefix_digits),
            "guard.prefix_digits",
            "must be from 1 to 6",
        ),
        (guard.growth > 0, "guard.growth", "must be at least 1"),
        (guard.keep_decisions_days > 0, "guard.keep_decisions_days", "must be at least 1"),
    ];
    match checks.into_iter().find(|(is_right, ..)| !is_right) {
        Some((_, key, problem)) => Err(SettingsError::Value { key: key.into(), problem: problem.into() }),
        None => Ok(()),
    }
}
