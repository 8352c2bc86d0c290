//! Which of the configured providers carries a message, now.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::phone::{Msisdn, SenderId};
use domain::route::{ProviderName, Question, Route, RoutingTable, Standing};
use domain::scenario::{Priority, Scenario};
use domain::time::Timestamp;
use providers::SmsProvider;

use crate::conversions::Conversions;
use crate::health::Health;

/// The routing table over the providers that have an account, and over the health of their routes. Accepting,
/// failing over, diverting and explaining all ask here.
#[derive(Debug)]
pub(crate) struct Router {
    table: RoutingTable,
    providers: BTreeMap<ProviderName, Arc<dyn SmsProvider>>,
    health: Health,
    conversions: Conversions,
    bulk_patience: Duration,
    senders: Arc<[SenderId]>,
}

/// What decides a message's route.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traveler<'a> {
    pub(crate) receiver: Msisdn,
    pub(crate) scenario: Scenario,
    pub(crate) priority: Priority,
    pub(crate) segments: u16,
    /// Providers that refused it.
    pub(crate) refused_by: &'a [ProviderName],
}

impl Router {
    pub(crate) fn new(
        table: RoutingTable,
        providers: Vec<Arc<dyn SmsProvider>>,
        health: Health,
        conversions: Conversions,
        bulk_patience: Duration,
    ) -> Self {
        let providers: BTreeMap<_, _> =
            providers.into_iter().map(|provider| (provider.provider_name().clone(), provider)).collect();
        for (index, rule) in table.rules.iter().enumerate() {
            for provider in rule.providers().filter(|name| !providers.contains_key(*name)) {
                tracing::warn!(
                    rule = index + 1,
                    %provider,
                    "a routing rule names a provider that is not configured: new messages take the next route"
                );
            }
        }
        if !providers.contains_key(&table.default) {
            tracing::warn!(provider = %table.default, "the default provider is not configured");
        }
        let senders = providers.values().filter_map(|provider| provider.default_sender()).collect();
        Self { table, providers, health, conversions, bulk_patience, senders }
    }

    /// Every route for a message, best first, each with the reason for its place.
    pub(crate) fn rank(&self, traveler: &Traveler<'_>, now: Timestamp) -> Vec<Route> {
        let question = Question {
            receiver: traveler.receiver,
            scenario: traveler.scenario,
            segments: traveler.segments,
            now,
            // Invitations wait for the cheaper route to come back; a person who waits for a message does not.
            patience: if traveler.priority == Priority::Bulk { self.bulk_patience } else { Duration::ZERO },
        };
        let mut routes = self.table.rank(&question, |provider| {
            if !self.providers.contains_key(provider) {
                Standing::NotConfigured
            } else if traveler.refused_by.contains(provider) {
                Standing::Refused
            } else {
                let country = traveler.receiver.country();
                self.health.standing(provider, country, traveler.scenario, now)
            }
        });
        // Nobody types anything else in again.
        if traveler.scenario == Scenario::Otp {
            self.conversions.prefer(&mut routes, &question);
        }
        routes
    }

    /// The route to take: the best one that works; failing that, the best one that may work later. `leaves_now` if
    /// the message may be the probe of a route.
    pub(crate) fn choose(&self, traveler: &Traveler<'_>, leaves_now: bool, now: Timestamp) -> Option<Route> {
        let routes = self.rank(traveler, now);
        let usable = |route: &&Route| match route.standing {
            // One message at a time finds out whether a route works again.
            Standing::Probing => {
                leaves_now && self.health.probe(&route.provider, traveler.receiver.country(), now)
            }
            _ => true,
        };
        let able = |route: &&Route| !matches!(route.standing, Standing::NotConfigured | Standing::Refused);
        let chosen = routes.iter().filter(able).find(usable);
        chosen.or_else(|| routes.iter().find(able)).cloned()
    }

    /// The route to take instead of one that has just failed, if there is any that works now.
    pub(crate) fn choose_instead(
        &self,
        failed: &ProviderName,
        traveler: &Traveler<'_>,
        now: Timestamp,
    ) -> Option<ProviderName> {
        let mut routes = self.rank(traveler, now).into_iter();
        routes
            .find(|route| route.provider != *failed && matches!(route.standing, Standing::Usable))
            .map(|route| route.provider)
    }

    pub(crate) fn provider(&self, name: &ProviderName) -> Option<&Arc<dyn SmsProvider>> {
        self.providers.get(name)
    }

    pub(crate) fn providers(&self) -> impl Iterator<Item = &Arc<dyn SmsProvider>> {
        self.providers.values()
    }

    /// The senders that a message may show which names none: it may take any route.
    pub(crate) fn default_senders(&self) -> &Arc<[SenderId]> {
        &self.senders
    }

    pub(crate) fn is_default(&self, name: &ProviderName) -> bool {
        self.table.default == *name
    }

    pub(crate) fn conversions(&self) -> &Conversions {
        &self.conversions
    }

    pub(crate) fn health(&self) -> &Health {
        &self.health
    }
}
