//! `tuma demo`.

use reqwest::Method;
use testkit::endpoint::Endpoint;
use testkit::wait::{LONG, wait_for, wait_until};

use crate::http::Client;
use crate::program::{Site, signal};

#[tokio::test]
async fn reaches_delivered_in_kenya_and_abroad_with_nothing_configured() {
    let demo = Site::bare().run(&["demo", "--listen", "127.0.0.1:0", "--exit-when-delivered"]).await;
    assert_eq!(demo.code, Some(0), "{}{}", demo.stdout, demo.stderr);
    for (receiver, provider) in [("+254712345678", "africastalking"), ("+14155550100", "twilio")] {
        let row = demo.stdout.lines().find(|line| line.contains(receiver));
        let row = row.unwrap_or_else(|| panic!("{}", demo.stdout));
        assert!(row.contains(provider) && row.contains("delivered"), "{row}");
    }
    for scenario in ["otp", "transaction", "chama_invite", "chama_withdrawal", "alert"] {
        assert!(demo.stdout.lines().any(|line| line.starts_with(scenario)), "{}", demo.stdout);
    }
}

#[tokio::test]
async fn says_where_to_look_and_ctrl_c_ends_it() {
    let site = Site::bare();
    let (mut child, said) = site.start(&["demo", "--listen", "127.0.0.1:0"]);
    wait_until(|| said().contains("Ctrl-C"), LONG).await.unwrap();
    let said = said();
    let url = |path: &str| {
        let words = said.split_whitespace().map(|word| word.trim_matches('\''));
        let found = words.filter(|word| word.starts_with("http://")).find(|word| word.contains(path));
        found.unwrap_or_else(|| panic!("no address of {path}: {said}")).to_owned()
    };
    let key = said.split("Bearer ").nth(1).unwrap().split('\'').next().unwrap();
    let client = Client::new();
    for path in ["/docs", "/metrics", "/_sim/ledger"] {
        let answer = client.request(Method::GET, &url(path)).send().await;
        assert!(matches!(answer.status, 200 | 303 | 307 | 308), "{path}: {}", answer.status);
    }
    let shown = client.request(Method::GET, &url("/sms/msg_")).key(key).send().await.json();
    assert_eq!(shown["status"], "delivered");

    let stop = said.split_once("/_sim/incoming -d '").unwrap().1.split_once('\'').unwrap().0;
    let stop = client.request(Method::POST, &url("/_sim/incoming")).body(stop.to_owned()).send().await;
    assert_eq!(stop.status, 202, "{}", stop.text);
    let is_confirmed = async || {
        let texts = client.request(Method::GET, &url("/_sim/texts")).send().await;
        texts.text.contains("START").then_some(())
    };
    wait_for(is_confirmed, LONG).await.unwrap();
    let heard = client.request(Method::GET, &url("/inbound")).key(key).send().await.json();
    assert_eq!(heard["messages"][0]["message"], "STOP");

    signal(&child, "INT").await;
    let status = tokio::time::timeout(LONG, child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn credentials_that_are_set_are_not_used() {
    let real = Endpoint::start().await.unwrap();
    let site = Site::new(&real.url("")).set("TUMA_COLOUR", "red");
    let demo = site.run(&["demo", "--listen", "127.0.0.1:0", "--exit-when-delivered"]).await;
    assert_eq!(demo.code, Some(0), "{}{}", demo.stdout, demo.stderr);
    assert_eq!(real.count(), 0);
    assert!(!site.files().contains(&"tuma.db".to_owned()));
}
