//! What Twilio tells of a message, and how it signs that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use testkit::clock::FakeClock;
use testkit::endpoint::{Endpoint, Received};
use testkit::sim::{
    CallbackUrls, FromPhone, Provider, SimConfig, TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN,
    TWILIO_MESSAGING_SERVICE_SID, TWILIO_PHONE_NUMBER,
};

use crate::support::{Bench, RECEIVER, get};

/// HMAC-SHA1 as RFC 2104 spells it out, without the crate that the simulator uses.
fn hmac_sha1(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key);
    let inner = Sha1::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(data).finalize();
    Sha1::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().to_vec()
}

/// The signature that a request must have, computed from what was received: the URL, then every name in the
/// order of bytes with its decoded values.
fn expected_signature(url: &str, received: &Received) -> String {
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, value) in received.form() {
        values.entry(name).or_default().insert(value);
    }
    let mut data = url.to_owned();
    for (name, values) in values {
        for value in values {
            data.push_str(&name);
            data.push_str(&value);
        }
    }
    STANDARD.encode(hmac_sha1(TWILIO_AUTH_TOKEN.as_bytes(), data.as_bytes()))
}

/// The statuses in the order in which they came.
fn statuses(received: &[Received]) -> Vec<String> {
    received.iter().map(|received| received.field("MessageStatus").unwrap()).collect()
}

#[tokio::test]
async fn a_message_tells_that_it_is_sent_and_then_delivered() {
    let clock = Arc::new(FakeClock::new());
    let bench = Bench::with(SimConfig { clock, ..SimConfig::default() }).await;
    let endpoint = Endpoint::start().await.unwrap();
    let url = endpoint.url("/hooks/twilio/status?tenant=7&m=0193a%2Fx");
    let sid = bench.twilio_sent(RECEIVER, "Habari", &[("StatusCallback", &url)]).await;
    let received = endpoint.wait_for(2).await.unwrap();
    bench.wait_for_callbacks().await;
    assert_eq!(statuses(&endpoint.received()), ["sent", "delivered"]);

    let last = &received[1];
    assert_eq!(last.method, "POST");
    assert_eq!(last.target, "/hooks/twilio/status?tenant=7&m=0193a%2Fx");
    assert_eq!(last.header("content-type"), Some("application/x-www-form-urlencoded"));
    let fields: BTreeMap<String, String> = last.form().into_iter().collect();
    let expected = [
        ("AccountSid", TWILIO_ACCOUNT_SID),
        ("ApiVersion", "2010-04-01"),
        ("From", TWILIO_PHONE_NUMBER),
        ("MessageSid", &sid),
        ("MessageStatus", "delivered"),
        ("RawDlrDoneDate", "2611230830"),
        ("SmsSid", &sid),
        ("SmsStatus", "delivered"),
        ("To", RECEIVER),
    ];
    let expected: BTreeMap<String, String> =
        expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    assert_eq!(fields, expected);
    assert_eq!(bench.sim.stats().callbacks.sent, 2);
}

#[tokio::test]
async fn every_callback_is_signed_over_the_url_without_its_fragment() {
    let bench = Bench::start().await;
    let endpoint = Endpoint::start().await.unwrap();
    let url = endpoint.url("/status?m=1");
    bench
        .twilio_sent("+254712030003", "50% off & more?", &[("StatusCallback", &format!("{url}#rc=2&rp=all"))])
        .await;
    for received in endpoint.wait_for(2).await.unwrap() {
        assert_eq!(received.target, "/status?m=1");
        let signature = received.header("x-twilio-signature").unwrap();
        assert_eq!(signature, expected_signature(&url, &received));
        assert_ne!(signature, expected_signature(&format!("{url}#rc=2&rp=all"), &received));
    }
}

#[tokio::test]
async fn a_message_that_does_not_arrive_tells_why() {
    let bench = Bench::start().await;
    let endpoint = Endpoint::start().await.unwrap();
    let url = endpoint.url("/");
    bench.twilio_sent("+254712030003", "Habari", &[("StatusCallback", &url)]).await;
    let received = endpoint.wait_for(2).await.unwrap();
    assert_eq!(statuses(&received), ["sent", "undelivered"]);
    assert_eq!(received[0].field("ErrorCode"), None);
    assert_eq!(received[1].field("ErrorCode").as_deref(), Some("30003"));
}

#[tokio::test]
async fn a_message_that_never_leaves_only_fails() {
    let bench = Bench::start().await;
    let endpoint = Endpoint::start().await.unwrap();
    let url = endpoint.url("/");
    bench.twilio_sent("+254712030001", "Habari", &[("StatusCallback", &url)]).await;
    bench.wait_for_callbacks().await;
    let received = endpoint.received();
    assert_eq!(statuses(&received), ["failed"]);
    assert_eq!(received[0].field("ErrorCode").as_deref(), Some("30001"));
}

#[tokio::test]
async fn a_messaging_service_also_tells_that_it_queues() {
    let bench = Bench::start().await;
    let endpoint = Endpoint::start().await.unwrap();
    let url = endpoint.url("/");
    let service = ("MessagingServiceSid", TWILIO_MESSAGING_SERVICE_SID);
    let fields = [("To", RECEIVER), service, ("Body", "Habari"), ("StatusCallback", &url)];
    get(bench.twilio_form("/Messages.json", &fields)).await;
    let received = endpoint.wait_for(3).await.unwrap();
    assert_eq!(statuses(&received), ["queued", "sent", "delivered"]);
    assert_eq!(received[0].field("MessagingServiceSid").as_deref(), Some(TWILIO_MESSAGING_SERVICE_SID));
}

#[tokio::test]
async fn silent_numbers_stop_where_they_say() {
    let bench = Bench::start().await;
    let endpoint = Endpoint::start().await.unwrap();
    let url = endpoint.url("/");
    let silent = bench.twilio_sent("+254712000910", "Habari", &[("StatusCallback", &url)]).await;
    let sent = bench.twilio_sent("+254712000911", "Habari", &[("StatusCallback", &url)]).await;
    bench.wait_for_status(&silent, "sent").await;
    bench.wait_for_callbacks().await;
    let received = endpoint.received();
    assert_eq!(statuses(&received), ["sent"]);
    assert_eq!(received[0].field("MessageSid"), Some(sent));
}

#[tokio::test]
async fn a_callback_that_is_refused_is_counted_and_not_repeated() {
    let bench = Bench::start().await;
    let endpoint = Endpoint::start().await.unwrap();
    endpoint.answer(reqwest::StatusCode::SERVICE_UNAVAILABLE);
    let url = endpoint.url("/");
    bench.twilio_sent(RECEIVER, "Habari", &[("StatusCallback", &url)]).await;
    bench.wait_for_callbacks().await;
    assert_eq!(endpoint.count(), 2);
    let callbacks = bench.sim.stats().callbacks;
    assert_eq!((callbacks.sent, callbacks.failed), (0, 2));
}

#[tokio::test]
async fn a_callback_to_nobody_is_counted_as_failed() {
    let bench = Bench::start().await;
    let endpoint = Endpoint::start().await.unwrap();
    let url = endpoint.url("/");
    drop(endpoint);
    bench.twilio_sent(RECEIVER, "Habari", &[("StatusCallback", &url)]).await;
    bench.wait_for_callbacks().await;
    assert_eq!(bench.sim.stats().callbacks.failed, 2);
}

#[tokio::test]
async fn a_message_from_a_phone_is_posted_with_its_empty_fields_signed() {
    let bench = Bench::start().await;
    let endpoint = Endpoint::start().await.unwrap();
    let url = endpoint.url("/hooks/twilio/inbound");
    bench
        .sim
        .set_callback_urls(CallbackUrls { twilio_incoming: Some(url.clone()), ..CallbackUrls::default() });
    let message = FromPhone {
        provider: Provider::Twilio,
        from: RECEIVER.to_owned(),
        to: "+254709123456".to_owned(),
        text: "stop ".to_owned(),
    };
    let sid = bench.sim.send_from_phone(&message).await;
    let received = endpoint.wait_for(1).await.unwrap().remove(0);
    assert_eq!(received.field("MessageSid"), Some(sid));
    assert_eq!(received.field("SmsStatus").as_deref(), Some("received"));
    assert_eq!(received.field("Body").as_deref(), Some("stop "));
    assert_eq!(received.field("OptOutType").as_deref(), Some("STOP"));
    assert_eq!(received.field("FromCity").as_deref(), Some(""));
    assert_eq!(received.header("x-twilio-signature"), Some(expected_signature(&url, &received).as_str()));
}
