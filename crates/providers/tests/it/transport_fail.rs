//! What broken connections, late and unreadable answers mean, with both adapters.

use domain::attempt::{OutcomeKind as Kind, Reason, SubmitOutcome};
use serde_json::{Value, json};

use crate::fixture::{AMINA, africastalking, kind_and_reason, submission, twilio};
use crate::support::{Reply, Server, nobody};

/// What each of the adapters makes of a message.
async fn outcomes(base: &str, change: Value) -> [SubmitOutcome; 2] {
    let submission = submission(AMINA, "Habari");
    [
        twilio(base, change.clone()).send_sms(&submission).await,
        africastalking(base, change).send_sms(&submission).await,
    ]
}

async fn assert_both(reply: Reply, change: Value, expected: (Kind, Reason)) {
    let server = Server::start([reply.clone()]).await;
    for outcome in outcomes(&server.base(), change).await {
        assert_eq!(kind_and_reason(&outcome), expected, "{reply:?}");
    }
}

#[tokio::test]
async fn refused_connection_is_certainly_not_submitted() {
    for outcome in outcomes(&nobody().await, json!({})).await {
        assert_eq!(kind_and_reason(&outcome), (Kind::NotSubmitted, Reason::ProviderDown));
    }
}

#[tokio::test]
async fn failed_tls_handshake_is_certainly_not_submitted() {
    let server = Server::start([Reply::Greeting]).await;
    let base = server.base().replace("http://", "https://");
    for outcome in outcomes(&base, json!({})).await {
        assert_eq!(kind_and_reason(&outcome), (Kind::NotSubmitted, Reason::ProviderDown));
    }
}

#[tokio::test]
async fn connection_that_does_not_stand_in_time_is_certainly_not_submitted() {
    // The TCP handshake is answered by the system, the TLS one by nobody.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("https://{}", listener.local_addr().unwrap());
    for outcome in outcomes(&base, json!({"connect_timeout_ms": 50})).await {
        assert_eq!(kind_and_reason(&outcome), (Kind::NotSubmitted, Reason::ProviderDown));
    }
}

#[tokio::test]
async fn connection_closed_before_the_request_was_read_is_ambiguous() {
    assert_both(Reply::CloseBeforeReading, json!({}), (Kind::Ambiguous, Reason::ConnectionLost)).await;
}

#[tokio::test]
async fn connection_closed_after_the_request_was_read_is_ambiguous() {
    assert_both(Reply::CloseAfterReading, json!({}), (Kind::Ambiguous, Reason::ConnectionLost)).await;
}

#[tokio::test]
async fn answer_that_breaks_off_is_ambiguous() {
    let expected = (Kind::Ambiguous, Reason::ConnectionLost);
    assert_both(Reply::BreakOff { status: 201 }, json!({}), expected).await;
}

#[tokio::test]
async fn refusal_that_breaks_off_is_a_refusal_by_its_status() {
    let expected = (Kind::Rejected, Reason::Credential);
    assert_both(Reply::BreakOff { status: 401 }, json!({}), expected).await;
}

#[tokio::test]
async fn no_answer_in_time_is_ambiguous() {
    let change = json!({"connect_timeout_ms": 40, "request_timeout_ms": 80});
    assert_both(Reply::Silence, change, (Kind::Ambiguous, Reason::Timeout)).await;
}

#[tokio::test]
async fn answer_that_is_not_http_is_ambiguous() {
    assert_both(Reply::Garbage, json!({}), (Kind::Ambiguous, Reason::ConnectionLost)).await;
}

#[tokio::test]
async fn success_that_can_not_be_read_is_ambiguous() {
    for body in ["", "<html>", "{}", "{\"sid\":", "[]", "null", "\u{feff}{}", "{\"SMSMessageData\":{}}"] {
        for status in [200, 201] {
            let reply = Reply::json(status, body);
            assert_both(reply, json!({}), (Kind::Ambiguous, Reason::BadAnswer)).await;
        }
    }
}

#[tokio::test]
async fn success_that_is_too_large_is_ambiguous() {
    let filler = "x".repeat(64 * 1024);
    let body = format!(r#"{{"sid":"SM1","filler":"{filler}"}}"#);
    assert_both(Reply::json(201, body), json!({}), (Kind::Ambiguous, Reason::BadAnswer)).await;
}

#[tokio::test]
async fn redirect_is_not_followed_and_ambiguous() {
    let target = Server::start([Reply::json(201, "{}")]).await;
    for status in [301, 302, 303, 307, 308] {
        let reply = Reply::json(status, "").with_header("location", target.base());
        assert_both(reply, json!({}), (Kind::Ambiguous, Reason::BadAnswer)).await;
    }
    assert!(target.recorded().is_empty());
}

#[tokio::test]
async fn request_is_made_once_whatever_happens() {
    for reply in [Reply::CloseAfterReading, Reply::BreakOff { status: 201 }, Reply::json(500, "")] {
        let server = Server::start([reply]).await;
        let [_, _] = outcomes(&server.base(), json!({})).await;
        assert_eq!(server.recorded().len(), 2, "one by each adapter");
    }
}

#[tokio::test]
async fn connection_is_used_again() {
    let server = Server::start([Reply::json(201, r#"{"sid":"SM1"}"#)]).await;
    let twilio = twilio(&server.base(), json!({}));
    for _ in 0..20 {
        let outcome = twilio.send_sms(&submission(AMINA, "Habari")).await;
        assert_eq!(outcome.kind(), Kind::Accepted);
    }
    // One, if the client is never faster than its own pool.
    assert!(server.connections() <= 3, "{} connections", server.connections());
}
