//! Rules and prices, as settings write them.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Deserialize;

use super::{ProviderName, Question};
use crate::civil::{TimeZone, Window};
use crate::money::{Money, MoneyError};
use crate::phone::Country;
use crate::scenario::Scenario;

/// One routing rule: a message that meets every condition goes to `provider`, or to the cheapest of several. A
/// condition left empty is met by every message.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "WrittenRule")]
pub struct Rule {
    /// Countries of the receiver, ISO 3166-1 alpha-2.
    pub countries: Vec<Country>,
    /// What the receiver's number begins with, in E.164 form: `+2547`.
    pub prefixes: Vec<Prefix>,
    /// Purposes of the message.
    pub scenarios: Vec<Scenario>,
    /// The part of the day.
    pub hours: Option<Window>,
    /// By whose clocks; those of the receiver's country if `None`.
    pub time_zone: Option<TimeZone>,
    /// Where such a message goes.
    pub to: Target,
}

/// Where a rule sends messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To this provider.
    Provider(ProviderName),
    /// To the one of these that charges least; those without a known price come last.
    CheapestOf(Vec<ProviderName>),
}

/// A rule as settings write it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRule {
    #[serde(default)]
    countries: Vec<Country>,
    #[serde(default)]
    prefixes: Vec<Prefix>,
    #[serde(default)]
    scenarios: Vec<Scenario>,
    hours: Option<Window>,
    time_zone: Option<TimeZone>,
    provider: Option<ProviderName>,
    cheapest_of: Option<Vec<ProviderName>>,
}

impl TryFrom<WrittenRule> for Rule {
    type Error = &'static str;

    fn try_from(rule: WrittenRule) -> Result<Self, Self::Error> {
        let to = match (rule.provider, rule.cheapest_of) {
            (Some(provider), None) => Target::Provider(provider),
            (None, Some(providers)) if !providers.is_empty() => Target::CheapestOf(providers),
            _ => return Err("a rule has either a provider or cheapest_of"),
        };
        let WrittenRule { countries, prefixes, scenarios, hours, time_zone, .. } = rule;
        Ok(Self { countries, prefixes, scenarios, hours, time_zone, to })
    }
}

/// What a provider charges for one segment into one country.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "WrittenPrice")]
pub struct Price {
    /// The provider.
    pub provider: ProviderName,
    /// The country.
    pub country: Country,
    /// The price.
    pub per_segment: Money,
}

/// A price as settings write it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPrice {
    provider: ProviderName,
    country: Country,
    per_segment: String,
    currency: String,
}

impl TryFrom<WrittenPrice> for Price {
    type Error = MoneyError;

    fn try_from(price: WrittenPrice) -> Result<Self, Self::Error> {
        let per_segment = Money::from_decimal(&price.per_segment, &price.currency)?;
        Ok(Self { provider: price.provider, country: price.country, per_segment })
    }
}

/// What providers charge.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prices {
    /// By provider and country; the first that fits counts.
    pub list: Vec<Price>,
    /// To compare prices in several currencies.
    pub exchange: Exchange,
}

impl Prices {
    /// What a message costs by a provider, where that is known.
    pub fn of(&self, provider: &ProviderName, country: Country, segments: u16) -> Option<Money> {
        let price = self.list.iter().find(|price| price.provider == *provider && price.country == country)?;
        price.per_segment.times(segments)
    }
}

/// What one unit of each currency is worth in a common one, to compare prices. A currency that is not here can be
/// compared with itself alone.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Exchange(pub BTreeMap<String, f64>);

impl Exchange {
    /// Less is cheaper. Without a rate, a unit counts as one.
    #[expect(clippy::cast_precision_loss, reason = "prices are compared, not paid")]
    pub(super) fn worth(&self, price: Money) -> f64 {
        price.micros() as f64 * self.0.get(price.currency()).copied().unwrap_or(1.0)
    }

    /// The same amount in another currency, rounded up; `None` without the rates.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "rates are rough")]
    pub fn convert(&self, money: Money, currency: &str) -> Option<Money> {
        if money.currency() == currency {
            return Some(money);
        }
        let rate = self.0.get(money.currency())? / self.0.get(currency)?;
        Money::new((money.micros() as f64 * rate).ceil() as i64, currency).ok()
    }
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
    /// Whether a number begins so.
    pub(crate) fn begins(self, number: u64) -> bool {
        let mut rest = number;
        while rest > self.0 {
            rest /= 10;
        }
        rest == self.0
    }
}

impl Rule {
    /// The providers that it names.
    pub fn providers(&self) -> impl Iterator<Item = &ProviderName> {
        match &self.to {
            Target::Provider(provider) => std::slice::from_ref(provider).iter(),
            Target::CheapestOf(providers) => providers.iter(),
        }
    }

    pub(super) fn matches(&self, question: &Question) -> bool {
        let receiver = question.receiver;
        let at_this_hour = |window: &Window| match &self.time_zone {
            Some(zone) => window.contains(question.now, zone),
            None => window.contains(question.now, &TimeZone::of(receiver.country())),
        };
        (self.countries.is_empty() || self.countries.contains(&receiver.country()))
            && (self.prefixes.is_empty()
                || self.prefixes.iter().any(|prefix| prefix.begins(receiver.number())))
            && (self.scenarios.is_empty() || self.scenarios.contains(&question.scenario))
            && self.hours.as_ref().is_none_or(at_this_hour)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_has_one_target() {
        for wrong in [
            serde_json::json!({"countries": ["KE"]}),
            serde_json::json!({"provider": "east", "cheapest_of": ["west"]}),
            serde_json::json!({"cheapest_of": []}),
            serde_json::json!({"provider": "east", "hours": "25:00-07:00"}),
            serde_json::json!({"provider": "east", "country": "KE"}),
        ] {
            assert!(serde_json::from_value::<Rule>(wrong.clone()).is_err(), "{wrong}");
        }
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
