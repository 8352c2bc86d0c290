//! `POST /sms/{id}/retry`: sending again what did not arrive.

use reqwest::Method;
use serde_json::{Value, json};
use server::keys::Scope;
use testkit::sim::{Fault, FaultRule, Provider};
use testkit::wait::{LONG, wait_for};

use crate::app::{AMERICAN, KENYAN, TestApp};
use crate::http::Answer;

async fn retry(app: &TestApp, key: &str, id: &str) -> Answer {
    app.anonymous(Method::POST, &format!("/sms/{id}/retry")).key(key).send().await
}

/// A message that Twilio refused once.
async fn failed(app: &TestApp) -> String {
    app.sim.inject(FaultRule::next(1, Fault::Refuse { code: 21_211 }).on(Provider::Twilio)).unwrap();
    let id = app.send(&json!({"receiver": AMERICAN, "message": "Habari"})).await;
    app.shown_when(&id, "failed").await;
    id
}

#[tokio::test]
async fn a_failed_message_is_sent_again() {
    let app = TestApp::start().await;
    let id = failed(&app).await;
    let answer = retry(&app, &app.key, &id).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let shown = app.shown_when(&id, "sent").await;
    let outcomes = shown["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["outcome"]);
    assert_eq!(outcomes.collect::<Vec<_>>(), ["rejected", "accepted"]);
    assert_eq!((&shown["reason"], app.sim.ledger().count()), (&json!(null), 1));
}

#[tokio::test]
async fn a_message_that_is_on_its_way_is_not_sent_again() {
    let app = TestApp::start().await;
    let id = app.send(&json!({"receiver": KENYAN, "message": "Habari"})).await;
    app.shown_when(&id, "sent").await;
    let refused = retry(&app, &app.key, &id).await;
    assert_eq!((refused.status, refused.problem().as_str()), (409, "message_not_retriable"));
    assert_eq!(refused.json()["detail"], "the message is sent");
    assert_eq!(app.sim.ledger().count(), 1);
}

#[tokio::test]
async fn whoever_has_opted_out_since_is_sent_nothing_again() {
    let app = TestApp::start().await;
    let id = failed(&app).await;
    let consent = app.key(&[Scope::Consent]).await;
    let opt_out = app.anonymous(Method::POST, "/opt-outs").key(&consent);
    assert_eq!(opt_out.json(&json!({"receiver": AMERICAN})).send().await.status, 200);
    let refused = retry(&app, &app.key, &id).await;
    assert_eq!((refused.status, refused.problem().as_str()), (403, "opted_out"));
    assert_eq!((app.show(&id).await["status"].clone(), app.sim.ledger().count()), (json!("failed"), 0));
}

#[tokio::test]
async fn the_message_of_another_caller_is_not_there_to_be_sent_again() {
    let app = TestApp::start().await;
    let id = failed(&app).await;
    let other = app.key(&[Scope::Send, Scope::Read]).await;
    let hidden = retry(&app, &other, &id).await;
    assert_eq!((hidden.status, hidden.problem().as_str()), (404, "not_found"));
    assert_eq!(app.show(&id).await["status"], "failed");
    let admin = app.key(&[Scope::Admin]).await;
    assert_eq!(retry(&app, &admin, &id).await.status, 200);
    app.shown_when(&id, "sent").await;
}

#[tokio::test]
async fn a_button_that_sends_again_is_held_to_the_limits_of_new_messages() {
    let limit = r#"[{name = "per_number", by = "receiver", limit = 2, period_s = 3600}]"#;
    let app = TestApp::setup().set("TUMA_LIMITS__RULES", limit).start().await;
    app.sim.inject(FaultRule::next(2, Fault::Refuse { code: 21_211 }).on(Provider::Twilio)).unwrap();
    let id = app.send(&json!({"receiver": AMERICAN, "message": "Habari"})).await;
    app.shown_when(&id, "failed").await;
    assert_eq!(retry(&app, &app.key, &id).await.status, 200);
    let failed_again = |shown: &Value| {
        shown["attempts"].as_array().unwrap().len() == 2 && shown["status"] == json!("failed")
    };
    wait_for(async || Some(app.show(&id).await).filter(failed_again), LONG).await.unwrap();
    let refused = retry(&app, &app.key, &id).await;
    assert_eq!((refused.status, &refused.json()["code"]), (429, &json!("rate_limited")));
    assert!(refused.header("retry-after").is_some());
    assert_eq!(refused.json()["errors"][0]["pointer"], "/receiver");
    assert_eq!(app.show(&id).await["status"], "failed");
    let figures = app.metrics().await;
    assert!(figures.contains("sms_rate_limit_hit_total{limit=\"per_number\"} 1"), "{figures}");
}

#[tokio::test]
async fn a_code_that_is_sent_again_is_one_more_to_the_guard() {
    let app = TestApp::setup()
        .set("TUMA_GUARD__MODE", "enforce")
        .set("TUMA_GUARD__PREFIX_PER_DAY", "2")
        .start()
        .await;
    app.sim.inject(FaultRule::next(2, Fault::Refuse { code: 21_211 }).on(Provider::Twilio)).unwrap();
    let code = json!({"receiver": AMERICAN, "message": "Your code is 1", "scenario": "otp"});
    let (first, second) = (app.send(&code).await, app.send(&code).await);
    app.shown_when(&first, "failed").await;
    app.shown_when(&second, "failed").await;
    let refused = retry(&app, &app.key, &first).await;
    assert_eq!((refused.status, refused.problem().as_str()), (403, "guard_refused"));
    assert!(refused.json()["decision_id"].is_string(), "{}", refused.text);
    assert_eq!(app.show(&first).await["status"], "failed");
}

#[tokio::test]
async fn the_same_text_to_the_same_number_is_refused_where_the_guard_is_on() {
    let app = TestApp::setup().set("TUMA_MESSAGES__NO_REPEATS_WITHIN_S", "600").start().await;
    let body = json!({"receiver": KENYAN, "message": "Habari"});
    app.send(&body).await;
    let refused = app.post("/sms", &body).await;
    assert_eq!((refused.status, refused.problem().as_str()), (409, "repeated_message"));
    let named = app.request(Method::POST, "/sms").json(&body).header("idempotency-key", "again");
    assert_eq!(named.send().await.status, 202);
    let bulk = json!({"receivers": [KENYAN, AMERICAN], "message": "Habari"});
    let results = app.post("/sms/bulk", &bulk).await.json()["results"].clone();
    assert_eq!((&results[0]["code"], &results[1]["status"]), (&json!("repeated_message"), &json!("queued")));
}
