//! Providers that break their promises harm their own messages and nobody else's.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use domain::attempt::{Reason, SubmitOutcome};
use domain::message::MessageStatus;

use crate::bench::{Bench, KENYAN, americans, seconds};
use crate::provider::{Conduct, Odd};

/// Kenya goes by the network as ever, the rest by the odd one.
async fn with(conduct: Conduct) -> (Bench, Arc<Odd>) {
    let odd = Arc::new(Odd::new(conduct));
    let bench = Bench::setup().provider(Arc::clone(&odd) as _).default("odd").start().await;
    (bench, odd)
}

#[tokio::test]
async fn messages_that_a_provider_does_not_answer_for_are_in_doubt() {
    let (bench, odd) = with(Conduct::Fewer(2)).await;
    let mut in_doubt = 0;
    for id in bench.bulk(&americans(5), "Karibu").await {
        let shown = bench.tried(id, 1).await;
        match &shown.attempts[0].ended {
            Some((_, SubmitOutcome::Ambiguous(failure))) => {
                in_doubt += 1;
                let stands = (failure.reason, shown.summary.status);
                assert_eq!(stands, (Reason::BadAnswer, MessageStatus::Sending));
            }
            _ => assert_eq!(shown.summary.status, MessageStatus::Sent),
        }
    }
    assert_eq!(in_doubt, 2);
    assert_eq!(odd.given.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn answers_for_messages_that_nobody_sent_are_dropped() {
    let (bench, _odd) = with(Conduct::More(3)).await;
    for id in bench.bulk(&americans(5), "Karibu").await {
        bench.stands(id, MessageStatus::Sent).await;
    }
}

#[tokio::test]
async fn a_panic_leaves_its_messages_in_doubt_when_their_lease_ends_and_all_else_goes_on() {
    let (bench, odd) = with(Conduct::Panic).await;
    let doomed = bench.bulk(&americans(3), "Karibu").await;
    let given = testkit::wait::wait_until(|| odd.given.load(Ordering::SeqCst) == 3, testkit::wait::LONG);
    given.await.unwrap();
    let other = bench.send(KENYAN).await;
    bench.stands(other, MessageStatus::Sent).await;
    // The dispatcher of the provider itself lives on, too.
    let next = bench.bulk(&americans(1), "Kwaheri").await;
    bench.shown_when(next[0], |record| record.summary.status == MessageStatus::Sending).await;

    bench.clock.advance(seconds(120 + 10));
    for id in doomed.into_iter().chain(next) {
        let shown = bench.tried(id, 1).await;
        assert!(matches!(
            &shown.attempts[0].ended,
            Some((_, SubmitOutcome::Ambiguous(failure))) if failure.reason == Reason::Crashed
        ));
        assert_eq!(shown.summary.status, MessageStatus::Sending);
    }
    assert_eq!(odd.given.load(Ordering::SeqCst), 4);
}
