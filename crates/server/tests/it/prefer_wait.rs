//! `Prefer: wait=N`: the answer comes when a provider has accepted or refused the message.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::clock::FakeClock;
use testkit::sim::{Fault, FaultRule};
use testkit::wait::{LONG, wait_until};

use crate::app::{AMERICAN, KENYAN, TestApp};
use crate::http::Request;

fn waiting(app: &TestApp, receiver: &str, preference: &str) -> Request {
    let body = json!({"receiver": receiver, "message": "Habari"});
    app.request(Method::POST, "/sms").header("prefer", preference).json(&body)
}

#[tokio::test]
async fn answers_200_with_the_same_object_when_the_provider_has_accepted() {
    let app = TestApp::start().await;
    for receiver in [KENYAN, AMERICAN] {
        let answer = waiting(&app, receiver, "wait=20").send().await;
        assert_eq!((answer.status, answer.header("preference-applied")), (200, Some("wait=20")));
        let body = answer.json();
        let fields: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
        let expected =
            ["created_at", "encoding", "id", "priority", "receiver", "scenario", "segments", "status"];
        assert_eq!(fields, expected);
        assert_eq!(body["status"], "sent");
    }
}

#[tokio::test]
async fn answers_200_with_the_reason_when_the_provider_has_refused() {
    let app = TestApp::start().await;
    let answer = waiting(&app, "+14155021211", "wait=20").send().await;
    let body = answer.json();
    assert_eq!((answer.status, &body["status"]), (200, &json!("failed")));
    assert_eq!(body["reason"], "invalid_recipient");
}

#[tokio::test]
async fn answers_202_when_the_time_is_over_and_the_message_goes_its_way() {
    let clock = Arc::new(FakeClock::new());
    let app = TestApp::setup().clock(Arc::clone(&clock) as _).start().await;
    app.sim.inject(FaultRule::next(1, Fault::Slow { ms: 2_000 })).unwrap();
    let asked = waiting(&app, KENYAN, "wait=5").send();
    // The provider has the request, and the clock moves before it answers.
    let time_passes = async {
        wait_until(|| app.sim.stats().africastalking.submissions == 1, LONG).await.unwrap();
        clock.advance(Duration::from_secs(5));
    };
    let (answer, ()) = join(asked, time_passes).await;
    let body = answer.json();
    assert_eq!((answer.status, &body["status"]), (202, &json!("sending")));
    app.shown_when(body["id"].as_str().unwrap(), "sent").await;
}

#[tokio::test]
async fn an_attempt_that_nobody_knows_the_end_of_is_waited_for_to_the_end() {
    let clock = Arc::new(FakeClock::new());
    let app = TestApp::setup().clock(Arc::clone(&clock) as _).start().await;
    app.sim.inject(FaultRule::next(1, Fault::ResetBeforeAccept)).unwrap();
    let asked = waiting(&app, AMERICAN, "wait=5").send();
    let in_doubt = async {
        let outcome = async || {
            let list = app.get("/sms").await.json();
            let id = list["messages"][0]["id"].as_str()?.to_owned();
            (app.show(&id).await["attempts"][0]["outcome"] == "ambiguous").then_some(())
        };
        testkit::wait::wait_for(outcome, LONG).await.unwrap();
        clock.advance(Duration::from_secs(5));
    };
    let (answer, ()) = join(asked, in_doubt).await;
    assert_eq!((answer.status, &answer.json()["status"]), (202, &json!("sending")));
}

#[tokio::test]
async fn two_that_wait_for_one_message_are_both_answered() {
    let app = TestApp::start().await;
    app.sim.inject(FaultRule::next(1, Fault::Slow { ms: 300 })).unwrap();
    let ask = || waiting(&app, KENYAN, "wait=20").header("idempotency-key", "k").send();
    let (one, other) = join(ask(), ask()).await;
    assert_eq!((one.status, other.status), (200, 200));
    assert_eq!(one.json()["id"], other.json()["id"]);
    assert_eq!(app.sim.ledger().count(), 1);
}

#[tokio::test]
async fn a_scheduled_message_is_answered_202_at_the_end_of_the_wait() {
    let clock = Arc::new(FakeClock::new());
    let app = TestApp::setup().clock(Arc::clone(&clock) as _).start().await;
    let tomorrow = FakeClock::START.plus(Duration::from_hours(24)).to_string();
    let body = json!({"receiver": KENYAN, "message": "Habari", "scheduled_at": tomorrow});
    let asked = app.request(Method::POST, "/sms").header("prefer", "wait=1").json(&body).send();
    let time_passes = async {
        let stored = async || (app.count().await == 1).then_some(());
        testkit::wait::wait_for(stored, LONG).await.unwrap();
        clock.advance(Duration::from_secs(1));
    };
    let (answer, ()) = join(asked, time_passes).await;
    assert_eq!((answer.status, &answer.json()["status"]), (202, &json!("scheduled")));
}

#[tokio::test]
async fn no_more_than_thirty_seconds_are_granted() {
    let app = TestApp::start().await;
    let answer = waiting(&app, KENYAN, "respond-async, wait=3600").send().await;
    assert_eq!((answer.status, answer.header("preference-applied")), (200, Some("wait=30")));
}

#[tokio::test]
async fn a_preference_without_a_wait_is_none() {
    let app = TestApp::start().await;
    let answer = waiting(&app, KENYAN, "respond-async").send().await;
    assert_eq!((answer.status, answer.header("preference-applied")), (202, None));
}

#[tokio::test]
async fn a_wait_that_is_no_number_is_refused_and_nothing_is_stored() {
    let app = TestApp::start().await;
    let answer = waiting(&app, KENYAN, "wait=soon").send().await;
    assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid_header"));
    assert_eq!(app.get("/sms").await.json()["messages"], Value::Array(Vec::new()));
}
