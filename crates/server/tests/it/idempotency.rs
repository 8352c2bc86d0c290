//! `Idempotency-Key`: a request that is repeated is sent once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use domain::time::Clock as _;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use server::keys::Scope;
use testkit::clock::FakeClock;

use crate::app::{AMERICAN, KENYAN, TestApp, text};
use crate::http::Answer;

fn message() -> Value {
    json!({"receiver": KENYAN, "message": "Habari", "reference": "deposit-4711"})
}

async fn send(app: &TestApp, idempotency_key: &str, body: &Value) -> Answer {
    app.request(Method::POST, "/sms").header("idempotency-key", idempotency_key).json(body).send().await
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_answer_and_is_sent_once() {
    let app = TestApp::start().await;
    let first = send(&app, "deposit-4711", &message()).await;
    app.shown_when(&text(&first.json()["id"]), "sent").await;
    let again = send(&app, "deposit-4711", &message()).await;
    assert_eq!((again.status, again.json()), (202, first.json()));
    assert_eq!((app.count().await, app.sim.ledger().count()), (1, 1));
}

#[tokio::test]
async fn requests_without_a_key_are_messages_of_their_own() {
    let app = TestApp::start().await;
    assert_ne!(app.send(&message()).await, app.send(&message()).await);
}

#[tokio::test]
async fn fifty_at_once_with_one_key_are_one_message() {
    let app = TestApp::start().await;
    let body = message();
    let answers = join_all((0..50).map(|_| send(&app, "once", &body))).await;
    let ids: BTreeSet<_> = answers.iter().map(|answer| text(&answer.json()["id"])).collect();
    assert!(answers.iter().all(|answer| answer.status == 202));
    assert_eq!(ids.len(), 1);
    let [id] = Vec::from_iter(ids).try_into().unwrap();
    app.shown_when(&id, "sent").await;
    assert_eq!((app.count().await, app.sim.ledger().count()), (1, 1));
}

#[tokio::test]
async fn a_known_key_with_another_request_is_refused() {
    let app = TestApp::start().await;
    send(&app, "k", &message()).await;
    let others = [
        json!({"receiver": AMERICAN, "message": "Habari", "reference": "deposit-4711"}),
        json!({"receiver": KENYAN, "message": "Kwaheri", "reference": "deposit-4711"}),
        json!({"receiver": KENYAN, "message": "Habari", "reference": "deposit-4712"}),
        json!({"receiver": KENYAN, "message": "Habari"}),
    ];
    for other in others {
        let answer = send(&app, "k", &other).await;
        assert_eq!((answer.status, answer.problem().as_str()), (422, "idempotency_key_reused"), "{other}");
    }
    assert_eq!(app.count().await, 1);
}

#[tokio::test]
async fn the_same_key_is_another_key_on_the_other_route() {
    let app = TestApp::start().await;
    send(&app, "k", &message()).await;
    let bulk = json!({"receivers": [KENYAN], "message": "Habari", "reference": "deposit-4711"});
    let answer =
        app.request(Method::POST, "/sms/bulk").header("idempotency-key", "k").json(&bulk).send().await;
    assert_eq!((answer.status, answer.problem().as_str()), (422, "idempotency_key_reused"));
}

#[tokio::test]
async fn the_same_key_of_another_caller_is_another_key() {
    let app = TestApp::start().await;
    let first = send(&app, "k", &message()).await.json();
    let other = app.key(&[Scope::Send]).await;
    let request = app.anonymous(Method::POST, "/sms").key(&other).header("idempotency-key", "k");
    let second = request.json(&message()).send().await;
    assert_eq!(second.status, 202);
    assert_ne!(second.json()["id"], first["id"]);
}

#[tokio::test]
async fn a_repeated_bulk_request_gets_the_same_verdicts() {
    let app = TestApp::start().await;
    let body = json!({"receivers": [KENYAN, "12345", AMERICAN], "message": "Habari"});
    let send = || app.request(Method::POST, "/sms/bulk").header("idempotency-key", "b").json(&body).send();
    let first = send().await;
    assert_eq!((first.status, send().await.json()), (202, first.json()));
    assert_eq!(app.count().await, 2);
}

#[tokio::test]
async fn a_refused_request_is_not_remembered() {
    let app = TestApp::start().await;
    let wrong = json!({"receiver": "12345", "message": "Habari"});
    assert_eq!(send(&app, "k", &wrong).await.status, 422);
    assert_eq!(send(&app, "k", &message()).await.status, 202);
}

#[tokio::test]
async fn a_key_is_remembered_over_a_restart() {
    let app = TestApp::start().await;
    let first = send(&app, "k", &message()).await.json();
    let app = app.restart().await;
    assert_eq!(send(&app, "k", &message()).await.json(), first);
}

#[tokio::test]
async fn a_key_is_forgotten_after_the_hours_that_are_set() {
    let clock = Arc::new(FakeClock::new());
    let app = TestApp::setup()
        .clock(Arc::clone(&clock) as _)
        .set("TUMA_HTTP__IDEMPOTENCY_HOURS", "25")
        .start()
        .await;
    let first = send(&app, "k", &message()).await.json();
    clock.advance(Duration::from_hours(25) - Duration::from_secs(1));
    assert_eq!(send(&app, "k", &message()).await.json()["id"], first["id"]);
    clock.advance(Duration::from_secs(2));
    assert_ne!(send(&app, "k", &message()).await.json()["id"], first["id"]);
}

#[tokio::test]
async fn a_repeat_gets_the_first_answer_also_when_its_time_has_passed() {
    let clock = Arc::new(FakeClock::new());
    let app = TestApp::setup().clock(Arc::clone(&clock) as _).start().await;
    let expires_at = clock.now().plus(Duration::from_mins(1)).to_string();
    let mut one = message();
    one["expires_at"] = json!(expires_at);
    let many = json!({"receivers": [KENYAN, "no number"], "message": "Habari", "expires_at": expires_at});
    let bulk = || app.request(Method::POST, "/sms/bulk").header("idempotency-key", "b").json(&many).send();
    let (first, first_bulk) = (send(&app, "k", &one).await, bulk().await);
    clock.advance(Duration::from_mins(2));
    let (repeat, repeated_bulk) = (send(&app, "k", &one).await, bulk().await);
    assert_eq!((repeat.status, repeat.json()), (202, first.json()));
    assert_eq!((repeated_bulk.status, repeated_bulk.json()), (202, first_bulk.json()));
    let new = send(&app, "another", &one).await;
    assert_eq!((new.status, new.problem().as_str()), (422, "validation_failed"));
}

#[tokio::test]
async fn a_repeat_that_waits_is_answered_with_where_the_first_message_stands() {
    let app = TestApp::start().await;
    let first = send(&app, "k", &message()).await.json();
    let repeat = app.request(Method::POST, "/sms").header("idempotency-key", "k").header("prefer", "wait=20");
    let answer = repeat.json(&message()).send().await;
    assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("sent")));
    assert_eq!(answer.json()["id"], first["id"]);
    assert_eq!(app.sim.ledger().count(), 1);
}

#[tokio::test]
async fn a_key_must_be_short_and_printable() {
    let app = TestApp::start().await;
    for wrong in ["", &"k".repeat(256), "caf\u{e9}"] {
        let answer = send(&app, wrong, &message()).await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid_header"), "{wrong}");
    }
    assert_eq!(send(&app, &"k".repeat(255), &message()).await.status, 202);
}
