//! What can be asked of Africa's Talking: the inbox and the balance, and nothing about what was sent.

use reqwest::{Method, StatusCode};
use serde_json::json;
use testkit::sim::{AFRICASTALKING_API_KEY, FromPhone, Provider};

use crate::support::{Bench, Got, RECEIVER, get};

async fn ask(bench: &Bench, method: Method, path: &str) -> Got {
    get(bench.request(method, path).header("apiKey", AFRICASTALKING_API_KEY)).await
}

#[tokio::test]
async fn the_list_of_messages_is_the_inbox_only() {
    let bench = Bench::start().await;
    get(bench.africastalking_message(RECEIVER, "Habari", &[])).await;
    let inbox = ask(&bench, Method::GET, "/version1/messaging?username=sandbox&lastReceivedId=0").await;
    assert_eq!((inbox.status, inbox.json()), (StatusCode::OK, json!({"SMSMessageData": {"Messages": []}})));
}

#[tokio::test]
async fn the_inbox_is_read_from_the_last_id_on() {
    let bench = Bench::start().await;
    for text in ["one", "two"] {
        let message = FromPhone {
            provider: Provider::AfricasTalking,
            from: RECEIVER.to_owned(),
            to: "28901".to_owned(),
            text: text.to_owned(),
        };
        bench.sim.send_from_phone(&message).await;
    }
    let inbox =
        ask(&bench, Method::GET, "/version1/messaging?username=sandbox&lastReceivedId=1").await.json();
    let messages = inbox["SMSMessageData"]["Messages"].as_array().unwrap();
    assert_eq!(messages.len(), 1);
    let message = &messages[0];
    assert_eq!((&message["id"], &message["text"]), (&json!(2), &json!("two")));
    assert_eq!((&message["to"], &message["from"]), (&json!("28901"), &json!(RECEIVER)));
    assert!(message["date"].is_string() && message["linkId"].is_string());
}

#[tokio::test]
async fn the_balance_is_a_currency_and_an_amount() {
    let bench = Bench::start().await;
    let got = ask(&bench, Method::GET, "/version1/user?username=sandbox").await;
    assert_eq!(got.json(), json!({"UserData": {"balance": "KES 1000000000.0000"}}));
}

#[tokio::test]
async fn what_is_wrong_is_said_in_plain_text() {
    let bench = Bench::start().await;
    for (method, path, status, text) in [
        (Method::GET, "/version1/user", 404, "Request is missing required query parameter 'username'"),
        (Method::GET, "/version1/user?username=stranger", 401, "The supplied authentication is invalid"),
        (Method::GET, "/version1/nothing", 404, "The requested resource could not be found."),
        (Method::DELETE, "/version1/user", 405, "HTTP method not allowed, supported methods: GET"),
        (Method::DELETE, "/version1/messaging", 405, "HTTP method not allowed, supported methods: GET, POST"),
    ] {
        let got = ask(&bench, method, path).await;
        assert_eq!((got.status.as_u16(), got.text.as_str()), (status, text), "{path}");
    }
}
