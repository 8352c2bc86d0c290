//! Sending again, and stopping.

use domain::attempt::{Failure, Reason};
use domain::audit::Actor;
use domain::message::MessageStatus;
use domain::receipt::{Receipt, ReceiptStatus};
use store::port::messages::{Cancel, Moved, Resend};
use store::port::queue::{Claim, Next};
use store::port::receipts::ReceiptFate;

use crate::support::{
    Bench, Fixture, HOUR, MINUTE, NOW, SECOND, With, accepted, ambiguous, claim, message, not_submitted,
    provider, receipt_for, rejected, resend, retry,
};

pub(crate) async fn message_is_queued_again_as_it_says<F: Fixture>(bench: Bench<F>) {
    let id = bench.add_and_send(message(1), "SM1").await;
    let again = Resend {
        failure: Some(Failure::new(Reason::NoReceipt)),
        provider: provider("africastalking"),
        priority: domain::scenario::Priority::High,
        due_at: NOW.plus(HOUR),
        expires_at: Some(NOW.plus(2 * HOUR)),
        refused_by: vec![provider("twilio"), provider("other")],
        ..resend(id, NOW.plus(MINUTE))
    };
    let (from, to) = (MessageStatus::Sent, MessageStatus::Queued);
    assert_eq!(bench.resend(again).await, Ok(Some(Moved { message_id: id, from, to }.into())));
    let summary = bench.show(id).await.summary;
    assert_eq!((summary.status, summary.provider), (to, provider("africastalking")));
    assert_eq!(summary.failure, Some(Failure::new(Reason::NoReceipt)));
    assert_eq!(summary.updated_at, NOW.plus(MINUTE));

    let theirs = |now| Claim { provider: provider("africastalking"), ..claim(now) };
    assert_eq!(bench.claim(theirs(NOW.plus(MINUTE))).await.unwrap().claimed.len(), 0);
    let claimed = bench.claim(theirs(NOW.plus(HOUR))).await.unwrap().claimed.remove(0);
    assert_eq!((claimed.submission.attempt, claimed.priority.as_str()), (2, "high"));
    assert_eq!(claimed.submission.expires_at, Some(NOW.plus(2 * HOUR)));
    assert_eq!(claimed.refused_by, [provider("twilio"), provider("other")]);
    assert_eq!(claimed.first_due_at, NOW.plus(HOUR), "a new round begins");
}

pub(crate) async fn message_is_left_alone_where_it_does_not_stand_as_thought<F: Fixture>(bench: Bench<F>) {
    let unknown = resend(message(9).id(), NOW);
    assert_eq!(bench.resend(unknown).await, Ok(None));
    let id = bench.add_and_send(message(1), "SM1").await;
    let again = resend(id, NOW.plus(MINUTE));
    let (from, to) = (MessageStatus::Sent, MessageStatus::Sent);
    for wrong in [
        Resend { standing: &[MessageStatus::Failed], ..again.clone() },
        Resend { last_attempt: Some(0), ..again.clone() },
        Resend { last_attempt: Some(2), ..again.clone() },
    ] {
        let moved = bench.resend(wrong).await.unwrap().unwrap();
        assert_eq!(moved, Moved { message_id: id, from, to }.into());
        assert!(!moved.has_moved());
    }
    assert!(
        bench.resend(Resend { last_attempt: Some(1), ..again.clone() }).await.unwrap().unwrap().has_moved()
    );
    // Once.
    assert!(!bench.resend(again).await.unwrap().unwrap().has_moved());
    assert_eq!(bench.take(NOW.plus(HOUR)).await.len(), 1);
    assert_eq!(bench.take(NOW.plus(HOUR)).await.len(), 0);
}

pub(crate) async fn message_whose_attempt_is_open_is_not_sent_again<F: Fixture>(bench: Bench<F>) {
    let claimed = bench.add_and_take(message(1)).await;
    let id = claimed.submission.message_id;
    bench.receive(receipt_for(id, ReceiptStatus::Failed)).await;
    let again = resend(id, NOW.plus(MINUTE));
    assert!(!bench.resend(again.clone()).await.unwrap().unwrap().has_moved());
    bench.end(&claimed, accepted("SM1"), Next::Stop).await;
    assert!(bench.resend(again).await.unwrap().unwrap().has_moved());
}

pub(crate) async fn message_that_never_left_is_sent_again_as_the_first_attempt<F: Fixture>(bench: Bench<F>) {
    bench.add([message(1).with(|message| message.expires_at = Some(NOW.plus(MINUTE)))]).await;
    bench.claim(claim(NOW.plus(HOUR))).await.unwrap();
    let again = Resend { last_attempt: Some(0), ..resend(message(1).id(), NOW.plus(HOUR)) };
    assert!(bench.resend(again).await.unwrap().unwrap().has_moved());
    let claimed = bench.take(NOW.plus(HOUR)).await;
    assert_eq!((claimed.len(), claimed[0].submission.attempt), (1, 1));
}

pub(crate) async fn receipt_of_an_earlier_round_counts_only_if_it_says_delivered<F: Fixture>(
    bench: Bench<F>,
) {
    use ReceiptStatus::{Delivered, Failed, Sent, Undelivered};
    for (n, attempt) in [(1, Some(1)), (2, None)] {
        let id = bench.add_and_send(message(n), "SM1").await;
        bench.resend(resend(id, NOW.plus(MINUTE))).await.unwrap();
        let of_first = |status| Receipt { attempt, ..receipt_for(id, status) };
        for status in [Sent, Failed, Undelivered] {
            let (from, to) = (MessageStatus::Queued, MessageStatus::Queued);
            let fate = bench.receive(of_first(status)).await;
            assert_eq!(fate, ReceiptFate::Matched { message_id: id, from, to }, "{status}");
        }
        bench.receive(of_first(Delivered)).await;
        assert_eq!(bench.status(id).await, MessageStatus::Delivered);
        assert_eq!(bench.take(NOW.plus(HOUR)).await.len(), 0);
        let receipts = bench.show(id).await.receipts;
        assert!(receipts.iter().all(|receipt| receipt.attempt == Some(1)));
        assert_eq!(receipts.len(), 4);
    }
}

pub(crate) async fn receipt_of_the_new_round_counts<F: Fixture>(bench: Bench<F>) {
    let id = bench.add_and_send(message(1), "SM1").await;
    bench.resend(resend(id, NOW.plus(MINUTE))).await.unwrap();
    let claimed = bench.take(NOW.plus(MINUTE)).await.remove(0);
    bench.end(&claimed, accepted("SM2"), Next::Stop).await;
    let of_second = Receipt { attempt: Some(2), ..receipt_for(id, ReceiptStatus::Undelivered) };
    bench.receive(of_second).await;
    assert_eq!(bench.status(id).await, MessageStatus::Undelivered);
}

/// A message that is settled while it waits for another try, and so leaves its row in the queue.
async fn with_leftover<F: Fixture>(bench: &Bench<F>, n: u64, leftover_due_in: u32) -> domain::ids::MessageId {
    let claimed = bench.add_and_take(message(n)).await;
    let id = claimed.submission.message_id;
    bench.end(&claimed, ambiguous(), retry(NOW.plus(MINUTE * leftover_due_in))).await;
    bench.receive(Receipt { attempt: Some(1), ..receipt_for(id, ReceiptStatus::Failed) }).await;
    assert_eq!(bench.status(id).await, MessageStatus::Failed);
    id
}

pub(crate) async fn row_left_over_from_an_earlier_round_is_never_claimed<F: Fixture>(bench: Bench<F>) {
    for (n, leftover_due_in) in [(1, 1), (2, 10), (3, 30)] {
        let id = with_leftover(&bench, n, leftover_due_in).await;
        // At the place of the row that is left over, before it, and after it; and with the same number.
        let again = Resend { provider: provider("africastalking"), ..resend(id, NOW.plus(10 * MINUTE)) };
        assert!(bench.resend(again).await.unwrap().unwrap().has_moved());
        assert_eq!(bench.take(NOW.plus(HOUR)).await.len(), 0);
        assert_eq!(bench.status(id).await, MessageStatus::Queued);
        let theirs = Claim { provider: provider("africastalking"), ..claim(NOW.plus(HOUR)) };
        let claimed = bench.claim(theirs).await.unwrap().claimed;
        assert_eq!(claimed.len(), 1);
        assert_eq!((claimed[0].submission.message_id, claimed[0].submission.attempt), (id, 2));
        bench.end(&claimed[0], rejected(), Next::Stop).await;
    }
}

pub(crate) async fn row_at_the_place_of_one_that_was_left_over_takes_it<F: Fixture>(bench: Bench<F>) {
    let id = with_leftover(&bench, 1, 10).await;
    bench.resend(resend(id, NOW.plus(10 * MINUTE))).await.unwrap();
    let claimed = bench.take(NOW.plus(HOUR)).await;
    assert_eq!(claimed.iter().map(|claimed| claimed.submission.attempt).collect::<Vec<_>>(), [2]);
    assert_eq!(bench.take(NOW.plus(HOUR)).await.len(), 0);
}

pub(crate) async fn row_left_over_does_not_expire_the_message_that_was_sent_again<F: Fixture>(
    bench: Bench<F>,
) {
    let claimed = bench.add_and_take(message(1)).await;
    let id = claimed.submission.message_id;
    let Next::Retry { provider, priority, due_at, refused_by, .. } = retry(NOW.plus(MINUTE)) else { return };
    let expires_at = Some(NOW.plus(2 * MINUTE));
    let next = Next::Retry { provider, priority, due_at, expires_at, refused_by };
    bench.end(&claimed, not_submitted(), next).await;
    bench.receive(receipt_for(id, ReceiptStatus::Undelivered)).await;
    bench.resend(resend(id, NOW.plus(2 * HOUR))).await.unwrap();
    let claims = bench.claim(claim(NOW.plus(HOUR))).await.unwrap();
    assert_eq!((claims.claimed.len(), claims.expired.len()), (0, 0));
    assert_eq!(bench.take(NOW.plus(2 * HOUR)).await.len(), 1);
}

pub(crate) async fn waiting_message_is_canceled_and_leaves_the_queue<F: Fixture>(bench: Bench<F>) {
    let scheduled = message(2).with(|message| message.scheduled_at = Some(NOW.plus(HOUR)));
    bench.add([message(1), scheduled]).await;
    let cancel = Cancel {
        messages: vec![message(1).id(), message(2).id()],
        by: Actor::Operator,
        now: NOW.plus(SECOND),
    };
    let moved = bench.cancel(cancel).await.unwrap();
    let to = MessageStatus::Canceled;
    let expected = [(1, MessageStatus::Queued), (2, MessageStatus::Scheduled)]
        .map(|(n, from)| Some(Moved { message_id: message(n).id(), from, to }));
    assert_eq!(moved, expected);
    assert_eq!(bench.depth(NOW).await, Ok(Vec::new()));
    assert_eq!(bench.take(NOW.plus(2 * HOUR)).await.len(), 0);
    assert_eq!(bench.show(message(1).id()).await.summary.updated_at, NOW.plus(SECOND));
}

pub(crate) async fn message_that_has_left_is_not_canceled<F: Fixture>(bench: Bench<F>) {
    use MessageStatus::{Delivered, Sending, Sent};
    let sent = bench.add_and_send(message(1), "SM1").await;
    let delivered = bench.add_and_send(message(2), "SM2").await;
    bench.receive(receipt_for(delivered, ReceiptStatus::Delivered)).await;
    bench.add_and_take(message(3)).await;
    let (sending, unknown) = (message(3).id(), message(9).id());
    let cancel = Cancel {
        messages: vec![sent, unknown, delivered, sending, sent],
        by: Actor::Operator,
        now: NOW.plus(HOUR),
    };
    let stays = |message_id, at| Some(Moved { message_id, from: at, to: at });
    let expected =
        [stays(sent, Sent), None, stays(delivered, Delivered), stays(sending, Sending), stays(sent, Sent)];
    assert_eq!(bench.cancel(cancel).await.unwrap(), expected);
}

pub(crate) async fn canceled_message_that_waited_elsewhere_is_never_claimed<F: Fixture>(bench: Bench<F>) {
    // Held back, and tried before: their place is not known, and they leave it at their turn.
    let mut held = message(1);
    held.held_until = Some(NOW.plus(HOUR));
    bench.add([held]).await;
    let claimed = bench.add_and_take(message(2)).await;
    bench.end(&claimed, not_submitted(), retry(NOW.plus(HOUR))).await;
    let cancel = Cancel {
        messages: vec![message(1).id(), message(2).id()],
        by: Actor::Operator,
        now: NOW.plus(MINUTE),
    };
    assert!(bench.cancel(cancel).await.unwrap().iter().flatten().all(Moved::has_moved));
    assert_eq!(bench.take(NOW.plus(2 * HOUR)).await.len(), 0);
    assert_eq!(bench.depth(NOW).await, Ok(Vec::new()));
    for n in [1, 2] {
        assert_eq!(bench.status(message(n).id()).await, MessageStatus::Canceled);
    }
}
