//! Caps over HTTP: what may be spent on a day, on three nodes at once, and what is settled.

use std::sync::Arc;
use std::time::Duration;

use domain::secret::ExposeSecret as _;
use domain::time::Clock as _;
use gateway::SystemClock;
use reqwest::Method;
use serde_json::json;
use server::assemble::Gateway;
use server::config::Config;
use server::keys::{self, Scope};
use testkit::clock::FakeClock;
use testkit::database::Database;
use testkit::sim::{SimConfig, Simulator};
use testkit::wait::{LONG, wait_for};

use crate::app::{AMERICAN, KENYAN, Setup, TestApp, environment};
use crate::http::{Answer, Client};

/// Callers that send at the same time.
const CALLERS: usize = 200;

fn capped(caps: &str) -> Setup {
    TestApp::setup().set("TUMA_SPENDING__CAPS", caps)
}

async fn send(app: &TestApp, receiver: &str, scenario: &str) -> Answer {
    let body = json!({"receiver": receiver, "message": "Habari", "scenario": scenario});
    app.request(Method::POST, "/sms").json(&body).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_hundred_callers_on_three_nodes_nobody_spends_beyond_ten_dollars() {
    let sim = Simulator::start(SimConfig::default()).await.unwrap();
    let (database, client) = (Database::on_postgres(), Client::new());
    let mut nodes: Vec<Gateway> = Vec::new();
    for _ in 0..3 {
        let mut environment = environment(sim.base_url(), database.url());
        let caps = r#"[{name = "daily", by = "all", most = "10.00"}]"#;
        environment.push(("TUMA_SPENDING__CAPS".into(), caps.into()));
        let config = Config::load(None, environment).unwrap();
        nodes.push(Gateway::start(&config, Arc::new(SystemClock::new())).await.unwrap());
    }
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let (secret, key) =
            keys::create(&format!("caller {caller}"), &[Scope::Send], None, SystemClock::new().now());
        nodes[0].store.create_key(key, crate::app::operator()).await.unwrap();
        let (client, secret) = (client.clone(), secret.expose_secret().to_owned());
        let url = format!("http://{}/sms", nodes[caller % 3].address);
        callers.spawn(async move {
            let mut accepted = 0_i64;
            loop {
                let body = json!({"receiver": AMERICAN, "message": format!("Habari {caller} {accepted}")});
                let answer = client.request(Method::POST, &url).key(&secret).json(&body).send().await;
                match answer.status {
                    202 => accepted += 1,
                    429 => return accepted,
                    other => panic!("{other}: {}", answer.text),
                }
            }
        });
    }
    let accepted: i64 = callers.join_all().await.into_iter().sum();
    // One message of one segment to the United States costs 0.0079 USD.
    let spent = accepted * 7_900;
    assert!(spent <= 10_000_000, "{accepted} messages are more than ten dollars");
    assert!(spent + 7_900 > 10_000_000, "{accepted} messages: there was room for another one");
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn what_the_provider_charges_takes_the_place_of_what_was_reserved() {
    let clock = Arc::new(FakeClock::new());
    let caps = r#"[{name = "daily", by = "all", most = "0.05"}]"#;
    let app = capped(caps).clock(Arc::clone(&clock) as _).start().await;
    // Two cents are reserved for each, and the simulator charges 0.80 shillings: six tenths of a cent.
    assert_eq!(send(&app, KENYAN, "general").await.status, 202);
    assert_eq!(send(&app, KENYAN, "general").await.status, 202);
    let refused = send(&app, KENYAN, "general").await;
    assert_eq!((refused.status, &refused.json()["code"]), (429, &json!("rate_limited")));
    assert!(refused.text.contains("0.05 USD a day"), "{}", refused.text);
    assert!(refused.header("retry-after").is_some());
    assert_eq!(refused.header("ratelimit"), None, "what is left of a cap is nobody's business but ours");
    let look = async || {
        clock.advance(Duration::from_secs(1));
        Some(send(&app, KENYAN, "general").await).filter(|answer| answer.status == 202)
    };
    assert!(wait_for(look, LONG).await.is_ok());
}

#[tokio::test]
async fn day_of_nairobi_begins_anew_and_only_what_is_named_is_capped() {
    let clock = Arc::new(FakeClock::new());
    let caps = r#"[{name = "invitations", scenarios = ["chama_invite"], countries = ["US"], by = "country", most = "0.008"}]"#;
    let app = capped(caps).clock(Arc::clone(&clock) as _).start().await;
    assert_eq!(send(&app, AMERICAN, "chama_invite").await.status, 202);
    let refused = send(&app, AMERICAN, "chama_invite").await;
    assert_eq!(refused.status, 429);
    assert_eq!(send(&app, KENYAN, "chama_invite").await.status, 202);
    assert_eq!(send(&app, AMERICAN, "alert").await.status, 202);

    let explained = app
        .request(Method::POST, "/sms/explain")
        .json(&json!({"receiver": AMERICAN, "message": "Karibu", "scenario": "chama_invite"}));
    let explained = explained.send().await.json();
    assert_eq!(explained["limits"][0]["name"], "invitations");

    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    clock.advance(Duration::from_secs(wait + 1));
    assert_eq!(send(&app, AMERICAN, "chama_invite").await.status, 202);
}

#[test]
fn cap_that_can_not_be_counted_is_refused_at_the_start() {
    let database = Database::fresh();
    let load = |key: &str, value: &str| {
        let mut environment = environment("http://127.0.0.1:1", database.url());
        environment.push((key.into(), value.into()));
        Config::load(None, environment).map(|_config| ()).unwrap_err().to_string()
    };
    for (key, value, wanted) in [
        ("TUMA_SPENDING__CURRENCY", "dollars", "spending.currency"),
        ("TUMA_SPENDING__PRICE_WHEN_UNKNOWN", "-1", "spending.price_when_unknown"),
        ("TUMA_SPENDING__CAPS", r#"[{name = "a", by = "all", most = "ten"}]"#, "spending.caps"),
        ("TUMA_SPENDING__CAPS", r#"[{name = "a", by = "client_ip", most = "10"}]"#, "client_ip"),
        ("TUMA_SPENDING__CAPS", r#"[{name = "otp per day", by = "all", most = "10"}]"#, "spending.caps"),
    ] {
        let problem = load(key, value);
        assert!(problem.contains(wanted), "{problem}");
    }
}
