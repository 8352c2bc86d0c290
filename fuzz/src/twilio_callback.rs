//! Callbacks of Twilio, forms and JSON, and their signatures.
//!
//! The first line is the signature, or `sign` to have the input signed as Twilio would; the second is the path with its
//! query. Lines of headers follow, then an empty one, then the body.

use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue};
use providers::SmsProvider;
use providers::provider::{CallbackError, CallbackKind, CallbackRequest};
use serde_json::json;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use url::form_urlencoded;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const SHARED: &str = "a-shared-key-that-nobody-knows";
const BASE: &str = "https://sms.example.co.ke";

static PROVIDER: LazyLock<Arc<dyn SmsProvider>> = LazyLock::new(|| {
    let keys = json!({
        "account_sid": "AC0123456789abcdef0123456789abcdef",
        "auth_token": TOKEN,
        "shared_key_id": "SK1",
        "shared_key_secret": SHARED,
        "phone_number": "+15017122661",
    });
    let registration = providers::twilio::REGISTRATION;
    let config =
        registration.configure(keys.as_object().unwrap().clone(), Some(BASE.parse().unwrap())).unwrap();
    (registration.create)(config).unwrap()
});

/// A request as it comes in.
#[derive(Clone)]
struct Request {
    url: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

pub fn check(data: &[u8]) {
    let (signature, rest) = super::first_line(data);
    let Some(mut request) = Request::read(rest) else { return };
    if signature == "sign" {
        request.sign();
        if !request.names_a_shared_key() {
            assert!(!request.is_forged(), "what was signed by the key is refused");
            request.changes_are_noticed();
        }
    } else {
        request.set("x-twilio-signature", signature);
    }
    if request.is_forged() {
        return;
    }
    let shown = request.headers.get("x-twilio-signature").unwrap().to_str().unwrap();
    assert!(request.signatures().iter().any(|made| made == shown), "nobody with the key made this signature");
    if let Ok(inbound) = request.parse_incoming() {
        super::is_short_address(&inbound);
    }
    for receipt in request.parse().unwrap_or_default() {
        super::is_kept_short(&receipt);
    }
}

impl Request {
    fn read(data: &[u8]) -> Option<Self> {
        let (target, mut rest) = super::first_line(data);
        let is_target = target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic());
        let mut request =
            Self { url: format!("{BASE}{target}"), headers: HeaderMap::new(), body: Vec::new() };
        loop {
            let (line, after) = super::first_line(rest);
            let Some((name, value)) = line.split_once(": ") else {
                request.body = after.to_vec();
                return is_target.then_some(request);
            };
            request.set(name, value);
            rest = after;
        }
    }

    fn set(&mut self, name: &str, value: &str) {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            self.headers.insert(name, value);
        }
    }

    fn parse(&self) -> Result<Vec<domain::receipt::Receipt>, CallbackError> {
        PROVIDER.parse_callback(&self.request(CallbackKind::Status))
    }

    fn parse_incoming(&self) -> Result<domain::inbound::Inbound, CallbackError> {
        PROVIDER.parse_incoming(&self.request(CallbackKind::Incoming))
    }

    fn request(&self, kind: CallbackKind) -> CallbackRequest<'_> {
        CallbackRequest {
            kind,
            url: &self.url,
            token: None,
            caller: None,
            headers: &self.headers,
            body: &self.body,
            received_at: super::NOW,
        }
    }

    /// Whether it is refused for its signature. One that is signed may still speak for an account that is not ours.
    fn is_forged(&self) -> bool {
        matches!(self.parse(), Err(CallbackError::Forged(why)) if why != "for another account")
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    fn names_a_shared_key(&self) -> bool {
        self.header("x-twilio-webhooks-signature-settings").contains("algorithm=")
    }

    /// Whether its parameters are signed, and not its body's hash.
    fn is_form(&self) -> bool {
        let kind = self.header("content-type").split(';').next().unwrap_or_default().trim();
        self.body.is_empty() || kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
    }

    /// Signs it as Twilio would, with the hash of a body that is no form in its URL.
    fn sign(&mut self) {
        if !self.is_form() {
            let hash: Vec<String> =
                Sha256::digest(&self.body).iter().map(|byte| format!("{byte:02x}")).collect();
            let path = self.url.split(['?', '#']).next().unwrap_or_default();
            self.url = format!("{path}?bodySHA256={}", hash.concat());
        }
        let signature = self.signatures().swap_remove(0);
        self.set("x-twilio-signature", &signature);
    }

    /// All that the holder of a key may have written, the auth token's first.
    fn signatures(&self) -> Vec<String> {
        let mut params: Vec<(String, String)> = Vec::new();
        if self.is_form() {
            params.extend(form_urlencoded::parse(&self.body).into_owned());
            params.sort();
            params.dedup();
        }
        let after = self.url.strip_prefix(BASE).unwrap_or_default();
        let mut signatures = Vec::new();
        for key in [TOKEN, SHARED] {
            for url in [format!("{BASE}{after}"), format!("{BASE}:443{after}")] {
                let text: String = params.iter().flat_map(|(name, value)| [name.as_str(), value]).collect();
                let signed = format!("{url}{text}");
                signatures.push(hmac::<Hmac<Sha1>>(key, &signed));
                signatures.push(hmac::<Hmac<Sha256>>(key, &signed));
            }
        }
        signatures
    }

    /// Whatever is changed in a request that is signed, it is refused.
    fn changes_are_noticed(&self) {
        let mut signature = self.clone();
        let mut shown = self.header("x-twilio-signature").to_owned().into_bytes();
        shown[0] = if shown[0] == b'A' { b'B' } else { b'A' };
        signature.set("x-twilio-signature", std::str::from_utf8(&shown).unwrap());
        let mut url = self.clone();
        url.url.push('x');
        let mut body = self.clone();
        body.body.extend(b"&added=1");
        let was_there = form_urlencoded::parse(&self.body).any(|(name, _)| name == "added");
        assert!(signature.is_forged() && url.is_forged(), "another signature or URL was taken");
        assert!(was_there || body.is_forged(), "another body was taken");
    }
}

fn hmac<M: Mac + KeyInit>(key: &str, text: &str) -> String {
    let mut mac = <M as KeyInit>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}
