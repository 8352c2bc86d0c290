//! Which routes can be used: circuit breakers fed by outcomes and receipts, and what operators took out of service.
//!
//! A route is a provider, and a provider in one country: an operator's fault in Kenya says nothing about Uganda,
//! while wrong credentials stop everything. So there is a breaker for each provider and one for each provider and
//! country, and a route is as good as the worse of the two.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use domain::attempt::{Reason, SubmitOutcome};
use domain::breaker::{Breaker, BreakerPolicy, BreakerState};
use domain::phone::Country;
use domain::route::{ProviderName, Standing};
use domain::scenario::Scenario;
use domain::time::Timestamp;
use parking_lot::Mutex;

/// How long a route that may be probed waits for a message that can bear it. Then any message will do: a service
/// that sends nothing but codes must find its way back too.
const PATIENCE_FOR_LOW_RISK: Duration = Duration::from_secs(30);

/// What is known of all routes.
#[derive(Debug)]
pub(crate) struct Health {
    policy: BreakerPolicy,
    routes: Mutex<Routes>,
}

#[derive(Debug, Default)]
struct Routes {
    /// By provider, and by provider and country.
    breakers: HashMap<(ProviderName, Option<Country>), Breaker>,
    drained: BTreeMap<ProviderName, Timestamp>,
}

/// What something that happened says of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It works.
    Works,
    /// The provider can't be used, wherever the message goes.
    ProviderFails,
    /// The provider works, but not in this country.
    CountryFails,
    /// Nothing: the fault is the receiver's or the text's.
    Nothing,
}

impl Sign {
    /// What the end of an attempt says.
    pub(crate) fn of_outcome(outcome: &SubmitOutcome) -> Self {
        match outcome {
            SubmitOutcome::Accepted(_) => Self::Works,
            // A limit is the pacer's matter: the route works, only not so fast.
            SubmitOutcome::NotSubmitted { failure, .. } if failure.reason == Reason::RateLimited => {
                Self::Nothing
            }
            SubmitOutcome::NotSubmitted { failure, .. } | SubmitOutcome::Rejected(failure) => {
                Self::of_failure(failure.reason)
            }
            SubmitOutcome::Ambiguous(failure) if failure.reason == Reason::Crashed => Self::Nothing,
            SubmitOutcome::Ambiguous(_) => Self::ProviderFails,
        }
    }

    /// Whether a failure that a receipt tells is the way's into the country.
    pub(crate) fn is_of_way(reason: Reason) -> bool {
        Self::of_failure(reason) != Self::Nothing
    }

    fn of_failure(reason: Reason) -> Self {
        match reason {
            Reason::ProviderDown | Reason::Credential | Reason::Balance => Self::ProviderFails,
            Reason::OperatorDown | Reason::SenderNotAllowed | Reason::DestinationNotServed => {
                Self::CountryFails
            }
            _ => Self::Nothing,
        }
    }
}

/// A provider as operators see it.
#[derive(Debug, Clone)]
pub struct RouteHealth {
    /// The country; `None` for the provider as a whole.
    pub country: Option<Country>,
    /// Its breaker.
    pub state: BreakerState,
}

impl Health {
    pub(crate) fn new(policy: BreakerPolicy) -> Self {
        Self { policy, routes: Mutex::new(Routes::default()) }
    }

    /// Takes note of what happened on a route. Answers how long the provider as a whole is to be left alone, if it
    /// is.
    pub(crate) fn note(
        &self,
        provider: &ProviderName,
        country: Country,
        sign: Sign,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let mut routes = self.routes.lock();
        if routes.breakers.is_empty() && matches!(sign, Sign::Works | Sign::Nothing) {
            return None;
        }
        let (whole, part) = match sign {
            Sign::Works => (Some(true), Some(true)),
            Sign::ProviderFails => (Some(false), None),
            Sign::CountryFails => (Some(true), Some(false)),
            Sign::Nothing => (None, None),
        };
        for (country, works) in [(None, whole), (Some(country), part)] {
            let Some(works) = works else { continue };
            let key = (provider.clone(), country);
            // A route that has never failed needs no breaker.
            if works && !routes.breakers.contains_key(&key) {
                continue;
            }
            let breaker = routes.breakers.entry(key).or_insert_with(|| Breaker::new(self.policy));
            let before = breaker.state(now);
            if works {
                breaker.success(now);
            } else {
                breaker.failure(now);
            }
            tell(provider, country, before, breaker.state(now));
        }
        match routes.breakers.get(&(provider.clone(), None)).map(|breaker| breaker.state(now)) {
            Some(BreakerState::Open { until, .. }) => Some(until),
            _ => None,
        }
    }

    /// Takes note of a delivery receipt. It tells of a message that the provider took some time ago, so it says
    /// nothing of whether the provider can be asked now, and is nobody's probe: it counts for the country while its
    /// breaker is closed.
    pub(crate) fn note_receipt(
        &self,
        provider: &ProviderName,
        country: Country,
        delivered: bool,
        now: Timestamp,
    ) {
        let mut routes = self.routes.lock();
        let key = (provider.clone(), Some(country));
        if delivered && !routes.breakers.contains_key(&key) {
            return;
        }
        let breaker = routes.breakers.entry(key).or_insert_with(|| Breaker::new(self.policy));
        let before = breaker.state(now);
        if before == BreakerState::Closed {
            if delivered {
                breaker.success(now);
            } else {
                breaker.failure(now);
            }
            tell(provider, Some(country), before, breaker.state(now));
        }
    }

    /// Where a route stands for a message of this scenario.
    pub(crate) fn standing(
        &self,
        provider: &ProviderName,
        country: Country,
        scenario: Scenario,
        now: Timestamp,
    ) -> Standing {
        let routes = self.routes.lock();
        if routes.drained.contains_key(provider) {
            return Standing::Drained;
        }
        let states = [None, Some(country)].map(|country| {
            routes
                .breakers
                .get(&(provider.clone(), country))
                .map_or(BreakerState::Closed, |breaker| breaker.state(now))
        });
        let open = states.iter().find_map(|state| match state {
            BreakerState::Open { since, .. } => Some(*since),
            _ => None,
        });
        let half_open = states.iter().find_map(|state| match state {
            BreakerState::HalfOpen { since, from } => Some((*since, *from)),
            _ => None,
        });
        match (open, half_open) {
            (None, None) => Standing::Usable,
            (None, Some((_, from))) if may_probe(scenario) || now.since(from) > PATIENCE_FOR_LOW_RISK => {
                Standing::Probing
            }
            (Some(since), _) | (None, Some((since, _))) => Standing::Open { since },
        }
    }

    /// Takes the place of the one message that probes a route; `false` if another has it.
    pub(crate) fn probe(&self, provider: &ProviderName, country: Country, now: Timestamp) -> bool {
        let mut routes = self.routes.lock();
        let keys = [None, Some(country)].map(|country| (provider.clone(), country));
        // Both places or none.
        let is_free = keys.iter().all(|key| {
            let breaker = routes.breakers.get(key);
            breaker.is_none_or(|it| it.state(now) == BreakerState::Closed || it.may_probe(now))
        });
        for key in keys.iter().filter(|_| is_free) {
            if let Some(breaker) = routes.breakers.get_mut(key) {
                breaker.probe(now);
            }
        }
        is_free
    }

    /// Takes a provider out of service, or puts it back.
    pub(crate) fn set_drained(&self, provider: &ProviderName, since: Option<Timestamp>) {
        let mut routes = self.routes.lock();
        match since {
            Some(since) => _ = routes.drained.entry(provider.clone()).or_insert(since),
            None => _ = routes.drained.remove(provider),
        }
    }

    /// Since when a provider is out of service, if it is.
    pub(crate) fn drained_since(&self, provider: &ProviderName) -> Option<Timestamp> {
        self.routes.lock().drained.get(provider).copied()
    }

    /// A provider's breakers that have anything to tell, the provider's own first.
    pub(crate) fn routes_of(&self, provider: &ProviderName, now: Timestamp) -> Vec<RouteHealth> {
        let routes = self.routes.lock();
        let own = routes.breakers.iter().filter(|((name, _), _)| name == provider);
        let mut found: Vec<RouteHealth> = own
            .map(|((_, country), breaker)| RouteHealth { country: *country, state: breaker.state(now) })
            .collect();
        found.sort_by_key(|route| route.country);
        found
    }

    /// Whether any of a provider's routes is not as it should be.
    pub(crate) fn has_trouble(&self, provider: &ProviderName, now: Timestamp) -> bool {
        let routes = self.routes.lock();
        routes
            .breakers
            .iter()
            .any(|((name, _), breaker)| name == provider && breaker.state(now) != BreakerState::Closed)
    }
}

/// Whether a message of this scenario may find out whether a route works again: one that may take a minute longer.
fn may_probe(scenario: Scenario) -> bool {
    matches!(scenario, Scenario::General | Scenario::ChamaInvite)
}

fn tell(provider: &ProviderName, country: Option<Country>, before: BreakerState, after: BreakerState) {
    let country = country.map(|country| country.to_string());
    let country = country.as_deref().unwrap_or("all");
    match (before, after) {
        (BreakerState::Closed, BreakerState::Open { .. }) => {
            tracing::warn!(%provider, country, "a route fails: its breaker is open, messages take the next route");
        }
        (BreakerState::HalfOpen { .. } | BreakerState::Open { .. }, BreakerState::Closed) => {
            tracing::info!(%provider, country, "a route works again: its breaker is closed");
        }
        _ => {}
    }
}
