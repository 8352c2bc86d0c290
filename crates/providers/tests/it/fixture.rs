//! Accounts and messages to test with.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use domain::attempt::{
    Acceptance, Failure, OutcomeKind, ProviderMessageId, Reason, Submission, SubmitOutcome,
};
use domain::encoding::Encoding;
use domain::ids::MessageId;
use domain::phone::{Country, Msisdn};
use domain::scenario::Scenario;
use domain::secret::Body;
use domain::time::Timestamp;
use http::{HeaderMap, HeaderName, HeaderValue};
use providers::factory::ConfigError;
use providers::provider::{CallbackKind, CallbackRequest};
use providers::{Registration, SmsProvider};
use serde_json::{Map, Value, json};

/// Twilio's account, as in the signature vectors.
pub(crate) const ACCOUNT_SID: &str = "AC0123456789abcdef0123456789abcdef";
pub(crate) const AUTH_TOKEN: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const MESSAGE_SID: &str = "SMabcdefabcdefabcdefabcdefabcdefab";
pub(crate) const PUBLIC_URL: &str = "https://sms.example.co.ke";
/// Of Africa's Talking's callbacks.
pub(crate) const CALLBACK_SECRET: &str = "0123456789-abcdef_ABC";
/// 2026-11-23T08:30:00Z.
pub(crate) const NOW: Timestamp = Timestamp::from_micros(1_795_422_600_000_000);
pub(crate) const AMINA: &str = "+254712345678";
pub(crate) const BARAKA: &str = "+254733000111";

/// Keys over keys.
pub(crate) fn over(base: Value, change: Value) -> Map<String, Value> {
    let (Value::Object(mut base), Value::Object(change)) = (base, change) else { panic!("not objects") };
    base.extend(change);
    base
}

pub(crate) fn create(
    registration: &Registration,
    keys: Map<String, Value>,
    public_url: Option<&str>,
) -> Result<Arc<dyn SmsProvider>, ConfigError> {
    let public_url = public_url.map(|url| url.parse().unwrap());
    (registration.create)(registration.configure(keys, public_url)?)
}

/// A Twilio account with an auth token and callbacks.
pub(crate) fn twilio(base: &str, change: Value) -> Arc<dyn SmsProvider> {
    let keys = json!({
        "account_sid": ACCOUNT_SID,
        "auth_token": AUTH_TOKEN,
        "phone_number": "+15017122661",
        "base_url": base,
        "connect_timeout_ms": 2000,
        "request_timeout_ms": 5000,
    });
    create(&providers::twilio::REGISTRATION, over(keys, change), Some(PUBLIC_URL)).unwrap()
}

/// An Africa's Talking account.
pub(crate) fn africastalking(base: &str, change: Value) -> Arc<dyn SmsProvider> {
    let keys = json!({
        "api_key": "atsk_1234",
        "username": "safeshop",
        "from": "SAFESHOP",
        "callback_secret": CALLBACK_SECRET,
        "base_url": base,
        "connect_timeout_ms": 2000,
        "request_timeout_ms": 5000,
    });
    create(&providers::africastalking::REGISTRATION, over(keys, change), Some(PUBLIC_URL)).unwrap()
}

pub(crate) fn msisdn(number: &str) -> Msisdn {
    Msisdn::parse(number, Country::KE).unwrap()
}

pub(crate) fn message_id() -> MessageId {
    MessageId::new(NOW, [7; 10])
}

pub(crate) fn submission(receiver: &str, body: &str) -> Submission {
    Submission {
        message_id: message_id(),
        attempt: 2,
        receiver: msisdn(receiver),
        sender: None,
        body: Body::new(body),
        encoding: Encoding::Gsm7,
        scenario: Scenario::General,
        expires_at: None,
    }
}

/// A callback to be parsed, with what it borrows.
pub(crate) struct Callback {
    pub(crate) kind: CallbackKind,
    pub(crate) url: String,
    pub(crate) token: Option<String>,
    pub(crate) caller: Option<IpAddr>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Callback {
    /// A form posted to the status URL.
    pub(crate) fn form(url: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        let callback = Self {
            kind: CallbackKind::Status,
            url: url.into(),
            token: None,
            caller: None,
            headers: HeaderMap::new(),
            body: body.into(),
        };
        callback.header("content-type", "application/x-www-form-urlencoded; charset=UTF-8")
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        self
    }

    pub(crate) fn request(&self) -> CallbackRequest<'_> {
        CallbackRequest {
            kind: self.kind,
            url: &self.url,
            token: self.token.as_deref(),
            caller: self.caller,
            headers: &self.headers,
            body: &self.body,
            received_at: NOW,
        }
    }
}

/// An outcome to be expected.
pub(crate) fn rejected(reason: Reason, code: &str) -> SubmitOutcome {
    SubmitOutcome::Rejected(Failure::with_code(reason, code))
}

pub(crate) fn ambiguous(reason: Reason, code: &str) -> SubmitOutcome {
    SubmitOutcome::Ambiguous(Failure::with_code(reason, code))
}

pub(crate) fn not_submitted(reason: Reason, code: &str, retry_after_s: Option<u64>) -> SubmitOutcome {
    let retry_after = retry_after_s.map(Duration::from_secs);
    SubmitOutcome::NotSubmitted { failure: Failure::with_code(reason, code), retry_after }
}

pub(crate) fn accepted(id: &str, segments: Option<u16>) -> Acceptance {
    Acceptance { provider_message_id: ProviderMessageId::new(id).unwrap(), segments, cost: None }
}

/// The kind and the reason of what went wrong.
pub(crate) fn kind_and_reason(outcome: &SubmitOutcome) -> (OutcomeKind, Reason) {
    (outcome.kind(), outcome.failure().expect("a failure").reason)
}
