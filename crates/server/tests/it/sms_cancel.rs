//! `POST /sms/{id}/cancel` and `POST /sms/bulk/{bulk_id}/cancel`: stopping what has not left.

use std::time::Duration;

use domain::time::Clock as _;
use gateway::SystemClock;
use reqwest::Method;
use serde_json::{Value, json};
use server::keys::Scope;
use testkit::sim::{Fault, FaultRule, Provider};

use crate::app::{AMERICAN, KENYAN, TestApp, text};
use crate::http::Answer;

fn in_an_hour() -> String {
    SystemClock::new().now().plus(Duration::from_hours(1)).to_string()
}

/// A message that waits.
async fn scheduled(app: &TestApp) -> String {
    app.send(&json!({"receiver": KENYAN, "message": "Habari", "scheduled_at": in_an_hour()})).await
}

async fn cancel(app: &TestApp, key: &str, id: &str) -> Answer {
    app.anonymous(Method::POST, &format!("/sms/{id}/cancel")).key(key).send().await
}

#[tokio::test]
async fn a_message_that_has_not_left_is_canceled_and_stays_so() {
    let app = TestApp::start().await;
    let id = scheduled(&app).await;
    let first = cancel(&app, &app.key, &id).await;
    assert_eq!((first.status, &first.json()["status"]), (200, &json!("canceled")), "{}", first.text);
    let last = first.json()["timeline"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["event"], &last["detail"]), (&json!("canceled"), &json!("canceled before it left")));
    let again = cancel(&app, &app.key, &id).await;
    assert_eq!((again.status, again.json()), (200, first.json()));
    assert_eq!(app.show(&id).await, first.json());
    assert_eq!(app.sim.ledger().count(), 0);
}

#[tokio::test]
async fn a_message_that_has_left_is_not_canceled() {
    let app = TestApp::start().await;
    let id = app.send(&json!({"receiver": KENYAN, "message": "Habari"})).await;
    let sent = app.shown_when(&id, "sent").await;
    let refused = cancel(&app, &app.key, &id).await;
    assert_eq!((refused.status, refused.problem().as_str()), (409, "message_not_cancelable"));
    assert_eq!(refused.json()["detail"], "the message is sent");
    assert_eq!(app.show(&id).await, sent);
}

#[tokio::test]
async fn the_message_of_another_caller_is_not_there_to_be_canceled() {
    let app = TestApp::start().await;
    let id = scheduled(&app).await;
    let others = [app.key(&[Scope::Send]).await, app.key(&[Scope::Send, Scope::Read]).await];
    for other in &others {
        let hidden = cancel(&app, other, &id).await;
        assert_eq!((hidden.status, hidden.problem().as_str()), (404, "not_found"));
    }
    let reader = app.key(&[Scope::Read]).await;
    assert_eq!(cancel(&app, &reader, &id).await.problem(), "missing_scope");
    assert_eq!(app.show(&id).await["status"], "scheduled");
    let admin = app.key(&[Scope::Admin]).await;
    assert_eq!(cancel(&app, &admin, &id).await.json()["status"], "canceled");
}

#[tokio::test]
async fn a_message_that_is_not_there_can_not_be_canceled() {
    let app = TestApp::start().await;
    for id in ["msg_01a208af715074abb7716fc49cb931c7", "1", "bulk"] {
        assert_eq!(cancel(&app, &app.key, id).await.status, 404, "{id}");
        let path = format!("/sms/bulk/{id}/cancel");
        assert_eq!(app.request(Method::POST, &path).send().await.status, 404, "{id}");
    }
}

/// Sends to these, and gives the request's id.
async fn bulk(app: &TestApp, receivers: &[&str], scheduled_at: Option<String>) -> String {
    let body = json!({"receivers": receivers, "message": "Habari", "scheduled_at": scheduled_at});
    let answer = app.post("/sms/bulk", &body).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    text(&answer.json()["bulk_id"])
}

async fn cancel_bulk(app: &TestApp, key: &str, bulk_id: &str) -> Answer {
    app.anonymous(Method::POST, &format!("/sms/bulk/{bulk_id}/cancel")).key(key).send().await
}

fn counts(answer: &Answer) -> (Value, Value, usize) {
    let body = answer.json();
    let messages = body["messages"].as_array().unwrap_or_else(|| panic!("{body}")).len();
    (body["canceled"].clone(), body["too_late"].clone(), messages)
}

#[tokio::test]
async fn a_bulk_request_is_canceled_as_a_whole() {
    let app = TestApp::start().await;
    let id = bulk(&app, &[KENYAN, AMERICAN, "+254722000111"], Some(in_an_hour())).await;
    let answer = cancel_bulk(&app, &app.key, &id).await;
    assert_eq!(counts(&answer), (json!(3), json!(0), 3), "{}", answer.text);
    for message in answer.json()["messages"].as_array().unwrap() {
        assert_eq!(app.show(&text(&message["id"])).await["status"], "canceled");
    }
    let other = app.key(&[Scope::Send]).await;
    assert_eq!(cancel_bulk(&app, &other, &id).await.status, 404);
}

#[tokio::test]
async fn what_has_left_of_a_bulk_request_goes_its_way() {
    let app = TestApp::start().await;
    let later = Fault::TooManyRequests { retry_after_s: Some(600) };
    app.sim.inject(FaultRule::always(later).on(Provider::Twilio)).unwrap();
    let id = bulk(&app, &[KENYAN, AMERICAN], None).await;
    let list = app.get("/sms").await.json();
    let of = |receiver: &str| {
        let messages = list["messages"].as_array().unwrap().iter();
        text(&messages.clone().find(|message| message["receiver"] == receiver).unwrap()["id"])
    };
    app.shown_when(&of(KENYAN), "sent").await;
    // It waits for Twilio's ten minutes to end.
    let waits = async || {
        let shown = app.show(&of(AMERICAN)).await;
        (shown["attempts"][0]["outcome"] == "not_submitted").then_some(())
    };
    testkit::wait::wait_for(waits, testkit::wait::LONG).await.unwrap();
    let answer = cancel_bulk(&app, &app.key, &id).await;
    assert_eq!(counts(&answer), (json!(1), json!(1), 2), "{}", answer.text);
    assert_eq!(app.show(&of(AMERICAN)).await["status"], "canceled");
    assert_eq!(app.sim.ledger().count(), 1);
}
