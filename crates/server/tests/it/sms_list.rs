//! `GET /sms`: filters, pages, and who sees what.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use server::keys::Scope;
use testkit::clock::FakeClock;

use crate::app::{AMERICAN, KENYAN, TestApp, text};

/// A gateway whose clock stands, so that messages have the times that a test gives them.
async fn with_clock() -> (TestApp, Arc<FakeClock>) {
    let clock = Arc::new(FakeClock::new());
    (TestApp::setup().clock(Arc::clone(&clock) as _).start().await, clock)
}

/// One message a second; gives the ids, the newest first.
async fn send_each(app: &TestApp, clock: &FakeClock, messages: &[Value]) -> Vec<String> {
    let mut ids = Vec::new();
    for message in messages {
        clock.advance(Duration::from_secs(1));
        ids.insert(0, app.send(message).await);
    }
    ids
}

fn to(receiver: &str) -> Value {
    json!({"receiver": receiver, "message": "Habari"})
}

/// The ids on a page, and the cursor of the next.
async fn page(app: &TestApp, query: &str) -> (Vec<String>, Option<String>) {
    let answer = app.get(&format!("/sms?{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let body = answer.json();
    let ids = body["messages"].as_array().unwrap().iter().map(|message| text(&message["id"])).collect();
    (ids, body["next_cursor"].as_str().map(ToOwned::to_owned))
}

async fn listed(app: &TestApp, query: &str) -> Vec<String> {
    page(app, query).await.0
}

#[tokio::test]
async fn messages_are_listed_newest_first() {
    let (app, clock) = with_clock().await;
    let ids = send_each(&app, &clock, &[to(KENYAN), to(AMERICAN), to(KENYAN)]).await;
    assert_eq!(listed(&app, "").await, ids);
}

#[tokio::test]
async fn pages_follow_one_another_without_gap_and_do_not_shift_when_messages_arrive() {
    let (app, clock) = with_clock().await;
    let ids = send_each(&app, &clock, &vec![to(KENYAN); 5]).await;
    let (first, cursor) = page(&app, "limit=2").await;
    assert_eq!(first, ids[..2]);
    send_each(&app, &clock, &[to(KENYAN)]).await;
    let (second, cursor) = page(&app, &format!("limit=2&cursor={}", cursor.unwrap())).await;
    assert_eq!(second, ids[2..4]);
    let (third, cursor) = page(&app, &format!("limit=2&cursor={}", cursor.unwrap())).await;
    assert_eq!((third.as_slice(), cursor), (&ids[4..], None));
}

#[tokio::test]
async fn the_last_page_has_no_cursor_also_when_it_is_full() {
    let (app, clock) = with_clock().await;
    send_each(&app, &clock, &vec![to(KENYAN); 2]).await;
    assert_eq!(page(&app, "limit=2").await.1, None);
}

#[tokio::test]
async fn each_filter_leaves_what_it_names() {
    let (app, clock) = with_clock().await;
    let code = json!({"receiver": KENYAN, "message": "Habari", "scenario": "otp"});
    let messages = [to(KENYAN), to(AMERICAN), to("+14155021211"), code];
    let mut ids = send_each(&app, &clock, &messages).await;
    ids.reverse();
    let [kenyan, american, refused, code] = ids.try_into().unwrap();
    app.shown_when(&refused, "failed").await;
    for id in [&kenyan, &american, &code] {
        app.shown_when(id, "sent").await;
    }
    let table = [
        ("receiver=%2B254712345678", vec![&code, &kenyan]),
        ("receiver=0712345678", vec![&code, &kenyan]),
        ("status=failed", vec![&refused]),
        ("status=delivered", vec![]),
        ("scenario=otp", vec![&code]),
        ("provider=twilio", vec![&refused, &american]),
        ("provider=africastalking&scenario=general", vec![&kenyan]),
        ("since=2026-11-23T08:30:03Z", vec![&code, &refused]),
        ("until=2026-11-23T08:30:03Z", vec![&american, &kenyan]),
        ("since=2026-11-23T08:30:02Z&until=2026-11-23T08:30:04Z", vec![&refused, &american]),
    ];
    for (query, expected) in table {
        assert_eq!(listed(&app, query).await.iter().collect::<Vec<_>>(), expected, "{query}");
    }
}

#[tokio::test]
async fn a_key_that_may_only_send_sees_its_own_messages_with_masked_numbers() {
    let app = TestApp::start().await;
    app.send(&to(AMERICAN)).await;
    let key = app.key(&[Scope::Send]).await;
    app.anonymous(Method::POST, "/sms").key(&key).json(&to(KENYAN)).send().await;
    let list = app.anonymous(Method::GET, "/sms").key(&key).send().await.json();
    let receivers: Vec<_> = list["messages"].as_array().unwrap().iter().map(|it| &it["receiver"]).collect();
    assert_eq!(receivers, ["+254*****5678"]);
    assert_eq!(app.count().await, 2);
}

#[tokio::test]
async fn a_listed_message_is_the_shown_one_without_its_story() {
    let app = TestApp::start().await;
    let id = app.send(&to("+14155021211")).await;
    let mut shown = app.shown_when(&id, "failed").await;
    for field in ["attempts", "timeline", "cost", "provider_message_id"] {
        shown.as_object_mut().unwrap().remove(field);
    }
    assert_eq!(app.get("/sms").await.json()["messages"], json!([shown]));
}

#[tokio::test]
async fn wrong_parameters_are_refused_each_by_its_name() {
    let app = TestApp::start().await;
    let table = [
        ("receiver=12345", "receiver", "invalid_receiver"),
        ("status=lost", "status", "unknown_status"),
        ("scenario=marketing", "scenario", "unknown_scenario"),
        ("provider=No+Name", "provider", "unknown_provider"),
        ("since=yesterday", "since", "wrong_type"),
        ("until=2026-11-23", "until", "wrong_type"),
        ("limit=0", "limit", "wrong_type"),
        ("limit=201", "limit", "wrong_type"),
        ("limit=many", "limit", "wrong_type"),
        ("cursor=here", "cursor", "invalid_cursor"),
        ("colour=red", "colour", "unknown_parameter"),
    ];
    for (query, pointer, code) in table {
        let answer = app.get(&format!("/sms?{query}")).await;
        assert_eq!(answer.wrong_fields(), [(pointer.into(), code.into())], "{query}");
    }
    let both = app.get("/sms?limit=0&status=lost").await;
    assert_eq!(both.wrong_fields().len(), 2);
}
