//! The simulator's own paths.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::endpoint::Endpoint;
use testkit::sim::{Arrival, LedgerMode, SimConfig};
use testkit::stopwatch::Stopwatch;

use crate::support::{Bench, Got, RECEIVER, get};

async fn ask(bench: &Bench, path: &str) -> Value {
    let got = get(bench.request(Method::GET, path)).await;
    assert_eq!(got.status, StatusCode::OK, "{}", got.text);
    got.json()
}

async fn tell(bench: &Bench, path: &str, body: Value) -> Got {
    get(bench.request(Method::POST, path).body(body.to_string())).await
}

#[tokio::test]
async fn the_ledger_is_read_from_the_last_seen_on() {
    let bench = Bench::start().await;
    for (to, body) in [(RECEIVER, "one"), ("+254733000111", "two"), (RECEIVER, "three")] {
        bench.twilio_sent(to, body, &[]).await;
    }
    let ledger = ask(&bench, "/_sim/ledger?provider=twilio&to=%2B254712345678&since_seq=1").await;
    assert_eq!(ledger["last_seq"], 3);
    let entries = ledger["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 1);
    let entry = &entries[0];
    assert_eq!(
        (&entry["seq"], &entry["provider"], &entry["body"]),
        (&json!(3), &json!("twilio"), &json!("three"))
    );
    let keys =
        ["accepted_at", "batch", "from", "provider_message_id", "recipients", "reference", "segments", "to"];
    assert!(keys.iter().all(|key| entry.get(key).is_some()), "{entry}");

    assert_eq!(ask(&bench, "/_sim/ledger?since_seq=3").await, json!({"entries": [], "last_seq": 3}));
    let limited = ask(&bench, "/_sim/ledger?limit=2").await;
    assert_eq!((limited["entries"].as_array().unwrap().len(), &limited["last_seq"]), (2, &json!(2)));
    assert_eq!(ask(&bench, "/_sim/ledger?provider=africastalking").await["entries"], json!([]));
    let got = get(bench.request(Method::GET, "/_sim/ledger?provider=vonage")).await;
    assert_eq!(
        (got.status, got.json()),
        (StatusCode::BAD_REQUEST, json!({"error": "provider can't be read"}))
    );
}

#[tokio::test]
async fn stats_count() {
    let bench = Bench::start().await;
    bench.twilio_sent(RECEIVER, "one", &[]).await;
    get(bench.twilio_message("+2547", "two", &[])).await;
    get(bench.twilio(Method::GET, "/Messages.json")).await;
    get(bench.africastalking_message("+254712345671,+254712000406", "three", &[])).await;
    let expected = json!({
        "twilio": {"requests": 3, "submissions": 2, "accepted": 1, "refused": 1, "faulted": 0},
        "africastalking": {"requests": 1, "submissions": 1, "accepted": 1, "refused": 1, "faulted": 0},
        "callbacks": {"sent": 0, "failed": 0, "dropped": 0, "pending": 0, "under_way": 0},
        "messages": 2,
        "distinct_messages": 2,
    });
    assert_eq!(ask(&bench, "/_sim/stats").await, expected);
    let requests = ask(&bench, "/_sim/requests?provider=twilio&since_batch=1").await;
    assert_eq!(requests["requests"].as_array().unwrap().len(), 1);
    assert_eq!(ask(&bench, "/_sim/duplicates").await, json!({"duplicates": []}));
}

#[tokio::test]
async fn the_arrival_of_a_watched_text_is_kept_where_else_nothing_is() {
    let watched_text = Some("Your code is ".into());
    let config = SimConfig { watched_text, ledger: LedgerMode::CountOnly, ..SimConfig::default() };
    let bench = Bench::with(config).await;
    let before = Stopwatch::start();
    for body in ["Your code is 1", "Habari", "Your code is 2"] {
        bench.twilio_sent(RECEIVER, body, &[]).await;
    }
    let after = before.unix_us();
    let arrivals: Vec<Arrival> =
        serde_json::from_value(ask(&bench, "/_sim/arrivals").await["arrivals"].take()).unwrap();
    let bodies: Vec<&str> = arrivals.iter().map(|arrival| arrival.body.as_str()).collect();
    assert_eq!(bodies, ["Your code is 1", "Your code is 2"]);
    assert!(arrivals.is_sorted_by_key(|arrival| arrival.unix_us));
    assert!(arrivals.iter().all(|arrival| arrival.unix_us <= after + 1_000), "{arrivals:?}, {after}");
    let newer = ask(&bench, "/_sim/arrivals?since=1").await;
    assert_eq!(newer["arrivals"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn faults_are_set_replaced_and_cleared() {
    let bench = Bench::start().await;
    let slow = json!({"kind": "slow", "ms": 1, "rate": 0.5, "provider": "twilio"});
    let error = json!({"kind": "accept_then_error", "status": 500, "next": 2});
    tell(&bench, "/_sim/faults", json!({"faults": [slow]})).await;
    let both = tell(&bench, "/_sim/faults", json!({"faults": [error]})).await.json();
    assert_eq!(both["faults"].as_array().unwrap().len(), 2);

    assert_eq!(get(bench.africastalking_message(RECEIVER, "Habari", &[])).await.status.as_u16(), 500);
    let left = ask(&bench, "/_sim/faults").await;
    let one_left = json!({"kind": "accept_then_error", "status": 500, "next": 1, "scope": "submit"});
    assert_eq!(left["faults"][1], one_left);

    let replaced = tell(&bench, "/_sim/faults", json!({"faults": [slow], "replace": true})).await.json();
    assert_eq!(replaced["faults"].as_array().unwrap().len(), 1);
    let cleared = get(bench.request(Method::DELETE, "/_sim/faults")).await;
    assert_eq!(cleared.json(), json!({"faults": []}));
}

#[tokio::test]
async fn a_fault_that_makes_no_sense_is_refused() {
    let bench = Bench::start().await;
    let wrong_rate = json!({"kind": "slow", "ms": 1, "rate": 2.0});
    let no_kind = json!({"kind": "sloow", "rate": 1.0});
    for fault in [wrong_rate, no_kind] {
        let got = tell(&bench, "/_sim/faults", json!({"faults": [fault]})).await;
        assert_eq!(got.status, StatusCode::BAD_REQUEST);
        assert!(got.json()["error"].is_string());
    }
}

#[tokio::test]
async fn callback_urls_are_set_one_by_one_and_phones_are_heard() {
    let bench = Bench::start().await;
    let endpoint = Endpoint::start().await.unwrap();
    let (delivery, incoming) = (endpoint.url("/delivery"), endpoint.url("/incoming"));
    tell(&bench, "/_sim/callback-url", json!({"africastalking_delivery": delivery})).await;
    let urls = tell(&bench, "/_sim/callback-url", json!({"africastalking_incoming": incoming})).await.json();
    assert_eq!(
        (&urls["africastalking_delivery"], &urls["africastalking_incoming"]),
        (&json!(delivery), &json!(incoming))
    );
    assert_eq!(ask(&bench, "/_sim/callback-url").await, urls);

    let message = json!({"provider": "africastalking", "from": RECEIVER, "to": "21512", "text": "STOP"});
    let got = tell(&bench, "/_sim/incoming", message).await;
    assert_eq!(got.status, StatusCode::ACCEPTED);
    let received = endpoint.wait_for(1).await.unwrap();
    assert_eq!(received[0].field("id").as_deref(), got.json()["id"].as_str());

    let opt_out = tell(&bench, "/_sim/opt-out", json!({"sender": "TUMA", "number": RECEIVER})).await;
    assert_eq!(opt_out.status, StatusCode::ACCEPTED);
    let unknown = tell(&bench, "/_sim/callback-url", json!({"vonage": "http://x/"})).await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_reset_forgets_everything_but_the_callback_urls() {
    let bench = Bench::start().await;
    tell(&bench, "/_sim/callback-url", json!({"twilio_incoming": "http://127.0.0.1:9/"})).await;
    tell(&bench, "/_sim/faults", json!({"faults": [{"kind": "receipt_late", "ms": 60000, "rate": 1.0}]}))
        .await;
    let sid = bench.twilio_sent(RECEIVER, "one", &[("StatusCallback", "http://127.0.0.1:9/")]).await;
    assert_eq!(bench.sim.stats().callbacks.pending, 2);

    let got = get(bench.request(Method::POST, "/_sim/reset")).await;
    assert_eq!(got.status, StatusCode::NO_CONTENT);
    let stats = bench.sim.stats();
    assert_eq!((stats.messages, stats.distinct_messages, stats.callbacks.pending), (0, 0, 0));
    assert_eq!((stats.twilio.requests, bench.sim.ledger().entries().len()), (0, 0));
    assert_eq!(bench.sim.faults(), []);
    let got = get(bench.twilio(Method::GET, &format!("/Messages/{sid}.json"))).await;
    assert_eq!(got.status, StatusCode::NOT_FOUND);
    assert_eq!(ask(&bench, "/_sim/callback-url").await["twilio_incoming"], "http://127.0.0.1:9/");
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let bench = Bench::start().await;
    for path in ["/_sim/nothing", "/", "/version2/messaging"] {
        assert_eq!(get(bench.request(Method::GET, path)).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}
