//! API keys over HTTP: made, shown, rotated, ended, and held to what they may send.

use std::sync::Arc;
use std::time::Duration;

use domain::time::Clock as _;
use reqwest::Method;
use serde_json::{Value, json};
use server::keys::{self, Scope};
use store::port::keys::ApiKey;
use testkit::clock::FakeClock;
use testkit::nats::NatsServer;
use testkit::wait::{LONG, wait_for};

use crate::app::{AMERICAN, KENYAN, TestApp, text};
use crate::http::Answer;
use crate::nats::Peer;

/// A gateway under a clock that stands still, with a key that may everything.
async fn start() -> (Arc<FakeClock>, TestApp, String) {
    let clock = Arc::new(FakeClock::new());
    let app = TestApp::setup().clock(Arc::clone(&clock) as _).start().await;
    let admin = app.key(&[Scope::Admin]).await;
    (clock, app, admin)
}

async fn make(app: &TestApp, admin: &str, body: &Value) -> Answer {
    app.anonymous(Method::POST, "/api-keys").key(admin).json(body).send().await
}

/// Makes a key that may send; gives its secret and its id.
async fn made(app: &TestApp, admin: &str, held_to: &Value) -> (String, String) {
    let mut body = json!({"name": "wallet", "scopes": ["sms:send"]});
    for (field, value) in held_to.as_object().unwrap() {
        body[field] = value.clone();
    }
    let answer = make(app, admin, &body).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    (text(&answer.json()["secret"]), text(&answer.json()["id"]))
}

async fn rotate(app: &TestApp, admin: &str, id: &str, body: Option<Value>) -> Answer {
    let request = app.anonymous(Method::POST, &format!("/api-keys/{id}/rotate")).key(admin);
    match body {
        Some(body) => request.json(&body).send().await,
        None => request.send().await,
    }
}

async fn revoke(app: &TestApp, admin: &str, id: &str) -> Answer {
    app.anonymous(Method::DELETE, &format!("/api-keys/{id}")).key(admin).send().await
}

async fn send(app: &TestApp, key: &str, body: &Value) -> Answer {
    app.anonymous(Method::POST, "/sms").key(key).json(body).send().await
}

async fn list(app: &TestApp, key: &str) -> u16 {
    app.anonymous(Method::GET, "/sms").key(key).send().await.status
}

/// The key as `GET /api-keys` shows it.
async fn shown(app: &TestApp, admin: &str, id: &str) -> Value {
    let answer = app.anonymous(Method::GET, "/api-keys").key(admin).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let list = answer.json()["keys"].as_array().unwrap().clone();
    list.into_iter().find(|key| key["id"] == id).unwrap()
}

#[tokio::test]
async fn a_key_is_made_works_at_once_and_its_secret_is_not_shown_again() {
    let (_clock, app, admin) = start().await;
    let body = json!({
        "name": "Wallet é", "scopes": ["sms:send", "verify"], "scenarios": ["otp"], "countries": ["ke"],
        "senders": ["CHAMA 7"], "expires_at": "2026-12-01T00:00:00Z",
    });
    let answer = make(&app, &admin, &body).await;
    assert_eq!((answer.status, answer.header("cache-control")), (201, Some("no-store")), "{}", answer.text);
    let secret = text(&answer.json()["secret"]);
    assert!(secret.starts_with(keys::PREFIX) && secret.len() == 48);
    assert_eq!(list(&app, &secret).await, 200);
    let id = text(&answer.json()["id"]);
    let expected = json!({
        "id": id, "name": "Wallet é", "scopes": ["sms:send", "verify"], "scenarios": ["otp"], "countries": ["KE"],
        "senders": ["CHAMA 7"], "created_at": "2026-11-23T08:30:00.000Z", "expires_at": "2026-12-01T00:00:00.000Z",
        "last_used_at": null,
    });
    assert_eq!(shown(&app, &admin, &id).await, expected);
}

#[tokio::test]
async fn every_mistake_in_a_new_key_is_named() {
    let (_clock, app, admin) = start().await;
    let body = json!({
        "name": "a\nb", "scopes": ["sms:send", "sms:write"], "scenarios": ["party"],
        "countries": ["KE", "XX", "Kenya"], "senders": ["way too long a name"],
        "expires_at": "2026-11-23T08:30:00Z",
    });
    let expected = [
        ("/name", "invalid_name"),
        ("/scopes/1", "unknown_scope"),
        ("/scenarios/0", "unknown_scenario"),
        ("/countries/1", "unknown_country"),
        ("/countries/2", "unknown_country"),
        ("/senders/0", "invalid_sender"),
        ("/expires_at", "expires_too_soon"),
    ];
    let expected = expected.map(|(pointer, code)| (pointer.to_owned(), code.to_owned()));
    assert_eq!(make(&app, &admin, &body).await.wrong_fields(), expected);
    let empty = make(&app, &admin, &json!({})).await.wrong_fields();
    assert_eq!(empty, ["/name", "/scopes"].map(|pointer| (pointer.to_owned(), "required".to_owned())));
    // What somebody put into the wrong place is not repeated.
    let secret = make(&app, &admin, &json!({"name": "x", "scopes": ["tuma_hunter2"]})).await;
    assert!(!secret.text.contains("hunter2"), "{}", secret.text);
    assert_eq!(app.gateway.store.keys().await.unwrap().len(), 2);
}

#[tokio::test]
async fn only_an_admin_sees_or_changes_keys() {
    let (_clock, app, admin) = start().await;
    let (_secret, id) = made(&app, &admin, &json!({})).await;
    let scopes = [Scope::Send, Scope::Read, Scope::Verify, Scope::Prompts, Scope::Templates];
    let key = app.key(&scopes).await;
    let answers = [
        app.anonymous(Method::GET, "/api-keys").key(&key).send().await,
        make(&app, &key, &json!({"name": "x", "scopes": ["admin"]})).await,
        rotate(&app, &key, &id, None).await,
        revoke(&app, &key, &id).await,
    ];
    for answer in answers {
        assert_eq!((answer.status, answer.problem().as_str()), (403, "missing_scope"));
    }
}

#[tokio::test]
async fn a_key_sends_only_what_it_is_held_to_and_nothing_else_is_stored() {
    let (_clock, app, admin) = start().await;
    let held_to = json!({"scenarios": ["otp"], "countries": ["KE", "UG"], "senders": ["CHAMA"]});
    let (key, _id) = made(&app, &admin, &held_to).await;
    let message = |receiver: &str, scenario: &str, sender: Option<&str>| json!({"receiver": receiver, "message": "Habari", "scenario": scenario, "sender": sender});
    let table = [
        (message(KENYAN, "alert", Some("CHAMA")), vec![("/scenario", "scenario_not_allowed")]),
        (message(AMERICAN, "otp", Some("CHAMA")), vec![("/receiver", "country_not_allowed")]),
        (message(KENYAN, "otp", Some("WALLET")), vec![("/sender", "sender_not_allowed")]),
        // The account's own may be any.
        (message(KENYAN, "otp", None), vec![("/sender", "sender_not_allowed")]),
        // Without a scenario it is a general one.
        (
            json!({"receiver": KENYAN, "message": "Habari", "sender": "CHAMA"}),
            vec![("/scenario", "scenario_not_allowed")],
        ),
        (
            message(AMERICAN, "alert", Some("WALLET")),
            vec![
                ("/receiver", "country_not_allowed"),
                ("/scenario", "scenario_not_allowed"),
                ("/sender", "sender_not_allowed"),
            ],
        ),
    ];
    for (body, expected) in table {
        let expected: Vec<_> =
            expected.into_iter().map(|(at, code)| (at.to_owned(), code.to_owned())).collect();
        assert_eq!(send(&app, &key, &body).await.wrong_fields(), expected, "{body}");
        let explained = app.anonymous(Method::POST, "/sms/explain").key(&key).json(&body).send().await;
        assert_eq!(explained.wrong_fields(), expected, "{body}");
    }
    assert_eq!(app.count().await, 0);
    let allowed = send(&app, &key, &message(KENYAN, "otp", Some("CHAMA"))).await;
    assert_eq!(allowed.status, 202, "{}", allowed.text);
    // Others are not held to it.
    assert_eq!(send(&app, &app.key, &message(AMERICAN, "alert", None)).await.status, 202);
}

#[tokio::test]
async fn receivers_of_a_bulk_request_are_refused_one_by_one() {
    let (_clock, app, admin) = start().await;
    let (key, _id) = made(&app, &admin, &json!({"countries": ["KE"], "scenarios": ["chama_invite"]})).await;
    let bulk = async |receivers: &[&str], scenario: &str| {
        let body = json!({"receivers": receivers, "message": "Karibu", "scenario": scenario});
        app.anonymous(Method::POST, "/sms/bulk").key(&key).json(&body).send().await
    };
    let mixed = bulk(&[KENYAN, AMERICAN, "0722000111"], "chama_invite").await;
    assert_eq!(mixed.status, 202, "{}", mixed.text);
    let result = mixed.json();
    assert_eq!((&result["accepted"], &result["rejected"]), (&json!(2), &json!(1)));
    assert_eq!(result["results"][1]["code"], "country_not_allowed");
    assert_eq!(app.count().await, 2);
    let refused = bulk(&[AMERICAN, "+14155550111"], "chama_invite").await.wrong_fields();
    let expected = ["/receivers/0", "/receivers/1"];
    assert_eq!(refused, expected.map(|at| (at.to_owned(), "country_not_allowed".to_owned())));
    let scenario = bulk(&[KENYAN], "otp").await.wrong_fields();
    assert_eq!(scenario, [("/scenario".to_owned(), "scenario_not_allowed".to_owned())]);
    assert_eq!(app.count().await, 2);
}

#[tokio::test]
async fn nobody_sends_again_what_it_could_not_send() {
    let app = TestApp::start().await;
    let admin = app.key(&[Scope::Admin]).await;
    // This number is one that the simulated network refuses.
    let id = app.send(&json!({"receiver": "+14155021211", "message": "Habari"})).await;
    app.shown_when(&id, "failed").await;
    let (held, _id) =
        made(&app, &admin, &json!({"scopes": ["admin"], "countries": ["KE"], "senders": ["CHAMA"]})).await;
    let retry = |key: &str| app.anonymous(Method::POST, &format!("/sms/{id}/retry")).key(key).send();
    let refused = retry(&held).await.wrong_fields();
    let expected = [("/receiver", "country_not_allowed"), ("/sender", "sender_not_allowed")];
    assert_eq!(refused, expected.map(|(at, code)| (at.to_owned(), code.to_owned())));
    assert_eq!(app.show(&id).await["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(retry(&admin).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_the_broker_is_held_to_what_others_are() {
    let nats = NatsServer::start().await;
    let database = testkit::database::Database::fresh();
    let options =
        store::Options { migrate: true, exclusive: false, keys: Some(testkit::database::data_key()) };
    let store = store::open(database.url(), options).await.unwrap();
    let (secret, kept) = keys::create("broker", &[Scope::Send], None, gateway::SystemClock::new().now());
    let only = keys::only(&[], &["KE".parse().unwrap()], &[]);
    store.create_key(ApiKey { only, ..kept }, crate::app::operator()).await.unwrap();
    store.close().await;
    let key = domain::secret::ExposeSecret::expose_secret(&secret).to_owned();
    let setup = TestApp::setup().set("TUMA_DATABASE_URL", database.url());
    let app = setup.set("TUMA_BROKER__URL", &nats.url()).set("TUMA_BROKER__API_KEY", &key).start().await;
    let peer = Peer::of(&nats).await;
    peer.wait_for_stream("TUMA_SMS").await;
    peer.ask("normal", json!({"receiver": AMERICAN, "message": "Habari"}).to_string(), &[]).await;
    peer.ask("normal", json!({"receiver": KENYAN, "message": "Habari"}).to_string(), &[]).await;
    let mut dead = peer.listen("TUMA_DEAD").await;
    let told = dead.until(|told| !told.is_empty()).await;
    let problem: Value = serde_json::from_str(&told[0].headers["Tuma-Problem"]).unwrap();
    assert_eq!(problem["errors"][0]["code"], "country_not_allowed", "{problem}");
    wait_for(async || (app.sim.ledger().count() == 1).then_some(()), LONG).await.unwrap();
    assert_eq!(app.count().await, 1);
}

#[tokio::test]
async fn after_a_rotation_two_secrets_work_until_the_overlap_is_over() {
    let (clock, app, admin) = start().await;
    let (old, id) = made(&app, &admin, &json!({})).await;
    let sent = text(&send(&app, &old, &json!({"receiver": KENYAN, "message": "Habari"})).await.json()["id"]);
    let rotated = rotate(&app, &admin, &id, None).await;
    assert_eq!(
        (rotated.status, rotated.header("cache-control")),
        (200, Some("no-store")),
        "{}",
        rotated.text
    );
    let new = text(&rotated.json()["secret"]);
    assert_ne!(new, old);
    assert_eq!(rotated.json()["former_secret_ends_at"], "2026-11-30T08:30:00.000Z");
    assert_eq!([list(&app, &old).await, list(&app, &new).await], [200, 200]);
    // Both are one caller.
    let mine = app.anonymous(Method::GET, &format!("/sms/{sent}")).key(&new).send().await;
    assert_eq!(mine.status, 200);
    clock.advance(Duration::from_secs(7 * 86_400 - 1));
    assert_eq!([list(&app, &old).await, list(&app, &new).await], [200, 200]);
    clock.advance(Duration::from_secs(1));
    assert_eq!([list(&app, &old).await, list(&app, &new).await], [401, 200]);
    assert_eq!(shown(&app, &admin, &id).await.get("former_secret_ends_at"), None);
}

#[tokio::test]
async fn a_rotation_without_overlap_ends_the_old_secret_at_once() {
    let (_clock, app, admin) = start().await;
    let (old, id) = made(&app, &admin, &json!({})).await;
    assert_eq!(list(&app, &old).await, 200);
    let new = text(&rotate(&app, &admin, &id, Some(json!({"overlap_s": 0}))).await.json()["secret"]);
    assert_eq!([list(&app, &old).await, list(&app, &new).await], [401, 200]);
}

#[tokio::test]
async fn what_can_not_be_rotated_is_refused() {
    let (clock, app, admin) = start().await;
    let (secret, id) = made(&app, &admin, &json!({"expires_at": "2026-11-24T00:00:00Z"})).await;
    for (body, code) in
        [(json!({"overlap_s": 7_776_001}), "wrong_type"), (json!({"overlap": 1}), "unknown_field")]
    {
        assert_eq!(rotate(&app, &admin, &id, Some(body)).await.wrong_fields()[0].1, code);
    }
    for unknown in ["key_01a208af715074abb7716fc49cb931c7", "wallet"] {
        assert_eq!(rotate(&app, &admin, unknown, None).await.problem(), "not_found");
        assert_eq!(revoke(&app, &admin, unknown).await.problem(), "not_found");
    }
    clock.advance(Duration::from_hours(24));
    let ended = rotate(&app, &admin, &id, None).await;
    assert_eq!((ended.status, ended.problem().as_str()), (409, "key_ended"));
    let (_secret, other) = made(&app, &admin, &json!({})).await;
    assert_eq!(revoke(&app, &admin, &other).await.status, 200);
    assert_eq!(rotate(&app, &admin, &other, None).await.problem(), "key_ended");
    assert_eq!(list(&app, &secret).await, 401);
}

#[tokio::test]
async fn a_revoked_key_is_not_honored_once_more_on_its_node() {
    let (_clock, app, admin) = start().await;
    let (secret, id) = made(&app, &admin, &json!({})).await;
    // It is known by now, and the clock stands still.
    assert_eq!(list(&app, &secret).await, 200);
    let revoked = revoke(&app, &admin, &id).await;
    assert_eq!((revoked.status, &revoked.json()["revoked_at"]), (200, &json!("2026-11-23T08:30:00.000Z")));
    assert_eq!(list(&app, &secret).await, 401);
    // It stays so, and saying it again changes nothing.
    assert_eq!(revoke(&app, &admin, &id).await.status, 200);
}

#[tokio::test]
async fn last_use_is_written_once_a_minute_and_shown() {
    let (clock, app, admin) = start().await;
    let (secret, id) = made(&app, &admin, &json!({})).await;
    assert_eq!(list(&app, &secret).await, 200);
    clock.advance(Duration::from_secs(30));
    assert_eq!(list(&app, &secret).await, 200);
    assert_eq!(shown(&app, &admin, &id).await["last_used_at"], Value::Null);
    clock.advance(Duration::from_secs(30));
    let written = async || {
        let used = shown(&app, &admin, &id).await["last_used_at"].as_str().map(str::to_owned);
        used.filter(|used| used == "2026-11-23T08:30:30.000Z")
    };
    wait_for(written, LONG).await.unwrap();
}

#[tokio::test]
async fn last_use_is_written_when_the_gateway_stops() {
    let (_clock, app, admin) = start().await;
    let (secret, id) = made(&app, &admin, &json!({})).await;
    assert_eq!(list(&app, &secret).await, 200);
    let app = app.restart().await;
    assert_eq!(shown(&app, &admin, &id).await["last_used_at"], "2026-11-23T08:30:00.000Z");
}
