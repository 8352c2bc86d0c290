//! Messages that wait in vain.

use domain::attempt::{Failure, Reason};
use domain::message::MessageStatus;
use domain::receipt::ReceiptStatus;
use domain::time::Timestamp;
use store::port::messages::{Sweep, Swept};
use store::port::queue::{Next, Recovery};
use store::port::watches::{Verdict, WatchKind};

use crate::support::{
    Bench, DAY, Fixture, HOUR, MINUTE, NOW, SECOND, With, accepted, message, node, not_submitted, provider,
    receipt_for, resend, retry,
};

/// How long a message may wait.
const HORIZON: std::time::Duration = std::time::Duration::from_hours(72);

/// Looks for what has waited since the horizon, at a time.
pub(crate) fn at(now: Timestamp) -> Sweep {
    let horizon = now.minus(HORIZON);
    Sweep {
        accepted_before: horizon,
        unmoved_since: horizon,
        limit: 100,
        reporting: vec![provider("twilio")],
        now,
    }
}

pub(crate) async fn message_without_a_receipt_is_undelivered_at_the_horizon<F: Fixture>(bench: Bench<F>) {
    let id = bench.add_and_send(message(1), "SM1").await;
    assert_eq!(bench.sweep(at(NOW.plus(HORIZON))).await, Ok(Swept::default()));
    let swept = bench.sweep(at(NOW.plus(HORIZON + MINUTE))).await;
    assert_eq!(swept, Ok(Swept { seen: 1, without_receipt: 1, expired: 0 }));
    let summary = bench.show(id).await.summary;
    assert_eq!(summary.status, MessageStatus::Undelivered);
    assert_eq!(summary.failure, Some(Failure::new(Reason::NoReceipt)));
    assert_eq!(summary.updated_at, NOW.plus(HORIZON + MINUTE));
}

pub(crate) async fn message_that_nobody_will_report_on_stays_sent<F: Fixture>(bench: Bench<F>) {
    let id = bench.add_and_send(message(1), "SM1").await;
    let sweep = Sweep { reporting: vec![provider("africastalking")], ..at(NOW.plus(2 * HORIZON)) };
    assert_eq!(bench.sweep(sweep).await, Ok(Swept { seen: 1, ..Swept::default() }));
    assert_eq!((bench.status(id).await, bench.watches().await), (MessageStatus::Sent, 0));
}

pub(crate) async fn message_that_was_never_claimed_expires_at_the_horizon<F: Fixture>(bench: Bench<F>) {
    bench.add([message(1)]).await;
    let swept = bench.sweep(at(NOW.plus(HORIZON + MINUTE))).await;
    assert_eq!(swept, Ok(Swept { seen: 1, without_receipt: 0, expired: 1 }));
    let summary = bench.show(message(1).id()).await.summary;
    assert_eq!(summary.status, MessageStatus::Expired);
    assert_eq!(summary.failure, Some(Failure::new(Reason::Expired)));
    assert_eq!(bench.take(NOW.plus(2 * HORIZON)).await.len(), 0);
    assert_eq!(bench.depth(NOW).await, Ok(Vec::new()));
}

pub(crate) async fn message_that_still_has_time_is_watched_until_it_is_as_old<F: Fixture>(bench: Bench<F>) {
    let now = NOW.plus(HORIZON + HOUR);
    // Scheduled, sent lately, tried again lately, and under way.
    let scheduled_at = NOW.plus(30 * DAY);
    bench.add([message(1).with(|message| message.scheduled_at = Some(scheduled_at))]).await;
    let mut due = vec![scheduled_at.plus(HORIZON)];
    for n in 2..=4 {
        bench.add([message(n).with(|message| message.scheduled_at = Some(NOW.plus(2 * HOUR)))]).await;
    }
    let moved_at = NOW.plus(2 * HOUR);
    for (claimed, n) in bench.take(moved_at).await.iter().zip(2..) {
        match n {
            2 => bench.end(claimed, accepted("SM2"), Next::Stop).await,
            3 => bench.end(claimed, not_submitted(), retry(now.plus(HOUR))).await,
            _ => {}
        }
    }
    due.extend([moved_at.plus(SECOND + HORIZON), moved_at.plus(SECOND + HORIZON), moved_at.plus(HORIZON)]);
    assert_eq!(bench.sweep(at(now)).await, Ok(Swept { seen: 4, ..Swept::default() }));
    due.sort();
    let mut watched = Vec::new();
    for due_at in &due {
        assert!(bench.look(due_at.minus(SECOND)).await.iter().all(|it| it.watch.due_at > *due_at));
        watched.extend(bench.look(*due_at).await);
    }
    let mut ids: Vec<_> = watched.iter().map(|watched| watched.message.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids, (1..=4).map(|n| message(n).id()).collect::<Vec<_>>());
    assert!(watched.iter().all(|watched| watched.kind == WatchKind::Silence));
}

pub(crate) async fn message_that_nobody_was_asked_to_send_is_shown_without_an_attempt<F: Fixture>(
    bench: Bench<F>,
) {
    let scheduled_at = NOW.plus(30 * DAY);
    bench.add([message(1).with(|message| message.scheduled_at = Some(scheduled_at))]).await;
    bench.sweep(at(NOW.plus(HORIZON + HOUR))).await.unwrap();
    let watched = bench.look(scheduled_at.plus(HORIZON)).await.remove(0);
    assert_eq!((watched.attempt.number, watched.attempt.ended), (0, None));
    assert_eq!((watched.attempt.provider, watched.asked.len()), (provider("twilio"), 0));
}

pub(crate) async fn watch_of_a_sweep_lasts_over_later_attempts<F: Fixture>(bench: Bench<F>) {
    let scheduled_at = NOW.plus(30 * DAY);
    bench.add([message(1).with(|message| message.scheduled_at = Some(scheduled_at))]).await;
    bench.sweep(at(NOW.plus(HORIZON + HOUR))).await.unwrap();
    let claimed = bench.take(scheduled_at).await.remove(0);
    bench.end(&claimed, accepted("SM1"), Next::Stop).await;
    let watched = bench.look(scheduled_at.plus(HORIZON + MINUTE)).await.remove(0);
    bench.decide(&watched, Verdict::WaitedInVain(scheduled_at.plus(HORIZON + MINUTE))).await;
    let summary = bench.show(message(1).id()).await.summary;
    assert_eq!(summary.status, MessageStatus::Undelivered);
    assert_eq!(summary.failure, Some(Failure::new(Reason::NoReceipt)));
}

pub(crate) async fn sweep_walks_on_from_where_it_ended_also_after_reopening<F: Fixture>(mut bench: Bench<F>) {
    bench.add((0..10).map(message)).await;
    let now = NOW.plus(HORIZON + HOUR);
    let mut expired = 0;
    for seen in [4, 4, 2, 0] {
        let swept = bench.sweep(Sweep { limit: 4, ..at(now) }).await.unwrap();
        assert_eq!(swept.seen, seen);
        expired += swept.expired;
        bench.reopen().await;
    }
    assert_eq!(expired, 10);
    // What is accepted later is looked through later.
    bench.add([message(20)]).await;
    assert_eq!(bench.sweep(at(now)).await.unwrap().seen, 1);
}

pub(crate) async fn sweep_passes_by_what_has_ended<F: Fixture>(bench: Bench<F>) {
    for n in 1..=2 {
        let id = bench.add_and_send(message(n), "SM1").await;
        bench.receive(receipt_for(id, ReceiptStatus::Delivered)).await;
    }
    let swept = bench.sweep(at(NOW.plus(2 * HORIZON))).await;
    assert_eq!(swept, Ok(Swept { seen: 2, ..Swept::default() }));
    assert_eq!(bench.watches().await, 0);
}

pub(crate) async fn message_sent_again_after_the_sweep_is_on_watch<F: Fixture>(bench: Bench<F>) {
    let id = bench.add_and_send(message(1), "SM1").await;
    let now = NOW.plus(HORIZON + HOUR);
    bench.sweep(at(now)).await.unwrap();
    bench.resend(resend(id, now)).await.unwrap();
    let claimed = bench.take(now).await.remove(0);
    bench.end(&claimed, accepted("SM2"), Next::Stop).await;
    let watched = bench.look(now.plus(2 * HOUR)).await;
    assert_eq!((watched.len(), watched[0].kind), (1, WatchKind::Silence));
    assert_eq!(watched[0].updated_at, claimed.due_at.plus(SECOND));
}

pub(crate) async fn message_in_doubt_at_the_horizon_stays_in_doubt<F: Fixture>(bench: Bench<F>) {
    bench.add_and_take(message(1)).await;
    let now = NOW.plus(HORIZON + HOUR);
    bench.recover(Recovery { node: node(2), now, only_node: true }).await.unwrap();
    assert_eq!(bench.sweep(at(now)).await, Ok(Swept { seen: 1, ..Swept::default() }));
    assert_eq!(bench.status(message(1).id()).await, MessageStatus::Sending);
    let mut kinds: Vec<_> = bench.look(now.plus(2 * HORIZON)).await.iter().map(|it| it.kind).collect();
    kinds.sort();
    assert_eq!(kinds, [WatchKind::Doubt, WatchKind::Silence]);
}
