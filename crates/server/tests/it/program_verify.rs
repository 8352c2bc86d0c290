//! `tuma verify`.

use serde_json::Value;
use testkit::sim::{SimConfig, Simulator};
use testkit::wait::{LONG, wait_for};

use crate::app::{KENYAN, text};
use crate::program::{Finished, Site};

fn printed(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"))
}

#[tokio::test]
async fn a_code_is_sent_shown_and_checked() {
    let sim = Simulator::start(SimConfig::default()).await.unwrap();
    let site = Site::new(sim.base_url());
    let key = site.key("verify").await;
    let served = site.serve().await;
    let caller = Site::bare().set("TUMA_URL", &format!("http://{}", served.address));
    let caller = caller.set("TUMA_API_KEY", &key);
    let begun = caller.run(&["verify", "start", KENYAN, "--locale", "sw", "--length", "8"]).await;
    assert_eq!(begun.code, Some(0), "{}", begun.stderr);
    let id = text(&printed(&begun)["id"]);
    let sent = async || sim.ledger().to(KENYAN).pop();
    let body = wait_for(sent, LONG).await.unwrap().body;
    let code = body.split(|letter: char| !letter.is_ascii_digit()).find(|run| run.len() == 8).unwrap();
    // Of another length, so a wrong one.
    let wrong = caller.run(&["verify", "check", &id, "1234"]).await;
    assert_eq!((wrong.code, printed(&wrong)["checks_left"].as_u64()), (Some(1), Some(4)));
    assert!(wrong.stderr.contains("this is not the code, or not any more"), "{}", wrong.stderr);
    let right = caller.run(&["verify", "check", &id, code]).await;
    assert_eq!((right.code, printed(&right)["valid"].as_bool()), (Some(0), Some(true)));
    let shown = caller.run(&["verify", "show", &id]).await;
    assert_eq!((shown.code, text(&printed(&shown)["status"])), (Some(0), "approved".into()));
    // Nothing on the standard input is no code.
    let none = caller.run(&["verify", "check", &id]).await;
    assert_eq!(none.code, Some(1));
    assert!(none.stderr.contains("no code was given"), "{}", none.stderr);
}
