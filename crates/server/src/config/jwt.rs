//! Callers that carry tokens: who issues them, and what they may do.

use std::collections::BTreeMap;

use domain::secret::ExposeSecret as _;
use serde::Deserialize;
use url::{Host, Url};

use super::broker::Secret;
use super::{Config, SettingsError, optional};
use crate::keys::Scope;

/// Bytes that a secret must have: as many as the hash (RFC 7518, 3.2). A shorter one is found by trying.
const LEAST_SECRET: usize = 32;

/// Tokens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each key means")]
pub struct Jwt {
    pub secret: Secret,
    #[serde(deserialize_with = "optional")]
    pub jwks_url: Option<Url>,
    pub refetch_s: u64,
    pub issuer: String,
    pub audience: String,
    pub leeway_s: u64,
    pub subject: String,
    pub roles: String,
    pub scopes: BTreeMap<String, Vec<Scope>>,
}

impl Jwt {
    /// Whether tokens are taken at all.
    pub fn is_set(&self) -> bool {
        self.secret.get().is_some() || self.jwks_url.is_some()
    }
}

/// What can't be.
pub(super) fn validate(config: &Config) -> Result<(), SettingsError> {
    let jwt = &config.jwt;
    let wrong = |key: &str, problem: String| Err(SettingsError::Value { key: format!("jwt.{key}"), problem });
    if jwt.secret.get().is_some_and(|secret| secret.expose_secret().len() < LEAST_SECRET) {
        return wrong("secret", format!("must have at least {LEAST_SECRET} bytes"));
    }
    if jwt.jwks_url.as_ref().is_some_and(|url| !is_safe(url)) {
        return wrong("jwks_url", "must begin with https://, or with http:// on this machine".into());
    }
    for (key, pointer) in [("subject", &jwt.subject), ("roles", &jwt.roles)] {
        if !pointer.starts_with('/') {
            return wrong(key, "must be a JSON pointer, such as /user/id".into());
        }
    }
    if jwt.leeway_s > 600 {
        return wrong("leeway_s", "must be at most 600".into());
    }
    if !(1..=3_600).contains(&jwt.refetch_s) {
        return wrong("refetch_s", "must be from 1 to 3600".into());
    }
    if !jwt.is_set() {
        return Ok(());
    }
    // Without them, tokens that the issuer made for somebody else would open this gateway.
    for (key, text) in [("issuer", &jwt.issuer), ("audience", &jwt.audience)] {
        if text.is_empty() {
            return wrong(key, "must be set where jwt.secret or jwt.jwks_url is".into());
        }
    }
    if jwt.scopes.is_empty() {
        return wrong("scopes", "must say what a role may do: without that no token may anything".into());
    }
    Ok(())
}

/// Whoever stands between could put keys of its own into an answer without TLS.
fn is_safe(url: &Url) -> bool {
    let is_this_machine = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.host().is_some() && (url.scheme() == "https" || url.scheme() == "http" && is_this_machine)
}
