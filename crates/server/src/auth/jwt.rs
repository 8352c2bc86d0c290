//! Callers whose users carry tokens (JSON Web Tokens, RFC 7519) instead of API keys.
//!
//! Which keys a token may be signed with follows from the settings, never from the token: its `alg` only picks among them,
//! and `none` is no algorithm. Time is checked here and not by the library, which reads a clock of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::ids::KeyId;
use domain::secret::ExposeSecret as _;
use domain::time::{Clock, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::crypto;
use super::jwks::Jwks;
use crate::config::Jwt;
use crate::keys::{Identity, Scope};

/// Bytes of a token that are looked at. Those that fit into a header are a few hundred to a few thousand.
const MAX_TOKEN: usize = 8 * 1024;

/// Bytes that the name of a subject may have.
const MAX_SUBJECT: usize = 256;

/// What the ids of subjects are made of begins with, so that no other hash is one of them.
const DOMAIN: &[u8] = b"tuma caller by token\0";

/// Why a token shows nobody.
pub(super) enum Refusal {
    /// Something about it is wrong.
    Bad,
    /// It was valid.
    Expired,
    /// Its issuer has never answered.
    NoKeys,
}

/// Reads tokens.
#[derive(Debug)]
pub(super) struct Tokens {
    secret: Option<DecodingKey>,
    jwks: Option<Jwks>,
    issuer: String,
    validations: BTreeMap<&'static str, Validation>,
    leeway: Duration,
    roles: String,
    subject: String,
    scopes: BTreeMap<String, Vec<Scope>>,
    clock: Arc<dyn Clock>,
}

impl Tokens {
    /// `None` where the settings name no issuer.
    pub(super) fn new(settings: &Jwt, clock: &Arc<dyn Clock>) -> anyhow::Result<Option<Self>> {
        if !settings.is_set() {
            return Ok(None);
        }
        crypto::install();
        let between = Duration::from_secs(settings.refetch_s);
        let jwks = settings.jwks_url.as_ref().map(|url| Jwks::new(url, between, Arc::clone(clock)));
        let secret = settings.secret.get();
        let validations =
            crypto::ALGORITHMS.map(|algorithm| (name(algorithm), validation(settings, algorithm)));
        Ok(Some(Self {
            secret: secret.map(|secret| DecodingKey::from_secret(secret.expose_secret().as_bytes())),
            jwks: jwks.transpose()?,
            issuer: settings.issuer.clone(),
            validations: validations.into_iter().collect(),
            leeway: Duration::from_secs(settings.leeway_s),
            roles: settings.roles.clone(),
            subject: settings.subject.clone(),
            scopes: settings.scopes.clone(),
            clock: Arc::clone(clock),
        }))
    }

    /// Whose token it is.
    pub(super) async fn identify(&self, token: &str) -> Result<Identity, Refusal> {
        if token.len() > MAX_TOKEN {
            return Err(Refusal::Bad);
        }
        let header = decode_header(token).map_err(|_unreadable| Refusal::Bad)?;
        // What is critical and not understood must be refused (RFC 7515, 4.1.11), and we understand nothing of the kind.
        if header.crit.is_some() {
            return Err(Refusal::Bad);
        }
        let validation = self.validations.get(name(header.alg)).ok_or(Refusal::Bad)?;
        let keys = self.keys(header.alg, header.kid.as_deref()).await?;
        let checked = keys.iter().find_map(|key| decode::<Value>(token, key, validation).ok());
        let claims = checked.ok_or(Refusal::Bad)?.claims;
        self.check_times(&claims, self.clock.now())?;
        let subject = self.subject(&claims).ok_or(Refusal::Bad)?;
        Ok(Identity::of_token(self.key_id(&subject), self.scopes(&claims)))
    }

    async fn keys(&self, algorithm: Algorithm, id: Option<&str>) -> Result<Vec<DecodingKey>, Refusal> {
        if algorithm == Algorithm::HS256 {
            return Ok(self.secret.iter().cloned().collect());
        }
        match &self.jwks {
            Some(jwks) => jwks.find(algorithm, id).await.map_err(|_no_answer| Refusal::NoKeys),
            None => Ok(Vec::new()),
        }
    }

    fn check_times(&self, claims: &Value, now: Timestamp) -> Result<(), Refusal> {
        let end = claims.get("exp").and_then(moment).ok_or(Refusal::Bad)?;
        if now >= end.plus(self.leeway) {
            return Err(Refusal::Expired);
        }
        // One that can't be read is no leave.
        let begin = claims.get("nbf").map(|begin| moment(begin).ok_or(Refusal::Bad)).transpose()?;
        if begin.is_some_and(|begin| now.plus(self.leeway) < begin) { Err(Refusal::Bad) } else { Ok(()) }
    }

    fn subject(&self, claims: &Value) -> Option<String> {
        let subject = match claims.pointer(&self.subject)? {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        (1..=MAX_SUBJECT).contains(&subject.len()).then_some(subject)
    }

    /// What the roles in the token may do together. One that the settings don't name may do nothing.
    fn scopes(&self, claims: &Value) -> Vec<Scope> {
        let roles = match claims.pointer(&self.roles) {
            Some(Value::Array(roles)) => roles.as_slice(),
            Some(role) => std::slice::from_ref(role),
            None => &[],
        };
        let named = roles.iter().filter_map(|role| self.scopes.get(role.as_str()?));
        let mut scopes: Vec<Scope> = named.flatten().copied().collect();
        scopes.sort_unstable();
        scopes.dedup();
        scopes
    }

    /// What stands for a key: the same for each token of a subject, so that it sees its messages again.
    fn key_id(&self, subject: &str) -> KeyId {
        let mut hash = Sha256::new_with_prefix(DOMAIN);
        hash.update((self.issuer.len() as u64).to_be_bytes());
        hash.update(&self.issuer);
        hash.update(subject);
        let mut id = [0; 16];
        id.copy_from_slice(&hash.finalize()[..16]);
        // A UUID whose bits have a meaning of our own (RFC 9562, 5.8): never that of a key, which is of version 7.
        id[6] = id[6] & 0x0f | 0x80;
        id[8] = id[8] & 0x3f | 0x80;
        KeyId::from_bytes(id)
    }
}

/// Issuer and audience must be there and be ours. Times are checked apart.
fn validation(settings: &Jwt, algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.set_issuer(&[&settings.issuer]);
    validation.set_audience(&[&settings.audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation
}

/// Names an algorithm that we take; nothing for all others.
fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::HS256 => "HS256",
        Algorithm::RS256 => "RS256",
        Algorithm::ES256 => "ES256",
        Algorithm::EdDSA => "EdDSA",
        _ => "",
    }
}

/// Seconds since 1970, perhaps with a fraction (RFC 7519, 2).
#[expect(
    clippy::cast_possible_truncation,
    reason = "what is too large becomes the last moment, which is right"
)]
fn moment(claim: &Value) -> Option<Timestamp> {
    let seconds = claim.as_f64().filter(|seconds| seconds.is_finite() && *seconds >= 0.0)?;
    Some(Timestamp::from_micros((seconds * 1e6) as i64))
}
