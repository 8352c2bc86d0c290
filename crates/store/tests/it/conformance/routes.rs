//! Other routes for what waits, what is stuck, and routes that are out of service.

use domain::message::MessageStatus;
use domain::receipt::ReceiptStatus;
use domain::scenario::{Priority, Scenario};
use store::port::queue::{Claim, Diversion, LaneDepth, Next, Place, StuckCause, Waiting};

use crate::support::{
    Bench, Fixture, HOUR, MINUTE, NOW, SECOND, With, ambiguous, claim, end, ids_of, message, message_at,
    not_submitted, operator, provider, receipt_for, receiver, retry,
};

fn all_lanes(now: domain::time::Timestamp) -> Waiting {
    Waiting { provider: provider("twilio"), lanes: [true; 4], now, limit: 100 }
}

fn place(n: u64) -> Place {
    let message = message(n).message;
    Place {
        provider: provider("twilio"),
        priority: Priority::Normal,
        due_at: message.created_at,
        message_id: message.id,
    }
}

fn to_other(place: Place) -> Diversion {
    Diversion { place, to: provider("africastalking") }
}

pub(crate) async fn those_that_wait_are_shown_and_not_taken<F: Fixture>(bench: Bench<F>) {
    let refused = bench.add_and_take(message(1)).await;
    let refused_by = vec![provider("africastalking")];
    let next = Next::Retry {
        provider: provider("twilio"),
        priority: Priority::Normal,
        due_at: NOW.plus(MINUTE),
        expires_at: None,
        refused_by: refused_by.clone(),
    };
    bench.end(&refused, not_submitted(), next).await;
    let later = message(2).with(|message| message.scheduled_at = Some(NOW.plus(HOUR)));
    bench.add([later, message(3).via("africastalking")]).await;

    let waiting = bench.waiting(all_lanes(NOW.plus(2 * MINUTE))).await.unwrap();
    assert_eq!(waiting.len(), 1);
    let place = Place { due_at: NOW.plus(MINUTE), ..place(1) };
    assert_eq!((&waiting[0].place, &waiting[0].refused_by), (&place, &refused_by));
    assert_eq!((waiting[0].receiver, waiting[0].segments), (receiver(1), 1));
    assert_eq!(waiting[0].scenario, Scenario::Transaction);
    let waiting = bench.waiting(all_lanes(NOW.plus(2 * HOUR))).await.unwrap();
    assert_eq!(waiting.len(), 2);
    assert_eq!(bench.take(NOW.plus(2 * HOUR)).await.len(), 2);
}

pub(crate) async fn those_that_wait_are_shown_lane_by_lane<F: Fixture>(bench: Bench<F>) {
    let lanes = [Priority::Bulk, Priority::Normal, Priority::High, Priority::Critical];
    for (n, lane) in (0..8).zip(lanes.iter().cycle()) {
        bench.add([message(n).with(|message| message.priority = *lane)]).await;
    }
    let now = NOW.plus(SECOND);
    let shown = |waiting: Vec<store::port::queue::Waiter>| -> Vec<_> {
        waiting.iter().map(|waiter| waiter.place.message_id).collect()
    };
    let waiting = bench.waiting(Waiting { limit: 1, ..all_lanes(now) }).await.unwrap();
    assert_eq!(shown(waiting), [3, 2, 1, 0].map(|n| message(n).id()));
    let some = Waiting { lanes: [false, true, false, true], ..all_lanes(now) };
    assert_eq!(shown(bench.waiting(some).await.unwrap()), [2, 6, 0, 4].map(|n| message(n).id()));
    assert_eq!(bench.take(now).await.len(), 8);
}

pub(crate) async fn diverted_message_waits_for_its_new_route<F: Fixture>(bench: Bench<F>) {
    bench.add([message(1), message(2)]).await;
    assert_eq!(bench.divert(vec![to_other(place(1))]).await, Ok(1));
    let summary = bench.show(message(1).id()).await.summary;
    assert_eq!((summary.status, summary.provider), (MessageStatus::Queued, provider("africastalking")));
    let now = NOW.plus(SECOND);
    assert_eq!(ids_of(&bench.take(now).await), [message(2).id()]);
    let theirs = Claim { provider: provider("africastalking"), ..claim(now) };
    let claimed = bench.claim(theirs).await.unwrap().claimed;
    assert_eq!((ids_of(&claimed), claimed[0].submission.attempt), (vec![message(1).id()], 1));
    assert_eq!(claimed[0].due_at, message(1).message.created_at);
}

pub(crate) async fn message_that_has_left_is_not_diverted<F: Fixture>(bench: Bench<F>) {
    bench.add_and_take(message(1)).await;
    bench.add([message(2), message(3)]).await;
    // Settled while it waits: its row is of no use to anybody.
    bench.receive(receipt_for(message(2).id(), ReceiptStatus::Delivered)).await;
    let same = Diversion { place: place(3), to: provider("twilio") };
    let diversions = vec![to_other(place(1)), to_other(place(2)), to_other(place(9)), same];
    assert_eq!(bench.divert(diversions).await, Ok(0));
    for n in [1, 2, 3] {
        assert_eq!(bench.show(message(n).id()).await.summary.provider, provider("twilio"));
    }
    assert_eq!(bench.waiting(all_lanes(NOW.plus(SECOND))).await.unwrap().len(), 1);
    let theirs = Claim { provider: provider("africastalking"), ..claim(NOW.plus(HOUR)) };
    assert_eq!(bench.claim(theirs).await.unwrap().claimed.len(), 0);
    assert_eq!(ids_of(&bench.take(NOW.plus(HOUR)).await), [message(3).id()]);
}

pub(crate) async fn depth_tells_how_long_messages_are_due<F: Fixture>(bench: Bench<F>) {
    let now = NOW.plus(20 * MINUTE);
    for (n, age) in (0..).zip([0, 5, 11, 61, 700].map(|age| SECOND * age)) {
        bench.add([message_at(n, now.minus(age))]).await;
    }
    bench.add([message_at(9, now).with(|message| message.scheduled_at = Some(now.plus(HOUR)))]).await;
    let depth = LaneDepth {
        provider: provider("twilio"),
        priority: Priority::Normal,
        messages: 6,
        later: 1,
        overdue: [3, 2, 1],
        oldest_due_at: now.minus(SECOND * 700),
    };
    assert_eq!(bench.depth(now).await, Ok(vec![depth]));
}

pub(crate) async fn stuck_messages_are_told_with_what_they_wait_for<F: Fixture>(bench: Bench<F>) {
    bench.add_and_doubt(message(1)).await;
    bench.add_and_take(message_at(2, NOW.plus(SECOND))).await;
    bench.add([message_at(3, NOW.plus(2 * SECOND)).with(|message| message.priority = Priority::Bulk)]).await;
    bench.add([message_at(4, NOW.plus(3 * SECOND)).via("africastalking")]).await;
    bench.add([message_at(5, NOW.plus(4 * SECOND)).with(|it| it.scheduled_at = Some(NOW.plus(HOUR)))]).await;
    let sent = message_at(6, NOW.plus(5 * SECOND)).with(|message| message.priority = Priority::High);
    bench.add([sent]).await;
    bench.receive(receipt_for(message_at(6, NOW.plus(5 * SECOND)).id(), ReceiptStatus::Sent)).await;

    let stuck = bench.stuck(NOW.plus(MINUTE), 100).await.unwrap();
    let causes: Vec<_> =
        stuck.iter().map(|stuck| (stuck.cause, stuck.provider.as_str(), stuck.priority)).collect();
    assert_eq!(
        causes,
        [
            (StuckCause::Certainty, "twilio", Priority::Normal),
            (StuckCause::Outcome, "twilio", Priority::Normal),
            (StuckCause::Turn, "twilio", Priority::Bulk),
            (StuckCause::Turn, "africastalking", Priority::Normal),
        ]
    );
    assert_eq!(stuck[2].since, NOW.plus(2 * SECOND));
    assert_eq!(bench.stuck(NOW.plus(MINUTE), 2).await.unwrap(), stuck[..2]);
    // What moved since is not stuck.
    assert_eq!(bench.stuck(NOW.plus(SECOND), 100).await.unwrap(), stuck[..2]);
    assert_eq!(bench.stuck(NOW, 100).await, Ok(Vec::new()));
}

pub(crate) async fn doubt_that_was_settled_is_not_stuck<F: Fixture>(bench: Bench<F>) {
    let claimed = bench.add_and_doubt(message(1)).await;
    bench.finish(vec![end(&claimed, ambiguous(), retry(NOW.plus(2 * HOUR)))]).await.unwrap();
    assert_eq!(bench.stuck(NOW.plus(HOUR), 100).await, Ok(Vec::new()));
}

pub(crate) async fn drained_route_is_remembered_until_it_is_put_back<F: Fixture>(mut bench: Bench<F>) {
    let (one, other) = (provider("twilio"), provider("africastalking"));
    assert_eq!(bench.drained().await, Ok(Vec::new()));
    assert_eq!(bench.set_drained(one.clone(), None, operator(NOW)).await, Ok(false));
    assert_eq!(bench.set_drained(one.clone(), Some(NOW), operator(NOW)).await, Ok(true));
    assert_eq!(bench.set_drained(one.clone(), Some(NOW.plus(HOUR)), operator(NOW)).await, Ok(false));
    assert_eq!(bench.set_drained(other.clone(), Some(NOW.plus(MINUTE)), operator(NOW)).await, Ok(true));
    bench.reopen().await;
    assert_eq!(bench.drained().await, Ok(vec![(other, NOW.plus(MINUTE)), (one.clone(), NOW)]));
    assert_eq!(bench.set_drained(one, None, operator(NOW)).await, Ok(true));
    assert_eq!(bench.drained().await.unwrap().len(), 1);
}
