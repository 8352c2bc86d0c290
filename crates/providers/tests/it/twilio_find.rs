//! Looking for a message at Twilio whose submission ended ambiguously.

use domain::attempt::{Failure, ProviderMessageId, Reason};
use domain::money::Money;
use domain::receipt::ReceiptStatus;
use domain::secret::Body;
use providers::provider::{Found, ProbeError, SubmissionQuery};
use serde_json::{Value, json};

use crate::fixture::{ACCOUNT_SID, AMINA, BARAKA, NOW, msisdn, over, twilio};
use crate::support::{Recorded, Reply, Server};

const TEXT: &str = "Your code is 482913";

fn query(known: &[&str]) -> SubmissionQuery {
    SubmissionQuery {
        receiver: msisdn(AMINA),
        body: Body::new(TEXT),
        started_at: NOW,
        known: known.iter().map(|id| ProviderMessageId::new(*id).unwrap()).collect(),
    }
}

/// A message in a list, changed; created so many seconds after the attempt began.
fn message(sid: &str, after_s: i64, change: Value) -> Value {
    let created = jiff::Timestamp::from_microsecond(NOW.as_micros() + after_s * 1_000_000).unwrap();
    let created = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_string(&created).unwrap();
    let message = json!({
        "sid": sid, "to": AMINA, "from": "SAFESHOP", "body": TEXT, "status": "sent",
        "direction": "outbound-api", "date_created": created, "date_sent": null, "num_segments": "1",
        "price": null, "price_unit": "USD", "error_code": null,
    });
    Value::Object(over(message, change))
}

fn page(messages: &[Value], next: Option<&str>) -> Reply {
    let page = json!({"messages": messages, "page": 0, "page_size": 100, "next_page_uri": next, "uri": "/x"});
    Reply::json(200, page.to_string())
}

fn next_page(number: usize) -> String {
    format!(
        "/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json?To=%2B254712345678&PageSize=100&Page={number}&PageToken=PASM{number}"
    )
}

async fn find_with(
    change: Value,
    known: &[&str],
    replies: Vec<Reply>,
) -> (Result<Option<Found>, ProbeError>, Vec<Recorded>) {
    let server = Server::start(replies).await;
    let found = twilio(&server.base(), change).find_submission(&query(known)).await;
    (found, server.recorded())
}

async fn find(messages: &[Value]) -> Option<String> {
    let (found, _) = find_with(json!({}), &["SMknown"], vec![page(messages, None)]).await;
    found.unwrap().map(|found| found.provider_message_id.as_str().to_owned())
}

fn doubt<T>() -> Result<T, ProbeError> {
    Err(ProbeError::Unavailable(Failure::new(Reason::BadAnswer)))
}

#[tokio::test]
async fn absent_message_is_looked_for_by_date_and_without() {
    let (found, requests) = find_with(json!({}), &[], vec![page(&[], None)]).await;
    assert_eq!(found, Ok(None));
    let path = format!("/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json?To=%2B254712345678");
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].line, format!("GET {path}&DateSent%3E=2026-11-22&PageSize=100 HTTP/1.1"));
    assert_eq!(requests[1].line, format!("GET {path}&PageSize=100 HTTP/1.1"));
    assert!(requests[0].header("authorization").unwrap().starts_with("Basic "));
    assert_eq!(requests[0].header("content-type"), None);
}

#[tokio::test]
async fn message_that_is_there_is_adopted() {
    let delivered = message("SM1", 1, json!({"status": "delivered", "price": "-0.00750"}));
    let (found, requests) = find_with(json!({}), &[], vec![page(&[delivered], None)]).await;
    let expected = Found {
        provider_message_id: ProviderMessageId::new("SM1").unwrap(),
        status: Some(ReceiptStatus::Delivered),
        cost: Some(Money::new(7_500, "USD").unwrap()),
    };
    assert_eq!(found, Ok(Some(expected)));
    assert_eq!(requests.len(), 1);
}

#[tokio::test]
async fn queued_message_is_found_in_the_list_without_a_date() {
    let queued = message("SM1", 0, json!({"status": "queued"}));
    let (found, _) = find_with(json!({}), &[], vec![page(&[], None), page(&[queued], None)]).await;
    assert_eq!(found.unwrap().map(|found| found.status), Some(Some(ReceiptStatus::Sent)));
}

#[tokio::test]
async fn only_a_message_that_can_be_ours_is_adopted() {
    let none = None;
    let found = Some("SM1".to_owned());
    let table = [
        (json!({"sid": "SMknown"}), 1, none.clone()),
        (json!({"to": BARAKA}), 1, none.clone()),
        (json!({"body": "Your code is 111111"}), 1, none.clone()),
        (json!({"direction": "inbound"}), 1, none.clone()),
        (json!({"direction": "outbound-reply"}), 1, found.clone()),
        (json!({"direction": null}), 1, found.clone()),
        // The clocks may be ten seconds apart.
        (json!({}), -9, found.clone()),
        (json!({}), -11, none.clone()),
        // Not one of a much later attempt.
        (json!({}), 200, found.clone()),
        (json!({}), 1000, none.clone()),
        (json!({"body": format!("Sent from your Twilio trial account - {TEXT}")}), 1, found.clone()),
        (json!({"body": " Your code is\r\n482913 \n"}), 1, found.clone()),
        // Redacted.
        (json!({"body": ""}), 1, found.clone()),
        (json!({"body": null}), 1, found),
    ];
    for (change, after_s, expected) in table {
        assert_eq!(find(&[message("SM1", after_s, change.clone())]).await, expected, "{change} {after_s}");
    }
}

#[tokio::test]
async fn earliest_of_several_is_adopted() {
    let messages = [message("SM3", 9, json!({})), message("SM1", 1, json!({})), message("SM2", 5, json!({}))];
    assert_eq!(find(&messages).await.as_deref(), Some("SM1"));
}

#[tokio::test]
async fn text_with_smart_encoding_is_compared_by_letters_and_digits() {
    let encoded = message("SM1", 1, json!({"body": "Your code is \"482913\""}));
    let replies = vec![page(std::slice::from_ref(&encoded), None)];
    let (found, _) = find_with(json!({"smart_encoded": true}), &[], replies).await;
    assert!(found.unwrap().is_some());
    assert_eq!(find(&[encoded]).await, None);
}

#[tokio::test]
async fn list_is_read_to_its_end() {
    let replies = vec![
        page(&[], None),
        page(&[message("SM9", 2, json!({"body": "other"}))], Some(&next_page(1))),
        page(&[], Some(&next_page(2))),
        page(&[message("SM1", 1, json!({}))], None),
    ];
    let (found, requests) = find_with(json!({}), &[], replies).await;
    assert!(found.unwrap().is_some());
    assert_eq!(requests[2].target(), next_page(1));
    assert_eq!(requests[3].target(), next_page(2));
}

#[tokio::test]
async fn list_is_read_no_further_than_to_the_attempt_if_it_falls() {
    let old = |sid: &str, after_s| message(sid, after_s, json!({"body": "old"}));
    let replies = vec![page(&[], None), page(&[old("SM2", 3), old("SM1", -60)], Some(&next_page(1)))];
    let (found, requests) = find_with(json!({}), &[], replies).await;
    assert_eq!((found, requests.len()), (Ok(None), 2));
}

#[tokio::test]
async fn list_in_another_order_is_read_on() {
    let old = |sid: &str, after_s| message(sid, after_s, json!({"body": "old"}));
    let replies = vec![
        page(&[], None),
        page(&[old("SM1", -60), old("SM2", -50)], Some(&next_page(1))),
        page(&[message("SM3", 1, json!({}))], None),
    ];
    let (found, _) = find_with(json!({}), &[], replies).await;
    assert!(found.unwrap().is_some());
}

#[tokio::test]
async fn nothing_is_said_of_a_list_without_an_end() {
    let endless = page(&[message("SM1", 1, json!({"body": "other"}))], Some(&next_page(1)));
    let (found, requests) = find_with(json!({}), &[], vec![endless]).await;
    assert_eq!((found, requests.len()), (doubt(), 10));
}

#[tokio::test]
async fn nothing_is_said_where_the_next_page_leads_elsewhere() {
    let elsewhere = [
        "https://evil.example/2010-04-01/Accounts/AC1/Messages.json?Page=1".to_owned(),
        "//evil.example/".to_owned(),
        "@evil.example/".to_owned(),
        format!("/2010-04-01/Accounts/{ACCOUNT_SID}.json?Page=1"),
        format!("/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json/../../x?Page=1"),
        String::new(),
    ];
    for next in elsewhere {
        let (found, requests) = find_with(json!({}), &[], vec![page(&[], Some(&next))]).await;
        assert_eq!((found, requests.len()), (doubt(), 1), "{next}");
    }
}

#[tokio::test]
async fn next_page_may_be_written_with_the_host() {
    let server = Server::start([]).await;
    server.then(page(&[], Some(&format!("{}{}", server.base(), next_page(1)))));
    server.then(page(&[message("SM1", 1, json!({}))], None));
    let found = twilio(&server.base(), json!({})).find_submission(&query(&[])).await;
    assert!(found.unwrap().is_some());
    assert_eq!(server.recorded()[1].target(), next_page(1));
}

#[tokio::test]
async fn nothing_is_said_of_a_message_without_a_time() {
    for date in [json!(null), json!("2026-11-23"), json!("")] {
        let (found, _) =
            find_with(json!({}), &[], vec![page(&[message("SM1", 1, json!({"date_created": date}))], None)])
                .await;
        assert_eq!(found, doubt());
    }
}

#[tokio::test]
async fn nothing_is_said_where_twilio_does_not_answer_well() {
    let refused = |reason, code: &str| Err(ProbeError::Refused(Failure::with_code(reason, code)));
    let unavailable = |reason, code: &str| Err(ProbeError::Unavailable(Failure::with_code(reason, code)));
    let table = [
        (Reply::json(200, "{}"), doubt()),
        (Reply::json(200, r#"{"messages":[{"sid":1}]}"#), doubt()),
        (Reply::json(401, r#"{"code":20003}"#), refused(Reason::Credential, "20003")),
        (Reply::json(404, r#"{"code":20404}"#), refused(Reason::Config, "20404")),
        (Reply::json(429, r#"{"code":20429}"#), unavailable(Reason::RateLimited, "20429")),
        (Reply::json(503, ""), unavailable(Reason::ProviderDown, "503")),
        (Reply::CloseAfterReading, Err(ProbeError::Unavailable(Failure::new(Reason::ConnectionLost)))),
    ];
    for (reply, expected) in table {
        let (found, _) = find_with(json!({}), &[], vec![reply.clone()]).await;
        assert_eq!(found, expected, "{reply:?}");
        // Not even where only the second list fails.
        let (found, _) = find_with(json!({}), &[], vec![page(&[], None), reply]).await;
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn page_of_a_hundred_long_messages_is_read() {
    let long = "\u{1F600}".repeat(400);
    let others: Vec<Value> = (0..99).map(|n| message(&format!("SM{n}"), 1, json!({"body": long}))).collect();
    let all = [others, vec![message("SMours", 1, json!({}))]].concat();
    assert_eq!(find(&all).await.as_deref(), Some("SMours"));
}

#[tokio::test]
async fn page_of_twilios_own_document_is_read() {
    let document: Value =
        serde_json::from_str(include_str!("../vectors/twilio_messages_openapi.json")).unwrap();
    let list = &document["paths"]["/2010-04-01/Accounts/{AccountSid}/Messages.json"]["get"];
    let example =
        &list["responses"]["200"]["content"]["application/json"]["examples"]["readFullPage1"]["value"];
    let shown = &example["messages"][0];
    let query = SubmissionQuery {
        receiver: msisdn(shown["to"].as_str().unwrap()),
        body: Body::new(shown["body"].as_str().unwrap()),
        started_at: "2019-05-24T17:44:45Z".parse().unwrap(),
        known: Vec::new(),
    };
    let server = Server::start([Reply::json(200, example.to_string()), page(&[], None)]).await;
    let account = json!({"account_sid": "ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"});
    let found = twilio(&server.base(), account).find_submission(&query).await.unwrap().unwrap();
    assert_eq!(found.provider_message_id.as_str(), shown["sid"].as_str().unwrap());
    assert_eq!(server.recorded()[1].target(), example["next_page_uri"].as_str().unwrap());
}
