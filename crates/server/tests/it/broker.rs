//! The broker, over the wiring of the program: requests come in by it, events go out.

use std::collections::BTreeMap;

use domain::event::{EventData, EventKind, NewEvent};
use domain::time::Clock as _;
use gateway::SystemClock;
use reqwest::Method;
use serde_json::{Value, json};
use server::keys::Scope;
use testkit::database::Database;
use testkit::nats::NatsServer;
use testkit::wait::{LONG, wait_for};

use crate::app::{AMERICAN, KENYAN, TestApp, environment, text};
use crate::nats::{Peer, Told, kinds};

fn body(message: &str) -> String {
    json!({"receiver": AMERICAN, "message": message, "reference": "r-1", "metadata": {"a": "b"}}).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn request_is_sent_and_every_change_is_told() {
    let nats = NatsServer::start().await;
    let app = TestApp::setup().broker(&nats.url()).start().await;
    let peer = Peer::of(&nats).await;
    peer.wait_for_stream("TUMA_SMS").await;
    peer.ask("normal", body("Habari"), &[]).await;
    for receipt in app.public.wait_for(2).await.unwrap() {
        assert_eq!(app.pass_on(&receipt).await.status, 200);
    }
    let mut events = peer.listen("TUMA_EVENTS").await;
    let told = events.until(|told| told.iter().any(|told| told.text("kind") == "delivered")).await;
    let kinds: Vec<_> = told.iter().map(|told| told.text("kind")).collect();
    assert_eq!(kinds, ["queued", "sent", "delivered"]);
    let id = told[0].text("message_id");
    let shown = app.request(Method::GET, &format!("/sms/{id}")).send().await.json();
    assert_eq!((&shown["status"], &shown["reference"]), (&json!("delivered"), &json!("r-1")));
    for told in told {
        let event = told.json();
        assert_eq!(told.subject, format!("sms.event.{}", text(&event["kind"])));
        assert_eq!(told.headers.get("Nats-Msg-Id"), Some(&text(&event["id"])));
        assert_eq!((&event["message_id"], &event["scenario"]), (&json!(id), &json!("general")));
        assert_eq!((&event["provider"], &event["status"]), (&json!("twilio"), &event["kind"]));
        assert_eq!((&event["reference"], &event["metadata"]), (&json!("r-1"), &json!({"a": "b"})));
        let shown = event.to_string();
        assert!(!shown.contains("Habari") && !shown.contains("4155550100"), "{shown}");
    }
    // What was acknowledged is gone from the broker, texts and numbers with it.
    let mut requests = peer.wait_for_stream("TUMA_SMS").await;
    let is_empty = async || (requests.info().await.unwrap().state.messages == 0).then_some(());
    wait_for(is_empty, LONG).await.unwrap();
    assert_eq!(app.sim.ledger().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn request_over_http_is_told_of_too_and_why_it_failed() {
    let nats = NatsServer::start().await;
    let app = TestApp::setup().broker(&nats.url()).start().await;
    // This number is one that the simulated network refuses.
    let id = app.send(&json!({"receiver": "+14155021211", "message": "Habari", "group": "umoja"})).await;
    let mut events = Peer::of(&nats).await.listen("TUMA_EVENTS").await;
    let told = events.until(|told| told.len() == 2).await;
    assert_eq!(kinds(told, &id), ["queued", "failed"]);
    let failed = told[1].json();
    assert_eq!((&failed["reason"], &failed["provider_code"]), (&json!("invalid_recipient"), &json!("21211")));
    assert_eq!(failed["group"], "umoja");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_status_is_told_under_its_kind_with_its_data() {
    let nats = NatsServer::start().await;
    let app = TestApp::setup().broker(&nats.url()).start().await;
    let peer = Peer::of(&nats).await;
    peer.wait_for_stream("TUMA_EVENTS").await;
    let raised = |kind| NewEvent {
        kind,
        subject: [7; 16],
        caller: None,
        at: SystemClock::new().now(),
        data: EventData::from_json(r#"{"prompt_id":"prm_7","reply":"NDIO"}"#),
    };
    let events = vec![raised(EventKind::PromptReplied), raised(EventKind::PromptClosed)];
    app.gateway.store.raise_events(events).await.unwrap();
    let mut events = peer.listen("TUMA_EVENTS").await;
    let told = events.until(|told| told.len() == 2).await;
    let subjects: Vec<_> = told.iter().map(|told| told.subject.as_str()).collect();
    assert_eq!(subjects, ["sms.event.prompt.replied", "sms.event.prompt.closed"]);
    let closed = told[1].json();
    assert_eq!((&closed["kind"], &closed["data"]["reply"]), (&json!("prompt.closed"), &json!("NDIO")));
    assert_eq!(told[1].headers.get("Nats-Msg-Id"), Some(&text(&closed["id"])));
    let nothing_left = async || (app.gateway.store.outbox().await.unwrap().events == 0).then_some(());
    wait_for(nothing_left, LONG).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn event_that_the_broker_does_not_carry_is_shortened_and_those_behind_it_come() {
    let nats = NatsServer::start().await;
    let app = TestApp::setup().broker(&nats.url()).start().await;
    let peer = Peer::of(&nats).await;
    peer.wait_for_stream("TUMA_EVENTS").await;
    let raised = |data: String| NewEvent {
        kind: EventKind::PromptClosed,
        subject: [7; 16],
        caller: None,
        at: SystemClock::new().now(),
        data: EventData::from_json(data),
    };
    let large = format!(r#"{{"prompt_id":"prm_7","replies":"{}"}}"#, "x".repeat(1 << 20));
    let events = vec![raised(large), raised(r#"{"prompt_id":"prm_8"}"#.into())];
    app.gateway.store.raise_events(events).await.unwrap();
    let mut events = peer.listen("TUMA_EVENTS").await;
    let told = events.until(|told| told.len() == 2).await;
    let [first, second] = [told[0].json(), told[1].json()];
    assert_eq!((&first["data"], &first["left_out"]), (&json!({"prompt_id": "prm_7"}), &json!(["replies"])));
    assert_eq!(second["data"], json!({"prompt_id": "prm_8"}));
    let nothing_left = async || (app.gateway.store.outbox().await.unwrap().events == 0).then_some(());
    wait_for(nothing_left, LONG).await.unwrap();
}

/// Requests that can never be accepted, with the code and the place of what is wrong.
const HOPELESS: &[(&str, &str, &str)] = &[
    ("Habari +254712345678", "malformed_json", ""),
    (r#"["+254712345678"]"#, "validation_failed", ""),
    (r#"{"receiver": "+254712345678", "text": "Siri"}"#, "validation_failed", "/text"),
    (r#"{"receiver": "+254712345678", "message": 7}"#, "validation_failed", "/message"),
    (r#"{"receiver": "+254712345678"}"#, "validation_failed", "/message"),
    (r#"{"receiver": "12", "message": "Siri"}"#, "validation_failed", "/receiver"),
    (
        r#"{"receiver": "+254712345678", "message": "Siri", "scenario": "Siri"}"#,
        "validation_failed",
        "/scenario",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn hopeless_requests_lie_among_the_dead_with_what_is_wrong_and_the_rest_flows() {
    let nats = NatsServer::start().await;
    let app = TestApp::setup().broker(&nats.url()).start().await;
    let peer = Peer::of(&nats).await;
    peer.wait_for_stream("TUMA_SMS").await;
    for (place, (hopeless, ..)) in HOPELESS.iter().enumerate() {
        let name = format!("hopeless-{place}");
        peer.ask("high", hopeless, &[("Nats-Msg-Id", &name), ("Trace", "t-1")]).await;
        peer.ask("high", body(&format!("Habari {place}")), &[]).await;
    }
    // The key of an earlier request with another body.
    let key = [("Idempotency-Key", "key-1")];
    peer.ask("bulk", body("Habari, first"), &key).await;
    wait_for(async || (app.sim.ledger().count() == 8).then_some(()), LONG).await.unwrap();
    peer.ask("bulk", body("Habari, second"), &key).await;

    let mut dead = peer.listen("TUMA_DEAD").await;
    let told = dead.until(|told| told.len() > HOPELESS.len()).await;
    let by_payload: BTreeMap<&[u8], &Told> =
        told.iter().map(|told| (told.payload.as_slice(), told)).collect();
    for (hopeless, code, pointer) in HOPELESS {
        let told = by_payload[hopeless.as_bytes()];
        let problem: Value = serde_json::from_str(&told.headers["Tuma-Problem"]).unwrap();
        assert_eq!(problem["code"], *code, "{hopeless}");
        let named = problem["errors"][0]["pointer"].as_str().unwrap_or_default();
        assert_eq!(named, *pointer, "{problem}");
        assert!(!problem.to_string().contains("Siri") && !problem.to_string().contains("2547"), "{problem}");
        assert_eq!(
            (told.subject.as_str(), told.headers["Tuma-Subject"].as_str()),
            ("sms.dead.high", "sms.send.high")
        );
        assert_eq!(told.headers["Trace"], "t-1");
        assert!(told.headers["Tuma-Msg-Id"].starts_with("hopeless-"), "{told:?}");
    }
    let reused = by_payload[body("Habari, second").as_bytes()];
    let problem: Value = serde_json::from_str(&reused.headers["Tuma-Problem"]).unwrap();
    assert_eq!(
        (&problem["code"], reused.subject.as_str()),
        (&json!("idempotency_key_reused"), "sms.dead.bulk")
    );
    // All others were sent, and nothing is left.
    let mut requests = peer.wait_for_stream("TUMA_SMS").await;
    let is_empty = async || (requests.info().await.unwrap().state.messages == 0).then_some(());
    wait_for(is_empty, LONG).await.unwrap();
    assert_eq!(app.sim.ledger().count(), 8);
    let figures = app.metrics().await;
    let dead = r#"sms_broker_consumed_count_total{fate="dead",lane="high"} 7"#;
    assert!(figures.contains(dead), "{figures}");
}

#[tokio::test(flavor = "multi_thread")]
async fn request_that_a_limit_holds_back_for_a_moment_comes_again_and_for_hours_is_dead() {
    let nats = NatsServer::start().await;
    let rules = r#"[{name = "quick", scenarios = ["general"], by = "receiver", limit = 1, period_s = 2},
        {name = "daily", scenarios = ["alert"], by = "receiver", limit = 1, period_s = 86400}]"#;
    let app = TestApp::setup().set("TUMA_LIMITS__RULES", rules).broker(&nats.url()).start().await;
    let peer = Peer::of(&nats).await;
    peer.wait_for_stream("TUMA_SMS").await;
    for n in 0..3 {
        peer.ask("normal", body(&format!("Habari {n}")), &[]).await;
    }
    wait_for(async || (app.sim.ledger().count() == 3).then_some(()), LONG).await.unwrap();
    let figures = app.metrics().await;
    assert!(figures.contains(r#"sms_broker_consumed_count_total{fate="later",lane="normal"}"#), "{figures}");
    assert!(!figures.contains(r#"fate="dead""#), "{figures}");
    for n in 0..2 {
        let alert = json!({"receiver": AMERICAN, "message": format!("Alert {n}"), "scenario": "alert"});
        peer.ask("critical", alert.to_string(), &[]).await;
    }
    let mut dead = peer.listen("TUMA_DEAD").await;
    let told = &dead.until(|told| told.len() == 1).await[0];
    let problem: Value = serde_json::from_str(&told.headers["Tuma-Problem"]).unwrap();
    assert_eq!(problem["code"], "rate_limited");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hopeless_request_that_fills_what_the_broker_carries_leaves_its_problem_and_no_more() {
    let nats = NatsServer::start().await;
    let _app = TestApp::setup().broker(&nats.url()).start().await;
    let peer = Peer::of(&nats).await;
    peer.wait_for_stream("TUMA_SMS").await;
    let largest = "x".repeat(1 << 20);
    peer.ask("bulk", largest.as_str(), &[]).await;
    let mut dead = peer.listen("TUMA_DEAD").await;
    let told = &dead.until(|told| told.len() == 1).await[0];
    let problem: Value = serde_json::from_str(&told.headers["Tuma-Problem"]).unwrap();
    assert_eq!(
        (&problem["code"], told.headers["Tuma-Left-Out-Bytes"].as_str()),
        (&json!("too_large"), "1048576")
    );
    assert!(told.payload.is_empty());
    let mut requests = peer.wait_for_stream("TUMA_SMS").await;
    let is_empty = async || (requests.info().await.unwrap().state.messages == 0).then_some(());
    wait_for(is_empty, LONG).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_somebody_removed_are_made_again() {
    let nats = NatsServer::start().await;
    let app = TestApp::setup().broker(&nats.url()).start().await;
    let peer = Peer::of(&nats).await;
    peer.wait_for_stream("TUMA_SMS").await;
    let first = app.send(&json!({"receiver": KENYAN, "message": "Habari"})).await;
    let mut events = peer.listen("TUMA_EVENTS").await;
    assert_eq!(kinds(events.until(|told| told.len() == 2).await, &first), ["queued", "sent"]);
    peer.ask("normal", "hopeless", &[]).await;
    peer.listen("TUMA_DEAD").await.until(|told| told.len() == 1).await;
    for stream in ["TUMA_EVENTS", "TUMA_DEAD"] {
        peer.jetstream.delete_stream(stream).await.unwrap();
    }
    let second = app.send(&json!({"receiver": KENYAN, "message": "Kwaheri"})).await;
    peer.ask("normal", "hopeless too", &[]).await;
    let mut events = peer.listen("TUMA_EVENTS").await;
    assert_eq!(kinds(events.until(|told| told.len() == 2).await, &second), ["queued", "sent"]);
    let mut dead = peer.listen("TUMA_DEAD").await;
    assert_eq!(dead.until(|told| told.len() == 1).await[0].payload, b"hopeless too");
    // The stream of requests too, and with it the consumers.
    peer.jetstream.delete_stream("TUMA_SMS").await.unwrap();
    peer.wait_for_stream("TUMA_SMS").await;
    peer.ask("high", body("Habari tena"), &[]).await;
    wait_for(async || (app.sim.ledger().count() == 3).then_some(()), LONG).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn request_that_its_producer_repeats_is_sent_once() {
    let nats = NatsServer::start().await;
    let app = TestApp::setup().broker(&nats.url()).start().await;
    let peer = Peer::of(&nats).await;
    peer.wait_for_stream("TUMA_SMS").await;
    for n in 0..5 {
        let id = format!("try-{n}");
        peer.ask("high", body("Habari"), &[("Idempotency-Key", "order-7"), ("Nats-Msg-Id", &id)]).await;
    }
    // Over HTTP with the same key, and by the same caller, it is the same request. By another it is another.
    peer.ask("normal", body("Kwaheri"), &[]).await;
    wait_for(async || (app.sim.ledger().count() == 2).then_some(()), LONG).await.unwrap();
    let mut requests = peer.wait_for_stream("TUMA_SMS").await;
    let is_empty = async || (requests.info().await.unwrap().state.messages == 0).then_some(());
    wait_for(is_empty, LONG).await.unwrap();
    assert_eq!(app.sim.ledger().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_broker_is_down_http_answers_and_what_happens_is_told_later() {
    let mut nats = NatsServer::start().await;
    let app = TestApp::setup().broker(&nats.url()).start().await;
    Peer::of(&nats).await.wait_for_stream("TUMA_EVENTS").await;
    let before = app.send(&json!({"receiver": KENYAN, "message": "Before"})).await;
    nats.kill().await;
    let mut ids = vec![before];
    for n in 0..20 {
        ids.push(app.send(&json!({"receiver": KENYAN, "message": format!("Meanwhile {n}")})).await);
    }
    for id in &ids {
        app.shown_when(id, "sent").await;
    }
    let figures = app.metrics().await;
    assert!(figures.contains("sms_outbox_age_seconds"), "{figures}");
    nats.run().await;
    let peer = Peer::of(&nats).await;
    let mut events = peer.listen("TUMA_EVENTS").await;
    let told = events.until(|told| ids.iter().all(|id| kinds(told, id).len() >= 2)).await;
    for id in &ids {
        assert_eq!(kinds(told, id), ["queued", "sent"]);
    }
    // And requests are taken again.
    peer.ask("high", body("Habari"), &[]).await;
    wait_for(async || (app.sim.ledger().count() == 22).then_some(()), LONG).await.unwrap();
    let is_forgotten = async || (app.gateway.store.outbox().await.unwrap().events == 0).then_some(());
    wait_for(is_forgotten, LONG).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_broker_dies_again_and_again_events_come_in_order_and_copies_are_equal() {
    let mut nats = NatsServer::start().await;
    let app = TestApp::setup().broker(&nats.url()).start().await;
    let mut ids = Vec::new();
    for n in 0..400 {
        ids.push(app.send(&json!({"receiver": KENYAN, "message": format!("Message {n}")})).await);
        if n % 100 == 50 {
            nats.kill().await;
        }
        if n % 100 == 80 {
            nats.run().await;
        }
    }
    for id in &ids {
        app.shown_when(id, "sent").await;
    }
    let mut events = Peer::of(&nats).await.listen("TUMA_EVENTS").await;
    let is_forgotten = async || (app.gateway.store.outbox().await.unwrap().events == 0).then_some(());
    wait_for(is_forgotten, LONG).await.unwrap();
    let mut stream = Peer::of(&nats).await.wait_for_stream("TUMA_EVENTS").await;
    let count = usize::try_from(stream.info().await.unwrap().state.messages).unwrap();
    let mut seen: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut by_message: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for told in events.until(|told| told.len() == count).await {
        match seen.insert(told.text("id"), told.payload.clone()) {
            Some(first) => assert_eq!(first, told.payload),
            None => by_message.entry(told.text("message_id")).or_default().push(told.text("kind")),
        }
    }
    for id in &ids {
        assert_eq!(by_message[id], ["queued", "sent"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_starts_without_its_broker_and_finds_it_later() {
    let mut nats = NatsServer::start().await;
    nats.kill().await;
    let app = TestApp::setup().broker(&nats.url()).start().await;
    let id = app.send(&json!({"receiver": KENYAN, "message": "Habari"})).await;
    app.shown_when(&id, "sent").await;
    nats.run().await;
    let mut events = Peer::of(&nats).await.listen("TUMA_EVENTS").await;
    let told = events.until(|told| told.len() == 2).await;
    assert_eq!(kinds(told, &id), ["queued", "sent"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_stay_with_the_broker_while_their_caller_may_not_send() {
    let nats = NatsServer::start().await;
    let app = TestApp::setup().broker(&nats.url()).set("TUMA_HTTP__KEY_CACHE_MS", "0").start().await;
    let keys = app.gateway.store.keys().await.unwrap();
    let key = keys.iter().find(|key| key.name == "broker").unwrap();
    app.gateway.store.revoke_key(key.id, crate::app::operator()).await.unwrap();
    let peer = Peer::of(&nats).await;
    peer.wait_for_stream("TUMA_SMS").await;
    peer.ask("normal", body("Habari"), &[]).await;
    let refused = r#"sms_broker_consumed_count_total{fate="later",lane="normal"}"#;
    wait_for(async || app.metrics().await.contains(refused).then_some(()), LONG).await.unwrap();
    let mut requests = peer.wait_for_stream("TUMA_SMS").await;
    assert_eq!(requests.info().await.unwrap().state.messages, 1);
    assert!(peer.jetstream.get_stream("TUMA_DEAD").await.is_err());
    assert_eq!(app.sim.ledger().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_of_the_broker_are_shown_and_can_rest() {
    let nats = NatsServer::start().await;
    let app = TestApp::setup().broker(&nats.url()).start().await;
    let admin = app.key(&[Scope::Admin]).await;
    let shown = app.anonymous(Method::GET, "/workers").key(&admin).send().await.json();
    let names: Vec<_> =
        shown["workers"].as_array().unwrap().iter().map(|worker| text(&worker["name"])).collect();
    for name in ["consume.critical", "consume.high", "consume.normal", "consume.bulk", "publish"] {
        assert!(names.iter().any(|shown| shown == name), "{names:?}");
    }
    let paused = app.anonymous(Method::POST, "/workers/publish/pause").key(&admin).send().await;
    assert_eq!(paused.status, 200, "{}", paused.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn key_that_may_not_send_is_refused_at_the_start_and_not_shown() {
    let nats = NatsServer::start().await;
    let (sim, database) = (
        testkit::sim::Simulator::start(testkit::sim::SimConfig::default()).await.unwrap(),
        Database::fresh(),
    );
    let mut environment = environment(sim.base_url(), database.url());
    environment.push(("TUMA_BROKER__URL".into(), nats.url()));
    environment.push(("TUMA_BROKER__API_KEY".into(), concat!("tuma_", "of-nobody").into()));
    let config = server::config::Config::load(None, environment).unwrap();
    assert!(!format!("{config:?}").contains("of-nobody"));
    let clock = std::sync::Arc::new(gateway::SystemClock::new());
    let refusal = server::assemble::Gateway::start(&config, clock).await.unwrap_err();
    let refusal = format!("{refusal:#}");
    assert!(refusal.contains("broker.api_key is not valid") && !refusal.contains("of-nobody"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_that_only_publishes_needs_no_key_and_one_that_only_consumes_keeps_no_events() {
    let nats = NatsServer::start().await;
    let publishing = TestApp::setup()
        .set("TUMA_BROKER__URL", &nats.url())
        .set("TUMA_BROKER__CONSUME", "false")
        .set("TUMA_BROKER__EVENT_SUBJECT", "shop.sms")
        .set("TUMA_BROKER__EVENT_STREAM", "SHOP")
        .start()
        .await;
    let id = publishing.send(&json!({"receiver": KENYAN, "message": "Habari"})).await;
    let peer = Peer::of(&nats).await;
    let mut events = peer.listen("SHOP").await;
    let told = events.until(|told| told.len() == 2).await;
    assert_eq!(kinds(told, &id), ["queued", "sent"]);
    assert_eq!(told[0].subject, "shop.sms.queued");
    assert!(peer.jetstream.get_stream("TUMA_SMS").await.is_err());

    let consuming = TestApp::setup().broker(&nats.url()).set("TUMA_BROKER__EVENTS", "false").start().await;
    peer.wait_for_stream("TUMA_SMS").await;
    peer.ask("critical", body("Habari"), &[]).await;
    wait_for(async || (consuming.sim.ledger().count() == 1).then_some(()), LONG).await.unwrap();
    assert_eq!(consuming.gateway.store.are_events_kept().await, Ok(false));
    assert_eq!(consuming.gateway.store.events(10).await, Ok(vec![]));
}
