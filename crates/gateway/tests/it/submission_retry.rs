//! What is tried again, when, and how often; and what never is.

use std::time::Duration;

use domain::attempt::{OutcomeKind, Reason};
use domain::message::MessageStatus;
use domain::retry::RetryPolicy;
use gateway::request::Content;
use store::port::messages::MessageRecord;
use testkit::clock::FakeClock;
use testkit::sim::{Fault, FaultRule, Provider, SimConfig, Simulator};
use testkit::wait::{LONG, wait_for, wait_until};
use tokio::net::TcpSocket;

use crate::bench::{AMERICAN, Bench, KENYAN, Setup, americans, kenyans, seconds, text};

/// How each try ended.
fn outcomes(record: &MessageRecord) -> Vec<OutcomeKind> {
    record.attempts.iter().filter_map(|attempt| attempt.ended.as_ref().map(|(_, end)| end.kind())).collect()
}

/// Waits between tries are short, but not nothing: while the clock stands, nothing is tried again.
fn retrying(max_attempts: u16) -> Setup {
    let policy = RetryPolicy { base: Duration::from_millis(1), max_attempts, ..RetryPolicy::default() };
    Bench::setup().retry(|retry| *retry = policy)
}

const LIMITED: Fault = Fault::TooManyRequests { retry_after_s: None };

#[tokio::test]
async fn a_rate_limit_is_tried_again_and_sent_once() {
    for receiver in [KENYAN, AMERICAN] {
        let bench = retrying(8).start().await;
        bench.sim.inject(FaultRule::next(2, LIMITED)).unwrap();
        let id = bench.send(receiver).await;
        let shown = bench.comes_to(id, MessageStatus::Sent).await;
        let expected = [OutcomeKind::NotSubmitted, OutcomeKind::NotSubmitted, OutcomeKind::Accepted];
        assert_eq!(outcomes(&shown), expected);
        assert_eq!(shown.summary.failure, None);
        assert_eq!(bench.sim.ledger().count(), 1);
    }
}

#[tokio::test]
async fn the_next_try_waits_at_least_as_long_as_the_provider_asked() {
    let bench = retrying(8).start().await;
    let asked = Fault::TooManyRequests { retry_after_s: Some(30) };
    bench.sim.inject(FaultRule::next(1, asked).on(Provider::Twilio)).unwrap();
    let id = bench.send(AMERICAN).await;
    let shown = bench.tried(id, 1).await;
    assert_eq!(shown.summary.status, MessageStatus::Queued);
    assert_eq!(shown.summary.failure.unwrap().reason, Reason::RateLimited);

    bench.clock.set(FakeClock::START.plus(seconds(30)).minus(Duration::from_millis(1)));
    let kenyan = bench.send(KENYAN).await;
    bench.stands(kenyan, MessageStatus::Sent).await;
    assert_eq!(bench.show(id).await.attempts.len(), 1);
    bench.clock.advance(Duration::from_millis(2));
    bench.stands(id, MessageStatus::Sent).await;
}

#[tokio::test]
async fn an_account_that_can_not_be_used_is_tried_by_one_message_at_a_time() {
    let setup = retrying(100);
    let bench = setup.start().await;
    bench.sim.inject(FaultRule::always(LIMITED).on(Provider::Twilio)).unwrap();
    let first = bench.send(AMERICAN).await;
    bench.tried(first, 1).await;
    bench.clock.advance(Duration::from_millis(500));
    bench.tried(first, 2).await;
    let mut ids = vec![first];
    for receiver in americans(9) {
        ids.push(bench.send(&receiver).await);
    }
    // Each pause is twice as long as the one before, and one request ends it.
    for (pause, submissions) in [(1_000, 3), (2_000, 4), (4_000, 5)] {
        bench.clock.advance(Duration::from_millis(pause));
        wait_until(|| bench.sim.stats().twilio.submissions == submissions, LONG).await.unwrap();
        // Recorded before the next pause is looked at.
        let tries = async || {
            let mut ended = 0;
            for id in &ids {
                ended += outcomes(&bench.show(*id).await).len();
            }
            (ended as u64 == submissions).then_some(())
        };
        wait_for(tries, LONG).await.unwrap();
    }
    bench.sim.clear_faults();
    for id in ids {
        bench.comes_to(id, MessageStatus::Sent).await;
    }
    assert_eq!(bench.sim.ledger().duplicates(), []);
}

#[tokio::test]
async fn a_pause_of_one_account_does_not_hold_another() {
    let bench = retrying(100).start().await;
    bench.sim.inject(FaultRule::always(LIMITED).on(Provider::Twilio)).unwrap();
    let id = bench.send(AMERICAN).await;
    bench.tried(id, 1).await;
    for receiver in kenyans(5) {
        let id = bench.send(&receiver).await;
        bench.stands(id, MessageStatus::Sent).await;
    }
}

#[tokio::test]
async fn a_receiver_whose_operator_is_down_does_not_hold_the_others() {
    // One provider alone: there is no other route.
    let bench = retrying(100).without("twilio").start().await;
    // The network answers this receiver with status code 500: its operator's gateway failed, and not the account.
    let id = bench.send("+254712000500").await;
    bench.tried(id, 1).await;
    bench.clock.advance(Duration::from_millis(5));
    let shown = bench.tried(id, 2).await;
    assert_eq!(shown.summary.status, MessageStatus::Queued);
    // The clock stands: a pause of the account would not end.
    for receiver in kenyans(5) {
        let id = bench.send(&receiver).await;
        bench.stands(id, MessageStatus::Sent).await;
    }
}

#[tokio::test]
async fn a_message_that_was_tried_often_enough_has_failed_for_its_last_reason() {
    let bench = retrying(3).start().await;
    bench.sim.inject(FaultRule::always(LIMITED)).unwrap();
    let id = bench.send(KENYAN).await;
    let shown = bench.comes_to(id, MessageStatus::Failed).await;
    assert_eq!(outcomes(&shown), [OutcomeKind::NotSubmitted; 3]);
    assert_eq!(shown.summary.failure.unwrap().reason, Reason::RateLimited);
    assert_eq!(bench.sim.ledger().count(), 0);
}

#[tokio::test]
async fn a_message_is_given_up_when_it_has_waited_long_enough() {
    let setup = retrying(u16::MAX).retry(|retry| {
        retry.cap = seconds(1);
        retry.give_up_after = seconds(60);
    });
    let bench = setup.start().await;
    bench.sim.inject(FaultRule::always(LIMITED)).unwrap();
    let id = bench.send(KENYAN).await;
    let shown = bench.comes_to(id, MessageStatus::Failed).await;
    let waited = shown.summary.updated_at.since(shown.summary.message.created_at);
    // The last try falls up to a pause and a wait before that time, or a pause after it.
    assert!((seconds(48)..=seconds(72)).contains(&waited), "{waited:?}");
}

#[tokio::test]
async fn a_refusal_of_the_account_is_tried_again_until_somebody_has_mended_it() {
    for (receiver, other) in [(KENYAN, "twilio"), (AMERICAN, "africastalking")] {
        // One provider alone: there is no other route.
        let bench = retrying(100).without(other).start().await;
        bench.sim.inject(FaultRule::next(3, Fault::Unauthorized)).unwrap();
        let id = bench.send(receiver).await;
        let shown = bench.tried(id, 1).await;
        assert_eq!(shown.summary.status, MessageStatus::Queued);
        assert_eq!(shown.summary.failure.unwrap().reason, Reason::Credential);
        let shown = bench.comes_to(id, MessageStatus::Sent).await;
        assert_eq!((shown.attempts.len(), bench.sim.ledger().count()), (4, 1));
    }
}

#[tokio::test]
async fn a_refused_connection_is_tried_again_until_the_provider_is_back() {
    // Bound, and nobody listens: connections are refused, and nobody else takes the address.
    let reserved = TcpSocket::new_v4().unwrap();
    reserved.set_reuseaddr(true).unwrap();
    reserved.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = reserved.local_addr().unwrap();
    let setup = retrying(u16::MAX);
    let bench = setup.set("twilio", "base_url", format!("http://{address}")).start().await;
    let id = bench.send(AMERICAN).await;
    let shown = bench.tried(id, 1).await;
    let failure = shown.summary.failure.unwrap();
    assert_eq!((shown.summary.status, failure.reason), (MessageStatus::Queued, Reason::ProviderDown));

    let back = Simulator::start(SimConfig { listen: address, ..SimConfig::default() }).await.unwrap();
    bench.comes_to(id, MessageStatus::Sent).await;
    assert_eq!(back.ledger().count(), 1);
}

#[tokio::test]
async fn a_refusal_is_the_end() {
    let bench = retrying(8).start().await;
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
    let bench = retrying(8).start().await;
    let asked = Fault::TooManyRequests { retry_after_s: Some(60) };
    bench.sim.inject(FaultRule::next(1, asked)).unwrap();
    let soon = bench.clock.advance(Duration::ZERO).plus(seconds(30));
    let code = Content { expires_at: Some(soon), ..text("Your code is 482913") };
    let id = bench.try_send(AMERICAN, code).await.unwrap().id;
    let shown = bench.stands(id, MessageStatus::Expired).await;
    assert_eq!(outcomes(&shown), [OutcomeKind::NotSubmitted]);
}
