//! Each fault of receipts does what it says.

use reqwest::StatusCode;
use testkit::endpoint::{Endpoint, Received};
use testkit::sim::{CallbackUrls, Fault, FaultRule, SimConfig};
use tokio::time::Instant;

use crate::support::{Bench, RECEIVER, get};

/// A simulator in which `fault` strikes the next message, and who it calls back.
async fn bench(fault: Fault) -> (Bench, Endpoint) {
    let endpoint = Endpoint::start().await.unwrap();
    let delivery = Some(endpoint.url("/"));
    let callback_urls = CallbackUrls { africastalking_delivery: delivery, ..CallbackUrls::default() };
    let bench = Bench::with(SimConfig { callback_urls, ..SimConfig::default() }).await;
    bench.sim.inject(FaultRule::next(1, fault)).unwrap();
    (bench, endpoint)
}

async fn twilio(bench: &Bench, endpoint: &Endpoint) -> String {
    bench.twilio_sent(RECEIVER, "Habari", &[("StatusCallback", &endpoint.url("/"))]).await
}

async fn africastalking(bench: &Bench) {
    let got = get(bench.africastalking_message(RECEIVER, "Habari", &[])).await;
    assert_eq!(got.status, StatusCode::CREATED);
}

fn statuses(received: &[Received]) -> Vec<String> {
    let status = |received: &Received| received.field("MessageStatus").or_else(|| received.field("status"));
    received.iter().filter_map(status).collect()
}

#[tokio::test]
async fn early_receipts_come_before_the_answer() {
    let (bench, endpoint) = bench(Fault::ReceiptEarly).await;
    twilio(&bench, &endpoint).await;
    assert_eq!(statuses(&endpoint.received()), ["sent", "delivered"]);

    endpoint.clear();
    bench.sim.inject(FaultRule::next(1, Fault::ReceiptEarly)).unwrap();
    africastalking(&bench).await;
    assert_eq!(statuses(&endpoint.received()), ["Sent", "Submitted", "Buffered", "Success"]);
}

#[tokio::test]
async fn late_receipts_come_late() {
    let (bench, endpoint) = bench(Fault::ReceiptLate { ms: 200 }).await;
    let start = Instant::now();
    twilio(&bench, &endpoint).await;
    let received = endpoint.wait_for(2).await.unwrap();
    assert!(received[0].at.duration_since(start).as_millis() >= 200);
    assert_eq!(statuses(&received), ["sent", "delivered"]);
}

#[tokio::test]
async fn duplicates_are_the_same_receipt_again() {
    let (bench, endpoint) = bench(Fault::ReceiptDuplicate { copies: 2 }).await;
    twilio(&bench, &endpoint).await;
    bench.wait_for_callbacks().await;
    let received = endpoint.received();
    assert_eq!(statuses(&received), ["sent", "sent", "sent", "delivered", "delivered", "delivered"]);
    assert_eq!(received[4].body, received[5].body);
}

#[tokio::test]
async fn receipts_come_in_the_opposite_order() {
    let (bench, endpoint) = bench(Fault::ReceiptOutOfOrder).await;
    africastalking(&bench).await;
    let received = endpoint.wait_for(4).await.unwrap();
    assert_eq!(statuses(&received), ["Success", "Buffered", "Submitted", "Sent"]);
}

#[tokio::test]
async fn receipts_in_the_opposite_order_leave_the_message_delivered() {
    let (bench, endpoint) = bench(Fault::ReceiptOutOfOrder).await;
    let sid = twilio(&bench, &endpoint).await;
    assert_eq!(statuses(&endpoint.wait_for(2).await.unwrap()), ["delivered", "sent"]);
    bench.wait_for_status(&sid, "delivered").await;
}

#[tokio::test]
async fn no_receipt_comes_although_the_message_is_delivered() {
    let (bench, endpoint) = bench(Fault::ReceiptNever).await;
    let sid = twilio(&bench, &endpoint).await;
    bench.wait_for_status(&sid, "delivered").await;
    bench.wait_for_callbacks().await;
    assert_eq!(endpoint.count(), 0);
}

#[tokio::test]
async fn a_word_that_nobody_knows_comes_before_the_end() {
    let (bench, endpoint) = bench(Fault::ReceiptUnknownWord).await;
    twilio(&bench, &endpoint).await;
    assert_eq!(statuses(&endpoint.wait_for(3).await.unwrap()), ["sent", "teleported", "delivered"]);
}

#[tokio::test]
async fn a_message_is_not_delivered() {
    let (bench, endpoint) = bench(Fault::Undelivered).await;
    twilio(&bench, &endpoint).await;
    let received = endpoint.wait_for(2).await.unwrap();
    assert_eq!(statuses(&received), ["sent", "undelivered"]);
    assert_eq!(received[1].field("ErrorCode").as_deref(), Some("30008"));

    endpoint.clear();
    bench.sim.inject(FaultRule::next(1, Fault::Undelivered)).unwrap();
    africastalking(&bench).await;
    let received = endpoint.wait_for(4).await.unwrap();
    assert_eq!(received[3].field("failureReason").as_deref(), Some("DeliveryFailure"));
}

#[tokio::test]
async fn a_fault_of_receipts_strikes_as_many_messages_as_it_says() {
    let (bench, endpoint) = bench(Fault::ReceiptNever).await;
    let got = get(bench.africastalking_message("+254712345678,+254733000111", "Habari", &[])).await;
    assert_eq!(got.status, StatusCode::CREATED);
    bench.wait_for_callbacks().await;
    let numbers: Vec<Option<String>> =
        endpoint.received().iter().map(|received| received.field("phoneNumber")).collect();
    assert_eq!(numbers, vec![Some("+254733000111".to_owned()); 4]);
}
