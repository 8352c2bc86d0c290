//! Which provider carries which message: rules, and a ranking that can say why.

mod rule;

use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::rule::{Exchange, Prefix, PrefixError, Price, Prices, Rule, Target};
use crate::conversion::{Conversion, ConversionPolicy, Expectation};
use crate::money::Money;
use crate::phone::Msisdn;
use crate::scenario::Scenario;
use crate::time::Timestamp;

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

/// A message that looks for a route.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// Where it goes.
    pub receiver: Msisdn,
    /// What it is for.
    pub scenario: Scenario,
    /// How many segments it has.
    pub segments: u16,
    /// The present.
    pub now: Timestamp,
    /// How long it waits for a failing route before it takes another.
    pub patience: Duration,
}

/// Whether a route can take a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It can.
    Usable,
    /// It failed, and this message may find out whether it works again.
    Probing,
    /// It fails.
    Open {
        /// Since when.
        since: Timestamp,
    },
    /// An operator took it out of service.
    Drained,
    /// It refused this very message.
    Refused,
    /// There is no account for it.
    NotConfigured,
}

impl Standing {
    /// The standing in a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Usable => "usable",
            Self::Probing => "probing",
            Self::Open { .. } => "breaker_open",
            Self::Drained => "drained",
            Self::Refused => "refused",
            Self::NotConfigured => "not_configured",
        }
    }

    /// Less goes first.
    fn place(self, question: &Question) -> u8 {
        match self {
            Self::Usable | Self::Probing => 0,
            Self::Open { since } if question.now < since.plus(question.patience) => 0,
            Self::Open { .. } => 1,
            Self::Drained => 2,
            Self::Refused => 3,
            Self::NotConfigured => 4,
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usable => f.write_str("usable"),
            Self::Probing => f.write_str("failed lately, this message would probe it"),
            Self::Open { since } => write!(f, "failing since {since}, its breaker is open"),
            Self::Drained => f.write_str("drained by an operator"),
            Self::Refused => f.write_str("refused this message"),
            Self::NotConfigured => f.write_str("not configured"),
        }
    }
}

/// Why a route is considered, and before which others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteReason {
    /// The rule at this position, counted from 1, matched.
    Rule(usize),
    /// The same, for a rule that chooses by price.
    Cheapest {
        /// The rule's position.
        rule: usize,
        /// This provider's place by price, counted from 1.
        place: usize,
    },
    /// It takes what no rule claims.
    Default,
}

impl fmt::Display for RouteReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(position) => write!(f, "rule {position} matches"),
            Self::Cheapest { rule, place } => write!(f, "rule {rule} matches, place {place} by price"),
            Self::Default => f.write_str("default provider"),
        }
    }
}

/// A provider that may carry a message, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The provider.
    pub provider: ProviderName,
    /// Why it is considered.
    pub reason: RouteReason,
    /// Whether it can take the message.
    pub standing: Standing,
    /// What the message costs by it, where prices are known.
    pub price: Option<Money>,
    /// What came of its codes in that country lately, for a code.
    pub conversion: Option<Conversion>,
    /// Whether far fewer of them were typed in again than should have been.
    pub lags: bool,
}

impl Route {
    /// Whether it can take the message now.
    pub fn is_usable(&self) -> bool {
        matches!(self.standing, Standing::Usable | Standing::Probing)
    }

    /// One line for a person.
    pub fn explain(&self) -> String {
        let price = self.price.map_or_else(
            || "price not known".to_owned(),
            |price| format!("{} {}", price.currency(), price.amount()),
        );
        let mut line = format!("{}: {}; {}; {price}", self.provider, self.reason, self.standing);
        if let Some(conversion) = self.conversion {
            let _ = write!(line, "; {conversion}");
        }
        if self.lags {
            line.push_str(", far fewer than expected");
        }
        line
    }
}

/// The rules in order, what takes the rest, and what it costs.
#[derive(Debug, Clone, PartialEq)]
pub struct RoutingTable {
    /// Tried in order.
    pub rules: Vec<Rule>,
    /// Where a message goes that no rule matches.
    pub default: ProviderName,
    /// What providers charge.
    pub prices: Prices,
}

impl RoutingTable {
    /// Every provider that is considered for a message, each once and best first: those of the matching rules in
    /// order, then the default. What can't take it now stands behind what can: routes that fail, then drained
    /// ones, those that refused it, and those without an account. A failing route keeps its place for as long as
    /// the message has patience.
    pub fn rank(&self, question: &Question, standing: impl Fn(&ProviderName) -> Standing) -> Vec<Route> {
        let mut ranked: Vec<Route> = Vec::with_capacity(2);
        let mut consider = |provider: &ProviderName, reason: RouteReason| {
            if ranked.iter().all(|better| better.provider != *provider) {
                ranked.push(Route {
                    provider: provider.clone(),
                    reason,
                    standing: standing(provider),
                    price: self.price(provider, question),
                    conversion: None,
                    lags: false,
                });
            }
        };
        let matching = self.rules.iter().enumerate().filter(|(_, rule)| rule.matches(question));
        for (index, rule) in matching {
            let rule_number = index + 1;
            match &rule.to {
                Target::Provider(provider) => consider(provider, RouteReason::Rule(rule_number)),
                Target::CheapestOf(providers) => {
                    for (place, provider) in self.by_price(providers, question).into_iter().enumerate() {
                        consider(provider, RouteReason::Cheapest { rule: rule_number, place: place + 1 });
                    }
                }
            }
        }
        consider(&self.default, RouteReason::Default);
        ranked.sort_by_key(|route| route.standing.place(question));
        ranked
    }

    /// Puts routes by which codes are verified far too seldom behind those that stand as well otherwise. `expected` says
    /// what is known of a provider in the receiver's country.
    pub fn prefer(
        routes: &mut [Route],
        question: &Question,
        policy: ConversionPolicy,
        expected: impl Fn(&ProviderName) -> Option<Expectation>,
    ) {
        for route in &mut *routes {
            if let Some(known) = expected(&route.provider) {
                route.conversion = Some(known.lately);
                route.lags = policy.lags(&known);
            }
        }
        routes.sort_by_key(|route| (route.standing.place(question), route.lags));
    }

    /// What a message costs by a provider.
    fn price(&self, provider: &ProviderName, question: &Question) -> Option<Money> {
        self.prices.of(provider, question.receiver.country(), question.segments)
    }

    fn by_price<'a>(&self, providers: &'a [ProviderName], question: &Question) -> Vec<&'a ProviderName> {
        let worth = |provider: &ProviderName| {
            self.price(provider, question).map_or(f64::INFINITY, |price| self.prices.exchange.worth(price))
        };
        let mut priced: Vec<(f64, &ProviderName)> =
            providers.iter().map(|provider| (worth(provider), provider)).collect();
        priced.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        priced.into_iter().map(|(_, provider)| provider).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::phone::Country;

    fn name(text: &str) -> ProviderName {
        text.parse().unwrap()
    }

    fn rule(text: serde_json::Value) -> Rule {
        serde_json::from_value(text).unwrap()
    }

    fn table() -> RoutingTable {
        RoutingTable {
            rules: vec![
                rule(serde_json::json!({"prefixes": ["+2541"], "scenarios": ["otp"], "provider": "north"})),
                rule(serde_json::json!({"countries": ["KE"], "provider": "east"})),
                rule(serde_json::json!({"scenarios": ["alert"], "provider": "north"})),
                rule(serde_json::json!({"countries": ["UG"], "cheapest_of": ["west", "east", "north"]})),
                rule(serde_json::json!({"countries": ["TZ"], "hours": "20:00-06:00", "provider": "north"})),
            ],
            default: name("west"),
            prices: Prices {
                list: ["west:0.0600:USD", "east:30:UGX", "east:0.80:KES"].map(price).to_vec(),
                exchange: Exchange(BTreeMap::from([("USD".into(), 1.0), ("UGX".into(), 0.000_27)])),
            },
        }
    }

    fn price(text: &str) -> Price {
        let mut parts = text.split(':');
        let mut part = || parts.next().unwrap();
        let (provider, per_segment, currency) = (part(), part(), part());
        let country = if currency == "KES" { "KE" } else { "UG" };
        serde_json::from_value(serde_json::json!({
            "provider": provider, "country": country, "per_segment": per_segment, "currency": currency,
        }))
        .unwrap()
    }

    fn question(number: &str, scenario: Scenario) -> Question {
        Question {
            receiver: Msisdn::parse(number, Country::KE).unwrap(),
            scenario,
            segments: 2,
            now: "2026-11-23T12:00:00Z".parse().unwrap(),
            patience: Duration::ZERO,
        }
    }

    fn ranked(question: &Question, standing: impl Fn(&str) -> Standing) -> Vec<String> {
        let routes = table().rank(question, |provider| standing(provider.as_str()));
        routes.iter().map(|route| format!("{} ({})", route.provider, route.reason)).collect()
    }

    fn all_usable(_provider: &str) -> Standing {
        Standing::Usable
    }

    #[test]
    fn the_first_rule_that_matches_leads_and_the_default_ends() {
        assert_eq!(
            ranked(&question("+254712345678", Scenario::General), all_usable),
            ["east (rule 2 matches)", "west (default provider)"]
        );
        assert_eq!(
            ranked(&question("+254110123456", Scenario::Otp), all_usable),
            ["north (rule 1 matches)", "east (rule 2 matches)", "west (default provider)"]
        );
        assert_eq!(
            ranked(&question("+14155550100", Scenario::Alert), all_usable),
            ["north (rule 3 matches)", "west (default provider)"]
        );
    }

    #[test]
    fn the_cheapest_leads_across_currencies_and_one_without_a_price_ends() {
        // 60 shillings of Uganda are less than 12 cents.
        assert_eq!(
            ranked(&question("+256712345678", Scenario::General), all_usable),
            [
                "east (rule 4 matches, place 1 by price)",
                "west (rule 4 matches, place 2 by price)",
                "north (rule 4 matches, place 3 by price)",
            ]
        );
    }

    #[test]
    fn a_rule_may_hold_for_a_part_of_the_receivers_day() {
        let noon = question("+255712345678", Scenario::General);
        assert_eq!(ranked(&noon, all_usable), ["west (default provider)"]);
        let night = Question { now: "2026-11-23T17:00:00Z".parse().unwrap(), ..noon };
        assert_eq!(ranked(&night, all_usable), ["north (rule 5 matches)", "west (default provider)"]);
    }

    #[test]
    fn what_can_not_take_the_message_stands_behind_what_can() {
        let now = question("+254110123456", Scenario::Otp);
        let standing = |provider: &str| match provider {
            "north" => Standing::NotConfigured,
            "east" => Standing::Open { since: now.now.minus(Duration::from_secs(9)) },
            _ => Standing::Usable,
        };
        let order = ["west (default provider)", "east (rule 2 matches)", "north (rule 1 matches)"];
        assert_eq!(ranked(&now, standing), order);
        let patient = Question { patience: Duration::from_secs(10), ..now };
        let order = ["east (rule 2 matches)", "west (default provider)", "north (rule 1 matches)"];
        assert_eq!(ranked(&patient, standing), order);
    }

    #[test]
    fn a_route_explains_itself_in_a_line() {
        let routes = table().rank(&question("+254712345678", Scenario::General), |provider| {
            if provider.as_str() == "west" { Standing::Drained } else { Standing::Usable }
        });
        let lines: Vec<_> = routes.iter().map(Route::explain).collect();
        assert_eq!(
            lines,
            [
                "east: rule 2 matches; usable; KES 1.60",
                "west: default provider; drained by an operator; price not known",
            ]
        );
    }

    #[test]
    fn a_route_whose_codes_nobody_types_in_stands_behind_those_that_work() {
        let asked = question("+254110123456", Scenario::Otp);
        let policy = ConversionPolicy { at_least: 50, lags_below_percent: 50 };
        let expected = |provider: &ProviderName| {
            let verified = if provider.as_str() == "north" { 3 } else { 80 };
            let lately = Conversion { sent: 100, verified };
            (provider.as_str() != "west").then_some(Expectation { lately, others: None, usual: Some(0.8) })
        };
        let mut routes = table().rank(&asked, |_| Standing::Usable);
        RoutingTable::prefer(&mut routes, &asked, policy, expected);
        let lines: Vec<_> = routes.iter().map(Route::explain).collect();
        assert_eq!(
            lines,
            [
                "east: rule 2 matches; usable; KES 1.60; 80 of 100 codes verified lately",
                "west: default provider; usable; price not known",
                "north: rule 1 matches; usable; price not known; 3 of 100 codes verified lately, far fewer than expected",
            ]
        );
        // It is better than one that fails.
        let fails =
            |name: &ProviderName| if name.as_str() == "north" { Standing::Usable } else { Standing::Drained };
        let mut routes = table().rank(&asked, fails);
        RoutingTable::prefer(&mut routes, &asked, policy, expected);
        assert_eq!(routes[0].provider, name("north"));
    }

    proptest::proptest! {
        #[test]
        fn every_route_stands_once_and_usable_ones_before_the_others(
            places in proptest::collection::vec(0..5_u8, 3),
            scenario in proptest::sample::select(Scenario::ALL.to_vec()),
        ) {
            let standing = |provider: &str| {
                let index = ["north", "east", "west"].iter().position(|known| *known == provider).unwrap();
                match places[index] {
                    0 => Standing::Usable,
                    1 => Standing::Open { since: Timestamp::from_micros(0) },
                    2 => Standing::Drained,
                    3 => Standing::Refused,
                    _ => Standing::NotConfigured,
                }
            };
            let asked = question("+254110123456", scenario);
            let routes = table().rank(&asked, |provider| standing(provider.as_str()));
            let names: std::collections::BTreeSet<_> = routes.iter().map(|route| &route.provider).collect();
            proptest::prop_assert_eq!(names.len(), routes.len());
            proptest::prop_assert!(routes.is_sorted_by_key(|route| route.standing.place(&asked)));
        }
    }
}
