//! `tuma prompt`.

use serde_json::{Value, json};
use testkit::sim::{SimConfig, Simulator};

use crate::app::{KENYAN, text};
use crate::program::{Finished, Served, Site};

async fn prompt(served: &Served, key: &str, arguments: &[&str]) -> Finished {
    let site = Site::bare().set("TUMA_URL", &format!("http://{}", served.address)).set("TUMA_API_KEY", key);
    site.run(&[&["prompt"], arguments].concat()).await
}

fn printed(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"))
}

#[tokio::test]
async fn prompt_is_started_shown_and_closed() {
    let sim = Simulator::start(SimConfig::default()).await.unwrap();
    let site = Site::new(sim.base_url());
    let key = site.key("prompts,sms:read").await;
    let served = site.serve().await;
    let start = [
        "start",
        "--kind",
        "approval",
        "--to",
        "0712345678",
        "--to",
        "0722345678",
        "--message",
        "Withdraw?",
        "--reference",
        "WR-1",
        "--policy",
        "2",
        "--veto",
        "--remind-at",
        "2060-01-01T00:00:00Z",
    ];
    let refused = prompt(&served, &key, &start).await;
    assert_eq!((refused.code, &printed(&refused)["errors"][0]["pointer"]), (Some(1), &json!("/reminders/0")));
    let started = prompt(&served, &key, &start[..14]).await;
    assert_eq!(started.code, Some(0), "{}{}", started.stdout, started.stderr);
    let id = text(&printed(&started)["id"]);
    let shown = printed(&prompt(&served, &key, &["show", &id]).await);
    assert_eq!((&shown["policy"], &shown["veto"]), (&json!({"n": 2}), &json!(true)));
    assert_eq!(shown["receivers"][0]["receiver"], KENYAN);
    let closed = printed(&prompt(&served, &key, &["close", &id]).await);
    assert_eq!((&closed["status"], &closed["outcome"]), (&json!("closed"), &json!("canceled")));
}
