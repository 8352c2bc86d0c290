//! What Africa's Talking tells of a message, and of phones.

use serde_json::Value;
use testkit::endpoint::{Endpoint, Received};
use testkit::sim::{CallbackUrls, FromPhone, Provider, SimConfig};

use crate::support::{Bench, RECEIVER, get};

/// A simulator that reports to a receiver.
async fn bench() -> (Bench, Endpoint) {
    let endpoint = Endpoint::start().await.unwrap();
    let callback_urls = CallbackUrls {
        africastalking_delivery: Some(endpoint.url("/delivery?key=s3cret")),
        africastalking_incoming: Some(endpoint.url("/incoming")),
        africastalking_opt_out: Some(endpoint.url("/opt-out")),
        ..CallbackUrls::default()
    };
    (Bench::with(SimConfig { callback_urls, ..SimConfig::default() }).await, endpoint)
}

async fn send(bench: &Bench, to: &str) -> Value {
    get(bench.africastalking_message(to, "Habari", &[])).await.json()["SMSMessageData"]["Recipients"].clone()
}

fn field(received: &[Received], name: &str) -> Vec<Option<String>> {
    received.iter().map(|received| received.field(name)).collect()
}

fn statuses(received: &[Received]) -> Vec<String> {
    field(received, "status").into_iter().flatten().collect()
}

#[tokio::test]
async fn a_message_is_reported_at_every_stage_in_order() {
    let (bench, endpoint) = bench().await;
    let recipients = send(&bench, RECEIVER).await;
    let received = endpoint.wait_for(4).await.unwrap();
    assert_eq!(statuses(&received), ["Sent", "Submitted", "Buffered", "Success"]);
    let last = &received[3];
    assert_eq!(last.target, "/delivery?key=s3cret");
    assert_eq!(last.header("content-type"), Some("application/x-www-form-urlencoded"));
    let id = recipients[0]["messageId"].as_str().unwrap();
    let expected = [("id", id), ("status", "Success"), ("phoneNumber", RECEIVER), ("networkCode", "63902")];
    assert_eq!(last.form(), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[tokio::test]
async fn the_last_digits_of_the_receiver_choose_how_it_ends() {
    let (bench, endpoint) = bench().await;
    for (to, status, reason) in [
        ("+254712000921", "Failed", Some("DeliveryFailure")),
        ("+254712000922", "Failed", Some("UserInBlackList")),
        ("+254712000925", "Failed", Some("NotNetworkSubcriber")),
        ("+254712000931", "Rejected", Some("DeliveryFailure")),
        ("+254712000932", "Expired", None),
        ("+254712000933", "AbsentSubscriber", None),
    ] {
        endpoint.clear();
        send(&bench, to).await;
        let received = endpoint.wait_for(4).await.unwrap();
        assert_eq!(received[3].field("status").as_deref(), Some(status));
        assert_eq!(received[3].field("failureReason").as_deref(), reason);
        assert_eq!(received[2].field("failureReason"), None);
    }
}

#[tokio::test]
async fn silent_numbers_stop_where_they_say() {
    let (bench, endpoint) = bench().await;
    send(&bench, "+254712000910,+254712000911").await;
    bench.wait_for_callbacks().await;
    let received = endpoint.received();
    assert_eq!(statuses(&received), ["Sent", "Submitted", "Buffered"]);
    assert_eq!(received[0].field("phoneNumber").as_deref(), Some("+254712000911"));
}

#[tokio::test]
async fn receivers_that_were_refused_are_not_reported() {
    let (bench, endpoint) = bench().await;
    send(&bench, "+254712000406").await;
    send(&bench, RECEIVER).await;
    bench.wait_for_callbacks().await;
    assert_eq!(field(&endpoint.received(), "phoneNumber"), vec![Some(RECEIVER.to_owned()); 4]);
}

#[tokio::test]
async fn messages_and_opt_outs_of_phones_are_posted() {
    let (bench, endpoint) = bench().await;
    let message = FromPhone {
        provider: Provider::AfricasTalking,
        from: RECEIVER.to_owned(),
        to: "21512".to_owned(),
        text: "STOP".to_owned(),
    };
    let id = bench.sim.send_from_phone(&message).await;
    let received = endpoint.wait_for(1).await.unwrap().remove(0);
    assert_eq!(received.target, "/incoming");
    assert_eq!(received.field("id"), Some(id));
    assert_eq!(received.field("text").as_deref(), Some("STOP"));
    assert_eq!(received.field("to").as_deref(), Some("21512"));

    bench.sim.opt_out("TUMA", RECEIVER).await;
    let received = endpoint.wait_for(2).await.unwrap().remove(1);
    assert_eq!(received.target, "/opt-out");
    let expected = [("senderId", "TUMA"), ("phoneNumber", RECEIVER)];
    assert_eq!(received.form(), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}
