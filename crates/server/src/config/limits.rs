//! Limits.

use std::time::Duration;

use domain::scenario::Scenario;
use gateway::limits::{LimitBy, LimitRule};
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
    All,
}

impl Limits {
    pub(super) fn rules(&self) -> Vec<LimitRule> {
        let rules = self.rules.iter().map(|rule| LimitRule {
            name: rule.name.clone(),
            scenarios: rule.scenarios.clone(),
            by: match rule.by {
                By::Receiver => LimitBy::Receiver,
                By::Group => LimitBy::Group,
                By::Caller => LimitBy::Caller,
                By::ClientIp => LimitBy::Client,
                By::All => LimitBy::All,
            },
            limit: rule.limit,
            period: Duration::from_secs(rule.period_s),
        });
        rules.collect()
    }
}

pub(super) fn validate(config: &Config) -> Result<(), SettingsError> {
    let wrong =
        |problem: &str| Err(SettingsError::Value { key: "limits.rules".into(), problem: problem.into() });
    let mut names = std::collections::BTreeSet::new();
    for rule in &config.limits.rules {
        let is_word = |name: &str| {
            (1..=64).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        };
        if !is_word(&rule.name) {
            return wrong("has a name that is not made of small letters, digits and _, 64 at most");
        }
        if !names.insert(&rule.name) {
            return wrong("has two rules of one name");
        }
        if !(1..=LONGEST).contains(&rule.period_s) {
            return wrong("has a period_s that is not from 1 to 2678400");
        }
    }
    Ok(())
}
