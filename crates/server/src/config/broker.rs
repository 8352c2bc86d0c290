//! The message broker: where it is, who we are there, and what goes in and out.

use std::path::PathBuf;
use std::time::Duration;

use domain::secret::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer};
use url::Url;

use super::{Config, SettingsError, optional};

/// The broker.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each key means")]
pub struct Broker {
    pub url: Servers,
    pub user: String,
    pub password: Secret,
    pub token: Secret,
    #[serde(deserialize_with = "optional")]
    pub credentials_file: Option<PathBuf>,
    #[serde(deserialize_with = "optional")]
    pub ca_file: Option<PathBuf>,
    #[serde(deserialize_with = "optional")]
    pub certificate_file: Option<PathBuf>,
    #[serde(deserialize_with = "optional")]
    pub key_file: Option<PathBuf>,
    pub consume: bool,
    pub api_key: Secret,
    pub events: bool,
    pub send_subject: String,
    pub event_subject: String,
    pub dead_subject: String,
    pub send_stream: String,
    pub event_stream: String,
    pub dead_stream: String,
    pub ack_wait_s: u64,
    pub max_in_flight: usize,
    pub event_days: u64,
    pub dead_days: u64,
}

/// Addresses of servers, any of which will do. They hold no secret: those that would are refused.
#[derive(Debug, Clone, Default)]
pub struct Servers(Vec<Url>);

impl Servers {
    /// All of them.
    pub fn all(&self) -> &[Url] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Servers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        // What can't be read may hold a password, and is not repeated.
        let urls = parts.map(|part| part.parse::<Url>().map_err(|_may_quote_it| "is no list of addresses"));
        urls.collect::<Result<_, _>>().map(Self).map_err(serde::de::Error::custom)
    }
}

/// A text that can't be printed. Empty is "not set".
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// The secret, if it is set.
    pub fn get(&self) -> Option<&SecretString> {
        Some(&self.0).filter(|secret| !secret.expose_secret().is_empty())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.get().is_some() { "…" } else { "not set" })
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into()))
    }
}

impl Broker {
    /// Whether there is a broker at all.
    pub fn is_set(&self) -> bool {
        !self.url.0.is_empty()
    }

    /// Whether requests to send are taken from it.
    pub fn consumes(&self) -> bool {
        self.is_set() && self.consume
    }

    /// Whether events are brought to it.
    pub fn publishes(&self) -> bool {
        self.is_set() && self.events
    }

    /// How long the broker waits for an acknowledgment before it delivers again.
    pub fn ack_wait(&self) -> Duration {
        Duration::from_secs(self.ack_wait_s)
    }
}

/// What can't be.
pub(super) fn validate(config: &Config) -> Result<(), SettingsError> {
    let broker = &config.broker;
    let wrong = |key: &str, problem: &str| {
        Err(SettingsError::Value { key: format!("broker.{key}"), problem: problem.into() })
    };
    for url in &broker.url.0 {
        if !matches!(url.scheme(), "nats" | "tls") || url.host_str().is_none_or(str::is_empty) {
            return wrong("url", "must begin with nats:// or tls:// and name a server");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return wrong("url", "must hold no credentials: set broker.user and broker.password");
        }
    }
    if broker.certificate_file.is_some() != broker.key_file.is_some() {
        return wrong("certificate_file", "and broker.key_file must be set together");
    }
    let subjects = [
        ("send_subject", &broker.send_subject),
        ("event_subject", &broker.event_subject),
        ("dead_subject", &broker.dead_subject),
    ];
    for (key, subject) in subjects {
        if !subject.split('.').all(is_name) {
            return wrong(key, "must be words of letters, digits, - and _ with dots between them");
        }
        let is_within = |other: &str| format!("{subject}.").starts_with(&format!("{other}."));
        if subjects.iter().any(|(other, name)| *other != key && is_within(name)) {
            return wrong(key, "must not lie within another of the three subjects");
        }
    }
    for (key, stream) in [
        ("send_stream", &broker.send_stream),
        ("event_stream", &broker.event_stream),
        ("dead_stream", &broker.dead_stream),
    ] {
        if !is_name(stream) {
            return wrong(key, "must be a word of letters, digits, - and _");
        }
    }
    if !(1..=3_600).contains(&broker.ack_wait_s) {
        return wrong("ack_wait_s", "must be from 1 to 3600");
    }
    if !(1..=4_096).contains(&broker.max_in_flight) {
        return wrong("max_in_flight", "must be from 1 to 4096");
    }
    Ok(())
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
