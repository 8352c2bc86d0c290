//! HashiCorp Vault: entries of KV engines of version 2, by its HTTP API.
//!
//! A token is renewed when half of its time is over, and replaced by logging in anew when Vault refuses that,
//! or it.
//! Our own keys to Vault are read anew each time: an agent beside us may write fresh ones into the same files.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use domain::secret::{ExposeSecret as _, SecretString, Zeroizing};
use domain::time::{Clock, Timestamp};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use providers::client;
use providers::endpoint::sensitive;
use reqwest::{Request, Response};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use url::Url;

use super::{Entry, Fields, LARGEST_ANSWER, PATIENCE, Text, cause};
use crate::config::secrets::read_file;
use crate::config::{Config, Held, SecretError, Source, VaultSettings};

/// What it is called in errors.
pub(super) const STORE: &str = "Vault";

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
/// Vault refuses requests without it where it is set up against forged ones, and takes it everywhere.
const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");

/// A Vault, and our session with it.
pub(super) struct Vault {
    settings: VaultSettings,
    keys: OwnKeys,
    clock: Arc<dyn Clock>,
    client: std::sync::OnceLock<reqwest::Client>,
    session: Mutex<Option<Session>>,
}

/// What Vault knows us by.
struct OwnKeys {
    token: Option<Held>,
    role_id: Option<Held>,
    secret_id: Option<Held>,
}

/// A token, as long as it is good.
struct Session {
    token: SecretString,
    /// When to renew it; `None` for one that does not end.
    renew_at: Option<Timestamp>,
    is_renewable: bool,
}

/// What was not answered.
enum Refusal {
    /// The token is not good, or not good for this.
    Forbidden,
    /// A status that is no answer.
    Status(StatusCode),
    /// Something else.
    Other(SecretError),
}

impl From<Refusal> for SecretError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Forbidden => {
                trouble("refuses us (403): what we log in with is wrong, or its policy does not allow this")
            }
            Refusal::Status(status) => trouble(meaning(status)),
            Refusal::Other(problem) => problem,
        }
    }
}

fn trouble(problem: impl Into<String>) -> SecretError {
    SecretError::Store { store: STORE, problem: problem.into() }
}

impl Vault {
    pub(super) fn new(config: &Config, clock: Arc<dyn Clock>) -> Self {
        let key = |key| config.held.get(key).cloned();
        let keys = OwnKeys {
            token: key("secrets.vault.token"),
            role_id: key("secrets.vault.role_id"),
            secret_id: key("secrets.vault.secret_id"),
        };
        let settings = config.secrets.vault.clone();
        Self { settings, keys, clock, client: std::sync::OnceLock::new(), session: Mutex::default() }
    }

    /// The entry at a path of an engine.
    pub(super) async fn read(&self, mount: &str, path: &str) -> Result<Entry, SecretError> {
        let mut session = self.session.lock().await;
        let token = self.token(&mut session).await?;
        let entry = match self.read_with(&token, mount, path).await {
            // It may have been revoked, or have come to its end while we did not look.
            Err(Refusal::Forbidden) => {
                *session = None;
                let token = self.token(&mut session).await?;
                self.read_with(&token, mount, path).await
            }
            answered => answered,
        };
        Ok(entry?)
    }

    async fn read_with(&self, token: &SecretString, mount: &str, path: &str) -> Result<Entry, Refusal> {
        let path = [mount, "data"].into_iter().chain(path.split('/'));
        let kept: Kept = self.ask(Method::GET, path, Some(token), None).await?;
        let fields = kept.data.data.into_iter().filter_map(|(name, text)| Some((name, text.0?)));
        let created_at = kept.data.metadata.created_time.parse().ok();
        Ok(Entry { fields: Fields::Named(fields.collect()), created_at })
    }

    /// A token that is good, as far as can be known.
    async fn token(&self, session: &mut Option<Session>) -> Result<SecretString, Refusal> {
        let now = self.clock.now();
        if let Some(held) = session.as_ref().filter(|held| held.renew_at.is_some_and(|at| at <= now)) {
            let renewed = if held.is_renewable { self.renew(&held.token).await } else { self.log_in().await };
            match renewed {
                Ok(renewed) => *session = Some(renewed),
                Err(Refusal::Forbidden) => *session = None,
                // Vault is not there at the moment. The token is good for the other half of its time.
                Err(_passing) => {}
            }
        }
        if session.is_none() {
            *session = Some(self.log_in().await?);
        }
        let held = session.as_ref().ok_or(Refusal::Forbidden)?;
        Ok(held.token.clone())
    }

    async fn log_in(&self) -> Result<Session, Refusal> {
        if let Some(token) = &self.keys.token {
            let token = own_key(token)?;
            let path = ["auth", "token", "lookup-self"];
            let looked = match self.ask::<LookedUp>(Method::GET, path, Some(&token), None).await {
                // A token may be good for secrets and not for this: then nothing is known of its end.
                Err(Refusal::Forbidden) => TokenData { ttl: 0, renewable: false },
                answered => answered?.data,
            };
            return Ok(self.session(token, looked.ttl, looked.renewable));
        }
        let (Some(role_id), Some(secret_id)) = (&self.keys.role_id, &self.keys.secret_id) else {
            let missing = "secrets.vault.token, or role_id with secret_id,";
            return Err(Refusal::Other(SecretError::NoStore { store: STORE, missing }));
        };
        let (role_id, secret_id) = (own_key(role_id)?, own_key(secret_id)?);
        let body = json!({"role_id": role_id.expose_secret(), "secret_id": secret_id.expose_secret()});
        let path = ["auth"].into_iter().chain(self.settings.auth_mount.split('/')).chain(["login"]);
        let answer: LoggedIn = match self.ask(Method::POST, path, None, Some(&body)).await {
            // What AppRole says of a secret id that is wrong or used up.
            Err(Refusal::Status(StatusCode::BAD_REQUEST)) => return Err(Refusal::Forbidden),
            answered => answered?,
        };
        self.authorized(answer)
    }

    async fn renew(&self, token: &SecretString) -> Result<Session, Refusal> {
        let path = ["auth", "token", "renew-self"];
        let answer: LoggedIn = self.ask(Method::POST, path, Some(token), Some(&json!({}))).await?;
        self.authorized(answer)
    }

    fn authorized(&self, answer: LoggedIn) -> Result<Session, Refusal> {
        let Auth { client_token, lease_duration, renewable } = answer.auth;
        let token = client_token.0.ok_or_else(|| Refusal::Other(trouble("gives no token")))?;
        Ok(self.session(token, lease_duration, renewable))
    }

    fn session(&self, token: SecretString, seconds: u64, is_renewable: bool) -> Session {
        let half = Duration::from_secs(seconds) / 2;
        let renew_at = (seconds > 0).then(|| self.clock.now().plus(half));
        Session { token, renew_at, is_renewable }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: impl IntoIterator<Item = &str>,
        token: Option<&SecretString>,
        body: Option<&Value>,
    ) -> Result<T, Refusal> {
        let other = |problem: String| Refusal::Other(trouble(problem));
        let missing = SecretError::NoStore { store: STORE, missing: "secrets.vault.address" };
        let address = self.settings.address.as_ref().ok_or(Refusal::Other(missing))?;
        let request = self.request(address, method, path, token, body)?;
        let client = self.client(address).map_err(|problem| other(format!("can't be asked: {problem:#}")))?;
        let answered = client.execute(request).await;
        let answer = answered.map_err(|error| other(format!("can't be reached: {}", cause(&error))))?;
        match answer.status() {
            status if status.is_success() => {}
            StatusCode::FORBIDDEN => return Err(Refusal::Forbidden),
            status => return Err(Refusal::Status(status)),
        }
        let bytes = read(answer).await.map_err(other)?;
        // What serde has to say could quote the answer.
        serde_json::from_slice(&bytes).map_err(|_quotes| {
            other("gives an answer that can't be read: is the engine KV of version 2?".into())
        })
    }

    fn request<'a>(
        &self,
        address: &Url,
        method: Method,
        path: impl IntoIterator<Item = &'a str>,
        token: Option<&SecretString>,
        body: Option<&Value>,
    ) -> Result<Request, Refusal> {
        let other = |problem: &str| Refusal::Other(trouble(problem));
        let mut url = address.clone();
        let segments = url.path_segments_mut();
        segments
            .map_err(|()| other("has no address that can be used"))?
            .pop_if_empty()
            .push("v1")
            .extend(path);
        let mut request = Request::new(method, url);
        let headers = request.headers_mut();
        headers.insert(REQUEST, HeaderValue::from_static("true"));
        let credential = |text: &str| {
            sensitive(text).ok_or_else(|| other("has a token or a namespace that can't stand in a header"))
        };
        if let Some(token) = token {
            headers.insert(TOKEN, credential(token.expose_secret())?);
        }
        if !self.settings.namespace.is_empty() {
            headers.insert(NAMESPACE, credential(&self.settings.namespace)?);
        }
        if let Some(body) = body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = Some(body.to_string().into());
        }
        Ok(request)
    }

    fn client(&self, address: &Url) -> anyhow::Result<&reqwest::Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let roots = self.settings.ca_file.as_deref().map(roots).transpose()?;
        let client = client::plain_trusting(address, PATIENCE, roots)?;
        Ok(self.client.get_or_init(|| client))
    }
}

/// An answer's body, which is wiped when it has been read.
async fn read(mut answer: Response) -> Result<Zeroizing<Vec<u8>>, String> {
    // With all of its room at once: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LARGEST_ANSWER));
    while let Some(chunk) = answer.chunk().await.map_err(|error| cause(&error))? {
        if bytes.len() + chunk.len() > LARGEST_ANSWER {
            return Err("answers with more than a secret".into());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The authorities in a file.
fn roots(path: &Path) -> anyhow::Result<RootCertStore> {
    let unreadable = || format!("secrets.vault.ca_file, {}, can't be read", path.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).with_context(unreadable)? {
        roots.add(certificate.with_context(unreadable)?)?;
    }
    anyhow::ensure!(!roots.is_empty(), "secrets.vault.ca_file, {}, has no certificate", path.display());
    Ok(roots)
}

fn own_key(held: &Held) -> Result<SecretString, Refusal> {
    let fetched = match &held.source {
        source @ Source::File { .. } => Some(read_file(source).map_err(Refusal::Other)?),
        _ => held.fetched.clone(),
    };
    fetched.map(|fetched| fetched.value).ok_or(Refusal::Forbidden)
}

/// What a status says (Vault, "HTTP status codes").
fn meaning(status: StatusCode) -> String {
    match status.as_u16() {
        404 => "has nothing there (404)".into(),
        503 => "is sealed, or down for maintenance (503)".into(),
        429 | 472 | 473 => format!("is a standby that does not answer ({})", status.as_u16()),
        code => format!("answers with the status {code}"),
    }
}

#[derive(Deserialize)]
struct Kept {
    data: Version,
}

#[derive(Deserialize)]
struct Version {
    data: BTreeMap<String, Text>,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    created_time: String,
}

#[derive(Deserialize)]
struct LoggedIn {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    client_token: Text,
    #[serde(default)]
    lease_duration: u64,
    #[serde(default)]
    renewable: bool,
}

#[derive(Deserialize)]
struct LookedUp {
    data: TokenData,
}

#[derive(Deserialize)]
struct TokenData {
    #[serde(default)]
    ttl: u64,
    #[serde(default)]
    renewable: bool,
}

#[cfg(test)]
mod tests {
    use testkit::clock::FakeClock;
    use testkit::vault::{ROLE_ID, SECRET_ID, VaultStandIn};

    use super::*;

    /// The stand-in with one entry, ourselves with what is set, and the clock of both.
    async fn scene(set: &[(&str, &str)]) -> (VaultStandIn, Vault, Arc<FakeClock>) {
        let clock = Arc::new(FakeClock::new());
        let stand_in = VaultStandIn::start(Arc::clone(&clock) as _).await.unwrap();
        stand_in.put("secret/tuma", &json!({"token": "hunter2"}));
        let url = stand_in.url();
        let environment =
            [("TUMA_SECRETS__VAULT__ADDRESS", url.as_str())].into_iter().chain(set.iter().copied());
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = Config::load(None, environment).unwrap();
        let vault = Vault::new(&config, Arc::clone(&clock) as _);
        (stand_in, vault, clock)
    }

    const APP_ROLE: [(&str, &str); 2] =
        [("TUMA_SECRETS__VAULT__ROLE_ID", ROLE_ID), ("TUMA_SECRETS__VAULT__SECRET_ID", SECRET_ID)];

    #[tokio::test]
    async fn a_token_is_used_for_half_of_its_time_and_then_renewed() {
        let (stand_in, vault, clock) = scene(&APP_ROLE).await;
        for (minutes, logins, renewals) in [(0, 1, 0), (29, 1, 0), (1, 1, 1), (29, 1, 1), (1, 1, 2)] {
            clock.advance(Duration::from_mins(minutes));
            assert!(vault.read("secret", "tuma").await.is_ok());
            let counts = stand_in.counts();
            assert_eq!((counts.logins, counts.renewals), (logins, renewals));
        }
        assert_eq!(stand_in.counts().refusals, 0);
    }

    #[tokio::test]
    async fn a_token_outlives_a_vault_that_does_not_answer_when_it_should_be_renewed() {
        let (stand_in, vault, clock) = scene(&APP_ROLE).await;
        assert!(vault.read("secret", "tuma").await.is_ok());
        clock.advance(Duration::from_mins(40));
        stand_in.set_sealed(true);
        assert!(vault.read("secret", "tuma").await.is_err());
        stand_in.set_sealed(false);
        assert!(vault.read("secret", "tuma").await.is_ok());
        let counts = stand_in.counts();
        assert_eq!((counts.logins, counts.renewals), (1, 1));
    }

    #[tokio::test]
    async fn a_token_that_is_refused_or_over_is_replaced_by_logging_in_anew() {
        let (stand_in, vault, clock) = scene(&APP_ROLE).await;
        assert!(vault.read("secret", "tuma").await.is_ok());
        stand_in.revoke_tokens();
        assert!(vault.read("secret", "tuma").await.is_ok());
        assert_eq!(stand_in.counts().logins, 2);
        clock.advance(Duration::from_hours(2));
        assert!(vault.read("secret", "tuma").await.is_ok());
        assert_eq!((stand_in.counts().logins, stand_in.counts().renewals), (3, 0));
        // With nothing to log in with any more, it says so.
        stand_in.revoke_tokens();
        stand_in.set_secret_id("another");
        let refused = vault.read("secret", "tuma").await.err().map(|problem| problem.to_string());
        assert!(refused.is_some_and(|refused| refused.contains("refuses us (403)")));
    }

    #[tokio::test]
    async fn a_token_in_a_file_is_read_anew_when_another_is_needed() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "hvs.first\n").unwrap();
        let (stand_in, vault, clock) =
            scene(&[("TUMA_SECRETS__VAULT__TOKEN_FILE", path.to_str().unwrap())]).await;
        stand_in.give_token("hvs.first", Duration::from_hours(1));
        assert!(vault.read("secret", "tuma").await.is_ok());
        clock.advance(Duration::from_mins(40));
        assert!(vault.read("secret", "tuma").await.is_ok());
        assert_eq!(stand_in.counts().renewals, 1);
        clock.advance(Duration::from_hours(3));
        stand_in.give_token("hvs.second", Duration::from_hours(1));
        std::fs::write(&path, "hvs.second\n").unwrap();
        assert!(vault.read("secret", "tuma").await.is_ok());
        assert_eq!(stand_in.counts().logins, 0);
    }
}
