//! What must hold for every input that comes from outside, one property for each reader.
//!
//! The programs under `fuzz_targets` look for an input for which it does not. The tests of `crates/server` read this file
//! as a module, and try the inputs that were kept.

#![allow(unreachable_pub, reason = "this is a crate's root, and a module of the tests")]

pub mod africastalking_callback;

pub mod broker_request;

pub mod bulk_body;

pub mod client_address;

pub mod encoding;

pub mod phone;

pub mod reply;

pub mod send_body;

pub mod sender;

pub mod settings;

pub mod template;

pub mod twilio_callback;

use domain::inbound::Inbound;
use domain::receipt::Receipt;
use domain::time::Timestamp;
use gateway::request::Content;
use serde_json::{Map, Value};
use server::http::problem::{Problem, ProblemBody};

/// A property of one input.
pub type Check = fn(&[u8]);

/// All of them, by the names of their programs and folders.
pub const TARGETS: &[(&str, Check)] = &[
    ("africastalking_callback", africastalking_callback::check),
    ("broker_request", broker_request::check),
    ("bulk_body", bulk_body::check),
    ("client_address", client_address::check),
    ("encoding", encoding::check),
    ("phone", phone::check),
    ("reply", reply::check),
    ("send_body", send_body::check),
    ("sender", sender::check),
    ("settings", settings::check),
    ("template", template::check),
    ("twilio_callback", twilio_callback::check),
];

/// 2026-11-23T08:30:00Z.
const NOW: Timestamp = Timestamp::from_micros(1_795_422_600_000_000);

/// The first line of an input, and what follows it.
fn first_line(data: &[u8]) -> (&str, &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (line, rest) = data.split_at(end);
    (std::str::from_utf8(line).unwrap_or_default(), rest.get(1..).unwrap_or_default())
}

/// What the requests of the API share, as a caller would write it.
fn written(content: &Content, idempotency_key: Option<&str>) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("message".into(), content.message.clone().into());
    if let Some(template) = &content.template {
        fields.insert("template".into(), template.clone().into());
    }
    fields.insert("variables".into(), serde_json::to_value(&content.variables).unwrap());
    fields.insert("locale".into(), content.locale.clone().into());
    let texts = [
        ("scenario", &content.scenario),
        ("sender", &content.sender),
        ("reference", &content.reference),
        ("group", &content.group),
    ];
    for (name, text) in texts {
        fields.insert(name.into(), text.clone().into());
    }
    for (name, time) in [("scheduled_at", content.scheduled_at), ("expires_at", content.expires_at)] {
        fields.insert(name.into(), time.map(|time| time.to_string()).into());
    }
    let metadata = content.metadata.iter().map(|(name, value)| (name.clone(), value.clone().into()));
    fields.insert("metadata".into(), Value::Object(metadata.collect()));
    assert_eq!(idempotency_key, Some("key"), "the key is another one");
    fields
}

/// A refusal names places and never says what stands there: none of the numbers that were sent is in it.
fn repeats_no_number(problem: Problem, sent: &[u8]) {
    let said = serde_json::to_string(&ProblemBody::from(problem)).unwrap();
    for digits in sent.split(|byte| !byte.is_ascii_digit()).filter(|digits| digits.len() >= 8) {
        let digits = std::str::from_utf8(digits).unwrap();
        assert!(!said.contains(digits), "{said}");
    }
}

/// What a message from a phone is found by fits, and has nothing that a database can't keep.
fn is_short_address(inbound: &Inbound) {
    assert_eq!(inbound.received_at, NOW);
    let id = inbound.provider_message_id.as_str();
    assert!(id.len() <= 128 && inbound.to.chars().count() <= 64);
    assert!(!id.contains('\0') && !inbound.to.contains('\0'));
}

/// What a provider wrote is kept up to a length, and no sentence of it, which may quote a number.
fn is_kept_short(receipt: &Receipt) {
    assert_eq!(receipt.received_at, NOW);
    assert!(receipt.provider_status.chars().count() <= 64);
    assert!(receipt.network_code.as_deref().is_none_or(|code| code.len() <= 8));
    let code = receipt.failure.as_ref().and_then(|failure| failure.provider_code.as_deref());
    let digits = code.map_or(0, |code| code.bytes().filter(u8::is_ascii_digit).count());
    assert!(digits < 7, "a code that may be a phone number");
}
