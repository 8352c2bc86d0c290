//! A caller that waits hears of the provider's answer, and of nothing sooner.

use std::time::Duration;

use domain::attempt::Reason;
use domain::message::MessageStatus;
use futures_util::future::{join, join_all};
use gateway::{SendAnswer, SendRequest};
use store::port::messages::{Filter, MessageRecord, Page};
use testkit::sim::{Fault, FaultRule};
use testkit::wait::{LONG, wait_for, wait_until};

use crate::bench::{AMERICAN, Bench, KENYAN, caller, request, seconds, text};

/// Sends and waits by the bench's clock, which stands still: only an outcome ends the wait.
async fn outcome(bench: &Bench, request: SendRequest) -> (SendAnswer, MessageRecord) {
    let sending = bench.service.send_sms_and_wait(caller(), request, seconds(3_600));
    let (answer, record) = tokio::time::timeout(LONG, sending).await.unwrap().unwrap();
    (answer, record.unwrap())
}

fn repeatable(receiver: &str) -> SendRequest {
    SendRequest { idempotency_key: Some("k".into()), ..request(receiver, text("Habari")) }
}

#[tokio::test]
async fn the_wait_ends_when_the_provider_has_accepted() {
    let bench = Bench::start().await;
    for receiver in [KENYAN, AMERICAN] {
        let (answer, record) = outcome(&bench, request(receiver, text("Habari"))).await;
        assert_eq!((answer.status, record.summary.status), (MessageStatus::Queued, MessageStatus::Sent));
    }
}

#[tokio::test]
async fn the_wait_ends_when_the_provider_has_refused() {
    let bench = Bench::start().await;
    let (_, record) = outcome(&bench, request("+14155021211", text("Habari"))).await;
    assert_eq!(record.summary.status, MessageStatus::Failed);
    assert_eq!(record.summary.failure.unwrap().reason, Reason::InvalidRecipient);
}

#[tokio::test]
async fn the_wait_ends_when_the_last_try_has_failed() {
    let bench = Bench::setup().retry(|retry| retry.max_attempts = 1).start().await;
    bench.sim.inject(FaultRule::next(1, Fault::TooManyRequests { retry_after_s: None })).unwrap();
    let (_, record) = outcome(&bench, request(KENYAN, text("Habari"))).await;
    assert_eq!(record.summary.status, MessageStatus::Failed);
}

#[tokio::test]
async fn the_wait_ends_at_its_limit_and_the_message_goes_its_way() {
    let bench = Bench::start().await;
    bench.sim.inject(FaultRule::next(1, Fault::Slow { ms: 2_000 })).unwrap();
    let request = request(KENYAN, text("Habari"));
    let sending = bench.service.send_sms_and_wait(caller(), request, seconds(10));
    let time_passes = async {
        wait_until(|| bench.sim.stats().africastalking.submissions == 1, LONG).await.unwrap();
        bench.clock.advance(seconds(10));
    };
    let (sent, ()) = join(sending, time_passes).await;
    let (answer, record) = sent.unwrap();
    assert_eq!(record.unwrap().summary.status, MessageStatus::Sending);
    bench.stands(answer.id, MessageStatus::Sent).await;
}

#[tokio::test]
async fn a_try_that_will_be_repeated_does_not_end_the_wait() {
    let bench = Bench::setup().retry(|retry| retry.base = Duration::ZERO).start().await;
    bench.sim.inject(FaultRule::next(2, Fault::TooManyRequests { retry_after_s: None })).unwrap();
    let time_passes = async {
        let accepted = async || {
            let page = Page { after: None, limit: 1 };
            bench.service.messages(Filter::default(), page).await.unwrap().pop().map(|it| it.message.id)
        };
        let id = wait_for(accepted, LONG).await.unwrap();
        bench.comes_to(id, MessageStatus::Sent).await;
    };
    let ((_, record), ()) = join(outcome(&bench, request(AMERICAN, text("Habari"))), time_passes).await;
    assert_eq!((record.summary.status, record.attempts.len()), (MessageStatus::Sent, 3));
}

#[tokio::test]
async fn all_who_wait_for_one_message_are_answered() {
    let bench = Bench::start().await;
    bench.sim.inject(FaultRule::next(1, Fault::Slow { ms: 500 })).unwrap();
    let answers = join_all((0..5).map(|_| outcome(&bench, repeatable(KENYAN)))).await;
    for (answer, record) in &answers {
        assert_eq!((answer.id, record.summary.status), (answers[0].0.id, MessageStatus::Sent));
    }
    assert_eq!(bench.sim.ledger().count(), 1);
}

#[tokio::test]
async fn one_who_gives_up_does_not_take_the_others_place() {
    let bench = Bench::start().await;
    bench.sim.inject(FaultRule::next(1, Fault::Slow { ms: 2_000 })).unwrap();
    let stays = outcome(&bench, repeatable(AMERICAN));
    let leaves = async {
        wait_until(|| bench.sim.stats().twilio.submissions == 1, LONG).await.unwrap();
        let gives_up = bench.service.send_sms_and_wait(caller(), repeatable(AMERICAN), seconds(10));
        assert!(tokio::time::timeout(Duration::from_millis(50), gives_up).await.is_err());
    };
    let ((_, record), ()) = join(stays, leaves).await;
    assert_eq!(record.summary.status, MessageStatus::Sent);
}

#[tokio::test]
async fn a_repeat_is_answered_at_once_when_the_message_is_settled() {
    let bench = Bench::start().await;
    let (first, _) = outcome(&bench, repeatable(KENYAN)).await;
    let (again, record) = outcome(&bench, repeatable(KENYAN)).await;
    assert_eq!((again.id, record.summary.status), (first.id, MessageStatus::Sent));
}

#[tokio::test]
async fn the_wait_ends_when_the_message_expires() {
    let bench = Bench::start().await;
    let mut request = request(KENYAN, text("Habari"));
    request.content.scheduled_at = Some(bench.clock.advance(Duration::ZERO).plus(seconds(2)));
    request.content.expires_at = Some(bench.clock.advance(Duration::ZERO).plus(seconds(4)));
    let sending = bench.service.send_sms_and_wait(caller(), request, seconds(60));
    let time_passes = async {
        let stored = async || (bench.count().await == 1).then_some(());
        wait_for(stored, LONG).await.unwrap();
        bench.clock.advance(seconds(5));
    };
    let (sent, ()) = tokio::time::timeout(LONG, join(sending, time_passes)).await.unwrap();
    assert_eq!(sent.unwrap().1.unwrap().summary.status, MessageStatus::Expired);
}
