//! What came of the codes that routes were given, by what the store has counted: read again and again, kept in memory.

use std::collections::HashMap;

use domain::conversion::{Conversion, ConversionPolicy, Expectation};
use domain::phone::Country;
use domain::route::{ProviderName, Question, Route, RoutingTable};
use parking_lot::RwLock;
use store::port::verifications::RouteConversion;

/// Codes of a country that must have ended, over days, before they say what is usual there.
const TELLS_WHAT_IS_USUAL: u64 = 100;

/// What is known of all routes.
#[derive(Debug)]
pub(crate) struct Conversions {
    policy: ConversionPolicy,
    known: RwLock<HashMap<(ProviderName, Country), Expectation>>,
}

/// How codes fare on a provider's route into one country.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountryConversion {
    /// The country.
    pub country: Country,
    /// What came of its codes lately.
    pub lately: Conversion,
    /// Whether far fewer were typed in again than should have been.
    pub lags: bool,
}

impl Conversions {
    pub(crate) fn new(policy: ConversionPolicy) -> Self {
        Self { policy, known: RwLock::default() }
    }

    /// Takes what was counted lately and over days for what is known.
    pub(crate) fn learn(&self, lately: &[RouteConversion], over_days: &[RouteConversion]) {
        let mut countries: HashMap<Country, Conversion> = HashMap::new();
        for route in over_days {
            let sum = countries.entry(route.country).or_default();
            *sum = sum.plus(route.conversion);
        }
        let expectation = |route: &RouteConversion| {
            let others =
                lately.iter().filter(|it| it.country == route.country && it.provider != route.provider);
            let shares = others.filter_map(|other| other.conversion.share(self.policy.at_least));
            Expectation {
                lately: route.conversion,
                others: shares.max_by(f64::total_cmp),
                usual: countries.get(&route.country).and_then(|sum| sum.share(TELLS_WHAT_IS_USUAL)),
            }
        };
        let of = |route: &RouteConversion| ((route.provider.clone(), route.country), expectation(route));
        *self.known.write() = lately.iter().map(of).collect();
    }

    /// Puts routes that lag behind the others.
    pub(crate) fn prefer(&self, routes: &mut [Route], question: &Question) {
        let known = self.known.read();
        if known.is_empty() {
            return;
        }
        let country = question.receiver.country();
        let of = |provider: &ProviderName| known.get(&(provider.clone(), country)).copied();
        RoutingTable::prefer(routes, question, self.policy, of);
    }

    /// What is known of a provider's routes, by country.
    pub(crate) fn of(&self, provider: &ProviderName) -> Vec<CountryConversion> {
        let known = self.known.read();
        let own = known.iter().filter(|((name, _), _)| name == provider);
        let mut found: Vec<_> = own
            .map(|((_, country), known)| CountryConversion {
                country: *country,
                lately: known.lately,
                lags: self.policy.lags(known),
            })
            .collect();
        found.sort_by_key(|route| route.country);
        found
    }
}
