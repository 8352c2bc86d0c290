//! Limits over HTTP: by receiver, by group, by the end user's address; in headers; on three nodes at once.

use std::sync::Arc;
use std::time::Duration;

use domain::secret::ExposeSecret as _;
use domain::time::Clock as _;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use gateway::SystemClock;
use reqwest::Method;
use serde_json::{Value, json};
use server::assemble::Gateway;
use server::config::Config;
use server::keys::{self, Scope};
use testkit::clock::FakeClock;
use testkit::database::Database;
use testkit::sim::{SimConfig, Simulator};

use crate::app::{KENYAN, Setup, TestApp, environment, text};
use crate::http::{Answer, Client};

/// Requests for one number, all at once.
const AT_ONCE: usize = 1_000;

/// One number, as people write it.
const FORMS: [&str; 6] =
    ["+254712345678", "0712345678", "254712345678", "+254 712 345 678", "(0712) 345-678", "00254712345678"];

/// The limits that a gateway has as it comes.
fn as_it_comes() -> Setup {
    let defaults: toml::Table = server::config::default_settings().parse().unwrap();
    let rules = defaults["limits"]["rules"].as_array().unwrap().iter();
    let rules: Vec<String> = rules.map(ToString::to_string).collect();
    with(&format!("[{}]", rules.join(", ")))
}

fn with(rules: &str) -> Setup {
    TestApp::setup().set("TUMA_LIMITS__RULES", rules)
}

fn code(receiver: &str) -> Value {
    json!({"receiver": receiver, "message": "Nambari yako ni 482913", "scenario": "otp"})
}

async fn post(app: &TestApp, path: &str, body: &Value) -> Answer {
    app.request(Method::POST, path).json(body).send().await
}

#[tokio::test]
async fn five_codes_an_hour_go_to_a_number_however_it_is_written() {
    let clock = Arc::new(FakeClock::new());
    let app = as_it_comes().clock(Arc::clone(&clock) as _).start().await;
    for (form, left) in FORMS.iter().zip((0..5).rev()) {
        let answer = post(&app, "/sms", &code(form)).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        assert_eq!(answer.header("ratelimit-policy"), Some("\"otp_per_receiver\";q=5;w=3600"));
        let state = answer.header("ratelimit").unwrap();
        assert!(state.starts_with(&format!("\"otp_per_receiver\";r={left};t=")), "{state}");
    }
    let refused = post(&app, "/sms", &code(FORMS[5])).await;
    assert_eq!((refused.status, &refused.json()["code"]), (429, &json!("rate_limited")));
    assert_eq!(refused.json()["errors"][0]["pointer"], "/receiver");
    assert_eq!(refused.header("retry-after"), Some("720"));
    assert_eq!(refused.header("ratelimit"), Some("\"otp_per_receiver\";r=0;t=720"));
    assert!(!refused.text.contains("712345678"), "{}", refused.text);
    // Nothing else of theirs is held up, and nobody else.
    let notice = json!({"receiver": FORMS[0], "message": "Umepokea sats 10,000", "scenario": "transaction"});
    assert_eq!(post(&app, "/sms", &notice).await.status, 202);
    assert_eq!(post(&app, "/sms", &code("+254712345679")).await.status, 202);
    let figures = app.metrics().await;
    assert!(figures.contains("sms_rate_limit_hit_total{limit=\"otp_per_receiver\"} 1"), "{figures}");
    clock.advance(Duration::from_mins(12));
    assert_eq!(post(&app, "/sms", &code(FORMS[0])).await.status, 202);
    assert_eq!(post(&app, "/sms", &code(FORMS[0])).await.status, 429);
}

#[tokio::test]
async fn repeated_request_is_answered_as_before_and_counts_once() {
    let app = as_it_comes().start().await;
    let ask = async |key: &str| {
        let request = app.request(Method::POST, "/sms").header("idempotency-key", key);
        request.json(&code(KENYAN)).send().await
    };
    let first = ask("a").await;
    for _ in 0..10 {
        assert_eq!(text(&ask("a").await.json()["id"]), text(&first.json()["id"]));
    }
    for key in ["b", "c", "d", "e"] {
        assert_eq!(ask(key).await.status, 202);
    }
    assert_eq!(ask("f").await.status, 429);
    assert_eq!(ask("a").await.status, 202);
}

#[tokio::test]
async fn group_of_one_key_is_not_that_of_another() {
    let rule = r#"[{name = "per_group", by = "group", limit = 1, period_s = 3600}]"#;
    let app = with(rule).start().await;
    let other = app.key(&[Scope::Send]).await;
    let send = async |key: &str| {
        let body = json!({"receiver": KENYAN, "message": "Karibu", "group": "chama-7"});
        app.anonymous(Method::POST, "/sms").key(key).json(&body).send().await.status
    };
    assert_eq!((send(&other).await, send(&other).await), (202, 429));
    assert_eq!((send(&app.key).await, send(&app.key).await), (202, 429));
}

#[tokio::test]
async fn of_a_bulk_those_within_the_limit_of_their_group_are_sent() {
    let app = as_it_comes().start().await;
    let receivers: Vec<_> = (0..60).map(|n| format!("+2547123457{n:02}")).collect();
    let invite = |group: &str, receivers: &[String]| json!({"receivers": receivers, "message": "Karibu", "scenario": "chama_invite", "group": group});
    let answer = post(&app, "/sms/bulk", &invite("umoja", &receivers)).await;
    let result = answer.json();
    assert_eq!((answer.status, &result["accepted"], &result["rejected"]), (202, &json!(50), &json!(10)));
    let verdicts = result["results"].as_array().unwrap();
    assert_eq!((&verdicts[49]["status"], &verdicts[50]["code"]), (&json!("queued"), &json!("rate_limited")));
    let refused = post(&app, "/sms/bulk", &invite("umoja", &receivers[..3])).await;
    assert_eq!((refused.status, &refused.json()["code"]), (429, &json!("rate_limited")));
    assert_eq!(refused.json()["errors"][0]["pointer"], "/group");
    assert_eq!(post(&app, "/sms/bulk", &invite("imara", &receivers[..3])).await.status, 202);
}

/// Others may be sent to: so each is told why not, where none is left.
#[tokio::test]
async fn of_a_bulk_of_whom_nobody_is_left_each_is_told_why_unless_a_limit_is_of_all() {
    let rules = r#"[{name = "daily", by = "receiver", limit = 1, period_s = 86400},
        {name = "per_key", scenarios = ["transaction"], by = "caller", limit = 1, period_s = 60}]"#;
    let app = with(rules).start().await;
    let bulk = |scenario: &str, receivers: [&str; 2]| json!({"receivers": receivers, "message": "Habari", "scenario": scenario});
    let (one, two, three) = ("+254712345601", "+254712345602", "+254712345603");
    assert_eq!(post(&app, "/sms/bulk", &bulk("general", [one, two])).await.status, 202);
    let refused = post(&app, "/sms/bulk", &bulk("general", [one, "12"])).await;
    assert_eq!((refused.status, refused.problem().as_str()), (429, "rate_limited"), "{}", refused.text);
    assert!(refused.headers.contains_key("retry-after"), "{:?}", refused.headers);
    let errors = |answer: &Answer| {
        let errors = answer.json()["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| (text(&error["pointer"]), text(&error["code"]))).collect::<Vec<_>>()
    };
    let each = [("/receivers/0", "rate_limited"), ("/receivers/1", "invalid_receiver")];
    assert_eq!(errors(&refused), each.map(|(pointer, code)| (pointer.to_owned(), code.to_owned())));
    // What all messages of the key count for is no reason to ask about others.
    assert_eq!(post(&app, "/sms/bulk", &bulk("transaction", [three, "+254712345604"])).await.status, 202);
    let refused = post(&app, "/sms/bulk", &bulk("transaction", [one, "+254712345605"])).await;
    assert_eq!((refused.status, errors(&refused)), (429, vec![]));
    assert!(text(&refused.json()["detail"]).contains("per_key"), "{}", refused.text);
}

#[tokio::test]
async fn an_end_users_address_counts_by_its_network_and_is_checked() {
    let rules = r#"[{name = "per_client", by = "client_ip", limit = 2, period_s = 60}]"#;
    let app = with(rules).start().await;
    let ask = async |n: usize, client: &str| {
        let body = json!({"receiver": format!("+25471234570{n}"), "message": "Habari", "client_ip": client});
        post(&app, "/sms", &body).await
    };
    assert_eq!(ask(0, "197.232.1.7").await.status, 202);
    assert_eq!(ask(1, "::ffff:197.232.1.7").await.status, 202);
    let refused = ask(2, "197.232.1.7").await;
    assert_eq!((refused.status, &refused.json()["errors"][0]["pointer"]), (429, &json!("/client_ip")));
    assert!(!refused.text.contains("197.232"), "{}", refused.text);
    for (n, client) in [(3, "2001:db8::1"), (4, "2001:db8::ffff")] {
        assert_eq!(ask(n, client).await.status, 202);
    }
    assert_eq!(ask(5, "2001:db8::2").await.status, 429);
    assert_eq!(ask(6, "2001:db8:1::2").await.status, 202);
    // Who does not tell is not counted here, and what is no address is named.
    assert_eq!(app.send(&json!({"receiver": KENYAN, "message": "Habari"})).await.len(), 36);
    let wrong = ask(7, "localhost").await;
    assert_eq!((wrong.status, &wrong.json()["errors"][0]["pointer"]), (422, &json!("/client_ip")));
}

#[tokio::test]
async fn limits_outlive_a_restart() {
    let app = as_it_comes().start().await;
    for _ in 0..5 {
        assert_eq!(post(&app, "/sms", &code(KENYAN)).await.status, 202);
    }
    let app = app.restart().await;
    assert_eq!(post(&app, "/sms", &code(KENYAN)).await.status, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_requests_at_once_on_three_nodes_five_codes_are_accepted() {
    let sim = Simulator::start(SimConfig::default()).await.unwrap();
    let (database, client) = (Database::on_postgres(), Client::new());
    let mut nodes: Vec<Gateway> = Vec::new();
    for _ in 0..3 {
        let mut environment = environment(sim.base_url(), database.url());
        let rules = r#"[{name = "otp_per_receiver", scenarios = ["otp"], by = "receiver", limit = 5, period_s = 3600}]"#;
        environment.push(("TUMA_LIMITS__RULES".into(), rules.into()));
        let config = Config::load(None, environment).unwrap();
        nodes.push(Gateway::start(&config, Arc::new(SystemClock::new())).await.unwrap());
    }
    let (secret, key) = keys::create("test", &[Scope::Send, Scope::Read], None, SystemClock::new().now());
    nodes[0].store.create_key(key, crate::app::operator()).await.unwrap();
    let mut asking: FuturesUnordered<_> = (0..AT_ONCE)
        .map(|n| {
            let url = format!("http://{}/sms", nodes[n % 3].address);
            let request = client.request(Method::POST, &url).key(secret.expose_secret());
            request.json(&code(FORMS[n % FORMS.len()])).send()
        })
        .collect();
    let (mut accepted, mut limited) = (0, 0);
    while let Some(answer) = asking.next().await {
        match answer.status {
            202 => accepted += 1,
            429 => limited += 1,
            other => panic!("{other}: {}", answer.text),
        }
    }
    assert_eq!((accepted, limited), (5, AT_ONCE - 5));
    for node in nodes {
        node.stop().await;
    }
}
