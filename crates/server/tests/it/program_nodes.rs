//! Three nodes on one PostgreSQL database, one of them killed again and again: each message is sent once, and all of
//! them together keep to the rate of the account.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use reqwest::Method;
use serde_json::json;
use testkit::database::Database;
use testkit::sim::{SimConfig, Simulator};
use testkit::wait::{wait_for, wait_until};

use crate::app::text;
use crate::program::{Served, Site};

/// Messages in all, and a second: set `TUMA_TEST_NODES_MESSAGES` for more.
const PER_SECOND: usize = 200;

/// Requests under way at once.
const SENDERS: usize = 32;

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_mins(4);

fn number(variable: &str, usual: usize) -> usize {
    #[expect(clippy::disallowed_methods, reason = "a switch of this test, not a setting of the gateway")]
    let set = std::env::var(variable).ok();
    set.map_or(usual, |number| number.parse().unwrap())
}

/// A node of its own: the same database, the same account.
fn node(sim: &Simulator, database: &Database, per_second: usize) -> Site {
    Site::new(sim.base_url())
        .set("TUMA_DATABASE_URL", database.url())
        .set("TUMA_PROVIDERS__TWILIO__MESSAGES_PER_SECOND", &per_second.to_string())
        .set("TUMA_RECONCILE__FIRST_LOOK_MS", "500")
        .set("TUMA_RECONCILE__INTERVAL_MS", "1000")
        .set("TUMA_RECONCILE__ABSENT_AFTER_MS", "2000")
        .set("TUMA_SCENARIOS__TRANSACTION__EXPIRES_AFTER_S", "0")
}

/// Sends one message, by whichever node answers.
async fn send(nodes: &[Mutex<Served>], key: &str, n: usize) -> String {
    let receiver = format!("+4474{n:08}");
    let body = json!({"receiver": receiver, "message": format!("Message {n}"), "scenario": "transaction"});
    let mut turn = n;
    let answered = async || {
        let node = &nodes[turn % nodes.len()];
        turn += 1;
        let request = node.lock().unwrap().request(Method::POST, "/sms");
        let request = request.key(key).header("Idempotency-Key", &format!("key-{n}")).json(&body);
        match request.try_send().await {
            Ok(answer) if answer.status == 202 => Some(text(&answer.json()["id"])),
            // The node is gone, or its database was busy: another one is asked the same.
            _ => None,
        }
    };
    wait_for(answered, PATIENCE).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_node_dies_each_message_is_sent_once_and_the_rate_holds() {
    let (total, kills) = (number("TUMA_TEST_NODES_MESSAGES", 2_000), number("TUMA_TEST_NODES_KILLS", 3));
    let per_second = number("TUMA_TEST_NODES_PER_SECOND", PER_SECOND);
    let sim = SimConfig { magic_numbers: false, ..SimConfig::default() };
    let sim = Simulator::start(sim).await.unwrap();
    let database = Database::empty_on_postgres();
    let sites = [(); 3].map(|()| node(&sim, &database, per_second));
    sites[0].run(&["migrate"]).await;
    let key = sites[0].key("admin").await;
    let mut nodes = Vec::new();
    for site in &sites {
        nodes.push(Mutex::new(site.serve().await));
    }

    let sending = stream::iter(0..total)
        .map(|n| send(&nodes, &key, n))
        .buffer_unordered(SENDERS)
        .collect::<Vec<String>>();
    let killing = async {
        for kill in 1..=kills {
            wait_until(|| sent(&sim) >= total * kill / (kills + 1), PATIENCE).await.unwrap();
            let next = sites[kill % 3].serve().await;
            let killed = std::mem::replace(&mut *nodes[kill % 3].lock().unwrap(), next);
            killed.kill().await;
        }
    };
    let (ids, ()) = futures_util::future::join(sending, killing).await;
    assert_eq!(ids.len(), total);

    // What was under way when a node died is found out.
    wait_until(|| sent(&sim) >= total, PATIENCE)
        .await
        .unwrap_or_else(|late| panic!("{late}: {} of {total} were sent", sent(&sim)));
    let entries = sim.ledger().entries_where(|_| true);
    let mut copies: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in &entries {
        *copies.entry(entry.body.as_str()).or_default() += 1;
    }
    let twice: Vec<_> = copies.iter().filter(|(_, copies)| **copies > 1).collect();
    assert_eq!((copies.len(), entries.len(), twice), (total, total, vec![]));
    let most = most_in_a_second(entries.iter().map(|entry| entry.since_start_us).collect());
    assert!(most <= per_second + per_second / 20, "{most} in a second, {per_second} are allowed");
}

/// The most that fell into any stretch of a second.
fn most_in_a_second(mut times: Vec<u64>) -> usize {
    times.sort_unstable();
    let mut first = 0;
    let within = times.iter().enumerate().map(|(last, time)| {
        while times[first] + 1_000_000 <= *time {
            first += 1;
        }
        last - first + 1
    });
    within.max().unwrap_or(0)
}

fn sent(sim: &Simulator) -> usize {
    usize::try_from(sim.ledger().count()).unwrap()
}
