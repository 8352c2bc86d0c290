//! Each fault of a request does what it says: to the client, and in the ledger.

use std::error::Error;
use std::io::ErrorKind;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;
use testkit::sim::{AFRICASTALKING_API_KEY, Fault, FaultRule, Provider, Scope};
use testkit::wait::{LONG, wait_until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::{Bench, Got, RECEIVER, form, get};

/// A simulator in which `fault` strikes the next request.
async fn bench(fault: Fault) -> Bench {
    let bench = Bench::start().await;
    bench.sim.inject(FaultRule::next(1, fault)).unwrap();
    bench
}

async fn twilio(bench: &Bench) -> Result<Got, reqwest::Error> {
    let answer = bench.twilio_message(RECEIVER, "Habari", &[]).send().await?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    Ok(Got { status, headers, text: answer.text().await? })
}

async fn africastalking(bench: &Bench) -> Got {
    get(bench.africastalking_message(RECEIVER, "Habari", &[])).await
}

/// What a client sees that speaks to the socket itself: the bytes of an answer, or how the connection ended.
async fn raw_exchange(bench: &Bench) -> Result<Vec<u8>, ErrorKind> {
    let mut socket = TcpStream::connect(bench.sim.address()).await.unwrap();
    let body = form(&[("username", "sandbox"), ("to", RECEIVER), ("message", "Habari")]);
    let head = format!(
        "POST /version1/messaging HTTP/1.1\r\nHost: sim\r\napiKey: {AFRICASTALKING_API_KEY}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    match socket.read_to_end(&mut answer).await {
        Ok(_) => Ok(answer),
        Err(error) => Err(error.kind()),
    }
}

/// Sends a message and leaves without an answer as soon as `condition` holds.
async fn leave_when(bench: &Bench, condition: impl FnMut() -> bool) {
    tokio::select! {
        answer = bench.twilio_message(RECEIVER, "Habari", &[]).send() => panic!("answered: {answer:?}"),
        waited = wait_until(condition, LONG) => waited.unwrap(),
    }
}

fn is_reset(error: &reqwest::Error) -> bool {
    let mut cause: Option<&dyn Error> = error.source();
    while let Some(error) = cause {
        if error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == ErrorKind::ConnectionReset)
        {
            return true;
        }
        cause = error.source();
    }
    false
}

#[tokio::test]
async fn slow_makes_the_request_wait() {
    let bench = bench(Fault::Slow { ms: 150 }).await;
    let start = Instant::now();
    assert_eq!(twilio(&bench).await.unwrap().status, StatusCode::CREATED);
    assert!(start.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn slow_records_nothing_when_the_client_leaves() {
    let bench = bench(Fault::Slow { ms: 600_000 }).await;
    leave_when(&bench, || bench.sim.stats().twilio.submissions == 1).await;
    twilio(&bench).await.unwrap();
    assert_eq!(bench.sim.ledger().count(), 1);
}

#[tokio::test]
async fn too_many_requests_is_said_with_and_without_a_time() {
    let bench = bench(Fault::TooManyRequests { retry_after_s: Some(7) }).await;
    let got = twilio(&bench).await.unwrap();
    assert_eq!((got.status, &got.json()["code"]), (StatusCode::TOO_MANY_REQUESTS, &json!(20429)));
    assert_eq!(got.header("retry-after"), Some("7"));

    bench.sim.inject(FaultRule::next(1, Fault::TooManyRequests { retry_after_s: None })).unwrap();
    let got = africastalking(&bench).await;
    assert_eq!((got.status, got.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, None));
    assert_eq!(bench.sim.ledger().count(), 0);
}

#[tokio::test]
async fn an_error_is_worded_as_the_provider_words_it_and_nothing_is_recorded() {
    let bench = Bench::start().await;
    bench.sim.inject(FaultRule::next(2, Fault::Error { status: 500 })).unwrap();
    let got = twilio(&bench).await.unwrap();
    assert_eq!((got.status.as_u16(), &got.json()["code"]), (500, &json!(20500)));
    let got = africastalking(&bench).await;
    assert_eq!((got.status.as_u16(), got.text.as_str()), (500, "There was an internal server error."));

    bench.sim.inject(FaultRule::next(1, Fault::Error { status: 503 })).unwrap();
    assert_eq!(twilio(&bench).await.unwrap().json()["code"], 20503);
    bench.sim.inject(FaultRule::next(1, Fault::Error { status: 502 })).unwrap();
    let got = twilio(&bench).await.unwrap();
    assert_eq!((got.status.as_u16(), got.header("content-type")), (502, Some("text/html")));
    assert_eq!(bench.sim.ledger().count(), 0);
}

#[tokio::test]
async fn credentials_are_refused_and_messages_too() {
    let bench = bench(Fault::Unauthorized).await;
    assert_eq!(twilio(&bench).await.unwrap().json()["code"], 20003);
    bench.sim.inject(FaultRule::next(1, Fault::Refuse { code: 21611 })).unwrap();
    let got = twilio(&bench).await.unwrap();
    assert_eq!((got.status, &got.json()["code"]), (StatusCode::BAD_REQUEST, &json!(21611)));
    assert_eq!(bench.sim.ledger().count(), 0);
}

#[tokio::test]
async fn a_reset_before_reading_or_accepting_is_seen_as_one_and_records_nothing() {
    for fault in [Fault::ResetBeforeRead, Fault::ResetBeforeAccept] {
        let bench = bench(fault).await;
        let error = twilio(&bench).await.unwrap_err();
        assert!(is_reset(&error), "{fault:?}: {error:?}");
        assert_eq!(bench.sim.ledger().count(), 0, "{fault:?}");
        assert_eq!(bench.sim.ledger().requests().len(), 1, "{fault:?}");

        bench.sim.inject(FaultRule::next(1, fault)).unwrap();
        assert_eq!(raw_exchange(&bench).await, Err(ErrorKind::ConnectionReset), "{fault:?}");
        assert_eq!(bench.sim.ledger().count(), 0, "{fault:?}");
    }
}

#[tokio::test]
async fn a_reset_after_accepting_is_seen_as_one_and_the_message_is_taken() {
    let bench = bench(Fault::AcceptThenReset).await;
    let error = twilio(&bench).await.unwrap_err();
    assert!(is_reset(&error), "{error:?}");
    assert_eq!(bench.sim.ledger().to(RECEIVER).len(), 1);

    bench.sim.inject(FaultRule::next(1, Fault::AcceptThenReset)).unwrap();
    assert_eq!(raw_exchange(&bench).await, Err(ErrorKind::ConnectionReset));
    assert_eq!(bench.sim.ledger().to(RECEIVER).len(), 2);
    assert!(raw_exchange(&bench).await.unwrap().starts_with(b"HTTP/1.1 201 Created\r\n"));
}

#[tokio::test]
async fn a_message_whose_answer_was_lost_lives_on() {
    let bench = bench(Fault::AcceptThenReset).await;
    twilio(&bench).await.unwrap_err();
    let sid = bench.sim.ledger().entries().remove(0).provider_message_id;
    bench.wait_for_status(&sid, "delivered").await;
}

#[tokio::test]
async fn an_error_after_accepting_leaves_the_message_taken() {
    let bench = bench(Fault::AcceptThenError { status: 500 }).await;
    assert_eq!(twilio(&bench).await.unwrap().status.as_u16(), 500);
    assert_eq!(bench.sim.ledger().count(), 1);
}

#[tokio::test]
async fn a_stall_after_accepting_outlasts_the_client() {
    let bench = bench(Fault::AcceptThenStall { ms: 600_000 }).await;
    leave_when(&bench, || bench.sim.ledger().count() == 1).await;
    twilio(&bench).await.unwrap();
    assert_eq!(bench.sim.ledger().to(RECEIVER).len(), 2);
}

#[tokio::test]
async fn a_malformed_answer_has_the_right_status_and_half_a_body() {
    let bench = bench(Fault::MalformedAnswer).await;
    let got = twilio(&bench).await.unwrap();
    assert_eq!(got.status, StatusCode::CREATED);
    assert!(serde_json::from_str::<serde_json::Value>(&got.text).is_err(), "{}", got.text);
    assert!(got.text.starts_with("{\"account_sid\""));
    assert_eq!(bench.sim.ledger().count(), 1);
}

#[tokio::test]
async fn a_fault_of_one_provider_leaves_the_other_alone() {
    let bench = Bench::start().await;
    let rule = FaultRule::always(Fault::Error { status: 503 }).on(Provider::Twilio);
    bench.sim.inject(rule).unwrap();
    assert_eq!(twilio(&bench).await.unwrap().status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(africastalking(&bench).await.status, StatusCode::CREATED);
    bench.sim.clear_faults();
    assert_eq!(twilio(&bench).await.unwrap().status, StatusCode::CREATED);
}

#[tokio::test]
async fn questions_fail_only_when_they_are_meant() {
    let bench = Bench::start().await;
    bench.sim.inject(FaultRule::always(Fault::ResetBeforeRead)).unwrap();
    assert_eq!(get(bench.twilio(Method::GET, "/Messages.json")).await.status, StatusCode::OK);
    bench.sim.clear_faults();
    bench.sim.inject(FaultRule::always(Fault::Error { status: 500 }).within(Scope::Query)).unwrap();
    assert_eq!(get(bench.twilio(Method::GET, "/Messages.json")).await.status.as_u16(), 500);
    assert_eq!(twilio(&bench).await.unwrap().status, StatusCode::CREATED);
}

#[tokio::test]
async fn the_same_seed_strikes_the_same_requests() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let bench = Bench::start().await;
        bench.sim.inject(FaultRule::at_rate(0.5, Fault::Error { status: 500 })).unwrap();
        let mut struck = Vec::new();
        for _ in 0..40 {
            struck.push(twilio(&bench).await.unwrap().status.is_server_error());
        }
        runs.push(struck);
    }
    assert_eq!(runs[0], runs[1]);
    let struck = runs[0].iter().filter(|struck| **struck).count();
    assert!((8..=32).contains(&struck), "{struck}");
}
