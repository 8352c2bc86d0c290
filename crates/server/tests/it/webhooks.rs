//! Events posted to endpoints: over HTTP, to a server of our own, checked by the official library in Python.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use domain::event::{EventData, EventKind, NewEvent};
use domain::ids::KeyId;
use domain::time::Clock as _;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use server::keys::Scope;
use testkit::clock::FakeClock;
use testkit::endpoint::{Endpoint, Received};
use testkit::wait::{LONG, wait_for, wait_until};

use crate::app::{AMERICAN, Setup, TestApp, refusing_address, text};
use crate::http::Answer;
use crate::issuer::{AUDIENCE, ISSUER, SECRET, Signer, claims};

/// Checks each line of its input, and says how many events the signatures of which secret fit. The library compares with the
/// present, so that the present is made what the header says.
const CHECK: &str = r#"
import json, sys, standardwebhooks.webhooks as library
from datetime import datetime
class Present(datetime):
    shown = 0
    @classmethod
    def now(cls, tz=None):
        return datetime.fromtimestamp(cls.shown, tz)
library.datetime = Present
for line in sys.stdin:
    post = json.loads(line)
    Present.shown = int(post["headers"]["webhook-timestamp"])
    try:
        told = library.Webhook(post["secret"]).verify(post["body"], post["headers"])
        print(json.dumps({"fits": told["id"] == post["headers"]["webhook-id"]}))
    except library.WebhookVerificationError:
        print(json.dumps({"fits": False}))
"#;

/// The interpreter with the library: beside Moto, for `cargo xtask test` installs both in one place.
fn python() -> PathBuf {
    let Some(moto) = std::env::var_os("TUMA_TEST_MOTO") else {
        panic!("there is no library to check signatures: run `cargo xtask test`, or set TUMA_TEST_MOTO")
    };
    PathBuf::from(moto).with_file_name("python")
}

/// Whether each post is signed by the secret, as the official library sees it.
fn fits(secret: &str, posts: &[Received]) -> Vec<bool> {
    let mut checker = Command::new(python())
        .args(["-c", CHECK])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = checker.stdin.take().unwrap();
    for post in posts {
        let headers: BTreeMap<_, _> =
            post.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        let body = std::str::from_utf8(&post.body).unwrap();
        let line = json!({"secret": secret, "headers": headers, "body": body});
        std::io::Write::write_all(&mut input, format!("{line}\n").as_bytes()).unwrap();
    }
    drop(input);
    let output = checker.wait_with_output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["fits"] == true).collect()
}

/// A gateway that posts to this machine.
fn setup() -> Setup {
    TestApp::setup()
        .set("TUMA_WEBHOOKS__ALLOW_PRIVATE", "true")
        .set("TUMA_WEBHOOKS__ALLOW_HTTP", "true")
        .set("TUMA_WEBHOOKS__TIMEOUT_MS", "500")
}

/// Somebody with a key.
struct Caller<'app> {
    app: &'app TestApp,
    secret: String,
    id: KeyId,
}

impl<'app> Caller<'app> {
    async fn new(app: &'app TestApp, scopes: &[Scope]) -> Self {
        let before: BTreeSet<_> = app.gateway.store.keys().await.unwrap().iter().map(|key| key.id).collect();
        let secret = app.key(scopes).await;
        let keys = app.gateway.store.keys().await.unwrap();
        let id = keys.iter().find(|key| !before.contains(&key.id)).unwrap().id;
        Self { app, secret, id }
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Answer {
        self.app.anonymous(method, path).key(&self.secret).json(body).send().await
    }

    async fn get(&self, path: &str) -> Value {
        self.app.anonymous(Method::GET, path).key(&self.secret).send().await.json()
    }

    /// Makes an endpoint; answers its address in the API, and its secret.
    async fn endpoint(&self, body: &Value) -> (String, String) {
        let answer = self.ask(Method::POST, "/webhook-endpoints", body).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        let made = answer.json();
        (format!("/webhook-endpoints/{}", text(&made["id"])), text(&made["secret"]))
    }

    /// Raises an event of the caller's.
    async fn raise(&self, subject: u8, kind: EventKind) {
        let data = EventData::from_json(r#"{"reply":"NDIO 👍"}"#);
        let at = self.app.gateway.service.now();
        let event = NewEvent { kind, subject: [subject; 16], caller: Some(self.id), at, data };
        self.app.gateway.store.raise_events(vec![event]).await.unwrap();
    }
}

fn told(post: &Received) -> Value {
    serde_json::from_slice(&post.body).unwrap()
}

fn kinds(posts: &[Received]) -> Vec<String> {
    posts.iter().map(|post| text(&told(post)["type"])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoint_that_fails_in_every_way_gets_every_event_in_order_with_a_valid_signature() {
    let clock = Arc::new(FakeClock::new());
    let app = setup().clock(Arc::clone(&clock) as _).start().await;
    let caller = Caller::new(&app, &[Scope::Webhooks]).await;
    let (kept, address) = refusing_address();
    let (path, secret) = caller.endpoint(&json!({"url": format!("http://{address}/hooks")})).await;
    for subject in 1..=10 {
        for kind in [EventKind::PromptReplied, EventKind::PromptReplied, EventKind::PromptClosed] {
            caller.raise(subject, kind).await;
        }
    }
    // Half a minute goes by at each look, until a post has ended so.
    let goes_by_until = async |error: &str| {
        let has_ended_so = async || {
            clock.advance(Duration::from_secs(30));
            let page = caller.get(&format!("{path}/deliveries")).await;
            page.to_string().contains(&format!("\"error\":\"{error}\"")).then_some(page)
        };
        wait_for(has_ended_so, LONG).await.unwrap_or_else(|problem| panic!("{problem}: no {error}"))
    };
    goes_by_until("unreachable").await;
    clock.advance(Duration::from_hours(1));
    let page = goes_by_until("unreachable").await;
    assert_eq!(page["deliveries"][0]["status"], "pending");
    drop(kept);
    let receiver = Endpoint::start_at(address).await.unwrap();
    receiver.answer(StatusCode::INTERNAL_SERVER_ERROR);
    goes_by_until("status").await;
    receiver.answer(StatusCode::OK);
    receiver.hang_up(true);
    goes_by_until("broken_off").await;
    receiver.hang_up(false);
    receiver.delay(Duration::from_millis(900));
    goes_by_until("timeout").await;
    receiver.delay(Duration::ZERO);
    let all_are_delivered = async || {
        clock.advance(Duration::from_secs(30));
        let page = caller.get(&format!("{path}/deliveries")).await;
        let page = page["deliveries"].as_array().unwrap();
        (page.len() == 30 && page.iter().all(|it| it["status"] == "delivered")).then_some(())
    };
    wait_for(all_are_delivered, LONG).await.unwrap();
    let posts = receiver.received();
    let mut by_subject: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for post in &posts {
        let id = post.header("webhook-id").unwrap();
        let (subject, number) = id.split_once("_e").unwrap();
        by_subject.entry(subject.into()).or_default().push(number.parse().unwrap());
    }
    assert_eq!(by_subject.len(), 10);
    for numbers in by_subject.values() {
        assert!(numbers.is_sorted(), "{numbers:?}");
        assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), 3, "{numbers:?}");
    }
    assert!(posts.len() > 30, "some were posted again");
    let deliveries = caller.get(&format!("{path}/deliveries")).await;
    let page = deliveries["deliveries"].as_array().unwrap();
    let tried = page.iter().flat_map(|it| it["posts"].as_array().unwrap());
    let errors: BTreeSet<_> = tried.filter_map(|post| post["error"].as_str()).collect();
    assert_eq!(errors, BTreeSet::from(["broken_off", "status", "timeout", "unreachable"]));
    assert!(fits(&secret, &posts).iter().all(|fits| *fits));
    let other = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    assert!(fits(other, &posts[..1]).iter().all(|fits| !fits), "the check can fail");
    let told = told(&posts[0]);
    assert_eq!(told["data"], json!({"reply": "NDIO 👍"}));
    let figures = app.metrics().await;
    for figure in ["sms_webhook_lag_seconds", "sms_webhook_waiting", "sms_webhook_post_count_total"] {
        assert!(figures.contains(figure), "{figure}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_hear_of_their_own_messages_and_only_admins_of_those_of_others() {
    let app = setup().start().await;
    let [own, others, all] =
        [Endpoint::start().await, Endpoint::start().await, Endpoint::start().await].map(Result::unwrap);
    let caller = Caller::new(&app, &[Scope::Webhooks, Scope::Send]).await;
    let stranger = Caller::new(&app, &[Scope::Webhooks]).await;
    let admin = Caller::new(&app, &[Scope::Admin]).await;
    let events = json!(["message.sent", "message.delivered"]);
    let (path, _) = caller.endpoint(&json!({"url": own.url("/"), "events": events})).await;
    stranger.endpoint(&json!({"url": others.url("/")})).await;
    admin.endpoint(&json!({"url": all.url("/"), "callers": "all"})).await;
    let refused = stranger
        .ask(Method::POST, "/webhook-endpoints", &json!({"url": own.url("/"), "callers": "all"}))
        .await;
    assert_eq!((refused.status, &refused.json()["code"]), (403, &json!("missing_scope")));
    // What somebody else has is not there.
    for (method, suffix) in [
        (Method::GET, ""),
        (Method::DELETE, ""),
        (Method::PATCH, ""),
        (Method::POST, "/test"),
        (Method::GET, "/deliveries"),
    ] {
        assert_eq!(stranger.ask(method, &format!("{path}{suffix}"), &json!({})).await.status, 404);
    }
    assert_eq!(stranger.get("/webhook-endpoints").await["webhook_endpoints"].as_array().unwrap().len(), 1);
    assert_eq!(admin.get("/webhook-endpoints").await["webhook_endpoints"].as_array().unwrap().len(), 3);
    let body =
        json!({"receiver": AMERICAN, "message": "Siri 482913", "reference": "r-1", "metadata": {"a": "b"}});
    let sent = caller.ask(Method::POST, "/sms", &body).await.json();
    for receipt in app.public.wait_for(2).await.unwrap() {
        assert_eq!(app.pass_on(&receipt).await.status, 200);
    }
    let posts = own.wait_for(2).await.unwrap();
    assert_eq!(kinds(&posts), ["message.sent", "message.delivered"]);
    let delivered = told(&posts[1]);
    let data = &delivered["data"];
    assert_eq!((&data["message_id"], &data["status"]), (&sent["id"], &json!("delivered")));
    assert_eq!((&data["reference"], &data["metadata"]["a"]), (&json!("r-1"), &json!("b")));
    assert!(!delivered.to_string().contains("482913") && !delivered.to_string().contains("4155550100"));
    assert_eq!(
        kinds(&all.wait_for(3).await.unwrap()),
        ["message.queued", "message.sent", "message.delivered"]
    );
    stranger.raise(1, EventKind::ConsentChanged).await;
    assert_eq!(kinds(&others.wait_for(1).await.unwrap()), ["consent.changed"]);
    assert_eq!(own.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_endpoints_are_refused_by_field() {
    let app = TestApp::start().await;
    let caller = Caller::new(&app, &[Scope::Webhooks]).await;
    let table = [
        (json!({}), "/url", "required"),
        (json!({"url": "http://example.com"}), "/url", "invalid_url"),
        (json!({"url": "https://127.0.0.1/"}), "/url", "invalid_url"),
        (json!({"url": "https://[::ffff:10.0.0.1]/"}), "/url", "invalid_url"),
        (json!({"url": "https://169.254.169.254/"}), "/url", "invalid_url"),
        (json!({"url": "https://localhost/"}), "/url", "invalid_url"),
        (
            json!({"url": "https://example.com", "events": ["message.sent", "message.read"]}),
            "/events/1",
            "unknown_event",
        ),
        (json!({"url": "https://example.com", "callers": "others"}), "/callers", "wrong_type"),
        (json!({"url": "https://example.com", "description": "a\u{0}b"}), "/description", "too_long"),
    ];
    for (body, pointer, code) in table {
        let answer = caller.ask(Method::POST, "/webhook-endpoints", &body).await;
        assert_eq!(answer.status, 422, "{body}");
        let errors = &answer.json()["errors"];
        assert_eq!((&errors[0]["pointer"], &errors[0]["code"]), (&json!(pointer), &json!(code)), "{body}");
    }
    let nobody = app.post("/webhook-endpoints", &json!({"url": "https://example.com"})).await;
    assert_eq!((nobody.status, &nobody.json()["code"]), (403, &json!("missing_scope")));
    for _ in 0..20 {
        caller.endpoint(&json!({"url": "https://example.com"})).await;
    }
    let one_more =
        caller.ask(Method::POST, "/webhook-endpoints", &json!({"url": "https://example.com"})).await;
    assert_eq!((one_more.status, &one_more.json()["code"]), (409, &json!("too_many_endpoints")));
}

#[tokio::test(flavor = "multi_thread")]
async fn both_secrets_sign_while_a_rotation_lasts() {
    let app = setup().start().await;
    let (caller, receiver) = (Caller::new(&app, &[Scope::Webhooks]).await, Endpoint::start().await.unwrap());
    let (path, old) = caller.endpoint(&json!({"url": receiver.url("/"), "events": ["prompt.closed"]})).await;
    let rotated =
        caller.ask(Method::POST, &format!("{path}/rotate-secret"), &json!({"overlap_s": 3_600})).await;
    assert_eq!((rotated.status, rotated.header("cache-control")), (200, Some("no-store")));
    let new = text(&rotated.json()["secret"]);
    assert_eq!(caller.ask(Method::POST, &format!("{path}/test"), &json!({})).await.status, 202);
    let posts = receiver.wait_for(1).await.unwrap();
    assert_eq!(kinds(&posts), ["endpoint.test"], "whatever it asked for");
    assert_eq!((fits(&old, &posts), fits(&new, &posts)), (vec![true], vec![true]));
    let at_once = caller.ask(Method::POST, &format!("{path}/rotate-secret"), &json!({"overlap_s": 0})).await;
    let newest = text(&at_once.json()["secret"]);
    caller.raise(1, EventKind::PromptClosed).await;
    let posts = receiver.wait_for(2).await.unwrap();
    assert_eq!((fits(&new, &posts[1..]), fits(&newest, &posts[1..])), (vec![false], vec![true]));
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoint_that_is_gone_is_disabled_and_what_it_missed_can_be_replayed() {
    let app = setup().start().await;
    let (caller, receiver) = (Caller::new(&app, &[Scope::Webhooks]).await, Endpoint::start().await.unwrap());
    let (path, _) = caller.endpoint(&json!({"url": receiver.url("/")})).await;
    caller.raise(1, EventKind::PromptReplied).await;
    let first = receiver.wait_for(1).await.unwrap();
    let delivered = async || {
        let page = caller.get(&format!("{path}/deliveries")).await;
        (page["deliveries"][0]["status"] == "delivered").then_some(())
    };
    wait_for(delivered, LONG).await.unwrap();
    let since = text(&told(&first[0])["timestamp"]);
    receiver.answer(StatusCode::GONE);
    caller.raise(2, EventKind::PromptReplied).await;
    let disabled = async || {
        let shown = caller.get(&path).await;
        (shown["status"] == "disabled").then_some(shown)
    };
    let shown = wait_for(disabled, LONG).await.unwrap();
    assert_eq!(shown["disabled_reason"], "gone");
    let refused = caller.ask(Method::POST, &format!("{path}/replay"), &json!({"since": since})).await;
    assert_eq!((refused.status, &refused.json()["code"]), (409, &json!("endpoint_disabled")));
    // Told while nothing is posted: it is kept, and comes when it is asked for.
    caller.raise(3, EventKind::PromptClosed).await;
    let is_handed_out = async || {
        let now = app.gateway.service.now();
        (!app.gateway.store.what_is_due(now).await.unwrap().to_hand_out).then_some(())
    };
    wait_for(is_handed_out, LONG).await.unwrap();
    receiver.answer(StatusCode::OK);
    receiver.clear();
    assert_eq!(caller.ask(Method::PATCH, &path, &json!({"enabled": true})).await.json()["status"], "enabled");
    let replayed = caller.ask(Method::POST, &format!("{path}/replay"), &json!({"since": since})).await;
    assert_eq!(replayed.status, 202, "{}", replayed.text);
    assert_eq!(
        replayed.json(),
        json!({"events": 3, "complete": true}),
        "the first, the third, and that it was disabled"
    );
    wait_until(|| receiver.count() >= 3, LONG).await.unwrap();
    // In portions, each from where the one before stopped.
    let (mut rest, mut seen) = (json!({"since": since, "limit": 1}), 0);
    loop {
        let answer = caller.ask(Method::POST, &format!("{path}/replay"), &rest).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        let part = answer.json();
        assert_eq!(part["complete"], json!(part["next_cursor"].is_null()));
        seen += 1;
        match part["next_cursor"].as_str() {
            Some(cursor) => rest = json!({"cursor": cursor, "limit": 1}),
            None => break,
        }
    }
    assert_eq!(seen, 5, "four events, one of them given up, and nothing behind them");
    for (body, pointer) in [
        (json!({"cursor": "1_2"}), "/cursor"),
        (json!({"cursor": "1_2_3", "since": since}), "/cursor"),
        (json!({"since": since, "limit": 0}), "/limit"),
    ] {
        let wrong = caller.ask(Method::POST, &format!("{path}/replay"), &body).await;
        assert_eq!((wrong.status, &wrong.json()["errors"][0]["pointer"]), (422, &json!(pointer)));
    }
    let id = text(&told(&first[0])["id"]);
    let was_replayed = receiver.received().iter().any(|post| post.header("webhook-id") == Some(id.as_str()));
    assert!(was_replayed);
    let unknown = id.replace("_e", "_e9");
    let missing = caller.ask(Method::POST, &format!("{path}/replay"), &json!({"event_id": unknown})).await;
    assert_eq!(missing.status, 404);
    let wrong = caller.ask(Method::POST, &format!("{path}/replay"), &json!({"event_id": "evt_1"})).await;
    assert_eq!((wrong.status, &wrong.json()["errors"][0]["pointer"]), (422, &json!("/event_id")));
    assert_eq!(caller.ask(Method::DELETE, &path, &json!({})).await.status, 200);
    assert_eq!(caller.ask(Method::GET, &path, &json!({})).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoint_that_fails_for_three_days_is_disabled_with_a_word_to_others() {
    let clock = Arc::new(FakeClock::new());
    let app = setup().clock(Arc::clone(&clock) as _).start().await;
    let (caller, other) = (Caller::new(&app, &[Scope::Webhooks]).await, Endpoint::start().await.unwrap());
    let (_kept, address) = refusing_address();
    let (path, _) =
        caller.endpoint(&json!({"url": format!("http://{address}/"), "events": ["prompt.*"]})).await;
    caller.endpoint(&json!({"url": other.url("/"), "events": ["endpoint.disabled"]})).await;
    caller.raise(1, EventKind::PromptClosed).await;
    let began = clock.now();
    let disabled = async || {
        clock.advance(Duration::from_mins(20));
        let shown = caller.get(&path).await;
        (shown["status"] == "disabled").then_some(shown)
    };
    let shown = wait_for(disabled, LONG).await.unwrap();
    assert_eq!(shown["disabled_reason"], "failed_too_long");
    assert!(clock.now().since(began) >= Duration::from_hours(72), "not before");
    let told_of_it = async || {
        clock.advance(Duration::from_secs(1));
        (other.count() > 0).then_some(())
    };
    wait_for(told_of_it, LONG).await.unwrap();
    let told = told(&other.received()[0]);
    let endpoint = path.rsplit('/').next().unwrap();
    assert_eq!(told["data"], json!({"endpoint_id": endpoint, "reason": "failed_too_long"}));
    assert!(app.metrics().await.contains("sms_webhook_disabled_count_total"));
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoint_that_hears_all_is_its_owners_only_while_that_is_an_admin() {
    let app = setup()
        .set("TUMA_JWT__ISSUER", ISSUER)
        .set("TUMA_JWT__AUDIENCE", AUDIENCE)
        .set("TUMA_JWT__SCOPES", r#"{boss = ["admin"], shop = ["webhooks"]}"#)
        .set("TUMA_JWT_SECRET", SECRET)
        .start()
        .await;
    let now = app.gateway.service.now();
    let token = |role: &str| Signer::secret().sign("k", &claims("user-7", &[role], now));
    let ask = async |role: &str, method, path: &str, body: Value| {
        app.anonymous(method, path).key(&token(role)).json(&body).send().await
    };
    let all = json!({"url": "https://example.com/", "callers": "all"});
    let made = ask("boss", Method::POST, "/webhook-endpoints", all).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let path = format!("/webhook-endpoints/{}", text(&made.json()["id"]));
    // The same person, whose role was taken away.
    for (method, suffix, body) in [
        (Method::PATCH, "", json!({"url": "https://example.org/"})),
        (Method::POST, "/rotate-secret", json!({})),
        (Method::POST, "/test", json!({})),
        (Method::POST, "/replay", json!({"since": "2026-01-01T00:00:00Z"})),
        (Method::GET, "/deliveries", json!({})),
    ] {
        let refused = ask("shop", method, &format!("{path}{suffix}"), body).await;
        assert_eq!((refused.status, &refused.json()["code"]), (403, &json!("missing_scope")), "{suffix}");
    }
    assert_eq!(ask("boss", Method::POST, &format!("{path}/rotate-secret"), json!({})).await.status, 200);
    assert_eq!(ask("shop", Method::GET, &path, json!({})).await.status, 200);
    assert_eq!(ask("shop", Method::DELETE, &path, json!({})).await.status, 200);
}
