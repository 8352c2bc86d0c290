//! Caps: what is reserved when a message is accepted, and what takes its place when it is known what it cost.

use domain::ids::MessageId;
use domain::message::MessageStatus;
use domain::quota::{Allowance, Draw};
use store::port::messages::{Accept, Accepted, Limited, NewMessage, Resend};
use store::port::queue::Next;
use store::port::spending::{Charge, Reservation, ReservationId};

use crate::support::{Bench, DAY, Fixture, HOUR, MINUTE, NOW, SECOND, message, rejected, resend};

/// A hundred, until the day ends.
fn cap(amount: u64) -> Draw {
    Draw { quota: 7, allowance: Allowance::Cap { most: 100, ends: NOW.plus(DAY) }, amount }
}

fn costing(n: u64, amount: u64) -> NewMessage {
    let rate = Allowance::Rate { limit: 1_000, period: HOUR };
    // What is drawn of a rate is not reserved: it is gone.
    NewMessage { draws: vec![Draw { quota: 8, allowance: rate, amount: 1 }, cap(amount)], ..message(n) }
}

async fn accept<F: Fixture>(bench: &Bench<F>, new: NewMessage) -> Result<u64, ()> {
    match bench
        .accept(Accept { messages: vec![new], idempotency: None, no_repeats_since: None })
        .await
        .unwrap()
    {
        Accepted::StoredWithin(left) => Ok(left[1].remaining),
        Accepted::Limited(_) => Err(()),
        other => panic!("{other:?}"),
    }
}

async fn reservations<F: Fixture>(bench: &Bench<F>) -> Vec<Reservation> {
    bench.store.reservations(None, 100).await.unwrap()
}

async fn drawn<F: Fixture>(bench: &Bench<F>) -> Option<i64> {
    bench.store.standing(vec![cap(0)]).await.unwrap()[0]
}

fn charge(message_id: MessageId, reserved: i64, charged: i64) -> Charge {
    Charge { id: ReservationId { message_id, quota: 7 }, reserved, charged, now: NOW.plus(MINUTE) }
}

pub(crate) async fn cap_holds_what_is_reserved_and_then_what_was_charged<F: Fixture>(bench: Bench<F>) {
    let new = costing(1, 60);
    let id = new.message.id;
    assert_eq!(accept(&bench, new).await, Ok(40));
    assert_eq!(accept(&bench, costing(2, 60)).await, Err(()));
    let [reservation] = &reservations(&bench).await[..] else { panic!("one is reserved") };
    let reserved_for = reservation.message.as_ref().unwrap();
    assert_eq!((reservation.id.message_id, reservation.amount), (id, 60));
    assert_eq!((reserved_for.status, reserved_for.taken.len()), (MessageStatus::Queued, 0));

    let claimed = bench.take(NOW.plus(SECOND)).await.pop().unwrap();
    bench.end(&claimed, crate::support::accepted("SM1"), Next::Stop).await;
    let [reservation] = &reservations(&bench).await[..] else { panic!("one is reserved") };
    let reserved_for = reservation.message.as_ref().unwrap();
    assert_eq!((reserved_for.status, reserved_for.taken.len()), (MessageStatus::Sent, 1));

    assert_eq!(bench.settle(vec![charge(id, 60, 25)]).await, Ok(1));
    assert_eq!((drawn(&bench).await, reservations(&bench).await.len()), (Some(25), 0));
    assert_eq!(bench.settle(vec![charge(id, 60, 25)]).await, Ok(0), "it is settled once");
    assert_eq!(drawn(&bench).await, Some(25));
    assert_eq!(accept(&bench, costing(3, 75)).await, Ok(0));
}

pub(crate) async fn of_two_hundred_at_once_the_cap_lets_pass_what_it_can_pay<F: Fixture>(bench: Bench<F>) {
    let mut asking = tokio::task::JoinSet::new();
    for n in 0..200 {
        let store = std::sync::Arc::clone(&bench.store);
        let new = NewMessage { draws: vec![cap(7)], ..message(n) };
        let accept = Accept { messages: vec![new], idempotency: None, no_repeats_since: None };
        asking.spawn(async move { store.accept(accept).await.unwrap() });
    }
    let answers = asking.join_all().await;
    let stored = answers.iter().filter(|answer| matches!(answer, Accepted::StoredWithin(_))).count();
    assert_eq!((stored, drawn(&bench).await), (14, Some(98)));
    assert_eq!(reservations(&bench).await.len(), 14);
}

pub(crate) async fn what_is_sent_again_is_reserved_again_within_the_cap<F: Fixture>(bench: Bench<F>) {
    let new = costing(1, 40);
    let id = new.message.id;
    accept(&bench, new).await.unwrap();
    let claimed = bench.take(NOW.plus(SECOND)).await.pop().unwrap();
    bench.end(&claimed, rejected(), Next::Stop).await;
    assert_eq!(bench.settle(vec![charge(id, 40, 0)]).await, Ok(1));

    let again = |amount| Resend { draws: vec![cap(amount)], ..resend(id, NOW.plus(MINUTE)) };
    let refused = bench.resend(again(101)).await.unwrap().unwrap();
    assert!(!refused.has_moved());
    assert_eq!(
        refused.limited,
        Some(Limited { message_id: id, place: 0, again_at: NOW.plus(DAY) }),
        "it says which quota, and until when"
    );
    assert_eq!((bench.status(id).await, drawn(&bench).await), (MessageStatus::Failed, Some(0)));
    assert!(bench.resend(again(60)).await.unwrap().unwrap().has_moved());
    assert_eq!(drawn(&bench).await, Some(60));
    // Only what comes after is paid from it.
    let claimed = bench.take(NOW.plus(2 * MINUTE)).await.pop().unwrap();
    bench.end(&claimed, crate::support::accepted("SM2"), Next::Stop).await;
    let [reservation] = &reservations(&bench).await[..] else { panic!("one is reserved") };
    assert_eq!(reservation.message.as_ref().unwrap().taken.len(), 1);
}

pub(crate) async fn reservation_that_grew_since_it_was_read_is_left_alone<F: Fixture>(bench: Bench<F>) {
    let new = costing(1, 40);
    let id = new.message.id;
    accept(&bench, new).await.unwrap();
    let claimed = bench.take(NOW.plus(SECOND)).await.pop().unwrap();
    bench.end(&claimed, rejected(), Next::Stop).await;
    let again = Resend { draws: vec![cap(10)], ..resend(id, NOW.plus(MINUTE)) };
    assert!(bench.resend(again).await.unwrap().unwrap().has_moved());
    assert_eq!(bench.settle(vec![charge(id, 40, 0)]).await, Ok(0));
    assert_eq!(drawn(&bench).await, Some(50));
    assert_eq!(bench.settle(vec![charge(id, 50, 10)]).await, Ok(1));
    assert_eq!(drawn(&bench).await, Some(10));
}

pub(crate) async fn reservations_are_read_page_by_page<F: Fixture>(bench: Bench<F>) {
    for n in 1..=5 {
        accept(&bench, costing(n, 3)).await.unwrap();
    }
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = bench.store.reservations(after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        seen.extend(page.into_iter().map(|reservation| reservation.id.message_id));
    }
    assert_eq!(seen, (1..=5).map(|n| message(n).message.id).collect::<Vec<_>>());
}
