//! Which settings make an Africa's Talking account.

use providers::africastalking::REGISTRATION;
use serde_json::{Value, json};

use crate::fixture::{africastalking, create, over};

fn problem(keys: Value) -> Option<String> {
    let base = json!({"base_url": "http://127.0.0.1:1"});
    create(&REGISTRATION, over(base, keys), None).err().map(|error| error.to_string())
}

#[test]
fn account_needs_a_key_and_a_user_name() {
    let table = [
        (json!({"api_key": "k", "username": "safeshop"}), None),
        (json!({}), Some("africastalking is not configured: api_key and username are not set")),
        (
            json!({"api_key": " ", "username": "\n"}),
            Some("africastalking is not configured: api_key and username are not set"),
        ),
        (json!({"api_key": "k"}), Some("providers.africastalking: api_key is set, but username is not")),
        (json!({"username": "u"}), Some("providers.africastalking: username is set, but api_key is not")),
        (
            json!({"api_key": "two\nlines", "username": "u"}),
            Some("providers.africastalking: api_key: can't stand in a header"),
        ),
        (
            json!({"api_key": "k", "username": "u", "from": "TWELVE CHARS"}),
            Some("providers.africastalking: from: is too long; a sender name has at most 11 characters"),
        ),
    ];
    for (keys, expected) in table {
        assert_eq!(problem(keys.clone()).as_deref(), expected, "{keys}");
    }
}

#[test]
fn callback_secret_is_long_and_fits_a_path() {
    for wrong in ["short", "with/slash/in/it/x", "with space in it xx", "percent%20percent%20"] {
        let problem = problem(json!({"api_key": "k", "username": "u", "callback_secret": wrong}));
        assert!(
            problem.is_some_and(|problem| problem.contains("callback_secret: expected 16 to 128")),
            "{wrong}"
        );
    }
}

#[test]
fn receipts_come_only_where_there_is_a_secret() {
    let base = "http://127.0.0.1:1";
    assert!(africastalking(base, json!({})).capabilities().reports_delivery);
    assert!(!africastalking(base, json!({"callback_secret": ""})).capabilities().reports_delivery);
    assert!(!africastalking(base, json!({})).capabilities().callbacks_name_our_message);
    assert!(!africastalking(base, json!({})).capabilities().finds_submissions);
}

#[test]
fn pace_is_the_one_of_the_settings() {
    let pace = *africastalking(
        "http://127.0.0.1:1",
        json!({"connect_timeout_ms": 5000, "request_timeout_ms": 30000}),
    )
    .pace();
    assert_eq!((pace.messages_per_second, pace.bulk_batch_size, pace.bulk_batch_interval_ms), (100, 0, 0));
    assert_eq!((pace.max_receivers_per_request, pace.max_in_flight), (100, 32));
    assert_eq!((pace.connect_timeout().as_secs(), pace.request_timeout().as_secs()), (5, 30));
}
