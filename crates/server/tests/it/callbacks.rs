//! Delivery receipts: who may bring them, and what they do.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use testkit::endpoint::Received;
use testkit::sim::{CallbackUrls, Fault, FaultRule, Provider};
use testkit::wait::{LONG, wait_for, wait_until};

use crate::app::{AMERICAN, CALLBACK_SECRET, KENYAN, TestApp, text};
use crate::http::Answer;

fn message(receiver: &str) -> Value {
    json!({"receiver": receiver, "message": "Habari"})
}

/// A message that was sent, and the receipts that Twilio posted to the public address.
async fn sent_by_twilio(app: &TestApp, receiver: &str) -> (String, Vec<Received>) {
    let id = app.send(&message(receiver)).await;
    app.shown_when(&id, "sent").await;
    let receipts = app.public.wait_for(2).await.unwrap();
    (id, receipts)
}

/// The same callback with something else in it.
fn with_body(callback: &Received, change: impl FnOnce(String) -> String) -> Received {
    let body = String::from_utf8(callback.body.to_vec()).unwrap();
    Received { body: change(body).into(), ..callback.clone() }
}

fn receipts(shown: &Value) -> usize {
    shown["timeline"].as_array().unwrap().iter().filter(|entry| entry["event"] == "receipt").count()
}

fn is_refused(answer: &Answer) -> bool {
    answer.status == 403 && answer.problem() == "callback_refused"
}

/// Lets Africa's Talking call the gateway at this path.
fn report_to(app: &TestApp, path: &str) {
    let url = format!("http://{}{path}", app.gateway.address);
    let urls = CallbackUrls { africastalking_delivery: Some(url), ..CallbackUrls::default() };
    app.sim.set_callback_urls(urls);
}

#[tokio::test]
async fn signed_receipts_of_twilio_move_the_message_to_delivered() {
    let app = TestApp::start().await;
    let (id, receipts) = sent_by_twilio(&app, AMERICAN).await;
    for receipt in &receipts {
        let answer = app.pass_on(receipt).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, ""));
    }
    let shown = app.show(&id).await;
    assert_eq!(shown["status"], "delivered");
    let last = shown["timeline"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["event"], &last["detail"]),
        (&json!("receipt"), &json!("twilio reports \"delivered\": the phone has it"))
    );
}

#[tokio::test]
async fn twilio_is_asked_to_call_the_public_address_with_our_id() {
    let app = TestApp::start().await;
    let (id, receipts) = sent_by_twilio(&app, AMERICAN).await;
    assert_eq!(receipts[0].target, format!("/webhooks/twilio/status?m={id}&a=1"));
}

#[tokio::test]
async fn a_forged_receipt_is_refused_changes_nothing_and_is_counted() {
    let app = TestApp::start().await;
    let (id, receipts) = sent_by_twilio(&app, AMERICAN).await;
    let before = app.show(&id).await;
    let sent = &receipts[0];
    let elsewhere = Received { target: sent.target.replace("a=1", "a=2"), ..sent.clone() };
    let mut unsigned = sent.clone();
    unsigned.headers.remove("x-twilio-signature");
    let mut of_nobody = sent.clone();
    of_nobody.headers.insert("x-twilio-signature", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=".parse().unwrap());
    let forged = [
        with_body(sent, |body| body.replace("MessageStatus=sent", "MessageStatus=delivered")),
        with_body(sent, |body| body + "&Extra=1"),
        elsewhere,
        unsigned,
        of_nobody,
    ];
    for callback in &forged {
        let answer = app.pass_on(callback).await;
        assert!(is_refused(&answer), "{answer:?} to {callback:?}");
    }
    assert_eq!(app.show(&id).await, before);
    let counted = "sms_callback_refused_count_total{provider=\"twilio\",why=\"forged\"} 5";
    let metrics = app.metrics().await;
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test]
async fn a_receipt_signed_for_another_address_than_the_public_one_is_refused() {
    let app = TestApp::setup().set("TUMA_PUBLIC_URL", "https://sms.example.co.ke").start().await;
    let other = TestApp::start().await;
    let (_, receipts) = sent_by_twilio(&other, AMERICAN).await;
    assert!(is_refused(&app.pass_on(&receipts[0]).await));
}

#[tokio::test]
async fn what_a_header_says_of_the_host_does_not_matter() {
    let app = TestApp::start().await;
    let (id, receipts) = sent_by_twilio(&app, AMERICAN).await;
    let mut receipt = receipts[1].clone();
    for name in ["x-forwarded-host", "x-forwarded-proto", "forwarded"] {
        receipt.headers.insert(name, "elsewhere.example".parse().unwrap());
    }
    assert_eq!(app.pass_on(&receipt).await.status, 200);
    app.shown_when(&id, "delivered").await;
}

#[tokio::test]
async fn receipts_of_africas_talking_are_taken_at_the_address_with_the_secret() {
    let app = TestApp::start().await;
    report_to(&app, &format!("/webhooks/africastalking/status/{CALLBACK_SECRET}"));
    let id = app.send(&message(KENYAN)).await;
    app.shown_when(&id, "delivered").await;
}

#[tokio::test]
async fn receipts_of_africas_talking_are_refused_without_the_secret() {
    let app = TestApp::start().await;
    for path in ["/webhooks/africastalking/status", "/webhooks/africastalking/status/another-secret-of-them"]
    {
        app.sim.reset();
        report_to(&app, path);
        let id = app.send(&message(KENYAN)).await;
        app.shown_when(&id, "sent").await;
        wait_until(|| app.sim.stats().callbacks.failed == 4, LONG).await.unwrap();
        assert_eq!(receipts(&app.show(&id).await), 0, "{path}");
    }
    let counted = "sms_callback_refused_count_total{provider=\"africastalking\",why=\"forged\"} 8";
    assert!(app.metrics().await.contains(counted));
}

#[tokio::test]
async fn a_report_of_africas_talking_for_another_number_does_not_move_the_message() {
    let app = TestApp::start().await;
    let id = app.send(&message(KENYAN)).await;
    let shown = app.shown_when(&id, "sent").await;
    let path = format!("/webhooks/africastalking/status/{CALLBACK_SECRET}");
    let body =
        format!("id={}&status=Success&phoneNumber=%2B254799999999", text(&shown["provider_message_id"]));
    let form = ("content-type", "application/x-www-form-urlencoded");
    let answer = app.anonymous(Method::POST, &path).header(form.0, form.1).body(body).send().await;
    assert_eq!(answer.status, 200);
    assert_eq!(app.show(&id).await, shown);
    let parked =
        "sms_receipt_count_total{fate=\"parked\",provider=\"africastalking\",status=\"delivered\"} 1";
    let metrics = app.metrics().await;
    assert!(metrics.contains(parked), "{metrics}");
}

#[tokio::test]
async fn receipts_may_come_late_twice_and_out_of_order() {
    let app = TestApp::start().await;
    let (id, receipts) = sent_by_twilio(&app, AMERICAN).await;
    let [sent, delivered] = receipts.try_into().unwrap();
    for receipt in [&delivered, &sent, &delivered, &sent] {
        assert_eq!(app.pass_on(receipt).await.status, 200);
        assert_eq!(app.show(&id).await["status"], "delivered");
    }
}

#[tokio::test]
async fn a_receipt_that_comes_before_the_answer_is_not_lost() {
    let app = TestApp::start().await;
    report_to(&app, &format!("/webhooks/africastalking/status/{CALLBACK_SECRET}"));
    app.sim.inject(FaultRule::always(Fault::ReceiptEarly)).unwrap();
    let id = app.send(&message(KENYAN)).await;
    app.shown_when(&id, "delivered").await;
}

#[tokio::test]
async fn an_unknown_word_is_kept_and_changes_nothing() {
    let app = TestApp::start().await;
    report_to(&app, &format!("/webhooks/africastalking/status/{CALLBACK_SECRET}"));
    app.sim.inject(FaultRule::always(Fault::ReceiptUnknownWord)).unwrap();
    let id = app.send(&message("+254712000911")).await;
    let told = async || {
        let shown = app.show(&id).await;
        shown.to_string().contains("Teleported").then_some(shown)
    };
    assert_eq!(wait_for(told, LONG).await.unwrap()["status"], "sent");
}

#[tokio::test]
async fn a_receipt_settles_a_message_whose_attempt_nobody_knows_the_end_of() {
    let app = TestApp::start().await;
    app.sim.inject(FaultRule::next(1, Fault::AcceptThenReset).on(Provider::Twilio)).unwrap();
    let id = app.send(&message(AMERICAN)).await;
    let in_doubt = async || (app.show(&id).await["attempts"][0]["outcome"] == "ambiguous").then_some(());
    wait_for(in_doubt, LONG).await.unwrap();
    for receipt in app.public.wait_for(2).await.unwrap() {
        assert_eq!(app.pass_on(&receipt).await.status, 200);
    }
    assert_eq!(app.show(&id).await["status"], "delivered");
    assert_eq!(app.sim.ledger().count(), 1);
}

#[tokio::test]
async fn an_undelivered_message_says_why() {
    let app = TestApp::start().await;
    // Twilio takes a message to a number that ends so, and then fails with code 30003.
    let (id, receipts) = sent_by_twilio(&app, "+14155030003").await;
    for receipt in &receipts {
        app.pass_on(receipt).await;
    }
    let shown = app.show(&id).await;
    assert_eq!((&shown["status"], &shown["reason"]), (&json!("undelivered"), &json!("unreachable")));
    assert_eq!(shown["provider_code"], "30003");
}

#[tokio::test]
async fn a_receipt_wakes_whoever_waits_for_the_message() {
    let app = TestApp::setup().set("TUMA_PROVIDERS__TWILIO__REQUEST_TIMEOUT_MS", "30000").start().await;
    app.sim.inject(FaultRule::next(1, Fault::AcceptThenStall { ms: 20_000 })).unwrap();
    let body = message(AMERICAN);
    let asked = app.request(Method::POST, "/sms").header("prefer", "wait=15").json(&body).send();
    let told = async {
        for receipt in app.public.wait_for(2).await.unwrap() {
            app.pass_on(&receipt).await;
        }
    };
    let both = futures_util::future::join(asked, told);
    let (answer, ()) = tokio::time::timeout(Duration::from_secs(10), both).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(answer.text.contains("\"sent\"") || answer.text.contains("\"delivered\""), "{}", answer.text);
}

#[tokio::test]
async fn what_is_no_callback_is_answered_404() {
    let app = TestApp::start().await;
    let paths = [
        "/webhooks/pigeon/status",
        "/webhooks/No-Name/status",
        "/webhooks/twilio/parcel",
        "/webhooks/twilio/opt-out",
    ];
    for path in paths {
        let answer = app.anonymous(Method::POST, path).body("MessageSid=SM1").send().await;
        assert_eq!((answer.status, answer.problem().as_str()), (404, "not_found"), "{path}");
    }
}

#[tokio::test]
async fn a_callback_of_more_than_64_kib_is_refused() {
    let app = TestApp::start().await;
    let large = vec![b'a'; 64 * 1024 + 1];
    let answer = app.anonymous(Method::POST, "/webhooks/twilio/status").body(large).send().await;
    assert_eq!((answer.status, answer.problem().as_str()), (413, "too_large"));
}

#[tokio::test]
async fn a_receipt_that_can_not_be_stored_is_answered_503_so_that_it_comes_again() {
    let app = TestApp::start().await;
    let (_, receipts) = sent_by_twilio(&app, AMERICAN).await;
    app.gateway.store.close().await;
    let answer = app.pass_on(&receipts[0]).await;
    assert_eq!((answer.status, answer.problem().as_str()), (503, "store_unavailable"));
}

#[tokio::test]
async fn no_receipts_are_asked_for_without_a_public_address() {
    let app = TestApp::setup().set("TUMA_PUBLIC_URL", "").start().await;
    let id = app.send(&message(AMERICAN)).await;
    app.shown_when(&id, "sent").await;
    assert_eq!(app.sim.ledger().to(AMERICAN)[0].reference, None);
}
