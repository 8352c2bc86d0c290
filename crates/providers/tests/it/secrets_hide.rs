//! A value that nobody may read does not come out anywhere.

use domain::attempt::Failure;
use providers::provider::ProbeError;
use serde_json::{Value, json};

use crate::fixture::{ACCOUNT_SID, AMINA, africastalking, submission, twilio};
use crate::support::{Reply, Server};

const CANARY: &str = "canary-7f3a91c2d4";

#[test]
fn settings_and_providers_do_not_show_credentials() {
    for registration in providers::REGISTRY {
        let keys: Vec<String> = registration.default_keys().unwrap().keys().cloned().collect();
        let secrets =
            keys.iter().filter(|key| ["key", "token", "secret"].iter().any(|part| key.contains(part)));
        let keys = secrets.map(|key| (key.clone(), Value::from(CANARY))).collect();
        let config = registration.configure(keys, None).unwrap();
        assert!(!format!("{config:?}").contains(CANARY));
        let error = (registration.create)(config).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(CANARY), "{error:?}");
    }
    let base = "http://127.0.0.1:1";
    let providers = [
        twilio(base, json!({"auth_token": CANARY})),
        africastalking(base, json!({"api_key": CANARY, "callback_secret": CANARY})),
    ];
    for provider in providers {
        assert!(!format!("{provider:?}").contains(CANARY), "{provider:?}");
    }
}

#[test]
fn every_key_that_is_named_like_a_credential_is_kept_as_one() {
    for registration in providers::REGISTRY {
        let defaults = registration.default_keys().unwrap();
        let is_credential = |key: &str| {
            let endings = ["token", "token_previous", "secret", "password", "api_key"];
            endings.iter().any(|ending| key.ends_with(ending))
        };
        let named: Vec<&str> = defaults.keys().map(String::as_str).filter(|key| is_credential(key)).collect();
        let mut listed = registration.secrets.to_vec();
        listed.sort_unstable();
        assert_eq!(named, listed, "{registration:?}");
        for key in registration.secrets.iter().chain(registration.identities) {
            assert_eq!(defaults.get(*key), Some(&Value::from("")), "{key}");
        }
    }
}

#[tokio::test]
async fn sentences_of_a_provider_are_not_kept() {
    // Providers quote the number and the text in what they write.
    let twilio_error =
        json!({"code": 21211, "message": format!("The 'To' number {CANARY} is not valid"), "status": 400});
    let server = Server::start([
        Reply::json(400, twilio_error.to_string()),
        Reply::json(400, json!({"code": CANARY, "message": CANARY}).to_string()),
        Reply::of(500, "text/plain", CANARY),
        Reply::json(201, format!(r#"{{"sid":["{CANARY}"]}}"#)),
    ])
    .await;
    let provider = twilio(&server.base(), json!({}));
    for _ in 0..4 {
        let outcome = provider.send_sms(&submission(AMINA, CANARY)).await;
        assert!(!format!("{outcome:?}").contains(CANARY), "{outcome:?}");
    }
    let message = format!("Refused {CANARY}");
    let server = Server::start([
        Reply::json(201, json!({"SMSMessageData": {"Message": message, "Recipients": []}}).to_string()),
        Reply::of(400, "text/plain", CANARY),
        Reply::json(201, format!(r#"{{"SMSMessageData":"{CANARY}"}}"#)),
    ])
    .await;
    let provider = africastalking(&server.base(), json!({}));
    for _ in 0..3 {
        let outcome = provider.send_sms(&submission(AMINA, CANARY)).await;
        assert!(!format!("{outcome:?}").contains(CANARY), "{outcome:?}");
    }
}

#[tokio::test]
async fn auth_token_in_the_account_resource_is_not_kept() {
    let account = json!({"sid": ACCOUNT_SID, "status": "active", "type": "Full", "auth_token": CANARY, "friendly_name": CANARY});
    let server = Server::start([Reply::json(200, account.to_string())]).await;
    let line = twilio(&server.base(), json!({})).check_credentials().await.unwrap();
    assert!(!line.contains(CANARY), "{line}");
    let unreadable = Server::start([Reply::json(200, format!(r#"{{"auth_token":"{CANARY}""#))]).await;
    let error = twilio(&unreadable.base(), json!({})).check_credentials().await.unwrap_err();
    assert!(matches!(error, ProbeError::Unavailable(Failure { provider_code: None, .. })), "{error:?}");
}
