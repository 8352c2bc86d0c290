//! Stopping messages, sending them again, guarding against repetition, quiet hours, and the end of every wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::attempt::Reason;
use domain::audit::Actor;
use domain::civil::QuietHours;
use domain::message::MessageStatus;
use domain::scenario::Scenario;
use gateway::again::MoveError;
use gateway::operate::PauseError;
use gateway::request::Content;
use gateway::workers::WorkerState;
use gateway::{SendError, Verdict};

use crate::bench::{AMERICAN, Bench, KENYAN, kenyans, seconds, text};

#[tokio::test]
async fn a_message_that_has_not_left_is_stopped_and_never_leaves() {
    let bench = Bench::start().await;
    let later = bench.clock.advance(Duration::ZERO).plus(seconds(60));
    let content = Content { scheduled_at: Some(later), ..text("Habari") };
    let id = bench.try_send(KENYAN, content).await.unwrap().id;
    assert!(bench.service.cancel(id, Actor::Operator).await.unwrap().has_moved());
    assert!(!bench.service.cancel(id, Actor::Operator).await.unwrap().has_moved(), "once is enough");
    bench.clock.advance(seconds(120));
    bench.dispatchers_look().await;
    assert_eq!(bench.status(id).await, MessageStatus::Canceled);
    assert_eq!(
        bench.service.retry(id, Actor::Operator).await,
        Err(MoveError::Stands(MessageStatus::Canceled))
    );
}

#[tokio::test]
async fn a_message_that_has_left_can_not_be_stopped() {
    let bench = Bench::start().await;
    let id = bench.send(KENYAN).await;
    bench.stands(id, MessageStatus::Sent).await;
    assert_eq!(bench.service.cancel(id, Actor::Operator).await, Err(MoveError::Stands(MessageStatus::Sent)));
}

#[tokio::test]
async fn a_message_that_failed_is_sent_again_when_somebody_asks() {
    let bench = Bench::setup().retry(|retry| retry.max_attempts = 1).start().await;
    let fault = testkit::sim::Fault::TooManyRequests { retry_after_s: None };
    bench.sim.inject(testkit::sim::FaultRule::next(1, fault)).unwrap();
    let id = bench.send(AMERICAN).await;
    bench.stands(id, MessageStatus::Failed).await;
    bench.service.retry(id, Actor::Operator).await.unwrap();
    let shown = bench.comes_to(id, MessageStatus::Sent).await;
    assert_eq!(shown.attempts.len(), 2);
    assert_eq!(bench.service.retry(id, Actor::Operator).await, Err(MoveError::Stands(MessageStatus::Sent)));
}

#[tokio::test]
async fn an_identical_text_to_the_same_number_is_refused_where_that_is_asked_for() {
    let guard = |settings: &mut gateway::Settings| settings.no_repeats_within = Some(seconds(60));
    let bench = Bench::setup().settings(guard).start().await;
    bench.send(KENYAN).await;
    assert_eq!(bench.try_send(KENYAN, text("Habari")).await.unwrap_err(), SendError::Repeated);
    bench.try_send(KENYAN, text("Habari yako")).await.unwrap();
    let receivers = [KENYAN, "+254712345679"].map(ToOwned::to_owned);
    let verdicts = bench.try_bulk(&receivers, text("Habari")).await.unwrap().verdicts;
    assert!(matches!(&verdicts[0], Verdict::Rejected { code, .. } if code == "repeated_message"));
    assert!(matches!(verdicts[1], Verdict::Accepted(_)));
    bench.clock.advance(seconds(61));
    bench.send(KENYAN).await;
}

#[tokio::test]
async fn without_the_guard_a_text_may_be_repeated() {
    let bench = Bench::start().await;
    bench.send(KENYAN).await;
    bench.send(KENYAN).await;
    bench.taken(2).await;
}

/// Invitations wait from nine in the evening to seven in the morning, by the receiver's clock.
fn quiet(settings: &mut gateway::Settings) {
    let by_scenario = BTreeMap::from([(Scenario::ChamaInvite, "21:00-07:00".parse().unwrap())]);
    settings.quiet_hours = Arc::new(QuietHours { by_scenario, zone: None });
}

#[tokio::test]
async fn an_invitation_waits_for_the_receivers_morning_and_a_code_does_not() {
    let bench = Bench::setup().settings(quiet).start().await;
    bench.clock.set("2027-01-10T20:00:00Z".parse().unwrap());
    let invitation = Content { scenario: Some("chama_invite".into()), ..text("Karibu") };
    let answer = bench.try_send(KENYAN, invitation.clone()).await.unwrap();
    assert_eq!(answer.status, MessageStatus::Scheduled);
    let code = Content { scenario: Some("otp".into()), ..text("Your code is 482913") };
    let code = bench.try_send(KENYAN, code).await.unwrap().id;
    bench.stands(code, MessageStatus::Sent).await;
    let american = bench.try_send(AMERICAN, invitation).await.unwrap().id;
    bench.stands(american, MessageStatus::Sent).await;
    assert_eq!(bench.status(answer.id).await, MessageStatus::Scheduled, "it is eleven in the evening there");
    bench.clock.set("2027-01-11T04:00:00Z".parse().unwrap());
    bench.stands(answer.id, MessageStatus::Sent).await;
}

#[tokio::test]
async fn invitations_still_queued_when_the_quiet_hours_begin_wait_for_their_end() {
    let bench = Bench::setup().settings(quiet).start().await;
    bench.clock.set("2027-01-10T17:59:00Z".parse().unwrap());
    let drained = "africastalking".parse().unwrap();
    let invitation = Content { scenario: Some("chama_invite".into()), ..text("Karibu") };
    bench.pause("dispatch.africastalking").await;
    let ids: Vec<_> = bench
        .try_bulk(&kenyans(3), invitation)
        .await
        .unwrap()
        .verdicts
        .into_iter()
        .filter_map(|verdict| match verdict {
            Verdict::Accepted(answer) => Some(answer.id),
            Verdict::AcceptedBefore { .. } | Verdict::Rejected { .. } => None,
        })
        .collect();
    bench.clock.set("2027-01-10T18:01:00Z".parse().unwrap());
    bench.service.set_worker_paused("dispatch.africastalking", false, Actor::Operator).await.unwrap();
    bench.service.resume(&drained, Actor::Operator).await.unwrap();
    bench.dispatchers_look().await;
    for id in &ids {
        assert!(!bench.status(*id).await.is_submitted_or_final());
    }
    bench.clock.set("2027-01-11T04:00:01Z".parse().unwrap());
    for id in ids {
        bench.stands(id, MessageStatus::Sent).await;
    }
}

#[tokio::test]
async fn a_worker_rests_and_works_again_as_told() {
    let bench = Bench::start().await;
    let unknown = bench.service.set_worker_paused("nobody", true, Actor::Operator).await;
    assert!(matches!(unknown, Err(PauseError::Unknown)), "{unknown:?}");
    bench.pause("dispatch.twilio").await;
    let paused = bench.send(AMERICAN).await;
    let other = bench.send(KENYAN).await;
    bench.stands(other, MessageStatus::Sent).await;
    assert_eq!(bench.status(paused).await, MessageStatus::Queued);
    let workers = bench.service.workers();
    let state = |name: &str| workers.iter().find(|worker| worker.name == name).unwrap().state;
    assert_eq!(state("dispatch.twilio"), WorkerState::Paused);
    assert_eq!(state("reconcile"), WorkerState::Running);
    bench.service.set_worker_paused("dispatch.twilio", false, Actor::Operator).await.unwrap();
    bench.stands(paused, MessageStatus::Sent).await;
}

#[tokio::test]
async fn a_message_that_waits_in_the_queue_for_three_days_has_expired() {
    let bench = Bench::start().await;
    bench.pause("dispatch.twilio").await;
    let id = bench.send(AMERICAN).await;
    bench.clock.advance(Duration::from_hours(73));
    let shown = bench.comes_to(id, MessageStatus::Expired).await;
    assert_eq!(shown.summary.failure.unwrap().reason, Reason::Expired);
}
