//! Which of the configured providers carries a message.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::phone::Msisdn;
use domain::route::{ProviderName, Route, RoutingTable, Rule};
use domain::scenario::Scenario;
use providers::SmsProvider;

/// The routing table over the providers that have an account.
#[derive(Debug)]
pub(crate) struct Router {
    table: RoutingTable,
    providers: BTreeMap<ProviderName, Arc<dyn SmsProvider>>,
}

impl Router {
    pub(crate) fn new(rules: Vec<Rule>, default: ProviderName, providers: Vec<Arc<dyn SmsProvider>>) -> Self {
        let providers: BTreeMap<_, _> =
            providers.into_iter().map(|provider| (provider.provider_name().clone(), provider)).collect();
        for (index, rule) in rules.iter().enumerate() {
            if !providers.contains_key(&rule.provider) {
                tracing::warn!(
                    rule = index + 1,
                    provider = %rule.provider,
                    "a routing rule names a provider that is not configured: new messages take the next route"
                );
            }
        }
        if !providers.contains_key(&default) {
            tracing::warn!(provider = %default, "the default provider is not configured");
        }
        Self { table: RoutingTable { rules, default }, providers }
    }

    /// The routes for a message, best first.
    pub(crate) fn rank(&self, receiver: Msisdn, scenario: Scenario) -> Vec<Route> {
        self.table.rank(receiver, scenario, |name| self.providers.contains_key(name))
    }

    pub(crate) fn provider(&self, name: &ProviderName) -> Option<&Arc<dyn SmsProvider>> {
        self.providers.get(name)
    }

    pub(crate) fn providers(&self) -> impl Iterator<Item = &Arc<dyn SmsProvider>> {
        self.providers.values()
    }
}
