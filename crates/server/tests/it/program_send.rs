//! `tuma send`.

use serde_json::{Value, json};
use testkit::sim::{SimConfig, Simulator};

use crate::app::{AMERICAN, KENYAN};
use crate::program::{Finished, Served, Site};

/// A gateway, its folder, and a key.
async fn gateway() -> (Simulator, Site, Served, String) {
    let sim = Simulator::start(SimConfig::default()).await.unwrap();
    let site = Site::new(sim.base_url());
    let key = site.key("sms:send,sms:read").await;
    let served = site.serve().await;
    (sim, site, served, key)
}

/// Runs `tuma send` in a folder where nothing else is set.
async fn send(served: &Served, key: Option<&str>, arguments: &[&str]) -> Finished {
    let site = Site::bare().set("TUMA_URL", &format!("http://{}", served.address));
    let site = if let Some(key) = key { site.set("TUMA_API_KEY", key) } else { site };
    site.run(&[&["send"], arguments].concat()).await
}

fn printed(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"))
}

#[tokio::test]
async fn prints_the_answer_of_the_gateway() {
    let (_sim, _site, served, key) = gateway().await;
    let sent = send(&served, Some(&key), &["--to", "0712345678", "--message", "Habari"]).await;
    assert_eq!(sent.code, Some(0), "{}", sent.stderr);
    let answer = printed(&sent);
    assert_eq!((&answer["receiver"], &answer["status"]), (&json!(KENYAN), &json!("queued")));
}

#[tokio::test]
async fn waits_for_the_provider_where_it_is_asked_to() {
    let (_sim, _site, served, key) = gateway().await;
    let arguments =
        ["--to", AMERICAN, "-m", "Habari", "--wait", "20", "--scenario", "otp", "--reference", "r1"];
    let answer = printed(&send(&served, Some(&key), &arguments).await);
    assert_eq!((&answer["status"], &answer["scenario"]), (&json!("sent"), &json!("otp")));
}

#[tokio::test]
async fn several_receivers_are_a_bulk_request() {
    let (_sim, _site, served, key) = gateway().await;
    let sent = send(&served, Some(&key), &["--to", KENYAN, "--to", AMERICAN, "-m", "Habari"]).await;
    assert_eq!(printed(&sent)["accepted"], 2);
}

#[tokio::test]
async fn a_refusal_is_printed_and_fails() {
    let (_sim, _site, served, key) = gateway().await;
    let refused = send(&served, Some(&key), &["--to", "12345", "-m", "Habari"]).await;
    assert_eq!(refused.code, Some(1));
    assert_eq!(printed(&refused)["code"], "validation_failed");
    let refused = send(&served, Some("tuma_wrong"), &["--to", KENYAN, "-m", "Habari"]).await;
    assert_eq!((refused.code, &printed(&refused)["code"]), (Some(1), &json!("unauthenticated")));
}

#[tokio::test]
async fn the_key_may_stand_in_a_file() {
    let (_sim, site, served, key) = gateway().await;
    let file = site.path("key");
    std::fs::write(&file, format!("{key}\n")).unwrap();
    let arguments = ["--to", KENYAN, "-m", "Habari", "--key-file", file.to_str().unwrap()];
    assert_eq!(send(&served, None, &arguments).await.code, Some(0));
    let without = send(&served, None, &["--to", KENYAN, "-m", "Habari"]).await;
    assert_eq!(without.code, Some(1));
    assert!(without.stderr.contains("set TUMA_API_KEY, or give --key-file"), "{}", without.stderr);
}

#[tokio::test]
async fn a_gateway_that_is_not_there_is_said_so() {
    let (_reserved, address) = crate::app::refusing_address();
    let site = Site::bare().set("TUMA_API_KEY", "tuma_x").set("TUMA_URL", &format!("http://{address}"));
    let failed = site.run(&["send", "--to", KENYAN, "-m", "Habari"]).await;
    assert_eq!(failed.code, Some(1));
    assert!(failed.stderr.contains("the gateway can't be reached"), "{}", failed.stderr);
}
