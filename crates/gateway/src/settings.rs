//! What the use cases need to be told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::limits::LimitRule;
use crate::listening::InboundSettings;
use crate::spending::SpendingSettings;
use domain::breaker::BreakerPolicy;
use domain::civil::QuietHours;
use domain::content::ContentRules;
use domain::conversion::ConversionPolicy;
use domain::guard::{AllowedCountries, Mode, Policy};
use domain::phone::Country;
use domain::policy::ScenarioPolicy;
use domain::route::{Prices, Rule};
use domain::scenario::{Priority, Scenario};
use domain::template::Locale;
use domain::verification::CodeLength;

/// The most segments that any message may take, whatever the settings say.
pub use domain::encoding::MAX_SEGMENTS;

/// The most receivers of one bulk request.
pub const MAX_RECEIVERS: usize = 100;

/// What a node does beside accepting messages and taking in callbacks, which is for whoever calls the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// Submits messages.
    pub dispatch: bool,
    /// Looks after messages on watch, and keeps house.
    pub chores: bool,
}

impl Roles {
    /// All of it.
    pub const ALL: Self = Self { dispatch: true, chores: true };
}

/// Questions to many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptSettings {
    /// How long one is open unless asked otherwise.
    pub closes_after: Duration,
    /// How long one may be open.
    pub longest: Duration,
    /// For how long after a prompt was closed a word without a reference may still be meant for it.
    pub doubt: Duration,
    /// Nobody is asked back again within this time.
    pub ask_again_after: Duration,
    /// How to answer an approval, for texts that do not say it; `{reference}` stands for the reference. Empty for nothing.
    pub answer_approval: String,
    /// The same for an invitation.
    pub answer_invite: String,
    /// What asks which prompt is meant; `{choices}` stands for what can be answered. Empty for nothing.
    pub ask: String,
    /// What thanks for an answer. Empty for nothing.
    pub thanks: String,
    /// What says that an answer came too late. Empty for nothing.
    pub too_late: String,
}

impl Default for PromptSettings {
    fn default() -> Self {
        Self {
            closes_after: Duration::from_hours(3 * 24),
            longest: Duration::from_hours(30 * 24),
            doubt: Duration::from_mins(10),
            ask_again_after: Duration::from_mins(10),
            answer_approval: "Reply APPROVE {reference} or REJECT {reference}.".into(),
            answer_invite: "Reply YES {reference} or NO {reference}.".into(),
            ask: "We are not sure what you mean. Please reply {choices}.".into(),
            thanks: String::new(),
            too_late: "{reference} is closed. Your reply came too late and does not count.".into(),
        }
    }
}

/// Settings of the gateway's use cases.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What this node does.
    pub roles: Roles,
    /// Where numbers in national form belong.
    pub default_region: Country,
    /// Characters that a message may have.
    pub max_characters: usize,
    /// The same for single scenarios, instead of the general limit.
    pub max_characters_by_scenario: BTreeMap<Scenario, usize>,
    /// What no text may hold.
    pub content: ContentRules,
    /// How many messages may go to whom.
    pub limits: Vec<LimitRule>,
    /// What is listened for in messages from phones.
    pub inbound: InboundSettings,
    /// How messages of each scenario are treated; what is not here is treated as [`ScenarioPolicy::of`] says.
    pub scenarios: BTreeMap<Scenario, ScenarioPolicy>,
    /// The guard against SMS pumping.
    pub guard: GuardSettings,
    /// Questions to many.
    pub prompts: PromptSettings,
    /// One-time codes.
    pub verifications: VerificationSettings,
    /// Routing rules, tried in order before the default provider.
    pub rules: Vec<Rule>,
    /// What providers charge.
    pub prices: Prices,
    /// How spending is counted.
    pub spending: SpendingSettings,
    /// What lanes keep while lanes above them are busy.
    pub guaranteed: GuaranteedShares,
    /// When a route counts as failing.
    pub breaker: BreakerPolicy,
    /// How long messages of the bulk lane wait for a failing route before they take another.
    pub bulk_patience: Duration,
    /// Percent of the messages of ten minutes that may be sent again because no receipt came.
    pub silence_cap_percent: u32,
    /// How the fate of messages is found out.
    pub reconcile: Reconcile,
    /// When which messages must not leave.
    pub quiet_hours: Arc<QuietHours>,
    /// Refuse a text that its caller sent to the same number within this time, unless the request has an
    /// idempotency key. `None` for no such guard.
    pub no_repeats_within: Option<Duration>,
    /// How long an attempt may stay open before others conclude that its node is gone. Longer than any
    /// request to a provider may take.
    pub lease: Duration,
    /// How long a repeatable request is remembered.
    pub idempotency_window: Duration,
    /// How long texts are kept; `None` for as long as their messages.
    pub keep_texts: Option<Duration>,
    /// How long messages are kept; `None` for ever.
    pub keep_messages: Option<Duration>,
    /// How long entries of the audit trail are kept.
    pub keep_audit: Duration,
    /// From one signature under the audit trail to the next.
    pub audit_checkpoint_every: Duration,
    /// How far ahead a message may be scheduled.
    pub max_schedule_ahead: Duration,
    /// How long stopping waits for submissions under way.
    pub soft_stop: Duration,
    /// How events are posted to endpoints.
    pub webhooks: WebhookSettings,
}

/// The percent of a provider's rate, and of its requests under way, that lanes above must leave to a lane while messages
/// wait in it. The first lane needs none: nothing stands above it.
#[derive(Debug, Clone, Copy)]
pub struct GuaranteedShares {
    /// Of the lane `high`.
    pub high: u32,
    /// Of the lane `normal`.
    pub normal: u32,
    /// Of the lane `bulk`.
    pub bulk: u32,
}

impl GuaranteedShares {
    /// The share of a lane.
    pub const fn percent(self, lane: Priority) -> u32 {
        match lane {
            Priority::Critical => 0,
            Priority::High => self.high,
            Priority::Normal => self.normal,
            Priority::Bulk => self.bulk,
        }
    }
}

impl Default for GuaranteedShares {
    fn default() -> Self {
        Self { high: 20, normal: 10, bulk: 5 }
    }
}

/// How the fate of messages is found out.
#[derive(Debug, Clone, Copy)]
pub struct Reconcile {
    /// How long after an ambiguous attempt it is looked at first.
    pub first_look: Duration,
    /// From one look at a message to the next.
    pub interval: Duration,
    /// How long after an attempt a provider that was asked and does not have it certainly has not.
    pub absent_after: Duration,
    /// How long a message waits for a receipt, or in the queue, before that is its end.
    pub horizon: Duration,
}

impl Default for Reconcile {
    fn default() -> Self {
        Self {
            first_look: Duration::from_secs(5),
            interval: Duration::from_secs(15),
            absent_after: Duration::from_mins(1),
            horizon: Duration::from_hours(72),
        }
    }
}

/// The guard against SMS pumping.
#[derive(Debug, Clone)]
pub struct GuardSettings {
    /// What it does about what it finds suspicious.
    pub mode: Mode,
    /// Where messages may go; beside these, where routing rules lead and where numbers in national form belong.
    pub countries: AllowedCountries,
    /// Whose messages it looks at.
    pub scenarios: BTreeSet<Scenario>,
    /// When something is suspicious.
    pub policy: Policy,
    /// How long decisions are kept.
    pub keep_decisions: Duration,
}

impl Default for GuardSettings {
    fn default() -> Self {
        let countries = ["KE", "UG", "TZ", "RW"].into_iter().filter_map(|code| code.parse().ok());
        Self {
            mode: Mode::Shadow,
            countries: AllowedCountries::these(countries),
            scenarios: BTreeSet::from([Scenario::Otp]),
            policy: Policy::default(),
            keep_decisions: Duration::from_hours(30 * 24),
        }
    }
}

/// How posting is done.
#[derive(Debug, Clone, Copy)]
pub struct WebhookSettings {
    /// How long an endpoint may take to answer.
    pub timeout: Duration,
    /// Posts under way at once, in all.
    pub in_flight: u32,
    /// Of these, to one endpoint.
    pub in_flight_each: u32,
    /// How long events and their deliveries are kept.
    pub keep: Duration,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(15),
            in_flight: 128,
            in_flight_each: 16,
            keep: Duration::from_hours(7 * 24),
        }
    }
}

impl Settings {
    /// How messages of a scenario are treated.
    pub fn policy(&self, scenario: Scenario) -> ScenarioPolicy {
        self.scenarios.get(&scenario).copied().unwrap_or_else(|| ScenarioPolicy::of(scenario))
    }

    /// Characters that a message of this scenario may have.
    pub fn max_characters(&self, scenario: Scenario) -> usize {
        self.max_characters_by_scenario.get(&scenario).copied().unwrap_or(self.max_characters)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            roles: Roles::ALL,
            default_region: Country::KE,
            max_characters: 160,
            max_characters_by_scenario: BTreeMap::new(),
            content: ContentRules::default(),
            limits: Vec::new(),
            inbound: InboundSettings::default(),
            guard: GuardSettings::default(),
            prompts: PromptSettings::default(),
            verifications: VerificationSettings::default(),
            rules: Vec::new(),
            scenarios: BTreeMap::new(),
            prices: Prices::default(),
            spending: SpendingSettings::of(Country::KE),
            guaranteed: GuaranteedShares::default(),
            breaker: BreakerPolicy::default(),
            bulk_patience: Duration::from_mins(5),
            silence_cap_percent: 10,
            reconcile: Reconcile::default(),
            quiet_hours: Arc::new(QuietHours::default()),
            no_repeats_within: None,
            lease: Duration::from_mins(2),
            idempotency_window: Duration::from_hours(24),
            keep_texts: Some(Duration::from_hours(30 * 24)),
            keep_messages: Some(Duration::from_hours(90 * 24)),
            keep_audit: Duration::from_hours(90 * 24),
            audit_checkpoint_every: Duration::from_mins(15),
            max_schedule_ahead: Duration::from_hours(35 * 24),
            soft_stop: Duration::from_secs(20),
            webhooks: WebhookSettings::default(),
        }
    }
}

/// How one-time codes are made and checked.
#[derive(Debug, Clone)]
pub struct VerificationSettings {
    /// How many digits a code has where its caller does not say.
    pub length: CodeLength,
    /// How long a code is good where its caller does not say.
    pub ttl: Duration,
    /// How long it may be good at most.
    pub longest_ttl: Duration,
    /// How many codes are examined before a verification has failed.
    pub checks: u16,
    /// Whether the same code is sent again, if another one is asked for while it is good.
    pub resend_same_code: bool,
    /// The language of the text where its caller does not say.
    pub locale: Locale,
    /// The site for which browsers fill in the code, where its caller does not say.
    pub web_otp_domain: Option<String>,
    /// When a route lags whose codes nobody types in.
    pub conversion: ConversionPolicy,
}

impl Default for VerificationSettings {
    fn default() -> Self {
        Self {
            length: CodeLength::USUAL,
            ttl: Duration::from_mins(10),
            longest_ttl: Duration::from_hours(1),
            checks: 5,
            resend_same_code: false,
            locale: Locale::english(),
            web_otp_domain: None,
            conversion: ConversionPolicy { at_least: 50, lags_below_percent: 50 },
        }
    }
}
