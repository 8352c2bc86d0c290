//! What is refused, and that a refused request changes nothing.

use std::time::Duration;

use domain::time::Clock as _;
use gateway::SystemClock;
use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{AMERICAN, KENYAN, TestApp};
use crate::http::Answer;

/// Posts a body as it is written.
async fn post(app: &TestApp, body: &str) -> Answer {
    app.request(Method::POST, "/sms").body(body.to_owned()).send().await
}

/// A message with one field more, or another.
fn message_with(field: &str, value: Value) -> Value {
    let mut message = json!({"receiver": KENYAN, "message": "Habari"});
    message[field] = value;
    message
}

/// That these bodies are refused for these fields, and nothing was stored or sent.
async fn are_refused(app: &TestApp, table: Vec<(Value, &str, &str)>) {
    for (body, pointer, code) in table {
        let answer = app.post("/sms", &body).await;
        assert_eq!(answer.wrong_fields(), [(pointer.into(), code.into())], "{body:.200}");
    }
    assert_eq!((app.count().await, app.sim.ledger().count()), (0, 0));
}

#[tokio::test]
async fn malformed_json_is_answered_400_with_line_and_column() {
    let app = TestApp::start().await;
    let bodies = [
        "",
        "{",
        "{\"receiver\": }",
        "Habari",
        "{\"receiver\": \"0712345678\"} {}",
        "{'receiver': 1}",
        "\u{feff}{}",
    ];
    for body in bodies {
        let answer = post(&app, body).await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, "malformed_json"), "{body}");
    }
    let answer = post(&app, "{\n  \"receiver\": +254}").await.json();
    assert_eq!(answer["detail"], "not JSON at line 2, column 15");
    let not_utf8 = app.request(Method::POST, "/sms").body(b"{\"message\": \"\xff\"}".to_vec()).send().await;
    assert_eq!((not_utf8.status, not_utf8.problem().as_str()), (400, "malformed_json"));
    assert_eq!(app.count().await, 0);
}

#[tokio::test]
async fn deeply_nested_json_is_refused_and_the_gateway_stays() {
    let app = TestApp::start().await;
    let nested = format!("{{\"metadata\": {}{}}}", "[".repeat(50_000), "]".repeat(50_000));
    let status = post(&app, &nested).await.status;
    assert!(status == 400 || status == 422, "{status}");
    app.send(&json!({"receiver": KENYAN, "message": "Habari"})).await;
}

#[tokio::test]
async fn a_body_that_is_valid_json_and_no_object_is_a_wrong_field() {
    let app = TestApp::start().await;
    for body in ["[]", "\"Habari\"", "null", "5"] {
        assert_eq!(post(&app, body).await.wrong_fields(), [(String::new(), "wrong_type".into())], "{body}");
    }
}

#[tokio::test]
async fn a_missing_empty_or_null_receiver_is_required() {
    let app = TestApp::start().await;
    are_refused(
        &app,
        vec![
            (json!({"message": "Habari"}), "/receiver", "required"),
            (message_with("receiver", Value::Null), "/receiver", "required"),
            (message_with("receiver", "".into()), "/receiver", "required"),
            (message_with("receiver", "  ".into()), "/receiver", "required"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_receiver_that_is_no_phone_number_is_invalid() {
    let app = TestApp::start().await;
    let receivers = [
        "12345",
        "+254",
        "+25471234567",
        "+2547123456789",
        "0712345678 ext 5",
        "CALL ME",
        "+0712345678",
        "+999712345678",
    ];
    let table = receivers
        .map(|receiver| (message_with("receiver", receiver.into()), "/receiver", "invalid_receiver"));
    are_refused(&app, table.into()).await;
}

#[tokio::test]
async fn a_nul_character_is_refused_in_every_text() {
    let app = TestApp::start().await;
    are_refused(
        &app,
        vec![
            (message_with("message", "Hab\0ari".into()), "/message", "nul_character"),
            (message_with("reference", "\0".into()), "/reference", "nul_character"),
            (message_with("group", "chama\0".into()), "/group", "nul_character"),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_empty_message_is_refused() {
    let app = TestApp::start().await;
    are_refused(
        &app,
        vec![
            (json!({"receiver": KENYAN}), "/message", "required"),
            (message_with("message", "".into()), "/message", "required"),
            (message_with("message", " \n\t ".into()), "/message", "message_empty"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_message_of_more_than_160_characters_is_refused() {
    let app = TestApp::start().await;
    are_refused(
        &app,
        vec![
            (message_with("message", "a".repeat(161).into()), "/message", "message_too_long"),
            (message_with("message", "ę".repeat(161).into()), "/message", "message_too_long"),
        ],
    )
    .await;
    // Characters are counted, not bytes or segments.
    app.send(&message_with("message", "ę".repeat(160).into())).await;
    app.send(&message_with("message", "👋".repeat(160).into())).await;
}

#[tokio::test]
async fn a_raised_limit_allows_up_to_ten_segments_and_no_more() {
    let app = TestApp::setup().set("TUMA_MESSAGES__MAX_CHARACTERS", "1530").start().await;
    let answer = app.accepted(&message_with("message", "a".repeat(1_530).into())).await;
    assert_eq!(answer["segments"], 10);
    let answer = app.accepted(&message_with("message", "ę".repeat(670).into())).await;
    assert_eq!(answer["segments"], 10);
    let refused = app.post("/sms", &message_with("message", "ę".repeat(671).into())).await;
    assert_eq!(refused.wrong_fields(), [("/message".into(), "too_many_segments".into())]);
    let refused = app.post("/sms", &message_with("message", "a".repeat(1_531).into())).await;
    assert_eq!(refused.wrong_fields(), [("/message".into(), "message_too_long".into())]);
}

#[tokio::test]
async fn a_scenario_may_have_a_limit_of_its_own() {
    let app = TestApp::setup()
        .set("TUMA_MESSAGES__MAX_CHARACTERS_BY_SCENARIO__TRANSACTION", "306")
        .set("TUMA_MESSAGES__MAX_CHARACTERS_BY_SCENARIO__OTP", "40")
        .start()
        .await;
    let send = async |scenario: &str, length: usize| {
        let body = json!({"receiver": KENYAN, "message": "a".repeat(length), "scenario": scenario});
        app.post("/sms", &body).await.status
    };
    let table = [
        ("transaction", 306, 202),
        ("transaction", 307, 422),
        ("otp", 40, 202),
        ("otp", 41, 422),
        ("general", 161, 422),
    ];
    for (scenario, length, status) in table {
        assert_eq!(send(scenario, length).await, status, "{length} for {scenario}");
    }
}

#[tokio::test]
async fn what_a_field_can_not_be_is_refused_by_its_name() {
    let app = TestApp::start().await;
    let days = |days: u64| SystemClock::new().now().plus(Duration::from_hours(24 * days)).to_string();
    let mut metadata = serde_json::Map::new();
    metadata.extend((0..21).map(|n| (format!("k{n}"), json!("v"))));
    let mut times = message_with("scheduled_at", days(2).into());
    times["expires_at"] = days(1).into();
    are_refused(
        &app,
        vec![
            (message_with("scenario", "marketing".into()), "/scenario", "unknown_scenario"),
            (message_with("sender", "A name that is far too long".into()), "/sender", "invalid_sender"),
            (message_with("reference", "r".repeat(129).into()), "/reference", "too_long"),
            (message_with("group", "g".repeat(129).into()), "/group", "too_long"),
            (message_with("scheduled_at", days(36).into()), "/scheduled_at", "too_far_ahead"),
            (message_with("expires_at", "2020-01-01T00:00:00Z".into()), "/expires_at", "expires_too_soon"),
            (times, "/expires_at", "expires_too_soon"),
            (message_with("metadata", metadata.into()), "/metadata", "invalid_metadata"),
            (message_with("metadata", json!({"n".repeat(65): "v"})), "/metadata", "invalid_metadata"),
            (message_with("metadata", json!({"n": "v".repeat(257)})), "/metadata", "invalid_metadata"),
        ],
    )
    .await;
}

#[tokio::test]
async fn wrong_types_and_unknown_fields_are_named_by_pointer_and_never_repeated() {
    let app = TestApp::start().await;
    are_refused(
        &app,
        vec![
            (message_with("receiver", json!(254_712_345_678_u64)), "/receiver", "wrong_type"),
            (message_with("message", json!(["Habari"])), "/message", "wrong_type"),
            (message_with("scheduled_at", "tomorrow".into()), "/scheduled_at", "wrong_type"),
            (message_with("metadata", json!({"branch": 7})), "/metadata/branch", "wrong_type"),
            (message_with("metadata", json!({"a/b~c": 7})), "/metadata", "wrong_type"),
            (message_with("colour", "red".into()), "/colour", "unknown_field"),
            (message_with("receivers", json!([KENYAN])), "/receivers", "unknown_field"),
        ],
    )
    .await;
    let twice =
        post(&app, r#"{"receiver": "0712345678", "receiver": "0712345679", "message": "Habari"}"#).await;
    assert_eq!(twice.wrong_fields(), [("/receiver".into(), "duplicate_field".into())]);
    let number = app.post("/sms", &message_with("receiver", json!(254_712_345_678_u64))).await;
    assert!(!number.text.contains("712345678"), "{}", number.text);
}

#[tokio::test]
async fn every_wrong_field_is_named_at_once() {
    let app = TestApp::start().await;
    let body = json!({"receiver": "12345", "message": "", "scenario": "marketing", "sender": "?"});
    let pointers: Vec<_> =
        app.post("/sms", &body).await.wrong_fields().into_iter().map(|(pointer, _)| pointer).collect();
    assert_eq!(pointers, ["/receiver", "/scenario", "/message", "/sender"]);
}

#[tokio::test]
async fn a_bulk_request_has_1_to_100_receivers() {
    let app = TestApp::start().await;
    let too_many: Vec<_> = (0..101).map(|n| format!("0712345{n:03}")).collect();
    for receivers in [json!([]), json!(too_many), Value::Null] {
        let answer = app.post("/sms/bulk", &json!({"receivers": receivers, "message": "Habari"})).await;
        assert_eq!(answer.wrong_fields(), [("/receivers".into(), "receiver_count".into())]);
    }
    assert_eq!(app.count().await, 0);
    let hundred = app.post("/sms/bulk", &json!({"receivers": too_many[..100], "message": "Habari"})).await;
    assert_eq!(hundred.status, 202);
}

#[tokio::test]
async fn a_wrong_type_among_receivers_is_named_by_its_place() {
    let app = TestApp::start().await;
    let answer = app.post("/sms/bulk", &json!({"receivers": [KENYAN, 5], "message": "Habari"})).await;
    assert_eq!(answer.wrong_fields(), [("/receivers/1".into(), "wrong_type".into())]);
}

#[tokio::test]
async fn a_body_over_the_limit_is_answered_413() {
    let app = TestApp::start().await;
    let body = |length: usize| format!("{{\"message\": \"{}\"}}", "x".repeat(length));
    for path in ["/sms", "/sms/bulk"] {
        let answer = app.request(Method::POST, path).body(body(262_144)).send().await;
        assert_eq!((answer.status, answer.problem().as_str()), (413, "too_large"));
        let within = app.request(Method::POST, path).body(body(262_144 - 20)).send().await;
        assert_eq!(within.status, 422);
    }
}

#[tokio::test]
async fn another_media_type_than_json_is_answered_415() {
    let app = TestApp::start().await;
    let body = json!({"receiver": AMERICAN, "message": "Habari"}).to_string();
    let send = async |media_type: &str| {
        let request = app.request(Method::POST, "/sms").header("content-type", media_type);
        request.body(body.clone()).send().await.status
    };
    let table = [
        ("application/json", 202),
        ("application/json; charset=utf-8", 202),
        ("application/vnd.bank+json", 202),
        // What curl -d says unasked.
        ("application/x-www-form-urlencoded", 202),
        ("text/plain", 415),
        ("application/xml", 415),
        ("multipart/form-data; boundary=x", 415),
    ];
    for (media_type, status) in table {
        assert_eq!(send(media_type).await, status, "{media_type}");
    }
    // A header that is left out is fine, too.
    assert_eq!(post(&app, &body).await.status, 202);
}
