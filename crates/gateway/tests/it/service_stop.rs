//! Stopping, starting again, and what an end in the middle of a request leaves behind.

use std::sync::Arc;
use std::time::Duration;

use domain::attempt::{Reason, SubmitOutcome};
use domain::message::MessageStatus;
use futures_util::future::join;
use gateway::SendError;
use store::StoreError;
use testkit::sim::{Fault, FaultRule, TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, TWILIO_PHONE_NUMBER};
use testkit::wait::{LONG, wait_until};

use crate::bench::{AMERICAN, Bench, KENYAN, americans, kenyans, seconds, text};

#[tokio::test]
async fn what_is_under_way_is_finished_and_the_rest_stays_queued() {
    let bench = Bench::setup().set("twilio", "max_in_flight", 2).start().await;
    bench.sim.inject(FaultRule::next(2, Fault::Slow { ms: 2_000 })).unwrap();
    let mut ids = Vec::new();
    for receiver in americans(5) {
        ids.push(bench.send(&receiver).await);
        bench.clock.advance(Duration::from_millis(1));
    }
    wait_until(|| bench.sim.stats().twilio.submissions == 2, LONG).await.unwrap();
    bench.service.stop().await;
    assert_eq!(bench.sim.ledger().count(), 2);
    let bench = bench.restart().await;
    for id in ids {
        let shown = bench.stands(id, MessageStatus::Sent).await;
        assert_eq!(shown.attempts.len(), 1);
    }
    assert_eq!((bench.sim.ledger().count(), bench.sim.ledger().duplicates()), (5, vec![]));
}

#[tokio::test]
async fn a_stop_waits_no_longer_than_is_set() {
    let bench = Bench::start().await;
    bench.sim.inject(FaultRule::next(1, Fault::AcceptThenStall { ms: 60_000 })).unwrap();
    bench.send(AMERICAN).await;
    bench.taken(1).await;
    // Joined futures are polled in order, so the stop has begun when the clock moves.
    let stopping = join(bench.service.stop(), async { bench.clock.advance(seconds(20)) });
    tokio::time::timeout(LONG / 2, stopping).await.unwrap();
}

#[tokio::test]
async fn a_restart_closes_what_was_left_open_as_ambiguous_and_sends_none_of_it_again() {
    let bench = Bench::setup().settings(|settings| settings.soft_stop = Duration::ZERO).start().await;
    bench.sim.inject(FaultRule::next(2, Fault::AcceptThenStall { ms: 60_000 })).unwrap();
    let single = bench.send(AMERICAN).await;
    let shared = bench.bulk(&kenyans(3), "Karibu").await;
    bench.taken(4).await;
    let bench = bench.restart().await;
    for id in shared.into_iter().chain([single]) {
        let shown = bench.show(id).await;
        assert_eq!((shown.summary.status, shown.attempts.len()), (MessageStatus::Sending, 1));
        assert!(matches!(
            &shown.attempts[0].ended,
            Some((_, SubmitOutcome::Ambiguous(failure))) if failure.reason == Reason::Crashed
        ));
    }
    bench.dispatchers_look().await;
    bench.clock.advance(seconds(3_600));
    bench.dispatchers_look().await;
    let sent_before = bench.sim.ledger().entries_where(|entry| entry.body != "Look");
    assert_eq!(sent_before.len(), 4);
}

#[tokio::test]
async fn two_services_run_in_one_process() {
    let [one, other] = [Bench::start().await, Bench::start().await];
    let id = one.send(KENYAN).await;
    one.stands(id, MessageStatus::Sent).await;
    assert_eq!(other.service.message(id).await.unwrap().map(|record| record.summary.status), None);
    assert_eq!((one.sim.ledger().count(), other.sim.ledger().count()), (1, 0));
    one.service.stop().await;
    let id = other.send(KENYAN).await;
    other.stands(id, MessageStatus::Sent).await;
}

#[tokio::test]
async fn stopping_twice_is_stopping() {
    let bench = Bench::start().await;
    let service = Arc::clone(&bench.service);
    service.stop().await;
    service.stop().await;
    let refused = bench.try_send(KENYAN, text("Habari")).await;
    assert_eq!(refused, Err(SendError::Store(StoreError::Stopped)));
}

#[tokio::test]
async fn what_is_accepted_after_submitting_has_stopped_stays_queued() {
    let bench = Bench::start().await;
    bench.service.stop_submitting().await;
    let id = bench.send(KENYAN).await;
    let bench = bench.restart().await;
    bench.stands(id, MessageStatus::Sent).await;
}

#[tokio::test]
async fn a_message_takes_another_route_when_its_provider_was_taken_out() {
    let bench = Bench::start().await;
    bench.service.stop_submitting().await;
    let id = bench.send(KENYAN).await;
    let bench = bench.restart_with(|setup| setup.without("africastalking")).await;
    let shown = bench.stands(id, MessageStatus::Sent).await;
    assert_eq!(shown.summary.provider.as_str(), "twilio");
}

#[tokio::test]
async fn a_message_without_another_route_waits_for_a_provider_that_was_taken_out_until_it_is_back() {
    let bench = Bench::start().await;
    bench.service.stop_submitting().await;
    let id = bench.send(AMERICAN).await;
    let bench = bench.restart_with(|setup| setup.without("twilio")).await;
    let later = bench.send(KENYAN).await;
    bench.stands(later, MessageStatus::Sent).await;
    assert_eq!(bench.status(id).await, MessageStatus::Queued);

    let bench = bench
        .restart_with(|setup| {
            let setup = setup.set("twilio", "account_sid", TWILIO_ACCOUNT_SID);
            setup.set("twilio", "auth_token", TWILIO_AUTH_TOKEN).set(
                "twilio",
                "phone_number",
                TWILIO_PHONE_NUMBER,
            )
        })
        .await;
    let shown = bench.stands(id, MessageStatus::Sent).await;
    assert_eq!(shown.summary.provider.as_str(), "twilio");
}
