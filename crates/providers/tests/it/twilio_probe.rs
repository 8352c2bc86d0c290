//! Asking Twilio about the account.

use domain::attempt::{Failure, Reason};
use domain::money::Money;
use providers::provider::ProbeError;
use serde_json::{Value, json};

use crate::fixture::{ACCOUNT_SID, twilio};
use crate::support::{Reply, Server, nobody};

const API_KEY_SID: &str = "SK0123456789abcdef0123456789abcdef";

fn by_api_key() -> Value {
    json!({"api_key_sid": API_KEY_SID, "api_key_secret": "s"})
}

fn refused<T>(reason: Reason, code: &str) -> Result<T, ProbeError> {
    Err(ProbeError::Refused(Failure::with_code(reason, code)))
}

fn unavailable<T>(failure: Failure) -> Result<T, ProbeError> {
    Err(ProbeError::Unavailable(failure))
}

#[tokio::test]
async fn balance_is_read() {
    let body = json!({"account_sid": ACCOUNT_SID, "balance": "-0.05", "currency": "USD"});
    let server = Server::start([Reply::json(200, body.to_string())]).await;
    let balance = twilio(&server.base(), json!({})).balance().await;
    assert_eq!(balance, Ok(Money::new(-50_000, "USD").unwrap()));
    let line = format!("GET /2010-04-01/Accounts/{ACCOUNT_SID}/Balance.json HTTP/1.1");
    assert_eq!(server.only().line, line);
}

#[tokio::test]
async fn balance_that_can_not_be_read_is_an_error() {
    let table = [
        (
            Reply::json(200, r#"{"balance":"many","currency":"USD"}"#),
            unavailable(Failure::new(Reason::BadAnswer)),
        ),
        (Reply::json(200, "{}"), unavailable(Failure::new(Reason::BadAnswer))),
        (Reply::json(401, r#"{"code":20003}"#), refused(Reason::Credential, "20003")),
        (Reply::json(500, ""), unavailable(Failure::with_code(Reason::ProviderDown, "500"))),
    ];
    for (reply, expected) in table {
        let server = Server::start([reply]).await;
        assert_eq!(twilio(&server.base(), json!({})).balance().await, expected);
    }
}

#[tokio::test]
async fn credentials_are_checked_by_the_account() {
    let body = json!({"sid": ACCOUNT_SID, "status": "active", "type": "Trial", "auth_token": "t"});
    let server = Server::start([Reply::json(200, body.to_string())]).await;
    let line = twilio(&server.base(), json!({})).check_credentials().await;
    assert_eq!(line.as_deref(), Ok("the account is active, of type Trial"));
    assert_eq!(server.only().line, format!("GET /2010-04-01/Accounts/{ACCOUNT_SID}.json HTTP/1.1"));
}

#[tokio::test]
async fn account_that_is_suspended_is_reported() {
    for status in ["suspended", "closed"] {
        let server = Server::start([Reply::json(200, json!({"status": status}).to_string())]).await;
        let line = twilio(&server.base(), json!({})).check_credentials().await;
        assert_eq!(line, refused(Reason::Balance, status));
    }
}

#[tokio::test]
async fn wrong_credentials_are_reported() {
    let server = Server::start([Reply::json(401, r#"{"code":20003,"status":401}"#)]).await;
    for keys in [json!({}), by_api_key()] {
        let line = twilio(&server.base(), keys).check_credentials().await;
        assert_eq!(line, refused(Reason::Credential, "20003"));
    }
}

#[tokio::test]
async fn api_key_without_access_to_the_account_is_checked_by_the_list() {
    let no_access = Reply::json(401, r#"{"code":20003,"status":401}"#);
    let list = Reply::json(200, r#"{"messages":[],"next_page_uri":null}"#);
    let server = Server::start([no_access, list]).await;
    let line = twilio(&server.base(), by_api_key()).check_credentials().await;
    assert_eq!(line.as_deref(), Ok("the API key works"));
    let target = format!("/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json?PageSize=1");
    assert_eq!(server.recorded()[1].target(), target);
}

#[tokio::test]
async fn provider_that_can_not_be_reached_is_unavailable() {
    let line = twilio(&nobody().await, json!({})).check_credentials().await;
    assert_eq!(line, unavailable(Failure::new(Reason::ProviderDown)));
}
