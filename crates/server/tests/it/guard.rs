//! The guard against SMS pumping over HTTP: refusals, decisions, feedback; and on two nodes.

use std::sync::Arc;

use domain::secret::ExposeSecret as _;
use domain::time::Clock as _;
use gateway::SystemClock;
use reqwest::Method;
use serde_json::{Value, json};
use server::assemble::Gateway;
use server::config::Config;
use server::keys::{self, Scope};
use testkit::database::Database;
use testkit::sim::{SimConfig, Simulator};
use testkit::wait::{LONG, wait_for};

use crate::app::{AMERICAN, KENYAN, TestApp, environment, text};
use crate::http::{Answer, Client};

/// Codes that two nodes may send to one block together.
const BLOCK_LIMIT: u32 = 1_000;

fn code(receiver: &str) -> Value {
    json!({"receiver": receiver, "message": "Your code is 1", "scenario": "otp"})
}

/// Two codes a day to one block of numbers, and no more.
async fn strict() -> TestApp {
    TestApp::setup().set("TUMA_GUARD__MODE", "enforce").set("TUMA_GUARD__PREFIX_PER_DAY", "2").start().await
}

async fn get(app: &TestApp, key: &str, path: &str) -> Answer {
    app.anonymous(Method::GET, path).key(key).send().await
}

/// Decisions that are kept, once there are any.
async fn decisions(app: &TestApp, key: &str, query: &str) -> Vec<Value> {
    let look = async || {
        let answer = get(app, key, &format!("/guard/decisions{query}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        Some(answer.json()["decisions"].as_array().unwrap().clone()).filter(|found| !found.is_empty())
    };
    wait_for(look, LONG).await.unwrap()
}

#[tokio::test]
async fn a_country_that_is_not_allowed_is_a_wrong_field() {
    let app = TestApp::setup().set("TUMA_GUARD__COUNTRIES", r#"["KE"]"#).start().await;
    let refused = app.post("/sms", &code(AMERICAN)).await;
    assert_eq!((refused.status, refused.problem().as_str()), (422, "validation_failed"));
    let errors = refused.json()["errors"].clone();
    assert_eq!(
        (&errors[0]["pointer"], &errors[0]["code"]),
        (&json!("/receiver"), &json!("country_not_allowed"))
    );
    assert!(!refused.text.contains("4155550100"));
    app.send(&code(KENYAN)).await;
}

#[tokio::test]
async fn a_refused_code_is_a_problem_with_a_decision_that_an_operator_finds() {
    let app = strict().await;
    let admin = app.key(&[Scope::Admin]).await;
    for _ in 0..2 {
        app.send(&code(KENYAN)).await;
    }
    let refused = app.post("/sms", &code(KENYAN)).await;
    assert_eq!((refused.status, refused.problem().as_str()), (403, "guard_refused"));
    let id = text(&refused.json()["decision_id"]);
    let [decision] = decisions(&app, &admin, "").await.try_into().unwrap();
    assert_eq!(decision["id"], id);
    assert_eq!((&decision["verdict"], &decision["mode"]), (&json!("refused"), &json!("enforce")));
    assert_eq!((&decision["country"], &decision["prefix"]), (&json!("KE"), &json!("+2547123")));
    let reason = json!({"rule": "prefix_velocity", "window": "day", "figure": 3, "threshold": 2});
    assert_eq!(decision["reasons"], json!([reason]));
    let told = get(&app, &admin, "/audit?event=sms.refused").await.json();
    assert_eq!(told["entries"][0]["outcome"], "guard_refused");
    let metrics = app.metrics().await;
    let line = metrics
        .lines()
        .find(|line| line.starts_with("tuma_guard_decisions_total") && line.contains("verdict=\"refused\""));
    assert!(line.is_some_and(|line| line.contains("prefix_velocity") && line.ends_with(" 1")), "{metrics}");
}

#[tokio::test]
async fn decisions_are_filtered_and_wrong_filters_are_named() {
    let app = strict().await;
    let admin = app.key(&[Scope::Admin]).await;
    for receiver in [KENYAN, "+256772123456"] {
        for _ in 0..3 {
            app.post("/sms", &code(receiver)).await;
        }
    }
    let both = async || Some(decisions(&app, &admin, "").await).filter(|found| found.len() == 2);
    wait_for(both, LONG).await.unwrap();
    let countries = async |query: &str| {
        let found = decisions(&app, &admin, query).await;
        found.iter().map(|decision| text(&decision["country"])).collect::<Vec<_>>()
    };
    assert_eq!(countries("?country=UG").await, ["UG"]);
    assert_eq!(countries("?prefix=%2B2547123").await, ["KE"]);
    assert_eq!(countries("?rule=prefix_velocity&mode=enforce&limit=1").await, ["UG"]);
    let wrong = get(&app, &admin, "/guard/decisions?rule=luck&prefix=x&color=red&limit=0").await;
    assert_eq!((wrong.status, wrong.json()["errors"].as_array().unwrap().len()), (422, 4));
    assert_eq!(get(&app, &app.key, "/guard/decisions").await.problem(), "missing_scope");
}

#[tokio::test]
async fn feedback_is_for_the_one_who_sent_the_message_and_may_be_repeated() {
    let app = TestApp::start().await;
    let id = app.send(&code(KENYAN)).await;
    let path = format!("/sms/{id}/feedback");
    let confirmed = json!({"outcome": "confirmed"});
    for _ in 0..2 {
        let answer = app.post(&path, &confirmed).await;
        assert_eq!((answer.status, answer.json()), (200, json!({"id": id, "outcome": "confirmed"})));
    }
    let stranger = app.key(&[Scope::Send]).await;
    let refused = app.anonymous(Method::POST, &path).key(&stranger).json(&confirmed).send().await;
    assert_eq!((refused.status, refused.problem().as_str()), (404, "not_found"));
    let wrong = app.post(&path, &json!({"outcome": "lost"})).await;
    assert_eq!((wrong.status, wrong.problem().as_str()), (422, "validation_failed"));
    let none = app.post("/sms/msg_00000000000000000000000000000000/feedback", &confirmed).await;
    assert_eq!(none.status, 404);
}

#[tokio::test]
async fn two_nodes_know_what_the_other_has_counted_within_a_moment() {
    let sim = Simulator::start(SimConfig::default()).await.unwrap();
    let database = Database::on_postgres();
    let node = async || {
        let mut environment = environment(sim.base_url(), database.url());
        let none = [
            "PREFIX_PER_MINUTE",
            "PREFIX_PER_HOUR",
            "CALLER_PER_MINUTE",
            "CALLER_PER_HOUR",
            "CALLER_PER_DAY",
        ];
        environment.extend(none.map(|limit| (format!("TUMA_GUARD__{limit}"), "0".into())));
        let limit = BLOCK_LIMIT.to_string();
        environment.extend([
            ("TUMA_GUARD__MODE".into(), "enforce".into()),
            ("TUMA_GUARD__PREFIX_PER_DAY".into(), limit),
        ]);
        let config = Config::load(None, environment).unwrap();
        Gateway::start(&config, Arc::new(SystemClock::new())).await.unwrap()
    };
    let (one, other) = (node().await, node().await);
    let (secret, key) = keys::create("test", &[Scope::Send], None, SystemClock::new().now());
    one.store.create_key(key, crate::app::operator()).await.unwrap();
    let secret = secret.expose_secret().to_owned();
    let client = Client::new();
    let send = async |gateway: &Gateway| {
        let url = format!("http://{}/sms", gateway.address);
        client.request(Method::POST, &url).key(&secret).json(&code(KENYAN)).send().await.status
    };
    for _ in 0..BLOCK_LIMIT / 100 {
        let receivers: Vec<_> = (0..100).map(|n| format!("+254712345{n:03}")).collect();
        let body = json!({"receivers": receivers, "message": "Your code is 1", "scenario": "otp"});
        let url = format!("http://{}/sms/bulk", one.address);
        let answer = client.request(Method::POST, &url).key(&secret).json(&body).send().await;
        assert_eq!(answer.json()["accepted"], 100, "{}", answer.text);
    }
    // By itself the other would let as many pass.
    let mut passed = 0;
    let refused = async || {
        let is_refused = send(&other).await == 403;
        passed += u32::from(!is_refused);
        is_refused.then_some(())
    };
    wait_for(refused, LONG).await.unwrap();
    assert!(passed < BLOCK_LIMIT, "{passed}");
    one.stop().await;
    other.stop().await;
}
