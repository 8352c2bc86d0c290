//! `/metrics`: what is counted, under which names and labels.

use std::collections::{BTreeMap, BTreeSet};

use domain::attempt::{OutcomeKind, Reason};
use domain::guard::{Mode, Rule};
use domain::scenario::{Priority, Scenario};
use reqwest::Method;
use serde_json::json;
use server::keys::Scope;
use testkit::endpoint::Endpoint;
use testkit::sim::{Fault, FaultRule, Provider};
use testkit::wait::{LONG, wait_for, wait_until};

use crate::app::{AMERICAN, CALLBACK_SECRET, KENYAN, TestApp};

const PAGE: &str = include_str!("../../../../docs/metrics.md");

/// A figure: its name, its labels, its value.
#[derive(Debug)]
struct Figure {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// Labels that a figure must have.
type Labels<'a> = &'a [(&'a str, &'a str)];

fn figures(text: &str) -> Vec<Figure> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels.strip_suffix('}').unwrap().split(',').filter(|label| !label.is_empty());
            let labels = labels.map(|label| {
                let (name, value) = label.split_once('=').unwrap();
                (name.to_owned(), value.trim_matches('"').to_owned())
            });
            Figure { name: name.to_owned(), labels: labels.collect(), value: value.parse().unwrap() }
        })
        .collect()
}

/// The sum of a figure over all series that have these labels.
fn sum(text: &str, name: &str, labels: Labels<'_>) -> f64 {
    let has = |figure: &Figure| {
        labels.iter().all(|(name, value)| figure.labels.get(*name).is_some_and(|found| found == value))
    };
    figures(text).iter().filter(|figure| figure.name == name && has(figure)).map(|figure| figure.value).sum()
}

/// A gateway that has done everything that is counted, as far as a test can make it.
async fn busy() -> TestApp {
    let app = TestApp::setup()
        .set("TUMA_RETRY__BASE_MS", "1")
        .set("TUMA_RECONCILE__FIRST_LOOK_MS", "100")
        .set("TUMA_LIMITS__RULES", r#"[{name = "per_client", by = "client_ip", limit = 0, period_s = 60}]"#)
        .start()
        .await;
    for scenario in Scenario::ALL {
        let id = app
            .send(&json!({"receiver": KENYAN, "message": "Habari ę", "scenario": scenario.as_str()}))
            .await;
        app.shown_when(&id, "sent").await;
    }
    let id = app.send(&json!({"receiver": AMERICAN, "message": "Habari"})).await;
    app.shown_when(&id, "sent").await;
    for receipt in app.public.wait_for(2).await.unwrap() {
        app.pass_on(&receipt).await;
    }
    let id = app.send(&json!({"receiver": "+14155021211", "message": "Habari"})).await;
    app.shown_when(&id, "failed").await;
    let once = |fault| FaultRule::next(1, fault).on(Provider::AfricasTalking);
    app.sim.inject(once(Fault::TooManyRequests { retry_after_s: None })).unwrap();
    let id = app.send(&json!({"receiver": KENYAN, "message": "Habari"})).await;
    app.shown_when(&id, "sent").await;
    app.sim.inject(once(Fault::ResetBeforeAccept)).unwrap();
    let id = app.send(&json!({"receiver": KENYAN, "message": "Habari"})).await;
    let in_doubt = async || (app.show(&id).await["attempts"][0]["outcome"] == "ambiguous").then_some(());
    wait_for(in_doubt, LONG).await.unwrap();
    app.anonymous(Method::POST, "/webhooks/twilio/status").body("MessageSid=SM1").send().await;
    app.post("/sms", &json!({"receiver": "12345"})).await;
    let limited = json!({"receiver": AMERICAN, "message": "Habari", "client_ip": "197.232.1.7"});
    assert_eq!(app.post("/sms", &limited).await.status, 429);
    app
}

/// Messages take another route: after an attempt, and before one. And one that was sent leaves a doubt.
async fn fail_over(app: &TestApp) {
    let busy = Fault::TooManyRequests { retry_after_s: None };
    app.sim.inject(FaultRule::next(1, busy).on(Provider::AfricasTalking)).unwrap();
    let id = app.send(&json!({"receiver": KENYAN, "message": "Habari", "scenario": "otp"})).await;
    assert_eq!(app.shown_when(&id, "sent").await["provider"], "twilio");
    let admin = app.key(&[Scope::Admin]).await;
    let operate = async |path: &str| {
        let answer = app.anonymous(Method::POST, path).key(&admin).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    };
    operate("/workers/dispatch.africastalking/pause").await;
    let id = app.send(&json!({"receiver": KENYAN, "message": "Habari"})).await;
    operate("/providers/africastalking/drain").await;
    app.shown_when(&id, "sent").await;
    app.sim.inject(FaultRule::next(1, Fault::AcceptThenReset).on(Provider::Twilio)).unwrap();
    let id = app.send(&json!({"receiver": AMERICAN, "message": "Habari"})).await;
    app.shown_when(&id, "sent").await;
}

#[tokio::test]
async fn success_and_failure_are_counted_by_provider_and_class() {
    let app = busy().await;
    let text = app.metrics().await;
    let (at, tw) = (("provider", "africastalking"), ("provider", "twilio"));
    let table: [(&str, Labels<'_>, f64); 14] = [
        ("sms_accepted_count_total", &[], 10.0),
        ("sms_refused_count_total", &[("code", "invalid_receiver")], 1.0),
        ("sms_refused_count_total", &[("code", "required")], 1.0),
        ("sms_sent_count_total", &[at], 7.0),
        ("sms_sent_count_total", &[tw, ("scenario", "general")], 1.0),
        ("sms_failed_count_total", &[tw, ("reason", "invalid_recipient")], 1.0),
        ("sms_retry_count_total", &[at, ("reason", "rate_limited")], 1.0),
        ("sms_provider_requests_total", &[at, ("outcome", "ambiguous")], 1.0),
        ("sms_provider_total", &[at], 9.0),
        ("sms_scenario_otp_total", &[], 1.0),
        ("sms_scenario_transaction_total", &[], 1.0),
        ("sms_scenario_chama_total", &[], 2.0),
        ("sms_receipt_count_total", &[tw, ("status", "delivered"), ("fate", "matched")], 1.0),
        ("sms_callback_refused_count_total", &[tw, ("why", "forged")], 1.0),
    ];
    for (name, labels, expected) in table {
        let found = sum(&text, name, labels);
        assert!((found - expected).abs() < 1e-9, "{name} {labels:?}: {found}, not {expected}\n{text}");
    }
    let cost = sum(&text, "sms_cost_total", &[at, ("currency", "KES")]);
    assert!((cost - 7.0 * 0.8).abs() < 1e-6, "{cost}");
}

#[tokio::test]
async fn durations_and_lengths_are_counted_once_for_each_message() {
    let app = busy().await;
    let text = app.metrics().await;
    let table = [
        ("sms_duration_seconds_count", 8.0),
        ("sms_message_length_count", 10.0),
        ("sms_queue_time_seconds_count", 11.0),
        ("sms_provider_latency_seconds_count", 11.0),
    ];
    for (name, expected) in table {
        let found = sum(&text, name, &[]);
        assert!((found - expected).abs() < 1e-9, "{name}: {found}, not {expected}\n{text}");
    }
}

#[tokio::test]
async fn the_rates_of_a_provider_are_shares_of_its_attempts() {
    let app = busy().await;
    let text = app.metrics().await;
    let twilio = [("provider", "twilio")];
    for name in ["sms_provider_success_rate", "sms_provider_error_rate"] {
        assert!((sum(&text, name, &twilio) - 0.5).abs() < 1e-9, "{text}");
    }
}

#[tokio::test]
async fn labels_are_closed_sets() {
    let app = busy().await;
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    let sets: BTreeMap<&str, BTreeSet<String>> = BTreeMap::from([
        ("provider", words(&["twilio", "africastalking"])),
        ("scenario", Scenario::ALL.iter().map(ToString::to_string).collect()),
        ("lane", Priority::ALL.iter().map(ToString::to_string).collect()),
        ("reason", Reason::ALL.iter().map(ToString::to_string).collect()),
        ("outcome", OutcomeKind::ALL.iter().map(ToString::to_string).collect()),
        ("encoding", words(&["gsm7", "ucs2"])),
        ("currency", words(&["KES"])),
        ("status", words(&["sent", "failed", "undelivered", "delivered", "unknown"])),
        ("fate", words(&["matched", "parked"])),
        ("why", words(&["forged", "malformed", "unsupported"])),
        ("to", words(&["twilio", "africastalking"])),
        ("kind", words(&["doubt", "silence", "undelivered"])),
        ("verdict", words(&["found", "absent", "given_up", "resent", "passed", "suspected", "refused"])),
        ("mode", Mode::ALL.iter().map(ToString::to_string).collect()),
        ("rule", Rule::ALL.iter().map(ToString::to_string).chain(["none".to_owned()]).collect()),
        ("worker", words(&["dispatch.twilio", "dispatch.africastalking", "reconcile", "sweep"])),
        ("code", words(&["invalid_receiver", "required", "rate_limited"])),
        ("limit", words(&["per_client"])),
        ("listener", words(&["api", "operations"])),
    ]);
    for figure in figures(&app.metrics().await) {
        for (label, value) in &figure.labels {
            let is_bucket = label == "le" && (value == "+Inf" || value.parse::<f64>().is_ok());
            let is_of_library = figure.name == "target_info";
            let known = sets.get(label.as_str()).is_some_and(|set| set.contains(value));
            assert!(known || is_bucket || is_of_library, "{label}={value} in {}", figure.name);
        }
    }
}

#[tokio::test]
async fn every_figure_that_is_shown_is_described_in_the_documentation() {
    let app = busy().await;
    for figure in figures(&app.metrics().await) {
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|part| figure.name.strip_suffix(part))
            .filter(|base| PAGE.contains(&format!("`{base}` (histogram)")))
            .unwrap_or(&figure.name);
        assert!(PAGE.contains(&format!("`{base}`")), "{base}");
        for label in figure.labels.keys().filter(|label| *label != "le" && base != "target_info") {
            let row = PAGE.lines().find(|line| line.contains(&format!("| `{base}`"))).unwrap();
            assert!(row.contains(&format!("`{label}`")), "{base} has the label {label}: {row}");
        }
    }
}

/// Sends a code, checks a wrong one and ends it.
async fn verify(app: &TestApp) {
    let key = app.key(&[server::keys::Scope::Verify]).await;
    let post = async |path: &str, body: serde_json::Value| {
        let answer = app.anonymous(reqwest::Method::POST, path).key(&key).json(&body).send().await;
        assert!(answer.status < 300, "{}", answer.text);
        answer.json()
    };
    let begun = post("/verifications", json!({"receiver": "+254733000111"})).await;
    let path = format!("/verifications/{}", begun["id"].as_str().unwrap());
    post(&format!("{path}/check"), json!({"code": "0123456789"})).await;
    post(&format!("{path}/cancel"), json!({})).await;
}

#[tokio::test]
async fn every_figure_that_is_described_can_be_seen() {
    let app = busy().await;
    fail_over(&app).await;
    let incoming = format!("/webhooks/africastalking/incoming/{CALLBACK_SECRET}");
    let from_phone = app.anonymous(Method::POST, &incoming).body("id=1&to=21512&from=MTN&text=Habari");
    assert_eq!(from_phone.send().await.status, 200);
    verify(&app).await;
    let counted = async || app.metrics().await.contains("sms_reconciled_count_total").then_some(());
    wait_for(counted, LONG).await.unwrap();
    let text = app.metrics().await;
    // What only a failing store, a panic or three days count, and what is measured every few seconds.
    let rare = [
        "sms_store_failure_count_total",
        "sms_worker_panic_count_total",
        "sms_worker_stalled",
        "sms_queue_depth",
        "sms_erased_count_total",
        "sms_overdue_count_total",
        "sms_no_receipt_count_total",
        // Where ten codes of an hour have ended.
        "sms_verification_conversion",
        // Where callers are slow, or too many; where there is TLS.
        "sms_http_cut_count_total",
        "sms_http_certificate_end_seconds",
        // Where there is a broker.
        "sms_broker_consumed_count_total",
        "sms_broker_published_count_total",
        "sms_broker_failure_count_total",
        // Where an event was too large for it.
        "sms_broker_oversized_count_total",
        "sms_outbox_depth",
        "sms_outbox_age_seconds",
        // Where there are webhooks: those tests look at them.
        "sms_webhook_post_count_total",
        "sms_webhook_disabled_count_total",
    ];
    let rows = PAGE.lines().filter(|line| line.starts_with("| `sms."));
    for row in rows {
        let name = row.split('`').nth(3).unwrap();
        assert!(rare.contains(&name) || text.contains(&format!("\n{name}")), "{name} is not shown");
    }
}

#[tokio::test]
async fn the_depth_of_the_queue_is_measured_by_lane() {
    let clock = std::sync::Arc::new(testkit::clock::FakeClock::new());
    let app = TestApp::setup().clock(std::sync::Arc::clone(&clock) as _).start().await;
    let later = testkit::clock::FakeClock::START.plus(std::time::Duration::from_hours(2)).to_string();
    app.send(&json!({"receiver": KENYAN, "message": "Habari", "scenario": "otp", "scheduled_at": later}))
        .await;
    let seen = async || {
        clock.advance(std::time::Duration::from_secs(5));
        let depth =
            sum(&app.metrics().await, "sms_queue_depth", &[("provider", "africastalking"), ("lane", "high")]);
        ((depth - 1.0).abs() < 1e-9).then_some(())
    };
    wait_for(seen, LONG).await.unwrap();
}

#[tokio::test]
async fn figures_are_pushed_by_otlp_where_an_address_is_set() {
    let collector = Endpoint::start().await.unwrap();
    let app = TestApp::setup()
        .set("TUMA_METRICS__OTLP_ENDPOINT", &collector.url("/v1/metrics"))
        .set("TUMA_METRICS__OTLP_INTERVAL_S", "1")
        .start()
        .await;
    let id = app.send(&json!({"receiver": KENYAN, "message": "Habari"})).await;
    app.shown_when(&id, "sent").await;
    let has = |body: &[u8], name: &[u8]| body.windows(name.len()).any(|window| window == name);
    let pushed = || {
        let received = collector.received();
        received.iter().any(|push| push.target == "/v1/metrics" && has(&push.body, b"sms.sent.count"))
    };
    wait_until(pushed, LONG).await.unwrap();
}
