//! Which provider there is, from which settings.

use std::io;
use std::sync::{Arc, Mutex};

use domain::route::ProviderName;
use providers::factory::{ConfigError, FALLBACK};
use providers::{ProviderFactory, REGISTRY, Registration};
use serde_json::{Map, Value, json};
use tracing_subscriber::fmt::MakeWriter;

use crate::fixture::{ACCOUNT_SID, AUTH_TOKEN, over};

fn registration(name: &str) -> &'static Registration {
    REGISTRY.iter().find(|registration| registration.name == name).unwrap()
}

fn keys(keys: Value) -> Map<String, Value> {
    over(json!({}), keys)
}

/// A factory with settings for every provider: those given, else the defaults.
fn factory(twilio: Value, africastalking: Value, default: Option<&str>) -> ProviderFactory {
    let configs = [("twilio", twilio), ("africastalking", africastalking)]
        .map(|(name, settings)| registration(name).configure(keys(settings), None).unwrap());
    ProviderFactory::new(REGISTRY, configs, default)
}

fn account() -> Value {
    json!({"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN, "phone_number": "SAFESHOP", "base_url": "http://127.0.0.1:1"})
}

fn at_account() -> Value {
    json!({"api_key": "atsk_1", "username": "sandbox", "base_url": "http://127.0.0.1:1"})
}

/// What is logged, level and text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn chosen(sms_provider: Option<&str>) -> (String, String) {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
    let factory =
        tracing::subscriber::with_default(subscriber, || factory(json!({}), json!({}), sms_provider));
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    (factory.default_provider().to_string(), logged)
}

#[test]
fn twilio_is_the_default_where_none_is_named() {
    for unset in [None, Some(""), Some("  ")] {
        let (name, logged) = chosen(unset);
        assert_eq!(name, "twilio");
        assert!(logged.contains("INFO") && logged.contains("twilio"), "{logged}");
    }
    assert!(FALLBACK.parse::<ProviderName>().is_ok());
}

#[test]
fn twilio_is_the_default_with_a_warning_where_the_name_is_wrong() {
    for wrong in ["nexmo", "Twil io", "africas-talking", "😀"] {
        let (name, logged) = chosen(Some(wrong));
        assert_eq!(name, "twilio", "{wrong}");
        assert!(logged.contains("WARN") && logged.contains("falling back"), "{logged}");
    }
}

#[test]
fn named_provider_is_the_default_and_logged() {
    for named in ["africastalking", " AfricasTalking "] {
        let (name, logged) = chosen(Some(named));
        assert_eq!(name, "africastalking", "{named}");
        assert!(logged.contains("INFO") && logged.contains("africastalking"), "{logged}");
    }
}

#[test]
fn every_registered_provider_is_made_by_its_name() {
    let factory = factory(account(), at_account(), None);
    for registration in REGISTRY {
        let name = registration.name.parse().unwrap();
        let provider = factory.create_provider(Some(&name)).unwrap();
        assert_eq!(provider.provider_name(), &name);
    }
    assert_eq!(factory.create_provider(None).unwrap().provider_name().as_str(), "twilio");
}

#[test]
fn unknown_provider_is_an_error_that_names_it() {
    let name: ProviderName = "nexmo".parse().unwrap();
    let error = factory(account(), at_account(), None).create_provider(Some(&name)).unwrap_err();
    assert_eq!(error, ConfigError::UnknownProvider(name));
}

#[test]
fn provider_without_an_account_is_left_out() {
    let names = |twilio, africastalking| -> Vec<String> {
        let providers = factory(twilio, africastalking, None).create_configured().unwrap();
        providers.iter().map(|provider| provider.provider_name().to_string()).collect()
    };
    assert_eq!(names(account(), json!({})), ["twilio"]);
    assert_eq!(names(json!({}), at_account()), ["africastalking"]);
    assert!(names(json!({}), json!({})).is_empty());
}

#[test]
fn provider_with_a_mistake_is_an_error_and_not_left_out() {
    let error = factory(account(), json!({"api_key": "atsk_1"}), None).create_configured().unwrap_err();
    assert_eq!(error.to_string(), "providers.africastalking: api_key is set, but username is not");
}

#[test]
fn every_setting_has_a_default_and_every_variable_sets_one() {
    for registration in REGISTRY {
        let defaults = registration.default_keys().unwrap();
        for key in providers::pace::Pace::KEYS {
            assert!(defaults.contains_key(*key), "{}: {key}", registration.name);
        }
        for (variable, key) in registration.environment {
            assert!(defaults.contains_key(*key), "{variable} sets {key}");
            assert!(registration.settings.contains(variable), "{variable} is not in the settings' comments");
        }
    }
}

#[test]
fn unknown_key_is_refused_by_name() {
    for registration in REGISTRY {
        let error = registration.configure(keys(json!({"max_inflight": 3})), None).unwrap_err();
        let expected = format!("providers.{}: max_inflight: there is no such key", registration.name);
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn wrong_value_is_named_by_key_and_never_quoted() {
    let cases = [
        (json!({"auth_token": 271_828}), "auth_token: expected a string, found whole number"),
        (json!({"auth_token": -2718}), "auth_token: expected a string, found whole number"),
        (json!({"auth_token": 27.18e2}), "auth_token: expected a string, found number"),
        (json!({"auth_token": true}), "auth_token: expected a string, found true or false"),
        (json!({"auth_token": ["2718"]}), "auth_token: expected a string, found list"),
        (json!({"auth_token": {"2718": 1}}), "auth_token: expected a string, found table"),
        (json!({"max_in_flight": "2718"}), "max_in_flight: expected u32, found text"),
        (json!({"max_in_flight": -2718}), "max_in_flight: expected u32, found another whole number"),
        (json!({"max_in_flight": 0}), "max_in_flight: expected at least 1"),
        (json!({"status_callbacks": "2718"}), "status_callbacks: expected a boolean, found text"),
        (
            json!({"phone_number": "2718281828459045"}),
            "phone_number: is not a short code of 3 to 8 digits; write a phone number with + and its country code",
        ),
        (
            json!({"base_url": "ftp://2718"}),
            "base_url: expected an address such as https://api.example.com, without credentials, query or fragment",
        ),
        (
            json!({"base_url": "https://user:2718@host"}),
            "base_url: expected an address such as https://api.example.com, without credentials, query or fragment",
        ),
        (json!({"request_timeout_ms": null}), "request_timeout_ms: is not set"),
    ];
    for (change, expected) in cases {
        let config = registration("twilio").configure(over(account(), change.clone()), None);
        let error = config.and_then(registration("twilio").create).map(drop).unwrap_err();
        assert_eq!(error.to_string(), format!("providers.twilio: {expected}"), "{change}");
        assert!(!format!("{error:?}").contains("2718"), "{error:?}");
    }
}
