//! What can be asked of a message at Twilio after it was taken, and of the account.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::endpoint::Endpoint;
use testkit::sim::{SimConfig, TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, TWILIO_MESSAGING_SERVICE_SID};

use crate::support::{Bench, RECEIVER, get};

/// A simulator whose messages stay where they are.
async fn still_bench() -> Bench {
    let hour = Duration::from_hours(1);
    Bench::with(SimConfig { sent_after: hour, ended_after: hour, ..SimConfig::default() }).await
}

#[tokio::test]
async fn a_message_is_fetched_as_it_stands() {
    let bench = Bench::start().await;
    let sid = bench.twilio_sent(RECEIVER, &"a".repeat(161), &[]).await;
    let message = bench.wait_for_status(&sid, "delivered").await;
    assert_eq!(message["sid"], sid);
    assert_eq!((&message["price"], &message["price_unit"]), (&json!("-0.01500"), &json!("USD")));
    assert!(message["date_sent"].is_string());
    assert_eq!(message["error_code"], Value::Null);
}

#[tokio::test]
async fn the_last_digits_of_the_receiver_choose_how_it_ends() {
    let bench = Bench::start().await;
    for (to, status, code) in [
        ("+254712030003", "undelivered", json!(30003)),
        ("+254712030007", "undelivered", json!(30007)),
        ("+254712030036", "failed", json!(30036)),
        ("+254712000911", "sent", Value::Null),
        ("+254712000910", "sent", Value::Null),
    ] {
        let sid = bench.twilio_sent(to, "Habari", &[]).await;
        let message = bench.wait_for_status(&sid, status).await;
        assert_eq!(message["error_code"], code, "{to}");
    }
}

#[tokio::test]
async fn an_unknown_message_is_not_found() {
    let bench = Bench::start().await;
    let rest = "/Messages/SM00000000000000000000000000000000.json";
    for request in [
        bench.twilio(Method::GET, rest),
        bench.twilio(Method::DELETE, rest),
        bench.twilio_form(rest, &[("Status", "canceled")]),
        bench.twilio_form(rest, &[("Body", "")]),
    ] {
        let got = get(request).await;
        assert_eq!((got.status, &got.json()["code"]), (StatusCode::NOT_FOUND, &json!(20404)));
    }
}

#[tokio::test]
async fn a_message_is_canceled_before_it_is_sent_and_says_so() {
    let bench = still_bench().await;
    let endpoint = Endpoint::start().await.unwrap();
    let callback = endpoint.url("/status");
    let sid = bench.twilio_sent(RECEIVER, "Habari", &[("StatusCallback", &callback)]).await;
    let rest = format!("/Messages/{sid}.json");

    let misspelled = get(bench.twilio_form(&rest, &[("Status", "cancelled")])).await;
    assert_eq!(misspelled.status, StatusCode::BAD_REQUEST);
    let canceled = get(bench.twilio_form(&rest, &[("Status", "canceled")])).await;
    assert_eq!((canceled.status, &canceled.json()["status"]), (StatusCode::OK, &json!("canceled")));

    let told = endpoint.wait_for(1).await.unwrap();
    assert_eq!(told[0].field("MessageStatus").as_deref(), Some("canceled"));
    let again = get(bench.twilio_form(&rest, &[("Status", "canceled")])).await;
    assert_eq!((again.status, &again.json()["code"]), (StatusCode::BAD_REQUEST, &json!(30409)));
}

#[tokio::test]
async fn a_message_that_was_sent_is_not_canceled_any_more() {
    let bench = Bench::start().await;
    let sid = bench.twilio_sent(RECEIVER, "Habari", &[]).await;
    bench.wait_for_status(&sid, "delivered").await;
    let got = get(bench.twilio_form(&format!("/Messages/{sid}.json"), &[("Status", "canceled")])).await;
    assert_eq!((got.status, &got.json()["code"]), (StatusCode::BAD_REQUEST, &json!(30409)));
}

#[tokio::test]
async fn a_scheduled_message_waits_for_its_time() {
    let bench = Bench::start().await;
    let fields = [
        ("To", RECEIVER),
        ("MessagingServiceSid", TWILIO_MESSAGING_SERVICE_SID),
        ("Body", "Habari"),
        ("ScheduleType", "fixed"),
        ("SendAt", "2999-01-01T00:00:00Z"),
    ];
    let message = get(bench.twilio_form("/Messages.json", &fields)).await.json();
    assert_eq!(message["status"], "scheduled");

    let without_service = [("To", RECEIVER), ("From", "TUMA"), ("Body", "Habari"), fields[3], fields[4]];
    let got = get(bench.twilio_form("/Messages.json", &without_service)).await;
    assert_eq!(got.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_body_is_redacted_once_the_message_has_ended() {
    let bench = Bench::start().await;
    let sid = bench.twilio_sent(RECEIVER, "Habari", &[]).await;
    bench.wait_for_status(&sid, "delivered").await;
    let redacted = get(bench.twilio_form(&format!("/Messages/{sid}.json"), &[("Body", "")])).await;
    assert_eq!((redacted.status, &redacted.json()["body"]), (StatusCode::OK, &json!("")));
    assert_eq!(bench.sim.ledger().entries()[0].body, "Habari");
}

#[tokio::test]
async fn a_message_is_deleted_once_it_has_ended() {
    let bench = Bench::start().await;
    let sid = bench.twilio_sent(RECEIVER, "Habari", &[]).await;
    bench.wait_for_status(&sid, "delivered").await;
    let rest = format!("/Messages/{sid}.json");
    let deleted = get(bench.twilio(Method::DELETE, &rest)).await;
    assert_eq!((deleted.status, deleted.text.as_str()), (StatusCode::NO_CONTENT, ""));
    assert_eq!(get(bench.twilio(Method::GET, &rest)).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_message_under_way_is_neither_redacted_nor_deleted() {
    let bench = still_bench().await;
    let sid = bench.twilio_sent(RECEIVER, "Habari", &[]).await;
    let rest = format!("/Messages/{sid}.json");
    for request in [bench.twilio_form(&rest, &[("Body", "")]), bench.twilio(Method::DELETE, &rest)] {
        let got = get(request).await;
        assert_eq!(got.json()["code"], 20009, "{}", got.status);
    }
}

#[tokio::test]
async fn the_balance_is_a_text_that_falls() {
    let mut config = SimConfig::default();
    config.twilio.balance_micros = 5_000_000;
    config.twilio.price_micros = 20_000;
    let bench = Bench::with(config).await;
    let balance = async || get(bench.twilio(Method::GET, "/Balance.json")).await.json();
    let expected = json!({"account_sid": TWILIO_ACCOUNT_SID, "balance": "5.00", "currency": "USD"});
    assert_eq!(balance().await, expected);
    bench.twilio_sent(RECEIVER, &"a".repeat(161), &[]).await;
    assert_eq!(balance().await["balance"], "4.96");
}

#[tokio::test]
async fn the_account_tells_its_standing_and_its_token() {
    let bench = Bench::start().await;
    let account = get(bench.twilio(Method::GET, ".json")).await.json();
    assert_eq!(account["sid"], TWILIO_ACCOUNT_SID);
    assert_eq!(account["owner_account_sid"], TWILIO_ACCOUNT_SID);
    assert_eq!((&account["status"], &account["type"]), (&json!("active"), &json!("Full")));
    assert_eq!(account["auth_token"], TWILIO_AUTH_TOKEN);
}

#[tokio::test]
async fn a_method_that_a_resource_lacks_is_refused() {
    let bench = Bench::start().await;
    let got = get(bench.twilio(Method::DELETE, "/Messages.json")).await;
    assert_eq!((got.status, &got.json()["code"]), (StatusCode::METHOD_NOT_ALLOWED, &json!(20004)));
}
