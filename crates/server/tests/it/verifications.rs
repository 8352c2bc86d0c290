//! One-time codes over HTTP.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use server::keys::Scope;

use crate::app::{AMERICAN, KENYAN, TestApp, text};
use crate::http::Answer;

/// A gateway, and a key that may verify and nothing else.
async fn start() -> (TestApp, String) {
    let app = TestApp::start().await;
    let key = app.key(&[Scope::Verify]).await;
    (app, key)
}

async fn post(app: &TestApp, key: &str, path: &str, body: &Value) -> Answer {
    app.anonymous(Method::POST, path).key(key).json(body).send().await
}

async fn get(app: &TestApp, key: &str, path: &str) -> Answer {
    app.anonymous(Method::GET, path).key(key).send().await
}

/// Begins a verification; answers what the gateway did.
async fn begin(app: &TestApp, key: &str, receiver: &str) -> Value {
    let begun = post(app, key, "/verifications", &json!({"receiver": receiver})).await;
    assert_eq!(begun.status, 202, "{}", begun.text);
    begun.json()
}

async fn check(app: &TestApp, key: &str, begun: &Value, code: &str) -> Answer {
    let path = format!("/verifications/{}/check", text(&begun["id"]));
    post(app, key, &path, &json!({"code": code})).await
}

/// What a check is answered.
async fn checked(app: &TestApp, key: &str, begun: &Value, code: &str) -> (bool, String, u64) {
    let answer = check(app, key, begun, code).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let answer = answer.json();
    let names: Vec<_> = answer.as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["checks_left", "status", "valid"]);
    (answer["valid"].as_bool().unwrap(), text(&answer["status"]), answer["checks_left"].as_u64().unwrap())
}

/// The code that a receiver was sent last.
async fn code_of(app: &TestApp, receiver: &str, begun: &Value) -> String {
    app.shown_when(&text(&begun["message_id"]), "sent").await;
    let body = app.sim.ledger().to(receiver).pop().unwrap().body;
    body.split(|letter: char| !letter.is_ascii_digit()).find(|run| run.len() == 6).unwrap().to_owned()
}

/// A code that is not the right one, the same for the same number.
fn wrong(right: &str, n: u32) -> String {
    let right: u32 = right.parse().unwrap();
    format!("{:06}", (right + 1 + n) % 1_000_000)
}

#[tokio::test]
async fn a_code_is_sent_checked_and_shown_as_the_interface_says() {
    let (app, key) = start().await;
    let begun = begin(&app, &key, "0712345678").await;
    let names: Vec<_> = begun.as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["expires_at", "id", "message_id", "status"]);
    assert_eq!(begun["status"], "pending");
    assert!(text(&begun["id"]).starts_with("ver_") && text(&begun["message_id"]).starts_with("msg_"));
    let code = code_of(&app, KENYAN, &begun).await;
    assert_eq!(checked(&app, &key, &begun, &wrong(&code, 0)).await, (false, "pending".into(), 4));
    let path = format!("/verifications/{}", text(&begun["id"]));
    let shown = get(&app, &key, &path).await.json();
    assert_eq!((&shown["status"], &shown["checks_left"]), (&json!("pending"), &json!(4)));
    assert_eq!((&shown["country"], &shown["message_id"]), (&json!("KE"), &begun["message_id"]));
    // As people type it.
    let typed = format!(" {}-{} ", code.get(..3).unwrap(), code.get(3..).unwrap());
    assert_eq!(checked(&app, &key, &begun, &typed).await, (true, "approved".into(), 3));
    assert_eq!(checked(&app, &key, &begun, &code).await, (false, "approved".into(), 3));
    let shown = get(&app, &key, &path).await;
    assert!(shown.json()["ended_at"].is_string());
    assert!(!shown.text.contains(&code) && !shown.text.contains("345678"), "{}", shown.text);
}

#[tokio::test]
async fn of_a_hundred_right_codes_at_once_one_is_valid() {
    let (app, key) = start().await;
    let begun = begin(&app, &key, KENYAN).await;
    let code = code_of(&app, KENYAN, &begun).await;
    let answers = join_all((0..100).map(|_| checked(&app, &key, &begun, &code))).await;
    assert_eq!(answers.iter().filter(|(valid, ..)| *valid).count(), 1);
    assert!(answers.iter().all(|(_, status, _)| status == "approved"));
}

#[tokio::test]
async fn of_ten_thousand_wrong_codes_five_are_examined_and_the_receiver_can_ask_for_another() {
    let (app, key) = start().await;
    let begun = begin(&app, &key, KENYAN).await;
    let code = code_of(&app, KENYAN, &begun).await;
    let mut examined = 0;
    for part in 0..100 {
        let wrong = (0..100).map(|n| wrong(&code, part * 100 + n)).collect::<Vec<_>>();
        let answers = join_all(wrong.iter().map(|wrong| checked(&app, &key, &begun, wrong))).await;
        assert!(answers.iter().all(|(valid, ..)| !valid));
        let left = answers.iter().map(|(.., left)| *left).min().unwrap();
        assert_eq!(left, 0, "a hundred use up five checks");
        let pending = answers.iter().filter(|(_, status, _)| status == "pending").count();
        examined += pending;
    }
    // Four left it pending, and the fifth failed it.
    assert_eq!(examined, 4);
    assert_eq!(checked(&app, &key, &begun, &code).await, (false, "failed".into(), 0));
    let admin = app.key(&[Scope::Admin]).await;
    let told = async |event: &str| {
        let path = format!("/audit?event={event}&limit=200");
        get(&app, &admin, &path).await.json()["entries"].as_array().unwrap().clone()
    };
    // Four were wrong, the fifth failed it, and of those that were not examined twenty a minute have an entry of their own.
    assert_eq!(told("verification.failed").await.len(), 1);
    let refused = told("verification.refused").await;
    let wrong = refused.iter().filter(|entry| entry["outcome"].is_null()).count();
    assert_eq!(wrong, 4);
    assert!(refused.len() < 200, "{}", refused.len());
    let again = begin(&app, &key, KENYAN).await;
    let code = code_of(&app, KENYAN, &again).await;
    assert_eq!(checked(&app, &key, &again, &code).await, (true, "approved".into(), 4));
}

#[tokio::test]
async fn what_can_not_be_a_code_uses_up_no_check() {
    let (app, key) = start().await;
    let begun = begin(&app, &key, KENYAN).await;
    for code in ["", "12", "48291O", "12345678901", "+482913"] {
        let refused = check(&app, &key, &begun, code).await;
        assert_eq!((refused.status, refused.problem().as_str()), (422, "validation_failed"), "{code}");
        let error = refused.json()["errors"][0].clone();
        assert_eq!((&error["pointer"], &error["code"]), (&json!("/code"), &json!("invalid_code")));
        assert!(code.is_empty() || !refused.text.contains(&format!("{code}\"")), "{}", refused.text);
    }
    let path = format!("/verifications/{}/check", text(&begun["id"]));
    for body in [json!({}), json!({"code": null})] {
        let refused = post(&app, &key, &path, &body).await;
        assert_eq!(refused.json()["errors"][0]["code"], "required", "{}", refused.text);
    }
    assert_eq!(post(&app, &key, &path, &json!({"code": 482_913})).await.status, 422);
    // Another number of digits could be a code: it is examined.
    assert_eq!(checked(&app, &key, &begun, "1234").await, (false, "pending".into(), 4));
}

#[tokio::test]
async fn another_keys_verification_is_not_there() {
    let (app, key) = start().await;
    let begun = begin(&app, &key, KENYAN).await;
    let code = code_of(&app, KENYAN, &begun).await;
    let (other, sender) = (app.key(&[Scope::Verify]).await, app.key(&[Scope::Send]).await);
    let path = format!("/verifications/{}", text(&begun["id"]));
    for (key, status) in [(&other, 404), (&sender, 403)] {
        assert_eq!(get(&app, key, &path).await.status, status);
        assert_eq!(check(&app, key, &begun, &code).await.status, status);
        assert_eq!(post(&app, key, &format!("{path}/cancel"), &json!({})).await.status, status);
    }
    assert_eq!(post(&app, &sender, "/verifications", &json!({"receiver": KENYAN})).await.status, 403);
    for id in ["ver_019ab0c4e1f27d3c8a5b6f7081920a3b", "ver_x", "msg_019ab0c4e1f27d3c8a5b6f7081920a3b"] {
        assert_eq!(get(&app, &key, &format!("/verifications/{id}")).await.status, 404);
    }
    // An administrator sees it, and another key's code for the same number ends nothing.
    let admin = app.key(&[Scope::Admin]).await;
    assert_eq!(get(&app, &admin, &path).await.status, 200);
    begin(&app, &other, KENYAN).await;
    assert_eq!(checked(&app, &key, &begun, &code).await, (true, "approved".into(), 4));
}

#[tokio::test]
async fn a_canceled_code_is_not_valid_any_more() {
    let (app, key) = start().await;
    let begun = begin(&app, &key, KENYAN).await;
    let code = code_of(&app, KENYAN, &begun).await;
    let path = format!("/verifications/{}/cancel", text(&begun["id"]));
    for _ in 0..2 {
        let canceled = post(&app, &key, &path, &json!({})).await;
        assert_eq!((canceled.status, &canceled.json()["status"]), (200, &json!("canceled")));
    }
    assert_eq!(checked(&app, &key, &begun, &code).await, (false, "canceled".into(), 5));
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_answer_and_no_other_code() {
    let (app, key) = start().await;
    let ask = async |body: Value| {
        let request = app.anonymous(Method::POST, "/verifications").key(&key);
        request.header("idempotency-key", "login-4711").json(&body).send().await
    };
    let first = ask(json!({"receiver": KENYAN})).await;
    let again = ask(json!({"receiver": KENYAN})).await;
    assert_eq!((first.status, again.status, first.json()), (202, 202, again.json()));
    code_of(&app, KENYAN, &first.json()).await;
    assert_eq!(app.sim.ledger().count(), 1);
    let other = ask(json!({"receiver": KENYAN, "length": 8})).await;
    assert_eq!((other.status, other.problem().as_str()), (422, "idempotency_key_reused"));
}

#[tokio::test]
async fn a_limit_is_told_and_wrong_fields_are_named() {
    let limit = r#"[{name = "otp", scenarios = ["otp"], by = "receiver", limit = 5, period_s = 3600}]"#;
    let app = TestApp::setup().set("TUMA_LIMITS__RULES", limit).start().await;
    let key = app.key(&[Scope::Verify]).await;
    let mut last = post(&app, &key, "/verifications", &json!({"receiver": AMERICAN})).await;
    let mut count = 0;
    while last.status == 202 && count < 20 {
        last = post(&app, &key, "/verifications", &json!({"receiver": AMERICAN})).await;
        count += 1;
    }
    assert_eq!((last.status, &last.json()["code"]), (429, &json!("rate_limited")), "{}", last.text);
    let body = json!({"receiver": "12345", "ttl": 5, "length": 99, "web_otp_domain": "x y"});
    let refused = post(&app, &key, "/verifications", &body).await;
    assert_eq!(refused.status, 422);
    let unknown = post(&app, &key, "/verifications", &json!({"receiver": KENYAN, "code": "123456"})).await;
    assert_eq!((unknown.status, &unknown.json()["errors"][0]["pointer"]), (422, &json!("/code")));
}

#[tokio::test]
async fn figures_say_what_becomes_of_codes() {
    let (app, key) = start().await;
    let begun = begin(&app, &key, KENYAN).await;
    let code = code_of(&app, KENYAN, &begun).await;
    checked(&app, &key, &begun, &wrong(&code, 0)).await;
    checked(&app, &key, &begun, &code).await;
    let metrics = app.metrics().await;
    for (name, label) in [
        ("sms_verification_begun_count_total", ""),
        ("sms_verification_check_count_total", "outcome=\"wrong\""),
        ("sms_verification_check_count_total", "outcome=\"right\""),
        ("sms_verification_ended_count_total", "status=\"approved\""),
    ] {
        let line = metrics.lines().find(|line| line.starts_with(name) && line.contains(label));
        assert!(line.is_some_and(|line| line.ends_with(" 1")), "{name} {label}: {line:?}");
    }
}
