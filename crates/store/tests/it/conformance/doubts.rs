//! Attempts whose end nobody knows, and what tells it after all.

use domain::attempt::{Failure, Reason, SubmitOutcome};
use domain::message::MessageStatus;
use domain::receipt::{Receipt, ReceiptStatus};
use domain::time::Timestamp;
use store::port::queue::{AttemptEnd, Next, Recovery};
use store::port::receipts::ReceiptFate;
use store::port::watches::{Verdict, WatchKind};

use crate::support::{
    Bench, Fixture, HOUR, MINUTE, NOW, SECOND, With, accepted, ambiguous, end, message, message_at, node,
    not_submitted, provider, provider_id, receipt_by, receipt_for, receiver, rejected, resend, retry,
};

/// A receipt in the words of a provider that knows no id of ours, about the first receiver.
fn unnamed(id: &str, status: ReceiptStatus, received_at: Timestamp) -> Receipt {
    Receipt { received_at, ..receipt_by(id, receiver(1), status) }
}

/// What the provider calls the first attempt at the first message, once that is known.
async fn first_id<F: Fixture>(bench: &Bench<F>) -> Option<String> {
    match &bench.show(message(1).id()).await.attempts[0].ended {
        Some((_, SubmitOutcome::Accepted(acceptance))) => {
            Some(acceptance.provider_message_id.as_str().into())
        }
        _ => None,
    }
}

pub(crate) async fn ambiguous_end_is_on_watch_from_the_time_it_says<F: Fixture>(bench: Bench<F>) {
    let claimed = bench.add_and_doubt(message(1)).await;
    let due_at = claimed.due_at.plus(SECOND + MINUTE);
    assert_eq!(bench.look(due_at.minus(SECOND)).await.len(), 0);
    let watched = bench.look(due_at).await;
    assert_eq!(watched.len(), 1);
    assert_eq!((watched[0].kind, watched[0].status), (WatchKind::Doubt, MessageStatus::Sending));
    assert_eq!(watched[0].message, message(1).message);
    assert_eq!(watched[0].attempt, bench.show(message(1).id()).await.attempts[0]);
    assert_eq!((&watched[0].asked[..], watched[0].has_rival), (&[provider("twilio")][..], false));
}

pub(crate) async fn ambiguous_end_without_a_time_is_looked_after_at_once<F: Fixture>(bench: Bench<F>) {
    let claimed = bench.add_and_take(message(1)).await;
    bench.end(&claimed, ambiguous(), Next::Wait).await;
    assert_eq!(bench.look(claimed.due_at.plus(SECOND)).await.len(), 1);
}

pub(crate) async fn given_up_attempt_keeps_its_reason_and_the_message_says_that_nobody_knows<F: Fixture>(
    bench: Bench<F>,
) {
    let claimed = bench.add_and_doubt(message(1)).await;
    let watched = bench.look(NOW.plus(HOUR)).await.remove(0);
    bench.decide(&watched, Verdict::Ended(end(&claimed, ambiguous(), Next::Stop))).await;
    let shown = bench.show(message(1).id()).await;
    assert_eq!(shown.summary.status, MessageStatus::Failed);
    assert_eq!(shown.summary.failure, Some(Failure::new(Reason::OutcomeUnknown)));
    assert_eq!(shown.attempts[0].ended.as_ref().map(|(_, outcome)| outcome), Some(&ambiguous()));
    assert_eq!(bench.watches().await, 0);
}

pub(crate) async fn attempt_in_doubt_that_was_found_out_ends_as_it_did<F: Fixture>(bench: Bench<F>) {
    let endings = [
        (accepted("SM1"), Next::Stop, MessageStatus::Sent),
        (not_submitted(), retry(NOW.plus(2 * HOUR)), MessageStatus::Queued),
        (ambiguous(), retry(NOW.plus(2 * HOUR)), MessageStatus::Queued),
    ];
    for (n, (outcome, next, status)) in (1..).zip(endings) {
        let claimed = bench.add_and_doubt(message(n)).await;
        let watched = bench.look(NOW.plus(HOUR)).await.remove(0);
        bench.decide(&watched, Verdict::Ended(end(&claimed, outcome, next))).await;
        assert_eq!((bench.status(message(n).id()).await, bench.watches().await), (status, 0));
    }
    assert_eq!(bench.take(NOW.plus(2 * HOUR)).await.len(), 2);
}

pub(crate) async fn recovery_leaves_each_attempt_that_it_closes_in_doubt<F: Fixture>(mut bench: Bench<F>) {
    bench.add((0..3).map(message)).await;
    bench.take(NOW.plus(SECOND)).await;
    bench.reopen().await;
    let recovery = Recovery { node: node(2), now: NOW.plus(MINUTE), only_node: true };
    assert_eq!(bench.recover(recovery).await, Ok(3));
    let watched = bench.look(NOW.plus(MINUTE)).await;
    assert_eq!(watched.len(), 3);
    assert!(watched.iter().all(|watched| watched.kind == WatchKind::Doubt));
    let crashed = SubmitOutcome::Ambiguous(Failure::new(Reason::Crashed));
    assert_eq!(watched[0].attempt.ended, Some((NOW.plus(MINUTE), crashed)));
}

pub(crate) async fn recovery_of_a_message_that_a_receipt_has_settled_leaves_no_doubt<F: Fixture>(
    bench: Bench<F>,
) {
    let claimed = bench.add_and_take(message(1)).await;
    let id = claimed.submission.message_id;
    bench.receive(Receipt { attempt: Some(1), ..receipt_for(id, ReceiptStatus::Sent) }).await;
    let recovery = Recovery { node: node(2), now: NOW.plus(HOUR), only_node: true };
    assert_eq!(bench.recover(recovery).await, Ok(1));
    // What the receipt called it is its id now.
    assert_eq!(first_id(&bench).await.as_deref(), Some("SM1"));
    assert_eq!((bench.status(id).await, bench.watches().await), (MessageStatus::Sent, 0));
}

pub(crate) async fn doubt_about_an_attempt_that_a_receipt_told_of_is_none<F: Fixture>(bench: Bench<F>) {
    let claimed = bench.add_and_take(message(1)).await;
    // A word that nobody knows still says that the provider has it.
    let told = Receipt { status: None, ..receipt_for(message(1).id(), ReceiptStatus::Sent) };
    bench.receive(told).await;
    assert_eq!(bench.status(message(1).id()).await, MessageStatus::Sending);
    bench.doubt(&claimed).await;
    assert_eq!(bench.status(message(1).id()).await, MessageStatus::Sent);
    assert_eq!(first_id(&bench).await.as_deref(), Some("SM1"));
    assert_eq!(bench.watches().await, 0);
}

pub(crate) async fn receipt_that_names_an_ambiguous_attempt_settles_it_as_accepted<F: Fixture>(
    bench: Bench<F>,
) {
    for (n, attempt) in [(1, Some(1)), (2, None)] {
        let claimed = bench.add_and_doubt(message(n)).await;
        let id = message(n).id();
        let fate = bench.receive(Receipt { attempt, ..receipt_for(id, ReceiptStatus::Delivered) }).await;
        let (from, to) = (MessageStatus::Sending, MessageStatus::Delivered);
        assert_eq!(fate, ReceiptFate::Matched { message_id: id, from, to });
        let shown = bench.show(id).await;
        assert_eq!(shown.attempts[0].ended, Some((claimed.due_at.plus(SECOND), accepted("SM1"))));
        assert_eq!(shown.receipts[0].attempt, Some(1));
        assert_eq!(bench.watches().await, 0);
    }
}

pub(crate) async fn receipt_of_another_provider_does_not_settle_an_attempt<F: Fixture>(bench: Bench<F>) {
    bench.add_and_doubt(message(1)).await;
    let theirs = provider("africastalking");
    let named = receipt_for(message(1).id(), ReceiptStatus::Sent);
    bench.receive(Receipt { provider: theirs, attempt: Some(1), ..named }).await;
    assert_eq!(first_id(&bench).await, None);
}

pub(crate) async fn receipt_without_our_id_settles_the_only_doubt_of_its_receiver<F: Fixture>(
    bench: Bench<F>,
) {
    let claimed = bench.add_and_doubt(message(1)).await;
    let id = message(1).id();
    let sent = unnamed("ATXid_1", ReceiptStatus::Sent, NOW.plus(10 * MINUTE));
    let (from, to) = (MessageStatus::Sending, MessageStatus::Sent);
    assert_eq!(bench.receive(sent).await, ReceiptFate::Matched { message_id: id, from, to });
    assert_eq!(bench.watches().await, 0);
    // From then on the provider's id is known.
    let fate = bench.receive(unnamed("ATXid_1", ReceiptStatus::Delivered, NOW.plus(HOUR))).await;
    assert!(matches!(fate, ReceiptFate::Matched { .. }));
    let shown = bench.show(id).await;
    assert_eq!((shown.summary.status, shown.receipts.len()), (MessageStatus::Delivered, 2));
    assert_eq!(shown.attempts[0].ended, Some((claimed.due_at.plus(SECOND), accepted("ATXid_1"))));
}

pub(crate) async fn receipt_without_our_id_does_not_choose_between_two_doubts<F: Fixture>(bench: Bench<F>) {
    bench.add_and_doubt(message(1)).await;
    bench.add_and_doubt(message(2).with(|message| message.receiver = receiver(1))).await;
    let receipt = unnamed("ATXid_1", ReceiptStatus::Delivered, NOW.plus(10 * MINUTE));
    assert_eq!(bench.receive(receipt).await, ReceiptFate::Parked);
    for n in [1, 2] {
        assert_eq!(bench.status(message(n).id()).await, MessageStatus::Sending);
    }
}

pub(crate) async fn receipt_without_our_id_may_be_about_an_attempt_under_way<F: Fixture>(bench: Bench<F>) {
    let doubted = bench.add_and_doubt(message(1)).await;
    let rival = bench.add_and_take(message(2).with(|message| message.receiver = receiver(1))).await;
    let receipt = unnamed("ATXid_2", ReceiptStatus::Delivered, NOW.plus(10 * MINUTE));
    assert_eq!(bench.receive(receipt).await, ReceiptFate::Parked);
    let watched = bench.look(NOW.plus(10 * MINUTE)).await;
    assert_eq!((watched.len(), watched[0].has_rival), (1, true));
    // It was: the rival's answer has that id.
    bench.end(&rival, accepted("ATXid_2"), Next::Stop).await;
    assert_eq!(bench.status(message(2).id()).await, MessageStatus::Delivered);
    let watched = bench.look(NOW.plus(HOUR)).await;
    assert_eq!((&watched[0].known[..], watched[0].has_rival), (&[provider_id("ATXid_2")][..], false));
    assert_eq!(watched[0].message.id, doubted.submission.message_id);
}

pub(crate) async fn receipt_without_our_id_may_be_about_an_attempt_that_was_given_up<F: Fixture>(
    bench: Bench<F>,
) {
    let given_up = bench.add_and_take(message(1)).await;
    bench.end(&given_up, ambiguous(), Next::Stop).await;
    bench.add_and_doubt(message(2).with(|message| message.receiver = receiver(1))).await;
    let receipt = unnamed("ATXid_1", ReceiptStatus::Delivered, NOW.plus(10 * MINUTE));
    assert_eq!(bench.receive(receipt).await, ReceiptFate::Parked);
    assert_eq!(bench.status(message(2).id()).await, MessageStatus::Sending);
}

pub(crate) async fn receipt_without_our_id_settles_nothing_of_another_provider_or_receiver<F: Fixture>(
    bench: Bench<F>,
) {
    bench.add_and_doubt(message(1)).await;
    let right = unnamed("ATXid_1", ReceiptStatus::Delivered, NOW.plus(10 * MINUTE));
    for wrong in [
        Receipt { provider: provider("africastalking"), ..right.clone() },
        Receipt { receiver: Some(receiver(2)), ..right.clone() },
        Receipt { receiver: None, ..right.clone() },
        Receipt { message_id: Some(message(9).id()), ..right.clone() },
    ] {
        assert_eq!(bench.receive(wrong).await, ReceiptFate::Parked);
    }
    assert_eq!(bench.status(message(1).id()).await, MessageStatus::Sending);
}

pub(crate) async fn parked_receipts_of_one_id_settle_a_doubt_when_it_is_looked_after<F: Fixture>(
    bench: Bench<F>,
) {
    // They came while the attempt was open.
    let claimed = bench.add_and_take(message(1)).await;
    for status in [ReceiptStatus::Sent, ReceiptStatus::Delivered] {
        let receipt = unnamed("ATXid_1", status, NOW.plus(SECOND));
        assert_eq!(bench.receive(receipt).await, ReceiptFate::Parked);
    }
    bench.doubt(&claimed).await;
    assert_eq!(bench.look(NOW.plus(HOUR)).await.len(), 0);
    let shown = bench.show(message(1).id()).await;
    assert_eq!((shown.summary.status, shown.receipts.len()), (MessageStatus::Delivered, 2));
    assert_eq!(first_id(&bench).await.as_deref(), Some("ATXid_1"));
    assert_eq!(bench.watches().await, 0);
}

pub(crate) async fn parked_receipts_of_two_ids_or_from_before_settle_no_doubt<F: Fixture>(bench: Bench<F>) {
    bench.receive(unnamed("ATXid_0", ReceiptStatus::Delivered, NOW.minus(HOUR))).await;
    let claimed = bench.add_and_take(message(1)).await;
    bench.doubt(&claimed).await;
    assert_eq!(bench.look(NOW.plus(10 * MINUTE)).await.len(), 1);

    let other = bench.add_and_take(message(2)).await;
    for id in ["ATXid_1", "ATXid_2"] {
        let parked =
            Receipt { receiver: Some(receiver(2)), ..unnamed(id, ReceiptStatus::Sent, NOW.plus(SECOND)) };
        assert_eq!(bench.receive(parked).await, ReceiptFate::Parked);
    }
    bench.doubt(&other).await;
    assert_eq!(bench.look(NOW.plus(HOUR)).await.len(), 2);
}

pub(crate) async fn known_ids_are_those_of_others_since_an_hour_before<F: Fixture>(bench: Bench<F>) {
    let to_first = |n, at| message_at(n, at).with(|message| message.receiver = receiver(1));
    bench.add_and_send(to_first(5, NOW.minus(3 * HOUR)), "too old").await;
    bench.add_and_send(to_first(6, NOW.minus(MINUTE)), "before").await;
    bench.add_and_doubt(message(1)).await;
    bench.add_and_send(to_first(7, NOW.plus(HOUR)), "after").await;
    bench.add_and_send(message(2), "elsewhere").await;
    let watched = bench.look(NOW.plus(2 * HOUR)).await.remove(0);
    let mut known: Vec<_> = watched.known.iter().map(domain::attempt::ProviderMessageId::as_str).collect();
    known.sort_unstable();
    assert_eq!(known, ["after", "before"]);
}

pub(crate) async fn late_end_of_an_attempt_in_doubt_ends_the_doubt<F: Fixture>(bench: Bench<F>) {
    for (n, outcome) in (1..).zip([accepted("SM1"), rejected()]) {
        let claimed = bench.add_and_doubt(message(n)).await;
        bench.end(&claimed, outcome, Next::Stop).await;
    }
    assert_eq!(bench.look(NOW.plus(HOUR)).await.len(), 0);
    assert_eq!(bench.watches().await, 0);
}

pub(crate) async fn negative_receipt_of_an_attempt_does_not_stop_a_later_one<F: Fixture>(bench: Bench<F>) {
    let first = bench.add_and_doubt(message(1)).await;
    bench.end(&first, ambiguous(), retry(NOW.plus(MINUTE))).await;
    let second = bench.take(NOW.plus(HOUR)).await.remove(0);
    let id = message(1).id();
    let of_first = |status| Receipt { attempt: Some(1), ..receipt_for(id, status) };
    bench.receive(of_first(ReceiptStatus::Failed)).await;
    assert_eq!(bench.status(id).await, MessageStatus::Sending);
    bench.finish(vec![end(&second, accepted("SM2"), Next::Stop)]).await.unwrap();
    assert_eq!(bench.status(id).await, MessageStatus::Sent);
    bench.receive(of_first(ReceiptStatus::Delivered)).await;
    assert_eq!(bench.status(id).await, MessageStatus::Delivered);
}

pub(crate) async fn late_answer_with_another_watch_leaves_one<F: Fixture>(bench: Bench<F>) {
    let claimed = bench.add_and_take(message(1)).await;
    let recovery = Recovery { node: node(2), now: NOW.plus(MINUTE), only_node: true };
    assert_eq!(bench.recover(recovery).await, Ok(1));
    bench.doubt(&claimed).await;
    assert_eq!(bench.watches().await, 1);
}

pub(crate) async fn attempt_of_an_earlier_round_is_settled_and_does_not_move_the_message<F: Fixture>(
    bench: Bench<F>,
) {
    let first = bench.add_and_take(message(1)).await;
    let id = message(1).id();
    bench.end(&first, ambiguous(), Next::Stop).await;
    bench.resend(resend(id, NOW.plus(MINUTE))).await.unwrap();
    bench.receive(Receipt { attempt: Some(1), ..receipt_for(id, ReceiptStatus::Sent) }).await;
    assert_eq!(first_id(&bench).await.as_deref(), Some("SM1"));
    assert_eq!(bench.status(id).await, MessageStatus::Queued);
}

pub(crate) async fn acceptance_is_looked_after_when_it_says_so<F: Fixture>(bench: Bench<F>) {
    let claimed = bench.add_and_take(message(1)).await;
    let watch_at = Some(NOW.plus(MINUTE));
    let sent = end(&claimed, accepted("SM1"), Next::Stop);
    bench.finish(vec![AttemptEnd { watch_at, ..sent }]).await.unwrap();
    let watched = bench.look(NOW.plus(MINUTE)).await;
    assert_eq!((watched[0].kind, watched[0].status), (WatchKind::Silence, MessageStatus::Sent));
    // One that a receipt has settled already needs nobody's look.
    let claimed = bench.add_and_take(message(2)).await;
    bench.receive(receipt_for(message(2).id(), ReceiptStatus::Delivered)).await;
    let sent = end(&claimed, accepted("SM1"), Next::Stop);
    bench.finish(vec![AttemptEnd { watch_at, ..sent }]).await.unwrap();
    assert_eq!(bench.watches().await, 1);
}

pub(crate) async fn receipt_that_comes_after_a_doubt_was_given_up_still_tells<F: Fixture>(bench: Bench<F>) {
    let claimed = bench.add_and_doubt(message(1)).await;
    let watched = bench.look(NOW.plus(HOUR)).await.remove(0);
    bench.decide(&watched, Verdict::Ended(end(&claimed, ambiguous(), Next::Stop))).await;
    // "Sent" is not the last word: until that comes, it stands as given up.
    let fate = bench.receive(unnamed("AT1", ReceiptStatus::Sent, NOW.plus(2 * HOUR))).await;
    assert!(matches!(fate, ReceiptFate::Matched { to: MessageStatus::Failed, .. }), "{fate:?}");
    assert_eq!(first_id(&bench).await.as_deref(), Some("AT1"));
    let fate = bench.receive(unnamed("AT1", ReceiptStatus::Delivered, NOW.plus(3 * HOUR))).await;
    assert!(matches!(fate, ReceiptFate::Matched { to: MessageStatus::Delivered, .. }), "{fate:?}");
}

pub(crate) async fn receipt_about_one_of_two_given_up_doubts_is_parked<F: Fixture>(bench: Bench<F>) {
    for n in [1, 2] {
        let same_receiver = message(n).with(|message| message.receiver = receiver(1));
        let claimed = bench.add_and_doubt(same_receiver).await;
        let watched = bench.look(NOW.plus(HOUR)).await.remove(0);
        bench.decide(&watched, Verdict::Ended(end(&claimed, ambiguous(), Next::Stop))).await;
    }
    let fate = bench.receive(unnamed("AT1", ReceiptStatus::Delivered, NOW.plus(2 * HOUR))).await;
    assert_eq!(fate, ReceiptFate::Parked);
}
