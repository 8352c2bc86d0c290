//! What the use cases need to be told.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::phone::Country;
use domain::retry::RetryPolicy;
use domain::route::Rule;
use domain::scenario::Scenario;

/// The most segments that any message may take, whatever the settings say. Longer texts are cut apart or
/// refused by networks.
pub const MAX_SEGMENTS: usize = 10;

/// The most receivers of one bulk request.
pub const MAX_RECEIVERS: usize = 100;

/// Settings of the gateway's use cases.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where numbers in national form belong.
    pub default_region: Country,
    /// Characters that a message may have.
    pub max_characters: usize,
    /// The same for single scenarios, instead of the general limit.
    pub max_characters_by_scenario: BTreeMap<Scenario, usize>,
    /// Routing rules, tried in order before the default provider.
    pub rules: Vec<Rule>,
    /// How submissions that certainly did not leave are tried again.
    pub retry: RetryPolicy,
    /// How long an attempt may stay open before others conclude that its node is gone. Longer than any
    /// request to a provider may take.
    pub lease: Duration,
    /// How long a repeatable request is remembered.
    pub idempotency_window: Duration,
    /// How far ahead a message may be scheduled.
    pub max_schedule_ahead: Duration,
    /// How long stopping waits for submissions under way.
    pub soft_stop: Duration,
    /// This is the only process that serves the store: attempts left open by an earlier one are closed at
    /// once, not when their lease ends.
    pub only_node: bool,
}

impl Settings {
    /// Characters that a message of this scenario may have.
    pub fn max_characters(&self, scenario: Scenario) -> usize {
        self.max_characters_by_scenario.get(&scenario).copied().unwrap_or(self.max_characters)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            default_region: Country::KE,
            max_characters: 160,
            max_characters_by_scenario: BTreeMap::new(),
            rules: Vec::new(),
            retry: RetryPolicy::default(),
            lease: Duration::from_mins(2),
            idempotency_window: Duration::from_hours(24),
            max_schedule_ahead: Duration::from_hours(35 * 24),
            soft_stop: Duration::from_secs(20),
            only_node: true,
        }
    }
}
