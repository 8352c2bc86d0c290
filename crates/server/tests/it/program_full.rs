//! A disk that is full: callers are told at once, nothing is half-written, and nobody panics.

use std::collections::BTreeSet;

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
    let ready = served.request(Method::GET, "/health/ready").send().await;
    assert_eq!((ready.status, ready.problem().as_str()), (503, "store_unavailable"));
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
    // A database with room, and a log that is full at once.
    let site = Site::new(sim.base_url()).set("RUST_LOG", "trace");
    let key = site.key("admin").await;
    let site = site.largest_file(Some(8 * BLOCKS));
    let served = site.serve().await;
    let is_full = || served.log().len() >= 8 * 512 * BLOCKS as usize;
    while !is_full() {
        let list = served.request(Method::GET, "/sms").key(&key).send().await;
        assert_eq!(list.status, 200, "{}", list.text);
    }
    for _ in 0..3 {
        assert_eq!(send(&served, &key).await.status, 202);
        assert_eq!(served.request(Method::GET, "/health/ready").send().await.status, 200);
    }
    served.terminate().await;
    assert_eq!(served.ended().await.code, Some(0));
}
