//! Which settings make a Twilio account.

use providers::twilio::REGISTRATION;
use serde_json::{Value, json};

use crate::fixture::{ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL, create, over, twilio};

const API_KEY_SID: &str = "SK0123456789abcdef0123456789abcdef";

/// What is wrong with an account so changed, if anything.
fn problem(change: Value, public_url: Option<&str>) -> Option<String> {
    let account = json!({"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN, "phone_number": "SAFESHOP", "base_url": "http://127.0.0.1:1"});
    create(&REGISTRATION, over(account, change), public_url).err().map(|error| error.to_string())
}

#[test]
fn account_needs_a_sid_a_credential_and_a_sender() {
    let table = [
        (json!({}), None),
        (json!({"account_sid": " \t"}), Some("twilio is not configured: account_sid is not set")),
        (
            json!({"auth_token": ""}),
            Some("twilio is not configured: auth_token, or api_key_sid with api_key_secret, is not set"),
        ),
        (json!({"auth_token": "", "api_key_sid": API_KEY_SID, "api_key_secret": "s"}), None),
        (
            json!({"api_key_sid": API_KEY_SID}),
            Some("providers.twilio: api_key_sid is set, but api_key_secret is not"),
        ),
        (
            json!({"account_sid": "", "auth_token": "", "api_key_secret": "s"}),
            Some("providers.twilio: api_key_secret is set, but api_key_sid is not"),
        ),
        (
            json!({"shared_key_id": "webhooks_sharedkey_123"}),
            Some("providers.twilio: shared_key_id is set, but shared_key_secret is not"),
        ),
        (
            json!({"phone_number": ""}),
            Some("providers.twilio: phone_number or messaging_service_sid has to be set"),
        ),
        (json!({"phone_number": "", "messaging_service_sid": format!("MG{AUTH_TOKEN}")}), None),
    ];
    for (change, expected) in table {
        assert_eq!(problem(change.clone(), None).as_deref(), expected, "{change}");
    }
}

#[test]
fn sids_have_a_form() {
    for (key, prefix, wrong) in [
        ("account_sid", "AC", format!("SK{AUTH_TOKEN}")),
        ("account_sid", "AC", "AC123".to_owned()),
        ("account_sid", "AC", format!("AC{}g", "0".repeat(31))),
        ("api_key_sid", "SK", ACCOUNT_SID.to_owned()),
        ("messaging_service_sid", "MG", ACCOUNT_SID.to_owned()),
    ] {
        let change = json!({key: wrong, "api_key_secret": if key == "api_key_sid" { "s" } else { "" }});
        let expected = format!("providers.twilio: {key}: expected {prefix} and 32 hexadecimal digits");
        assert_eq!(problem(change, None), Some(expected));
    }
}

#[test]
fn validity_period_is_within_what_twilio_takes() {
    assert_eq!(problem(json!({"validity_period_s": 36000}), None), None);
    let expected = "providers.twilio: validity_period_s: expected at most 36000";
    assert_eq!(problem(json!({"validity_period_s": 36001}), None).as_deref(), Some(expected));
}

#[test]
fn host_with_an_underscore_is_refused_where_twilio_would_have_to_call_it() {
    let public_url = Some("https://sms_gateway.example.co.ke");
    assert!(problem(json!({}), public_url).is_some_and(|problem| problem.contains("underscore")));
    assert_eq!(problem(json!({"status_callbacks": false}), public_url), None);
}

#[test]
fn receipts_come_only_where_they_can_be_checked() {
    let base = "http://127.0.0.1:1";
    assert!(twilio(base, json!({})).capabilities().reports_delivery);
    assert!(!twilio(base, json!({"status_callbacks": false})).capabilities().reports_delivery);
    let by_key_alone = json!({"auth_token": "", "api_key_sid": API_KEY_SID, "api_key_secret": "s"});
    assert!(!twilio(base, by_key_alone).capabilities().reports_delivery);
    let keys = over(
        json!({"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN}),
        json!({"phone_number": "SAFESHOP", "base_url": base}),
    );
    assert!(!create(&REGISTRATION, keys.clone(), None).unwrap().capabilities().reports_delivery);
    assert!(create(&REGISTRATION, keys, Some(PUBLIC_URL)).unwrap().capabilities().reports_delivery);
}

#[test]
fn pace_is_the_one_of_the_settings() {
    let pace =
        *twilio("http://127.0.0.1:1", json!({"connect_timeout_ms": 5000, "request_timeout_ms": 15000}))
            .pace();
    assert_eq!(pace.messages_per_second, 1000);
    assert_eq!((pace.bulk_batch_size, pace.bulk_batch_interval().as_millis()), (10, 1000));
    assert_eq!((pace.max_receivers_per_request, pace.max_in_flight), (1, 256));
    assert_eq!((pace.connect_timeout().as_secs(), pace.request_timeout().as_secs()), (5, 15));
}
