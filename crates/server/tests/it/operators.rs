//! What operators see and do: providers, the queue, workers.

use std::time::Duration;

use domain::time::Clock as _;
use gateway::SystemClock;
use reqwest::Method;
use serde_json::{Value, json};
use server::keys::Scope;
use testkit::sim::{Fault, FaultRule};
use testkit::wait::{LONG, wait_for};

use crate::app::{AMERICAN, KENYAN, TestApp, text};
use crate::http::Answer;

/// A gateway and an operator's key.
async fn app() -> (TestApp, String) {
    let app = TestApp::start().await;
    let admin = app.key(&[Scope::Admin]).await;
    (app, admin)
}

async fn ask(app: &TestApp, key: &str, method: Method, path: &str) -> Answer {
    app.anonymous(method, path).key(key).send().await
}

async fn get(app: &TestApp, key: &str, path: &str) -> Value {
    let answer = ask(app, key, Method::GET, path).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

async fn post(app: &TestApp, key: &str, path: &str) -> Value {
    let answer = ask(app, key, Method::POST, path).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

fn message(receiver: &str) -> Value {
    json!({"receiver": receiver, "message": "Habari"})
}

#[tokio::test]
async fn messages_take_the_other_provider_while_one_is_drained() {
    let (app, admin) = app().await;
    let provider = async || {
        let id = app.send(&message(KENYAN)).await;
        text(&app.shown_when(&id, "sent").await["provider"])
    };
    assert_eq!(provider().await, "africastalking");
    let drained = post(&app, &admin, "/providers/africastalking/drain").await;
    assert_eq!((&drained["name"], &drained["in_service"]), (&json!("africastalking"), &json!(false)));
    assert_eq!(post(&app, &admin, "/providers/africastalking/drain").await, drained, "drained already");
    assert_eq!(provider().await, "twilio");
    assert_eq!(post(&app, &admin, "/providers/africastalking/resume").await["in_service"], true);
    assert_eq!(provider().await, "africastalking");
}

#[tokio::test]
async fn what_waits_for_a_drained_provider_takes_another() {
    let (app, admin) = app().await;
    let later = Fault::TooManyRequests { retry_after_s: Some(600) };
    app.sim.inject(FaultRule::next(1, later).on(testkit::sim::Provider::AfricasTalking)).unwrap();
    post(&app, &admin, "/workers/dispatch.africastalking/pause").await;
    let id = app.send(&message(KENYAN)).await;
    post(&app, &admin, "/providers/africastalking/drain").await;
    let shown = app.shown_when(&id, "sent").await;
    assert_eq!(shown["provider"], "twilio");
}

#[tokio::test]
async fn a_drained_provider_stays_so_over_a_restart() {
    let (app, admin) = app().await;
    let drained = post(&app, &admin, "/providers/twilio/drain").await;
    let app = app.restart().await;
    let providers = get(&app, &admin, "/providers").await["providers"].clone();
    assert_eq!(providers[1]["drained_since"], drained["drained_since"]);
    assert_eq!(
        (&providers[0]["name"], &providers[0]["in_service"]),
        (&json!("africastalking"), &json!(true))
    );
}

#[tokio::test]
async fn a_provider_that_fails_is_shown_with_its_breaker() {
    let (app, admin) = app().await;
    let providers = get(&app, &admin, "/providers").await["providers"].clone();
    assert_eq!(providers[0]["breaker"], json!({"state": "closed"}));
    app.sim.inject(FaultRule::always(Fault::Unauthorized)).unwrap();
    app.send(&json!({"receiver": KENYAN, "message": "Habari", "scenario": "otp"})).await;
    for number in 0..3 {
        app.send(&json!({"receiver": AMERICAN, "message": format!("Habari {number}")})).await;
    }
    let open = async || {
        let providers = get(&app, &admin, "/providers").await["providers"].clone();
        let twilio = providers.as_array()?.iter().find(|provider| provider["name"] == "twilio")?.clone();
        (twilio["breaker"]["state"] != "closed" && twilio["breaker"]["since"].is_string()).then_some(())
    };
    wait_for(open, LONG).await.unwrap();
}

#[tokio::test]
async fn the_queue_shows_what_waits_and_what_is_in_doubt() {
    let (app, admin) = app().await;
    let later = SystemClock::new().now().plus(Duration::from_hours(1)).to_string();
    app.send(&json!({"receiver": KENYAN, "message": "Habari", "scheduled_at": later})).await;
    app.sim.inject(FaultRule::next(1, Fault::ResetBeforeAccept)).unwrap();
    let doubtful = app.send(&message(AMERICAN)).await;
    let shown = async || {
        let queue = get(&app, &admin, "/queue").await;
        queue["watches"].as_array()?.iter().any(|watch| watch["kind"] == "doubt").then_some(queue)
    };
    let queue = wait_for(shown, LONG).await.unwrap();
    let lane = &queue["lanes"][0];
    assert_eq!((&lane["provider"], &lane["lane"]), (&json!("africastalking"), &json!("normal")));
    assert_eq!((&lane["messages"], &lane["later"]), (&json!(1), &json!(1)));
    assert_eq!(lane["overdue"][0], json!({"seconds": 10, "messages": 0}));
    assert!(queue["reconciler"]["looked_after"].is_number(), "{queue}");

    let stuck = get(&app, &admin, "/queue/stuck?older_than_s=0&limit=10").await["messages"].clone();
    assert_eq!(stuck.as_array().unwrap().len(), 1, "{stuck}");
    assert_eq!((&stuck[0]["id"], &stuck[0]["cause"]), (&json!(doubtful), &json!("in_doubt")));
    assert_eq!(get(&app, &admin, "/queue/stuck").await, json!({"messages": []}));
    let wrong = ask(&app, &admin, Method::GET, "/queue/stuck?older_than_s=-1&limit=0&colour=red").await;
    let pointers = wrong.json()["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| text(&error["pointer"]))
        .collect::<Vec<_>>();
    assert_eq!((wrong.status, pointers), (422, vec!["older_than_s".into(), "limit".into(), "colour".into()]));
}

#[tokio::test]
async fn a_worker_that_is_paused_does_nothing_until_it_is_activated() {
    let (app, admin) = app().await;
    let workers = get(&app, &admin, "/workers").await["workers"].clone();
    let names: Vec<_> = workers.as_array().unwrap().iter().map(|worker| text(&worker["name"])).collect();
    for name in ["dispatch.africastalking", "dispatch.twilio", "reconcile"] {
        assert!(names.iter().any(|known| known == name), "{names:?}");
    }
    let paused = post(&app, &admin, "/workers/dispatch.africastalking/pause").await;
    assert_eq!((&paused["state"], &paused["restarts"]), (&json!("paused"), &json!(0)));
    let waits = app.send(&message(KENYAN)).await;
    let goes = app.send(&message(AMERICAN)).await;
    app.shown_when(&goes, "sent").await;
    assert_eq!(app.show(&waits).await["status"], "queued");
    assert_eq!(post(&app, &admin, "/workers/dispatch.africastalking/activate").await["state"], "running");
    app.shown_when(&waits, "sent").await;
}

#[tokio::test]
async fn the_worker_that_hears_of_data_keys_never_rests() {
    let (app, admin) = app().await;
    let refused = ask(&app, &admin, Method::POST, "/workers/data-keys/pause").await;
    assert_eq!((refused.status, refused.problem().as_str()), (409, "worker_needed"));
    assert_eq!(post(&app, &admin, "/workers/data-keys/activate").await["state"], "running");
}

#[tokio::test]
async fn what_is_not_there_can_not_be_changed() {
    let (app, admin) = app().await;
    for path in [
        "/providers/pigeon/drain",
        "/providers/No-Name/drain",
        "/providers/pigeon/resume",
        "/workers/nobody/pause",
        "/workers/nobody/activate",
    ] {
        let answer = ask(&app, &admin, Method::POST, path).await;
        assert_eq!((answer.status, answer.problem().as_str()), (404, "not_found"), "{path}");
    }
}

#[tokio::test]
async fn only_an_operator_may_do_any_of_it() {
    let (app, _) = app().await;
    let routes = [
        (Method::GET, "/providers"),
        (Method::POST, "/providers/twilio/drain"),
        (Method::POST, "/providers/twilio/resume"),
        (Method::GET, "/queue"),
        (Method::GET, "/queue/stuck"),
        (Method::GET, "/workers"),
        (Method::POST, "/workers/reconcile/pause"),
        (Method::POST, "/workers/reconcile/activate"),
    ];
    for (method, path) in routes {
        let refused = ask(&app, &app.key, method.clone(), path).await;
        assert_eq!((refused.status, refused.problem().as_str()), (403, "missing_scope"), "{method} {path}");
        let unknown = app.anonymous(method.clone(), path).send().await;
        assert_eq!((unknown.status, unknown.problem().as_str()), (401, "unauthenticated"), "{method} {path}");
    }
}
