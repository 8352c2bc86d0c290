//! Which provider carries which message: rules, and a ranking that can say why.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::phone::{Country, Msisdn};
use crate::scenario::Scenario;

/// The name of a provider, such as `twilio`: lower-case letters, digits and underscores. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ProviderName(Arc<str>);

/// A text that can't name a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a provider's name has 1 to 32 lower-case letters, digits and underscores")]
pub struct ProviderNameError;

impl ProviderName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProviderName {
    type Err = ProviderNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if (1..=32).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(ProviderNameError)
        }
    }
}

impl TryFrom<String> for ProviderName {
    type Error = ProviderNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ProviderName> for String {
    fn from(name: ProviderName) -> Self {
        name.0.as_ref().into()
    }
}

impl fmt::Display for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One routing rule: a message that meets every condition goes to `provider`. A condition left empty is met by
/// every message.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Countries of the receiver, ISO 3166-1 alpha-2.
    #[serde(default)]
    pub countries: Vec<Country>,
    /// What the receiver's number begins with, in E.164 form: `+2547`.
    #[serde(default)]
    pub prefixes: Vec<Prefix>,
    /// Purposes of the message.
    #[serde(default)]
    pub scenarios: Vec<Scenario>,
    /// Where such a message goes.
    pub provider: ProviderName,
}

/// The beginning of phone numbers in E.164 form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Prefix(u64);

/// A text that is not the beginning of a phone number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a prefix is a + and 1 to 15 digits, the first of them not 0")]
pub struct PrefixError;

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.strip_prefix('+')
            .filter(|digits| (1..=15).contains(&digits.len()) && !digits.starts_with('0'))
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .map(Self)
            .ok_or(PrefixError)
    }
}

impl TryFrom<String> for Prefix {
    type Error = PrefixError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl Prefix {
    fn begins(self, number: u64) -> bool {
        let mut rest = number;
        while rest > self.0 {
            rest /= 10;
        }
        rest == self.0
    }
}

impl Rule {
    fn matches(&self, receiver: Msisdn, scenario: Scenario) -> bool {
        (self.countries.is_empty() || self.countries.contains(&receiver.country()))
            && (self.prefixes.is_empty()
                || self.prefixes.iter().any(|prefix| prefix.begins(receiver.number())))
            && (self.scenarios.is_empty() || self.scenarios.contains(&scenario))
    }
}

/// Why a route stands where it does in a ranking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteReason {
    /// The rule at this position, counted from 1, matched.
    Rule(usize),
    /// No rule that matched names a usable provider before it, and it is the default.
    Default,
}

impl fmt::Display for RouteReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(position) => write!(f, "rule {position} matches"),
            Self::Default => f.write_str("default provider"),
        }
    }
}

/// A provider that may carry a message, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The provider.
    pub provider: ProviderName,
    /// Why it is at this place.
    pub reason: RouteReason,
}

/// The rules in order, and what takes the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutingTable {
    /// Tried in order.
    pub rules: Vec<Rule>,
    /// Where a message goes that no rule matches.
    pub default: ProviderName,
}

impl RoutingTable {
    /// The providers for a message, best first, each once: those of the matching rules in order, then the
    /// default. Providers that `usable` refuses (not configured here) are left out: with no
    /// account at the provider that a rule names, the default takes its messages; with none at the default, what no
    /// rule claims has no route.
    pub fn rank(
        &self,
        receiver: Msisdn,
        scenario: Scenario,
        usable: impl Fn(&ProviderName) -> bool,
    ) -> Vec<Route> {
        let by_rule = self.rules.iter().enumerate().filter(|(_, rule)| rule.matches(receiver, scenario)).map(
            |(index, rule)| Route { provider: rule.provider.clone(), reason: RouteReason::Rule(index + 1) },
        );
        let by_default = Route { provider: self.default.clone(), reason: RouteReason::Default };
        let mut ranked: Vec<Route> = Vec::with_capacity(2);
        for route in by_rule.chain([by_default]) {
            if usable(&route.provider) && ranked.iter().all(|better| better.provider != route.provider) {
                ranked.push(route);
            }
        }
        ranked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> RoutingTable {
        let rule = |countries: &[&str], prefixes: &[&str], scenarios: &[Scenario], provider: &str| Rule {
            countries: countries.iter().map(|country| country.parse().unwrap()).collect(),
            prefixes: prefixes.iter().map(|prefix| prefix.parse().unwrap()).collect(),
            scenarios: scenarios.to_vec(),
            provider: provider.parse().unwrap(),
        };
        RoutingTable {
            rules: vec![
                rule(&[], &["+2541"], &[Scenario::Otp], "north"),
                rule(&["KE"], &[], &[], "east"),
                rule(&[], &[], &[Scenario::Alert], "north"),
            ],
            default: "west".parse().unwrap(),
        }
    }

    fn ranked(number: &str, scenario: Scenario, usable: &[&str]) -> Vec<String> {
        let receiver = Msisdn::parse(number, Country::KE).unwrap();
        table()
            .rank(receiver, scenario, |name| usable.contains(&name.as_str()))
            .into_iter()
            .map(|route| format!("{} ({})", route.provider, route.reason))
            .collect()
    }

    #[test]
    fn the_first_rule_that_matches_leads_and_the_default_ends() {
        let all = ["north", "east", "west"];
        assert_eq!(
            ranked("+254712345678", Scenario::General, &all),
            ["east (rule 2 matches)", "west (default provider)"]
        );
        assert_eq!(
            ranked("+254110123456", Scenario::Otp, &all),
            ["north (rule 1 matches)", "east (rule 2 matches)", "west (default provider)"]
        );
        assert_eq!(
            ranked("+14155550100", Scenario::Alert, &all),
            ["north (rule 3 matches)", "west (default provider)"]
        );
    }

    #[test]
    fn a_provider_that_is_not_configured_is_left_out() {
        assert_eq!(ranked("+254712345678", Scenario::General, &["west"]), ["west (default provider)"]);
        assert!(ranked("+14155550100", Scenario::General, &["east"]).is_empty());
    }

    #[test]
    fn a_prefix_is_matched_digit_by_digit() {
        let prefix: Prefix = "+2547".parse().unwrap();
        assert!(prefix.begins(254_712_345_678));
        assert!(!prefix.begins(254_110_123_456));
        assert!(!prefix.begins(25));
        for wrong in ["2547", "+", "+0254", "+25 47", "+1234567890123456"] {
            assert_eq!(wrong.parse::<Prefix>(), Err(PrefixError), "{wrong}");
        }
    }
}
