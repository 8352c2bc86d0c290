//! Sending by Africa's Talking: the request as it goes out, and what each answer means.

use domain::attempt::{Acceptance, Failure, OutcomeKind, Reason, Submission, SubmitOutcome};
use domain::money::Money;
use domain::phone::SenderId;
use serde_json::{Value, json};

use crate::fixture::{
    AMINA, BARAKA, accepted, africastalking, ambiguous, not_submitted, over, rejected, submission,
};
use crate::support::{Recorded, Reply, Server};

const ID: &str = "ATXid_7468c9a251f9e9efcc6b2f7ea756a56c";

fn recipient(number: &str, code: u16, id: &str) -> Value {
    let (cost, status) = if code < 200 { ("KES 0.8000", "Success") } else { ("0", "Refused") };
    json!({"cost": cost, "messageId": id, "number": number, "status": status, "statusCode": code})
}

/// An answer as Africa's Talking gives it.
fn sent(recipients: &[Value]) -> Reply {
    answered("Sent to 1/1 Total Cost: USD 0.0079 Message parts: 1", recipients)
}

fn answered(message: &str, recipients: &[Value]) -> Reply {
    let body = json!({"SMSMessageData": {"Message": message, "Recipients": recipients}});
    Reply::json(201, body.to_string())
}

fn kes(micros: i64) -> Money {
    Money::new(micros, "KES").unwrap()
}

fn taken(id: &str) -> SubmitOutcome {
    SubmitOutcome::Accepted(Acceptance { cost: Some(kes(800_000)), ..accepted(id, None) })
}

async fn outcome(reply: Reply) -> SubmitOutcome {
    let server = Server::start([reply]).await;
    africastalking(&server.base(), json!({})).send_sms(&submission(AMINA, "Habari")).await
}

async fn outcomes(reply: Reply, receivers: &[&str]) -> Vec<SubmitOutcome> {
    let server = Server::start([reply]).await;
    let submissions: Vec<Submission> = receivers.iter().map(|to| submission(to, "Habari")).collect();
    let outcomes = africastalking(&server.base(), json!({})).send_bulk_sms(&submissions).await;
    server.only();
    outcomes
}

async fn request(change: Value, submissions: &[Submission]) -> Recorded {
    let server = Server::start([sent(&[])]).await;
    africastalking(&server.base(), change).send_bulk_sms(submissions).await;
    server.only()
}

#[tokio::test]
async fn request_is_a_form_with_the_key_in_a_header() {
    let request =
        request(json!({"api_key": " atsk_1234\n"}), &[submission(AMINA, "Habari & karibu 😀")]).await;
    assert_eq!(request.line, "POST /version1/messaging HTTP/1.1");
    assert_eq!(request.header("apikey"), Some("atsk_1234"));
    assert_eq!(request.header("accept"), Some("application/json"));
    assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(request.header("authorization"), None);
    assert_eq!(request.headers.len(), 6, "and host, user-agent and content-length: {:?}", request.headers);
    assert_eq!(
        request.body,
        "username=safeshop&to=%2B254712345678&message=Habari+%26+karibu+%F0%9F%98%80&from=SAFESHOP&enqueue=1"
    );
}

#[tokio::test]
async fn many_receivers_go_in_one_request() {
    let submissions = [submission(AMINA, "Habari"), submission(BARAKA, "Habari")];
    let request = request(json!({}), &submissions).await;
    assert_eq!(
        request.body,
        "username=safeshop&to=%2B254712345678%2C%2B254733000111&message=Habari&from=SAFESHOP&enqueue=1"
    );
}

#[tokio::test]
async fn settings_change_the_request() {
    let table = [
        (json!({"enqueue": false, "from": ""}), "username=safeshop&to=%2B254712345678&message=Habari"),
        (
            json!({"username": "SandBox", "keyword": "SAFE & SOUND"}),
            "username=sandbox&to=%2B254712345678&message=Habari&from=SAFESHOP&enqueue=1&keyword=SAFE+%26+SOUND",
        ),
    ];
    for (change, expected) in table {
        assert_eq!(request(change, &[submission(AMINA, "Habari")]).await.body, expected);
    }
}

#[tokio::test]
async fn sender_of_the_message_goes_before_the_default() {
    let mut submission = submission(AMINA, "Habari");
    submission.sender = Some(SenderId::parse("20414").unwrap());
    let request = request(json!({}), &[submission]).await;
    assert_eq!(request.body, "username=safeshop&to=%2B254712345678&message=Habari&from=20414&enqueue=1");
}

#[tokio::test]
async fn no_request_has_two_texts_two_senders_a_receiver_twice_or_too_many() {
    let mut other_sender = submission("+254712345675", "Habari");
    other_sender.sender = Some(SenderId::parse("OTHER").unwrap());
    let submissions = [
        submission("+254712345671", "Habari"),
        submission("+254712345672", "Mambo"),
        submission("+254712345671", "Habari"),
        submission("+254712345673", "Habari"),
        other_sender,
        submission("+254712345674", "Habari"),
    ];
    let server = Server::start([
        sent(&[recipient("+254712345673", 102, "AT3"), recipient("+254712345671", 102, "AT1")]),
        sent(&[recipient("+254712345672", 403, "None")]),
        sent(&[recipient("+254712345671", 102, "AT1b"), recipient("+254712345674", 102, "AT4")]),
        sent(&[recipient("+254712345675", 102, "AT5")]),
    ])
    .await;
    let provider = africastalking(&server.base(), json!({"max_receivers_per_request": 2}));

    let outcomes = provider.send_bulk_sms(&submissions).await;

    let expected = [
        taken("AT1"),
        rejected(Reason::InvalidRecipient, "403"),
        taken("AT1b"),
        taken("AT3"),
        taken("AT5"),
        taken("AT4"),
    ];
    assert_eq!(outcomes, expected);
    let receivers: Vec<String> =
        server.recorded().iter().map(|request| request.form()[1].1.replace("+25471234567", "")).collect();
    assert_eq!(receivers, ["1,3", "2", "1,4", "5"]);
}

#[tokio::test]
async fn nothing_is_asked_for_nobody() {
    let server = Server::start([sent(&[])]).await;
    assert!(africastalking(&server.base(), json!({})).send_bulk_sms(&[]).await.is_empty());
    assert!(server.recorded().is_empty());
}

#[tokio::test]
async fn message_that_was_taken_is_accepted() {
    for code in [100, 101, 102] {
        assert_eq!(outcome(sent(&[recipient(AMINA, code, ID)])).await, taken(ID), "{code}");
    }
    let change = |change: Value| sent(&[Value::Object(over(recipient(AMINA, 101, ID), change))]);
    let of = |cost, segments| SubmitOutcome::Accepted(Acceptance { cost, ..accepted(ID, segments) });
    let table = [
        (json!({"cost": "KES 4.0000", "messageParts": 5}), of(Some(kes(4_000_000)), Some(5))),
        // Premium.
        (json!({"cost": "0"}), of(None, None)),
        // What does not decide may be odd.
        (json!({"cost": null, "messageParts": "2", "status": null}), of(None, Some(2))),
        (json!({"cost": 0.8, "messageParts": -1, "status": "Sent", "new": []}), of(None, None)),
    ];
    for (what, expected) in table {
        assert_eq!(outcome(change(what.clone())).await, expected, "{what}");
    }
    // Any 2xx will do.
    let Reply::Answer { body, .. } = sent(&[recipient(AMINA, 101, ID)]) else { unreachable!() };
    assert_eq!(outcome(Reply::json(200, body)).await.kind(), OutcomeKind::Accepted);
}

#[tokio::test]
async fn refused_receiver_is_refused_although_the_status_is_201() {
    let table = [
        (401, Reason::RiskHold),
        (402, Reason::SenderNotAllowed),
        (403, Reason::InvalidRecipient),
        (404, Reason::InvalidRecipient),
        (405, Reason::Balance),
        (406, Reason::OptedOut),
        (407, Reason::DestinationNotServed),
        (409, Reason::OptedOut),
        (499, Reason::Unknown),
    ];
    for (code, reason) in table {
        let outcome = outcome(sent(&[recipient(AMINA, code, "None")])).await;
        assert_eq!(outcome, rejected(reason, &code.to_string()));
    }
}

#[tokio::test]
async fn fault_on_the_way_to_the_operator_is_tried_again_unless_it_has_an_id() {
    for code in [500, 501, 502] {
        let text = code.to_string();
        let fault = |id| sent(&[recipient(AMINA, code, id)]);
        assert_eq!(outcome(fault("None")).await, not_submitted(Reason::OperatorDown, &text, None));
        assert_eq!(outcome(fault(ID)).await, ambiguous(Reason::OperatorDown, &text));
        let server = Server::start([fault("None")]).await;
        let cautious = africastalking(&server.base(), json!({"retry_gateway_errors": false}));
        let outcome = cautious.send_sms(&submission(AMINA, "Habari")).await;
        assert_eq!(outcome, ambiguous(Reason::OperatorDown, &text));
    }
}

#[tokio::test]
async fn answer_that_contradicts_itself_is_ambiguous() {
    // Taken, but under no name.
    for id in [json!("None"), json!(""), json!(null), json!("x".repeat(129))] {
        let recipient = over(recipient(AMINA, 101, ID), json!({"messageId": id}));
        let outcome = outcome(sent(&[Value::Object(recipient)])).await;
        assert_eq!(outcome, ambiguous(Reason::BadAnswer, "101"), "{id}");
    }
    // Not known, but under a name.
    assert_eq!(outcome(sent(&[recipient(AMINA, 103, ID)])).await, ambiguous(Reason::Unknown, "103"));
}

#[tokio::test]
async fn receivers_are_told_by_their_number_and_not_by_their_place() {
    let reply = sent(&[
        recipient("+254733000111", 406, "None"),
        recipient("254712345678", 102, ID),
        recipient("+254 711 000 222", 405, "None"),
    ]);
    let outcomes = outcomes(reply, &[AMINA, BARAKA, "+254711000222"]).await;
    assert_eq!(outcomes, [taken(ID), rejected(Reason::OptedOut, "406"), rejected(Reason::Balance, "405")]);
}

#[tokio::test]
async fn receiver_that_is_not_listed_is_certainly_not_sent_to() {
    let outcomes = outcomes(sent(&[recipient(AMINA, 102, ID)]), &[AMINA, BARAKA]).await;
    let missing = SubmitOutcome::not_submitted(Failure::new(Reason::BadAnswer));
    assert_eq!(outcomes, [taken(ID), missing]);
}

#[tokio::test]
async fn receiver_that_may_be_listed_in_another_form_is_ambiguous() {
    for form in ["0733000111", "+254733000112", "", "many", "99999999999999999999999"] {
        let reply = sent(&[recipient(AMINA, 102, ID), recipient(form, 102, "ATXid_2")]);
        let outcomes = outcomes(reply, &[AMINA, BARAKA]).await;
        let unclear = SubmitOutcome::Ambiguous(Failure::new(Reason::BadAnswer));
        assert_eq!(outcomes, [taken(ID), unclear], "{form}");
    }
}

#[tokio::test]
async fn receiver_that_is_listed_twice_was_sent_to_if_either_has_an_id() {
    let (refused, sent_once) = (recipient(AMINA, 500, "None"), recipient(AMINA, 102, ID));
    assert_eq!(outcome(sent(&[refused.clone(), sent_once.clone()])).await, taken(ID));
    assert_eq!(outcome(sent(&[sent_once, refused])).await, taken(ID));
}

#[tokio::test]
async fn request_that_is_refused_as_a_whole_is_refused_for_all() {
    let table = [
        ("InvalidSenderId", Reason::SenderNotAllowed, Some("InvalidSenderId")),
        ("InvalidPhoneNumber", Reason::InvalidRecipient, Some("InvalidPhoneNumber")),
        ("insufficientbalance ", Reason::Balance, Some("InsufficientBalance")),
        ("UserInBlackList", Reason::OptedOut, Some("UserInBlacklist")),
        ("InvalidUsername", Reason::Unknown, None),
        ("Sent to 0/2 Total Cost: 0", Reason::Unknown, None),
        ("Queued", Reason::Unknown, Some("Queued")),
        ("", Reason::Unknown, None),
    ];
    for (message, reason, code) in table {
        let failure = Failure { reason, provider_code: code.map(str::to_owned) };
        let outcomes = outcomes(answered(message, &[]), &[AMINA, BARAKA]).await;
        assert_eq!(outcomes, vec![SubmitOutcome::Rejected(failure); 2], "{message}");
    }
    let outcomes = outcomes(answered("InternalServerError", &[]), &[AMINA]).await;
    assert_eq!(outcomes, [not_submitted(Reason::ProviderDown, "InternalServerError", None)]);
}

#[tokio::test]
async fn errors_of_http_are_classified_by_their_status() {
    let text = |status, body: &str| Reply::of(status, "text/plain; charset=UTF-8", body);
    let table = [
        (text(401, "The supplied authentication is invalid"), rejected(Reason::Credential, "401")),
        (
            text(401, "The resource requires authentication, which was not supplied with the request"),
            rejected(Reason::Credential, "401"),
        ),
        (text(400, "Request is missing required form field 'to'"), rejected(Reason::Config, "400")),
        (text(400, "The request content was malformed:\nx"), rejected(Reason::Config, "400")),
        (text(404, "The requested resource could not be found."), rejected(Reason::Config, "404")),
        (text(405, "HTTP method not allowed"), rejected(Reason::Config, "405")),
        (text(415, "The request's Content-Type is not supported."), rejected(Reason::Config, "415")),
        (text(409, ""), rejected(Reason::OptedOut, "409")),
        (text(418, ""), rejected(Reason::Unknown, "418")),
        (text(429, ""), not_submitted(Reason::RateLimited, "429", None)),
        (text(429, "").with_header("retry-after", "3"), not_submitted(Reason::RateLimited, "429", Some(3))),
        (text(503, "<html>"), not_submitted(Reason::ProviderDown, "503", None)),
        (text(408, ""), ambiguous(Reason::Timeout, "408")),
        (text(500, "There was an internal server error."), ambiguous(Reason::ProviderDown, "500")),
        (text(502, "<html>"), ambiguous(Reason::ProviderDown, "502")),
        (text(504, "<html>"), ambiguous(Reason::ProviderDown, "504")),
        (text(201, "Sent"), ambiguous(Reason::BadAnswer, "201")),
        (Reply::of(201, "application/xml", "<AfricasTalkingResponse/>"), ambiguous(Reason::BadAnswer, "201")),
        (Reply::json(201, r#"{"SMSMessageData":{"Message":"x"}}"#), ambiguous(Reason::BadAnswer, "201")),
    ];
    for (reply, expected) in table {
        assert_eq!(outcomes(reply.clone(), &[AMINA, BARAKA]).await, vec![expected; 2], "{reply:?}");
    }
}
