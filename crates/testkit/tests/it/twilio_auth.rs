//! Who may speak to Twilio.

use reqwest::{Method, StatusCode};
use serde_json::json;
use testkit::sim::{TWILIO_ACCOUNT_SID, TWILIO_API_KEY_SECRET, TWILIO_API_KEY_SID, TWILIO_AUTH_TOKEN};

use crate::support::{Bench, RECEIVER, form, get, twilio_path};

async fn status_of(bench: &Bench, user: &str, password: &str, path: &str) -> StatusCode {
    get(bench.request(Method::GET, path).basic_auth(user, Some(password))).await.status
}

#[tokio::test]
async fn account_and_token_are_let_in() {
    let bench = Bench::start().await;
    let path = twilio_path(".json");
    assert_eq!(status_of(&bench, TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, &path).await, StatusCode::OK);
}

#[tokio::test]
async fn a_key_and_its_secret_are_let_in_at_the_path_of_the_account() {
    let bench = Bench::start().await;
    let path = twilio_path("/Balance.json");
    assert_eq!(status_of(&bench, TWILIO_API_KEY_SID, TWILIO_API_KEY_SECRET, &path).await, StatusCode::OK);

    let path = format!("/2010-04-01/Accounts/{TWILIO_API_KEY_SID}/Balance.json");
    let status = status_of(&bench, TWILIO_API_KEY_SID, TWILIO_API_KEY_SECRET, &path).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn nobody_else_is_let_in() {
    let bench = Bench::start().await;
    let path = twilio_path("/Messages.json");
    for (user, password) in [
        (TWILIO_ACCOUNT_SID, "wrong"),
        (TWILIO_ACCOUNT_SID, TWILIO_API_KEY_SECRET),
        (TWILIO_API_KEY_SID, TWILIO_AUTH_TOKEN),
        ("", ""),
    ] {
        let body = form(&[("To", RECEIVER), ("From", "TUMA"), ("Body", "Habari")]);
        let got = get(bench.request(Method::POST, &path).basic_auth(user, Some(password)).body(body)).await;
        assert_eq!(got.status, StatusCode::UNAUTHORIZED);
        let expected = json!({
            "code": 20003,
            "detail": "Your AccountSid or AuthToken was incorrect.",
            "message": "Authentication Error - invalid username",
            "more_info": "https://www.twilio.com/docs/errors/20003",
            "status": 401,
        });
        assert_eq!(got.json(), expected);
    }
    assert_eq!(get(bench.request(Method::GET, &path)).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(bench.sim.ledger().count(), 0);
}

#[tokio::test]
async fn an_unknown_path_is_answered_with_its_name() {
    let bench = Bench::start().await;
    let got = get(bench.twilio(Method::GET, "/Calls.json")).await;
    assert_eq!(got.status, StatusCode::NOT_FOUND);
    let path = twilio_path("/Calls.json");
    let expected = json!({
        "code": 20404,
        "message": format!("The requested resource {path} was not found"),
        "more_info": "https://www.twilio.com/docs/errors/20404",
        "status": 404,
    });
    assert_eq!(got.json(), expected);
}
