//! Requests that their callers may repeat.

use std::time::Duration;

use domain::time::Timestamp;
use store::port::messages::{Accept, Accepted, Filter, Idempotency, NewMessage};
use tokio::task::JoinSet;

use crate::support::{Bench, DAY, Fixture, HOUR, MINUTE, NOW, With, message};

const MICROSECOND: Duration = Duration::from_micros(1);

/// The key `key` with the request `request`, at a time.
fn key(key: u8, request: u8, now: Timestamp) -> Idempotency {
    Idempotency {
        key: [key; 32],
        request: [request; 32],
        reply: format!(r#"{{"key":{key},"request":{request},"note":"é👍"}}"#),
        now,
        since: now.minus(DAY),
    }
}

fn accept(messages: impl IntoIterator<Item = NewMessage>, idempotency: Idempotency) -> Accept {
    Accept {
        messages: messages.into_iter().collect(),
        idempotency: Some(idempotency),
        no_repeats_since: None,
    }
}

pub(crate) async fn repeated_request_is_answered_as_before_and_stores_nothing<F: Fixture>(bench: Bench<F>) {
    let first = key(1, 1, NOW);
    let again = Idempotency { reply: "another reply".into(), ..key(1, 1, NOW.plus(MINUTE)) };
    assert_eq!(bench.accept(accept([message(1)], first.clone())).await, Ok(Accepted::Stored));
    let repeated = bench.accept(accept([message(2)], again)).await;
    assert_eq!(repeated, Ok(Accepted::Repeated(first.reply)));
    assert_eq!(bench.list(Filter::default()).await, [message(1).id()]);
    assert_eq!(bench.take(NOW.plus(MINUTE)).await.len(), 1);
}

pub(crate) async fn key_with_another_request_is_refused_and_stores_nothing<F: Fixture>(bench: Bench<F>) {
    assert_eq!(bench.accept(accept([message(1)], key(1, 1, NOW))).await, Ok(Accepted::Stored));
    assert_eq!(bench.accept(accept([message(2)], key(1, 2, NOW))).await, Ok(Accepted::KeyReused));
    assert_eq!(bench.list(Filter::default()).await, [message(1).id()]);
    // The refusal did not take the key over.
    let repeated = bench.accept(accept([message(3)], key(1, 1, NOW))).await;
    assert_eq!(repeated, Ok(Accepted::Repeated(key(1, 1, NOW).reply)));
}

pub(crate) async fn other_key_with_the_same_request_is_another_request<F: Fixture>(bench: Bench<F>) {
    // Two callers with the same key differ in its hash.
    assert_eq!(bench.accept(accept([message(1)], key(1, 1, NOW))).await, Ok(Accepted::Stored));
    assert_eq!(bench.accept(accept([message(2)], key(2, 1, NOW))).await, Ok(Accepted::Stored));
    assert_eq!(bench.list(Filter::default()).await.len(), 2);
}

pub(crate) async fn of_fifty_equal_requests_at_once_one_is_stored<F: Fixture>(bench: Bench<F>) {
    let mut accepts = JoinSet::new();
    for n in 0..50 {
        let store = std::sync::Arc::clone(&bench.store);
        let idempotency = Idempotency { reply: n.to_string(), ..key(1, 1, NOW) };
        accepts.spawn(async move { (n, store.accept(accept([message(n)], idempotency)).await.unwrap()) });
    }
    let answers = accepts.join_all().await;
    let stored: Vec<u64> =
        answers.iter().filter(|(_, answer)| *answer == Accepted::Stored).map(|(n, _)| *n).collect();
    assert_eq!(stored.len(), 1);
    for (n, answer) in answers {
        if n != stored[0] {
            assert_eq!(answer, Accepted::Repeated(stored[0].to_string()));
        }
    }
    assert_eq!(bench.list(Filter::default()).await, [message(stored[0]).id()]);
}

pub(crate) async fn key_is_remembered_to_the_end_of_its_window<F: Fixture>(bench: Bench<F>) {
    assert_eq!(bench.accept(accept([message(1)], key(1, 1, NOW))).await, Ok(Accepted::Stored));
    let last = bench.accept(accept([message(2)], key(1, 1, NOW.plus(DAY)))).await;
    assert_eq!(last, Ok(Accepted::Repeated(key(1, 1, NOW).reply)));
    let after = bench.accept(accept([message(3)], key(1, 2, NOW.plus(DAY).plus(MICROSECOND)))).await;
    assert_eq!(after, Ok(Accepted::Stored));
}

pub(crate) async fn earlier_request_is_told_without_accepting_anything<F: Fixture>(mut bench: Bench<F>) {
    assert_eq!(bench.earlier(key(1, 1, NOW)).await, Ok(None));
    // Asking did not take the key.
    assert_eq!(bench.accept(accept([message(1)], key(1, 1, NOW))).await, Ok(Accepted::Stored));
    bench.reopen().await;
    let repeated = Ok(Some(Accepted::Repeated(key(1, 1, NOW).reply)));
    assert_eq!(bench.earlier(key(1, 1, NOW.plus(MINUTE))).await, repeated);
    assert_eq!(bench.earlier(key(1, 1, NOW.plus(DAY))).await, repeated);
    assert_eq!(bench.earlier(key(1, 2, NOW)).await, Ok(Some(Accepted::KeyReused)));
    assert_eq!(bench.earlier(key(2, 1, NOW)).await, Ok(None));
    assert_eq!(bench.earlier(key(1, 1, NOW.plus(DAY).plus(MICROSECOND))).await, Ok(None));
    assert_eq!(bench.list(Filter::default()).await, [message(1).id()]);
}

pub(crate) async fn forgotten_key_begins_a_new_window<F: Fixture>(bench: Bench<F>) {
    // A window of an hour, so that both uses are of one day.
    let within = |idempotency: Idempotency| {
        let since = idempotency.now.minus(HOUR);
        Idempotency { since, ..idempotency }
    };
    let (first, second) = (within(key(1, 1, NOW)), within(key(1, 2, NOW.plus(2 * HOUR))));
    let third = within(key(1, 2, NOW.plus(3 * HOUR)));
    assert_eq!(bench.accept(accept([message(1)], first)).await, Ok(Accepted::Stored));
    assert_eq!(bench.accept(accept([message(2)], second.clone())).await, Ok(Accepted::Stored));
    assert_eq!(bench.accept(accept([message(3)], third)).await, Ok(Accepted::Repeated(second.reply)));
}

pub(crate) async fn key_is_remembered_across_midnight<F: Fixture>(bench: Bench<F>) {
    let midnight = "2026-11-24T00:00:00Z".parse::<Timestamp>().unwrap();
    let (before, after) = (midnight.minus(MICROSECOND), midnight);
    assert_eq!(bench.accept(accept([message(1)], key(1, 1, before))).await, Ok(Accepted::Stored));
    let repeated = bench.accept(accept([message(2)], key(1, 1, after))).await;
    assert_eq!(repeated, Ok(Accepted::Repeated(key(1, 1, before).reply)));
    let reused = bench.accept(accept([message(2)], key(1, 2, after))).await;
    assert_eq!(reused, Ok(Accepted::KeyReused));
}

pub(crate) async fn key_is_remembered_after_reopening<F: Fixture>(mut bench: Bench<F>) {
    assert_eq!(bench.accept(accept([message(1)], key(1, 1, NOW))).await, Ok(Accepted::Stored));
    bench.reopen().await;
    let repeated = bench.accept(accept([message(2)], key(1, 1, NOW))).await;
    assert_eq!(repeated, Ok(Accepted::Repeated(key(1, 1, NOW).reply)));
}

pub(crate) async fn key_of_an_accept_that_failed_is_not_remembered<F: Fixture>(bench: Bench<F>) {
    bench.add([message(1)]).await;
    assert!(bench.accept(accept([message(1)], key(1, 1, NOW))).await.is_err());
    assert_eq!(bench.accept(accept([message(2)], key(1, 1, NOW))).await, Ok(Accepted::Stored));
}

pub(crate) async fn request_in_which_nothing_was_accepted_is_remembered_too<F: Fixture>(bench: Bench<F>) {
    assert_eq!(bench.accept(accept([], key(1, 1, NOW))).await, Ok(Accepted::Stored));
    let repeated = bench.accept(accept([message(1)], key(1, 1, NOW))).await;
    assert_eq!(repeated, Ok(Accepted::Repeated(key(1, 1, NOW).reply)));
    assert_eq!(bench.list(Filter::default()).await, []);
}
