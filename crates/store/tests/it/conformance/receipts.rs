//! What providers tell us, in whatever order they tell it.

use domain::attempt::{Failure, Reason};
use domain::ids::MessageId;
use domain::message::MessageStatus;
use domain::receipt::{Receipt, ReceiptStatus};
use store::port::messages::ReceiptRecord;
use store::port::queue::{Claim, Next};
use store::port::receipts::{NewReceipt, ReceiptFate};

use crate::support::{
    Bench, DAY, Fixture, HOUR, MINUTE, NOW, SECOND, With, accepted, ambiguous, claim, end, message,
    message_at, provider, provider_id, receipt_by, receipt_for, receiver, rejected,
};

fn matched(message_id: MessageId, from: MessageStatus, to: MessageStatus) -> ReceiptFate {
    ReceiptFate::Matched { message_id, from, to }
}

pub(crate) async fn receipt_is_matched_by_our_id_and_moves_the_status<F: Fixture>(bench: Bench<F>) {
    use MessageStatus::{Delivered, Failed, Sent, Undelivered};
    for (n, (status, to)) in (1..).zip([
        (ReceiptStatus::Sent, Sent),
        (ReceiptStatus::Failed, Failed),
        (ReceiptStatus::Undelivered, Undelivered),
        (ReceiptStatus::Delivered, Delivered),
    ]) {
        let id = bench.add_and_send(message(n), "SM1").await;
        let fate = bench.receive(receipt_for(id, status)).await;
        assert_eq!(fate, matched(id, Sent, to));
        assert_eq!(bench.status(id).await, to);
    }
}

pub(crate) async fn receipt_is_kept_as_it_came<F: Fixture>(bench: Bench<F>) {
    let id = bench.add_and_send(message(1), "SM1").await;
    let receipt = Receipt {
        provider_status: "UserInBlacklist é⚡".into(),
        failure: Some(Failure::with_code(Reason::OptedOut, "21610 \"é\"")),
        network_code: Some("63902".into()),
        ..receipt_for(id, ReceiptStatus::Undelivered)
    };
    bench.receive(receipt.clone()).await;
    let shown = bench.show(id).await;
    assert_eq!(
        shown.receipts,
        [ReceiptRecord {
            received_at: receipt.received_at,
            provider: receipt.provider,
            provider_status: receipt.provider_status,
            status: receipt.status,
            failure: receipt.failure.clone(),
            network_code: receipt.network_code,
            raw: b"MessageStatus=x".to_vec(),
            attempt: Some(1),
        }]
    );
    assert_eq!(shown.summary.failure, receipt.failure);
    assert_eq!(shown.summary.updated_at, receipt.received_at);
}

pub(crate) async fn receipts_are_shown_in_the_order_they_came<F: Fixture>(bench: Bench<F>) {
    let id = bench.add_and_send(message(1), "SM1").await;
    let order = [ReceiptStatus::Delivered, ReceiptStatus::Sent, ReceiptStatus::Undelivered];
    for status in order {
        bench.receive(receipt_for(id, status)).await;
    }
    let shown = bench.show(id).await;
    let statuses: Vec<_> = shown.receipts.iter().filter_map(|receipt| receipt.status).collect();
    assert_eq!(statuses, order);
}

pub(crate) async fn delivered_clears_the_reason_of_an_earlier_failure<F: Fixture>(bench: Bench<F>) {
    let id = bench.add_and_send(message(1), "SM1").await;
    let failure = Some(Failure::new(Reason::Unreachable));
    bench.receive(Receipt { failure, ..receipt_for(id, ReceiptStatus::Undelivered) }).await;
    bench.receive(receipt_for(id, ReceiptStatus::Delivered)).await;
    let shown = bench.show(id).await;
    assert_eq!((shown.summary.status, shown.summary.failure), (MessageStatus::Delivered, None));
}

pub(crate) async fn receipt_for_another_receiver_is_parked_and_changes_nothing<F: Fixture>(bench: Bench<F>) {
    let id = bench.add_and_send(message(1), "SM1").await;
    let forged = Receipt { receiver: Some(receiver(2)), ..receipt_for(id, ReceiptStatus::Delivered) };
    assert_eq!(bench.receive(forged).await, ReceiptFate::Parked);
    let shown = bench.show(id).await;
    assert_eq!((shown.summary.status, shown.receipts), (MessageStatus::Sent, vec![]));
    // With the right receiver, or without one, it is taken.
    let right = Receipt { receiver: Some(receiver(1)), ..receipt_for(id, ReceiptStatus::Undelivered) };
    assert_eq!(bench.receive(right).await, matched(id, MessageStatus::Sent, MessageStatus::Undelivered));
}

pub(crate) async fn receipt_for_an_unknown_message_is_parked<F: Fixture>(bench: Bench<F>) {
    let fate = bench.receive(receipt_for(message(1).id(), ReceiptStatus::Delivered)).await;
    assert_eq!(fate, ReceiptFate::Parked);
}

pub(crate) async fn receipt_is_matched_by_the_providers_id_and_the_receiver<F: Fixture>(bench: Bench<F>) {
    // Two messages to one number within one hour: only the provider's id tells them apart.
    let second = message(2).with(|message| message.receiver = receiver(1));
    let ids = [bench.add_and_send(message(1), "ATXid_1").await, bench.add_and_send(second, "ATXid_2").await];
    let fate = bench.receive(receipt_by("ATXid_2", receiver(1), ReceiptStatus::Delivered)).await;
    assert_eq!(fate, matched(ids[1], MessageStatus::Sent, MessageStatus::Delivered));
    assert_eq!(bench.status(ids[0]).await, MessageStatus::Sent);
}

pub(crate) async fn providers_id_alone_matches_nothing_of_another_receiver_or_provider<F: Fixture>(
    bench: Bench<F>,
) {
    let id = bench.add_and_send(message(1), "ATXid_1").await;
    let right = receipt_by("ATXid_1", receiver(1), ReceiptStatus::Delivered);
    for wrong in [
        Receipt { receiver: Some(receiver(2)), ..right.clone() },
        Receipt { provider: provider("africastalking"), ..right.clone() },
        Receipt { provider_message_id: provider_id("ATXid_9"), ..right.clone() },
        Receipt { receiver: None, ..right.clone() },
    ] {
        assert_eq!(bench.receive(wrong).await, ReceiptFate::Parked);
    }
    assert_eq!(bench.status(id).await, MessageStatus::Sent);
    assert_eq!(bench.receive(right).await, matched(id, MessageStatus::Sent, MessageStatus::Delivered));
}

pub(crate) async fn receipt_by_the_providers_id_finds_a_message_of_three_days_ago<F: Fixture>(
    bench: Bench<F>,
) {
    let id = bench.add_and_send(message(1), "ATXid_1").await;
    let late = Receipt {
        received_at: NOW.plus(3 * DAY),
        ..receipt_by("ATXid_1", receiver(1), ReceiptStatus::Delivered)
    };
    assert_eq!(bench.receive(late).await, matched(id, MessageStatus::Sent, MessageStatus::Delivered));
}

pub(crate) async fn receipt_by_the_providers_id_finds_a_message_that_was_scheduled_long_ago<F: Fixture>(
    bench: Bench<F>,
) {
    let due_at = NOW.plus(30 * DAY);
    let new = message(1).with(|message| message.scheduled_at = Some(due_at));
    let id = bench.add_and_send(new, "ATXid_1").await;
    for (hours, status) in [(0, ReceiptStatus::Sent), (70, ReceiptStatus::Delivered)] {
        let receipt =
            Receipt { received_at: due_at.plus(HOUR * hours), ..receipt_by("ATXid_1", receiver(1), status) };
        assert!(matches!(bench.receive(receipt).await, ReceiptFate::Matched { .. }), "{status}");
    }
    assert_eq!(bench.status(id).await, MessageStatus::Delivered);
}

pub(crate) async fn receipt_of_any_attempt_of_the_message_is_matched<F: Fixture>(bench: Bench<F>) {
    let first = bench.add_and_take(message(1)).await;
    bench.end(&first, ambiguous(), crate::support::retry(NOW.plus(MINUTE))).await;
    let second = bench.take(NOW.plus(HOUR)).await.remove(0);
    bench.finish(vec![end(&second, accepted("SM2"), Next::Stop)]).await.unwrap();
    // The first attempt's answer comes at last: both have been accepted.
    bench.finish(vec![end(&first, accepted("SM1"), Next::Stop)]).await.unwrap();
    for id in ["SM1", "SM2"] {
        let fate = bench.receive(receipt_by(id, receiver(1), ReceiptStatus::Sent)).await;
        assert!(matches!(fate, ReceiptFate::Matched { .. }), "{id}");
    }
}

pub(crate) async fn receipt_before_the_providers_answer_is_parked_and_applied_with_it<F: Fixture>(
    mut bench: Bench<F>,
) {
    let claimed = bench.add_and_take(message(1)).await;
    let receipts = [
        Receipt {
            failure: Some(Failure::new(Reason::Unreachable)),
            ..receipt_by("ATXid_1", receiver(1), ReceiptStatus::Undelivered)
        },
        receipt_by("ATXid_1", receiver(1), ReceiptStatus::Delivered),
    ];
    for receipt in receipts {
        assert_eq!(bench.receive(receipt).await, ReceiptFate::Parked);
    }
    assert_eq!(bench.status(message(1).id()).await, MessageStatus::Sending);
    // A crash between the receipt and the answer loses neither.
    bench.reopen().await;
    bench.end(&claimed, accepted("ATXid_1"), Next::Stop).await;
    let shown = bench.show(message(1).id()).await;
    assert_eq!(shown.summary.status, MessageStatus::Delivered);
    let statuses: Vec<_> = shown.receipts.iter().filter_map(|receipt| receipt.status).collect();
    assert_eq!(statuses, [ReceiptStatus::Undelivered, ReceiptStatus::Delivered]);
    // Matched, it waits for nobody any more.
    let other = bench.add_and_take(message(2)).await;
    bench.end(&other, accepted("ATXid_1"), Next::Stop).await;
    assert_eq!(bench.status(message(2).id()).await, MessageStatus::Sent);
}

pub(crate) async fn parked_receipt_of_another_provider_is_not_applied<F: Fixture>(bench: Bench<F>) {
    // Two providers may count their messages with the same numbers.
    let claimed = bench.add_and_take(message(1)).await;
    let theirs = Receipt {
        provider: provider("africastalking"),
        ..receipt_by("1234567", receiver(9), ReceiptStatus::Undelivered)
    };
    assert_eq!(bench.receive(theirs).await, ReceiptFate::Parked);
    bench.end(&claimed, accepted("1234567"), Next::Stop).await;
    let shown = bench.show(message(1).id()).await;
    assert_eq!((shown.summary.status, shown.receipts), (MessageStatus::Sent, vec![]));
}

pub(crate) async fn parked_receipt_for_another_receiver_is_not_applied<F: Fixture>(bench: Bench<F>) {
    let claimed = bench.add_and_take(message(1)).await;
    let forged = receipt_by("SM1", receiver(9), ReceiptStatus::Delivered);
    assert_eq!(bench.receive(forged).await, ReceiptFate::Parked);
    let nameless = Receipt { receiver: None, ..receipt_by("SM1", receiver(1), ReceiptStatus::Undelivered) };
    assert_eq!(bench.receive(nameless).await, ReceiptFate::Parked);
    bench.end(&claimed, accepted("SM1"), Next::Stop).await;
    let shown = bench.show(message(1).id()).await;
    assert_eq!((shown.summary.status, shown.receipts.len()), (MessageStatus::Undelivered, 1));
}

pub(crate) async fn parked_receipt_of_another_message_is_left_alone<F: Fixture>(bench: Bench<F>) {
    let claimed = bench.add_and_take(message(1)).await;
    bench.receive(receipt_by("ATXid_2", receiver(2), ReceiptStatus::Delivered)).await;
    bench.end(&claimed, accepted("ATXid_1"), Next::Stop).await;
    assert_eq!(bench.status(message(1).id()).await, MessageStatus::Sent);
}

pub(crate) async fn receipt_while_the_attempt_is_open_counts_at_once<F: Fixture>(bench: Bench<F>) {
    let claimed = bench.add_and_take(message(1)).await;
    let id = message(1).id();
    let fate = bench.receive(receipt_for(id, ReceiptStatus::Delivered)).await;
    assert_eq!(fate, matched(id, MessageStatus::Sending, MessageStatus::Delivered));
    assert_eq!(bench.show(id).await.attempts[0].ended, None);
    // The attempt still ends by itself, and its end is kept.
    bench.end(&claimed, rejected(), Next::Stop).await;
    let shown = bench.show(id).await;
    assert_eq!((shown.summary.status, shown.summary.failure), (MessageStatus::Delivered, None));
    assert_eq!(shown.attempts[0].ended.as_ref().map(|(_, outcome)| outcome), Some(&rejected()));
}

pub(crate) async fn receipts_in_any_order_and_twice_end_in_delivered<F: Fixture>(bench: Bench<F>) {
    use ReceiptStatus::{Delivered, Failed, Sent, Undelivered};
    let orders = [
        [Sent, Failed, Undelivered, Delivered],
        [Delivered, Undelivered, Failed, Sent],
        [Undelivered, Delivered, Sent, Failed],
        [Failed, Delivered, Delivered, Undelivered],
        [Delivered, Delivered, Delivered, Delivered],
    ];
    for (n, order) in (1..).zip(orders) {
        let id = bench.add_and_send(message(n), "SM1").await;
        for status in order {
            bench.receive(receipt_for(id, status)).await;
        }
        let shown = bench.show(id).await;
        assert_eq!((shown.summary.status, shown.receipts.len()), (MessageStatus::Delivered, 4), "{order:?}");
        assert_eq!(shown.summary.failure, None, "{order:?}");
    }
}

pub(crate) async fn receipts_of_one_call_are_answered_in_order<F: Fixture>(bench: Bench<F>) {
    use MessageStatus::{Delivered, Sent, Undelivered};
    let ids = [bench.add_and_send(message(1), "SM1").await, bench.add_and_send(message(2), "SM2").await];
    let receipts = [
        receipt_for(ids[1], ReceiptStatus::Undelivered),
        receipt_by("SM9", receiver(1), ReceiptStatus::Sent),
        receipt_for(ids[0], ReceiptStatus::Delivered),
        receipt_for(ids[1], ReceiptStatus::Delivered),
    ];
    let receipts = receipts.map(|receipt| NewReceipt { receipt, raw: Vec::new() });
    let fates = bench.record_receipts(receipts.into()).await.unwrap();
    assert_eq!(
        fates,
        [
            matched(ids[1], Sent, Undelivered),
            ReceiptFate::Parked,
            matched(ids[0], Sent, Delivered),
            matched(ids[1], Undelivered, Delivered),
        ]
    );
    assert_eq!(bench.record_receipts(Vec::new()).await, Ok(Vec::new()));
}

pub(crate) async fn unknown_word_is_kept_and_changes_nothing<F: Fixture>(bench: Bench<F>) {
    let id = bench.add_and_send(message(1), "SM1").await;
    let before = bench.show(id).await.summary;
    let receipt = Receipt {
        provider_status: "PigeonEnRoute".into(),
        status: None,
        failure: None,
        ..receipt_for(id, ReceiptStatus::Sent)
    };
    assert_eq!(bench.receive(receipt).await, matched(id, MessageStatus::Sent, MessageStatus::Sent));
    let shown = bench.show(id).await;
    assert_eq!((shown.summary.status, shown.summary.updated_at), (before.status, before.updated_at));
    assert_eq!(shown.receipts[0].provider_status, "PigeonEnRoute");
    assert_eq!(shown.receipts[0].status, None);
}

pub(crate) async fn unknown_word_may_be_parked_too<F: Fixture>(bench: Bench<F>) {
    let claimed = bench.add_and_take(message(1)).await;
    let receipt = Receipt {
        provider_status: "PigeonEnRoute".into(),
        status: None,
        ..receipt_by("ATXid_1", receiver(1), ReceiptStatus::Sent)
    };
    assert_eq!(bench.receive(receipt).await, ReceiptFate::Parked);
    bench.end(&claimed, accepted("ATXid_1"), Next::Stop).await;
    let shown = bench.show(message(1).id()).await;
    assert_eq!((shown.summary.status, shown.receipts.len()), (MessageStatus::Sent, 1));
}

pub(crate) async fn receipt_settles_an_ambiguous_attempt<F: Fixture>(bench: Bench<F>) {
    let claimed = bench.add_and_take(message(1)).await;
    bench.end(&claimed, ambiguous(), Next::Wait).await;
    let id = message(1).id();
    bench.receive(receipt_for(id, ReceiptStatus::Sent)).await;
    assert_eq!(bench.status(id).await, MessageStatus::Sent);
    bench.end(&claimed, ambiguous(), Next::Stop).await;
    assert_eq!(bench.status(id).await, MessageStatus::Sent);
}

pub(crate) async fn receipt_outranks_what_was_concluded<F: Fixture>(bench: Bench<F>) {
    // Given up, and expired: the phone has it all the same.
    let claimed = bench.add_and_take(message(1)).await;
    bench.end(&claimed, ambiguous(), Next::Stop).await;
    bench.add([message_at(2, NOW.plus(SECOND)).with(|new| new.expires_at = Some(NOW.plus(MINUTE)))]).await;
    let expired = bench.claim(Claim { ..claim(NOW.plus(HOUR)) }).await.unwrap().expired;
    for (id, from) in [(message(1).id(), MessageStatus::Failed), (expired[0], MessageStatus::Expired)] {
        let fate = bench.receive(receipt_for(id, ReceiptStatus::Delivered)).await;
        assert_eq!(fate, matched(id, from, MessageStatus::Delivered));
    }
}

pub(crate) async fn receipts_survive_reopening<F: Fixture>(mut bench: Bench<F>) {
    let id = bench.add_and_send(message(1), "SM1").await;
    bench.receive(receipt_for(id, ReceiptStatus::Delivered)).await;
    let before = bench.show(id).await.receipts;
    bench.reopen().await;
    assert_eq!(bench.status(id).await, MessageStatus::Delivered);
    assert_eq!(bench.show(id).await.receipts, before);
}
