//! Asking Africa's Talking about the account.

use domain::attempt::{Failure, Reason};
use domain::money::Money;
use domain::secret::Body;
use providers::provider::{ProbeError, SubmissionQuery};
use serde_json::json;

use crate::fixture::{AMINA, NOW, africastalking, msisdn};
use crate::support::{Reply, Server};

fn user(balance: &str) -> Reply {
    Reply::json(200, json!({"UserData": {"balance": balance}}).to_string())
}

#[tokio::test]
async fn balance_is_read() {
    for (balance, micros, currency) in [
        ("KES 1785.50", 1_785_500_000, "KES"),
        ("USD 999999589.6168", 999_999_589_616_800, "USD"),
        ("KES -3.2", -3_200_000, "KES"),
    ] {
        let server = Server::start([user(balance)]).await;
        let read = africastalking(&server.base(), json!({"username": "safe shop+1"})).balance().await;
        assert_eq!(read, Ok(Money::new(micros, currency).unwrap()));
        let request = server.only();
        assert_eq!(request.line, "GET /version1/user?username=safe+shop%2B1 HTTP/1.1");
        assert_eq!(request.header("apikey"), Some("atsk_1234"));
    }
}

#[tokio::test]
async fn balance_that_can_not_be_read_is_an_error() {
    let bad = || Err(ProbeError::Unavailable(Failure::new(Reason::BadAnswer)));
    let table = [
        (user("1785.50"), bad()),
        (user("KES"), bad()),
        (user("KES 1,785.50"), bad()),
        (user("shillings 5"), bad()),
        (Reply::json(200, "{}"), bad()),
        (
            Reply::of(401, "text/plain", "The supplied authentication is invalid"),
            Err(ProbeError::Refused(Failure::with_code(Reason::Credential, "401"))),
        ),
        (
            Reply::of(503, "text/plain", ""),
            Err(ProbeError::Unavailable(Failure::with_code(Reason::ProviderDown, "503"))),
        ),
    ];
    for (reply, expected) in table {
        let server = Server::start([reply.clone()]).await;
        assert_eq!(africastalking(&server.base(), json!({})).balance().await, expected, "{reply:?}");
    }
}

#[tokio::test]
async fn credentials_are_checked_by_the_balance() {
    let server = Server::start([user("KES 1785.50"), Reply::of(401, "text/plain", "")]).await;
    let provider = africastalking(&server.base(), json!({}));
    assert_eq!(provider.check_credentials().await.as_deref(), Ok("the account has KES 1785.50"));
    let refused = ProbeError::Refused(Failure::with_code(Reason::Credential, "401"));
    assert_eq!(provider.check_credentials().await, Err(refused));
}

#[tokio::test]
async fn nobody_can_be_asked_for_a_message() {
    let query = SubmissionQuery {
        receiver: msisdn(AMINA),
        body: Body::new("Habari"),
        started_at: NOW,
        known: Vec::new(),
    };
    let found = africastalking("http://127.0.0.1:1", json!({})).find_submission(&query).await;
    assert_eq!(found, Err(ProbeError::Unsupported));
}
