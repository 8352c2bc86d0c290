//! `tuma move`.

use std::time::Duration;

use domain::time::Clock as _;
use gateway::SystemClock;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::database::Database;
use testkit::sim::{SimConfig, Simulator};
use testkit::wait::{LONG, wait_for};

use crate::app::{AMERICAN, text};
use crate::program::{Finished, Served, Site};

/// No password of anybody; it must not be printed.
const PASSWORD: &str = concat!("nobody-", "prints-this");

/// The database's address with a password, which the tests' server does not ask for.
fn address(database: &Database) -> String {
    database.url().replacen('@', &format!(":{PASSWORD}@"), 1)
}

async fn site(database: &Database) -> (Simulator, Site) {
    let sim = Simulator::start(SimConfig::default()).await.unwrap();
    let site = Site::new(sim.base_url());
    (sim, site.set("TUMA_MOVE_FROM", "sqlite:tuma.db").set("TUMA_MOVE_TO", &address(database)))
}

async fn accept(served: &Served, key: &str, body: Value) -> String {
    let answer = served.request(Method::POST, "/sms").key(key).json(&body).send().await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    text(&answer.json()["id"])
}

async fn shown_when_sent(served: &Served, key: &str, id: &str) -> Value {
    let is_sent = async || {
        let shown = served.request(Method::GET, &format!("/sms/{id}")).key(key).send().await.json();
        (shown["status"] == "sent").then_some(shown)
    };
    wait_for(is_sent, LONG).await.unwrap_or_else(|problem| panic!("{problem}: {}", served.log()))
}

async fn stop(served: Served) {
    served.terminate().await;
    assert_eq!(served.ended().await.code, Some(0));
}

/// Runs it with nothing but what the environment says.
async fn run(site: &Site) -> Finished {
    let run = site.run(&["move"]).await;
    assert!(!run.stdout.contains(PASSWORD) && !run.stderr.contains(PASSWORD), "{}", run.stderr);
    run
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateway_on_the_target_knows_all_and_sends_what_waited() {
    let database = Database::empty_on_postgres();
    let (sim, site) = site(&database).await;
    let key = site.key("admin").await;
    let served = site.serve().await;
    let sent = accept(&served, &key, json!({"receiver": AMERICAN, "message": "Leo"})).await;
    let shown = shown_when_sent(&served, &key, &sent).await;
    // Due when the move is done, or while it is: nobody sends it then.
    let later = SystemClock::new().now().plus(Duration::from_secs(5)).to_string();
    let body = json!({"receiver": AMERICAN, "message": "Kesho", "scheduled_at": later});
    let waiting = accept(&served, &key, body).await;
    stop(served).await;

    let moved = run(&site).await;
    assert_eq!(moved.code, Some(0), "{}", moved.stderr);
    let messages = moved.stdout.lines().find(|line| line.starts_with("messages ")).unwrap();
    assert!(messages.ends_with(" same"), "{messages}");
    assert!(moved.stderr.contains("copying messages: 2 of 2"), "{}", moved.stderr);

    let on_target = Site::new(sim.base_url()).set("TUMA_DATABASE_URL", &address(&database));
    let served = on_target.serve().await;
    assert_eq!(shown_when_sent(&served, &key, &sent).await, shown);
    shown_when_sent(&served, &key, &waiting).await;
    let bodies: Vec<_> = sim.ledger().entries_where(|_| true).into_iter().map(|entry| entry.body).collect();
    assert_eq!(bodies, ["Leo", "Kesho"]);
    stop(served).await;
    // The audit trail came along, and goes on: one key, two messages accepted, two sent.
    let verified = on_target.run(&["audit", "verify"]).await;
    assert!(verified.stdout.starts_with("5 entries in "), "{}{}", verified.stdout, verified.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_served_or_moved_is_refused_and_says_so() {
    let database = Database::empty_on_postgres();
    let (sim, site) = site(&database).await;
    let served = site.serve().await;
    let refused = run(&site).await;
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""));
    assert!(refused.stderr.contains("the source: another tuma serve has"), "{}", refused.stderr);
    stop(served).await;
    assert_eq!(run(&site).await.code, Some(0));

    let on_target = Site::new(sim.base_url()).set("TUMA_DATABASE_URL", &address(&database));
    on_target.key("admin").await;
    let served = on_target.serve().await;
    let refused = run(&site).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("nodes serve the target, 1 of them"), "{}", refused.stderr);
    stop(served).await;
    // Another source than the one that was moved, which had no key.
    site.key("admin").await;
    let refused = run(&site).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("the target is not empty"), "{}", refused.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn move_that_is_run_again_says_that_it_was_done() {
    let database = Database::empty_on_postgres();
    let (_sim, site) = site(&database).await;
    site.key("admin").await;
    assert_eq!(run(&site).await.code, Some(0));
    let again = run(&site).await;
    assert_eq!((again.code, again.stdout.as_str()), (Some(0), ""), "{}", again.stderr);
    assert!(again.stderr.contains("was moved into this target before"), "{}", again.stderr);
}
