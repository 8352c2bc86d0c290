//! `/health/*` and the listener of operations.

use reqwest::Method;
use serde_json::json;

use crate::app::TestApp;
use crate::http::Client;

#[tokio::test]
async fn live_says_that_the_process_runs() {
    let app = TestApp::start().await;
    let answer = app.anonymous(Method::GET, "/health/live").send().await;
    assert_eq!((answer.status, answer.json()), (200, json!({"status": "live"})));
}

#[tokio::test]
async fn ready_says_that_messages_can_be_accepted() {
    let app = TestApp::start().await;
    let answer = app.anonymous(Method::GET, "/health/ready").send().await;
    assert_eq!((answer.status, answer.json()), (200, json!({"status": "ready"})));
}

#[tokio::test]
async fn a_process_whose_store_is_gone_is_live_and_not_ready() {
    let app = TestApp::start().await;
    app.gateway.store.close().await;
    let ready = app.anonymous(Method::GET, "/health/ready").send().await;
    assert_eq!((ready.status, ready.problem().as_str()), (503, "store_unavailable"));
    assert_eq!(app.anonymous(Method::GET, "/health/live").send().await.status, 200);
}

#[tokio::test]
async fn operations_have_a_listener_of_their_own_where_one_is_set() {
    let app = TestApp::setup().set("TUMA_OPERATIONS_LISTEN", "127.0.0.1:0").start().await;
    let operations = app.gateway.operations_address.unwrap();
    let client = Client::new();
    for path in ["/health/live", "/health/ready", "/metrics"] {
        let there = client.request(Method::GET, &format!("http://{operations}{path}")).send().await;
        assert_eq!(there.status, 200, "{path}");
        let here = app.anonymous(Method::GET, path).send().await;
        assert_eq!((here.status, here.problem().as_str()), (404, "not_found"), "{path}");
    }
    let api = client.request(Method::GET, &format!("http://{operations}/sms")).key(&app.key).send().await;
    assert_eq!((api.status, api.problem().as_str()), (404, "not_found"));
    let post = client.request(Method::POST, &format!("http://{operations}/metrics")).send().await;
    assert_eq!((post.status, post.problem().as_str()), (405, "method_not_allowed"));
}
