//! Status callbacks of Twilio: who signed them, and what they say.

use std::collections::BTreeSet;

use base64::Engine as _;
use domain::attempt::{Failure, Reason};
use domain::receipt::ReceiptStatus;
use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use providers::provider::{CallbackError, CallbackKind};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::fixture::{
    ACCOUNT_SID, AMINA, AUTH_TOKEN, Callback, MESSAGE_SID, NOW, message_id, msisdn, twilio,
};

const URL: &str = "https://sms.example.co.ke/webhooks/twilio/status";

/// Computed with the request validator of twilio 9.13.0 for Python.
#[derive(Deserialize)]
struct Vectors {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    id: String,
    url: String,
    content_type: String,
    body: String,
    signature: String,
    algorithm: String,
    key: String,
    should_validate: bool,
}

fn parse(change: Value, callback: &Callback) -> Result<Vec<domain::receipt::Receipt>, CallbackError> {
    twilio("http://127.0.0.1:1", change).parse_callback(&callback.request())
}

/// By the account as it is.
fn read(callback: &Callback) -> Result<Vec<domain::receipt::Receipt>, CallbackError> {
    parse(json!({}), callback)
}

fn is_forged<T>(result: &Result<T, CallbackError>) -> bool {
    matches!(result, Err(CallbackError::Forged(_)))
}

/// A second opinion on what is signed: nothing here is shared with the adapter.
fn sign(key: &str, url: &str, params: &[(String, String)]) -> String {
    let distinct: BTreeSet<(&[u8], &[u8])> =
        params.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    let signed =
        distinct.iter().fold(url.as_bytes().to_vec(), |sum, (name, value)| [&sum, *name, *value].concat());
    let mac = Hmac::<sha1::Sha1>::new_from_slice(key.as_bytes()).unwrap().chain_update(signed);
    base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes())
}

fn form(params: &[(String, String)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish()
}

pub(crate) fn params(params: &[(&str, &str)]) -> Vec<(String, String)> {
    params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The parameters of a status callback.
fn status_params(status: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut all = params(&[
        ("MessageSid", MESSAGE_SID),
        ("SmsSid", MESSAGE_SID),
        ("MessageStatus", status),
        ("SmsStatus", status),
        ("To", AMINA),
        ("From", "SAFESHOP"),
        ("AccountSid", ACCOUNT_SID),
        ("ApiVersion", "2010-04-01"),
    ]);
    all.extend(params(more));
    all
}

pub(crate) fn signed(url: &str, params: &[(String, String)]) -> Callback {
    Callback::form(url, form(params)).header("x-twilio-signature", &sign(AUTH_TOKEN, url, params))
}

#[test]
fn all_vectors_of_the_official_library_agree() {
    let vectors: Vectors =
        serde_json::from_str(include_str!("../vectors/twilio_signature_vectors.json")).unwrap();
    assert_eq!(vectors.vectors.len(), 21);
    for vector in vectors.vectors {
        let mut callback = Callback::form(vector.url, vector.body)
            .header("content-type", &vector.content_type)
            .header("x-twilio-signature", &vector.signature);
        let keys = if vector.algorithm == "HMAC_SHA1" {
            json!({"auth_token": vector.key})
        } else {
            let settings = format!("key=webhooks_sharedkey_123,algorithm={}", vector.algorithm);
            callback = callback.header("x-twilio-webhooks-signature-settings", &settings);
            json!({"shared_key_id": "webhooks_sharedkey_123", "shared_key_secret": vector.key})
        };
        let result = parse(keys, &callback);
        assert_eq!(!is_forged(&result), vector.should_validate, "{}: {result:?}", vector.id);
    }
}

#[test]
fn delivered_message_is_found_by_our_id() {
    let url = format!("{URL}?m={}&a=2", message_id());
    let receipts =
        parse(json!({}), &signed(&url, &status_params("delivered", &[("RawDlrDoneDate", "2608191430")])));
    let receipt = receipts.unwrap().remove(0);
    assert_eq!(receipt.provider.as_str(), "twilio");
    assert_eq!(receipt.provider_message_id.as_str(), MESSAGE_SID);
    assert_eq!(receipt.message_id, Some(message_id()));
    assert_eq!(receipt.receiver, Some(msisdn(AMINA)));
    assert_eq!(receipt.provider_status, "delivered");
    assert_eq!(receipt.status, Some(ReceiptStatus::Delivered));
    assert_eq!((receipt.failure, receipt.network_code), (None, None));
    assert_eq!(receipt.received_at, NOW);
}

#[test]
fn message_id_that_is_missing_or_broken_is_left_out() {
    for url in
        [URL.to_owned(), format!("{URL}?m=blk_1"), format!("{URL}?m="), format!("{URL}?x={}", message_id())]
    {
        let receipt = parse(json!({}), &signed(&url, &status_params("sent", &[]))).unwrap().remove(0);
        assert_eq!(receipt.message_id, None, "{url}");
    }
}

#[test]
fn words_for_a_status_are_known() {
    let table = [
        ("accepted", Some(ReceiptStatus::Sent)),
        ("scheduled", Some(ReceiptStatus::Sent)),
        ("queued", Some(ReceiptStatus::Sent)),
        ("sending", Some(ReceiptStatus::Sent)),
        ("sent", Some(ReceiptStatus::Sent)),
        ("delivered", Some(ReceiptStatus::Delivered)),
        ("read", Some(ReceiptStatus::Delivered)),
        ("undelivered", Some(ReceiptStatus::Undelivered)),
        ("failed", Some(ReceiptStatus::Failed)),
        ("canceled", Some(ReceiptStatus::Failed)),
        ("partially_delivered", None),
        ("received", None),
        ("Delivered", None),
        ("teleported", None),
    ];
    for (word, status) in table {
        let receipt = parse(json!({}), &signed(URL, &status_params(word, &[]))).unwrap().remove(0);
        assert_eq!((receipt.provider_status.as_str(), receipt.status), (word, status));
    }
}

#[test]
fn failure_has_its_reason() {
    let table = [
        ("undelivered", Some("30003"), Some(Failure::with_code(Reason::Unreachable, "30003"))),
        ("undelivered", Some("30005"), Some(Failure::with_code(Reason::InvalidRecipient, "30005"))),
        ("undelivered", Some("30006"), Some(Failure::with_code(Reason::InvalidRecipient, "30006"))),
        ("undelivered", Some("30007"), Some(Failure::with_code(Reason::Content, "30007"))),
        ("undelivered", Some("30008"), Some(Failure::with_code(Reason::Unknown, "30008"))),
        ("undelivered", Some("30018"), Some(Failure::with_code(Reason::SenderNotAllowed, "30018"))),
        ("failed", Some("30001"), Some(Failure::with_code(Reason::RateLimited, "30001"))),
        ("failed", Some("30002"), Some(Failure::with_code(Reason::Balance, "30002"))),
        ("failed", Some("30036"), Some(Failure::with_code(Reason::Expired, "30036"))),
        ("failed", Some("21610"), Some(Failure::with_code(Reason::OptedOut, "21610"))),
        ("failed", Some("63018"), Some(Failure::with_code(Reason::RateLimited, "63018"))),
        ("failed", Some("39999"), Some(Failure::with_code(Reason::Unknown, "39999"))),
        ("failed", Some("+254712345678 is bad"), Some(Failure::new(Reason::Unknown))),
        ("failed", None, Some(Failure::new(Reason::Unknown))),
        ("delivered", Some("30003"), None),
    ];
    for (word, code, failure) in table {
        let more: Vec<_> = code.map(|code| ("ErrorCode", code)).into_iter().collect();
        let receipt = parse(json!({}), &signed(URL, &status_params(word, &more))).unwrap().remove(0);
        assert_eq!(receipt.failure, failure, "{word} {code:?}");
    }
}

#[test]
fn callback_by_get_has_its_parameters_in_the_url() {
    let url = format!("{URL}?m={}&{}", message_id(), form(&status_params("sent", &[])));
    let callback = Callback { headers: http::HeaderMap::new(), ..Callback::form(url.as_str(), "") };
    let receipt = parse(json!({}), &callback.header("x-twilio-signature", &sign(AUTH_TOKEN, &url, &[])));
    assert_eq!(receipt.unwrap().remove(0).message_id, Some(message_id()));
}

#[test]
fn callback_without_a_right_signature_is_forged() {
    let sent = status_params("sent", &[]);
    let unsigned = Callback::form(URL, form(&sent));
    assert_eq!(parse(json!({}), &unsigned), Err(CallbackError::Forged("no signature")));
    let by_another =
        Callback::form(URL, form(&sent)).header("x-twilio-signature", &sign("other", URL, &sent));
    assert_eq!(parse(json!({}), &by_another), Err(CallbackError::Forged("wrong signature")));
    let empty = Callback::form(URL, form(&sent)).header("x-twilio-signature", "");
    assert!(is_forged(&parse(json!({}), &empty)));
}

#[test]
fn callback_is_forged_where_no_secret_is_set() {
    let sent = status_params("sent", &[]);
    let by_key =
        json!({"auth_token": "", "api_key_sid": "SK0123456789abcdef0123456789abcdef", "api_key_secret": "s"});
    assert!(is_forged(&parse(by_key.clone(), &signed(URL, &sent))));
    // Not even where it is signed with the API key's secret, or with nothing.
    for key in ["s", ""] {
        let callback = Callback::form(URL, form(&sent)).header("x-twilio-signature", &sign(key, URL, &sent));
        assert!(is_forged(&parse(by_key.clone(), &callback)));
    }
}

#[test]
fn both_auth_tokens_count_while_they_are_rotated() {
    let sent = status_params("sent", &[]);
    let by_old = Callback::form(URL, form(&sent)).header("x-twilio-signature", &sign("old", URL, &sent));
    assert!(is_forged(&parse(json!({}), &by_old)));
    assert!(parse(json!({"auth_token_previous": "old"}), &by_old).is_ok());
    assert!(parse(json!({"auth_token_previous": "old"}), &signed(URL, &sent)).is_ok());
}

#[test]
fn callback_of_another_account_is_forged() {
    let mut sent = status_params("sent", &[]);
    sent[6].1 = "AC00000000000000000000000000000000".to_owned();
    assert_eq!(parse(json!({}), &signed(URL, &sent)), Err(CallbackError::Forged("for another account")));
}

#[test]
fn shared_key_counts_only_where_it_is_the_one_set() {
    let sent = status_params("sent", &[]);
    let keys = json!({"shared_key_id": "webhooks_sharedkey_1", "shared_key_secret": "shared"});
    let by_shared = |settings: &str| {
        Callback::form(URL, form(&sent))
            .header("x-twilio-signature", &sign("shared", URL, &sent))
            .header("x-twilio-webhooks-signature-settings", settings)
    };
    let right = by_shared("key=webhooks_sharedkey_1,algorithm=HMAC_SHA1");
    assert!(parse(keys.clone(), &right).is_ok());
    assert!(is_forged(&parse(json!({}), &right)));
    for wrong in [
        "key=webhooks_sharedkey_2,algorithm=HMAC_SHA1",
        "algorithm=HMAC_SHA1",
        "key=webhooks_sharedkey_1,algorithm=NONE",
        "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256",
        "key=webhooks_sharedkey_1",
        "",
    ] {
        assert!(is_forged(&parse(keys.clone(), &by_shared(wrong))), "{wrong}");
    }
}

#[test]
fn body_that_is_no_form_needs_its_hash_in_the_url() {
    let body = r#"{"MessageSid":"SM1"}"#;
    let hash = format!("{:x}", bytes::Bytes::copy_from_slice(&Sha256::digest(body)));
    let post = |url: &str, body: &str| {
        Callback::form(url, body)
            .header("content-type", "application/json")
            .header("x-twilio-signature", &sign(AUTH_TOKEN, url, &[]))
    };
    let hashed = format!("{URL}?bodySHA256={hash}");
    // Twilio's, but not what a status callback is.
    assert_eq!(parse(json!({}), &post(&hashed, body)), Err(CallbackError::Malformed("not a form")));
    assert!(is_forged(&parse(json!({}), &post(&hashed, "{}"))));
    assert!(is_forged(&parse(json!({}), &post(URL, body))));
    assert!(is_forged(&parse(json!({}), &post(&format!("{URL}?bodySHA256="), body))));
}

#[test]
fn signed_callback_without_what_it_needs_is_malformed() {
    for missing in ["AccountSid", "MessageSid", "MessageStatus"] {
        let sent: Vec<_> =
            status_params("sent", &[]).into_iter().filter(|(name, _)| name != missing).collect();
        let result = parse(json!({}), &signed(URL, &sent));
        assert!(matches!(result, Err(CallbackError::Malformed(_))), "{missing}: {result:?}");
    }
}

#[test]
fn what_is_no_report_is_not_read_as_one() {
    for kind in [CallbackKind::Incoming, CallbackKind::OptOut] {
        let callback = Callback { kind, ..signed(URL, &status_params("received", &[])) };
        assert_eq!(parse(json!({}), &callback), Err(CallbackError::Unsupported));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn signature_of_any_parameters_verifies_and_no_other_does(
        more in proptest::collection::vec((".{0,6}", ".{0,12}"), 0..6),
        flip in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let mut all = status_params("sent", &[]);
        all.extend(more.into_iter().filter(|(name, _)| name != "AccountSid"));
        let callback = signed(URL, &all);
        prop_assert!(read(&callback).is_ok());

        let mut signature = sign(AUTH_TOKEN, URL, &all).into_bytes();
        let place = flip.index(signature.len());
        signature[place] ^= 1 << bit;
        if let Ok(signature) = http::HeaderValue::from_bytes(&signature) {
            let mut forged = signed(URL, &all);
            forged.headers.insert("x-twilio-signature", signature);
            prop_assert!(is_forged(&read(&forged)));
        }

        let mut forged = signed(URL, &all);
        let decoded = |body: &[u8]| -> BTreeSet<(String, String)> {
            form_urlencoded::parse(body).into_owned().collect()
        };
        let before = decoded(&forged.body);
        let place = flip.index(forged.body.len());
        forged.body[place] ^= 1 << bit;
        // Some flips change the letter and not the meaning: %2b for %2B.
        if decoded(&forged.body) != before {
            prop_assert!(is_forged(&read(&forged)));
        }
    }

    #[test]
    fn any_callback_is_read_or_refused(
        url in ".{0,60}",
        body in proptest::collection::vec(any::<u8>(), 0..200),
        content_type in prop::sample::select(vec!["application/x-www-form-urlencoded", "application/json", "x"]),
        signature in "[ -~]{0,40}",
    ) {
        let callback = Callback::form(url, body)
            .header("content-type", content_type)
            .header("x-twilio-signature", &signature);
        prop_assert!(read(&callback).is_err());
    }

    #[test]
    fn any_signed_callback_is_read_or_refused(url in "https://[a-z:@\\[\\]0-9]{0,20}[/?#&=m\\PC]{0,30}", body in ".{0,200}") {
        let pairs: Vec<(String, String)> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        let callback = Callback::form(url.as_str(), body)
            .header("x-twilio-signature", &sign(AUTH_TOKEN, &url, &pairs));
        let _ = read(&callback);
    }
}
