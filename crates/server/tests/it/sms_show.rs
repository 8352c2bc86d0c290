//! `GET /sms/{id}`: a message with all that happened to it.

use reqwest::Method;
use serde_json::{Value, json};
use server::keys::Scope;
use testkit::sim::{Fault, FaultRule};
use testkit::wait::{LONG, wait_for};

use crate::app::{AMERICAN, KENYAN, TestApp, text};

fn events(shown: &Value) -> Vec<String> {
    shown["timeline"].as_array().unwrap().iter().map(|entry| text(&entry["event"])).collect()
}

/// Times and ids as words, so that the rest can be compared.
fn redacted(mut shown: Value) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if name == "at" || name.ends_with("_at") {
                        let time = value.as_str().unwrap().parse::<domain::time::Timestamp>();
                        *value = if time.is_ok() { "(time)".into() } else { "(no time)".into() };
                    } else if name == "id" || name.ends_with("_id") && value.is_string() {
                        *value = "(id)".into();
                    } else {
                        walk(value);
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(walk),
            _ => {}
        }
    }
    walk(&mut shown);
    shown
}

#[tokio::test]
async fn a_message_that_was_sent_is_shown_with_all_that_was_given_and_all_that_happened() {
    let app = TestApp::start().await;
    let id = app
        .send(&json!({
            "receiver": AMERICAN, "message": "Habari", "scenario": "transaction", "reference": "deposit-4711",
            "group": "chama-7", "sender": "SAFESHOP", "metadata": {"branch": "Nakuru"},
            "scheduled_at": "2020-01-01T00:00:00Z", "expires_at": "2999-01-01T00:00:00Z",
        }))
        .await;
    let shown = app.shown_when(&id, "sent").await;
    insta::assert_json_snapshot!(redacted(shown));
}

#[tokio::test]
async fn a_refused_message_shows_the_reason_and_the_code_of_the_provider() {
    let app = TestApp::start().await;
    // Twilio refuses a number that ends so with code 21211.
    let id = app.send(&json!({"receiver": "+14155021211", "message": "Habari"})).await;
    let shown = app.shown_when(&id, "failed").await;
    insta::assert_json_snapshot!(redacted(shown));
}

#[tokio::test]
async fn a_message_that_was_tried_twice_shows_both_attempts_in_order() {
    let app = TestApp::setup().set("TUMA_RETRY__BASE_MS", "1").start().await;
    app.sim.inject(FaultRule::next(1, Fault::TooManyRequests { retry_after_s: None })).unwrap();
    let id = app.send(&json!({"receiver": KENYAN, "message": "Habari"})).await;
    let shown = app.shown_when(&id, "sent").await;
    let attempts = shown["attempts"].as_array().unwrap();
    let told: Vec<_> = attempts.iter().map(|attempt| (&attempt["number"], &attempt["outcome"])).collect();
    assert_eq!(told, [(&json!(1), &json!("not_submitted")), (&json!(2), &json!("accepted"))]);
    assert_eq!((&attempts[0]["reason"], &attempts[1]["reason"]), (&json!("rate_limited"), &Value::Null));
    assert_eq!(
        events(&shown),
        ["accepted", "attempt_started", "attempt_ended", "attempt_started", "attempt_ended"]
    );
}

#[tokio::test]
async fn an_attempt_that_nobody_knows_the_end_of_leaves_the_message_sending() {
    let app = TestApp::start().await;
    app.sim.inject(FaultRule::next(1, Fault::ResetBeforeAccept)).unwrap();
    let id = app.send(&json!({"receiver": AMERICAN, "message": "Habari"})).await;
    let ended = async || {
        let shown = app.show(&id).await;
        shown["attempts"][0]["outcome"].is_string().then_some(shown)
    };
    let shown = wait_for(ended, LONG).await.unwrap();
    assert_eq!((&shown["status"], &shown["provider_message_id"]), (&json!("sending"), &Value::Null));
    let attempt = &shown["attempts"][0];
    assert_eq!((&attempt["outcome"], &attempt["reason"]), (&json!("ambiguous"), &json!("connection_lost")));
}

#[tokio::test]
async fn the_text_of_a_message_is_in_no_answer() {
    let app = TestApp::start().await;
    let body = json!({"receiver": KENYAN, "message": "a text of its own"});
    let answer = app.post("/sms", &body).await;
    let id = text(&answer.json()["id"]);
    app.shown_when(&id, "sent").await;
    let shown = app.get(&format!("/sms/{id}")).await.text;
    for answer in [answer.text, shown, app.get("/sms").await.text] {
        assert!(!answer.contains("a text of its own"), "{answer}");
    }
}

#[tokio::test]
async fn a_key_that_may_only_send_sees_its_own_messages_with_masked_numbers() {
    let app = TestApp::start().await;
    let [mine, other] = [app.key(&[Scope::Send]).await, app.key(&[Scope::Send]).await];
    let request = app.anonymous(Method::POST, "/sms").key(&mine);
    let answer = request.json(&json!({"receiver": KENYAN, "message": "Habari"})).send().await;
    let path = format!("/sms/{}", text(&answer.json()["id"]));

    let shown = app.anonymous(Method::GET, &path).key(&mine).send().await;
    assert_eq!(shown.json()["receiver"], "+254*****5678");
    assert!(!shown.text.contains("712345678"), "{}", shown.text);

    let hidden = app.anonymous(Method::GET, &path).key(&other).send().await;
    assert_eq!((hidden.status, hidden.problem().as_str()), (404, "not_found"));
}

#[tokio::test]
async fn a_key_that_may_read_sees_the_messages_of_all_with_numbers_in_full() {
    let app = TestApp::start().await;
    let id = app.send(&json!({"receiver": KENYAN, "message": "Habari"})).await;
    for scope in [Scope::Read, Scope::Admin] {
        let reader = app.key(&[scope]).await;
        let shown = app.anonymous(Method::GET, &format!("/sms/{id}")).key(&reader).send().await;
        assert_eq!(shown.json()["receiver"], KENYAN);
    }
}

#[tokio::test]
async fn an_unknown_id_is_answered_404_whatever_its_form() {
    let app = TestApp::start().await;
    for id in
        ["msg_01a208af715074abb7716fc49cb931c7", "blk_01a208af715074abb7716fc49cb931c7", "1", "%20", "%FF"]
    {
        let answer = app.get(&format!("/sms/{id}")).await;
        assert_eq!((answer.status, answer.problem().as_str()), (404, "not_found"), "{id}");
    }
}
