//! Claiming: who gets which message, in which order, and when.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use domain::attempt::Reason;
use domain::message::MessageStatus;
use domain::receipt::ReceiptStatus;
use domain::scenario::Priority;
use domain::sender_pace::SenderPace;
use store::port::messages::NewMessage;
use store::port::queue::{Claim, Next};
use tokio::task::JoinSet;

use crate::support::{
    Bench, Fixture, HOUR, MINUTE, NOW, SECOND, With, claim, ids, ids_of, message, message_at, node,
    not_submitted, provider, receipt_for, retry,
};

/// The `n`-th message, in a lane.
fn in_lane(n: u64, lane: Priority) -> NewMessage {
    message(n).with(|message| message.priority = lane)
}

/// How many messages wait, over all lanes and providers.
async fn waiting<F: Fixture>(bench: &Bench<F>) -> u64 {
    bench.depth(NOW).await.unwrap().iter().map(|lane| lane.messages).sum()
}

pub(crate) async fn claim_opens_an_attempt_with_what_the_provider_needs<F: Fixture>(bench: Bench<F>) {
    let new = message(1).with(|message| {
        message.sender = Some("CHAMA".parse().unwrap());
        message.expires_at = Some(NOW.plus(HOUR));
        message.segments = 3;
    });
    bench.add([new.clone()]).await;
    let now = NOW.plus(MINUTE);
    let claims = bench.claim(claim(now)).await.unwrap();
    assert_eq!(claims.claimed.len(), 1);
    let claimed = &claims.claimed[0];
    assert_eq!(claimed.submission.message_id, new.id());
    assert_eq!(claimed.submission.attempt, 1);
    assert_eq!(claimed.submission.receiver, new.message.receiver);
    assert_eq!(claimed.submission.sender, new.message.sender);
    assert_eq!(claimed.submission.body, new.message.body);
    assert_eq!(claimed.submission.encoding, new.message.encoding);
    assert_eq!(claimed.submission.scenario, new.message.scenario);
    assert_eq!(claimed.submission.expires_at, new.message.expires_at);
    assert_eq!(claimed.priority, new.message.priority);
    assert_eq!(claimed.created_at, new.message.created_at);
    assert_eq!(claimed.due_at, new.message.created_at);
    assert_eq!(claimed.segments, 3);

    let shown = bench.show(new.id()).await;
    assert_eq!(shown.summary.status, MessageStatus::Sending);
    assert_eq!(shown.summary.updated_at, now);
    assert_eq!(shown.attempts.len(), 1);
    assert_eq!((shown.attempts[0].number, shown.attempts[0].started_at), (1, now));
    assert_eq!(shown.attempts[0].provider, provider("twilio"));
    assert_eq!(shown.attempts[0].ended, None);
}

pub(crate) async fn claimed_message_is_not_claimed_again<F: Fixture>(mut bench: Bench<F>) {
    bench.add([message(1)]).await;
    assert_eq!(bench.take(NOW.plus(MINUTE)).await.len(), 1);
    assert_eq!(bench.take(NOW.plus(MINUTE)).await.len(), 0);
    bench.reopen().await;
    // Not even when its lease has run out: only a recovery says what becomes of it.
    assert_eq!(bench.take(NOW.plus(24 * HOUR)).await.len(), 0);
}

pub(crate) async fn claim_of_an_empty_queue_is_empty<F: Fixture>(bench: Bench<F>) {
    let claims = bench.claim(claim(NOW)).await.unwrap();
    assert_eq!((claims.claimed.len(), claims.expired.len(), claims.next_due), (0, 0, [None; 4]));
}

pub(crate) async fn scheduled_message_is_not_claimed_before_it_is_due<F: Fixture>(bench: Bench<F>) {
    let due_at = NOW.plus(HOUR);
    let new = message(1).with(|message| message.scheduled_at = Some(due_at));
    bench.add([new.clone()]).await;
    assert_eq!(bench.take(due_at.minus(Duration::from_micros(1))).await.len(), 0);
    assert_eq!(bench.status(new.id()).await, MessageStatus::Scheduled);
    assert_eq!(ids_of(&bench.take(due_at).await), [new.id()]);
    assert_eq!(bench.status(new.id()).await, MessageStatus::Sending);
}

pub(crate) async fn claim_takes_only_its_providers_messages<F: Fixture>(bench: Bench<F>) {
    bench.add([message(1), message(2).via("africastalking")]).await;
    assert_eq!(ids_of(&bench.take(NOW.plus(MINUTE)).await), [message(1).id()]);
    let theirs = Claim { provider: provider("africastalking"), ..claim(NOW.plus(MINUTE)) };
    let claims = bench.claim(theirs).await.unwrap();
    assert_eq!(ids(&claims), [message(2).id()]);
    assert_eq!(bench.show(message(2).id()).await.attempts[0].provider, provider("africastalking"));
}

pub(crate) async fn lanes_are_served_in_order_and_each_first_in_first_out<F: Fixture>(bench: Bench<F>) {
    // Accepted from the last lane to the first, and within a lane from the latest to the earliest.
    for (n, lane) in Priority::ALL.iter().rev().enumerate() {
        for m in (0..3).rev() {
            bench.add([in_lane(n as u64 * 10 + m, *lane)]).await;
        }
    }
    let claims = bench.claim(claim(NOW.plus(MINUTE))).await.unwrap();
    let lanes: Vec<_> = claims.claimed.iter().map(|claimed| claimed.priority).collect();
    let expected: Vec<_> = Priority::ALL.iter().flat_map(|lane| [*lane; 3]).collect();
    assert_eq!(lanes, expected);
    let order = [30, 31, 32, 20, 21, 22, 10, 11, 12, 0, 1, 2].map(|n| message(n).id());
    assert_eq!(ids(&claims), order);
}

pub(crate) async fn messages_due_at_once_go_in_the_order_of_their_ids<F: Fixture>(bench: Bench<F>) {
    let same_time = |n| message_at(n, NOW);
    bench.add([3, 1, 2].map(same_time)).await;
    assert_eq!(ids_of(&bench.take(NOW).await), [1, 2, 3].map(|n| same_time(n).id()));
}

pub(crate) async fn time_that_a_message_is_due_decides_its_turn<F: Fixture>(bench: Bench<F>) {
    let later = message(1).with(|message| message.scheduled_at = Some(NOW.plus(HOUR)));
    let sooner = message_at(2, NOW.plus(MINUTE));
    bench.add([later.clone(), sooner.clone()]).await;
    assert_eq!(ids_of(&bench.take(NOW.plus(2 * HOUR)).await), [sooner.id(), later.id()]);
}

pub(crate) async fn claim_takes_no_more_of_a_lane_than_allowed<F: Fixture>(bench: Bench<F>) {
    for (n, lane) in Priority::ALL.iter().enumerate() {
        bench.add((0..5).map(|m| in_lane(n as u64 * 10 + m, *lane))).await;
    }
    let limited = Claim { at_most: [1, 0, 3, 9], ..claim(NOW.plus(MINUTE)) };
    let claims = bench.claim(limited).await.unwrap();
    let taken = Priority::ALL
        .iter()
        .map(|lane| claims.claimed.iter().filter(|claimed| claimed.priority == *lane).count());
    assert_eq!(taken.collect::<Vec<_>>(), [1, 0, 3, 5]);
    assert_eq!(waiting(&bench).await, 20 - 9);
}

pub(crate) async fn claim_takes_no_more_than_allowed_in_total<F: Fixture>(bench: Bench<F>) {
    for (n, lane) in Priority::ALL.iter().enumerate() {
        bench.add((0..5).map(|m| in_lane(n as u64 * 10 + m, *lane))).await;
    }
    let limited = Claim { at_most: [2, 9, 9, 9], total: 8, ..claim(NOW.plus(MINUTE)) };
    let claims = bench.claim(limited).await.unwrap();
    let order = [0, 1, 10, 11, 12, 13, 14, 20].map(|n| message(n).id());
    assert_eq!(ids(&claims), order);
    let nothing = Claim { total: 0, ..claim(NOW.plus(MINUTE)) };
    assert_eq!(bench.claim(nothing).await.unwrap().claimed.len(), 0);
    assert_eq!(waiting(&bench).await, 12);
}

pub(crate) async fn claim_fills_no_more_requests_than_each_lane_may_open<F: Fixture>(bench: Bench<F>) {
    for (n, lane) in Priority::ALL.iter().enumerate() {
        bench.add((0..5).map(|m| in_lane(n as u64 * 10 + m, *lane))).await;
    }
    // Counted over all lanes: two of the first, up to four with the next, none of the third, up to five in all.
    let limited = Claim { requests: [2, 4, 3, 5], ..claim(NOW.plus(MINUTE)) };
    let claims = bench.claim(limited).await.unwrap();
    assert_eq!(ids(&claims), [0, 1, 10, 11, 30].map(|n| message(n).id()));
    assert_eq!(waiting(&bench).await, 15);
}

pub(crate) async fn what_may_begin_at_once_goes_to_the_first_lane<F: Fixture>(bench: Bench<F>) {
    let bulk = (1..=3).map(|n| message(n).with(|message| message.priority = Priority::Bulk));
    bench.add(bulk).await;
    bench.add([message(4).with(|message| message.priority = Priority::High)]).await;
    // Lower lanes keep more requests than may begin now.
    let claim = Claim { at_once: 1, guaranteed_requests: [0, 6, 3, 2], ..claim(NOW.plus(SECOND)) };
    assert_eq!(ids(&bench.claim(claim).await.unwrap()), [message(4).id()]);
}

pub(crate) async fn lanes_above_leave_a_lane_its_guaranteed_requests<F: Fixture>(bench: Bench<F>) {
    for (n, lane) in Priority::ALL.iter().enumerate() {
        bench.add((0..5).map(|m| in_lane(n as u64 * 10 + m, *lane))).await;
    }
    let limited =
        Claim { requests: [7, 7, 3, 0], guaranteed_requests: [0, 0, 1, 2], ..claim(NOW.plus(MINUTE)) };
    let claims = bench.claim(limited.clone()).await.unwrap();
    assert_eq!(ids(&claims), [0, 1, 2, 3, 20, 30, 31].map(|n| message(n).id()));
    // Nobody keeps anything for a lane in which nothing is due.
    let claims = bench.claim(limited.clone()).await.unwrap();
    assert_eq!(ids(&claims), [4, 10, 11, 12, 21, 32, 33].map(|n| message(n).id()));
    let claims = bench.claim(limited.clone()).await.unwrap();
    assert_eq!(ids(&claims), [13, 14, 22, 34].map(|n| message(n).id()));
    assert_eq!(waiting(&bench).await, 2);
}

pub(crate) async fn lanes_above_leave_a_lane_its_guaranteed_share_of_the_total<F: Fixture>(bench: Bench<F>) {
    for (n, lane) in [(0, Priority::High), (3, Priority::Bulk)] {
        bench.add((0..9).map(|m| in_lane(n * 10 + m, lane))).await;
    }
    let limited = Claim { total: 10, guaranteed: [0, 0, 5, 3], ..claim(NOW.plus(MINUTE)) };
    let claims = bench.claim(limited.clone()).await.unwrap();
    assert_eq!(ids(&claims), [0, 1, 2, 3, 4, 5, 6, 30, 31, 32].map(|n| message(n).id()));
    assert_eq!(bench.claim(limited).await.unwrap().claimed.len(), 8);
}

pub(crate) async fn sender_that_may_not_send_now_keeps_nobody_else_waiting<F: Fixture>(bench: Bench<F>) {
    let named = |n| message(n).with(|message| message.sender = Some("CHAMA".parse().unwrap()));
    bench.add((0..3).map(named).chain([message(3)])).await;
    let now = NOW.plus(MINUTE);
    let limited = Claim { senders: SenderPace::new(1), ..claim(now) };
    let claims = bench.claim(limited).await.unwrap();
    assert_eq!(ids(&claims), [0, 3].map(|n| message(n).id()));
    // The others have a turn each, a second apart.
    let later = |seconds| Claim { senders: claims.senders.clone(), ..claim(now.plus(seconds * SECOND)) };
    assert_eq!(ids(&bench.claim(later(0)).await.unwrap()), []);
    assert_eq!(ids(&bench.claim(later(1)).await.unwrap()), [message(1).id()]);
    assert_eq!(ids(&bench.claim(later(2)).await.unwrap()), [message(2).id()]);
    assert_eq!(waiting(&bench).await, 0);
}

pub(crate) async fn bulk_messages_with_one_text_share_a_request<F: Fixture>(bench: Bench<F>) {
    let bulk = |n, text: &str| {
        in_lane(n, Priority::Bulk).with(|message| message.body = domain::secret::Body::new(text))
    };
    let texts = ["a", "a", "b", "a", "a", "b", "c", "a"];
    bench.add((0..).zip(texts).map(|(n, text)| bulk(n, text))).await;
    // Two requests of three receivers: the fourth "a" would open a third, and what stands behind it waits too.
    let shared = Claim { requests: [2; 4], receivers_per_request: 3, ..claim(NOW.plus(MINUTE)) };
    let claims = bench.claim(shared.clone()).await.unwrap();
    assert_eq!(ids(&claims), [0, 1, 2, 3].map(|n| message(n).id()));
    assert_eq!(claims.next_due[3], Some(message(4).message.created_at));
    let claims = bench.claim(shared).await.unwrap();
    assert_eq!(ids(&claims), [4, 5].map(|n| message(n).id()));
}

pub(crate) async fn message_of_another_lane_has_a_request_to_itself<F: Fixture>(bench: Bench<F>) {
    let same = |n| message(n).with(|message| message.body = domain::secret::Body::new("same"));
    bench.add((0..5).map(same)).await;
    let shared = Claim { requests: [2; 4], receivers_per_request: 100, ..claim(NOW.plus(MINUTE)) };
    assert_eq!(ids(&bench.claim(shared).await.unwrap()), [0, 1].map(|n| message(n).id()));
}

pub(crate) async fn rest_of_a_lane_is_claimed_next_in_order<F: Fixture>(bench: Bench<F>) {
    bench.add((0..10).map(message)).await;
    let mut all = Vec::new();
    for _ in 0..4 {
        let limited = Claim { total: 3, ..claim(NOW.plus(MINUTE)) };
        all.extend(ids(&bench.claim(limited).await.unwrap()));
    }
    assert_eq!(all, (0..10).map(|n| message(n).id()).collect::<Vec<_>>());
}

pub(crate) async fn messages_due_at_once_are_claimed_in_parts_and_none_is_lost<F: Fixture>(bench: Bench<F>) {
    let same_time = |n| message_at(n, NOW);
    bench.add((0..10).map(same_time)).await;
    let mut all = Vec::new();
    for _ in 0..4 {
        let limited = Claim { total: 3, ..claim(NOW) };
        all.extend(ids(&bench.claim(limited).await.unwrap()));
    }
    assert_eq!(all, (0..10).map(|n| same_time(n).id()).collect::<Vec<_>>());
}

pub(crate) async fn next_due_is_the_next_that_waits_in_each_lane<F: Fixture>(bench: Bench<F>) {
    let due_at = NOW.plus(HOUR);
    bench
        .add([
            // Critical: nothing waits. High: one for later. Normal: more than allowed. Bulk: all is taken.
            in_lane(1, Priority::High).with(|message| message.scheduled_at = Some(due_at)),
            in_lane(2, Priority::Normal),
            in_lane(3, Priority::Normal),
            in_lane(4, Priority::Bulk),
            // Of another provider, sooner than all of them.
            in_lane(0, Priority::Critical).via("africastalking"),
        ])
        .await;
    let limited = Claim { at_most: [1; 4], ..claim(NOW.plus(MINUTE)) };
    let claims = bench.claim(limited).await.unwrap();
    let more = message(3).message.created_at;
    assert_eq!(claims.next_due, [None, Some(due_at), Some(more), None]);
    // Also in lanes from which nothing may be taken.
    let nothing = Claim { at_most: [0; 4], ..claim(NOW.plus(MINUTE)) };
    assert_eq!(bench.claim(nothing).await.unwrap().next_due, [None, Some(due_at), Some(more), None]);
}

pub(crate) async fn message_whose_time_ran_out_expires_and_is_not_claimed<F: Fixture>(bench: Bench<F>) {
    let expiring = |n, at| message(n).with(|message| message.expires_at = Some(at));
    let now = NOW.plus(MINUTE);
    // Ran out just now, and has a moment left.
    let (late, last) = (expiring(1, now), expiring(2, now.plus(Duration::from_micros(1))));
    bench.add([late.clone(), last.clone(), message(3)]).await;
    let claims = bench.claim(claim(now)).await.unwrap();
    assert_eq!(claims.expired, [late.id()]);
    assert_eq!(ids(&claims), [last.id(), message(3).id()]);

    let shown = bench.show(late.id()).await;
    assert_eq!(shown.summary.status, MessageStatus::Expired);
    assert_eq!(shown.summary.failure.map(|failure| failure.reason), Some(Reason::Expired));
    assert_eq!(shown.summary.updated_at, now);
    assert_eq!(shown.attempts, []);
    assert_eq!(waiting(&bench).await, 0);
    assert_eq!(bench.claim(claim(now)).await.unwrap().expired, []);
}

pub(crate) async fn expired_messages_of_all_lanes_are_told<F: Fixture>(bench: Bench<F>) {
    for (n, lane) in (0..).zip(Priority::ALL) {
        bench.add([in_lane(n, *lane).with(|message| message.expires_at = Some(NOW.plus(SECOND)))]).await;
    }
    let claims = bench.claim(claim(NOW.plus(MINUTE))).await.unwrap();
    assert_eq!(claims.expired, [0, 1, 2, 3].map(|n| message(n).id()));
    assert_eq!((claims.claimed.len(), claims.next_due), (0, [None; 4]));
}

pub(crate) async fn concurrent_claimers_never_get_the_same_message<F: Fixture>(bench: Bench<F>) {
    bench.add((0..600).map(message)).await;
    let mut claimers = JoinSet::new();
    for n in 0..12 {
        let store = Arc::clone(&bench.store);
        claimers.spawn(async move {
            let mut mine = Vec::new();
            loop {
                let some = Claim { node: node(n), total: 7, ..claim(NOW.plus(MINUTE)) };
                let claims = store.claim(some).await.unwrap();
                if claims.claimed.is_empty() && claims.next_due == [None; 4] {
                    return mine;
                }
                mine.extend(ids(&claims));
            }
        });
    }
    let all: Vec<_> = claimers.join_all().await.into_iter().flatten().collect();
    assert_eq!(all.len(), 600);
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 600);
}

pub(crate) async fn message_accepted_while_others_are_claimed_is_claimed_once<F: Fixture>(bench: Bench<F>) {
    let mut tasks = JoinSet::new();
    for n in 0..100 {
        let store = Arc::clone(&bench.store);
        tasks.spawn(async move {
            let accept = store::port::messages::Accept {
                messages: vec![message(n)],
                idempotency: None,
                no_repeats_since: None,
            };
            store.accept(accept).await.unwrap();
            ids(&store.claim(Claim { node: node(n), ..claim(NOW.plus(MINUTE)) }).await.unwrap())
        });
    }
    let all: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(all.len(), 100);
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 100);
}

pub(crate) async fn depth_counts_each_lane_of_each_provider<F: Fixture>(bench: Bench<F>) {
    assert_eq!(bench.depth(NOW).await.unwrap(), []);
    bench
        .add([
            in_lane(1, Priority::Bulk),
            in_lane(2, Priority::Bulk),
            in_lane(3, Priority::Critical),
            in_lane(4, Priority::Bulk).via("africastalking"),
        ])
        .await;
    let mut depth = bench.depth(NOW).await.unwrap();
    depth.sort_by_key(|lane| (lane.provider.as_str().to_owned(), lane.priority));
    let shown: Vec<_> = depth
        .iter()
        .map(|lane| (lane.provider.as_str(), lane.priority, lane.messages, lane.oldest_due_at))
        .collect();
    let due = |n| message(n).message.created_at;
    assert_eq!(
        shown,
        [
            ("africastalking", Priority::Bulk, 1, due(4)),
            ("twilio", Priority::Critical, 1, due(3)),
            ("twilio", Priority::Bulk, 2, due(1)),
        ]
    );
}

pub(crate) async fn message_that_a_receipt_settled_while_it_waited_is_not_claimed<F: Fixture>(
    bench: Bench<F>,
) {
    // The first attempt seemed not to leave, and the message waits for the second, when a receipt proves that it
    // did leave.
    for (n, status) in (1..).zip(ReceiptStatus::ALL) {
        let claimed = bench.add_and_take(message(n)).await;
        bench.end(&claimed, not_submitted(), retry(NOW.plus(MINUTE))).await;
        bench.receive(receipt_for(message(n).id(), *status)).await;
        let settled = bench.status(message(n).id()).await;

        let claims = bench.claim(claim(NOW.plus(HOUR))).await.unwrap();
        assert_eq!((claims.claimed.len(), claims.expired.len()), (0, 0), "{status}");
        let shown = bench.show(message(n).id()).await;
        assert_eq!((shown.summary.status, shown.attempts.len()), (settled, 1), "{status}");
        assert_eq!(waiting(&bench).await, 0, "{status}");
    }
}

pub(crate) async fn message_that_a_receipt_settled_does_not_expire<F: Fixture>(bench: Bench<F>) {
    let claimed = bench.add_and_take(message(1)).await;
    let next = Next::Retry {
        provider: provider("twilio"),
        priority: Priority::Normal,
        due_at: NOW.plus(MINUTE),
        expires_at: Some(NOW.plus(2 * MINUTE)),
        refused_by: Vec::new(),
    };
    bench.end(&claimed, not_submitted(), next).await;
    bench.receive(receipt_for(message(1).id(), ReceiptStatus::Sent)).await;
    let claims = bench.claim(claim(NOW.plus(HOUR))).await.unwrap();
    assert_eq!((claims.claimed.len(), claims.expired), (0, vec![]));
    assert_eq!(bench.status(message(1).id()).await, MessageStatus::Sent);
}
