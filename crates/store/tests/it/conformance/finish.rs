//! How attempts end, and what comes next.

use std::time::Duration;

use domain::attempt::{Acceptance, Failure, Reason, SubmitOutcome};
use domain::ids::MessageId;
use domain::message::MessageStatus;
use domain::money::Money;
use domain::receipt::ReceiptStatus;
use domain::scenario::Priority;
use store::port::queue::{AttemptEnd, Claim, Next, Recovery};

use crate::support::{
    Bench, Fixture, HOUR, MINUTE, NOW, SECOND, With, accepted, ambiguous, claim, end, message, node,
    not_submitted, provider, provider_id, receipt_for, rejected, retry,
};

pub(crate) async fn each_outcome_leads_where_it_should<F: Fixture>(bench: Bench<F>) {
    use MessageStatus::{Expired, Failed, Queued, Sending, Sent};
    let outcomes = [accepted("SM1"), rejected(), not_submitted(), ambiguous()];
    let (stop, expire, wait, again) = (Next::Stop, Next::Expire, Next::Wait, retry(NOW.plus(HOUR)));
    let table = [
        (&outcomes[0], [(&stop, Sent), (&expire, Sent), (&wait, Sent), (&again, Sent)]),
        (&outcomes[1], [(&stop, Failed), (&expire, Expired), (&wait, Sending), (&again, Queued)]),
        (&outcomes[2], [(&stop, Failed), (&expire, Expired), (&wait, Sending), (&again, Queued)]),
        (&outcomes[3], [(&stop, Failed), (&expire, Expired), (&wait, Sending), (&again, Queued)]),
    ];
    let mut n = 0;
    for (outcome, ends) in table {
        for (next, status) in ends {
            n += 1;
            let claimed = bench.add_and_take(message(n)).await;
            bench.end(&claimed, outcome.clone(), next.clone()).await;

            let shown = bench.show(message(n).id()).await;
            let case = format!("{:?} then {next:?}", outcome.kind());
            assert_eq!(shown.summary.status, status, "{case}");
            // The reason stands in the message's own row as soon as the status moved because of it.
            let (too_late, unknown) = (Failure::new(Reason::Expired), Failure::new(Reason::OutcomeUnknown));
            let failure = match (status, &outcome) {
                (Sending, _) => None,
                (Expired, _) => Some(&too_late),
                // What counts is that nobody knows, whatever the attempt met.
                (Failed, SubmitOutcome::Ambiguous(_)) => Some(&unknown),
                _ => outcome.failure(),
            };
            assert_eq!(shown.summary.failure.as_ref(), failure, "{case}");
            let ended = Some((claimed.due_at.plus(SECOND), outcome.clone()));
            assert_eq!(shown.attempts.len(), 1, "{case}");
            assert_eq!(shown.attempts[0].ended, ended, "{case}");
            let waiting: u64 = bench.depth(NOW).await.unwrap().iter().map(|lane| lane.messages).sum();
            assert_eq!(waiting, u64::from(status == Queued), "{case}");
            assert_eq!(bench.take(NOW.plus(2 * HOUR)).await.len(), usize::from(status == Queued), "{case}");
        }
    }
}

pub(crate) async fn acceptance_is_kept_with_id_segments_and_cost<F: Fixture>(bench: Bench<F>) {
    let costs = [
        None,
        Some(Money::new(800_000, "KES").unwrap()),
        Some(Money::new(0, "USD").unwrap()),
        Some(Money::new(-7_900, "USD").unwrap()),
        Some(Money::new(i64::MAX, "UGX").unwrap()),
        Some(Money::new(i64::MIN, "UGX").unwrap()),
    ];
    for (n, cost) in (1..).zip(costs) {
        let claimed = bench.add_and_take(message(n)).await;
        let segments = (n % 2 == 0).then_some(u16::MAX);
        let id = ["ATXid_é🏦", "SM00000000000000000000000000000000"][usize::from(n % 2 == 0)];
        let acceptance = Acceptance { provider_message_id: provider_id(id), segments, cost };
        let outcome = SubmitOutcome::Accepted(acceptance);
        bench.end(&claimed, outcome.clone(), Next::Stop).await;
        let shown = bench.show(message(n).id()).await;
        assert_eq!(shown.attempts[0].ended.as_ref().map(|(_, outcome)| outcome), Some(&outcome));
    }
}

pub(crate) async fn each_reason_and_code_reads_back<F: Fixture>(bench: Bench<F>) {
    for (n, reason) in (1..).zip(Reason::ALL) {
        let failure = match n % 2 {
            0 => Failure::new(*reason),
            _ => Failure::with_code(*reason, "code \"é\" ⚡"),
        };
        let claimed = bench.add_and_take(message(n)).await;
        bench.end(&claimed, SubmitOutcome::Rejected(failure.clone()), Next::Stop).await;
        let shown = bench.show(message(n).id()).await;
        assert_eq!(shown.summary.failure.as_ref(), Some(&failure));
        let ended = shown.attempts[0].ended.as_ref().map(|(_, outcome)| outcome);
        assert_eq!(ended, Some(&SubmitOutcome::Rejected(failure)));
    }
}

pub(crate) async fn retry_is_claimed_as_the_second_attempt_once_due<F: Fixture>(bench: Bench<F>) {
    let claimed = bench.add_and_take(message(1)).await;
    let due_at = NOW.plus(HOUR);
    bench.end(&claimed, not_submitted(), retry(due_at)).await;
    assert_eq!(bench.status(message(1).id()).await, MessageStatus::Queued);
    let early = bench.claim(claim(due_at.minus(Duration::from_micros(1)))).await.unwrap();
    assert_eq!((early.claimed.len(), early.next_due[2]), (0, Some(due_at)));

    let again = bench.take(due_at).await;
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].submission.attempt, 2);
    assert_eq!(again[0].submission.body, claimed.submission.body);
    assert_eq!((again[0].due_at, again[0].created_at), (due_at, claimed.created_at));

    let shown = bench.show(message(1).id()).await;
    assert_eq!(shown.summary.status, MessageStatus::Sending);
    assert_eq!(shown.summary.failure, None);
    assert_eq!(shown.attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(shown.attempts[0].ended.as_ref().map(|(_, outcome)| outcome), Some(&not_submitted()));
    assert_eq!(shown.attempts[1].ended, None);
}

pub(crate) async fn retry_takes_the_provider_lane_and_expiry_that_it_was_given<F: Fixture>(bench: Bench<F>) {
    let claimed = bench.add_and_take(message(1)).await;
    let next = Next::Retry {
        provider: provider("africastalking"),
        priority: Priority::High,
        due_at: NOW.plus(MINUTE),
        expires_at: Some(NOW.plus(HOUR)),
        refused_by: Vec::new(),
    };
    bench.end(&claimed, rejected(), next).await;
    assert_eq!(bench.show(message(1).id()).await.summary.provider, provider("africastalking"));
    assert_eq!(bench.take(NOW.plus(10 * MINUTE)).await.len(), 0);

    let theirs = Claim { provider: provider("africastalking"), ..claim(NOW.plus(10 * MINUTE)) };
    let claims = bench.claim(theirs).await.unwrap();
    assert_eq!(claims.claimed.len(), 1);
    assert_eq!(claims.claimed[0].priority, Priority::High);
    assert_eq!(claims.claimed[0].submission.expires_at, Some(NOW.plus(HOUR)));
    let attempts = bench.show(message(1).id()).await.attempts;
    assert_eq!(attempts[0].provider, provider("twilio"));
    assert_eq!(attempts[1].provider, provider("africastalking"));
}

pub(crate) async fn retry_whose_time_ran_out_expires<F: Fixture>(bench: Bench<F>) {
    let claimed = bench.add_and_take(message(1)).await;
    let next = Next::Retry {
        provider: provider("twilio"),
        priority: Priority::Normal,
        due_at: NOW.plus(MINUTE),
        expires_at: Some(NOW.plus(2 * MINUTE)),
        refused_by: Vec::new(),
    };
    bench.end(&claimed, not_submitted(), next).await;
    let claims = bench.claim(claim(NOW.plus(HOUR))).await.unwrap();
    assert_eq!((claims.claimed.len(), claims.expired), (0, vec![message(1).id()]));
    assert_eq!(bench.status(message(1).id()).await, MessageStatus::Expired);
}

pub(crate) async fn attempts_are_counted_over_many_retries<F: Fixture>(bench: Bench<F>) {
    bench.add([message(1)]).await;
    for n in 1..=20 {
        let now = NOW.plus(HOUR * n);
        let claimed = bench.take(now).await;
        assert_eq!(claimed[0].submission.attempt, u16::try_from(n).unwrap());
        bench.end(&claimed[0], not_submitted(), retry(now.plus(MINUTE))).await;
    }
    assert_eq!(bench.show(message(1).id()).await.attempts.len(), 20);
}

pub(crate) async fn attempt_ends_once<F: Fixture>(bench: Bench<F>) {
    for (n, first) in (1..).zip([accepted("SM1"), rejected(), not_submitted()]) {
        let claimed = bench.add_and_take(message(n)).await;
        bench.end(&claimed, first.clone(), Next::Stop).await;
        let before = bench.show(message(n).id()).await;
        for second in [accepted("SM2"), rejected(), not_submitted(), ambiguous()] {
            for next in [Next::Stop, Next::Expire, Next::Wait, retry(NOW.plus(MINUTE))] {
                bench.end(&claimed, second.clone(), next).await;
            }
        }
        let after = bench.show(message(n).id()).await;
        assert_eq!(after.attempts, before.attempts);
        assert_eq!(after.summary.status, before.summary.status);
        assert_eq!(after.summary.failure, before.summary.failure);
        assert_eq!(bench.take(NOW.plus(HOUR)).await.len(), 0);
    }
}

pub(crate) async fn attempt_ends_once_within_one_call<F: Fixture>(bench: Bench<F>) {
    let claimed = bench.add_and_take(message(1)).await;
    let ends = vec![end(&claimed, rejected(), Next::Stop), end(&claimed, accepted("SM1"), Next::Stop)];
    bench.finish(ends).await.unwrap();
    assert_eq!(bench.status(message(1).id()).await, MessageStatus::Failed);
}

pub(crate) async fn ambiguous_attempt_may_still_end_in_any_way<F: Fixture>(bench: Bench<F>) {
    use MessageStatus::{Expired, Failed, Queued, Sent};
    let endings = [
        (accepted("SM1"), Next::Stop, Sent),
        (rejected(), Next::Stop, Failed),
        (not_submitted(), retry(NOW.plus(HOUR)), Queued),
        (ambiguous(), Next::Stop, Failed),
        (ambiguous(), Next::Expire, Expired),
        (ambiguous(), retry(NOW.plus(HOUR)), Queued),
    ];
    for (n, (outcome, next, status)) in (1..).zip(endings) {
        let claimed = bench.add_and_take(message(n)).await;
        bench.end(&claimed, ambiguous(), Next::Wait).await;
        assert_eq!(bench.status(message(n).id()).await, MessageStatus::Sending);
        bench.end(&claimed, outcome.clone(), next).await;
        let shown = bench.show(message(n).id()).await;
        assert_eq!(shown.summary.status, status);
        assert_eq!(shown.attempts.len(), 1);
        assert_eq!(shown.attempts[0].ended.as_ref().map(|(_, outcome)| outcome), Some(&outcome));
        assert_eq!(bench.take(NOW.plus(2 * HOUR)).await.len(), usize::from(status == Queued));
    }
}

pub(crate) async fn ambiguous_attempt_is_not_tried_again_twice<F: Fixture>(bench: Bench<F>) {
    // Somebody gave the attempt up and tries again; then its own worker comes back and wants the same.
    let claimed = bench.add_and_take(message(1)).await;
    bench.end(&claimed, ambiguous(), retry(NOW.plus(MINUTE))).await;
    bench.end(&claimed, not_submitted(), retry(NOW.plus(2 * MINUTE))).await;
    bench.end(&claimed, ambiguous(), retry(NOW.plus(MINUTE))).await;
    let again = bench.take(NOW.plus(HOUR)).await;
    assert_eq!(again.iter().map(|claimed| claimed.submission.attempt).collect::<Vec<_>>(), [2]);
    assert_eq!(bench.take(NOW.plus(HOUR)).await.len(), 0);
}

pub(crate) async fn late_end_of_an_earlier_attempt_does_not_queue_the_message_beside_an_open_one<
    F: Fixture,
>(
    bench: Bench<F>,
) {
    let first = bench.add_and_take(message(1)).await;
    bench.end(&first, ambiguous(), retry(NOW.plus(MINUTE))).await;
    let second = bench.take(NOW.plus(HOUR)).await.remove(0);
    bench.end(&first, not_submitted(), retry(NOW.plus(2 * MINUTE))).await;
    let shown = bench.show(message(1).id()).await;
    assert_eq!(shown.summary.status, MessageStatus::Sending);
    assert_eq!(bench.take(NOW.plus(HOUR)).await.len(), 0);
    bench.end(&second, accepted("SM2"), Next::Stop).await;
    assert_eq!(bench.status(message(1).id()).await, MessageStatus::Sent);
}

pub(crate) async fn late_refusal_of_an_earlier_attempt_does_not_stop_a_later_one<F: Fixture>(
    bench: Bench<F>,
) {
    let first = bench.add_and_take(message(1)).await;
    bench.end(&first, ambiguous(), retry(NOW.plus(MINUTE))).await;
    bench.end(&first, rejected(), Next::Stop).await;
    assert_eq!(bench.status(message(1).id()).await, MessageStatus::Queued);
    let second = bench.take(NOW.plus(HOUR)).await.remove(0);
    assert_eq!(bench.status(message(1).id()).await, MessageStatus::Sending);
    assert_eq!(second.submission.attempt, 2);
}

pub(crate) async fn late_acceptance_of_an_earlier_attempt_takes_the_message_off_the_queue<F: Fixture>(
    bench: Bench<F>,
) {
    let first = bench.add_and_take(message(1)).await;
    bench.end(&first, ambiguous(), retry(NOW.plus(MINUTE))).await;
    bench.end(&first, accepted("SM1"), Next::Stop).await;
    assert_eq!(bench.status(message(1).id()).await, MessageStatus::Sent);
    assert_eq!(bench.take(NOW.plus(HOUR)).await.len(), 0);
    assert_eq!(bench.show(message(1).id()).await.attempts.len(), 1);
}

pub(crate) async fn receipt_that_came_first_prevents_the_retry<F: Fixture>(bench: Bench<F>) {
    for (n, status) in (1..).zip(ReceiptStatus::ALL) {
        let claimed = bench.add_and_take(message(n)).await;
        bench.receive(receipt_for(message(n).id(), *status)).await;
        let settled = bench.status(message(n).id()).await;
        bench.end(&claimed, ambiguous(), retry(NOW.plus(MINUTE))).await;
        assert_eq!(bench.status(message(n).id()).await, settled, "{status}");
        assert_eq!(bench.take(NOW.plus(HOUR)).await.len(), 0, "{status}");
    }
}

pub(crate) async fn end_of_an_attempt_that_never_was_changes_nothing<F: Fixture>(bench: Bench<F>) {
    let claimed = bench.add_and_take(message(1)).await;
    let other_number = AttemptEnd { attempt: 2, ..end(&claimed, rejected(), Next::Stop) };
    let other_message =
        AttemptEnd { message_id: MessageId::new(NOW, [9; 10]), ..end(&claimed, accepted("SM1"), Next::Stop) };
    bench.finish(vec![other_number, other_message]).await.unwrap();
    assert_eq!(bench.status(message(1).id()).await, MessageStatus::Sending);
    assert_eq!(bench.show(message(1).id()).await.attempts[0].ended, None);
}

pub(crate) async fn many_attempts_end_in_one_call<F: Fixture>(bench: Bench<F>) {
    bench.add((0..100).map(message)).await;
    let claimed = bench.take(NOW.plus(MINUTE)).await;
    let ends = claimed.iter().enumerate().map(|(n, claimed)| match n % 3 {
        0 => end(claimed, accepted(&format!("SM{n}")), Next::Stop),
        1 => end(claimed, rejected(), Next::Stop),
        _ => end(claimed, not_submitted(), retry(NOW.plus(HOUR))),
    });
    bench.finish(ends.collect()).await.unwrap();
    for (n, claimed) in claimed.iter().enumerate() {
        let expected = [MessageStatus::Sent, MessageStatus::Failed, MessageStatus::Queued][n % 3];
        assert_eq!(bench.status(claimed.submission.message_id).await, expected);
    }
    assert_eq!(bench.take(NOW.plus(HOUR)).await.len(), 33);
}

pub(crate) async fn outcome_survives_reopening<F: Fixture>(mut bench: Bench<F>) {
    let id = bench.add_and_send(message(1), "SM1").await;
    bench.reopen().await;
    assert_eq!(bench.status(id).await, MessageStatus::Sent);
    let ended = bench.show(id).await.attempts[0].ended.clone();
    assert_eq!(ended.map(|(_, outcome)| outcome), Some(accepted("SM1")));
}

/// Closes what other nodes left, a lease's length after the start.
fn recovery(now: domain::time::Timestamp, only_node: bool) -> Recovery {
    Recovery { node: node(1), now, only_node }
}

fn crashed() -> SubmitOutcome {
    SubmitOutcome::Ambiguous(Failure::new(Reason::Crashed))
}

pub(crate) async fn recovery_closes_attempts_whose_lease_has_run_out<F: Fixture>(bench: Bench<F>) {
    bench.add([message(1)]).await;
    let early = Claim { lease_until: NOW.plus(MINUTE), node: node(2), ..claim(NOW.plus(SECOND)) };
    bench.claim(early).await.unwrap();
    bench.add([message(2)]).await;
    let late = Claim { lease_until: NOW.plus(2 * MINUTE), node: node(2), ..claim(NOW.plus(SECOND)) };
    bench.claim(late).await.unwrap();

    let just_before = NOW.plus(MINUTE).minus(Duration::from_micros(1));
    assert_eq!(bench.recover(recovery(just_before, false)).await, Ok(0));
    assert_eq!(bench.recover(recovery(NOW.plus(MINUTE), false)).await, Ok(1));
    let closed = bench.show(message(1).id()).await;
    assert_eq!(closed.attempts[0].ended, Some((NOW.plus(MINUTE), crashed())));
    // It may have been sent: it stays where it is, and nobody gets it again.
    assert_eq!(closed.summary.status, MessageStatus::Sending);
    assert_eq!(bench.take(NOW.plus(HOUR)).await.len(), 0);
    assert_eq!(bench.show(message(2).id()).await.attempts[0].ended, None);
    assert_eq!(bench.recover(recovery(NOW.plus(MINUTE), false)).await, Ok(0));
}

pub(crate) async fn recovery_of_the_only_node_closes_all_of_others_and_leaves_its_own<F: Fixture>(
    bench: Bench<F>,
) {
    for n in 1..=3 {
        bench.add([message(n)]).await;
        bench.claim(Claim { node: node(n), ..claim(NOW.plus(SECOND)) }).await.unwrap();
    }
    assert_eq!(bench.recover(recovery(NOW.plus(2 * SECOND), true)).await, Ok(2));
    assert_eq!(bench.show(message(1).id()).await.attempts[0].ended, None);
    for n in [2, 3] {
        let ended = bench.show(message(n).id()).await.attempts[0].ended.clone();
        assert_eq!(ended, Some((NOW.plus(2 * SECOND), crashed())));
    }
}

pub(crate) async fn recovery_leaves_attempts_that_have_ended<F: Fixture>(bench: Bench<F>) {
    let endings = [accepted("SM1"), rejected(), not_submitted(), ambiguous()];
    for (n, outcome) in (1..).zip(&endings) {
        let claimed = bench.add_and_take(message(n)).await;
        bench.end(&claimed, outcome.clone(), Next::Wait).await;
    }
    let other = Recovery { node: node(9), ..recovery(NOW.plus(HOUR), true) };
    assert_eq!(bench.recover(other).await, Ok(0));
    for (n, outcome) in (1..).zip(endings) {
        let ended = bench.show(message(n).id()).await.attempts[0].ended.clone();
        assert_eq!(ended.map(|(_, outcome)| outcome), Some(outcome));
    }
}

pub(crate) async fn late_end_after_a_recovery_still_wins<F: Fixture>(bench: Bench<F>) {
    let endings = [
        (accepted("SM1"), Next::Stop, MessageStatus::Sent),
        (rejected(), Next::Stop, MessageStatus::Failed),
        (not_submitted(), retry(NOW.plus(2 * HOUR)), MessageStatus::Queued),
    ];
    for (n, (outcome, next, status)) in (1..).zip(endings) {
        let claimed = bench.add_and_take(message(n)).await;
        assert_eq!(bench.recover(recovery(NOW.plus(HOUR), false)).await, Ok(1));
        bench.end(&claimed, outcome.clone(), next).await;
        let shown = bench.show(message(n).id()).await;
        assert_eq!(shown.summary.status, status);
        assert_eq!(shown.attempts[0].ended.as_ref().map(|(_, outcome)| outcome), Some(&outcome));
    }
}

pub(crate) async fn recovery_finds_what_a_closed_store_left_open<F: Fixture>(mut bench: Bench<F>) {
    bench.add_and_take(message(1)).await;
    bench.reopen().await;
    let new_process = Recovery { node: node(2), ..recovery(NOW.plus(SECOND), true) };
    assert_eq!(bench.recover(new_process).await, Ok(1));
    assert_eq!(bench.status(message(1).id()).await, MessageStatus::Sending);
}
