//! What is asked of the gateway, each message once, and what it promised.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::wait::wait_patiently;
use tokio::sync::{Semaphore, watch};

use super::kill::Gateway;
use crate::app::text;
use crate::http::{Answer, Client, Request};

/// Requests under way at once.
const SENDERS: usize = 16;

/// Receivers of a bulk request.
const BULK: usize = 10;

/// Where a message stands that something will still become of.
const OPEN: [&str; 3] = ["scheduled", "queued", "sending"];

/// How long the gateway may take to end what it has begun.
const SETTLE: Duration = Duration::from_mins(5);

/// None of them expires by itself. Two are sent at most once, two again when nobody knows.
const SCENARIOS: [&str; 4] = ["general", "chama_withdrawal", "alert", "chama_invite"];

/// The callers.
pub(super) struct Load {
    requests: usize,
    address: SocketAddr,
    key: String,
    client: Client,
    /// The run of the gateway that answers now, if one does.
    run: watch::Sender<Option<usize>>,
    /// Requests that may still be made.
    allowed: Semaphore,
    answered: AtomicUsize,
    unread: AtomicUsize,
    promised: Mutex<BTreeSet<String>>,
}

impl Load {
    pub(super) fn new(address: SocketAddr, key: &str, requests: usize) -> Self {
        Self {
            requests,
            address,
            key: key.to_owned(),
            client: Client::new(),
            run: watch::Sender::new(None),
            allowed: Semaphore::new(0),
            answered: AtomicUsize::new(0),
            unread: AtomicUsize::new(0),
            promised: Mutex::default(),
        }
    }

    pub(super) fn requests(&self) -> usize {
        self.requests
    }

    /// Requests answered so far.
    pub(super) fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Requests that may have been heard, and whose answer nobody read: they promise nothing.
    pub(super) fn unread(&self) -> usize {
        self.unread.load(Ordering::Relaxed)
    }

    /// The ids that were answered 202.
    pub(super) fn promised(&self) -> BTreeSet<String> {
        self.promised.lock().unwrap().clone()
    }

    /// The gateway listens, and so many more requests may be made.
    pub(super) fn open(&self, run: usize, more: usize) {
        self.allowed.add_permits(more);
        self.run.send_replace(Some(run));
    }

    /// The gateway is gone.
    pub(super) fn close(&self) {
        self.run.send_replace(None);
    }

    /// Makes every request.
    pub(super) async fn send_all(&self) {
        let requests = stream::iter(0..self.requests).map(|number| self.send(number));
        requests.buffer_unordered(SENDERS).collect::<Vec<()>>().await;
    }

    async fn send(&self, number: usize) {
        self.allowed.acquire().await.unwrap().forget();
        let (path, body) = request(number);
        let mut runs = self.run.subscribe();
        let mut refused = None;
        loop {
            let run = *runs.wait_for(|run| run.is_some() && *run != refused).await.unwrap();
            match self.ask(Method::POST, path).json(&body).try_send().await {
                Ok(answer) => return self.note(&answer),
                // Nobody has heard it: the next run of the gateway is asked.
                Err(error) if error.is_connect() => refused = run,
                Err(_) => {
                    self.unread.fetch_add(1, Ordering::Relaxed);
                    return;
                }
            }
        }
    }

    fn note(&self, answer: &Answer) {
        assert_eq!(answer.status, 202, "{}", answer.text);
        let answer = answer.json();
        let mut promised = self.promised.lock().unwrap();
        match answer["results"].as_array() {
            Some(results) => promised.extend(results.iter().map(|result| text(&result["id"]))),
            None => _ = promised.insert(text(&answer["id"])),
        }
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until nothing moves any more.
    pub(super) async fn settled(&self, gateway: &Gateway) {
        let settled = async || {
            for status in OPEN {
                let page = self.get(&format!("/sms?limit=1&status={status}")).await;
                if page["messages"].as_array().is_none_or(|messages| !messages.is_empty()) {
                    return None;
                }
            }
            // One may have gone from one status to another between the looks. Each is looked at now, and what has ended stays so.
            let stored = self.stored().await;
            stored.iter().all(|message| !OPEN.contains(&text(&message["status"]).as_str())).then_some(())
        };
        if let Err(problem) = wait_patiently(Duration::from_millis(100), settled, SETTLE).await {
            panic!("some messages have no end: {problem}: {}", gateway.log());
        }
    }

    /// Everything that the gateway has stored, newest first.
    pub(super) async fn stored(&self) -> Vec<Value> {
        let mut stored = Vec::new();
        let mut cursor = String::new();
        loop {
            let mut page = self.get(&format!("/sms?limit=200{cursor}")).await;
            if let Value::Array(messages) = page["messages"].take() {
                stored.extend(messages);
            }
            let Some(next) = page["next_cursor"].as_str() else { return stored };
            cursor = format!("&cursor={next}");
        }
    }

    async fn get(&self, path: &str) -> Value {
        self.ask(Method::GET, path).send().await.json()
    }

    fn ask(&self, method: Method, path: &str) -> Request {
        self.client.request(method, &format!("http://{}{path}", self.address)).key(&self.key)
    }
}

/// Request number `number`: its path and body. Each text is sent by one request alone, and its reference is in it.
///
/// Every other one goes to Britain, where Twilio is the only route and four texts go to one number; the others go to
/// Kenya, each to a number of its own, because a report of Africa's Talking names nothing else of ours. One in forty
/// is a bulk request, which Africa's Talking is sent as one.
fn request(number: usize) -> (&'static str, Value) {
    let reference = number.to_string();
    let message = message(&reference);
    let scenario = SCENARIOS[number / 2 % SCENARIOS.len()];
    if number % 40 == 39 {
        let first = number / 40 * BULK;
        let receivers: Vec<String> =
            (first..first + BULK).map(|n| format!("+254722{:06}", n % 1_000_000)).collect();
        let body = json!({
            "receivers": receivers, "message": message, "scenario": scenario, "reference": reference,
        });
        return ("/sms/bulk", body);
    }
    let receiver = if number.is_multiple_of(2) {
        format!("+447400{:06}", number / 8 % 1_000_000)
    } else {
        format!("+254712{:06}", number % 1_000_000)
    };
    let body =
        json!({"receiver": receiver, "message": message, "scenario": scenario, "reference": reference});
    ("/sms", body)
}

/// The text of the request with this reference.
pub(super) fn message(reference: &str) -> String {
    format!("Habari, ujumbe {reference}")
}
