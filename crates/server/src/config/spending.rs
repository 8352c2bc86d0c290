//! What may be spent on a day.

use domain::civil::TimeZone;
use domain::money::Money;
use domain::phone::Country;
use domain::scenario::Scenario;
use gateway::limits::{Allows, LimitRule};
use gateway::spending::SpendingSettings;
use serde::Deserialize;

use super::limits::By;
use super::{Config, SettingsError, optional};

/// How spending is counted, and where it ends.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spending {
    currency: String,
    price_when_unknown: String,
    #[serde(deserialize_with = "optional")]
    time_zone: Option<TimeZone>,
    caps: Vec<Cap>,
}

/// What may be spent on a day.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cap {
    name: String,
    #[serde(default)]
    scenarios: Vec<Scenario>,
    #[serde(default)]
    countries: Vec<Country>,
    by: By,
    most: String,
}

impl Spending {
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.caps.iter().map(|cap| &cap.name)
    }

    fn money(&self, amount: &str) -> Option<Money> {
        Money::from_decimal(amount, &self.currency).ok().filter(|money| money.micros() >= 0)
    }

    pub(super) fn settings(&self, region: Country) -> SpendingSettings {
        let default = SpendingSettings::of(region);
        SpendingSettings {
            unknown_per_segment: self.money(&self.price_when_unknown).unwrap_or(default.unknown_per_segment),
            time_zone: self.time_zone.clone().unwrap_or(default.time_zone),
        }
    }

    /// As limits of the gateway.
    pub(super) fn rules(&self) -> Vec<LimitRule> {
        let rules = self.caps.iter().filter_map(|cap| {
            Some(LimitRule {
                name: cap.name.clone(),
                scenarios: cap.scenarios.clone(),
                countries: cap.countries.clone(),
                by: cap.by.of_gateway(),
                allows: Allows::Spending(self.money(&cap.most)?),
            })
        });
        rules.collect()
    }
}

pub(super) fn validate(config: &Config) -> Result<(), SettingsError> {
    let Spending { currency, price_when_unknown, caps, .. } = &config.spending;
    let wrong = |key: &str, problem: &str| {
        Err(SettingsError::Value { key: format!("spending.{key}"), problem: problem.into() })
    };
    if Money::new(0, currency).is_err() {
        return wrong("currency", "is not an ISO 4217 code such as USD");
    }
    if config.spending.money(price_when_unknown).is_none() {
        return wrong("price_when_unknown", "is not an amount such as \"0.10\"");
    }
    for cap in caps {
        if config.spending.money(&cap.most).is_none() {
            return wrong("caps", "has a most that is not an amount such as \"100.00\"");
        }
        if cap.by == By::ClientIp {
            return wrong("caps", "can't count by client_ip: a message that is sent again has none");
        }
    }
    let exchange = config.exchange();
    let is_lost = |money: Money| exchange.convert(money, currency).is_none();
    if !caps.is_empty() && config.routing.prices.iter().any(|price| is_lost(price.per_segment)) {
        return wrong(
            "caps",
            "need routing.exchange: a price is in a currency that can't be turned into theirs",
        );
    }
    Ok(())
}
