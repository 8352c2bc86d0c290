//! The timeline of `GET /sms/{id}`: a story that can be read aloud, with every callback as it came.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use server::keys::Scope;
use testkit::clock::FakeClock;
use testkit::sim::{CallbackUrls, Fault, FaultRule, Provider};
use testkit::wait::{LONG, wait_for, wait_until};

use crate::app::{AMERICAN, CALLBACK_SECRET, KENYAN, TestApp, refusing_address, text};

fn events(shown: &Value) -> Vec<String> {
    shown["timeline"].as_array().unwrap().iter().map(|entry| text(&entry["event"])).collect()
}

fn story(shown: &Value) -> Vec<String> {
    shown["timeline"].as_array().unwrap().iter().map(|entry| text(&entry["detail"])).collect()
}

/// The callbacks of a message, each as its fields by name.
fn callbacks(shown: &Value) -> Vec<Vec<(String, String)>> {
    let entries = shown["timeline"].as_array().unwrap().iter().filter(|entry| entry["event"] == "receipt");
    let fields = |entry: &Value| {
        let fields = entry["raw"].as_array().unwrap_or_else(|| panic!("{entry}")).iter();
        fields.map(|field| (text(&field["name"]), text(&field["value"]))).collect()
    };
    entries.map(fields).collect()
}

fn words(callbacks: &[Vec<(String, String)>], name: &str) -> Vec<String> {
    let of = |fields: &Vec<(String, String)>| {
        let field = fields.iter().find(|(found, _)| found == name);
        field.unwrap_or_else(|| panic!("no {name} in {fields:?}")).1.clone()
    };
    callbacks.iter().map(of).collect()
}

/// Lets Africa's Talking call the gateway.
fn report(app: &TestApp) {
    let url = format!("http://{}/webhooks/africastalking/status/{CALLBACK_SECRET}", app.gateway.address);
    let urls = CallbackUrls { africastalking_delivery: Some(url), ..CallbackUrls::default() };
    app.sim.set_callback_urls(urls);
}

/// Receipts come before the answer, the last one first, and each of them twice.
fn confuse(app: &TestApp) {
    for fault in [Fault::ReceiptEarly, Fault::ReceiptOutOfOrder, Fault::ReceiptDuplicate { copies: 1 }] {
        app.sim.inject(FaultRule::always(fault)).unwrap();
    }
}

/// Waits until so many callbacks are shown.
async fn told(app: &TestApp, id: &str, count: usize) -> Value {
    let told = async || {
        let shown = app.show(id).await;
        let all = callbacks(&shown).len() >= count && shown["attempts"][0]["outcome"] == "accepted";
        all.then_some(shown)
    };
    wait_for(told, LONG).await.unwrap()
}

#[tokio::test]
async fn receipts_of_twilio_before_the_answer_twice_and_in_reverse_order_end_in_delivered() {
    let (_reserved, address) = refusing_address();
    let app = TestApp::setup()
        .set("TUMA_LISTEN", &address.to_string())
        .set("TUMA_PUBLIC_URL", &format!("http://{address}"))
        .start()
        .await;
    confuse(&app);
    let id = app.send(&json!({"receiver": AMERICAN, "message": "Habari"})).await;
    let shown = told(&app, &id, 4).await;
    assert_eq!(shown["status"], "delivered");
    let callbacks = callbacks(&shown);
    assert_eq!(words(&callbacks, "MessageStatus"), ["delivered", "delivered", "sent", "sent"]);
    assert_eq!(words(&callbacks, "To"), [AMERICAN; 4]);
    assert_eq!(app.sim.ledger().count(), 1);
}

#[tokio::test]
async fn receipts_of_africas_talking_before_the_answer_twice_and_in_reverse_order_end_in_delivered() {
    let app = TestApp::start().await;
    report(&app);
    confuse(&app);
    let id = app.send(&json!({"receiver": KENYAN, "message": "Habari"})).await;
    // Four words for each message: Sent, Submitted, Buffered, Success.
    let shown = told(&app, &id, 8).await;
    assert_eq!(shown["status"], "delivered");
    let callbacks = callbacks(&shown);
    assert_eq!(words(&callbacks, "status")[..2], ["Success", "Success"]);
    assert_eq!(words(&callbacks, "phoneNumber"), [KENYAN; 8]);
    assert_eq!(app.sim.ledger().count(), 1);
}

#[tokio::test]
async fn the_number_in_a_callback_is_masked_for_whoever_sees_it_masked() {
    let app = TestApp::start().await;
    report(&app);
    let key = app.key(&[Scope::Send]).await;
    let request = app.anonymous(Method::POST, "/sms").key(&key);
    let answer = request.json(&json!({"receiver": KENYAN, "message": "Habari"})).send().await.json();
    let id = text(&answer["id"]);
    app.shown_when(&id, "delivered").await;
    let shown = app.anonymous(Method::GET, &format!("/sms/{id}")).key(&key).send().await;
    assert!(!shown.text.contains("712345678"), "{}", shown.text);
    let masked = words(&callbacks(&shown.json()), "phoneNumber");
    assert!(masked.iter().all(|number| number == "+254*****5678"), "{masked:?}");
}

#[tokio::test]
async fn a_message_that_took_another_route_says_why() {
    let app = TestApp::start().await;
    let busy = Fault::TooManyRequests { retry_after_s: None };
    app.sim.inject(FaultRule::next(1, busy).on(Provider::AfricasTalking)).unwrap();
    let id = app.send(&json!({"receiver": KENYAN, "message": "Habari", "scenario": "otp"})).await;
    let shown = app.shown_when(&id, "sent").await;
    assert_eq!(
        story(&shown),
        [
            "accepted for the scenario otp, to be sent by africastalking",
            "attempt 1: handed to africastalking",
            "attempt 1: it did not get to africastalking: there were too many requests (code 429)",
            "goes by twilio instead of africastalking: there were too many requests (code 429)",
            "attempt 2: handed to twilio",
            "attempt 2: twilio took it",
        ]
    );
}

#[tokio::test]
async fn what_happens_in_one_moment_is_told_in_order() {
    let clock = Arc::new(FakeClock::new());
    let app = TestApp::setup().clock(Arc::clone(&clock) as _).start().await;
    let id = app.send(&json!({"receiver": AMERICAN, "message": "Habari"})).await;
    app.shown_when(&id, "sent").await;
    for receipt in app.public.wait_for(2).await.unwrap() {
        app.pass_on(&receipt).await;
    }
    let shown = app.show(&id).await;
    assert_eq!(events(&shown), ["accepted", "attempt_started", "attempt_ended", "receipt", "receipt"]);
    assert_eq!(shown["timeline"][0]["at"], shown["timeline"][4]["at"]);
}

#[tokio::test]
async fn a_message_whose_time_ran_out_says_so() {
    let clock = Arc::new(FakeClock::new());
    let app = TestApp::setup().clock(Arc::clone(&clock) as _).start().await;
    let later = Fault::TooManyRequests { retry_after_s: Some(20) };
    app.sim.inject(FaultRule::always(later)).unwrap();
    let id = app.send(&json!({"receiver": KENYAN, "message": "Habari", "scenario": "otp"})).await;
    let expired = async || {
        clock.advance(Duration::from_secs(1));
        (app.show(&id).await["status"] == "expired").then_some(())
    };
    wait_for(expired, LONG).await.unwrap();
    let last = app.show(&id).await["timeline"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&last["event"], text(&last["detail"])),
        (&json!("expired"), "given up: its time ran out before a provider took it".into())
    );
    assert!(wait_until(|| app.sim.ledger().count() == 0, LONG).await.is_ok());
}
