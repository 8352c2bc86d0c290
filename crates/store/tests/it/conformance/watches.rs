//! Messages on watch: taken when due, given back, and settled.

use domain::attempt::{Failure, Reason};
use domain::ids::MessageId;
use domain::message::MessageStatus;
use domain::receipt::{Receipt, ReceiptStatus};
use store::port::messages::Resend;
use store::port::queue::{AttemptEnd, Claim, Next};
use store::port::watches::{TakeWatches, Verdict, WatchCount, WatchKind, Watched};

use super::sweep;
use crate::support::{
    Bench, Fixture, HOUR, LEASE, MINUTE, NOW, SECOND, accepted, claim, end, message, provider, receipt_for,
    resend,
};

/// A message that a provider has, looked after a minute later.
async fn silent<F: Fixture>(bench: &Bench<F>, n: u64) -> MessageId {
    let claimed = bench.add_and_take(message(n)).await;
    let end = end(&claimed, accepted(&format!("SM{n}")), Next::Stop);
    let watch_at = Some(claimed.due_at.plus(MINUTE));
    bench.finish(vec![AttemptEnd { watch_at, ..end }]).await.unwrap();
    claimed.submission.message_id
}

/// A receipt that says why it was not delivered.
fn because(id: MessageId, reason: Reason) -> Receipt {
    let failure = Some(Failure::new(reason));
    Receipt { failure, ..receipt_for(id, ReceiptStatus::Undelivered) }
}

fn ids(watched: &[Watched]) -> Vec<MessageId> {
    watched.iter().map(|watched| watched.message.id).collect()
}

pub(crate) async fn taken_watch_comes_back_when_its_lease_ends<F: Fixture>(mut bench: Bench<F>) {
    silent(&bench, 1).await;
    let now = NOW.plus(2 * MINUTE);
    assert_eq!(bench.look(now).await.len(), 1);
    assert_eq!(bench.look(now).await.len(), 0);
    // Also if the taker dies.
    bench.reopen().await;
    assert_eq!(bench.look(now.plus(LEASE)).await.len(), 1);
}

pub(crate) async fn watches_are_taken_in_the_order_of_their_time_and_no_more_than_asked<F: Fixture>(
    bench: Bench<F>,
) {
    let mut expected = Vec::new();
    for n in 1..=5 {
        expected.push(silent(&bench, n).await);
    }
    let now = NOW.plus(HOUR);
    let some = |limit| TakeWatches { now, lease_until: now.plus(LEASE), limit };
    let mut taken = ids(&bench.take_watches(some(2)).await.unwrap());
    taken.extend(ids(&bench.take_watches(some(2)).await.unwrap()));
    taken.extend(ids(&bench.take_watches(some(2)).await.unwrap()));
    assert_eq!(taken, expected);
    assert_eq!(bench.take_watches(some(2)).await.unwrap().len(), 0);
}

pub(crate) async fn watch_is_set_anew_or_ended_as_decided<F: Fixture>(bench: Bench<F>) {
    silent(&bench, 1).await;
    let watched = bench.look(NOW.plus(HOUR)).await.remove(0);
    bench.decide(&watched, Verdict::Again(NOW.plus(2 * HOUR))).await;
    assert_eq!(bench.look(NOW.plus(HOUR + 10 * MINUTE)).await.len(), 0);
    let watched = bench.look(NOW.plus(2 * HOUR)).await.remove(0);
    bench.decide(&watched, Verdict::Done).await;
    assert_eq!(bench.watches().await, 0);
    // What was settled before is not settled again.
    bench.decide(&watched, Verdict::Again(NOW)).await;
    assert_eq!(bench.watches().await, 0);
}

pub(crate) async fn doubt_does_not_end_because_somebody_says_so<F: Fixture>(bench: Bench<F>) {
    bench.add_and_doubt(message(1)).await;
    let watched = bench.look(NOW.plus(HOUR)).await.remove(0);
    bench.decide(&watched, Verdict::Done).await;
    assert_eq!(bench.look(NOW.plus(3 * HOUR)).await.len(), 1);
}

pub(crate) async fn pointless_watches_end_and_make_room_for_others<F: Fixture>(bench: Bench<F>) {
    for n in 1..=3 {
        let id = silent(&bench, n).await;
        bench.receive(receipt_for(id, ReceiptStatus::Delivered)).await;
    }
    let id = silent(&bench, 4).await;
    let now = NOW.plus(HOUR);
    let take = TakeWatches { now, lease_until: now.plus(LEASE), limit: 1 };
    assert_eq!(ids(&bench.take_watches(take).await.unwrap()), [id]);
    assert_eq!(bench.watches().await, 1);
}

pub(crate) async fn silence_of_an_attempt_is_pointless_once_there_is_a_later_one<F: Fixture>(
    bench: Bench<F>,
) {
    let id = silent(&bench, 1).await;
    bench.resend(resend(id, NOW.plus(SECOND))).await.unwrap();
    assert_eq!(bench.take(NOW.plus(SECOND)).await.len(), 1);
    assert_eq!(bench.look(NOW.plus(HOUR)).await.len(), 0);
    assert_eq!(bench.watches().await, 0);
}

pub(crate) async fn receipt_of_a_fault_that_another_route_may_not_share_sets_a_watch<F: Fixture>(
    bench: Bench<F>,
) {
    for (n, reason) in (1..).zip(Reason::ALL) {
        let id = bench.add_and_send(message(n), "SM1").await;
        bench.receive(because(id, *reason)).await;
        let watched = bench.look(NOW.plus(MINUTE)).await;
        assert_eq!(watched.len(), usize::from(reason.another_route_may_help()), "{reason}");
        for watched in watched {
            assert_eq!((watched.kind, watched.message.id), (WatchKind::Undelivered, id));
            assert_eq!(watched.failure, Some(Failure::new(*reason)));
            bench.decide(&watched, Verdict::Done).await;
        }
    }
    // It moved nothing, and so asks for nothing.
    let id = bench.add_and_send(message(99), "SM1").await;
    bench.receive(receipt_for(id, ReceiptStatus::Delivered)).await;
    bench.receive(because(id, Reason::OperatorDown)).await;
    assert_eq!(bench.watches().await, 0);
}

pub(crate) async fn undelivered_message_is_sent_again_by_another_route<F: Fixture>(bench: Bench<F>) {
    let id = bench.add_and_send(message(1), "SM1").await;
    bench.receive(because(id, Reason::SenderNotAllowed)).await;
    let watched = bench.look(NOW.plus(MINUTE)).await.remove(0);
    let again = Resend {
        last_attempt: Some(1),
        provider: provider("africastalking"),
        failure: watched.failure.clone(),
        refused_by: watched.asked.clone(),
        ..resend(id, NOW.plus(MINUTE))
    };
    bench.decide(&watched, Verdict::Resend(again)).await;
    let summary = bench.show(id).await.summary;
    assert_eq!((summary.status, &summary.provider), (MessageStatus::Queued, &provider("africastalking")));
    assert_eq!(summary.failure, Some(Failure::new(Reason::SenderNotAllowed)));
    assert_eq!(bench.watches().await, 0);
    let theirs = claim(NOW.plus(MINUTE));
    let claims = bench.claim(Claim { provider: provider("africastalking"), ..theirs }).await.unwrap();
    assert_eq!(claims.claimed[0].submission.attempt, 2);
    assert_eq!(claims.claimed[0].refused_by, [provider("twilio")]);
}

pub(crate) async fn undelivered_message_whose_attempt_is_under_way_is_looked_after_when_it_has_ended<
    F: Fixture,
>(
    bench: Bench<F>,
) {
    let claimed = bench.add_and_take(message(1)).await;
    let id = claimed.submission.message_id;
    bench.receive(because(id, Reason::OperatorDown)).await;
    let now = NOW.plus(MINUTE);
    assert_eq!(bench.look(now).await.len(), 0);
    bench.end(&claimed, accepted("SM1"), Next::Stop).await;
    assert_eq!(ids(&bench.look(now.plus(SECOND)).await), [id]);
}

pub(crate) async fn message_that_waited_in_vain_ends_by_where_it_stood<F: Fixture>(bench: Bench<F>) {
    // Sent; and queued again since somebody looked.
    let sent = silent(&bench, 1).await;
    let resent = silent(&bench, 2).await;
    let watched = bench.look(NOW.plus(HOUR)).await;
    bench.resend(resend(resent, NOW.plus(HOUR))).await.unwrap();
    for watched in &watched {
        bench.decide(watched, Verdict::WaitedInVain(NOW.plus(HOUR))).await;
    }
    let summary = bench.show(sent).await.summary;
    assert_eq!(summary.status, MessageStatus::Undelivered);
    assert_eq!(summary.failure, Some(Failure::new(Reason::NoReceipt)));
    // That verdict was about another round.
    assert_eq!(bench.status(resent).await, MessageStatus::Queued);
    // A receipt still outranks it.
    bench.receive(receipt_for(sent, ReceiptStatus::Delivered)).await;
    assert_eq!(bench.status(sent).await, MessageStatus::Delivered);
}

pub(crate) async fn watches_of_one_moment_are_kept_apart<F: Fixture>(bench: Bench<F>) {
    // A silence and an undelivered receipt of one message, due in the same microsecond.
    let id = silent(&bench, 1).await;
    let received_at = message(1).message.created_at.plus(MINUTE);
    bench.receive(Receipt { received_at, ..because(id, Reason::OperatorDown) }).await;
    assert_eq!(bench.watches().await, 2);
    // The silence has become pointless.
    let watched = bench.look(NOW.plus(HOUR)).await;
    assert_eq!(watched.iter().map(|watched| watched.kind).collect::<Vec<_>>(), [WatchKind::Undelivered]);
}

pub(crate) async fn watches_are_counted_by_kind<F: Fixture>(bench: Bench<F>) {
    assert_eq!(bench.watch_counts().await, Ok(Vec::new()));
    bench.add_and_doubt(message(1)).await;
    bench.add_and_doubt(message(2)).await;
    silent(&bench, 3).await;
    let accepted_at = |n| message(n).message.created_at;
    let count = |kind, watches, next_due_at, n| WatchCount {
        kind,
        watches,
        next_due_at,
        oldest_accepted_at: accepted_at(n),
    };
    assert_eq!(
        bench.watch_counts().await.unwrap(),
        [
            count(WatchKind::Doubt, 2, accepted_at(1).plus(SECOND + MINUTE), 1),
            count(WatchKind::Silence, 1, accepted_at(3).plus(MINUTE), 3),
        ]
    );
}

pub(crate) async fn message_under_way_is_not_ended_by_silence<F: Fixture>(bench: Bench<F>) {
    let claimed = bench.add_and_take(message(1)).await;
    let now = NOW.plus(200 * HOUR);
    bench.sweep(sweep::at(now)).await.unwrap();
    let watched = bench.look(now).await.remove(0);
    bench.decide(&watched, Verdict::WaitedInVain(now)).await;
    assert_eq!(bench.status(claimed.submission.message_id).await, MessageStatus::Sending);
    assert_eq!(bench.look(now.plus(HOUR)).await.len(), 1);
}
