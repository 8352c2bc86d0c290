//! Africa's Talking's side: bulk SMS (developers.africastalking.com/docs/sms/sending), the inbox, the balance.
//!
//! What is not simulated: premium messages, XML answers (without `Accept: application/json` the real one may
//! answer so), and tokens instead of keys.

mod words;

mod request;

mod report;

mod take;

use std::fmt::Write;
use std::sync::atomic::{AtomicI64, Ordering};

use hyper::body::Incoming;
use hyper::header::{HeaderValue, SERVER};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use parking_lot::{Mutex, RwLock};

use self::report::form;
use self::request::Wanted;
use self::take::{all_refused, whole_refused};
use self::words::{keyless, method_not_allowed, missing_parameter, network_code, not_found, unauthorized};
use crate::serve::{Answer, Hangup};
use crate::sim::callbacks::Post;
use crate::sim::config::SimConfig;
use crate::sim::exchange::{Wire, exchange};
use crate::sim::form::{JSON, answer, push_amount, push_json};
use crate::sim::provider::Provider;
use crate::sim::state::{State, Submitted};

/// Where all paths of Africa's Talking begin.
pub(crate) const ROOT: &str = "/version1/";

const CURRENCY: &str = "KES";
const MESSAGING: &str = "/version1/messaging";

/// Africa's Talking, with one user.
pub(crate) struct AfricasTalking {
    username: String,
    api_key: RwLock<String>,
    senders: Vec<String>,
    price_micros: i64,
    balance: AtomicI64,
    inbox: Mutex<Vec<Letter>>,
}

/// A message from a phone. Its place in the inbox is its id.
struct Letter {
    from: String,
    to: String,
    text: String,
    date: String,
}

impl AfricasTalking {
    pub(crate) fn new(config: &SimConfig) -> Self {
        let config = &config.africastalking;
        Self {
            username: config.username.clone(),
            api_key: RwLock::new(config.api_key.clone()),
            senders: config.senders.clone(),
            price_micros: config.price_micros,
            balance: AtomicI64::new(config.balance_micros),
            inbox: Mutex::default(),
        }
    }

    /// From now on another key is good, and the one before is not.
    pub(crate) fn set_api_key(&self, key: &str) {
        key.clone_into(&mut self.api_key.write());
    }

    /// Answers a request, or hangs up.
    pub(crate) async fn handle(&self, state: &State, request: Request<Incoming>) -> Result<Answer, Hangup> {
        let mut answer = exchange(self, state, request).await?;
        answer.headers_mut().insert(SERVER, HeaderValue::from_static("akka-http/10.2.10"));
        Ok(answer)
    }

    /// Puts a message from a phone into the inbox. Its id, and what is posted of it if somebody is to be told.
    pub(crate) fn incoming(&self, state: &State, from: &str, to: &str, text: &str) -> (String, Option<Post>) {
        let id = state.new_id("ATUid_");
        let date = state.now().to_string();
        let letter =
            Letter { from: from.to_owned(), to: to.to_owned(), text: text.to_owned(), date: date.clone() };
        self.inbox.lock().push(letter);
        let link_id = state.new_id("SimLink");
        let post = state.urls.read().africastalking_incoming.as_deref().map(|url| {
            let fields = [
                ("date", date.as_str()),
                ("from", from),
                ("id", id.as_str()),
                ("linkId", link_id.as_str()),
                ("text", text),
                ("to", to),
                ("networkCode", network_code(from)),
            ];
            form(url, &fields)
        });
        (id, post)
    }

    /// A receiver's word that no more bulk messages are wanted, as it is posted.
    pub(crate) fn opt_out(state: &State, sender: &str, number: &str) -> Option<Post> {
        let urls = state.urls.read();
        let url = urls.africastalking_opt_out.as_deref()?;
        Some(form(url, &[("senderId", sender), ("phoneNumber", number)]))
    }

    pub(crate) fn reset(&self, config: &SimConfig) {
        self.balance.store(config.africastalking.balance_micros, Ordering::Relaxed);
        self.inbox.lock().clear();
    }

    /// What is wrong with the key. Names of headers have no case.
    fn stranger(&self, head: &Parts) -> Option<Answer> {
        match head.headers.get("apikey") {
            None => Some(keyless()),
            Some(key) if key.as_bytes() != self.api_key.read().as_bytes() => Some(unauthorized()),
            Some(_) => None,
        }
    }

    fn allows(&self, sender: &str) -> bool {
        sender.is_empty() || self.senders.iter().any(|known| known == sender)
    }

    /// Messages from phones, and nothing else: what was sent can't be asked for.
    fn inbox(&self, last_received: u64) -> Answer {
        let mut body = String::from("{\"SMSMessageData\":{\"Messages\":[");
        let inbox = self.inbox.lock();
        let newer = (1_u64..).zip(inbox.iter()).filter(|&(id, _)| id > last_received);
        for (place, (id, letter)) in newer.enumerate() {
            body.push_str(if place > 0 { ",{\"linkId\":\"" } else { "{\"linkId\":\"" });
            // Writing to a String does not fail.
            let _ = write!(body, "SimLink{id}\",\"text\":");
            push_json(&mut body, &letter.text);
            body.push_str(",\"to\":");
            push_json(&mut body, &letter.to);
            let _ = write!(body, ",\"id\":{id},\"date\":\"{}\",\"from\":", letter.date);
            push_json(&mut body, &letter.from);
            body.push('}');
        }
        body.push_str("]}}");
        answer(StatusCode::OK, JSON, body)
    }

    fn balance_json(&self) -> Answer {
        let mut body = format!("{{\"UserData\":{{\"balance\":\"{CURRENCY} ");
        push_amount(&mut body, self.balance.load(Ordering::Relaxed));
        body.push_str("\"}}");
        answer(StatusCode::OK, JSON, body)
    }
}

impl Wire for AfricasTalking {
    const PROVIDER: Provider = Provider::AfricasTalking;

    fn submits(&self, head: &Parts) -> bool {
        head.method == Method::POST && head.uri.path().starts_with(MESSAGING)
    }

    fn submit(&self, state: &State, head: &Parts, body: &[u8], batch: u64) -> Submitted {
        if !matches!(head.uri.path(), MESSAGING | "/version1/messaging/bulk") {
            return Submitted::refused(not_found(), 0);
        }
        if let Some(answer) = self.stranger(head) {
            return Submitted::refused(answer, 0);
        }
        let wanted = match Wanted::read(head, body) {
            Ok(wanted) => wanted,
            Err(answer) => return Submitted::refused(*answer, 0),
        };
        let recipients = wanted.to.len();
        if wanted.username != self.username {
            return Submitted::refused(unauthorized(), recipients);
        }
        if !self.allows(&wanted.from) {
            return Submitted::refused(whole_refused("InvalidSenderId"), recipients);
        }
        self.take(state, &wanted, batch)
    }

    fn query(&self, _state: &State, head: &Parts, _body: &[u8]) -> Answer {
        let supported = match head.uri.path() {
            MESSAGING => "GET, POST",
            "/version1/user" => "GET",
            _ => return not_found(),
        };
        if head.method != Method::GET {
            return method_not_allowed(supported);
        }
        if let Some(answer) = self.stranger(head) {
            return answer;
        }
        let query = head.uri.query().unwrap_or_default().as_bytes();
        let parameter =
            |name| form_urlencoded::parse(query).find(|(key, _)| key == name).map(|(_, value)| value);
        match parameter("username") {
            None => return missing_parameter("username"),
            Some(username) if username != self.username => return unauthorized(),
            Some(_) => {}
        }
        if head.uri.path() != MESSAGING {
            return self.balance_json();
        }
        self.inbox(parameter("lastReceivedId").and_then(|id| id.parse().ok()).unwrap_or(0))
    }

    fn too_many_requests(&self) -> Answer {
        words::too_many_requests()
    }

    fn broken(&self, status: StatusCode) -> Answer {
        words::broken(status)
    }

    fn unauthorized(&self) -> Answer {
        unauthorized()
    }

    fn refused(&self, code: u32, head: &Parts, body: &[u8]) -> Answer {
        match Wanted::read(head, body) {
            Ok(wanted) => all_refused(&wanted.to, code),
            Err(answer) => *answer,
        }
    }
}
