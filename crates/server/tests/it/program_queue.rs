//! `tuma queue`.

use std::time::Duration;

use domain::time::Clock as _;
use gateway::SystemClock;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::sim::{Fault, FaultRule, SimConfig, Simulator};
use testkit::wait::{LONG, wait_for};

use crate::app::{AMERICAN, KENYAN, text};
use crate::program::{Served, Site};

/// A gateway, its folder, and a key.
async fn gateway() -> (Simulator, Site, Served, String) {
    let sim = Simulator::start(SimConfig::default()).await.unwrap();
    let site = Site::new(sim.base_url());
    let key = site.key("sms:send,sms:read").await;
    let served = site.serve().await;
    (sim, site, served, key)
}

async fn send(served: &Served, key: &str, body: &Value) -> String {
    let answer = served.request(Method::POST, "/sms").key(key).json(body).send().await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    text(&answer.json()["id"])
}

async fn shown_when(served: &Served, key: &str, id: &str, status: &str) {
    let stands = async || {
        let shown = served.request(Method::GET, &format!("/sms/{id}")).key(key).send().await.json();
        (shown["status"] == status).then_some(())
    };
    wait_for(stands, LONG).await.unwrap_or_else(|problem| panic!("{problem}: never {status}"));
}

fn scheduled(receiver: &str) -> Value {
    let later = SystemClock::new().now().plus(Duration::from_mins(90)).to_string();
    json!({"receiver": receiver, "message": "Habari", "scheduled_at": later})
}

#[tokio::test]
async fn what_waits_is_shown_also_when_no_gateway_runs() {
    let (_sim, site, served, key) = gateway().await;
    send(&served, &key, &scheduled(KENYAN)).await;
    for running in [true, false] {
        if !running {
            served.terminate().await;
        }
        let shown = site.run(&["queue"]).await;
        assert_eq!(shown.code, Some(0), "{}", shown.stderr);
        let lines: Vec<Vec<&str>> =
            shown.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0][..4], ["provider", "lane", "messages", "later"], "{}", shown.stdout);
        let row = ["africastalking", "normal", "1", "1", "0", "0", "0", "due", "in", "1", "h"];
        assert_eq!(lines[1], row, "{}", shown.stdout);
        let stuck = site.run(&["queue", "stuck", "--older-than", "1h"]).await;
        assert_eq!((stuck.code, stuck.stdout.as_str()), (Some(0), ""), "{}", stuck.stderr);
    }
}

#[tokio::test]
async fn a_message_in_doubt_is_found_as_stuck() {
    let (sim, site, served, key) = gateway().await;
    sim.inject(FaultRule::next(1, Fault::ResetBeforeAccept)).unwrap();
    let id = send(&served, &key, &json!({"receiver": AMERICAN, "message": "Habari"})).await;
    let found = async || {
        let stuck = site.run(&["queue", "stuck", "--older-than", "0s"]).await;
        assert_eq!(stuck.code, Some(0), "{}", stuck.stderr);
        stuck.stdout.contains("in_doubt").then_some(stuck.stdout)
    };
    let row = wait_for(found, LONG).await.unwrap();
    assert_eq!(row.split('\t').take(4).collect::<Vec<_>>(), [id.as_str(), "twilio", "normal", "in_doubt"]);
    let queue = site.run(&["queue"]).await.stdout;
    assert!(queue.contains("watched for doubt"), "{queue}");
}

#[tokio::test]
async fn messages_are_canceled_by_id() {
    let (sim, site, served, key) = gateway().await;
    let waits = send(&served, &key, &scheduled(KENYAN)).await;
    let canceled = site.run(&["queue", "cancel", &waits]).await;
    assert_eq!((canceled.code, canceled.stdout), (Some(0), format!("{waits}\tcanceled\n")));
    shown_when(&served, &key, &waits, "canceled").await;

    let sent = send(&served, &key, &json!({"receiver": KENYAN, "message": "Habari"})).await;
    shown_when(&served, &key, &sent, "sent").await;
    let unknown = "msg_01a208af715074abb7716fc49cb931c7";
    let late = site.run(&["queue", "cancel", &sent, unknown]).await;
    assert_eq!(late.stdout, format!("{sent}\ttoo late: it is sent\n{unknown}\tno such message\n"));
    assert_eq!(late.code, Some(1));
    assert_eq!(sim.ledger().count(), 1);
}

#[tokio::test]
async fn a_failed_message_is_sent_again_by_a_running_gateway() {
    let (sim, site, served, key) = gateway().await;
    sim.inject(FaultRule::next(1, Fault::Refuse { code: 21_211 })).unwrap();
    let id = send(&served, &key, &json!({"receiver": AMERICAN, "message": "Habari"})).await;
    shown_when(&served, &key, &id, "failed").await;
    let retried = site.run(&["queue", "retry", &id]).await;
    assert_eq!((retried.code, retried.stdout), (Some(0), format!("{id}\tqueued again, by twilio\n")));
    shown_when(&served, &key, &id, "sent").await;
    let again = site.run(&["queue", "retry", &id]).await;
    assert_eq!((again.code, again.stdout), (Some(1), format!("{id}\tnot sent again: it is sent\n")));
    assert_eq!(sim.ledger().count(), 1);
}

#[tokio::test]
async fn what_can_not_be_done_is_said() {
    let site = Site::bare();
    let without = site.run(&["queue"]).await;
    assert_eq!(without.code, Some(1));
    assert!(without.stderr.contains("there is no database yet"), "{}", without.stderr);
    for wrong in
        [&["queue", "stuck", "--older-than", "10"][..], &["queue", "cancel", "1"], &["queue", "retry"]]
    {
        assert_eq!(site.run(wrong).await.code, Some(2), "{wrong:?}");
    }
}
