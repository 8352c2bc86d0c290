//! A new message at Twilio.

use std::collections::BTreeSet;
use std::sync::Arc;

use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::clock::FakeClock;
use testkit::sim::{SimConfig, TWILIO_ACCOUNT_SID, TWILIO_MESSAGING_SERVICE_SID, TWILIO_PHONE_NUMBER};

use crate::support::{Bench, RECEIVER, get};

/// The answer to a message that `fields` make up.
async fn code_of(bench: &Bench, fields: &[(&str, &str)]) -> (StatusCode, Value) {
    let got = get(bench.twilio_form("/Messages.json", fields)).await;
    (got.status, got.json()["code"].clone())
}

#[tokio::test]
async fn the_answer_has_every_documented_key_in_its_documented_type() {
    let clock = Arc::new(FakeClock::new());
    let bench = Bench::with(SimConfig { clock, ..SimConfig::default() }).await;
    let got = get(bench.twilio_message(RECEIVER, "Habari \"gani\"?\n", &[])).await;
    assert_eq!(got.status, StatusCode::CREATED);
    assert_eq!(got.header("content-type"), Some("application/json"));
    let request_id = got.header("twilio-request-id").unwrap();
    assert!(request_id.starts_with("RQ") && request_id.len() == 34, "{request_id}");
    assert_eq!(got.header("twilio-concurrent-requests"), Some("1"));

    let message = got.json();
    let sid = message["sid"].as_str().unwrap();
    assert!(sid.starts_with("SM") && sid.len() == 34, "{sid}");
    let path = format!("/2010-04-01/Accounts/{TWILIO_ACCOUNT_SID}/Messages/{sid}");
    let expected = json!({
        "account_sid": TWILIO_ACCOUNT_SID,
        "api_version": "2010-04-01",
        "body": "Habari \"gani\"?\n",
        "date_created": "Mon, 23 Nov 2026 08:30:00 +0000",
        "date_sent": null,
        "date_updated": "Mon, 23 Nov 2026 08:30:00 +0000",
        "direction": "outbound-api",
        "error_code": null,
        "error_message": null,
        "from": TWILIO_PHONE_NUMBER,
        "messaging_service_sid": null,
        "num_media": "0",
        "num_segments": "1",
        "price": null,
        "price_unit": "USD",
        "sid": sid,
        "status": "queued",
        "subresource_uris": {"media": format!("{path}/Media.json")},
        "to": RECEIVER,
        "uri": format!("{path}.json"),
    });
    assert_eq!(message, expected);
}

#[tokio::test]
async fn segments_are_counted_as_they_are_charged() {
    let bench = Bench::start().await;
    for (body, segments) in [("a".repeat(160), "1"), ("a".repeat(161), "2"), ("ẹ".repeat(71), "2")] {
        let got = get(bench.twilio_message(RECEIVER, &body, &[])).await;
        assert_eq!(got.json()["num_segments"], segments);
    }
}

#[tokio::test]
async fn a_messaging_service_has_not_chosen_a_sender_yet() {
    let bench = Bench::start().await;
    let service = TWILIO_MESSAGING_SERVICE_SID;
    let fields = [("To", RECEIVER), ("MessagingServiceSid", service), ("Body", "Habari")];
    let message = get(bench.twilio_form("/Messages.json", &fields)).await.json();
    assert_eq!(message["status"], "accepted");
    assert_eq!(message["num_segments"], "0");
    assert_eq!(message["from"], Value::Null);
    assert_eq!(message["messaging_service_sid"], service);

    let sent = bench.wait_for_status(message["sid"].as_str().unwrap(), "delivered").await;
    assert_eq!((&sent["num_segments"], &sent["from"]), (&json!("1"), &json!(TWILIO_PHONE_NUMBER)));
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_refused_with_its_code() {
    let bench = Bench::start().await;
    let (to, from, body) = (("To", RECEIVER), ("From", "TUMA"), ("Body", "Habari"));
    let long = "a".repeat(1601);
    for (fields, code) in [
        (&[from, body][..], 21604),
        (&[to, body], 21603),
        (&[to, from], 21602),
        (&[to, from, ("Body", "")], 21602),
        (&[("To", "+2547"), from, body], 21211),
        (&[("To", "254712345678"), from, body], 21211),
        (&[("To", "+0712345678"), from, body], 21211),
        (&[to, ("From", "TwelveLetter"), body], 21212),
        (&[to, ("From", "Shop!"), body], 21212),
        (&[to, ("MessagingServiceSid", "MG123"), body], 21701),
        (&[to, from, ("Body", &long)], 21617),
        (&[to, from, body, ("StatusCallback", "my-shop/status")], 21609),
        (&[to, from, body, ("StatusCallback", "http://my_shop.co.ke/status")], 21609),
        (&[to, from, body, ("ValidityPeriod", "36001")], 21624),
        (&[to, from, body, ("ValidityPeriod", "soon")], 21624),
    ] {
        assert_eq!(code_of(&bench, fields).await, (StatusCode::BAD_REQUEST, json!(code)), "{fields:?}");
    }
    assert_eq!(bench.sim.ledger().count(), 0);
    assert_eq!(bench.sim.stats().twilio.refused, 15);
}

#[tokio::test]
async fn a_bad_receiver_is_named_in_the_message() {
    let bench = Bench::start().await;
    let got = get(bench.twilio_message("+2547", "Habari", &[])).await;
    let expected = json!({
        "code": 21211,
        "message": "The 'To' number +2547 is not a valid phone number.",
        "more_info": "https://www.twilio.com/docs/errors/21211",
        "status": 400,
    });
    assert_eq!(got.json(), expected);
}

#[tokio::test]
async fn what_is_at_the_limit_is_taken() {
    let bench = Bench::start().await;
    let limit = "a".repeat(1600);
    for (from, body) in [("TUMA", limit.as_str()), ("20414", "Habari"), ("Eleven Char", "Habari")] {
        let fields = [("To", RECEIVER), ("From", from), ("Body", body), ("ValidityPeriod", "36000")];
        assert_eq!(code_of(&bench, &fields).await.0, StatusCode::CREATED, "{from}");
    }
    let more =
        [("StatusCallback", "https://sms.example.co.ke:8443/hooks?m=1#rc=2"), ("SmartEncoded", "true")];
    let got = get(bench.twilio_message(RECEIVER, "Habari", &more)).await;
    assert_eq!(got.status, StatusCode::CREATED);
}

#[tokio::test]
async fn the_test_numbers_of_twilio_mean_what_they_mean_there() {
    let bench = Bench::start().await;
    for (to, from, code) in [
        ("+15005550001", TWILIO_PHONE_NUMBER, 21211),
        ("+15005550002", TWILIO_PHONE_NUMBER, 21612),
        ("+15005550003", TWILIO_PHONE_NUMBER, 21408),
        ("+15005550004", TWILIO_PHONE_NUMBER, 21610),
        ("+15005550009", TWILIO_PHONE_NUMBER, 21614),
        (RECEIVER, "+15005550001", 21212),
        (RECEIVER, "+15005550007", 21606),
        (RECEIVER, "+15005550008", 21611),
    ] {
        let fields = [("To", to), ("From", from), ("Body", "Habari")];
        assert_eq!(code_of(&bench, &fields).await, (StatusCode::BAD_REQUEST, json!(code)), "{to} {from}");
    }
}

#[tokio::test]
async fn the_last_six_digits_choose_a_refusal() {
    let bench = Bench::start().await;
    let got = get(bench.twilio_message("+254712021610", "Habari", &[])).await;
    assert_eq!((got.status, &got.json()["code"]), (StatusCode::BAD_REQUEST, &json!(21610)));

    let plain = Bench::with(SimConfig { magic_numbers: false, ..SimConfig::default() }).await;
    plain.twilio_sent("+254712021610", "Habari", &[]).await;
}

#[tokio::test]
async fn a_message_sent_twice_is_taken_twice() {
    let bench = Bench::start().await;
    let first = bench.twilio_sent(RECEIVER, "Habari", &[]).await;
    let second = bench.twilio_sent(RECEIVER, "Habari", &[]).await;
    assert_ne!(first, second);
    let sids: BTreeSet<String> =
        bench.sim.ledger().entries().into_iter().map(|entry| entry.provider_message_id).collect();
    assert_eq!(sids, BTreeSet::from([first, second]));
}

#[tokio::test]
async fn more_requests_at_once_than_the_limit_are_turned_away() {
    let mut config = SimConfig::default();
    config.twilio.concurrency_limit = Some(0);
    let bench = Bench::with(config).await;
    let got = get(bench.twilio_message(RECEIVER, "Habari", &[])).await;
    assert_eq!((got.status, &got.json()["code"]), (StatusCode::TOO_MANY_REQUESTS, &json!(20429)));
    assert_eq!(bench.sim.ledger().count(), 0);
}
