//! From settings to providers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use domain::route::{ProviderName, ProviderNameError};
use domain::secret::SecretString;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use url::Url;

use crate::pace::Pace;
use crate::provider::SmsProvider;
use crate::settings;

/// What a provider's file says of itself.
#[derive(Clone, Copy)]
pub struct Registration {
    /// The name in settings, routes, metrics and URLs.
    pub name: &'static str,
    /// The section `[providers.<name>]` in TOML, heading included: every key with its default, its unit and a
    /// comment. A key left empty is not set.
    pub settings: &'static str,
    /// Environment variables with names of their own, and the key that each one sets.
    pub environment: &'static [(&'static str, &'static str)],
    /// Keys that hold credentials: kept apart from the others and never shown. They may come from a file of their own
    /// or from a store of secrets.
    pub secrets: &'static [&'static str],
    /// Keys that say whose the credentials are, such as the name of a key. They are no secrets, and may come from where
    /// those come from: both change together.
    pub identities: &'static [&'static str],
    /// Makes the provider.
    pub create: fn(ProviderConfig) -> Result<Arc<dyn SmsProvider>, ConfigError>,
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registration({})", self.name)
    }
}

impl Registration {
    /// The keys of `[providers.<name>]` with their defaults.
    pub fn default_keys(&self) -> Result<Map<String, Value>, ConfigError> {
        let section = |settings: &Value| settings.get("providers")?.get(self.name)?.as_object().cloned();
        let settings: Option<Value> = toml::from_str(self.settings).ok();
        settings.as_ref().and_then(section).ok_or_else(|| self.invalid("the built-in settings can't be read"))
    }

    /// The provider's settings: `keys` over the defaults. A key that there is not is refused by name, also
    /// where the provider is not in use.
    pub fn configure(
        &self,
        keys: Map<String, Value>,
        public_url: Option<Url>,
    ) -> Result<ProviderConfig, ConfigError> {
        let mut settings = self.default_keys()?;
        for (key, value) in keys {
            if settings.insert(key.clone(), value).is_none() {
                return Err(self.invalid(format!("{key}: there is no such key")));
            }
        }
        let name =
            self.name.parse().map_err(|ProviderNameError| self.invalid("the name can't be a provider's"))?;
        ProviderConfig::new(name, settings, self.secrets, public_url)
    }

    fn invalid(&self, problem: impl Into<String>) -> ConfigError {
        let provider = self.name.parse().unwrap_or_else(|ProviderNameError| fallback());
        ConfigError::Invalid { provider, problem: problem.into() }
    }
}

/// The settings of one provider, as read. Holds credentials: `Debug` shows none.
#[derive(Clone)]
pub struct ProviderConfig {
    /// The provider's name.
    pub name: ProviderName,
    /// Its pace.
    pub pace: Pace,
    /// What providers call back: the address of this gateway as seen from outside.
    pub public_url: Option<Url>,
    keys: Map<String, Value>,
    secrets: BTreeMap<String, SecretString>,
}

impl fmt::Debug for ProviderConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderConfig")
            .field("name", &self.name)
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}

/// Why a provider can't be made from its settings. Never holds a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No provider of that name.
    #[error("no provider is called {0}")]
    UnknownProvider(ProviderName),
    /// What every account needs is not set: the provider is not in use.
    #[error("{provider} is not configured: {missing} not set")]
    NotConfigured {
        /// The provider.
        provider: ProviderName,
        /// The keys that are missing.
        missing: &'static str,
    },
    /// A key has a value that can't be.
    #[error("providers.{provider}: {problem}")]
    Invalid {
        /// The provider.
        provider: ProviderName,
        /// The key and what is wrong with it.
        problem: String,
    },
}

impl ProviderConfig {
    /// From the keys of `[providers.<name>]`, defaults filled in, and which of them are credentials;
    /// [`Registration::configure`] does that.
    pub fn new(
        name: ProviderName,
        mut keys: Map<String, Value>,
        secrets: &[&str],
        public_url: Option<Url>,
    ) -> Result<Self, ConfigError> {
        let pace: Map<_, _> = Pace::KEYS.iter().filter_map(|key| keys.remove_entry(*key)).collect();
        let pace: Pace =
            settings::read(pace, BTreeMap::new()).map_err(|problem| problem_of(&name, &problem))?;
        let secrets = secrets.iter().filter_map(|key| take_secret(&mut keys, key)).collect();
        let config = Self { name, pace, public_url, keys, secrets };
        match pace.problem() {
            Some(problem) => Err(config.invalid(problem)),
            None => Ok(config),
        }
    }

    /// The adapter's own keys, as its type: unknown keys are refused by name, and no value is ever quoted.
    /// White space around a text is dropped; keys that are left empty are absent.
    pub fn adapter_settings<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        settings::read(self.keys.clone(), self.secrets.clone())
            .map_err(|problem| problem_of(&self.name, &problem))
    }

    /// Refuses a setting of more receivers in a request than the adapter can carry and read the answers of.
    pub fn at_most_receivers(&self, most: u32) -> Result<(), ConfigError> {
        if self.pace.max_receivers_per_request > most {
            return Err(self.invalid(format!("max_receivers_per_request: at most {most}")));
        }
        Ok(())
    }

    /// An error about these settings.
    pub fn invalid(&self, problem: impl Into<String>) -> ConfigError {
        ConfigError::Invalid { provider: self.name.clone(), problem: problem.into() }
    }

    /// Says that the account is not set up.
    pub fn not_configured(&self, missing: &'static str) -> ConfigError {
        ConfigError::NotConfigured { provider: self.name.clone(), missing }
    }
}

fn problem_of(provider: &ProviderName, problem: &settings::Problem) -> ConfigError {
    ConfigError::Invalid { provider: provider.clone(), problem: problem.to_string() }
}

/// Takes a text out of the keys, to be zeroed when it is dropped. What is no text stays, and is complained of by its kind.
fn take_secret(keys: &mut Map<String, Value>, key: &str) -> Option<(String, SecretString)> {
    match keys.remove_entry(key)? {
        (key, Value::String(text)) => Some((key, text.into())),
        (key, other) => {
            keys.insert(key, other);
            None
        }
    }
}

/// Makes providers by name.
#[derive(Debug)]
pub struct ProviderFactory {
    registry: &'static [Registration],
    configs: BTreeMap<ProviderName, ProviderConfig>,
    default: ProviderName,
}

/// The provider used where `SMS_PROVIDER` is not set, or names none.
pub const FALLBACK: &str = "twilio";

impl ProviderFactory {
    /// A factory over a registry. `default` is the value of `SMS_PROVIDER`; a name that is not registered
    /// falls back to [`FALLBACK`], with a warning in the log.
    pub fn new(
        registry: &'static [Registration],
        configs: impl IntoIterator<Item = ProviderConfig>,
        default: Option<&str>,
    ) -> Self {
        let configs = configs.into_iter().map(|config| (config.name.clone(), config)).collect();
        Self { registry, configs, default: choose_default(registry, default) }
    }

    /// The provider for what no route claims.
    pub fn default_provider(&self) -> &ProviderName {
        &self.default
    }

    /// Makes the provider called `name`, or the default one.
    pub fn create_provider(&self, name: Option<&ProviderName>) -> Result<Arc<dyn SmsProvider>, ConfigError> {
        let name = name.unwrap_or(&self.default);
        let registration = self
            .registry
            .iter()
            .find(|registration| registration.name == name.as_str())
            .ok_or_else(|| ConfigError::UnknownProvider(name.clone()))?;
        let config = self.configs.get(name).cloned().ok_or_else(|| ConfigError::NotConfigured {
            provider: name.clone(),
            missing: "its settings are",
        })?;
        let provider = (registration.create)(config)?;
        tracing::info!(provider = %name, "provider ready");
        Ok(provider)
    }

    /// Makes every provider that has an account. One without is left out; one with a mistake is an error.
    pub fn create_configured(&self) -> Result<Vec<Arc<dyn SmsProvider>>, ConfigError> {
        let mut providers = Vec::new();
        for name in self.configs.keys() {
            match self.create_provider(Some(name)) {
                Ok(provider) => providers.push(provider),
                Err(absent @ ConfigError::NotConfigured { .. }) => tracing::info!("{absent}"),
                Err(mistake) => return Err(mistake),
            }
        }
        Ok(providers)
    }
}

fn choose_default(registry: &[Registration], asked: Option<&str>) -> ProviderName {
    let registered = |name: &ProviderName| registry.iter().any(|known| known.name == name.as_str());
    let asked = asked.map(str::trim).filter(|name| !name.is_empty());
    let known = asked.and_then(|name| name.to_ascii_lowercase().parse().ok()).filter(registered);
    match (asked, known) {
        (_, Some(name)) => {
            tracing::info!(provider = %name, "default provider chosen by the settings");
            name
        }
        (Some(_), None) => {
            tracing::warn!(provider = FALLBACK, "SMS_PROVIDER names no provider: falling back");
            fallback()
        }
        (None, None) => {
            tracing::info!(provider = FALLBACK, "SMS_PROVIDER is not set: default provider");
            fallback()
        }
    }
}

fn fallback() -> ProviderName {
    #[expect(clippy::expect_used, reason = "a constant, tested")]
    FALLBACK.parse().expect("the fallback is a provider's name")
}
