//! Attempts that nobody knows the end of: found out, or decided by the scenario's policy.

use std::time::Duration;

use domain::attempt::{OutcomeKind, Reason};
use domain::message::MessageStatus;
use domain::time::Clock as _;
use gateway::SystemClock;
use gateway::request::Content;
use store::port::messages::MessageRecord;
use testkit::sim::{Fault, FaultRule, Provider};

use crate::bench::{AMERICAN, Bench, KENYAN, seconds, text};

/// How each try ended, and by whom.
fn ends(record: &MessageRecord) -> Vec<(&str, Option<OutcomeKind>)> {
    let attempts = record.attempts.iter();
    attempts.map(|it| (it.provider.as_str(), it.ended.as_ref().map(|(_, end)| end.kind()))).collect()
}

/// A message whose first attempt ended in doubt.
async fn in_doubt(bench: &Bench, receiver: &str, scenario: &str, fault: Fault) -> domain::ids::MessageId {
    // The network says by its own clock when it took a message.
    bench.clock.set(SystemClock::default().now());
    bench.sim.inject(FaultRule::next(1, fault)).unwrap();
    let content = Content { scenario: Some(scenario.into()), ..text("Habari") };
    let id = bench.try_send(receiver, content).await.unwrap().id;
    let shown = bench.tried(id, 1).await;
    assert_eq!(shown.summary.status, MessageStatus::Sending, "{fault:?}");
    assert_eq!(ends(&shown)[0].1, Some(OutcomeKind::Ambiguous), "{fault:?}");
    id
}

#[tokio::test]
async fn what_twilio_has_is_adopted_and_not_sent_again() {
    for fault in [
        Fault::AcceptThenReset,
        Fault::AcceptThenError { status: 500 },
        Fault::AcceptThenError { status: 503 },
        Fault::MalformedAnswer,
    ] {
        let bench = Bench::start().await;
        let id = in_doubt(&bench, AMERICAN, "general", fault).await;
        let shown = bench.comes_to(id, MessageStatus::Sent).await;
        assert_eq!(ends(&shown), [("twilio", Some(OutcomeKind::Accepted))], "{fault:?}");
        let entries = bench.sim.ledger().by(Provider::Twilio);
        let ids: Vec<_> = entries.iter().map(|entry| entry.provider_message_id.as_str()).collect();
        assert_eq!(ids, [shown.acceptance().unwrap().provider_message_id.as_str()], "{fault:?}");
    }
}

#[tokio::test]
async fn what_twilio_certainly_has_not_is_sent_once_more() {
    for fault in [Fault::ResetBeforeAccept, Fault::Error { status: 502 }] {
        let bench = Bench::start().await;
        let id = in_doubt(&bench, AMERICAN, "general", fault).await;
        let shown = bench.comes_to(id, MessageStatus::Sent).await;
        let expected = [("twilio", Some(OutcomeKind::NotSubmitted)), ("twilio", Some(OutcomeKind::Accepted))];
        assert_eq!(ends(&shown), expected, "{fault:?}");
        assert_eq!(bench.sim.ledger().count(), 1, "{fault:?}");
        let waited = shown.attempts[1].started_at.since(shown.attempts[0].started_at);
        assert!(waited >= seconds(60), "a list may be behind: {waited:?}");
    }
}

#[tokio::test]
async fn two_equal_texts_in_doubt_are_not_taken_for_each_other() {
    let bench = Bench::start().await;
    let taken = in_doubt(&bench, AMERICAN, "general", Fault::AcceptThenReset).await;
    let absent = in_doubt(&bench, AMERICAN, "general", Fault::ResetBeforeAccept).await;
    let first = bench.comes_to(taken, MessageStatus::Sent).await;
    let second = bench.comes_to(absent, MessageStatus::Sent).await;
    let id = |record: &MessageRecord| record.acceptance().unwrap().provider_message_id.clone();
    assert_ne!(id(&first), id(&second));
    assert_eq!(bench.sim.ledger().count(), 2, "the receiver has two texts, as asked");
}

#[tokio::test]
async fn a_code_in_doubt_by_a_provider_that_can_not_be_asked_is_not_sent_again_and_says_so() {
    for scenario in ["otp", "transaction", "chama_withdrawal", "general"] {
        let bench = Bench::start().await;
        let id = in_doubt(&bench, KENYAN, scenario, Fault::AcceptThenReset).await;
        bench.clock.advance(Duration::from_hours(1));
        let shown = bench.comes_to(id, MessageStatus::Failed).await;
        assert_eq!(shown.summary.failure.as_ref().unwrap().reason, Reason::OutcomeUnknown, "{scenario}");
        assert_eq!(ends(&shown), [("africastalking", Some(OutcomeKind::Ambiguous))], "{scenario}");
        assert_eq!(bench.sim.ledger().count(), 1, "{scenario}");
    }
}

#[tokio::test]
async fn an_alert_or_invitation_in_doubt_is_sent_again_by_the_next_route() {
    for (scenario, decided_after) in [("alert", seconds(20)), ("chama_invite", Duration::from_hours(1))] {
        let bench = Bench::start().await;
        let id = in_doubt(&bench, KENYAN, scenario, Fault::ResetBeforeAccept).await;
        bench.clock.advance(decided_after);
        let shown = bench.comes_to(id, MessageStatus::Sent).await;
        let expected =
            [("africastalking", Some(OutcomeKind::Ambiguous)), ("twilio", Some(OutcomeKind::Accepted))];
        assert_eq!(ends(&shown), expected, "{scenario}");
    }
}

#[tokio::test]
async fn a_code_that_certainly_did_not_arrive_is_not_sent_after_its_time() {
    let bench = Bench::start().await;
    let id = in_doubt(&bench, AMERICAN, "otp", Fault::ResetBeforeAccept).await;
    let shown = bench.comes_to(id, MessageStatus::Expired).await;
    assert_eq!(ends(&shown), [("twilio", Some(OutcomeKind::NotSubmitted))]);
    assert_eq!(bench.sim.ledger().count(), 0);
}

#[tokio::test]
async fn a_doubt_outlives_a_restart() {
    let bench = Bench::start().await;
    let id = in_doubt(&bench, AMERICAN, "general", Fault::AcceptThenReset).await;
    let bench = bench.restart().await;
    bench.comes_to(id, MessageStatus::Sent).await;
    assert_eq!(bench.sim.ledger().count(), 1);
    let queue = bench.service.queue().await.unwrap();
    assert_eq!((queue.reconciler.found, queue.watches.len()), (1, 0));
}
