//! Limits.

use std::time::Duration;

use domain::phone::Country;
use domain::scenario::Scenario;
use gateway::limits::{Allows, LimitBy, LimitRule};
use serde::Deserialize;

use super::{Config, SettingsError};

/// The longest period of a limit.
const LONGEST: u64 = 31 * 86_400;

/// How many messages may be accepted for whom.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    rules: Vec<Rule>,
}

/// A limit.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    name: String,
    #[serde(default)]
    scenarios: Vec<Scenario>,
    #[serde(default)]
    countries: Vec<Country>,
    by: By,
    limit: u32,
    period_s: u64,
}

/// What a limit counts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum By {
    Receiver,
    Group,
    Caller,
    ClientIp,
    Country,
    All,
}

impl By {
    pub(super) const fn of_gateway(self) -> LimitBy {
        match self {
            Self::Receiver => LimitBy::Receiver,
            Self::Group => LimitBy::Group,
            Self::Caller => LimitBy::Caller,
            Self::ClientIp => LimitBy::Client,
            Self::Country => LimitBy::Country,
            Self::All => LimitBy::All,
        }
    }
}

impl Limits {
    pub(super) fn rules(&self) -> Vec<LimitRule> {
        let rules = self.rules.iter().map(|rule| LimitRule {
            name: rule.name.clone(),
            scenarios: rule.scenarios.clone(),
            countries: rule.countries.clone(),
            by: rule.by.of_gateway(),
            allows: Allows::Messages { limit: rule.limit, period: Duration::from_secs(rule.period_s) },
        });
        rules.collect()
    }
}

pub(super) fn validate(config: &Config) -> Result<(), SettingsError> {
    let wrong =
        |problem: &str| Err(SettingsError::Value { key: "limits.rules".into(), problem: problem.into() });
    let mut names = std::collections::BTreeSet::new();
    for name in config.limits.rules.iter().map(|rule| &rule.name).chain(config.spending.names()) {
        let is_word = (1..=64).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if !is_word {
            return wrong(
                "or spending.caps has a name that is not made of small letters, digits and _, 64 at most",
            );
        }
        if !names.insert(name) {
            return wrong("and spending.caps have two entries of one name");
        }
    }
    for rule in &config.limits.rules {
        if !(1..=LONGEST).contains(&rule.period_s) {
            return wrong("has a period_s that is not from 1 to 2678400");
        }
    }
    Ok(())
}
