//! Bulk messages by Africa's Talking.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::sim::{
    AFRICASTALKING_API_KEY, AFRICASTALKING_SENDER, AFRICASTALKING_USERNAME, FaultRule, SimConfig,
};

use crate::support::{Bench, Got, RECEIVER, get, header, with_form};

fn data(got: &Got) -> Value {
    assert_eq!(got.status, StatusCode::CREATED, "{}", got.text);
    assert_eq!(got.header("content-type"), Some("application/json"));
    got.json()["SMSMessageData"].clone()
}

/// The status codes of the receivers in an answer, in order.
fn codes(data: &Value) -> Vec<u64> {
    data["Recipients"].as_array().unwrap().iter().map(|one| one["statusCode"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_receiver_that_is_taken_has_an_id_and_a_cost() {
    let bench = Bench::start().await;
    let data = data(&get(bench.africastalking_message(RECEIVER, "Habari", &[("enqueue", "1")])).await);
    let id = data["Recipients"][0]["messageId"].as_str().unwrap();
    assert!(id.starts_with("ATXid_") && id.len() == 38, "{id}");
    let expected = json!({
        "Message": "Sent to 1/1 Total Cost: KES 0.8000 Message parts: 1",
        "Recipients": [
            {"cost": "KES 0.8000", "messageId": id, "number": RECEIVER, "status": "Success", "statusCode": 102},
        ],
    });
    assert_eq!(data, expected);
}

#[tokio::test]
async fn the_code_is_101_unless_it_is_enqueued() {
    let bench = Bench::start().await;
    assert_eq!(codes(&data(&get(bench.africastalking_message(RECEIVER, "Habari", &[])).await)), [101]);
}

#[tokio::test]
async fn each_segment_costs() {
    let bench = Bench::start().await;
    let numbers = "+254712345678,+254733000111";
    let data = data(&get(bench.africastalking_message(numbers, &"a".repeat(161), &[])).await);
    assert_eq!(data["Message"], "Sent to 2/2 Total Cost: KES 3.2000 Message parts: 2");
    assert_eq!(data["Recipients"][1]["cost"], "KES 1.6000");
}

#[tokio::test]
async fn each_receiver_has_a_verdict_of_its_own() {
    let bench = Bench::start().await;
    let numbers = "+254712345678,0712345678,+254712000406,+254712000100";
    let data = data(&get(bench.africastalking_message(numbers, "Habari", &[])).await);
    assert_eq!(data["Message"], "Sent to 2/4 Total Cost: KES 1.6000 Message parts: 1");
    assert_eq!(codes(&data), [101, 403, 406, 100]);
    let refused = json!({
        "cost": "0",
        "messageId": "None",
        "number": "+254712000406",
        "status": "UserInBlacklist",
        "statusCode": 406,
    });
    assert_eq!(data["Recipients"][2], refused);

    let taken: Vec<String> = bench.sim.ledger().entries().into_iter().map(|entry| entry.to).collect();
    assert_eq!(taken, ["+254712345678", "+254712000100"]);
    let stats = bench.sim.stats().africastalking;
    assert_eq!((stats.accepted, stats.refused), (2, 2));
}

#[tokio::test]
async fn every_status_code_has_a_number_and_a_name() {
    let bench = Bench::start().await;
    for (code, name) in [
        (401, "RiskHold"),
        (402, "InvalidSenderId"),
        (403, "InvalidPhoneNumber"),
        (404, "UnsupportedNumberType"),
        (405, "InsufficientBalance"),
        (406, "UserInBlacklist"),
        (407, "CouldNotRoute"),
        (409, "DoNotDisturbRejection"),
        (500, "InternalServerError"),
        (501, "GatewayError"),
        (502, "RejectedByGateway"),
    ] {
        let data =
            data(&get(bench.africastalking_message(&format!("+254712000{code}"), "Habari", &[])).await);
        assert_eq!(data["Message"], "Sent to 0/1 Total Cost: 0");
        let recipient = &data["Recipients"][0];
        assert_eq!((&recipient["statusCode"], &recipient["status"]), (&json!(code), &json!(name)));
    }
    assert_eq!(bench.sim.ledger().count(), 0);
}

#[tokio::test]
async fn an_unregistered_sender_refuses_the_whole_request() {
    let bench = Bench::start().await;
    let data = data(&get(bench.africastalking_message(RECEIVER, "Habari", &[("from", "STRANGER")])).await);
    assert_eq!(data, json!({"Message": "InvalidSenderId", "Recipients": []}));
    assert_eq!(bench.sim.ledger().count(), 0);
}

#[tokio::test]
async fn a_registered_sender_and_none_are_taken() {
    let bench = Bench::start().await;
    for from in [AFRICASTALKING_SENDER, ""] {
        assert_eq!(
            codes(&data(&get(bench.africastalking_message(RECEIVER, "Habari", &[("from", from)])).await)),
            [101]
        );
    }
    let senders: Vec<Option<String>> =
        bench.sim.ledger().entries().into_iter().map(|entry| entry.from).collect();
    assert_eq!(senders, [Some(AFRICASTALKING_SENDER.to_owned()), None]);
}

#[tokio::test]
async fn the_balance_falls_until_receivers_are_refused() {
    let mut config = SimConfig::default();
    config.africastalking.balance_micros = 2_000_000;
    let bench = Bench::with(config).await;
    let numbers = "+254712345671,+254712345672,+254712345673";
    let data = data(&get(bench.africastalking_message(numbers, "Habari", &[])).await);
    assert_eq!(codes(&data), [101, 101, 405]);
    let path = format!("/version1/user?username={AFRICASTALKING_USERNAME}");
    let got = get(bench.request(Method::GET, &path).header("apiKey", AFRICASTALKING_API_KEY)).await;
    assert_eq!(got.json(), json!({"UserData": {"balance": "KES 0.4000"}}));
}

#[tokio::test]
async fn the_name_of_the_key_header_has_no_case() {
    let bench = Bench::start().await;
    let fields = [("username", AFRICASTALKING_USERNAME), ("to", RECEIVER), ("message", "Habari")];
    for name in ["apiKey", "apikey", "APIKEY"] {
        let (name, value) = header(name, AFRICASTALKING_API_KEY);
        let request = bench.request(Method::POST, "/version1/messaging").header(name, value);
        assert_eq!(get(with_form(request, &fields)).await.status, StatusCode::CREATED);
    }
}

#[tokio::test]
async fn wrong_credentials_are_refused_in_plain_text() {
    let bench = Bench::start().await;
    let fields = [("username", AFRICASTALKING_USERNAME), ("to", RECEIVER), ("message", "Habari")];
    let post = || bench.request(Method::POST, "/version1/messaging");
    let missing = "The request requires authentication, which was not supplied with the request";
    let wrong = "The supplied authentication is invalid";
    let stranger = [("username", "stranger"), fields[1], fields[2]];
    for (request, text) in [
        (with_form(post(), &fields), missing),
        (with_form(post().header("apiKey", "atsk_wrong"), &fields), wrong),
        (with_form(post().header("apiKey", AFRICASTALKING_API_KEY), &stranger), wrong),
    ] {
        let got = get(request).await;
        assert_eq!((got.status, got.text.as_str()), (StatusCode::UNAUTHORIZED, text));
        assert_eq!(got.header("content-type"), Some("text/plain; charset=UTF-8"));
        assert_eq!(got.header("www-authenticate"), Some("Basic realm=\"api\",charset=UTF-8"));
    }
    assert_eq!(bench.sim.ledger().count(), 0);
}

#[tokio::test]
async fn what_is_missing_is_named_in_plain_text() {
    let bench = Bench::start().await;
    let fields = [("username", AFRICASTALKING_USERNAME), ("to", RECEIVER), ("message", "Habari")];
    for (place, name) in ["username", "to", "message"].into_iter().enumerate() {
        let mut rest = fields.to_vec();
        rest.remove(place);
        let got = get(bench.africastalking_form(&rest)).await;
        let text = format!("Request is missing required form field '{name}'");
        assert_eq!((got.status, got.text), (StatusCode::BAD_REQUEST, text));
    }
    let request = bench.request(Method::POST, "/version1/messaging").header("apiKey", AFRICASTALKING_API_KEY);
    let got = get(request.header("Content-Type", "text/xml").body("<to/>")).await;
    assert_eq!(got.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn the_newer_path_takes_json() {
    let bench = Bench::start().await;
    let post = |body: String| {
        let request = bench.request(Method::POST, "/version1/messaging/bulk");
        request.header("apiKey", AFRICASTALKING_API_KEY).header("Content-Type", "application/json").body(body)
    };
    let body = json!({
        "username": AFRICASTALKING_USERNAME,
        "message": "Habari",
        "senderId": AFRICASTALKING_SENDER,
        "phoneNumbers": [RECEIVER, "+254733000111"],
        "enqueue": true,
    });
    assert_eq!(codes(&data(&get(post(body.to_string())).await)), [102, 102]);
    let got = get(post("{".to_owned())).await;
    assert_eq!(got.status, StatusCode::BAD_REQUEST);
    assert!(got.text.starts_with("The request content was malformed:\n"), "{}", got.text);
}

#[tokio::test]
async fn a_fault_can_refuse_every_receiver() {
    let bench = Bench::start().await;
    bench.sim.inject(FaultRule::next(1, testkit::sim::Fault::Refuse { code: 405 })).unwrap();
    let numbers = "+254712345678,+254733000111";
    let data = data(&get(bench.africastalking_message(numbers, "Habari", &[])).await);
    assert_eq!(codes(&data), [405, 405]);
    assert_eq!(bench.sim.ledger().count(), 0);
}
