//! `POST /sms/bulk`: one text to many, a verdict for each, and how they leave.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use server::keys::Scope;
use testkit::sim::{Entry, Fault, FaultRule, Provider};
use testkit::wait::{LONG, wait_until};

use crate::app::{AMERICAN, KENYAN, TestApp, text};

fn invitation(receivers: &[String]) -> Value {
    json!({"receivers": receivers, "message": "Karibu chama chetu", "scenario": "chama_invite"})
}

fn kenyans(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("0712345{n:03}")).collect()
}

fn americans(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("+1415555{n:04}")).collect()
}

/// The ids of the accepted ones.
fn ids(answer: &Value) -> Vec<String> {
    let results = answer["results"].as_array().unwrap();
    results.iter().filter_map(|result| result["id"].as_str()).map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn answers_a_verdict_for_each_receiver_in_the_order_asked() {
    let app = TestApp::start().await;
    let receivers = ["0712345678", "0712 345 678", "12345", "+14155550100"].map(ToOwned::to_owned);
    let answer = app.post("/sms/bulk", &invitation(&receivers)).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let mut answer = answer.json();
    let ids = ids(&answer);
    assert!(text(&answer["bulk_id"]).starts_with("blk_"));
    answer["bulk_id"] = Value::Null;
    assert_eq!(
        answer,
        json!({
            "bulk_id": null, "accepted": 2, "rejected": 2,
            "results": [
                {"receiver": "+254712345678", "id": ids[0], "status": "queued"},
                {
                    "receiver": "0712 345 678", "code": "duplicate_receiver",
                    "detail": "is the same number as an earlier receiver",
                },
                {"receiver": "12345", "code": "invalid_receiver", "detail": "is too short for a phone number"},
                {"receiver": "+14155550100", "id": ids[1], "status": "queued"},
            ],
        })
    );
}

#[tokio::test]
async fn numbers_are_masked_in_verdicts_unless_the_key_may_read() {
    let app = TestApp::start().await;
    let key = app.key(&[Scope::Send]).await;
    let receivers = ["0712345678", "0712-345-678x"].map(ToOwned::to_owned);
    let request = app.anonymous(Method::POST, "/sms/bulk").key(&key);
    let answer = request.json(&invitation(&receivers)).send().await.json();
    assert_eq!(answer["results"][0]["receiver"], "+254*****5678");
    assert_eq!(answer["results"][1]["receiver"], "****-***-*78x");
}

/// The order in which the messages arrived, with the time of arrival.
fn arrivals(app: &TestApp, body: &str) -> Vec<Duration> {
    let entries = app.sim.ledger().by(Provider::Twilio);
    let of_body = entries.iter().filter(|entry| entry.body == body);
    of_body.map(|entry: &Entry| Duration::from_micros(entry.since_start_us)).collect()
}

#[tokio::test]
async fn hundred_mixed_numbers_leave_as_one_request_and_batches_of_ten_while_a_single_send_leaves_at_once() {
    let app = TestApp::start().await;
    // Three that are no numbers, in between.
    let mut receivers = [kenyans(69), americans(28)].concat();
    for (place, wrong) in [(10, "12345"), (50, "not a number"), (90, "+254712")] {
        receivers.insert(place, wrong.to_owned());
    }
    let answer = app.post("/sms/bulk", &invitation(&receivers)).await.json();
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(97), &json!(3)));
    let results = answer["results"].as_array().unwrap();
    let refused = results.iter().enumerate().filter(|(_, result)| result["code"].is_string());
    let refused: Vec<_> = refused.map(|(place, result)| (place, text(&result["receiver"]))).collect();
    assert_eq!(refused, [(10, "12345".into()), (50, "not a number".into()), (90, "+254712".into())]);

    // The first ten are on their way: a single send passes the rest.
    wait_until(|| arrivals(&app, "Karibu chama chetu").len() >= 10, LONG).await.unwrap();
    let single =
        app.send(&json!({"receiver": AMERICAN, "message": "Your code is 739154", "scenario": "otp"})).await;
    app.shown_when(&single, "sent").await;

    wait_until(|| app.sim.ledger().count() == 98, LONG).await.unwrap();
    let bulk = arrivals(&app, "Karibu chama chetu");
    assert_eq!(bulk.len(), 28);
    // Ten in any second: the eleventh after any message leaves a second later. What is seen here is when they
    // arrive, which a busy machine moves.
    for (first, eleventh) in bulk.iter().zip(&bulk[10..]) {
        let apart = eleventh.abs_diff(*first);
        assert!(apart > Duration::from_millis(500), "eleven within {apart:?}");
    }
    let took = bulk[27].abs_diff(bulk[0]);
    assert!(took < Duration::from_secs(5), "three batches took {took:?}");
    let [single] = arrivals(&app, "Your code is 739154").try_into().unwrap();
    assert!(single < bulk[10], "the single send waited for the second batch");

    let requests = app.sim.ledger().requests();
    let kenyan: Vec<_> =
        requests.iter().filter(|request| request.provider == Provider::AfricasTalking).collect();
    assert_eq!(kenyan.len(), 1);
    assert_eq!((kenyan[0].recipients, kenyan[0].accepted), (69, 69));
    assert_eq!(app.sim.ledger().duplicates(), []);
}

#[tokio::test]
async fn each_text_has_a_request_of_its_own_at_africas_talking() {
    let app = TestApp::start().await;
    for message in ["Karibu", "Kwaheri"] {
        let body = json!({"receivers": kenyans(20), "message": message, "scenario": "chama_invite"});
        assert_eq!(app.post("/sms/bulk", &body).await.status, 202);
    }
    wait_until(|| app.sim.ledger().count() == 40, LONG).await.unwrap();
    let requests = app.sim.ledger().requests();
    assert_eq!(requests.iter().map(|request| request.recipients).collect::<Vec<_>>(), [20, 20]);
}

#[tokio::test]
async fn each_message_carries_the_bulk_id_and_its_own_verdict_of_the_provider() {
    let app = TestApp::start().await;
    // The simulator refuses a number that ends so.
    let receivers = [KENYAN, "+254712000403", "+254712000100"].map(ToOwned::to_owned);
    let answer = app.post("/sms/bulk", &invitation(&receivers)).await.json();
    let ids = ids(&answer);
    for (id, status) in ids.iter().zip(["sent", "failed", "sent"]) {
        assert_eq!(app.shown_when(id, status).await["bulk_id"], answer["bulk_id"]);
    }
    let refused = app.show(&ids[1]).await;
    assert_eq!((&refused["reason"], &refused["provider_code"]), (&json!("invalid_recipient"), &json!("403")));
    assert_eq!(app.sim.ledger().requests().len(), 1);
}

#[tokio::test]
async fn a_lost_answer_leaves_every_message_of_the_request_in_doubt_and_none_is_sent_again() {
    let app = TestApp::setup().set("TUMA_RETRY__BASE_MS", "1").start().await;
    app.sim.inject(FaultRule::next(1, Fault::AcceptThenReset)).unwrap();
    let answer = app.post("/sms/bulk", &invitation(&kenyans(5))).await.json();
    for id in ids(&answer) {
        let in_doubt = async || {
            let shown = app.show(&id).await;
            (shown["attempts"][0]["outcome"] == "ambiguous").then_some(shown)
        };
        let shown = testkit::wait::wait_for(in_doubt, LONG).await.unwrap();
        assert_eq!(shown["status"], "sending");
    }
    let later = app.send(&json!({"receiver": KENYAN, "message": "Habari"})).await;
    app.shown_when(&later, "sent").await;
    assert_eq!(app.sim.ledger().duplicates(), []);
}

#[tokio::test]
async fn the_lane_is_bulk_unless_the_scenario_is_urgent() {
    let app = TestApp::start().await;
    let lanes = [
        ("general", "bulk"),
        ("transaction", "bulk"),
        ("chama_invite", "bulk"),
        ("otp", "high"),
        ("alert", "critical"),
    ];
    for (scenario, lane) in lanes {
        let body = json!({"receivers": [KENYAN], "message": "Habari", "scenario": scenario});
        let answer = app.post("/sms/bulk", &body).await.json();
        assert_eq!(app.show(&ids(&answer)[0]).await["priority"], lane, "{scenario}");
    }
}

#[tokio::test]
async fn the_request_is_refused_as_a_whole_when_no_receiver_is_left() {
    let app = TestApp::start().await;
    let answer = app.post("/sms/bulk", &invitation(&["12345".into(), "abc".into()])).await;
    let pointers: Vec<_> = answer.wrong_fields().into_iter().map(|(pointer, _)| pointer).collect();
    assert_eq!(pointers, ["/receivers/0", "/receivers/1"]);
    assert_eq!(app.count().await, 0);
}

#[tokio::test]
async fn a_wrong_text_refuses_the_request_as_a_whole() {
    let app = TestApp::start().await;
    let answer = app.post("/sms/bulk", &json!({"receivers": [KENYAN], "message": " "})).await;
    assert_eq!(answer.wrong_fields(), [("/message".into(), "message_empty".into())]);
    assert_eq!(app.count().await, 0);
}

#[tokio::test]
async fn a_receiver_without_a_provider_is_refused_by_itself() {
    let app = TestApp::setup().set("TWILIO_ACCOUNT_SID", "").start().await;
    let answer = app.post("/sms/bulk", &invitation(&[KENYAN.into(), AMERICAN.into()])).await.json();
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(1), &json!(1)));
    assert_eq!(answer["results"][1]["code"], "no_provider");
}

#[tokio::test]
async fn every_accepted_message_has_an_id_of_its_own() {
    let app = TestApp::start().await;
    let answer = app.post("/sms/bulk", &invitation(&kenyans(100))).await.json();
    let distinct: BTreeSet<_> = ids(&answer).into_iter().collect();
    assert_eq!(distinct.len(), 100);
}
