//! Settings: defaults, then the file, then the environment, into one typed value.

mod audit;

mod broker;

mod content;
mod inbound;

mod database;

mod guard;

mod http;

mod jwt;

mod layers;

mod limits;

mod policy;

mod prompts;

mod roles;

pub(crate) mod secrets;

mod spending;
mod verifications;
mod webhooks;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::phone::Country;
use domain::route::{Price, Prices, Rule};
use domain::scenario::Scenario;
use domain::secret::ExposeSecret as _;
use gateway::Settings;
use gateway::settings::MAX_SEGMENTS;
use providers::address::Addresses;
use providers::factory::{ConfigError, ProviderConfig};
use providers::{ProviderFactory, REGISTRY, settings};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use url::Url;

pub use self::audit::Audit;
pub use self::broker::{Broker, Secret, Servers};
pub use self::content::Content;
pub use self::database::{DataKey, DatabaseUrl};
pub use self::guard::Guard;
pub use self::http::ForwardedHeader;
pub use self::inbound::Inbound;
pub use self::jwt::Jwt;
pub use self::layers::{LayerError, default_settings};
pub use self::limits::Limits;
pub use self::policy::{
    Breaker, Failover, GuaranteedPercent, Lanes, Quiet, QuietWindow, Reconcile, Retry, ScenarioRules,
};
pub use self::prompts::Prompts;
pub use self::roles::{Role, Roles};
pub use self::secrets::{
    AwsSettings, Fetched, Held, SecretError, SecretSettings, Secrets, Source, VaultSettings,
};
pub use self::spending::Spending;
pub use self::verifications::Verifications;
pub use self::webhooks::Webhooks;

/// The most characters that fit into the most segments that are ever allowed: 153 to a segment.
const MAX_CHARACTERS: usize = MAX_SEGMENTS * 153;

/// What keys of providers begin with.
pub(crate) const PROVIDERS: &str = "providers.";

/// No node takes a revoked key for longer than a second.
const MAX_KEY_CACHE_MS: u64 = 1_000;

/// All settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the API listens.
    pub listen: SocketAddr,
    /// Where health and metrics are served apart from the API.
    #[serde(deserialize_with = "optional")]
    pub operations_listen: Option<SocketAddr>,
    /// Where messages are kept.
    pub database_url: DatabaseUrl,
    /// What opens the keys of the data.
    pub data_key: DataKey,
    /// What this node does.
    pub roles: Roles,
    /// This gateway's address as seen from outside.
    #[serde(deserialize_with = "optional")]
    pub public_url: Option<Url>,
    /// What messages may be.
    pub messages: Messages,
    /// What no text may hold.
    pub content: Content,
    /// What is listened for in messages from phones.
    pub inbound: Inbound,
    /// How many may be accepted for whom.
    pub limits: Limits,
    /// What may be spent on a day.
    pub spending: Spending,
    /// Who carries them.
    pub routing: Routing,
    /// How submissions are tried again.
    pub retry: Retry,
    /// How messages of each scenario are treated.
    pub scenarios: BTreeMap<Scenario, ScenarioRules>,
    /// When which messages must not leave.
    pub quiet_hours: Quiet,
    /// When messages take another route.
    pub failover: Failover,
    /// When a route counts as failing.
    pub breaker: Breaker,
    /// How the fate of messages is found out.
    pub reconcile: Reconcile,
    /// The guard against SMS pumping.
    pub guard: Guard,
    /// Questions to many.
    pub prompts: Prompts,
    /// One-time codes.
    pub verifications: Verifications,
    /// Events to endpoints of callers.
    pub webhooks: Webhooks,
    /// What lanes leave to each other.
    pub lanes: Lanes,
    /// How messages are submitted.
    pub dispatch: Dispatch,
    /// How requests are taken.
    pub http: Http,
    /// Callers that carry tokens.
    pub jwt: Jwt,
    /// Where messages come from and events go, beside HTTP.
    pub broker: Broker,
    /// How long the audit trail is kept, and how often it is signed.
    pub audit: Audit,
    /// How the log looks.
    pub log: Log,
    /// Where figures go.
    pub metrics: Metrics,
    /// How secrets are kept fresh, and where the stores are.
    pub secrets: SecretSettings,
    /// Each provider's own settings, without the secrets.
    pub providers: Providers,
    /// The secrets, and where they are from.
    #[serde(skip)]
    pub held: Secrets,
    /// What all layers say together, without the secrets: for making these settings again when secrets have changed.
    #[serde(skip)]
    written: Written,
}

/// What all layers say together, without the secrets.
#[derive(Clone, Default)]
struct Written(Arc<Map<String, Value>>);

impl std::fmt::Debug for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// The key of [`Config::database_url`].
const DATABASE_URL: &str = "database_url";

/// Stands for an address that is kept in a store: no database has it, the default one least of all.
const NOT_FETCHED: &str = "not-fetched:";

/// What messages may be.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each key means")]
pub struct Messages {
    pub default_region: Country,
    pub max_characters: usize,
    pub max_schedule_ahead_days: u32,
    pub no_repeats_within_s: u64,
    pub keep_texts_days: u32,
    pub keep_days: u32,
    pub max_characters_by_scenario: BTreeMap<Scenario, usize>,
}

/// Who carries messages.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each key means")]
pub struct Routing {
    pub default_provider: String,
    pub rules: Vec<Rule>,
    pub prices: Vec<Price>,
    pub exchange: BTreeMap<String, f64>,
}

/// How messages are submitted.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each key means")]
pub struct Dispatch {
    pub lease_s: u64,
    pub soft_stop_s: u64,
}

/// How requests are taken.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each key means")]
pub struct Http {
    pub max_body_bytes: usize,
    pub request_timeout_ms: u64,
    pub idempotency_hours: u32,
    pub key_cache_ms: u64,
    pub trusted_proxies: Addresses,
    pub forwarded_header: ForwardedHeader,
    #[serde(deserialize_with = "optional")]
    pub tls_certificate_file: Option<PathBuf>,
    #[serde(deserialize_with = "optional")]
    pub tls_key_file: Option<PathBuf>,
    pub header_timeout_ms: u64,
    pub body_timeout_ms: u64,
    pub write_timeout_ms: u64,
    pub idle_timeout_ms: u64,
    pub max_header_bytes: usize,
    pub max_headers: usize,
    pub max_connections: usize,
    pub max_connections_per_address: usize,
}

/// How the log looks.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each key means")]
pub struct Log {
    pub format: LogFormat,
}

/// Forms of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// For machines: one object a line.
    Json,
}

/// Where figures go.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each key means")]
pub struct Metrics {
    #[serde(deserialize_with = "optional")]
    pub otlp_endpoint: Option<Url>,
    pub otlp_interval_s: u64,
}

/// The settings of each provider, read by its adapter. Somebody may have written a credential under a wrong key, so
/// `Debug` shows names only.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Providers(BTreeMap<String, serde_json::Map<String, serde_json::Value>>);

impl std::fmt::Debug for Providers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Why the settings can't be used. Names keys and variables, never values.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A layer can't be read.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// A key has a value of the wrong form.
    #[error("setting {0}")]
    Unreadable(String),
    /// A key has a value that can't be.
    #[error("setting {key}: {problem}")]
    Value {
        /// The key, with dots.
        key: String,
        /// What is wrong with its value.
        problem: String,
    },
    /// A secret can't be had from where it is.
    #[error("setting {key}: {problem}")]
    Secret {
        /// The key, with dots.
        key: String,
        /// Why not.
        problem: SecretError,
    },
    /// A provider's settings are wrong.
    #[error(transparent)]
    Provider(#[from] ConfigError),
}

impl Config {
    /// Reads all layers, and files of secrets. `file` must exist if it is given; `environment` holds names and values.
    /// Where secrets are kept in stores, [`crate::secrets::fetch`] comes next.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        let layers::Merged { settings, secrets } = layers::merge(file, environment)?;
        let Ok(Value::Object(settings)) = serde_json::to_value(settings) else {
            return Err(SettingsError::Unreadable("no settings can be read".into()));
        };
        Self::of(Written(Arc::new(settings)), Secrets::read(secrets)?)
    }

    /// The same settings with some secrets as they are now.
    ///
    /// # Errors
    /// Names the key, never its value.
    pub fn with_secrets(&self, fetched: BTreeMap<String, Fetched>) -> Result<Self, SettingsError> {
        Self::of(self.written.clone(), self.held.with(fetched))
    }

    fn of(written: Written, held: Secrets) -> Result<Self, SettingsError> {
        let mut settings = (*written.0).clone();
        for (key, held) in held.iter().filter(|(key, _)| !key.starts_with(PROVIDERS)) {
            let text = match &held.fetched {
                Some(fetched) => fetched.value.expose_secret(),
                None if key == DATABASE_URL => NOT_FETCHED,
                None => continue,
            };
            if let Some(place) = place(&mut settings, key) {
                *place = Value::String(text.to_owned());
            }
        }
        let config: Self = settings::deserialize(settings)
            .map_err(|problem| SettingsError::Unreadable(problem.to_string()))?;
        let config = Self { held, written, ..config };
        config.validate()?;
        Ok(config)
    }

    /// Whether these can be; layers that are laid over them later must be looked at once more.
    ///
    /// # Errors
    /// Names the key, never its value.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let wrong = |key: &str, problem: String| Err(SettingsError::Value { key: key.into(), problem });
        if self.messages.default_region.calling_code().is_none() {
            let problem = "is no country with phone numbers; write its ISO 3166-1 code";
            return wrong("messages.default_region", problem.into());
        }
        let lengths =
            self.messages.max_characters_by_scenario.values().chain([&self.messages.max_characters]);
        for length in lengths {
            if !(1..=MAX_CHARACTERS).contains(length) {
                return wrong(
                    "messages.max_characters",
                    format!("(also by scenario) must be from 1 to {MAX_CHARACTERS}"),
                );
            }
        }
        if !self.database_url.is_shared() && self.roles != Roles::default() {
            let problem = "must be all of them with SQLite, which one process serves";
            return wrong("roles", problem.into());
        }
        // A message has ended when it is forgotten.
        let horizon = Duration::from_hours(u64::from(self.reconcile.horizon_hours));
        let least = days(self.messages.max_schedule_ahead_days) + horizon + days(1);
        if self.messages.keep_days > 0 && days(self.messages.keep_days) < least {
            let problem = "must be 0, or more than messages.max_schedule_ahead_days and reconcile.horizon_hours together";
            return wrong("messages.keep_days", problem.into());
        }
        policy::validate(self)?;
        broker::validate(self)?;
        self.audit.validate()?;
        http::validate(&self.http)?;
        guard::validate(self)?;
        inbound::validate(self)?;
        prompts::validate(self)?;
        verifications::validate(self)?;
        webhooks::validate(self)?;
        limits::validate(self)?;
        spending::validate(self)?;
        secrets::validate(self)?;
        jwt::validate(self)?;
        if self.http.key_cache_ms > MAX_KEY_CACHE_MS {
            return wrong("http.key_cache_ms", format!("must be at most {MAX_KEY_CACHE_MS}"));
        }
        if self
            .public_url
            .as_ref()
            .is_some_and(|url| !matches!(url.scheme(), "http" | "https") || url.query().is_some())
        {
            return wrong("public_url", "must begin with http:// or https:// and have no query".into());
        }
        for config in self.provider_configs()? {
            if config.pace.request_timeout() >= Duration::from_secs(self.dispatch.lease_s) {
                return wrong(
                    "dispatch.lease_s",
                    format!("must be longer than providers.{}.request_timeout_ms", config.name),
                );
            }
        }
        Ok(())
    }

    /// How the store is opened.
    pub fn store_options(&self, migrate: bool, exclusive: bool) -> store::Options {
        store::Options { migrate, exclusive, keys: self.data_key.0.clone() }
    }

    /// What the use cases need to be told.
    pub fn gateway(&self) -> Settings {
        Settings {
            roles: self.roles.of_gateway(),
            default_region: self.messages.default_region,
            max_characters: self.messages.max_characters,
            max_characters_by_scenario: self.messages.max_characters_by_scenario.clone(),
            content: self.content.0.clone(),
            inbound: self.inbound.0.clone(),
            limits: self.limits.rules().into_iter().chain(self.spending.rules()).collect(),
            spending: self.spending.settings(self.messages.default_region),
            guard: self.guard.settings(),
            prompts: self.prompts.settings(),
            verifications: self.verifications.settings(),
            webhooks: self.webhooks.settings(),
            rules: self.routing.rules.clone(),
            scenarios: self.policies(),
            prices: Prices { list: self.routing.prices.clone(), exchange: self.exchange() },
            guaranteed: self.lanes.shares(),
            breaker: self.breaker_policy(),
            bulk_patience: Duration::from_secs(self.failover.bulk_patience_s),
            silence_cap_percent: self.failover.silence_cap_percent,
            reconcile: self.reconcile(),
            quiet_hours: self.quiet_hours(),
            no_repeats_within: Some(Duration::from_secs(self.messages.no_repeats_within_s))
                .filter(|within| !within.is_zero()),
            lease: Duration::from_secs(self.dispatch.lease_s),
            idempotency_window: Duration::from_secs(u64::from(self.http.idempotency_hours) * 3_600),
            keep_texts: Some(days(self.messages.keep_texts_days)).filter(|keep| !keep.is_zero()),
            keep_messages: Some(days(self.messages.keep_days)).filter(|keep| !keep.is_zero()),
            keep_audit: days(self.audit.keep_days),
            audit_checkpoint_every: Duration::from_secs(60 * u64::from(self.audit.checkpoint_minutes)),
            max_schedule_ahead: days(self.messages.max_schedule_ahead_days),
            soft_stop: Duration::from_secs(self.dispatch.soft_stop_s),
        }
    }

    fn provider_configs(&self) -> Result<Vec<ProviderConfig>, SettingsError> {
        let configs = REGISTRY.iter().map(|provider| {
            let mut keys = self.providers.0.get(provider.name).cloned().unwrap_or_default();
            for key in provider.secrets.iter().chain(provider.identities) {
                if let Some(secret) = self.held.value(&format!("{PROVIDERS}{}.{key}", provider.name)) {
                    keys.insert((*key).to_owned(), Value::String(secret.expose_secret().to_owned()));
                }
            }
            Ok(provider.configure(keys, self.public_url.clone())?)
        });
        configs.collect()
    }

    /// Makes providers.
    pub fn factory(&self) -> Result<ProviderFactory, SettingsError> {
        Ok(ProviderFactory::new(REGISTRY, self.provider_configs()?, Some(&self.routing.default_provider)))
    }
}

/// The place of a key with dots.
fn place<'a>(settings: &'a mut Map<String, Value>, key: &str) -> Option<&'a mut Value> {
    match key.split_once('.') {
        Some((table, rest)) => place(settings.get_mut(table)?.as_object_mut()?, rest),
        None => settings.get_mut(key),
    }
}

fn days(count: u32) -> Duration {
    Duration::from_hours(u64::from(count) * 24)
}

/// An empty text is "not set".
fn optional<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    let text = String::deserialize(deserializer)?;
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(serde::de::Error::custom) }
}
