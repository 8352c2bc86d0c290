//! `POST /sms/explain`: what would become of a message.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};
use server::keys::Scope;
use testkit::clock::FakeClock;

use crate::app::{AMERICAN, KENYAN, TestApp, text};

async fn explain(app: &TestApp, body: &Value) -> Value {
    let answer = app.post("/sms/explain", body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

fn routes(explained: &Value) -> Vec<String> {
    explained["routes"].as_array().unwrap().iter().map(|route| text(&route["explanation"])).collect()
}

#[tokio::test]
async fn a_message_is_explained_and_not_sent() {
    let prices =
        "[{provider = \"africastalking\", country = \"KE\", per_segment = \"0.80\", currency = \"KES\"}]";
    let clock = Arc::new(FakeClock::new());
    let app =
        TestApp::setup().clock(Arc::clone(&clock) as _).set("TUMA_ROUTING__PRICES", prices).start().await;
    let explained =
        explain(&app, &json!({"receiver": "0712 345 678", "message": "a".repeat(160), "scenario": "otp"}))
            .await;
    insta::assert_json_snapshot!(explained);
    assert_eq!(app.count().await, 0);
    assert_eq!(app.sim.ledger().count(), 0);
}

#[tokio::test]
async fn a_curly_quote_is_named_with_its_place() {
    let app = TestApp::start().await;
    let explained = explain(&app, &json!({"receiver": KENYAN, "message": "Don’t panic, it’s “fine”"})).await;
    assert_eq!((&explained["encoding"], &explained["characters"]), (&json!("ucs2"), &json!(24)));
    let offenders = json!([
        {"character": "’", "position": 3},
        {"character": "“", "position": 18},
        {"character": "”", "position": 23},
    ]);
    assert_eq!(explained["offenders"], offenders);
}

#[tokio::test]
async fn a_drained_provider_stands_behind_the_one_that_is_taken() {
    let app = TestApp::start().await;
    let admin = app.key(&[Scope::Admin]).await;
    let drain = app.anonymous(Method::POST, "/providers/africastalking/drain").key(&admin);
    assert_eq!(drain.send().await.status, 200);
    let explained = explain(&app, &json!({"receiver": KENYAN, "message": "Habari"})).await;
    assert_eq!(
        routes(&explained),
        [
            "twilio: default provider; usable; USD 0.10",
            "africastalking: rule 1 matches; drained by an operator; USD 0.02"
        ]
    );
    let usable = explained["routes"].as_array().unwrap().iter().map(|route| &route["usable"]);
    assert_eq!(usable.collect::<Vec<_>>(), [&json!(true), &json!(false)]);
}

/// What goes to many is no service to one: it has another lane, and more receivers do not want it.
#[tokio::test]
async fn a_message_is_explained_as_one_of_many() {
    let app = TestApp::start().await;
    let consent = app.key(&[Scope::Consent]).await;
    let unwanted = json!({"receiver": AMERICAN, "sender": "TUMA", "extent": "promotional"});
    let opt_out = app.anonymous(Method::POST, "/opt-outs").key(&consent);
    assert_eq!(opt_out.json(&unwanted).send().await.status, 200);
    let message = json!({"receiver": AMERICAN, "message": "Habari", "sender": "TUMA"});
    for (path, lane, is_held_back) in [
        ("/sms/explain", "normal", false),
        ("/sms/explain?bulk=false", "normal", false),
        ("/sms/explain?bulk=true", "bulk", true),
    ] {
        let explained = app.post(path, &message).await.json();
        assert_eq!(explained["priority"], lane, "{path}: {explained}");
        assert_eq!(explained["opted_out"].is_string(), is_held_back, "{path}: {explained}");
    }
    // As it is sent.
    app.accepted(&message).await;
    let bulk = json!({"receivers": [AMERICAN], "message": "Habari", "sender": "TUMA"});
    assert_eq!(
        app.post("/sms/bulk", &bulk).await.wrong_fields(),
        [("/receivers/0".into(), "opted_out".into())]
    );
    for (query, code) in [("bulk=maybe", "wrong_type"), ("many=true", "unknown_parameter")] {
        let refused = app.post(&format!("/sms/explain?{query}"), &message).await;
        let (name, _) = query.split_once('=').unwrap();
        assert_eq!(refused.wrong_fields(), [(name.into(), code.into())]);
    }
}

#[tokio::test]
async fn quiet_hours_are_said_to_hold_a_message_back() {
    let clock = Arc::new(FakeClock::new());
    let app = TestApp::setup()
        .clock(Arc::clone(&clock) as _)
        .set("TUMA_QUIET_HOURS__TIME_ZONE", "UTC")
        .set("TUMA_QUIET_HOURS__BY_SCENARIO__GENERAL", "00:00-23:59")
        .start()
        .await;
    let body = json!({"receiver": AMERICAN, "message": "Habari"});
    let explained = explain(&app, &body).await;
    assert_eq!(explained["held_by_quiet_hours"], true);
    let leaves_at = text(&explained["leaves_at"]);
    assert!(leaves_at.ends_with("T23:59:00.000Z"), "{leaves_at}");

    // And so it is.
    let id = app.send(&body).await;
    let shown = app.show(&id).await;
    assert_eq!(shown["status"], "scheduled");
    let held = &shown["timeline"][1];
    let detail = format!("held back until {leaves_at}: quiet hours");
    assert_eq!((&held["event"], text(&held["detail"])), (&json!("held"), detail));
}

#[tokio::test]
async fn a_key_that_may_only_send_sees_the_number_masked() {
    let app = TestApp::start().await;
    let key = app.key(&[Scope::Send]).await;
    let request = app.anonymous(Method::POST, "/sms/explain").key(&key);
    let answer = request.json(&json!({"receiver": KENYAN, "message": "Habari"})).send().await;
    assert_eq!(answer.json()["receiver"], "+254*****5678");
    assert!(!answer.text.contains("712345678"), "{}", answer.text);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said_as_it_is_when_it_is_sent() {
    let app = TestApp::start().await;
    for body in [
        json!({"receiver": "12345", "message": ""}),
        json!({"receiver": KENYAN, "message": "Habari", "scenario": "marketing"}),
        json!({"receiver": KENYAN, "message": "Habari", "colour": "red"}),
    ] {
        let (explained, sent) = (app.post("/sms/explain", &body).await, app.post("/sms", &body).await);
        assert_eq!((explained.status, explained.json()), (sent.status, sent.json()));
    }
}
