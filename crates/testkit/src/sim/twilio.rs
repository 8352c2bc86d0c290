//! Twilio's side: the Messages resource of the API of 2010 (twilio.com/docs/messaging/api/message-resource),
//! with the account and its balance.
//!
//! What is not simulated: media, content templates, link shortening, feedback. Such parameters are taken and
//! change nothing. The parameter `MaxPrice` has had no effect at Twilio since 2024 and has none here.

mod error;

mod message;

mod store;

mod request;

pub(crate) mod sign;

mod journey;

mod list;

mod take;

mod resource;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use parking_lot::RwLock;
use tokio::time::Instant;

use self::error::{not_found, refusal};
use self::journey::{Roads, signed_form};
use self::request::{Wanted, without_fragment};
use self::sign::Signer;
use self::store::Store;
use crate::serve::{Answer, Hangup};
use crate::sim::callbacks::Post;
use crate::sim::config::SimConfig;
use crate::sim::exchange::{Wire, exchange};
use crate::sim::form::Dates;
use crate::sim::ledger::LedgerMode;
use crate::sim::provider::Provider;
use crate::sim::state::{State, Submitted};

/// Where all paths of Twilio begin.
pub(crate) const ROOT: &str = "/2010-04-01/";

/// Twilio, with one account.
pub(crate) struct Twilio {
    roads: Arc<Roads>,
    /// What `Authorization` may say: account SID and token, or key SID and secret.
    credentials: RwLock<[String; 2]>,
    auth_token: String,
    balance: AtomicI64,
    price_micros: i64,
    limit: u32,
    under_way: AtomicU32,
    dates: Dates,
}

/// What a path means.
enum Place<'a> {
    Messages,
    Message(&'a str),
    Balance,
    Account,
    Nowhere,
}

/// One request under way.
struct UnderWay<'a>(&'a AtomicU32);

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

impl Twilio {
    pub(crate) fn new(config: &SimConfig) -> Self {
        let twilio = &config.twilio;
        Self {
            roads: Arc::new(Roads {
                account_sid: twilio.account_sid.clone(),
                signer: Signer::new(&twilio.auth_token),
                store: (config.ledger == LedgerMode::Full).then(Store::default),
                clock: Arc::clone(&config.clock),
            }),
            credentials: RwLock::new([
                basic(&twilio.account_sid, &twilio.auth_token),
                basic(&twilio.api_key_sid, &twilio.api_key_secret),
            ]),
            auth_token: twilio.auth_token.clone(),
            balance: AtomicI64::new(twilio.balance_micros),
            price_micros: twilio.price_micros,
            limit: twilio.concurrency_limit.unwrap_or(u32::MAX),
            under_way: AtomicU32::new(0),
            dates: Dates::default(),
        }
    }

    /// From now on another API key is good, and the one before is not.
    pub(crate) fn set_api_key(&self, sid: &str, secret: &str) {
        self.credentials.write()[1] = basic(sid, secret);
    }

    /// Answers a request, or hangs up.
    pub(crate) async fn handle(&self, state: &State, request: Request<Incoming>) -> Result<Answer, Hangup> {
        let start = Instant::now();
        let at_once = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        let _under_way = UnderWay(&self.under_way);
        let mut answer = if at_once > self.limit {
            self.too_many_requests()
        } else {
            exchange(self, state, request).await?
        };
        let headers = answer.headers_mut();
        if let Ok(id) = HeaderValue::from_str(&state.new_id("RQ")) {
            headers.insert(HeaderName::from_static("twilio-request-id"), id);
        }
        headers.insert(HeaderName::from_static("twilio-concurrent-requests"), at_once.into());
        let millis = start.elapsed().as_millis();
        if let Ok(duration) = HeaderValue::from_str(&format!("{}.{:03}", millis / 1000, millis % 1000)) {
            headers.insert(HeaderName::from_static("twilio-request-duration"), duration);
        }
        Ok(answer)
    }

    /// A message from a phone, as Twilio posts it.
    pub(crate) fn incoming(
        &self,
        state: &State,
        url: &str,
        from: &str,
        to: &str,
        text: &str,
    ) -> (String, Post) {
        let sid = state.new_id("SM");
        let segments = domain::encoding::measure(text).segments.to_string();
        let empty =
            ["ToCountry", "ToState", "ToCity", "ToZip", "FromCountry", "FromState", "FromCity", "FromZip"];
        let mut fields: Vec<(&str, &str)> = empty.map(|name| (name, "")).to_vec();
        fields.extend([
            ("SmsMessageSid", sid.as_str()),
            ("NumMedia", "0"),
            ("SmsSid", sid.as_str()),
            ("SmsStatus", "received"),
            ("Body", text),
            ("To", to),
            ("NumSegments", segments.as_str()),
            ("MessageSid", sid.as_str()),
            ("AccountSid", self.roads.account_sid.as_str()),
            ("From", from),
            ("ApiVersion", "2010-04-01"),
        ]);
        let word = text.trim().to_uppercase();
        if matches!(word.as_str(), "STOP" | "START" | "HELP") {
            fields.push(("OptOutType", &word));
        }
        let post = signed_form(&self.roads.signer, without_fragment(url), &fields);
        (sid, post)
    }

    pub(crate) fn reset(&self, config: &SimConfig) {
        if let Some(store) = &self.roads.store {
            store.clear();
        }
        self.balance.store(config.twilio.balance_micros, Ordering::Relaxed);
    }

    /// What is wrong with the credentials, or the account in the path.
    fn stranger(&self, head: &Parts) -> Option<Answer> {
        let given = head.headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        if !self.credentials.read().iter().any(|known| Some(known.as_bytes()) == given) {
            return Some(error::unauthorized());
        }
        let path = head.uri.path();
        matches!(self.place(path), Place::Nowhere).then(|| not_found(path))
    }

    fn place<'a>(&self, path: &'a str) -> Place<'a> {
        let rest = path.strip_prefix(ROOT).and_then(|path| path.strip_prefix("Accounts/"));
        match rest.and_then(|path| path.strip_prefix(self.roads.account_sid.as_str())) {
            Some("/Messages.json") => Place::Messages,
            Some("/Balance.json") => Place::Balance,
            Some(".json") => Place::Account,
            Some(rest) => {
                let sid = rest.strip_prefix("/Messages/").and_then(|rest| rest.strip_suffix(".json"));
                sid.map_or(Place::Nowhere, Place::Message)
            }
            None => Place::Nowhere,
        }
    }
}

impl Wire for Twilio {
    const PROVIDER: Provider = Provider::Twilio;

    fn submits(&self, head: &Parts) -> bool {
        head.method == Method::POST && head.uri.path().ends_with("/Messages.json")
    }

    fn submit(&self, state: &State, head: &Parts, body: &[u8], batch: u64) -> Submitted {
        if let Some(answer) = self.stranger(head) {
            return Submitted::refused(answer, 0);
        }
        let wanted = Wanted::read(body);
        match wanted.refusal(state.config.magic_numbers) {
            Some(answer) => Submitted::refused(answer, 1),
            None => self.take(state, &wanted, batch),
        }
    }

    fn query(&self, state: &State, head: &Parts, body: &[u8]) -> Answer {
        if let Some(answer) = self.stranger(head) {
            return answer;
        }
        let path = head.uri.path();
        match (&head.method, self.place(path)) {
            (&Method::GET, Place::Messages) => self.list(head.uri.query().unwrap_or_default()),
            (&Method::GET, Place::Message(sid)) => self.fetch(path, sid),
            (&Method::POST, Place::Message(sid)) => self.update(state, path, sid, body),
            (&Method::DELETE, Place::Message(sid)) => self.delete(path, sid),
            (&Method::GET, Place::Balance) => self.balance_json(),
            (&Method::GET, Place::Account) => self.account_json(state),
            _ => refusal(20004),
        }
    }

    fn too_many_requests(&self) -> Answer {
        refusal(20429)
    }

    fn broken(&self, status: StatusCode) -> Answer {
        error::broken(status)
    }

    fn unauthorized(&self) -> Answer {
        error::unauthorized()
    }

    fn refused(&self, code: u32, _head: &Parts, _body: &[u8]) -> Answer {
        refusal(code)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
