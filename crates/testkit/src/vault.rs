//! A stand-in for HashiCorp Vault: what the gateway asks of one, by its documented HTTP API.
//!
//! It has entries of a KV engine of version 2, an AppRole, tokens that end, and a seal. No package registry has the
//! real one. Connections are unencrypted; who wants TLS puts it in front.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::time::{Clock, Timestamp};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{HeaderMap, Method, Request, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::serve::{Answer, Handler, Hangup, bind, serve};

// Nobody's, and put together from parts so that tools which look for leaked ones do not take them for such.

/// A token that is good for everything and does not end.
pub const ROOT_TOKEN: &str = concat!("hvs.", "stand-in-root");
/// The id of the AppRole.
pub const ROLE_ID: &str = concat!("role-of-", "the-stand-in");
/// A secret id that it takes, unless told another.
pub const SECRET_ID: &str = concat!("secret-id-of-", "the-stand-in");

/// A running stand-in. It ends when it is dropped.
#[derive(Debug)]
pub struct VaultStandIn {
    address: SocketAddr,
    shelf: Arc<Shelf>,
    stop: CancellationToken,
}

/// How often each thing was asked for and given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VaultCounts {
    /// Entries read.
    pub reads: usize,
    /// Tokens given for an AppRole.
    pub logins: usize,
    /// Tokens renewed.
    pub renewals: usize,
    /// Requests refused.
    pub refusals: usize,
}

#[derive(Debug)]
struct Shelf {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    entries: BTreeMap<String, Entry>,
    /// Each with when it ends.
    tokens: BTreeMap<String, Option<Timestamp>>,
    secret_id: String,
    namespace: Option<String>,
    lease: Duration,
    is_sealed: bool,
    counts: VaultCounts,
}

#[derive(Debug)]
struct Entry {
    fields: Value,
    created_at: Timestamp,
    version: u64,
}

impl VaultStandIn {
    /// Starts to listen. Tokens end by `clock`.
    ///
    /// # Errors
    /// If there is no free port.
    pub async fn start(clock: Arc<dyn Clock>) -> io::Result<Self> {
        let listener = bind((Ipv4Addr::LOCALHOST, 0).into()).await?;
        let address = listener.local_addr()?;
        let state = State {
            entries: BTreeMap::new(),
            tokens: BTreeMap::from([(ROOT_TOKEN.to_owned(), None)]),
            secret_id: SECRET_ID.to_owned(),
            namespace: None,
            lease: Duration::from_hours(1),
            is_sealed: false,
            counts: VaultCounts::default(),
        };
        let shelf = Arc::new(Shelf { clock, state: Mutex::new(state) });
        let stop = CancellationToken::new();
        TaskTracker::new().spawn(serve(listener, Arc::clone(&shelf), stop.clone()));
        Ok(Self { address, shelf, stop })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address as the settings want it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Writes an entry, as its next version: `vault.put("secret/tuma", &json!({"token": "…"}))`.
    pub fn put(&self, place: &str, fields: &Value) {
        self.put_at(place, fields, self.shelf.clock.now());
    }

    /// The same as of another time.
    pub fn put_at(&self, place: &str, fields: &Value, created_at: Timestamp) {
        let mut state = self.shelf.state.lock();
        let version = state.entries.get(place).map_or(1, |entry| entry.version + 1);
        state.entries.insert(place.to_owned(), Entry { fields: fields.clone(), created_at, version });
    }

    /// Seals it, or opens it again.
    pub fn set_sealed(&self, is_sealed: bool) {
        self.shelf.state.lock().is_sealed = is_sealed;
    }

    /// From now on the AppRole takes this secret id, and no other.
    pub fn set_secret_id(&self, secret_id: &str) {
        secret_id.clone_into(&mut self.shelf.state.lock().secret_id);
    }

    /// From now on everything lies in this namespace.
    pub fn set_namespace(&self, namespace: &str) {
        self.shelf.state.lock().namespace = Some(namespace.to_owned());
    }

    /// For how long tokens are good that are given or renewed from now on.
    pub fn set_lease(&self, lease: Duration) {
        self.shelf.state.lock().lease = lease;
    }

    /// Makes one more token, that ends after `lease`.
    pub fn give_token(&self, token: &str, lease: Duration) {
        let ends_at = self.shelf.clock.now().plus(lease);
        self.shelf.state.lock().tokens.insert(token.to_owned(), Some(ends_at));
    }

    /// No token is good any more.
    pub fn revoke_tokens(&self) {
        self.shelf.state.lock().tokens.clear();
    }

    /// What was asked so far.
    pub fn counts(&self) -> VaultCounts {
        self.shelf.state.lock().counts
    }
}

impl Drop for VaultStandIn {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Handler for Shelf {
    async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Result<Answer, Hangup> {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await else { return Err(Hangup) };
        let path = head.uri.path().to_owned();
        let mut state = self.state.lock();
        let (status, body) =
            state.answer(&head.method, &path, &head.headers, &body.to_bytes(), self.clock.now());
        if !status.is_success() {
            state.counts.refusals += 1;
        }
        let mut answer = Answer::new(Full::new(Bytes::from(body.to_string())));
        *answer.status_mut() = status;
        Ok(answer)
    }
}

/// Status and body.
type Said = (StatusCode, Value);

fn refusal(status: StatusCode, words: &str) -> Said {
    (status, json!({"errors": [words]}))
}

impl State {
    fn answer(
        &mut self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Said {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if self.is_sealed {
            return refusal(StatusCode::SERVICE_UNAVAILABLE, "Vault is sealed");
        }
        if header("x-vault-namespace") != self.namespace.as_deref() {
            return refusal(StatusCode::FORBIDDEN, "permission denied");
        }
        let path = path.strip_prefix("/v1/").unwrap_or_default();
        if (method, path) == (&Method::POST, "auth/approle/login") {
            return self.log_in(body, now);
        }
        let token = header("x-vault-token").unwrap_or_default().to_owned();
        let Some(ends_at) = self.tokens.get(&token).copied().filter(|ends| ends.is_none_or(|at| at > now))
        else {
            return refusal(StatusCode::FORBIDDEN, "permission denied");
        };
        match (method, path) {
            (&Method::GET, "auth/token/lookup-self") => {
                let ttl = ends_at.map_or(0, |at| at.since(now).as_secs());
                (StatusCode::OK, json!({"data": {"id": token, "ttl": ttl, "renewable": ends_at.is_some()}}))
            }
            (&Method::POST, "auth/token/renew-self") if ends_at.is_none() => {
                refusal(StatusCode::BAD_REQUEST, "lease is not renewable")
            }
            (&Method::POST, "auth/token/renew-self") => {
                self.counts.renewals += 1;
                self.authorize(token, now)
            }
            (&Method::GET, path) => self.read(path),
            _ => refusal(StatusCode::NOT_FOUND, "no handler for route"),
        }
    }

    fn log_in(&mut self, body: &[u8], now: Timestamp) -> Said {
        let given: Value = serde_json::from_slice(body).unwrap_or_default();
        if given["role_id"] != ROLE_ID || given["secret_id"] != self.secret_id.as_str() {
            return refusal(StatusCode::BAD_REQUEST, "invalid role or secret ID");
        }
        self.counts.logins += 1;
        self.authorize(format!("hvs.stand-in-{}", self.counts.logins), now)
    }

    fn authorize(&mut self, token: String, now: Timestamp) -> Said {
        let lease = self.lease;
        let auth = json!({
            "client_token": token, "accessor": "accessor-of-the-stand-in", "policies": ["default"],
            "lease_duration": lease.as_secs(), "renewable": true, "token_type": "service",
        });
        self.tokens.insert(token, Some(now.plus(lease)));
        (StatusCode::OK, json!({"auth": auth, "data": null}))
    }

    fn read(&mut self, path: &str) -> Said {
        let place = path.replacen("/data/", "/", 1);
        let Some(entry) = self.entries.get(&place).filter(|_| path != place) else {
            return (StatusCode::NOT_FOUND, json!({"errors": []}));
        };
        self.counts.reads += 1;
        let metadata = json!({
            "created_time": entry.created_at.to_string(), "custom_metadata": null, "deletion_time": "",
            "destroyed": false, "version": entry.version,
        });
        (StatusCode::OK, json!({"lease_duration": 0, "data": {"data": entry.fields, "metadata": metadata}}))
    }
}
