//! What is tried again, when, and how often; and what never is.

use std::time::Duration;

use domain::attempt::{OutcomeKind, Reason, SubmitOutcome};
use domain::message::MessageStatus;
use domain::retry::RetryPolicy;
use gateway::request::Content;
use store::port::messages::MessageRecord;
use testkit::sim::{Fault, FaultRule, Provider, SimConfig, Simulator};
use tokio::net::TcpSocket;

use crate::bench::{AMERICAN, Bench, KENYAN, Setup, seconds, text};

/// How each try ended.
fn outcomes(record: &MessageRecord) -> Vec<OutcomeKind> {
    record.attempts.iter().filter_map(|attempt| attempt.ended.as_ref().map(|(_, end)| end.kind())).collect()
}

fn retrying(base: Duration, max_attempts: u16) -> Setup {
    Bench::setup().settings(|settings| {
        settings.retry = RetryPolicy {
            base,
            cap: Duration::from_hours(1),
            max_attempts,
            ..RetryPolicy::default()
        };
    })
}

const LIMITED: Fault = Fault::TooManyRequests { retry_after_s: None };

#[tokio::test]
async fn a_rate_limit_is_tried_again_and_sent_once() {
    for receiver in [KENYAN, AMERICAN] {
        let bench = retrying(Duration::ZERO, 8).start().await;
        bench.sim.inject(FaultRule::next(2, LIMITED)).unwrap();
        let id = bench.send(receiver).await;
        let shown = bench.stands(id, MessageStatus::Sent).await;
        let expected = [OutcomeKind::NotSubmitted, OutcomeKind::NotSubmitted, OutcomeKind::Accepted];
        assert_eq!(outcomes(&shown), expected);
        assert_eq!(shown.summary.failure, None);
        assert_eq!(bench.sim.ledger().count(), 1);
    }
}

#[tokio::test]
async fn the_next_try_waits_at_least_as_long_as_the_provider_asked() {
    let bench = retrying(Duration::ZERO, 8).start().await;
    let asked = Fault::TooManyRequests { retry_after_s: Some(30) };
    bench.sim.inject(FaultRule::next(1, asked).on(Provider::Twilio)).unwrap();
    let id = bench.send(AMERICAN).await;
    let shown = bench.tried(id, 1).await;
    assert_eq!(shown.summary.status, MessageStatus::Queued);
    assert_eq!(shown.summary.failure.unwrap().reason, Reason::RateLimited);

    bench.clock.advance(Duration::from_millis(29_999));
    bench.dispatchers_look().await;
    assert_eq!(bench.show(id).await.attempts.len(), 1);
    bench.clock.advance(Duration::from_millis(1));
    bench.stands(id, MessageStatus::Sent).await;
}

#[tokio::test]
async fn the_wait_grows_and_stays_below_its_ceiling() {
    let base = seconds(1);
    let bench = retrying(base, 5).start().await;
    bench.sim.inject(FaultRule::always(LIMITED).on(Provider::Twilio)).unwrap();
    let id = bench.send(AMERICAN).await;
    for attempt in 1..5 {
        bench.tried(id, attempt).await;
        // Full jitter: the wait is anything up to the ceiling, which doubles.
        bench.clock.advance(base * 2_u32.pow(u32::try_from(attempt).unwrap() - 1));
    }
    let shown = bench.tried(id, 5).await;
    assert_eq!(shown.summary.status, MessageStatus::Failed);
}

#[tokio::test]
async fn a_message_that_was_tried_often_enough_has_failed_for_its_last_reason() {
    let bench = retrying(Duration::ZERO, 3).start().await;
    bench.sim.inject(FaultRule::always(LIMITED)).unwrap();
    let id = bench.send(KENYAN).await;
    let shown = bench.stands(id, MessageStatus::Failed).await;
    assert_eq!(outcomes(&shown), [OutcomeKind::NotSubmitted; 3]);
    assert_eq!(shown.summary.failure.unwrap().reason, Reason::RateLimited);
    assert_eq!(bench.sim.ledger().count(), 0);
}

#[tokio::test]
async fn a_refused_connection_is_tried_again_until_the_provider_is_back() {
    // Bound, and nobody listens: connections are refused, and nobody else takes the address.
    let reserved = TcpSocket::new_v4().unwrap();
    reserved.set_reuseaddr(true).unwrap();
    reserved.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = reserved.local_addr().unwrap();
    let bench = retrying(Duration::ZERO, u16::MAX)
        .set("twilio", "base_url", format!("http://{address}"))
        .start()
        .await;
    let id = bench.send(AMERICAN).await;
    let tried = bench.shown_when(id, |record| record.attempts.len() > 2).await;
    assert!(matches!(
        &tried.attempts[0].ended,
        Some((_, SubmitOutcome::NotSubmitted { failure, .. })) if failure.reason == Reason::ProviderDown
    ));
    let back = Simulator::start(SimConfig { listen: address, ..SimConfig::default() }).await.unwrap();
    bench.stands(id, MessageStatus::Sent).await;
    assert_eq!(back.ledger().count(), 1);
}

#[tokio::test]
async fn an_ambiguous_end_is_never_tried_again() {
    let faults = [
        (Fault::AcceptThenReset, Reason::ConnectionLost, 1),
        (Fault::ResetBeforeAccept, Reason::ConnectionLost, 0),
        (Fault::AcceptThenError { status: 500 }, Reason::ProviderDown, 1),
        (Fault::MalformedAnswer, Reason::BadAnswer, 1),
        (Fault::AcceptThenStall { ms: 3_000 }, Reason::Timeout, 1),
    ];
    for (fault, reason, taken) in faults {
        for (receiver, provider) in [(KENYAN, Provider::AfricasTalking), (AMERICAN, Provider::Twilio)] {
            let setup = retrying(Duration::ZERO, 8);
            let setup = ["twilio", "africastalking"].into_iter().fold(setup, |setup, provider| {
                setup.set(provider, "connect_timeout_ms", 500).set(provider, "request_timeout_ms", 600)
            });
            let bench = setup.start().await;
            bench.sim.inject(FaultRule::next(1, fault).on(provider)).unwrap();
            let id = bench.send(receiver).await;
            let shown = bench.tried(id, 1).await;
            let Some((_, SubmitOutcome::Ambiguous(failure))) = &shown.attempts[0].ended else {
                panic!("{fault:?} by {provider}: {:?}", shown.attempts)
            };
            assert_eq!((failure.reason, shown.summary.status), (reason, MessageStatus::Sending), "{fault:?}");

            bench.clock.advance(seconds(3_600));
            bench.dispatchers_look().await;
            assert_eq!(bench.show(id).await.attempts.len(), 1, "{fault:?}");
            let entries = bench.sim.ledger().to(receiver);
            assert_eq!(entries.iter().filter(|entry| entry.body == "Habari").count(), taken, "{fault:?}");
        }
    }
}

#[tokio::test]
async fn a_refusal_is_the_end() {
    let bench = retrying(Duration::ZERO, 8).start().await;
    for receiver in ["+254712000403", "+14155021211"] {
        let id = bench.send(receiver).await;
        let shown = bench.stands(id, MessageStatus::Failed).await;
        assert_eq!(outcomes(&shown), [OutcomeKind::Rejected]);
    }
    let stats = bench.sim.stats();
    assert_eq!((stats.africastalking.submissions, stats.twilio.submissions), (1, 1));
}

#[tokio::test]
async fn a_message_does_not_wait_for_a_try_that_would_come_too_late() {
    let bench = retrying(Duration::ZERO, 8).start().await;
    let asked = Fault::TooManyRequests { retry_after_s: Some(60) };
    bench.sim.inject(FaultRule::next(1, asked)).unwrap();
    let soon = bench.clock.advance(Duration::ZERO).plus(seconds(30));
    let code = Content { expires_at: Some(soon), ..text("Your code is 482913") };
    let id = bench.try_send(AMERICAN, code).await.unwrap().id;
    let shown = bench.stands(id, MessageStatus::Expired).await;
    assert_eq!(outcomes(&shown), [OutcomeKind::NotSubmitted]);
}
