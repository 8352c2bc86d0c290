//! The database is gone for a while, or hangs: callers are told at once to come again, and when it is back, everything that
//! was accepted has been sent once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join;
use futures_util::stream::FuturesUnordered;
use reqwest::Method;
use serde_json::json;
use testkit::database::Database;
use testkit::proxy::{Proxy, Way};
use testkit::sim::{Fault, FaultRule, SimConfig, Simulator};
use testkit::stopwatch::Stopwatch;
use testkit::wait::{wait_for, wait_until};

use crate::app::AMERICAN;
use crate::program::{Served, Site};

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_mins(4);

/// Refusals that are seen before the database is back. `TUMA_TEST_OUTAGE_SECONDS` makes it last longer.
const REFUSALS: usize = 200;

/// Callers that send one message after the other.
const CALLERS: usize = 8;

/// If callers were let in to wait until their time is over, so many refusals would take longer.
const SOON: Duration = Duration::from_secs(30);

/// A request that takes longer has piled up behind others: it was let in and not refused.
const AT_ONCE: Duration = Duration::from_secs(3);

/// What callers saw.
#[derive(Default)]
struct Seen {
    sent: AtomicUsize,
    refused: AtomicUsize,
    is_over: AtomicBool,
}

/// Sends messages one after the other until it is over; each again, with the same key, until it is accepted.
async fn call(served: &Served, key: &str, caller: usize, seen: &Seen) -> Vec<String> {
    let mut texts = Vec::new();
    while !seen.is_over.load(Ordering::Relaxed) {
        let text = format!("Message {} of {caller}", texts.len());
        let accepted = async || {
            let body = json!({"receiver": AMERICAN, "message": text, "scenario": "general"});
            let request =
                served.request(Method::POST, "/sms").key(key).header("idempotency-key", &text).json(&body);
            let answer = tokio::time::timeout(AT_ONCE, request.send()).await.unwrap();
            match answer.status {
                202 => Some(()),
                503 => {
                    assert!(answer.header("retry-after").is_some(), "{}", answer.text);
                    seen.refused.fetch_add(1, Ordering::Relaxed);
                    None
                }
                other => panic!("{other}: {}", answer.text),
            }
        };
        wait_for(accepted, PATIENCE).await.unwrap();
        seen.sent.fetch_add(1, Ordering::Relaxed);
        texts.push(text);
    }
    texts
}

#[expect(clippy::disallowed_methods, reason = "a switch of this test, not a setting of the gateway")]
fn least() -> Duration {
    let seconds = std::env::var("TUMA_TEST_OUTAGE_SECONDS").ok();
    Duration::from_secs(seconds.map_or(0, |seconds| seconds.parse().unwrap()))
}

async fn nothing_is_lost_and_nobody_waits(outage: Way) {
    let sim = SimConfig { magic_numbers: false, ..SimConfig::default() };
    let sim = Simulator::start(sim).await.unwrap();
    // So that many are under way when the database goes.
    sim.inject(FaultRule::always(Fault::Slow { ms: 200 })).unwrap();
    let database = Database::on_postgres();
    let proxy = Proxy::to(database.server()).await.unwrap();
    let site = Site::new(sim.base_url())
        .set("TUMA_DATABASE_URL", &database.url_by(proxy.address()))
        .set("TUMA_HTTP__REQUEST_TIMEOUT_MS", "2500")
        .set("TUMA_PROVIDERS__TWILIO__CONNECT_TIMEOUT_MS", "1000")
        .set("TUMA_PROVIDERS__TWILIO__REQUEST_TIMEOUT_MS", "4000")
        .set("TUMA_PROVIDERS__AFRICASTALKING__REQUEST_TIMEOUT_MS", "4000")
        .set("TUMA_PROVIDERS__AFRICASTALKING__CONNECT_TIMEOUT_MS", "1000")
        .set("TUMA_DISPATCH__LEASE_S", "5")
        .set("TUMA_RECONCILE__FIRST_LOOK_MS", "500")
        .set("TUMA_RECONCILE__INTERVAL_MS", "1000")
        .set("TUMA_RECONCILE__ABSENT_AFTER_MS", "2000");
    let served = site.serve().await;
    let key = site.key("sms:send").await;
    let seen = Seen::default();
    let calling = (0..CALLERS).map(|caller| call(&served, &key, caller, &seen));
    let calling = calling.collect::<FuturesUnordered<_>>().collect::<Vec<_>>();
    let failing = async {
        let until = async |least: usize, counter: &AtomicUsize| {
            wait_until(|| counter.load(Ordering::Relaxed) >= least, PATIENCE).await.unwrap();
        };
        until(200, &seen.sent).await;
        let stopwatch = Stopwatch::start();
        proxy.set(outage);
        let lasted = || Duration::from_micros(stopwatch.since_start_us());
        let is_enough = || seen.refused.load(Ordering::Relaxed) >= REFUSALS && lasted() >= least();
        wait_until(is_enough, least() + SOON).await.unwrap();
        proxy.set(Way::Open);
        let before = seen.sent.load(Ordering::Relaxed);
        until(before + 200, &seen.sent).await;
        seen.is_over.store(true, Ordering::Relaxed);
    };
    let (texts, ()) = join(calling, failing).await;
    let texts: Vec<String> = texts.concat();

    let reached = || usize::try_from(sim.ledger().count()).unwrap();
    wait_until(|| reached() >= texts.len(), PATIENCE).await.unwrap();
    let mut copies: BTreeMap<String, usize> = texts.iter().map(|text| (text.clone(), 0)).collect();
    for entry in sim.ledger().entries_where(|_| true) {
        *copies.entry(entry.body).or_default() += 1;
    }
    copies.retain(|_, copies| *copies != 1);
    assert_eq!(copies, BTreeMap::new(), "sent another number of times than once");
    served.terminate().await;
    assert_eq!(served.ended().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_database_is_gone_callers_are_refused_at_once_and_nothing_is_lost_or_repeated() {
    nothing_is_lost_and_nobody_waits(Way::Cut).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_database_hangs_callers_are_refused_at_once_and_nothing_is_lost_or_repeated() {
    nothing_is_lost_and_nobody_waits(Way::Blocked).await;
}
