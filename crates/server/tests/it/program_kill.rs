//! `kill -9` while messages are being accepted: what was answered 202 is there after the restart.

use std::collections::BTreeSet;
use std::sync::Mutex;

use futures_util::{StreamExt as _, stream};
use reqwest::Method;
use serde_json::json;
use testkit::sim::{SimConfig, Simulator};
use testkit::wait::{LONG, wait_until};

use crate::app::text;
use crate::program::{Served, Site};

/// Requests under way at once.
const SENDERS: usize = 64;

/// How many messages are sent: set `TUMA_TEST_KILL_MESSAGES` for another number.
fn messages() -> usize {
    #[expect(clippy::disallowed_methods, reason = "a switch of this test, not a setting of the gateway")]
    let set = std::env::var("TUMA_TEST_KILL_MESSAGES").ok();
    set.map_or(10_000, |number| number.parse().unwrap())
}

/// All ids that `GET /sms` lists, page by page.
async fn listed(served: &Served, key: &str) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/sms?limit=200{cursor}");
        let page = served.request(Method::GET, &path).key(key).send().await.json();
        ids.extend(page["messages"].as_array().unwrap().iter().map(|message| text(&message["id"])));
        let Some(next) = page["next_cursor"].as_str() else { return ids };
        cursor = format!("&cursor={next}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_202_is_there_after_kill_9_and_nothing_is_sent_twice() {
    let sim = SimConfig { magic_numbers: false, ..SimConfig::default() };
    let sim = Simulator::start(sim).await.unwrap();
    // Both providers are at work meanwhile, each at the pace that it has anyway.
    let site = Site::new(sim.base_url()).set("RUST_LOG", "warn,server::cli=info");
    let key = site.key("admin").await;
    let served = site.serve().await;

    let total = messages();
    let answered: Mutex<Vec<String>> = Mutex::default();
    let count = || answered.lock().unwrap().len();
    let requests = stream::iter(0..total).map(|n| {
        let receiver =
            if n % 2 == 0 { format!("+254712{n:06}") } else { format!("+1415555{:04}", n % 10_000) };
        let body = json!({"receiver": receiver, "message": format!("Message {n}")});
        served.request(Method::POST, "/sms").key(&key).json(&body)
    });
    let sending = requests.map(|request| async {
        // A gateway that is gone gives no answer, and nothing was promised.
        if let Ok(answer) = request.try_send().await {
            assert_eq!(answer.status, 202, "{}", answer.text);
            answered.lock().unwrap().push(text(&answer.json()["id"]));
        }
    });
    let sending = sending.buffer_unordered(SENDERS).collect::<Vec<()>>();
    let killing = async {
        wait_until(|| count() >= total / 2, LONG).await.unwrap();
        served.kill().await;
    };
    futures_util::future::join(sending, killing).await;
    assert_eq!(served.ended().await.code, None);
    let promised = BTreeSet::from_iter(answered.into_inner().unwrap());
    assert!((total / 2..total).contains(&promised.len()), "{} of {total} were answered", promised.len());

    let served = site.serve().await;
    let kept = listed(&served, &key).await;
    let lost: Vec<_> = promised.difference(&kept).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {:?}", lost.len(), promised.len(), lost.first());

    // What was queued goes out; what was under way is in doubt, and is not sent again.
    let before = sim.ledger().count();
    wait_until(|| sim.ledger().count() > before + 200, LONG).await.unwrap();
    assert_eq!(sim.ledger().duplicates(), []);
}
