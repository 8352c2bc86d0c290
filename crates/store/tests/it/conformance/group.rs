//! Many callers at once, those that leave, and the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use domain::ids::MessageId;
use domain::message::MessageStatus;
use domain::receipt::ReceiptStatus;
use store::port::keys::ApiKey;
use store::port::messages::{Accept, Accepted, Filter, Page};
use store::port::queue::{Next, Recovery};
use store::port::receipts::NewReceipt;
use store::{Store, StoreError};
use tokio::task::JoinSet;

use crate::support::{
    Bench, Fixture, HOUR, MINUTE, NOW, With, accepted, caller, claim, end, ids_of, message, node, operator,
    receipt_for,
};

fn one(n: u64) -> Accept {
    Accept { messages: vec![message(n)], idempotency: None, no_repeats_since: None }
}

pub(crate) async fn five_hundred_accepts_at_once_are_all_answered_and_all_there<F: Fixture>(
    mut bench: Bench<F>,
) {
    let mut accepts = JoinSet::new();
    for n in 0..500 {
        let store = Arc::clone(&bench.store);
        accepts.spawn(async move { store.accept(one(n)).await });
    }
    let answers = accepts.join_all().await;
    assert_eq!(answers, vec![Ok(Accepted::Stored); 500]);
    bench.reopen().await;
    let mut claimed = ids_of(&bench.take(NOW.plus(MINUTE)).await);
    claimed.sort_unstable();
    assert_eq!(claimed, (0..500).map(|n| message(n).id()).collect::<Vec<_>>());
}

pub(crate) async fn whole_lives_side_by_side_end_as_they_should<F: Fixture>(bench: Bench<F>) {
    assert_eq!(lives(&bench.store).join_all().await.len(), 100);
    assert_eq!(bench.depth(NOW).await, Ok(Vec::new()));
}

pub(crate) async fn events_of_whole_lives_side_by_side_come_in_order<F: Fixture>(bench: Bench<F>) {
    bench.keep_events(true).await.unwrap();
    let mut lives = lives(&bench.store);
    let mut told: BTreeMap<MessageId, Vec<String>> = BTreeMap::new();
    // Fetched and forgotten while they come, as a publisher does.
    while told.values().map(Vec::len).sum::<usize>() < 300 {
        let events = bench.events(20).await.unwrap();
        let numbers = events.iter().map(|event| event.number).collect();
        for event in events {
            told.entry(event.message_id).or_default().push(event.status);
        }
        bench.forget_events(numbers).await.unwrap();
    }
    while let Some(ended) = lives.join_next().await {
        ended.unwrap();
    }
    assert!(told.values().all(|words| *words == ["queued", "sent", "delivered"]), "{told:?}");
    assert_eq!(bench.events(1).await, Ok(Vec::new()));
}

/// A hundred messages, each from accept to receipt.
fn lives(store: &Arc<dyn Store>) -> JoinSet<()> {
    let mut lives = JoinSet::new();
    for n in 0..100 {
        let store = Arc::clone(store);
        lives.spawn(async move {
            let name = format!("p{n}");
            let new = message(n).via(&name);
            let id = new.id();
            store
                .accept(Accept { messages: vec![new], idempotency: None, no_repeats_since: None })
                .await
                .unwrap();
            let own =
                store::port::queue::Claim { provider: name.parse().unwrap(), ..claim(NOW.plus(MINUTE)) };
            let claimed = store.claim(own).await.unwrap().claimed.remove(0);
            assert_eq!(claimed.submission.message_id, id);
            store.finish(vec![end(&claimed, accepted("SM1"), Next::Stop)]).await.unwrap();
            let receipt = receipt_for(id, ReceiptStatus::Delivered);
            store.record_receipts(vec![NewReceipt { receipt, raw: Vec::new() }]).await.unwrap();
            assert_eq!(store.message(id).await.unwrap().unwrap().summary.status, MessageStatus::Delivered);
        });
    }
    lives
}

pub(crate) async fn what_was_answered_is_seen_by_the_next_read<F: Fixture>(bench: Bench<F>) {
    for n in 0..50 {
        bench.add([message(n)]).await;
        assert_eq!(bench.list(Filter::default()).await[0], message(n).id());
    }
}

pub(crate) async fn write_is_done_also_when_its_caller_has_gone_away<F: Fixture>(bench: Bench<F>) {
    let mut accept = bench.accept(one(1));
    // Answered already or not: nobody looks at it.
    let _ = poll_once(&mut accept);
    drop(accept);
    // Where there are several writers, another one may answer before it.
    let mut listed = Vec::new();
    for _ in 0..1_000 {
        bench.ping().await.unwrap();
        listed = bench.list(Filter::default()).await;
        if !listed.is_empty() {
            break;
        }
    }
    assert_eq!(listed, [message(1).id()]);
}

pub(crate) async fn closing_finishes_what_is_waiting<F: Fixture>(mut bench: Bench<F>) {
    let store = Arc::clone(&bench.store);
    let accepts = (0..200).map(|n| store.accept(one(n))).map(|mut accept| (poll_once(&mut accept), accept));
    let accepts: Vec<_> = accepts.collect();
    bench.store.close().await;
    for (answer, accept) in accepts {
        let answer = match answer {
            Poll::Ready(answer) => answer,
            Poll::Pending => accept.await,
        };
        assert_eq!(answer, Ok(Accepted::Stored));
    }
    drop(store);
    bench.reopen().await;
    assert_eq!(bench.take(NOW.plus(MINUTE)).await.len(), 200);
}

pub(crate) async fn closed_store_answers_stopped<F: Fixture>(bench: Bench<F>) {
    let claimed = bench.add_and_take(message(1)).await;
    bench.close().await;
    let stopped = Err(StoreError::Stopped);
    assert_eq!(bench.accept(one(2)).await, Err(StoreError::Stopped));
    assert_eq!(bench.claim(claim(NOW)).await.map(|claims| claims.claimed.len()), Err(StoreError::Stopped));
    assert_eq!(bench.finish(vec![end(&claimed, accepted("SM1"), Next::Stop)]).await, stopped);
    let receipt = receipt_for(message(1).id(), ReceiptStatus::Delivered);
    let fates = bench.record_receipts(vec![NewReceipt { receipt, raw: Vec::new() }]).await;
    assert_eq!(fates, Err(StoreError::Stopped));
    let recovery = Recovery { node: node(1), now: NOW.plus(HOUR), only_node: false };
    assert_eq!(bench.recover(recovery).await, Err(StoreError::Stopped));
    assert_eq!(bench.message(message(1).id()).await.map(|_| ()), stopped);
    let page = Page { after: None, limit: 1 };
    assert_eq!(bench.messages(Filter::default(), page).await.map(|_| ()), stopped);
    assert_eq!(bench.depth(NOW).await.map(|_| ()), stopped);
    let key = ApiKey::new(caller(1), "late", [1; 32], NOW);
    assert_eq!(bench.create_key(key, operator(NOW)).await, stopped);
    assert_eq!(bench.find_key([1; 32]).await.map(|_| ()), stopped);
    assert_eq!(bench.keys().await.map(|_| ()), stopped);
    assert_eq!(bench.revoke_key(caller(1), operator(NOW)).await.map(|_| ()), stopped);
    assert_eq!(bench.ping().await, stopped);
    // Closing again does no harm.
    bench.close().await;
}

pub(crate) async fn store_that_is_dropped_unclosed_can_be_opened_again_at_once<F: Fixture>(
    mut bench: Bench<F>,
) {
    for n in 0..5 {
        bench.add([message(n)]).await;
        bench = {
            let Bench { fixture, store } = bench;
            drop(store);
            let store = fixture.open().await;
            Bench { fixture, store }
        };
    }
    assert_eq!(bench.list(Filter::default()).await.len(), 5);
}

/// Brings a call to the point where it waits for its answer.
fn poll_once<T>(call: &mut (impl Future<Output = T> + Unpin)) -> Poll<T> {
    std::pin::Pin::new(call).poll(&mut Context::from_waker(Waker::noop()))
}
