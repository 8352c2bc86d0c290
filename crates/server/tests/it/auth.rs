//! Who may do what: API keys, their scopes, and what needs none.

use std::sync::Arc;
use std::time::Duration;

use domain::secret::ExposeSecret as _;
use domain::time::Clock as _;
use reqwest::Method;
use serde_json::json;
use server::keys::{self, Scope};
use testkit::clock::FakeClock;

use crate::app::{KENYAN, TestApp};
use crate::http::Answer;

fn is_unauthenticated(answer: &Answer) -> bool {
    answer.status == 401
        && answer.problem() == "unauthenticated"
        && answer.header("www-authenticate") == Some("Bearer")
}

#[tokio::test]
async fn a_key_is_taken_as_bearer_or_in_its_own_header() {
    let app = TestApp::start().await;
    let list = |name: &str, value: &str| app.anonymous(Method::GET, "/sms").header(name, value).send();
    assert_eq!(list("authorization", &format!("Bearer {}", app.key)).await.status, 200);
    assert_eq!(list("authorization", &format!("bearer {}", app.key)).await.status, 200);
    assert_eq!(list("x-api-key", &app.key).await.status, 200);
}

#[tokio::test]
async fn the_bearer_counts_when_both_headers_are_there() {
    let app = TestApp::start().await;
    let request = app.anonymous(Method::GET, "/sms");
    let wrong_bearer = request.header("authorization", "Bearer tuma_no").header("x-api-key", &app.key);
    assert!(is_unauthenticated(&wrong_bearer.send().await));
}

#[tokio::test]
async fn every_route_of_callers_needs_a_key() {
    let app = TestApp::start().await;
    let id = "msg_01a208af715074abb7716fc49cb931c7";
    let routes = [
        (Method::POST, "/sms".to_owned()),
        (Method::POST, "/sms/bulk".to_owned()),
        (Method::GET, "/sms".to_owned()),
        (Method::GET, format!("/sms/{id}")),
    ];
    for (method, path) in routes {
        let answer = app.anonymous(method, &path).json(&json!({})).send().await;
        assert!(is_unauthenticated(&answer), "{path}: {}", answer.text);
    }
}

#[tokio::test]
async fn unknown_expired_and_revoked_keys_get_one_answer() {
    let clock = Arc::new(FakeClock::new());
    let app =
        TestApp::setup().clock(Arc::clone(&clock) as _).set("TUMA_HTTP__KEY_CACHE_MS", "0").start().await;
    let (short, kept) = keys::create("short", &[Scope::Read], Some(Duration::from_hours(1)), clock.now());
    app.gateway.store.create_key(kept, crate::app::operator()).await.unwrap();
    let (ended, kept) = keys::create("ended", &[Scope::Read], None, clock.now());
    let ended_id = kept.id;
    app.gateway.store.create_key(kept, crate::app::operator()).await.unwrap();
    let list = |key: &str| app.anonymous(Method::GET, "/sms").key(key).send();
    for key in [&short, &ended] {
        assert_eq!(list(key.expose_secret()).await.status, 200);
    }

    clock.advance(Duration::from_hours(1));
    assert!(app.gateway.store.revoke_key(ended_id, crate::app::operator()).await.unwrap());
    let unknown = format!("{}{}", keys::PREFIX, "x".repeat(43));
    let mut answers = Vec::new();
    for key in [short.expose_secret(), ended.expose_secret(), &unknown, "something else"] {
        let answer = list(key).await;
        assert!(is_unauthenticated(&answer), "{}", answer.text);
        answers.push(answer.text);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[tokio::test]
async fn a_revoked_key_is_refused_when_its_time_of_trust_is_over() {
    let clock = Arc::new(FakeClock::new());
    let app = TestApp::setup().clock(Arc::clone(&clock) as _).start().await;
    let list = || app.request(Method::GET, "/sms").send();
    assert_eq!(list().await.status, 200);
    let id = app.gateway.store.keys().await.unwrap()[0].id;
    app.gateway.store.revoke_key(id, crate::app::operator()).await.unwrap();
    clock.advance(Duration::from_secs(2));
    assert!(is_unauthenticated(&list().await));
}

#[tokio::test]
async fn a_key_may_do_what_its_scopes_say_and_admin_everything() {
    let app = TestApp::start().await;
    let message = json!({"receiver": KENYAN, "message": "Habari"});
    let bulk = json!({"receivers": [KENYAN], "message": "Habari"});
    let table = [
        (vec![Scope::Send], [202, 202, 200]),
        (vec![Scope::Read], [403, 403, 200]),
        (vec![Scope::Send, Scope::Read], [202, 202, 200]),
        (vec![Scope::Admin], [202, 202, 200]),
        (vec![], [403, 403, 403]),
    ];
    for (scopes, expected) in table {
        let key = app.key(&scopes).await;
        let answers = [
            app.anonymous(Method::POST, "/sms").key(&key).json(&message).send().await,
            app.anonymous(Method::POST, "/sms/bulk").key(&key).json(&bulk).send().await,
            app.anonymous(Method::GET, "/sms").key(&key).send().await,
        ];
        assert_eq!(answers.each_ref().map(|answer| answer.status), expected, "{scopes:?}");
        for answer in answers.iter().filter(|answer| answer.status == 403) {
            assert_eq!(answer.problem(), "missing_scope");
        }
    }
}

#[tokio::test]
async fn nothing_is_stored_for_a_key_that_may_not_send() {
    let app = TestApp::start().await;
    let reader = app.key(&[Scope::Read]).await;
    let request = app.anonymous(Method::POST, "/sms").key(&reader);
    request.json(&json!({"receiver": KENYAN, "message": "Habari"})).send().await;
    assert_eq!(app.count().await, 0);
}

#[tokio::test]
async fn health_metrics_and_the_description_need_no_key() {
    let app = TestApp::start().await;
    for path in ["/health/live", "/health/ready", "/metrics", "/openapi.json", "/docs/"] {
        assert_eq!(app.anonymous(Method::GET, path).send().await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn only_a_hash_of_a_key_is_kept() {
    let app = TestApp::start().await;
    let kept = format!("{:?}", app.gateway.store.keys().await.unwrap());
    assert!(!kept.contains(app.key.strip_prefix(keys::PREFIX).unwrap()));
}
