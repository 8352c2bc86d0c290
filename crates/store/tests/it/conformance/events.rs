//! The outbox: each change of status leaves one event, in the transaction that made it.

use std::collections::BTreeMap;

use domain::audit::Actor;
use domain::event::{EventData, EventKind, NewEvent};
use domain::ids::{BulkId, MessageId};
use domain::receipt::ReceiptStatus;
use domain::time::Timestamp;
use store::StoreError;
use store::port::events::{Event, Lease, Outbox};
use store::port::messages::{Accept, Cancel};
use store::port::queue::{AttemptEnd, Next};
use store::port::sealing::{Reseal, SealedRow};

use crate::support::{
    Bench, Fixture, MINUTE, NOW, SECOND, With as _, accepted, caller, claim, end, entropy, message, node,
    not_submitted, operator, receipt_for, rejected, resend, retry,
};

async fn keeping<F: Fixture>(bench: &Bench<F>) {
    bench.keep_events(true).await.unwrap();
}

async fn all<F: Fixture>(bench: &Bench<F>) -> Vec<Event> {
    bench.events(10_000).await.unwrap()
}

/// The words of a message's events, in order.
async fn words<F: Fixture>(bench: &Bench<F>, id: MessageId) -> Vec<String> {
    let events = all(bench).await.into_iter().filter(|event| event.message_id == id);
    events.map(|event| event.status).collect()
}

pub(crate) async fn none_is_kept_unless_somebody_wants_them<F: Fixture>(bench: Bench<F>) {
    assert_eq!(bench.are_events_kept().await, Ok(false));
    bench.add_and_send(message(1), "SM1").await;
    assert_eq!(all(&bench).await, []);
    assert_eq!(bench.outbox().await, Ok(Outbox::default()));
}

pub(crate) async fn events_are_kept_until_nobody_wants_them_any_more<F: Fixture>(mut bench: Bench<F>) {
    keeping(&bench).await;
    // Again, and after a new start: nothing changes.
    keeping(&bench).await;
    bench.reopen().await;
    assert_eq!(bench.are_events_kept().await, Ok(true));
    bench.add([message(1)]).await;
    bench.keep_events(false).await.unwrap();
    bench.keep_events(false).await.unwrap();
    assert_eq!(bench.are_events_kept().await, Ok(false));
    bench.add([message(2)]).await;
    let kept = all(&bench).await;
    assert_eq!(kept.iter().map(|event| event.message_id).collect::<Vec<_>>(), [message(1).id()]);
    keeping(&bench).await;
    bench.add([message(3)]).await;
    assert_eq!(words(&bench, message(3).id()).await, ["queued"]);
}

pub(crate) async fn each_change_leaves_one_event_in_order<F: Fixture>(bench: Bench<F>) {
    keeping(&bench).await;
    let id = bench.add_and_send(message(1), "SM1").await;
    let receipt = receipt_for(id, ReceiptStatus::Delivered);
    bench.receive(receipt.clone()).await;
    // Says nothing new.
    bench.receive(receipt).await;
    assert_eq!(words(&bench, id).await, ["queued", "sent", "delivered"]);
}

pub(crate) async fn what_ends_otherwise_is_told_too<F: Fixture>(bench: Bench<F>) {
    keeping(&bench).await;
    let refused = bench.add_and_take(message(1)).await;
    bench.end(&refused, rejected(), Next::Stop).await;
    let again = bench.add_and_take(message(2)).await;
    bench.end(&again, not_submitted(), retry(NOW.plus(MINUTE))).await;
    let later = message(3).with(|message| message.scheduled_at = Some(NOW.plus(10 * MINUTE)));
    bench.add([later]).await;
    let cancel = Cancel { messages: vec![message(3).id()], by: Actor::Operator, now: NOW.plus(SECOND) };
    bench.cancel(cancel).await.unwrap();
    let late = message(4).with(|message| message.expires_at = Some(NOW.plus(2 * SECOND)));
    bench.add([late]).await;
    bench.claim(claim(NOW.plus(3 * SECOND))).await.unwrap();
    assert_eq!(words(&bench, message(1).id()).await, ["queued", "failed"]);
    assert_eq!(words(&bench, message(2).id()).await, ["queued", "queued"]);
    assert_eq!(words(&bench, message(3).id()).await, ["scheduled", "canceled"]);
    assert_eq!(words(&bench, message(4).id()).await, ["queued", "expired"]);
}

pub(crate) async fn message_that_is_sent_again_is_told_as_queued_again<F: Fixture>(bench: Bench<F>) {
    keeping(&bench).await;
    let id = bench.add_and_send(message(1), "SM1").await;
    bench.receive(receipt_for(id, ReceiptStatus::Undelivered)).await;
    bench.store.resend(resend(id, NOW.plus(MINUTE))).await.unwrap();
    assert_eq!(words(&bench, id).await, ["queued", "sent", "undelivered", "queued"]);
}

pub(crate) async fn event_tells_what_it_must_and_no_number_and_no_text<F: Fixture>(bench: Bench<F>) {
    keeping(&bench).await;
    let bulk_id = BulkId::new(NOW, entropy(9));
    let new = message(1).with(|message| {
        message.bulk_id = Some(bulk_id);
        message.reference = Some("order-7".into());
        message.group = Some("umoja".into());
        message.metadata = BTreeMap::from([("a".into(), "b".into())]);
    });
    let claimed = bench.add_and_take(new.clone()).await;
    bench.end(&claimed, rejected(), Next::Stop).await;
    let events = all(&bench).await;
    let [queued, failed] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((queued.at, queued.reason.as_deref()), (new.message.created_at, None));
    assert_eq!((failed.status.as_str(), failed.provider.as_str()), ("failed", "twilio"));
    assert_eq!(failed.at, new.message.created_at.plus(SECOND));
    assert_eq!(failed.reason.as_deref(), Some("invalid_recipient"));
    assert_eq!(failed.provider_code.as_deref(), Some("21211"));
    let about = failed.about.clone().unwrap();
    assert_eq!((about.scenario.as_str(), about.bulk_id), ("transaction", Some(bulk_id)));
    assert_eq!((about.reference.as_deref(), about.group.as_deref()), (Some("order-7"), Some("umoja")));
    assert_eq!(about.metadata.as_deref(), Some(r#"{"a":"b"}"#));
    let shown = format!("{events:?}");
    assert!(!shown.contains("Deposit") && !shown.contains("2547"), "{shown}");
}

pub(crate) async fn many_changes_of_one_commit_leave_one_event_each<F: Fixture>(bench: Bench<F>) {
    keeping(&bench).await;
    bench.add((0..500).map(message)).await;
    let claimed = bench.take(NOW.plus(SECOND)).await;
    let ends: Vec<AttemptEnd> = claimed
        .iter()
        .map(|claimed| end(claimed, accepted(&claimed.submission.message_id.to_string()), Next::Stop))
        .collect();
    bench.finish(ends).await.unwrap();
    let events = all(&bench).await;
    assert_eq!(events.len(), 1_000);
    assert!(events.is_sorted_by_key(|event| event.number));
    let mut told: BTreeMap<MessageId, Vec<&str>> = BTreeMap::new();
    for event in &events {
        told.entry(event.message_id).or_default().push(&event.status);
    }
    assert_eq!(told.len(), 500);
    assert!(told.values().all(|words| *words == ["queued", "sent"]), "{told:?}");
    // What has not happened is not told: claims move messages to `sending`.
    assert!(events.iter().all(|event| event.status != "sending"));
}

pub(crate) async fn accept_that_is_taken_back_leaves_none<F: Fixture>(bench: Bench<F>) {
    keeping(&bench).await;
    bench.add([message(1)]).await;
    let both = Accept { messages: vec![message(2), message(1)], idempotency: None, no_repeats_since: None };
    assert!(matches!(bench.accept(both).await, Err(StoreError::Internal(_))));
    assert_eq!(words(&bench, message(2).id()).await, [""; 0]);
    assert_eq!(all(&bench).await.len(), 1);
}

pub(crate) async fn forgotten_event_is_gone_and_its_number_never_used_again<F: Fixture>(mut bench: Bench<F>) {
    keeping(&bench).await;
    bench.add([message(1), message(2)]).await;
    let numbers: Vec<i64> = all(&bench).await.iter().map(|event| event.number).collect();
    bench.forget_events(vec![numbers[0]]).await.unwrap();
    assert_eq!(all(&bench).await.len(), 1);
    bench.forget_events(numbers.clone()).await.unwrap();
    assert_eq!(all(&bench).await, []);
    bench.reopen().await;
    bench.add([message(3)]).await;
    let next = all(&bench).await[0].number;
    assert!(next > numbers[1], "{next} after {numbers:?}");
}

pub(crate) async fn front_of_the_outbox_is_read_and_its_depth_told<F: Fixture>(bench: Bench<F>) {
    keeping(&bench).await;
    bench.add((1..=5).map(message)).await;
    let front = bench.events(2).await.unwrap();
    assert_eq!(front, all(&bench).await[..2]);
    assert_eq!(bench.outbox().await, Ok(Outbox { events: 5, oldest: Some(front[0].at) }));
}

fn lease(by: u64, now: Timestamp) -> Lease {
    Lease { name: "test", node: node(by), until: now.plus(10 * SECOND), ended_before: now.minus(2 * SECOND) }
}

pub(crate) async fn lease_is_one_nodes_until_it_ends_or_is_given_back<F: Fixture>(bench: Bench<F>) {
    assert_eq!(bench.take_lease(lease(1, NOW)).await, Ok(true));
    assert_eq!(bench.take_lease(lease(2, NOW.plus(SECOND))).await, Ok(false));
    // Renewed: to twelve seconds after the beginning.
    assert_eq!(bench.take_lease(lease(1, NOW.plus(2 * SECOND))).await, Ok(true));
    // It has ended, but the other's clock may be ahead.
    assert_eq!(bench.take_lease(lease(2, NOW.plus(13 * SECOND))).await, Ok(false));
    assert_eq!(bench.take_lease(lease(2, NOW.plus(15 * SECOND))).await, Ok(true));
    assert_eq!(bench.take_lease(lease(1, NOW.plus(16 * SECOND))).await, Ok(false));
    // Not the holder's: it stays.
    bench.release_lease("test", node(1)).await.unwrap();
    assert_eq!(bench.take_lease(lease(1, NOW.plus(16 * SECOND))).await, Ok(false));
    bench.release_lease("test", node(2)).await.unwrap();
    assert_eq!(bench.take_lease(lease(1, NOW.plus(16 * SECOND))).await, Ok(true));
    // A clock may be ahead for a while, but nobody waits for one that was ahead by hours.
    assert_eq!(bench.take_lease(lease(2, NOW.plus(6 * SECOND))).await, Ok(false));
    assert_eq!(bench.take_lease(lease(1, NOW.plus(MINUTE * 60))).await, Ok(true));
    assert_eq!(bench.take_lease(lease(2, NOW.plus(20 * SECOND))).await, Ok(true));
}

fn raised(n: u8, kind: EventKind) -> NewEvent {
    let data = EventData::from_json(format!(r#"{{"n":{n},"text":"Habari"}}"#));
    NewEvent { kind, subject: [n; 16], caller: (n > 1).then(|| caller(n.into())), at: NOW, data }
}

pub(crate) async fn what_is_raised_is_kept_in_order_while_it_is_wanted<F: Fixture>(mut bench: Bench<F>) {
    bench.raise_events(vec![raised(9, EventKind::PromptClosed)]).await.unwrap();
    keeping(&bench).await;
    let new = [raised(1, EventKind::PromptReplied), raised(2, EventKind::ConsentChanged)];
    bench.raise_events(new.to_vec()).await.unwrap();
    bench.raise_events(vec![raised(1, EventKind::PromptClosed)]).await.unwrap();
    bench.reopen().await;
    let told = bench.raised_events(10).await.unwrap();
    let kinds: Vec<_> = told.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["prompt.replied", "consent.changed", "prompt.closed"]);
    assert!(told.is_sorted_by_key(|event| event.number));
    for (told, new) in told.iter().zip(&new) {
        assert_eq!((told.subject, told.caller, told.at), (new.subject, new.caller, new.at));
        assert_eq!(told.data, new.data);
    }
    assert_eq!(bench.outbox().await, Ok(Outbox { events: 3, oldest: Some(NOW) }));
    bench.forget_raised(vec![told[0].number, told[2].number]).await.unwrap();
    let left = bench.raised_events(10).await.unwrap();
    assert_eq!(left, told[1..2]);
    bench.keep_events(false).await.unwrap();
    bench.raise_events(vec![raised(3, EventKind::PromptClosed)]).await.unwrap();
    assert_eq!(bench.raised_events(10).await.unwrap(), left, "what is there stays, and nothing is added");
}

pub(crate) async fn what_is_raised_is_sealed_and_read_under_a_new_key<F: Fixture>(bench: Bench<F>) {
    keeping(&bench).await;
    for n in 1..=3 {
        bench.raise_events(vec![raised(n, EventKind::InboundReceived)]).await.unwrap();
    }
    let told = bench.raised_events(10).await.unwrap();
    let key = bench.add_data_key(operator(NOW)).await.unwrap();
    bench.use_data_key(key, operator(NOW)).await.unwrap();
    let (mut behind, mut resealed) = (Some(SealedRow::FIRST), 0);
    while let Some(row) = behind {
        let part = bench.reseal(Reseal { behind: row, limit: 2 }).await.unwrap();
        resealed += part.resealed;
        behind = part.behind;
    }
    assert_eq!(resealed, 3);
    assert_eq!(bench.forget_data_keys(key, operator(NOW)).await, Ok(1));
    assert_eq!(bench.raised_events(10).await.unwrap(), told);
}
