//! Forgetting what is no longer kept.

use domain::ids::MessageId;
use domain::receipt::ReceiptStatus;
use domain::time::Timestamp;
use store::port::history::KeepHistory;
use store::port::messages::{Accept, Accepted, Filter, Idempotency};

use crate::support::{
    Bench, DAY, Fixture, HOUR, NOW, message, message_at, receipt_by, receipt_for, receiver,
};

/// Long after all weeks that a new database begins with.
const LATER: Timestamp = Timestamp::from_micros(NOW.as_micros() + 50 * 365 * 86_400_000_000);

/// What a message leaves behind.
const TABLES: [&str; 4] = ["messages", "states", "attempts", "callbacks"];

/// Keeps what was accepted within the last ninety days.
pub(crate) fn ninety_days(now: Timestamp) -> KeepHistory {
    KeepHistory {
        now,
        messages_since: Some(now.minus(90 * DAY)),
        audit_since: now.minus(90 * DAY),
        replies_since: now.minus(DAY),
        limit: 2,
    }
}

fn rows<F: Fixture>(bench: &Bench<F>) -> Vec<u64> {
    bench.fixture.counts(TABLES.map(|table| format!("SELECT count(*) FROM {table}")).to_vec())
}

/// Forgets until nothing is left to forget.
pub(crate) async fn forget<F: Fixture>(bench: &Bench<F>, keep: KeepHistory) {
    while !bench.keep_history(keep).await.unwrap().is_done {}
}

/// A message that was delivered.
async fn delivered<F: Fixture>(bench: &Bench<F>, n: u64) -> MessageId {
    let id = bench.add_and_send(message(n), &format!("SM{n}")).await;
    bench.receive(receipt_for(id, ReceiptStatus::Delivered)).await;
    id
}

pub(crate) async fn messages_that_ended_are_forgotten_with_all_that_happened_to_them<F: Fixture>(
    bench: Bench<F>,
) {
    let mut ids = Vec::new();
    for n in 1..=5 {
        ids.push(delivered(&bench, n).await);
    }
    // Of a message that is not ours.
    bench.receive(receipt_by("SM99", receiver(99), ReceiptStatus::Delivered)).await;
    assert_eq!(rows(&bench), [5, 5, 5, 6]);
    forget(&bench, ninety_days(LATER)).await;
    assert_eq!(rows(&bench), [0, 0, 0, 0]);
    assert!(bench.message(ids[0]).await.unwrap().is_none());
    assert_eq!(bench.list(Filter::default()).await, []);
}

pub(crate) async fn what_is_young_enough_is_kept<F: Fixture>(bench: Bench<F>) {
    let id = delivered(&bench, 1).await;
    forget(&bench, ninety_days(NOW.plus(90 * DAY))).await;
    assert_eq!(bench.show(id).await.receipts.len(), 1);
}

pub(crate) async fn everything_is_kept_where_that_is_wanted<F: Fixture>(bench: Bench<F>) {
    let id = delivered(&bench, 1).await;
    forget(&bench, KeepHistory { messages_since: None, ..ninety_days(LATER) }).await;
    assert_eq!(bench.show(id).await.receipts.len(), 1);
}

pub(crate) async fn message_that_waits_is_kept_however_old_it_is<F: Fixture>(bench: Bench<F>) {
    bench.add([message(1)]).await;
    forget(&bench, ninety_days(LATER)).await;
    assert_eq!(bench.take(LATER).await.len(), 1);
}

pub(crate) async fn message_in_doubt_is_kept_however_old_it_is<F: Fixture>(bench: Bench<F>) {
    let claimed = bench.add_and_doubt(message(1)).await;
    forget(&bench, ninety_days(LATER)).await;
    assert_eq!(bench.watches().await, 1);
    assert_eq!(bench.show(claimed.submission.message_id).await.attempts.len(), 1);
}

pub(crate) async fn what_comes_after_is_accepted_and_found<F: Fixture>(bench: Bench<F>) {
    delivered(&bench, 1).await;
    forget(&bench, ninety_days(LATER)).await;
    let new = message_at(2, LATER.plus(HOUR));
    let id = new.message.id;
    bench.add([new]).await;
    assert_eq!(bench.list(Filter::default()).await, [id]);
    assert_eq!(rows(&bench), [1, 1, 0, 0]);
}

pub(crate) async fn answers_are_forgotten_when_no_request_can_ask_for_them<F: Fixture>(bench: Bench<F>) {
    for n in 1..=5 {
        let key = Idempotency {
            key: [n; 32],
            request: [n; 32],
            reply: "{}".into(),
            now: NOW,
            since: NOW.minus(DAY),
        };
        let accept = Accept { messages: Vec::new(), idempotency: Some(key), no_repeats_since: None };
        assert_eq!(bench.accept(accept).await, Ok(Accepted::Stored));
    }
    let answers = || bench.fixture.counts(vec!["SELECT count(*) FROM idempotency".into()]);
    forget(&bench, ninety_days(NOW.plus(DAY))).await;
    assert_eq!(answers(), [5]);
    forget(&bench, ninety_days(NOW.plus(3 * DAY))).await;
    assert_eq!(answers(), [0]);
}
