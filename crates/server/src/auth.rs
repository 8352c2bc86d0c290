//! Who calls: the holder of an API key, or somebody whose token an issuer has signed.
//!
//! Whatever is wrong with what a caller shows, it gets one answer, after the same work: a key that was revoked, one that has
//! expired and one that never was are looked up in the same way and not remembered. Guessing is slowed (`failures`).

mod crypto;
mod failures;
mod figures;
mod jwks;
mod jwt;
mod known;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use domain::audit::{Act, Actor};
use domain::ids::KeyId;
use domain::secret::{ExposeSecret as _, SecretString};
use domain::time::{Clock, Timestamp};
use gateway::SmsService;
use gateway::stop::Stop;
use opentelemetry::metrics::Meter;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use store::port::keys::{ApiKey, KeyUse, Rotation};
use store::{Store, StoreError};
use tokio::sync::Semaphore;
use url::Url;

use self::failures::{Failures, Source};
use self::figures::{Failure, Figures};
use self::jwks::Jwks;
use self::jwt::{Refusal, Tokens};
use self::known::{KnownKeys, Remembered};
use crate::config::{Http, Jwt};
use crate::keys::{Identity, PREFIX};

/// From one sign of life of the worker to the next.
const TURN: Duration = Duration::from_secs(1);

/// From one writing of uses to the next.
const BETWEEN_NOTES: Duration = Duration::from_mins(1);

/// Why a request is not served.
#[derive(Debug)]
pub enum Denied {
    /// Nobody could be found behind it.
    Unauthenticated,
    /// Nor behind too many others from the same address.
    TooManyFailures {
        /// How long that will be the answer.
        retry_after: Duration,
    },
    /// The issuer of its token has never answered, so that nothing can be said about it.
    IssuerUnavailable,
    /// The store can't be read.
    Store(StoreError),
}

/// Why nobody was found.
enum Unknown {
    Because(Failure),
    IssuerUnavailable,
    Store(StoreError),
}

impl From<StoreError> for Unknown {
    fn from(problem: StoreError) -> Self {
        Self::Store(problem)
    }
}

/// Found by hash: a comparison that takes longer for a better guess has nothing to compare.
fn hash(key: &SecretString) -> [u8; 32] {
    Sha256::digest(key.expose_secret()).into()
}

async fn holder(
    store: &dyn Store,
    hash: [u8; 32],
    now: Timestamp,
) -> Result<Result<Identity, Failure>, StoreError> {
    let found = store.find_key(hash).await?.map(Identity::from);
    Ok(match found {
        None => Err(Failure::UnknownKey),
        Some(identity) if identity.is_revoked() => Err(Failure::RevokedKey),
        Some(identity) if identity.has_expired(now) => Err(Failure::ExpiredKey),
        Some(identity) => Ok(identity),
    })
}

/// Who holds a key, for a single question.
pub(crate) async fn look_up(
    store: &dyn Store,
    key: &SecretString,
    now: Timestamp,
) -> Result<Option<Identity>, StoreError> {
    holder(store, hash(key), now).await.map(Result::ok)
}

/// Asks the issuer of tokens for its keys; answers how many of them we can use.
pub(crate) async fn ask_issuer(url: &Url, clock: Arc<dyn Clock>) -> anyhow::Result<usize> {
    Jwks::new(url, Duration::ZERO, clock)?.ask().await.map(|keys| keys.len())
}

/// Finds out who calls.
#[derive(Debug)]
pub struct Authenticator {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    known: KnownKeys,
    tokens: Option<Tokens>,
    failures: Failures,
    figures: Figures,
    /// When keys were used, as far as it is not written yet.
    uses: Mutex<HashMap<KeyId, Timestamp>>,
    /// Addresses whose failures are refused look up one key at a time: those of others need not wait for a flood.
    suspects: Semaphore,
}

impl Authenticator {
    /// Reads keys from the store, and tokens as the settings say.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        (http, jwt): (&Http, &Jwt),
        meter: &Meter,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            known: KnownKeys::new(Duration::from_millis(http.key_cache_ms)),
            tokens: Tokens::new(jwt, &clock)?,
            failures: Failures::new(Arc::clone(&clock)),
            figures: Figures::new(meter),
            uses: Mutex::default(),
            suspects: Semaphore::new(1),
            store,
            clock,
        })
    }

    /// Who shows this key or token, at this address.
    pub async fn authenticate(
        &self,
        shown: Option<&SecretString>,
        address: IpAddr,
    ) -> Result<Identity, Denied> {
        let Some(shown) = shown else {
            // Nothing was guessed.
            self.figures.failed(Failure::Missing);
            return Err(Denied::Unauthenticated);
        };
        let source = Source::from(address);
        let failure = match self.find(shown, source).await {
            Ok(identity) => return Ok(identity),
            Err(Unknown::Store(problem)) => return Err(Denied::Store(problem)),
            Err(Unknown::IssuerUnavailable) => return Err(Denied::IssuerUnavailable),
            Err(Unknown::Because(failure)) => failure,
        };
        self.figures.failed(failure);
        self.failures.count(source).await.map_err(|refused| {
            self.figures.refused();
            Denied::TooManyFailures { retry_after: refused.retry_after }
        })?;
        Err(Denied::Unauthenticated)
    }

    async fn find(&self, shown: &SecretString, source: Source) -> Result<Identity, Unknown> {
        let text = shown.expose_secret();
        if text.starts_with(PREFIX) {
            return self.holder(shown, Some(source)).await;
        }
        let Some(tokens) = &self.tokens else { return Err(Unknown::Because(Failure::Malformed)) };
        tokens.identify(text).await.map_err(|refusal| match refusal {
            Refusal::Bad => Unknown::Because(Failure::BadToken),
            Refusal::Expired => Unknown::Because(Failure::ExpiredToken),
            Refusal::NoKeys => Unknown::IssuerUnavailable,
        })
    }

    /// Who holds this key; `None` if nobody does, or not any more.
    pub async fn identify(&self, key: &SecretString) -> Result<Option<Identity>, StoreError> {
        match self.holder(key, None).await {
            Ok(identity) => Ok(Some(identity)),
            Err(Unknown::Store(problem)) => Err(problem),
            Err(Unknown::Because(_) | Unknown::IssuerUnavailable) => Ok(None),
        }
    }

    async fn holder(&self, key: &SecretString, source: Option<Source>) -> Result<Identity, Unknown> {
        let hash = hash(key);
        let now = self.clock.now();
        let identity = match self.known.find(&hash, now) {
            Remembered::Holder(identity) => identity,
            // It is still trusted: a store that does not answer right now is no reason to turn it away.
            Remembered::Renew(identity) => match self.look_up(hash, now).await {
                Err(Unknown::Store(_)) => identity,
                found => found?,
            },
            Remembered::Nobody => {
                let is_suspect = source.is_some_and(|source| self.failures.is_refused(source));
                let _one_at_a_time = if is_suspect { self.suspects.acquire().await.ok() } else { None };
                self.look_up(hash, now).await?
            }
        };
        if identity.has_expired(now) {
            return Err(Unknown::Because(Failure::ExpiredKey));
        }
        self.uses.lock().insert(identity.key, now);
        Ok(identity)
    }

    /// Only who is valid is remembered, so that all others take the same time.
    async fn look_up(&self, hash: [u8; 32], now: Timestamp) -> Result<Identity, Unknown> {
        let begun = self.known.begin();
        let identity = holder(&*self.store, hash, now).await?;
        self.known.learn(begun, hash, identity.as_ref().ok(), now);
        identity.map_err(Unknown::Because)
    }

    /// All keys, the oldest first.
    pub async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        self.store.keys().await
    }

    /// Stores a key, which is taken at once.
    pub async fn create(&self, key: ApiKey, act: Act) -> Result<(), StoreError> {
        self.store.create_key(key, act).await
    }

    /// Gives a key another secret; `false` if there is none of that id that could be used.
    pub async fn rotate(&self, rotation: Rotation) -> Result<bool, StoreError> {
        let id = rotation.id;
        let rotated = self.store.rotate_key(rotation).await?;
        self.known.forget(id);
        Ok(rotated)
    }

    /// Ends a key; `false` if there is none of that id. This node honors it no more when this answers.
    pub async fn revoke(&self, id: KeyId, by: Actor) -> Result<bool, StoreError> {
        let revoked = self.store.revoke_key(id, Act { by, at: self.clock.now() }).await?;
        self.known.forget(id);
        Ok(revoked)
    }

    /// The present, by which keys end.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Hears which keys other nodes have changed, and writes when keys were used.
    pub(crate) fn start(self: &Arc<Self>, service: &SmsService) {
        let authenticator = Arc::clone(self);
        service.add_worker("keys", TURN, move |stop| Arc::clone(&authenticator).run(stop));
    }

    async fn run(self: Arc<Self>, stop: Stop) {
        let mut changed = self.store.changed_keys();
        let mut noted_at = self.clock.now();
        while !stop.is_asked() {
            let now = self.clock.now();
            stop.beat(now);
            if now.since(noted_at) >= BETWEEN_NOTES {
                noted_at = now;
                self.note_uses().await;
            }
            tokio::select! {
                () = stop.asked() => {}
                () = self.clock.sleep_until(now.plus(TURN)) => {}
                key = changed.recv(), if self.store.is_shared() => match key {
                    Some(key) => self.known.forget(key),
                    None => changed = self.store.changed_keys(),
                },
            }
        }
        self.note_uses().await;
    }

    async fn note_uses(&self) {
        let uses = std::mem::take(&mut *self.uses.lock());
        if uses.is_empty() {
            return;
        }
        let noted = uses.into_iter().map(|(id, at)| KeyUse { id, at }).collect();
        if let Err(problem) = self.store.note_key_uses(noted).await {
            // The next use says it anew.
            tracing::warn!(%problem, "when keys were last used can't be written");
        }
    }
}
