//! A disk that is full: callers are told at once, nothing is half-written, and nobody panics.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, stream};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::sim::{SimConfig, Simulator};

use crate::app::text;
use crate::http::Answer;
use crate::program::{Served, Site};

/// Half a megabyte: the schema fits, and some hundred messages.
const BLOCKS: u32 = 1_024;

async fn send(served: &Served, key: &str) -> Answer {
    let receivers: Vec<_> = (0..100).map(|n| format!("+254712345{n:03}")).collect();
    let body = json!({"receivers": receivers, "message": "Karibu", "metadata": {"k": "v".repeat(256)}});
    served.request(Method::POST, "/sms/bulk").key(key).json(&body).send().await
}

fn ids(answer: &Answer) -> Vec<String> {
    answer.json()["results"].as_array().unwrap().iter().map(|result| text(&result["id"])).collect()
}

async fn listed(served: &Served, key: &str) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    let mut path = "/sms?limit=200".to_owned();
    loop {
        let page: Value = served.request(Method::GET, &path).key(key).send().await.json();
        ids.extend(page["messages"].as_array().unwrap().iter().map(|message| text(&message["id"])));
        let Some(next) = page["next_cursor"].as_str() else { return ids };
        path = format!("/sms?limit=200&cursor={next}");
    }
}

#[tokio::test]
async fn a_full_disk_is_answered_503_and_all_that_was_promised_is_there_afterwards() {
    let sim = Simulator::start(SimConfig::default()).await.unwrap();
    let site = Site::new(sim.base_url()).set("RUST_LOG", "error,server=info");
    let key = site.key("admin").await;
    let site = site.largest_file(Some(BLOCKS));
    let served = site.serve().await;
    let mut promised = BTreeSet::new();
    let refused = loop {
        let answer = send(&served, &key).await;
        if answer.status != 202 {
            break answer;
        }
        promised.extend(ids(&answer));
    };
    assert_eq!((refused.status, refused.problem().as_str()), (503, "store_unavailable"));
    assert!(!promised.is_empty());
    assert_eq!(served.request(Method::GET, "/health/live").send().await.status, 200);
    let log = served.log();
    assert!(!log.contains("panicked"), "{log}");
    served.kill().await;
    served.ended().await;

    let site = site.largest_file(None);
    let served = site.serve().await;
    assert_eq!(listed(&served, &key).await, promised);
    assert_eq!(send(&served, &key).await.status, 202);
}

#[tokio::test]
async fn a_log_that_can_not_be_written_harms_nobody() {
    let sim = Simulator::start(SimConfig::default()).await.unwrap();
    let site = Site::new(sim.base_url());
    let key = site.key("admin").await;
    let site = site.largest_file(Some(BLOCKS));
    let served = site.serve().await;
    // Each is worth a line, and stores nothing.
    let forge = || served.request(Method::POST, "/webhooks/twilio/status").body("MessageSid=SM1").send();
    while served.log().len() < 512 * BLOCKS as usize {
        let answers: Vec<Answer> = stream::iter(0..500).map(|_| forge()).buffer_unordered(16).collect().await;
        assert!(answers.iter().all(|answer| answer.status == 403));
    }
    for _ in 0..10 {
        assert_eq!(forge().await.status, 403);
    }
    let body = json!({"receiver": "0712345678", "message": "Habari"});
    let sent = served.request(Method::POST, "/sms").key(&key).header("prefer", "wait=20").json(&body);
    let sent = sent.send().await;
    assert_eq!((sent.status, &sent.json()["status"]), (200, &json!("sent")));
    served.terminate().await;
    assert_eq!(served.ended().await.code, Some(0));
}
