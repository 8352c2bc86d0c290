//! The list of messages at Twilio: how a lost answer is found again.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::clock::FakeClock;
use testkit::sim::SimConfig;

use crate::support::{Bench, RECEIVER, get, twilio_path};

const OTHER: &str = "+254733000111";

async fn list(bench: &Bench, query: &str) -> Value {
    let got = get(bench.twilio(Method::GET, &format!("/Messages.json?{query}"))).await;
    assert_eq!(got.status, StatusCode::OK, "{}", got.text);
    got.json()
}

fn bodies(page: &Value) -> Vec<&str> {
    page["messages"].as_array().unwrap().iter().map(|message| message["body"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_newest_come_first() {
    let bench = Bench::start().await;
    for body in ["one", "two", "three"] {
        bench.twilio_sent(RECEIVER, body, &[]).await;
    }
    assert_eq!(bodies(&list(&bench, "").await), ["three", "two", "one"]);
}

#[tokio::test]
async fn receiver_and_sender_filter() {
    let bench = Bench::start().await;
    bench.twilio_sent(RECEIVER, "one", &[]).await;
    bench.twilio_sent(OTHER, "two", &[("From", "TUMA")]).await;
    assert_eq!(bodies(&list(&bench, "To=%2B254712345678").await), ["one"]);
    assert_eq!(bodies(&list(&bench, "From=TUMA").await), ["two"]);
    assert_eq!(bodies(&list(&bench, "To=%2B254712345678&From=TUMA").await), Vec::<&str>::new());
}

#[tokio::test]
async fn pages_are_followed_by_the_uri_of_the_next() {
    let bench = Bench::start().await;
    for place in 0..5 {
        bench.twilio_sent(RECEIVER, &place.to_string(), &[]).await;
    }
    let first = list(&bench, "To=%2B254712345678&PageSize=2").await;
    assert_eq!(bodies(&first), ["4", "3"]);
    let facts = ["page", "page_size", "start", "end"].map(|key| first[key].as_u64().unwrap());
    assert_eq!(facts, [0, 2, 0, 1]);
    assert_eq!(first["previous_page_uri"], Value::Null);
    let base = twilio_path("/Messages.json?To=%2B254712345678&PageSize=2");
    assert_eq!(first["uri"], format!("{base}&Page=0"));
    assert_eq!(first["first_page_uri"], format!("{base}&Page=0"));

    // A message that comes between two pages moves nothing.
    bench.twilio_sent(RECEIVER, "late", &[]).await;
    let (mut page, mut seen) = (first, vec!["4".to_owned(), "3".to_owned()]);
    while let Some(next) = page["next_page_uri"].as_str() {
        assert!(next.contains("&PageToken=PASM"), "{next}");
        let rest = next.strip_prefix(&twilio_path("")).unwrap();
        page = get(bench.twilio(Method::GET, rest)).await.json();
        seen.extend(bodies(&page).into_iter().map(str::to_owned));
    }
    assert_eq!(seen, ["4", "3", "2", "1", "0"]);
    assert_eq!(
        (page["page"].as_u64(), page["start"].as_u64(), page["end"].as_u64()),
        (Some(2), Some(4), Some(4))
    );
}

#[tokio::test]
async fn a_page_has_fifty_messages_unless_asked_and_a_thousand_at_most() {
    let bench = Bench::start().await;
    for place in 0..51 {
        bench.twilio_sent(RECEIVER, &place.to_string(), &[]).await;
    }
    let page = list(&bench, "").await;
    assert_eq!((bodies(&page).len(), page["page_size"].as_u64()), (50, Some(50)));
    assert!(page["next_page_uri"].is_string());
    assert_eq!(bodies(&list(&bench, "Page=1").await), ["0"]);
    let page = list(&bench, "PageSize=5000").await;
    assert_eq!((bodies(&page).len(), page["page_size"].as_u64()), (51, Some(1000)));
    assert_eq!(page["next_page_uri"], Value::Null);
}

#[tokio::test]
async fn dates_filter_what_was_sent_and_their_sign_is_part_of_the_name() {
    let clock = Arc::new(FakeClock::new());
    let bench =
        Bench::with(SimConfig { clock: Arc::<FakeClock>::clone(&clock), ..SimConfig::default() }).await;
    let first = bench.twilio_sent(RECEIVER, "monday", &[]).await;
    bench.wait_for_status(&first, "delivered").await;
    clock.advance(Duration::from_hours(24));
    let second = bench.twilio_sent(RECEIVER, "tuesday", &[]).await;
    bench.wait_for_status(&second, "delivered").await;

    for (query, expected) in [
        ("DateSent=2026-11-23", &["monday"][..]),
        ("DateSent%3E=2026-11-24", &["tuesday"]),
        ("DateSent>=2026-11-24", &["tuesday"]),
        ("DateSent%3E=2026-11-23T00:00:00Z", &["tuesday", "monday"]),
        ("DateSent%3E=2026-11-23T08:30:01Z", &["tuesday"]),
        ("DateSent%3C=2026-11-23", &["monday"]),
        ("DateSent%3E=2026-11-24&DateSent%3C=2026-11-23", &[]),
        // The trap: the equals sign taken into the name makes a parameter that Twilio does not know.
        ("DateSent%3E%3D=2026-11-24", &["tuesday", "monday"]),
    ] {
        assert_eq!(bodies(&list(&bench, query).await), expected, "{query}");
    }
    let got = get(bench.twilio(Method::GET, "/Messages.json?DateSent=yesterday")).await;
    assert_eq!((got.status, &got.json()["code"]), (StatusCode::BAD_REQUEST, &json!(20001)));
}

#[tokio::test]
async fn what_was_not_sent_yet_is_missed_by_every_filter_of_dates() {
    let hour = Duration::from_hours(1);
    let bench = Bench::with(SimConfig { sent_after: hour, ended_after: hour, ..SimConfig::default() }).await;
    bench.twilio_sent(RECEIVER, "waiting", &[]).await;
    assert_eq!(bodies(&list(&bench, "DateSent%3E=2000-01-01").await), Vec::<&str>::new());
    assert_eq!(bodies(&list(&bench, "To=%2B254712345678").await), ["waiting"]);
}
