//! Messages from phones and opt-outs by Africa's Talking: only at the secret URL, and what they say.

use domain::consent::Extent;
use domain::inbound::{Inbound, ListedOptOut, Origin};
use domain::secret::Body;
use proptest::prelude::*;
use providers::provider::{CallbackError, CallbackKind};
use serde_json::json;

use crate::fixture::{AMINA, CALLBACK_SECRET, Callback, NOW, africastalking, msisdn};

/// As in the tests of an open gateway that talks to them (nyaruka/courier).
const SAMPLE: &str = "linkId=03090445075804249226&text=Msg&to=21512&id=ec9adc86-51d5-4bc8-8eb0-d8ab0bb53dc3\
    &date=2017-05-03T06%3A04%3A45Z&from=%2B254712345678";

fn callback(kind: CallbackKind, body: impl Into<Vec<u8>>) -> Callback {
    let url = format!("https://sms.example.co.ke/webhooks/africastalking/incoming/{CALLBACK_SECRET}");
    Callback { kind, token: Some(CALLBACK_SECRET.to_owned()), ..Callback::form(url, body) }
}

fn read(callback: &Callback) -> Result<Inbound, CallbackError> {
    africastalking("http://127.0.0.1:1", json!({})).parse_incoming(&callback.request())
}

fn parse(body: impl Into<Vec<u8>>) -> Result<Inbound, CallbackError> {
    read(&callback(CallbackKind::Incoming, body))
}

fn opt_out(body: &str) -> Result<ListedOptOut, CallbackError> {
    let callback = callback(CallbackKind::OptOut, body);
    africastalking("http://127.0.0.1:1", json!({})).parse_opt_out(&callback.request())
}

#[test]
fn message_is_read_with_who_wrote_and_to_whom() {
    let inbound = parse(SAMPLE).unwrap();
    assert_eq!(inbound.provider.as_str(), "africastalking");
    assert_eq!(inbound.provider_message_id.as_str(), "ec9adc86-51d5-4bc8-8eb0-d8ab0bb53dc3");
    assert_eq!(inbound.from, Origin::Phone(msisdn(AMINA)));
    assert_eq!((inbound.to.as_str(), inbound.body.expose()), ("21512", "Msg"));
    assert_eq!((inbound.segments, inbound.understood, inbound.received_at), (None, None, NOW));
}

#[test]
fn what_may_be_missing_is_empty_and_numbers_come_in_three_forms() {
    let of = |from: &str| parse(format!("id=1&to=21512&from={from}")).unwrap();
    assert_eq!(of("%2B254712345678").body, Body::new(""));
    // With the plus left as it is, which a form reads as a space, and without it.
    for form in ["%2B254712345678", "+254712345678", "254712345678"] {
        assert_eq!(of(form).from, Origin::Phone(msisdn(AMINA)), "{form}");
    }
    for name in ["MTN", "22345", "0712345678"] {
        assert_eq!(of(name).from, Origin::Other(Body::new(name)));
    }
}

#[test]
fn odd_encodings_are_read_as_far_as_they_can_be() {
    let text =
        |encoded: &[u8]| parse([b"id=1&to=21512&from=%2B254712345678&text=", encoded].concat()).unwrap().body;
    assert_eq!(text(b"Niko+tayari%21"), Body::new("Niko tayari!"));
    assert_eq!(text("NDIO 👍🏽".as_bytes()), Body::new("NDIO 👍🏽"));
    assert_eq!(text(b"a%00b"), Body::new("a\0b"));
    // Latin 1, and a sign cut in half: what can't be read is marked, and the raw callback has it.
    assert_eq!(text(b"caf%E9"), Body::new("caf\u{fffd}"));
    assert_eq!(text(b"%F0%9F%91"), Body::new("\u{fffd}"));
    assert_eq!(text(b"100%25+%zz"), Body::new("100% %zz"));
    assert_eq!(text("שלום\u{200f}".as_bytes()), Body::new("שלום\u{200f}"));
    assert_eq!(text("é".repeat(700).as_bytes()), Body::new("é".repeat(700)));
}

#[test]
fn message_at_another_url_is_forged_and_one_without_an_id_malformed() {
    for token in [None, Some("wrong-secret-wrong-secret".to_owned())] {
        let forged = Callback { token, ..callback(CallbackKind::Incoming, SAMPLE) };
        assert!(matches!(read(&forged), Err(CallbackError::Forged(_))));
        let provider = africastalking("http://127.0.0.1:1", json!({}));
        assert!(matches!(provider.parse_opt_out(&forged.request()), Err(CallbackError::Forged(_))));
    }
    for body in ["", "id=1", "id=1&to=2", "to=2&from=%2B254712345678", "id=%00&to=2&from=3", "{\"id\":1}"] {
        assert!(matches!(parse(body), Err(CallbackError::Malformed(_))), "{body}");
    }
}

#[test]
fn opt_out_names_who_and_of_which_sender() {
    let listed = opt_out("senderId=SAFESHOP&phoneNumber=%2B254712345678").unwrap();
    assert_eq!((listed.number, listed.received_at), (msisdn(AMINA), NOW));
    assert_eq!(listed.sender.unwrap().as_str(), "SAFESHOP");
    assert_eq!(opt_out("phoneNumber=%2B254712345678").unwrap().sender, None);
    for body in ["", "senderId=SAFESHOP", "senderId=SAFESHOP&phoneNumber=MTN"] {
        assert!(matches!(opt_out(body), Err(CallbackError::Malformed(_))), "{body}");
    }
}

#[test]
fn its_refusal_of_a_receiver_is_about_promotions_and_its_answer_has_no_reply() {
    let provider = africastalking("http://127.0.0.1:1", json!({}));
    assert_eq!(provider.refusal_extent(), Extent::Promotional);
    assert!(!provider.answers_carry_replies());
    assert_eq!(provider.answer_incoming(None).body, "");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_is_read_as_it_was_written(text in any::<String>()) {
        let encoded: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
        let read = parse(format!("id=1&to=21512&from=%2B254712345678&text={encoded}")).unwrap();
        prop_assert_eq!(read.body, Body::new(text));
    }
}
