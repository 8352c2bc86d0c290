//! `POST /sms`: what is answered, and who carries the message.

use std::sync::Arc;
use std::time::Duration;

use domain::time::Clock as _;
use reqwest::Method;
use serde_json::{Value, json};
use server::keys::Scope;
use testkit::clock::FakeClock;
use testkit::sim::{Provider, SimConfig, Simulator};
use testkit::wait::{LONG, wait_for};

use crate::app::{AMERICAN, KENYAN, TestApp, refusing_address, text};

fn message(receiver: &str) -> Value {
    json!({"receiver": receiver, "message": "Habari"})
}

#[tokio::test]
async fn answers_202_with_the_documented_fields_when_a_message_is_accepted() {
    let app = TestApp::start().await;
    let mut answer = app.accepted(&message("0712345678")).await;
    let fields = answer.as_object_mut().unwrap();
    let id = text(&fields.remove("id").unwrap());
    let created_at = text(&fields.remove("created_at").unwrap());
    assert_eq!(
        answer,
        json!({
            "status": "queued", "receiver": "+254712345678", "scenario": "general", "priority": "normal",
            "encoding": "gsm7", "segments": 1,
        })
    );
    assert!(id.starts_with("msg_") && id.len() == 36, "{id}");
    assert!(
        created_at.ends_with('Z') && created_at.parse::<domain::time::Timestamp>().is_ok(),
        "{created_at}"
    );
}

#[tokio::test]
async fn a_kenyan_number_goes_to_africas_talking_with_its_id_cost_and_status() {
    let app = TestApp::start().await;
    let id = app.send(&message("0712345678")).await;
    let shown = app.shown_when(&id, "sent").await;
    let [entry] = app.sim.ledger().to(KENYAN).try_into().unwrap();
    assert_eq!((entry.provider, entry.body.as_str()), (Provider::AfricasTalking, "Habari"));
    assert_eq!(shown["provider"], "africastalking");
    assert_eq!(shown["provider_message_id"], entry.provider_message_id);
    assert_eq!(shown["cost"], json!({"amount": "0.80", "currency": "KES"}));
}

#[tokio::test]
async fn an_american_number_goes_to_twilio_with_its_id_and_status() {
    let app = TestApp::start().await;
    let id = app.send(&message("+14155550100")).await;
    let shown = app.shown_when(&id, "sent").await;
    let [entry] = app.sim.ledger().to(AMERICAN).try_into().unwrap();
    assert_eq!((entry.provider, entry.body.as_str()), (Provider::Twilio, "Habari"));
    assert_eq!(shown["provider"], "twilio");
    assert_eq!(shown["provider_message_id"], entry.provider_message_id);
    assert_eq!(shown["cost"], Value::Null);
}

#[tokio::test]
async fn sms_provider_changes_who_carries_what_no_rule_claims() {
    let app = TestApp::setup().set("SMS_PROVIDER", "africastalking").start().await;
    let id = app.send(&message(AMERICAN)).await;
    assert_eq!(app.shown_when(&id, "sent").await["provider"], "africastalking");
}

#[tokio::test]
async fn twilio_carries_what_no_rule_claims_when_sms_provider_names_no_provider() {
    let app = TestApp::setup().set("SMS_PROVIDER", "pigeon").start().await;
    let id = app.send(&message(AMERICAN)).await;
    assert_eq!(app.shown_when(&id, "sent").await["provider"], "twilio");
}

#[tokio::test]
async fn rules_in_the_settings_replace_the_built_in_ones() {
    let rules = r#"[
        {prefixes = ["+2541"], provider = "twilio"},
        {scenarios = ["otp"], provider = "africastalking"},
    ]"#
    .replace('\n', " ");
    let app = TestApp::setup().set("TUMA_ROUTING__RULES", &rules).start().await;
    let table = [
        ("+254110123456", "otp", "twilio"),
        ("+254712345678", "otp", "africastalking"),
        ("+14155550100", "otp", "africastalking"),
        ("+254712345678", "transaction", "twilio"),
    ];
    for (receiver, scenario, provider) in table {
        let id = app.send(&json!({"receiver": receiver, "message": "Habari", "scenario": scenario})).await;
        assert_eq!(app.show(&id).await["provider"], provider, "{receiver} for {scenario}");
    }
}

#[tokio::test]
async fn every_form_that_a_kenyan_types_reaches_the_same_phone() {
    let app = TestApp::start().await;
    let forms = [
        "+254712345678",
        "254712345678",
        "0712345678",
        "712345678",
        "0712 345 678",
        "(0712) 345-678",
        "+254 712-345-678",
        "+254 (0)712 345678",
    ];
    for form in forms {
        assert_eq!(app.accepted(&message(form)).await["receiver"], KENYAN, "{form}");
    }
    assert_eq!(app.accepted(&message("0110123456")).await["receiver"], "+254110123456");
}

#[tokio::test]
async fn a_foreign_number_is_never_given_the_code_of_kenya() {
    let app = TestApp::start().await;
    for number in ["+14155550100", "+447400123456", "+255712345678", "+919876543210", "+4915123456789"] {
        assert_eq!(app.accepted(&message(number)).await["receiver"], number);
    }
}

#[tokio::test]
async fn numbers_in_national_form_are_of_the_region_that_is_set() {
    let app = TestApp::setup().set("TUMA_MESSAGES__DEFAULT_REGION", "TZ").start().await;
    assert_eq!(app.accepted(&message("0712345678")).await["receiver"], "+255712345678");
}

#[tokio::test]
async fn the_scenario_picks_the_lane() {
    let app = TestApp::start().await;
    let lanes = [
        ("alert", "critical"),
        ("otp", "high"),
        ("transaction", "normal"),
        ("chama_withdrawal", "normal"),
        ("general", "normal"),
        ("chama_invite", "bulk"),
    ];
    for (scenario, lane) in lanes {
        let answer =
            app.accepted(&json!({"receiver": KENYAN, "message": "Habari", "scenario": scenario})).await;
        assert_eq!((&answer["scenario"], &answer["priority"]), (&json!(scenario), &json!(lane)));
    }
}

#[tokio::test]
async fn encoding_and_segments_are_those_of_the_text() {
    let app = TestApp::setup().set("TUMA_MESSAGES__MAX_CHARACTERS", "1530").start().await;
    let table = [
        ("a".repeat(160), "gsm7", 1),
        ("a".repeat(161), "gsm7", 2),
        ("€".repeat(80), "gsm7", 1),
        ("€".repeat(81), "gsm7", 2),
        ("ę".repeat(70), "ucs2", 1),
        ("ę".repeat(71), "ucs2", 2),
    ];
    for (message, encoding, segments) in table {
        let answer = app.accepted(&json!({"receiver": KENYAN, "message": message})).await;
        assert_eq!((&answer["encoding"], &answer["segments"]), (&json!(encoding), &json!(segments)));
    }
}

#[tokio::test]
async fn a_text_leaves_in_composed_form() {
    let app = TestApp::start().await;
    let answer = app.accepted(&json!({"receiver": KENYAN, "message": "Cafe\u{301}"})).await;
    assert_eq!(answer["encoding"], "gsm7");
    app.shown_when(&text(&answer["id"]), "sent").await;
    assert_eq!(app.sim.ledger().to(KENYAN)[0].body, "Café");
}

#[tokio::test]
async fn the_sender_that_is_asked_for_reaches_the_provider() {
    let app = TestApp::setup().sim(|sim| sim.africastalking.senders.push("SAFESHOP".into())).start().await;
    for receiver in [KENYAN, AMERICAN] {
        let id = app.send(&json!({"receiver": receiver, "message": "Habari", "sender": "SAFESHOP"})).await;
        app.shown_when(&id, "sent").await;
        assert_eq!(app.sim.ledger().to(receiver)[0].from.as_deref(), Some("SAFESHOP"));
    }
}

#[tokio::test]
async fn numbers_are_masked_unless_the_key_may_read() {
    let app = TestApp::start().await;
    let seen = async |scopes: &[Scope]| {
        let key = app.key(scopes).await;
        let request = app.anonymous(Method::POST, "/sms").key(&key);
        text(&request.json(&message(KENYAN)).send().await.json()["receiver"])
    };
    assert_eq!(seen(&[Scope::Send]).await, "+254*****5678");
    assert_eq!(seen(&[Scope::Send, Scope::Read]).await, KENYAN);
    assert_eq!(seen(&[Scope::Admin]).await, KENYAN);
}

#[tokio::test]
async fn a_scheduled_message_leaves_at_its_time() {
    let clock = Arc::new(FakeClock::new());
    let app = TestApp::setup().clock(Arc::clone(&clock) as _).start().await;
    let tomorrow = FakeClock::START.plus(Duration::from_hours(24));
    let body = json!({"receiver": KENYAN, "message": "Habari", "scheduled_at": tomorrow.to_string()});
    let answer = app.accepted(&body).await;
    assert_eq!(answer["status"], "scheduled");

    clock.set(tomorrow.minus(Duration::from_millis(1)));
    let now = app.send(&message(AMERICAN)).await;
    app.shown_when(&now, "sent").await;
    assert_eq!(app.sim.ledger().to(KENYAN), []);

    clock.set(tomorrow);
    let shown = app.shown_when(&text(&answer["id"]), "sent").await;
    assert_eq!(shown["scheduled_at"], tomorrow.to_string());
}

#[tokio::test]
async fn a_message_whose_time_has_run_out_is_never_submitted() {
    let clock = Arc::new(FakeClock::new());
    let app = TestApp::setup().clock(Arc::clone(&clock) as _).start().await;
    let hours = |hours| clock.now().plus(Duration::from_hours(hours)).to_string();
    let body = json!({
        "receiver": KENYAN, "message": "Habari", "scheduled_at": hours(1), "expires_at": hours(2),
    });
    let id = app.send(&body).await;
    clock.advance(Duration::from_hours(3));
    let shown = app.shown_when(&id, "expired").await;
    assert_eq!((&shown["attempts"], &shown["reason"]), (&json!([]), &json!("expired")));
    assert_eq!(app.sim.ledger().count(), 0);
}

#[tokio::test]
async fn nothing_is_stored_when_no_provider_is_configured_for_the_route() {
    let app = TestApp::setup().set("TWILIO_ACCOUNT_SID", "").start().await;
    let answer = app.post("/sms", &message(AMERICAN)).await;
    assert_eq!((answer.status, answer.problem().as_str()), (422, "no_provider"));
    assert_eq!(app.count().await, 0);
    let id = app.send(&message(KENYAN)).await;
    app.shown_when(&id, "sent").await;
}

#[tokio::test]
async fn a_refused_connection_is_tried_again_until_the_provider_is_back() {
    let (reserved, address) = refusing_address();
    let app = TestApp::setup()
        .set("TWILIO_API_BASE_URL", &format!("http://{address}"))
        .set("TUMA_RETRY__BASE_MS", "20")
        .set("TUMA_RETRY__MAX_ATTEMPTS", "1000")
        .start()
        .await;
    let id = app.send(&message(AMERICAN)).await;
    let tried = async || (app.show(&id).await["attempts"].as_array()?.len() > 1).then_some(());
    wait_for(tried, LONG).await.unwrap();

    let back = SimConfig { listen: address, ..SimConfig::default() };
    let back = Simulator::start(back).await.unwrap();
    let shown = app.shown_when(&id, "sent").await;
    assert_eq!(shown["attempts"][0]["outcome"], "not_submitted");
    assert_eq!(shown["attempts"][0]["reason"], "provider_down");
    assert_eq!(back.ledger().count(), 1);
    drop(reserved);
}
