//! Messages from phones by Twilio: who signed them, what they say, and what they are answered.

use domain::consent::Keyword;
use domain::inbound::{Inbound, Origin};
use domain::secret::Body;
use proptest::prelude::*;
use providers::provider::{CallbackError, CallbackKind};
use serde_json::json;

use crate::fixture::{ACCOUNT_SID, AMINA, Callback, MESSAGE_SID, NOW, msisdn, twilio};
use crate::twilio_callback::{params, signed};

const URL: &str = "https://sms.example.co.ke/webhooks/twilio/incoming";

/// As Twilio posts it, with what is there and empty.
fn incoming(body: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut all = params(&[
        ("ToCountry", "KE"),
        ("ToState", ""),
        ("SmsMessageSid", MESSAGE_SID),
        ("NumMedia", "0"),
        ("FromZip", ""),
        ("SmsSid", MESSAGE_SID),
        ("SmsStatus", "received"),
        ("Body", body),
        ("To", "+254709123456"),
        ("NumSegments", "1"),
        ("MessageSid", MESSAGE_SID),
        ("AccountSid", ACCOUNT_SID),
        ("ApiVersion", "2010-04-01"),
    ]);
    let has_sender = more.iter().any(|(name, _)| *name == "From");
    all.extend(params(&[("From", AMINA)]).into_iter().filter(|_| !has_sender));
    let more = params(more);
    all.retain(|(name, _)| more.iter().all(|(other, _)| other != name));
    all.extend(more);
    all
}

fn read(callback: &Callback) -> Result<Inbound, CallbackError> {
    let callback = Callback {
        kind: CallbackKind::Incoming,
        url: callback.url.clone(),
        token: None,
        caller: None,
        headers: callback.headers.clone(),
        body: callback.body.clone(),
    };
    twilio("http://127.0.0.1:1", json!({})).parse_incoming(&callback.request())
}

fn parse(body: &str, more: &[(&str, &str)]) -> Result<Inbound, CallbackError> {
    read(&signed(URL, &incoming(body, more)))
}

#[test]
fn message_is_read_with_who_wrote_and_to_whom() {
    let inbound = parse("Habari 👋 50% off & more?", &[]).unwrap();
    assert_eq!(inbound.provider.as_str(), "twilio");
    assert_eq!(inbound.provider_message_id.as_str(), MESSAGE_SID);
    assert_eq!(inbound.from, Origin::Phone(msisdn(AMINA)));
    assert_eq!(inbound.to, "+254709123456");
    assert_eq!(inbound.body, Body::new("Habari 👋 50% off & more?"));
    assert_eq!((inbound.segments, inbound.understood, inbound.received_at), (Some(1), None, NOW));
}

#[test]
fn text_of_any_kind_is_read_character_for_character() {
    let long = "Nakubali. ".repeat(160);
    for text in ["", " ", "\0", "a\0b", "שלום עולם", "\u{202e}مرحبا", "👩‍👩‍👧‍👦", "ⓢⓣⓞⓟ", "\r\n", &long]
    {
        assert_eq!(parse(text, &[]).unwrap().body, Body::new(text), "{text:?}");
    }
    assert_eq!(parse("x", &[("NumSegments", "10")]).unwrap().segments, Some(10));
    assert_eq!(parse("x", &[("NumSegments", "many")]).unwrap().segments, None);
}

#[test]
fn what_twilio_took_it_for_is_heard() {
    for (word, keyword) in [("STOP", Keyword::Stop), ("START", Keyword::Start), ("HELP", Keyword::Help)] {
        assert_eq!(parse("ARRET", &[("OptOutType", word)]).unwrap().understood, Some(keyword));
    }
    assert_eq!(parse("x", &[("OptOutType", "OTHER")]).unwrap().understood, None);
}

#[test]
fn who_has_no_phone_number_is_kept_as_written() {
    for name in ["MTN", "22345", "whatsapp:+254712345678", "+1"] {
        assert_eq!(parse("x", &[("From", name)]).unwrap().from, Origin::Other(Body::new(name)));
    }
}

#[test]
fn what_twilio_did_not_sign_is_forged() {
    let good = signed(URL, &incoming("STOP", &[]));
    let changed =
        Callback { body: [&good.body[..], b"&Extra=1"].concat(), ..signed(URL, &incoming("STOP", &[])) };
    let elsewhere = Callback { url: format!("{URL}/"), ..signed(URL, &incoming("STOP", &[])) };
    let unsigned = Callback::form(URL, good.body.clone());
    let other_account =
        signed(URL, &incoming("STOP", &[("AccountSid", "AC00000000000000000000000000000009")]));
    for forged in [changed, elsewhere, unsigned, other_account] {
        assert!(matches!(read(&forged), Err(CallbackError::Forged(_))));
    }
    assert!(read(&good).is_ok());
}

#[test]
fn message_without_what_it_needs_is_malformed() {
    for missing in ["AccountSid", "MessageSid", "From", "To"] {
        let sent: Vec<_> = incoming("x", &[]).into_iter().filter(|(name, _)| name != missing).collect();
        assert!(matches!(read(&signed(URL, &sent)), Err(CallbackError::Malformed(_))), "{missing}");
    }
    for id in ["SM\0", &"x".repeat(129)] {
        assert!(matches!(parse("x", &[("MessageSid", id)]), Err(CallbackError::Malformed(_))));
    }
}

#[test]
fn answer_is_twiml_with_a_reply_or_without() {
    let provider = twilio("http://127.0.0.1:1", json!({}));
    let empty = provider.answer_incoming(None);
    assert_eq!(empty.content_type, "text/xml; charset=utf-8");
    assert_eq!(empty.body, r#"<?xml version="1.0" encoding="UTF-8"?><Response/>"#);
    let reply = provider.answer_incoming(Some(&Body::new("A & B <c> \"d\"\0\u{8}\u{ffff} 👍")));
    assert_eq!(
        reply.body,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Message>A &amp; B &lt;c&gt; \"d\" 👍</Message></Response>"
    );
    assert!(!format!("{reply:?}").contains("👍"));
}

#[test]
fn messages_that_name_no_sender_show_the_one_of_the_settings() {
    assert_eq!(twilio("http://127.0.0.1:1", json!({})).default_sender().unwrap().as_str(), "+15017122661");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn reply_is_text_alone_whatever_it_holds(text in any::<String>()) {
        let answer = twilio("http://127.0.0.1:1", json!({})).answer_incoming(Some(&Body::new(text)));
        let inner = answer.body.split_once("<Message>").unwrap().1.strip_suffix("</Message></Response>").unwrap();
        prop_assert!(!inner.contains(['<', '>', '\0', '\r']));
        for entity in inner.split('&').skip(1) {
            prop_assert!(["amp;", "lt;", "gt;", "#13;"].iter().any(|known| entity.starts_with(known)));
        }
    }

    #[test]
    fn any_text_is_read_as_it_was_signed(text in any::<String>()) {
        prop_assert_eq!(parse(&text, &[]).unwrap().body, Body::new(text));
    }
}
