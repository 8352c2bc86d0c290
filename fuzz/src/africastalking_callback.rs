//! Delivery reports of Africa's Talking, which bear no signature: the secret in the URL and the address decide.
//!
//! The first line is the secret that the caller showed, the second its address, the rest is the form.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use http::HeaderMap;
use providers::SmsProvider;
use providers::provider::{CallbackError, CallbackKind, CallbackRequest};
use serde_json::json;

const SECRET: &str = "0123456789-abcdef_ABC";

static PROVIDER: LazyLock<Arc<dyn SmsProvider>> = LazyLock::new(|| {
    let keys = json!({
        "api_key": "atsk_1234",
        "username": "safeshop",
        "callback_secret": SECRET,
        "callback_addresses": ["196.201.214.0/24"],
    });
    let registration = providers::africastalking::REGISTRATION;
    let config = registration.configure(keys.as_object().unwrap().clone(), None).unwrap();
    (registration.create)(config).unwrap()
});

pub fn check(data: &[u8]) {
    let (token, rest) = super::first_line(data);
    let (caller, body) = super::first_line(rest);
    let caller: Option<IpAddr> = caller.parse().ok();
    let request = CallbackRequest {
        kind: CallbackKind::Status,
        url: "https://sms.example.co.ke/webhooks/africastalking/status/x",
        token: Some(token),
        caller,
        headers: &HeaderMap::new(),
        body,
        received_at: super::NOW,
    };
    let [incoming, opt_out] =
        [CallbackKind::Incoming, CallbackKind::OptOut].map(|kind| CallbackRequest { kind, ..request });
    let (from_phone, listed) = (PROVIDER.parse_incoming(&incoming), PROVIDER.parse_opt_out(&opt_out));
    if let Ok(inbound) = &from_phone {
        super::is_short_address(inbound);
    }
    let said = PROVIDER.parse_callback(&request);
    let is_forged = [
        matches!(said, Err(CallbackError::Forged(_))),
        matches!(from_phone, Err(CallbackError::Forged(_))),
        matches!(listed, Err(CallbackError::Forged(_))),
    ];
    assert!(is_forged.iter().all(|it| *it == is_forged[0]), "one is believed where another is not");
    if !matches!(said, Err(CallbackError::Forged(_))) {
        let is_listed = caller.is_some_and(|caller| match caller.to_canonical() {
            IpAddr::V4(caller) => caller.octets().starts_with(&[196, 201, 214]),
            IpAddr::V6(_) => false,
        });
        assert!(token == SECRET && is_listed, "somebody else was believed");
    }
    for receipt in said.unwrap_or_default() {
        super::is_kept_short(&receipt);
        assert_eq!((receipt.message_id, receipt.attempt), (None, None), "it can name no message of ours");
    }
}
