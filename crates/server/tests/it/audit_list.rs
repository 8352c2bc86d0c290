//! `GET /audit`: who sees the trail, what of it, and what is never in it.

use reqwest::Method;
use serde_json::{Value, json};
use server::keys::Scope;

use crate::app::{AMERICAN, KENYAN, TestApp, text};
use crate::http::Answer;

async fn ask(app: &TestApp, key: &str, query: &str) -> Answer {
    app.anonymous(Method::GET, &format!("/audit{query}")).key(key).send().await
}

async fn entries(app: &TestApp, key: &str, query: &str) -> Vec<Value> {
    let answer = ask(app, key, query).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["entries"].as_array().unwrap().clone()
}

#[tokio::test]
async fn trail_of_a_message_is_found_by_its_id_and_its_number_and_holds_neither_number_nor_text() {
    let app = TestApp::start().await;
    let admin = app.key(&[Scope::Admin]).await;
    let id = app.send(&json!({"receiver": KENYAN, "message": "Habari Wanjiku"})).await;
    app.shown_when(&id, "sent").await;
    app.send(&json!({"receiver": AMERICAN, "message": "Habari"})).await;
    for query in [format!("?message_id={id}"), "?receiver=0712345678".into()] {
        let found = entries(&app, &admin, &query).await;
        let events: Vec<_> = found.iter().map(|entry| text(&entry["event"])).collect();
        assert_eq!(events, ["sms.sent", "sms.accepted"], "{query}");
        let accepted = &found[1];
        assert_eq!((&accepted["length"], &accepted["segments"]), (&json!(14), &json!(1)));
        assert_eq!(accepted["provider"], "africastalking");
        assert_eq!(accepted["receiver_hash"], found[0]["receiver_hash"]);
        let shown = serde_json::to_string(&found).unwrap();
        assert!(!shown.contains("Wanjiku") && !shown.contains("712345678"), "{shown}");
    }
}

#[tokio::test]
async fn refused_requests_are_in_the_trail_with_their_code() {
    let app = TestApp::start().await;
    let admin = app.key(&[Scope::Admin]).await;
    let answer = app.post("/sms", &json!({"receiver": "0712", "message": "Habari"})).await;
    assert_eq!(answer.status, 422);
    let long = "x".repeat(200);
    let answer = app.post("/sms", &json!({"receiver": KENYAN, "message": long})).await;
    assert_eq!(answer.status, 422);
    let bulk = json!({"receivers": [KENYAN, KENYAN, "0712"], "message": "Habari"});
    assert_eq!(app.post("/sms/bulk", &bulk).await.status, 202);
    let found = entries(&app, &admin, "?event=sms.refused").await;
    let told: Vec<_> = found.iter().map(|entry| (text(&entry["outcome"]), entry["length"].clone())).collect();
    let expected = [
        ("invalid_receiver".to_owned(), json!(6)),
        ("duplicate_receiver".to_owned(), json!(6)),
        ("message_too_long".to_owned(), json!(200)),
        ("invalid_receiver".to_owned(), json!(6)),
    ];
    assert_eq!(told, expected);
    // The one whose number could be read is found by it.
    let of_number = entries(&app, &admin, "?event=sms.refused&receiver=%2B254712345678").await;
    assert_eq!(of_number.len(), 2, "{of_number:?}");
}

#[tokio::test]
async fn only_an_operator_sees_the_trail() {
    let app = TestApp::start().await;
    let refused = ask(&app, &app.key, "").await;
    assert_eq!((refused.status, refused.problem().as_str()), (403, "missing_scope"));
}

#[tokio::test]
async fn pages_of_the_trail_are_followed_to_the_end() {
    let app = TestApp::start().await;
    let admin = app.key(&[Scope::Admin]).await;
    for number in 0..5 {
        app.send(&json!({"receiver": KENYAN, "message": format!("Habari {number}")})).await;
    }
    let (mut seen, mut cursor) = (0, String::new());
    loop {
        let page = ask(&app, &admin, &format!("?event=sms.accepted&limit=2{cursor}")).await.json();
        seen += page["entries"].as_array().unwrap().len();
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, 5);
}

#[tokio::test]
async fn every_wrong_parameter_is_named() {
    let app = TestApp::start().await;
    let admin = app.key(&[Scope::Admin]).await;
    let query = "?event=sms.lost&actor=root&message_id=1&receiver=12&since=now&limit=0&cursor=x&colour=red";
    let answer = ask(&app, &admin, query).await;
    let wrong: Vec<_> = answer.wrong_fields().into_iter().map(|(pointer, _)| pointer).collect();
    assert_eq!(answer.status, 422);
    assert_eq!(wrong, ["event", "actor", "message_id", "receiver", "since", "limit", "cursor", "colour"]);
}
