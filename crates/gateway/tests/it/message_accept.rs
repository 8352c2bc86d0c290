//! Step 1: a request for one message is checked and stored, or refused and forgotten.

use std::collections::BTreeMap;

use domain::encoding::Encoding;
use domain::message::MessageStatus;
use domain::scenario::{Priority, Scenario};
use domain::template::Variables;
use gateway::SendError;
use gateway::request::Content;
use testkit::clock::FakeClock;

use crate::bench::{AMERICAN, Bench, KENYAN, caller, request, seconds, text, wrong_fields};

#[tokio::test]
async fn an_accepted_message_is_stored_as_it_was_answered() {
    let bench = Bench::start().await;
    let content = Content {
        scenario: Some("transaction".into()),
        sender: Some("SAFESHOP".into()),
        reference: Some("deposit-4711".into()),
        group: Some("chama-7".into()),
        metadata: BTreeMap::from([("branch".into(), "Nakuru".into())]),
        ..text("Habari")
    };
    let answer = bench.try_send("0712 345 678", content.clone()).await.unwrap();
    assert_eq!((answer.status, answer.scenario), (MessageStatus::Queued, Scenario::Transaction));
    assert_eq!((answer.priority, answer.encoding, answer.segments), (Priority::Normal, Encoding::Gsm7, 1));
    assert_eq!((answer.receiver.to_e164().as_str(), answer.created_at), (KENYAN, FakeClock::START));
    let message = bench.show(answer.id).await.summary.message;
    assert_eq!(message.caller, caller().key);
    assert_eq!(message.body.expose(), "Habari");
    assert_eq!(message.sender.map(|sender| sender.to_string()), content.sender);
    assert_eq!((message.reference, message.group), (content.reference, content.group));
    assert_eq!(message.metadata, content.metadata);
}

#[tokio::test]
async fn a_text_is_kept_in_normalization_form_c() {
    let bench = Bench::start().await;
    let answer = bench.try_send(KENYAN, text("Cafe\u{301} A\u{30a}")).await.unwrap();
    assert_eq!(answer.encoding, Encoding::Gsm7);
    assert_eq!(bench.show(answer.id).await.summary.message.body.expose(), "Café Å");
}

#[tokio::test]
async fn characters_are_counted_after_normalization() {
    let bench = Bench::setup().settings(|settings| settings.max_characters = 4).start().await;
    bench.try_send(KENYAN, text("Cafe\u{301}")).await.unwrap();
    let refused = bench.try_send(KENYAN, text("Cafés")).await;
    assert_eq!(wrong_fields(refused), [("/message".into(), "message_too_long")]);
}

#[tokio::test]
async fn a_scenario_s_own_limit_counts_instead_of_the_general_one() {
    let limits = BTreeMap::from([(Scenario::Transaction, 306), (Scenario::Otp, 40)]);
    let bench =
        Bench::setup().settings(|settings| settings.max_characters_by_scenario = limits).start().await;
    let fits = async |scenario: &str, length: usize| {
        let content = Content { scenario: Some(scenario.into()), ..text(&"a".repeat(length)) };
        bench.try_send(KENYAN, content).await.is_ok()
    };
    assert!(fits("transaction", 306).await && !fits("transaction", 307).await);
    assert!(fits("otp", 40).await && !fits("otp", 41).await);
    assert!(fits("alert", 160).await && !fits("alert", 161).await);
}

#[tokio::test]
async fn no_limit_allows_more_than_ten_segments() {
    let bench = Bench::setup().settings(|settings| settings.max_characters = 10_000).start().await;
    let segments = async |body: &str| bench.try_send(KENYAN, text(body)).await.map(|answer| answer.segments);
    assert_eq!(segments(&"a".repeat(1_530)).await, Ok(10));
    assert_eq!(segments(&"ę".repeat(670)).await, Ok(10));
    for body in ["a".repeat(1_531), "ę".repeat(671)] {
        assert_eq!(wrong_fields(segments(&body).await), [("/message".into(), "too_many_segments")]);
    }
}

#[tokio::test]
async fn a_number_in_national_form_is_of_the_default_region() {
    let bench =
        Bench::setup().settings(|settings| settings.default_region = "TZ".parse().unwrap()).start().await;
    let answer = bench.try_send("0712345678", text("Habari")).await.unwrap();
    assert_eq!(answer.receiver.to_e164(), "+255712345678");
}

#[tokio::test]
async fn every_mistake_of_a_request_is_named() {
    let bench = Bench::start().await;
    let content = Content {
        message: " ".into(),
        scenario: Some("marketing".into()),
        sender: Some("?".into()),
        reference: Some("r".repeat(129)),
        group: Some("g".repeat(129)),
        template: None,
        variables: Variables::default(),
        locale: None,
        client_ip: None,
        metadata: (0..21).map(|n| (n.to_string(), String::new())).collect(),
        scheduled_at: Some(FakeClock::START.plus(seconds(36 * 86_400))),
        expires_at: Some(FakeClock::START),
    };
    let refused = bench.try_send("12345", content).await;
    let expected = [
        ("/receiver", "invalid_receiver"),
        ("/scenario", "unknown_scenario"),
        ("/message", "message_empty"),
        ("/sender", "invalid_sender"),
        ("/reference", "too_long"),
        ("/group", "too_long"),
        ("/metadata", "invalid_metadata"),
        ("/scheduled_at", "too_far_ahead"),
        ("/expires_at", "expires_too_soon"),
    ];
    assert_eq!(wrong_fields(refused), expected.map(|(pointer, code)| (pointer.to_owned(), code)));
    assert_eq!((bench.count().await, bench.sim.ledger().count()), (0, 0));
}

#[tokio::test]
async fn a_message_without_a_provider_is_refused_and_not_stored() {
    let bench = Bench::setup().without("twilio").start().await;
    assert_eq!(bench.try_send(AMERICAN, text("Habari")).await.unwrap_err(), SendError::NoProvider);
    assert_eq!(bench.count().await, 0);
}

#[tokio::test]
async fn nothing_is_accepted_by_a_service_that_was_stopped() {
    let bench = Bench::start().await;
    bench.service.stop().await;
    let refused = bench.service.send_sms(caller(), request(KENYAN, text("Habari"))).await;
    assert_eq!(refused.unwrap_err(), SendError::Store(store::StoreError::Stopped));
}
