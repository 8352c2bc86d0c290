//! Delivery reports of Africa's Talking: only at the secret URL, and what they say.

use domain::attempt::{Failure, Reason};
use domain::receipt::{Receipt, ReceiptStatus};
use proptest::prelude::*;
use providers::provider::{CallbackError, CallbackKind};
use serde_json::{Value, json};

use crate::fixture::{AMINA, CALLBACK_SECRET, Callback, NOW, africastalking, msisdn};

const ID: &str = "ATXid_dda018a640edfcc5d2ce455de3e4a6e7";

fn report(body: impl Into<Vec<u8>>) -> Callback {
    let url = format!("https://sms.example.co.ke/webhooks/africastalking/status/{CALLBACK_SECRET}");
    Callback { token: Some(CALLBACK_SECRET.to_owned()), ..Callback::form(url, body) }
}

fn parse_with(change: Value, callback: &Callback) -> Result<Vec<Receipt>, CallbackError> {
    africastalking("http://127.0.0.1:1", change).parse_callback(&callback.request())
}

fn parse(body: &str) -> Result<Receipt, CallbackError> {
    parse_with(json!({}), &report(body)).map(|mut receipts| receipts.remove(0))
}

#[test]
fn delivered_message_is_told_by_its_id() {
    let receipt =
        parse(&format!("id={ID}&status=Success&phoneNumber=%2B254712345678&networkCode=63902")).unwrap();
    assert_eq!(receipt.provider.as_str(), "africastalking");
    assert_eq!(receipt.provider_message_id.as_str(), ID);
    assert_eq!(receipt.message_id, None);
    assert_eq!(receipt.receiver, Some(msisdn(AMINA)));
    assert_eq!(receipt.provider_status, "Success");
    assert_eq!(receipt.status, Some(ReceiptStatus::Delivered));
    assert_eq!(receipt.failure, None);
    assert_eq!(receipt.network_code.as_deref(), Some("63902"));
    assert_eq!(receipt.received_at, NOW);
}

#[test]
fn words_for_a_status_are_known() {
    let table = [
        ("Sent", Some(ReceiptStatus::Sent), None),
        ("Submitted", Some(ReceiptStatus::Sent), None),
        ("Buffered", Some(ReceiptStatus::Sent), None),
        ("Success", Some(ReceiptStatus::Delivered), None),
        ("Rejected", Some(ReceiptStatus::Failed), Some(Reason::Unknown)),
        ("Failed", Some(ReceiptStatus::Undelivered), Some(Reason::Unknown)),
        ("Expired", Some(ReceiptStatus::Undelivered), Some(Reason::Expired)),
        ("AbsentSubscriber", Some(ReceiptStatus::Undelivered), Some(Reason::Unreachable)),
        ("success", None, None),
        ("Teleported", None, None),
    ];
    for (word, status, reason) in table {
        let receipt = parse(&format!("id={ID}&status={word}")).unwrap();
        assert_eq!((receipt.provider_status.as_str(), receipt.status), (word, status));
        assert_eq!(receipt.failure, reason.map(Failure::new), "{word}");
    }
}

#[test]
fn failure_has_its_reason() {
    let table = [
        ("UserInBlackList", Reason::OptedOut),
        ("UserInBlacklist", Reason::OptedOut),
        ("DoNotDisturbRejection", Reason::OptedOut),
        ("UserDoesNotExist", Reason::InvalidRecipient),
        ("NotNetworkSubcriber", Reason::InvalidRecipient),
        ("NotNetworkSubscriber", Reason::InvalidRecipient),
        ("UserIsInactive", Reason::InvalidRecipient),
        ("UserAccountSuspended", Reason::InvalidRecipient),
        ("DeliveryFailure", Reason::Unreachable),
        ("InsufficientCredit", Reason::Config),
        ("InvalidLinkId", Reason::Config),
        ("UserNotSubscribedToProduct", Reason::Config),
        ("SomethingNew", Reason::Unknown),
    ];
    for (name, reason) in table {
        for status in ["Failed", "Rejected"] {
            let receipt =
                parse(&format!("id={ID}&status={status}&failureReason={name}&retryCount=0")).unwrap();
            assert_eq!(receipt.failure, Some(Failure::with_code(reason, name)), "{name}");
        }
    }
    let receipt = parse(&format!("id={ID}&status=Expired&failureReason=SomethingNew")).unwrap();
    assert_eq!(receipt.failure, Some(Failure::with_code(Reason::Expired, "SomethingNew")));
    // A sentence is no code, and may hold the number.
    let receipt = parse(&format!("id={ID}&status=Failed&failureReason=No+phone+%2B254712345678")).unwrap();
    assert_eq!(receipt.failure, Some(Failure::new(Reason::Unknown)));
}

#[test]
fn report_is_taken_whatever_is_left_out_or_added() {
    let receipt = parse(&format!("id={ID}&status=Sent&phoneNumber=MTN&networkCode=&new=1")).unwrap();
    assert_eq!((receipt.receiver, receipt.network_code), (None, None));
}

#[test]
fn report_without_the_secret_is_forged() {
    let body = format!("id={ID}&status=Success");
    for token in [None, Some(""), Some("0123456789-abcdef_ABD"), Some("0123456789-abcdef_AB"), Some("x")] {
        let callback = Callback { token: token.map(str::to_owned), ..report(body.as_str()) };
        let result = parse_with(json!({}), &callback);
        assert!(matches!(result, Err(CallbackError::Forged(_))), "{token:?}: {result:?}");
    }
}

#[test]
fn every_report_is_forged_where_no_secret_is_set() {
    let no_secret = json!({"callback_secret": ""});
    for token in [None, Some(""), Some(CALLBACK_SECRET)] {
        let callback =
            Callback { token: token.map(str::to_owned), ..report(format!("id={ID}&status=Success")) };
        assert!(matches!(parse_with(no_secret.clone(), &callback), Err(CallbackError::Forged(_))));
    }
}

#[test]
fn report_without_an_id_or_a_status_is_malformed() {
    for body in ["", "id=", "status=Success", "id=ATXid_1", "id=None&status=Success", "id=&status=Success"] {
        assert!(matches!(parse(body), Err(CallbackError::Malformed(_))), "{body}");
    }
    let long = "x".repeat(129);
    assert!(matches!(parse(&format!("id={long}&status=Success")), Err(CallbackError::Malformed(_))));
}

#[test]
fn what_is_no_report_is_not_read_as_one() {
    for kind in [CallbackKind::Incoming, CallbackKind::OptOut] {
        let callback = Callback { kind, ..report("id=1&text=Habari") };
        assert_eq!(parse_with(json!({}), &callback), Err(CallbackError::Unsupported));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_report_is_read_or_refused(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        fields in proptest::collection::vec(("id|status|phoneNumber|networkCode|failureReason", ".{0,80}"), 0..6),
    ) {
        let _ = parse_with(json!({}), &report(body));
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        if let Ok(receipts) = parse_with(json!({}), &report(form)) {
            for receipt in receipts {
                prop_assert!(receipt.provider_status.chars().count() <= 64);
                prop_assert!(receipt.network_code.is_none_or(|code| code.len() <= 8));
            }
        }
    }
}

#[test]
fn where_addresses_are_listed_only_those_may_report() {
    let listed = json!({"callback_addresses": ["196.201.214.0/24", "196.201.213.44"]});
    let from = |caller: Option<&str>| {
        let caller = caller.map(|address| address.parse().unwrap());
        let callback = Callback { caller, ..report(format!("id={ID}&status=Success")) };
        parse_with(listed.clone(), &callback)
    };
    assert!(from(Some("196.201.214.9")).is_ok());
    assert!(from(Some("196.201.213.44")).is_ok());
    for stranger in [Some("196.201.213.45"), Some("127.0.0.1"), None] {
        assert!(matches!(from(stranger), Err(CallbackError::Forged(_))), "{stranger:?}");
    }
}
