//! Creating a message at Twilio: the request as it goes out, and what each answer means.

use domain::attempt::{Acceptance, OutcomeKind, ProviderMessageId, Reason, SubmitOutcome};
use domain::money::Money;
use domain::phone::SenderId;
use serde_json::{Value, json};

use crate::fixture::{
    ACCOUNT_SID, AMINA, AUTH_TOKEN, MESSAGE_SID, accepted, ambiguous, create, message_id, not_submitted,
    over, rejected, submission, twilio,
};
use crate::support::{Recorded, Reply, Server};

/// A created message as Twilio answers it, changed.
fn created(change: Value) -> Reply {
    let message = json!({
        "account_sid": ACCOUNT_SID, "api_version": "2010-04-01", "body": "Habari \"zote\" 😀",
        "date_created": "Thu, 24 Aug 2023 05:01:45 +0000", "date_sent": null,
        "date_updated": "Thu, 24 Aug 2023 05:01:45 +0000", "direction": "outbound-api", "error_code": null,
        "error_message": null, "from": "SAFESHOP", "messaging_service_sid": null, "num_media": "0",
        "num_segments": "1", "price": null, "price_unit": "USD", "sid": MESSAGE_SID, "status": "queued",
        "subresource_uris": {"media": "/2010-04-01/Accounts/AC/Messages/SM/Media.json"}, "to": AMINA,
        "uri": "/2010-04-01/Accounts/AC/Messages/SM.json",
    });
    Reply::json(201, Value::Object(over(message, change)).to_string())
}

/// An error as Twilio answers it.
fn error(status: u16, code: u32) -> Reply {
    let more_info = format!("https://www.twilio.com/docs/errors/{code}");
    let body = json!({"code": code, "message": "The 'To' number +2547 is not valid.", "more_info": more_info, "status": status});
    Reply::json(status, body.to_string())
}

async fn outcome(reply: Reply) -> SubmitOutcome {
    let server = Server::start([reply]).await;
    twilio(&server.base(), json!({})).send_sms(&submission(AMINA, "Habari")).await
}

async fn request(change: Value) -> Recorded {
    let server = Server::start([created(json!({}))]).await;
    twilio(&server.base(), change).send_sms(&submission(AMINA, "Habari & karibu +1 😀")).await;
    server.only()
}

fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    let credentials = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("Basic {credentials}")
}

#[tokio::test]
async fn request_is_authenticated_by_the_auth_token() {
    let request = request(json!({"auth_token": format!(" {AUTH_TOKEN}\n")})).await;
    assert_eq!(request.line, format!("POST /2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json HTTP/1.1"));
    assert_eq!(request.header("authorization"), Some(basic(ACCOUNT_SID, AUTH_TOKEN).as_str()));
    assert_eq!(request.header("accept"), Some("application/json"));
    assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
    let agent = concat!("tuma/", env!("CARGO_PKG_VERSION"));
    assert_eq!(request.header("user-agent"), Some(agent));
    assert_eq!(request.headers.len(), 6, "and host and content-length: {:?}", request.headers);
    assert_eq!(
        request.body,
        format!(
            "To=%2B254712345678&From=%2B15017122661&Body=Habari+%26+karibu+%2B1+%F0%9F%98%80\
             &StatusCallback=https%3A%2F%2Fsms.example.co.ke%2Fwebhooks%2Ftwilio%2Fstatus%3Fm%3D{}%26a%3D2",
            message_id()
        )
    );
}

#[tokio::test]
async fn request_is_authenticated_by_the_api_key_where_both_are_set() {
    let api_key_sid = "SK0123456789abcdef0123456789abcdef";
    let request = request(json!({"api_key_sid": api_key_sid, "api_key_secret": "s3cret"})).await;
    // The path keeps the account's SID.
    assert_eq!(request.line, format!("POST /2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json HTTP/1.1"));
    assert_eq!(request.header("authorization"), Some(basic(api_key_sid, "s3cret").as_str()));
}

#[tokio::test]
async fn messaging_service_is_used_instead_of_the_phone_number() {
    let service = format!("MG{AUTH_TOKEN}");
    let request = request(json!({"messaging_service_sid": service, "status_callbacks": false})).await;
    let expected =
        format!("To=%2B254712345678&MessagingServiceSid={service}&Body=Habari+%26+karibu+%2B1+%F0%9F%98%80");
    assert_eq!(request.body, expected);
}

#[tokio::test]
async fn sender_of_the_message_goes_before_the_default() {
    let service = format!("MG{AUTH_TOKEN}");
    for (change, expected) in [
        (json!({}), "To=%2B254712345678&From=SAFE+SHOP&Body=Habari".to_owned()),
        (
            json!({"messaging_service_sid": service}),
            format!("To=%2B254712345678&MessagingServiceSid={service}&From=SAFE+SHOP&Body=Habari"),
        ),
    ] {
        let server = Server::start([created(json!({}))]).await;
        let change = over(json!({"status_callbacks": false}), change);
        let mut submission = submission(AMINA, "Habari");
        submission.sender = Some(SenderId::parse("SAFE SHOP").unwrap());
        twilio(&server.base(), Value::Object(change)).send_sms(&submission).await;
        assert_eq!(server.only().body, expected);
    }
}

#[tokio::test]
async fn settings_that_are_on_are_sent_along() {
    let request = request(json!({"validity_period_s": 600, "smart_encoded": true})).await;
    let form = request.form();
    let names: Vec<&str> = form.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["To", "From", "Body", "StatusCallback", "ValidityPeriod", "SmartEncoded"]);
    assert_eq!((form[4].1.as_str(), form[5].1.as_str()), ("600", "true"));
}

#[tokio::test]
async fn callback_url_keeps_the_path_of_the_public_url() {
    let server = Server::start([created(json!({}))]).await;
    let keys = json!({"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN, "phone_number": "20414", "base_url": server.base()});
    let public_url = Some("https://example.co.ke:8443/sms/");
    let twilio = create(&providers::twilio::REGISTRATION, over(keys, json!({})), public_url).unwrap();
    twilio.send_sms(&submission(AMINA, "")).await;
    let form = server.only().form();
    let expected = format!("https://example.co.ke:8443/sms/webhooks/twilio/status?m={}&a=2", message_id());
    assert_eq!(form[3], ("StatusCallback".to_owned(), expected));
}

#[tokio::test]
async fn bulk_sends_one_request_for_each_in_order() {
    let server =
        Server::start([created(json!({"sid": "SM1"})), error(400, 21211), created(json!({"sid": "SM3"}))])
            .await;
    let submissions = ["+254712345671", "+254712345672", "+254712345673"].map(|to| submission(to, "Habari"));
    let outcomes = twilio(&server.base(), json!({})).send_bulk_sms(&submissions).await;
    let expected = [
        SubmitOutcome::Accepted(accepted("SM1", Some(1))),
        rejected(Reason::InvalidRecipient, "21211"),
        SubmitOutcome::Accepted(accepted("SM3", Some(1))),
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(server.recorded().len(), 3);
}

#[tokio::test]
async fn created_message_is_accepted() {
    let usd = |micros| Money::new(micros, "USD").unwrap();
    let table = [
        (json!({}), Some(1), None),
        (json!({"num_segments": "3", "price": "-0.00750"}), Some(3), Some(usd(7_500))),
        // By a Messaging Service, which has not chosen a sender yet.
        (json!({"status": "accepted", "num_segments": "0", "from": null}), None, None),
        (json!({"status": "scheduled"}), Some(1), None),
        // What does not decide may be odd.
        (json!({"price_unit": null, "price": "-0.1", "num_segments": null}), None, None),
        (json!({"price": 0.0075, "price_unit": "usd", "num_segments": 2}), Some(2), None),
        (json!({"body": null, "status": null, "direction": "x", "date_created": "today"}), Some(1), None),
    ];
    for (change, segments, cost) in table {
        let expected =
            Acceptance { provider_message_id: ProviderMessageId::new(MESSAGE_SID).unwrap(), segments, cost };
        assert_eq!(outcome(created(change.clone())).await, SubmitOutcome::Accepted(expected), "{change}");
    }
    // Any 2xx will do.
    let Reply::Answer { body, .. } = created(json!({})) else { unreachable!() };
    assert_eq!(outcome(Reply::json(200, body)).await.kind(), OutcomeKind::Accepted);
}

#[tokio::test]
async fn message_that_failed_at_once_is_not_accepted() {
    // There is no callback for the first status.
    let failed = |code: u32| created(json!({"status": "failed", "error_code": code}));
    assert_eq!(outcome(failed(21610)).await, rejected(Reason::OptedOut, "21610"));
    assert_eq!(outcome(failed(30001)).await, not_submitted(Reason::RateLimited, "30001", None));
    assert_eq!(outcome(failed(30410)).await, ambiguous(Reason::Timeout, "30410"));
    assert_eq!(outcome(failed(39999)).await, rejected(Reason::Unknown, "39999"));
}

#[tokio::test]
async fn refusals_are_classified_by_their_code() {
    use Reason::{
        Balance, Config, Content, Credential, DestinationNotServed, InvalidRecipient, OptedOut,
        SenderNotAllowed, Unknown,
    };
    let table = [
        (401, 20003, Credential),
        (403, 20403, Credential),
        (403, 20006, Credential),
        (403, 20008, Config),
        (404, 20404, Config),
        (400, 20001, Config),
        (400, 20422, Config),
        (400, 21402, Config),
        (400, 20005, Balance),
        (401, 10001, Balance),
        (403, 90010, Balance),
        (400, 21211, InvalidRecipient),
        (400, 21614, InvalidRecipient),
        (400, 21212, SenderNotAllowed),
        (400, 21421, SenderNotAllowed),
        (400, 21601, SenderNotAllowed),
        (400, 21606, SenderNotAllowed),
        (400, 21607, SenderNotAllowed),
        (400, 21709, SenderNotAllowed),
        (400, 21408, DestinationNotServed),
        (400, 21608, DestinationNotServed),
        (400, 21612, DestinationNotServed),
        (400, 21610, OptedOut),
        (400, 21617, Content),
        (400, 21618, Content),
        (400, 21602, Config),
        (400, 21603, Config),
        (400, 21604, Config),
        (400, 21609, Config),
        (400, 21616, Config),
        (400, 21624, Config),
        (400, 21656, Config),
        (404, 21701, Config),
        (400, 21999, Unknown),
        (422, 70000, Unknown),
    ];
    for (status, code, reason) in table {
        assert_eq!(
            outcome(error(status, code)).await,
            rejected(reason, &code.to_string()),
            "{status} {code}"
        );
    }
}

#[tokio::test]
async fn rate_limits_are_certainly_not_submitted() {
    let wait = |reply: Reply, value: &str| reply.with_header("retry-after", value);
    let limited = |code: &str, after| not_submitted(Reason::RateLimited, code, after);
    assert_eq!(outcome(error(429, 20429)).await, limited("20429", None));
    assert_eq!(outcome(wait(error(429, 20429), "7")).await, limited("20429", Some(7)));
    assert_eq!(outcome(wait(Reply::of(429, "text/html", "<html>"), "1")).await, limited("429", Some(1)));
    assert_eq!(
        outcome(wait(error(429, 20429), "Wed, 21 Oct 2026 07:28:00 GMT")).await,
        limited("20429", None)
    );
    assert_eq!(outcome(wait(error(429, 20429), "-1")).await, limited("20429", None));
    assert_eq!(outcome(wait(error(429, 20429), "999999999")).await, limited("20429", Some(86_400)));
    // The sender's queue is full, although the status is 400.
    assert_eq!(outcome(error(400, 21611)).await, limited("21611", None));
    assert_eq!(outcome(error(400, 14107)).await, limited("14107", None));
}

#[tokio::test]
async fn server_errors_are_ambiguous_whatever_they_say() {
    let down = |code: &str| ambiguous(Reason::ProviderDown, code);
    assert_eq!(outcome(error(500, 20500)).await, down("20500"));
    assert_eq!(outcome(error(503, 20503)).await, down("20503"));
    assert_eq!(outcome(Reply::of(502, "text/html", "<html>Bad Gateway</html>")).await, down("502"));
    assert_eq!(outcome(Reply::of(503, "text/html", "")).await, down("503"));
    assert_eq!(outcome(Reply::json(504, "")).await, down("504"));
    assert_eq!(outcome(error(500, 21619)).await, down("21619"));
    assert_eq!(outcome(error(400, 21619)).await, down("21619"));
    assert_eq!(outcome(error(500, 21211)).await, ambiguous(Reason::InvalidRecipient, "21211"));
    assert_eq!(outcome(Reply::json(408, "")).await, ambiguous(Reason::Timeout, "408"));
}

#[tokio::test]
async fn refusals_without_a_code_are_classified_by_their_status() {
    for (status, body, reason) in [
        (400, "", Reason::Unknown),
        (400, r#"{"message":"no code"}"#, Reason::Unknown),
        (400, r#"{"code":"x"}"#, Reason::Unknown),
        (401, "<html>", Reason::Credential),
        (403, "", Reason::Credential),
        (404, "", Reason::Config),
        (451, "", Reason::Unknown),
    ] {
        let expected = rejected(reason, &status.to_string());
        assert_eq!(outcome(Reply::json(status, body)).await, expected, "{status} {body}");
    }
}
