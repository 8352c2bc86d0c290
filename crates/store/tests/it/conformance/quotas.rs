//! Quotas: what messages draw on, and that no more is drawn than there is.

use std::time::Duration;

use domain::quota::{Allowance, Draw};
use domain::time::Timestamp;
use store::port::history::KeepHistory;
use store::port::messages::{Accept, Accepted, Idempotency, Limited, NewMessage};

use crate::support::{Bench, DAY, Fixture, HOUR, NOW, message, message_at};

/// Five an hour.
fn draw(quota: i64) -> Draw {
    Draw { quota, allowance: Allowance::Rate { limit: 5, period: HOUR }, amount: 1 }
}

fn drawing(new: NewMessage, quotas: &[i64]) -> NewMessage {
    NewMessage { draws: quotas.iter().copied().map(draw).collect(), ..new }
}

fn one(new: NewMessage) -> Accept {
    Accept { messages: vec![new], idempotency: None, no_repeats_since: None }
}

async fn remaining<F: Fixture>(bench: &Bench<F>, new: NewMessage) -> Result<Vec<u64>, Timestamp> {
    match bench.accept(one(new)).await.unwrap() {
        Accepted::StoredWithin(left) => Ok(left.iter().map(|left| left.remaining).collect()),
        Accepted::Limited(limited) => Err(limited[0].again_at),
        other => panic!("{other:?}"),
    }
}

fn messages<F: Fixture>(bench: &Bench<F>) -> u64 {
    bench.fixture.counts(vec!["SELECT count(*) FROM messages".into()])[0]
}

pub(crate) async fn quota_is_drawn_on_to_the_last_and_survives_reopening<F: Fixture>(mut bench: Bench<F>) {
    for (n, left) in [(1, 4), (2, 3), (3, 2)] {
        assert_eq!(remaining(&bench, drawing(message(n), &[7])).await, Ok(vec![left]));
    }
    bench.reopen().await;
    for (n, left) in [(4, 1), (5, 0)] {
        assert_eq!(remaining(&bench, drawing(message(n), &[7])).await, Ok(vec![left]));
    }
    let again = remaining(&bench, drawing(message(6), &[7])).await.unwrap_err();
    assert!(
        again > NOW.plus(Duration::from_mins(11))
            && again <= NOW.plus(Duration::from_mins(12) + Duration::from_millis(1))
    );
    assert_eq!(messages(&bench), 5);
    // Another quota, and the same one when its time has come.
    assert_eq!(remaining(&bench, drawing(message(7), &[8])).await, Ok(vec![4]));
    assert_eq!(remaining(&bench, drawing(message_at(8, again), &[7])).await, Ok(vec![0]));
}

pub(crate) async fn of_two_hundred_at_once_as_many_pass_as_may<F: Fixture>(bench: Bench<F>) {
    let (store, mut asking) = (&bench.store, Vec::new());
    for n in 0..200 {
        let store = std::sync::Arc::clone(store);
        asking.push(async move { store.accept(one(drawing(message(n), &[7, n.cast_signed() + 100]))).await });
    }
    let mut tasks = tokio::task::JoinSet::new();
    for ask in asking {
        tasks.spawn(ask);
    }
    let answers = tasks.join_all().await;
    let stored = answers.iter().filter(|answer| matches!(answer, Ok(Accepted::StoredWithin(_)))).count();
    let limited = answers.iter().filter(|answer| matches!(answer, Ok(Accepted::Limited(_)))).count();
    assert_eq!((stored, limited), (5, 195));
    assert_eq!(messages(&bench), 5);
}

pub(crate) async fn clock_that_was_ahead_shuts_nobody_out_for_longer_than_the_rule_says<F: Fixture>(
    bench: Bench<F>,
) {
    for n in 1..=5 {
        remaining(&bench, drawing(message_at(n, NOW.plus(DAY)), &[7])).await.unwrap();
    }
    let now = message(6).message.created_at;
    let again = remaining(&bench, drawing(message(6), &[7])).await.unwrap_err();
    assert_eq!(again, now.plus(Duration::from_mins(12)));
    assert_eq!(remaining(&bench, drawing(message_at(7, again), &[7])).await, Ok(vec![0]));
    let later = again.plus(HOUR);
    assert_eq!(remaining(&bench, drawing(message_at(8, later), &[7])).await, Ok(vec![4]));
}

pub(crate) async fn who_is_refused_by_one_quota_draws_on_none<F: Fixture>(bench: Bench<F>) {
    for n in 1..=5 {
        remaining(&bench, drawing(message(n), &[7])).await.unwrap();
    }
    for n in 6..=15 {
        remaining(&bench, drawing(message(n), &[8, 7])).await.unwrap_err();
    }
    assert_eq!(remaining(&bench, drawing(message(16), &[8])).await, Ok(vec![4]));
}

pub(crate) async fn of_many_messages_those_beyond_are_named_and_none_is_stored<F: Fixture>(bench: Bench<F>) {
    let all: Vec<_> = (1..=7).map(|n| drawing(message(n), &[7])).collect();
    let accept = Accept { messages: all.clone(), idempotency: None, no_repeats_since: None };
    let Accepted::Limited(limited) = bench.accept(accept).await.unwrap() else { panic!("all were stored") };
    let named: Vec<_> =
        limited.iter().map(|Limited { message_id, place, .. }| (*message_id, *place)).collect();
    assert_eq!(named, [(all[5].message.id, 0), (all[6].message.id, 0)]);
    assert_eq!(messages(&bench), 0);
    let accept = Accept { messages: all[..5].to_vec(), idempotency: None, no_repeats_since: None };
    assert!(matches!(bench.accept(accept).await, Ok(Accepted::StoredWithin(left)) if left.len() == 5));
}

pub(crate) async fn refused_request_is_not_remembered_and_a_repeated_one_draws_nothing<F: Fixture>(
    bench: Bench<F>,
) {
    let request = |n: u64, key: u8| Accept {
        messages: vec![drawing(message(n), &[7])],
        idempotency: Some(Idempotency {
            key: [key; 32],
            request: [key; 32],
            reply: format!("reply {key}"),
            now: NOW,
            since: NOW.minus(DAY),
        }),
        no_repeats_since: None,
    };
    for n in 1..=4 {
        assert!(matches!(
            bench.accept(request(n, 1)).await.unwrap(),
            Accepted::StoredWithin(_) | Accepted::Repeated(_)
        ));
    }
    for key in 2..=5 {
        assert!(matches!(bench.accept(request(key.into(), key)).await, Ok(Accepted::StoredWithin(_))));
    }
    assert!(matches!(bench.accept(request(6, 6)).await, Ok(Accepted::Limited(_))));
    assert!(matches!(bench.accept(request(6, 6)).await, Ok(Accepted::Limited(_))), "no reply was kept");
    assert_eq!(messages(&bench), 5);
}

pub(crate) async fn quotas_that_have_ended_are_forgotten<F: Fixture>(bench: Bench<F>) {
    remaining(&bench, drawing(message(1), &[7])).await.unwrap();
    let rows = || bench.fixture.counts(vec!["SELECT count(*) FROM quotas".into()])[0];
    let keep = |now| KeepHistory {
        now,
        messages_since: None,
        replies_since: now.minus(DAY),
        audit_since: now.minus(90 * DAY),
        limit: 100,
    };
    bench.keep_history(keep(NOW.plus(Duration::from_mins(11)))).await.unwrap();
    assert_eq!(rows(), 1);
    bench.keep_history(keep(NOW.plus(Duration::from_mins(13)))).await.unwrap();
    assert_eq!(rows(), 0);
}
