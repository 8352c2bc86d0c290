//! The audit trail: what enters it, that it holds, and how it is read.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::attempt::{Failure, Reason};
use domain::audit::{
    Act, Actor, AuditKeys, Broken, ChainCheck, Entry, Event, NewEntry, check_chains, check_checkpoints,
    check_last_checkpoint,
};
use domain::ids::MessageId;
use domain::receipt::{Receipt, ReceiptStatus};
use store::Store;
use store::port::audit::{AuditCursor, AuditFilter, AuditPage};
use store::port::guard::{Feedback, FeedbackOutcome};
use store::port::keys::{ApiKey, Rotation};
use store::port::messages::{Accept, Accepted, Cancel, Resend};
use store::port::queue::Next;
use store::port::receipts::NewReceipt;
use tokio::task::JoinSet;

use super::history::{forget, ninety_days};
use crate::support::{
    Bench, DAY, Fixture, HOUR, MINUTE, NOW, SECOND, With, accepted, caller, claim, message, message_at,
    operator, provider, receipt_for, receiver, rejected, resend,
};

/// Entries that are read at once: few, so that a trail has many parts.
const PART: u32 = 7;

fn keys(store: &dyn Store) -> AuditKeys {
    AuditKeys::new(&store.derive_key(AuditKeys::PURPOSE))
}

/// Verifies all, and answers how many entries there are.
pub(crate) async fn verified(store: &dyn Store) -> Result<usize, Broken> {
    let keys = keys(store);
    let (head, checkpoints) = store.audit_checkpoints().await.unwrap();
    let mut expected = check_checkpoints(&keys, head.as_ref(), &checkpoints)?;
    let (mut entries, mut last_checkpoint) = (0, 0);
    let chains: Vec<_> = store.audit_chains().await.unwrap().into_iter().map(|chain| chain.chain).collect();
    check_chains(chains.iter().copied())?;
    for chain in chains {
        let mut check = ChainCheck::new(&keys, chain, expected.remove(&chain).unwrap_or_default());
        loop {
            let part = store.audit_part(chain, check.seq(), PART).await.unwrap();
            check.see(&part)?;
            entries += part.entries.len();
            if part.is_last {
                break;
            }
        }
        last_checkpoint = last_checkpoint.max(check.last_checkpoint());
    }
    check_last_checkpoint(head.as_ref(), last_checkpoint)?;
    Ok(entries)
}

/// The newest entries that meet a filter.
async fn list(store: &dyn Store, filter: AuditFilter) -> Vec<Entry> {
    store.audit(filter, AuditPage { after: None, limit: 100 }).await.unwrap()
}

fn of(id: MessageId) -> AuditFilter {
    AuditFilter { message_id: Some(id), ..AuditFilter::default() }
}

/// Event, actor and outcome of each entry of a message, the oldest first.
async fn told(store: &dyn Store, id: MessageId) -> Vec<(String, String, Option<String>)> {
    let entries = list(store, of(id)).await.into_iter().rev();
    let words = entries.map(|entry| (entry.event.into_owned(), entry.actor, entry.outcome.map(Into::into)));
    words.collect()
}

fn word(event: &str, actor: &str, outcome: Option<&str>) -> (String, String, Option<String>) {
    (event.into(), actor.into(), outcome.map(Into::into))
}

fn key(n: u8) -> ApiKey {
    ApiKey::new(caller(n.into()), format!("wallet {n}"), [n; 32], NOW)
}

pub(crate) async fn accepted_message_has_an_entry_without_its_number_and_text<F: Fixture>(bench: Bench<F>) {
    let new = message(7);
    bench.add([new.clone()]).await;
    let entries = list(&*bench.store, AuditFilter::default()).await;
    let [entry] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!((entry.chain, entry.seq, entry.at), (1, 1, new.message.created_at));
    assert_eq!(
        (entry.event.as_ref(), entry.actor.as_str()),
        ("sms.accepted", caller(1).to_string().as_str())
    );
    assert_eq!(entry.message_id, Some(new.id()));
    assert_eq!(entry.receiver, Some(bench.receiver_hash(receiver(7))));
    assert_eq!((entry.length, entry.segments), (Some(19), Some(1)));
    assert_eq!((entry.provider.as_deref(), entry.outcome.as_deref()), (Some("twilio"), Some("queued")));
    let shown = format!("{entry:?}");
    assert!(!shown.contains("Deposit") && !shown.contains("712000007"), "{shown}");
    assert_eq!(verified(&*bench.store).await, Ok(1));
}

pub(crate) async fn each_end_of_a_message_has_its_entry<F: Fixture>(bench: Bench<F>) {
    let (key, system, twilio) = (caller(1).to_string(), "system", "provider:twilio");
    let accepted_entry = word("sms.accepted", &key, Some("queued"));
    let delivered = bench.add_and_send(message(1), "SM1").await;
    bench.receive(receipt_for(delivered, ReceiptStatus::Delivered)).await;
    // The same once more is of no consequence.
    bench.receive(receipt_for(delivered, ReceiptStatus::Delivered)).await;
    let sent = word("sms.sent", system, None);
    let expected = [accepted_entry.clone(), sent.clone(), word("sms.delivered", twilio, None)];
    assert_eq!(told(&*bench.store, delivered).await, expected);

    let undelivered = bench.add_and_send(message(2), "SM2").await;
    let failure = Some(Failure::new(Reason::Unreachable));
    let receipt = receipt_for(undelivered, ReceiptStatus::Undelivered);
    bench.receive(Receipt { failure, ..receipt }).await;
    let last = told(&*bench.store, undelivered).await.pop();
    assert_eq!(last, Some(word("sms.undelivered", twilio, Some("unreachable"))));

    let claimed = bench.add_and_take(message(3)).await;
    bench.end(&claimed, rejected(), Next::Stop).await;
    let failed = claimed.submission.message_id;
    let expected = [accepted_entry.clone(), word("sms.failed", system, Some("invalid_recipient"))];
    assert_eq!(told(&*bench.store, failed).await, expected);
    bench.resend(Resend { by: Actor::System, ..resend(failed, NOW.plus(MINUTE)) }).await.unwrap();
    assert_eq!(told(&*bench.store, failed).await.pop(), Some(word("sms.retried", system, None)));
    bench
        .cancel(Cancel { messages: vec![failed], by: Actor::Key(caller(9)), now: NOW.plus(MINUTE) })
        .await
        .unwrap();
    let canceled = word("sms.canceled", &caller(9).to_string(), None);
    assert_eq!(told(&*bench.store, failed).await.pop(), Some(canceled));

    let late = message(4).with(|message| message.expires_at = Some(NOW.plus(SECOND)));
    let expired = late.id();
    bench.add([late]).await;
    bench.take(NOW.plus(HOUR)).await;
    assert_eq!(told(&*bench.store, expired).await.pop(), Some(word("sms.expired", system, Some("expired"))));
    // Nothing else was told, and each entry names its receiver.
    let all = list(&*bench.store, AuditFilter::default()).await;
    assert_eq!(all.len(), 3 + 3 + 4 + 2);
    assert!(all.iter().all(|entry| entry.receiver.is_some()));
    assert_eq!(verified(&*bench.store).await, Ok(12));
}

pub(crate) async fn each_change_of_status_that_others_hear_of_has_an_entry<F: Fixture>(bench: Bench<F>) {
    bench.keep_events(true).await.unwrap();
    for n in 1..=6 {
        bench.add_and_send(message(n), &format!("SM{n}")).await;
    }
    let receipts = (1..=6).zip(ReceiptStatus::ALL.iter().cycle()).map(|(n, status)| {
        let status = *status;
        NewReceipt { receipt: receipt_for(message(n).id(), status), raw: Vec::new() }
    });
    bench.record_receipts(receipts.collect()).await.unwrap();
    bench.resend(resend(message(5).id(), NOW.plus(HOUR))).await.unwrap();
    let pairs = |word: &str| match word {
        "queued" | "scheduled" => "sms.accepted".to_owned(),
        word => format!("sms.{word}"),
    };
    let events = bench.events(1_000).await.unwrap();
    let mut heard: Vec<_> = events.iter().map(|event| (event.message_id, pairs(&event.status))).collect();
    let entries = list(&*bench.store, AuditFilter::default()).await;
    let mut entered: Vec<_> = entries
        .iter()
        .map(|entry| {
            // A message that is sent again is queued once more.
            let word = entry.event.replace("sms.retried", "sms.accepted");
            (entry.message_id.unwrap(), word)
        })
        .collect();
    heard.sort();
    entered.sort();
    assert_eq!(entered, heard);
}

pub(crate) async fn what_is_taken_back_leaves_no_entry<F: Fixture>(bench: Bench<F>) {
    bench.add([message(1)]).await;
    let twice = Accept { messages: vec![message(2), message(1)], idempotency: None, no_repeats_since: None };
    assert!(bench.accept(twice).await.is_err());
    assert!(bench.create_key(ApiKey { hash: [1; 32], ..key(1) }, operator(NOW)).await.is_ok());
    assert!(bench.create_key(ApiKey { hash: [1; 32], ..key(2) }, operator(NOW)).await.is_err());
    assert_eq!(bench.set_drained(provider("twilio"), None, operator(NOW)).await, Ok(false));
    let entries = list(&*bench.store, AuditFilter::default()).await;
    let events: Vec<_> = entries.iter().map(|entry| entry.event.as_ref()).collect();
    assert_eq!(events, ["key.created", "sms.accepted"]);
    assert_eq!(verified(&*bench.store).await, Ok(2));
}

pub(crate) async fn acts_of_operators_have_entries<F: Fixture>(bench: Bench<F>) {
    bench.create_key(key(1), operator(NOW)).await.unwrap();
    bench.revoke_key(key(1).id, operator(NOW.plus(SECOND))).await.unwrap();
    bench.revoke_key(caller(99), operator(NOW)).await.unwrap();
    let by = Act { by: Actor::Key(caller(3)), at: NOW.plus(MINUTE) };
    bench.set_drained(provider("twilio"), Some(NOW), by.clone()).await.unwrap();
    bench.set_drained(provider("twilio"), None, by).await.unwrap();
    let note = NewEntry::of_act(&operator(NOW.plus(HOUR)), Event::WorkerPaused, "reconcile");
    bench.note(vec![note]).await.unwrap();
    let entries = list(&*bench.store, AuditFilter::default()).await;
    let shown: Vec<_> = entries
        .iter()
        .rev()
        .map(|entry| (entry.event.as_ref(), entry.subject.as_deref().or(entry.provider.as_deref()).unwrap()))
        .collect();
    let id = key(1).id.to_string();
    let expected = [
        ("key.created", id.as_str()),
        ("key.revoked", &id),
        ("provider.drained", "twilio"),
        ("provider.resumed", "twilio"),
        ("worker.paused", "reconcile"),
    ];
    assert_eq!(shown, expected);
    assert_eq!(entries[0].actor, "operator");
    assert_eq!(entries[1].actor, caller(3).to_string());
}

pub(crate) async fn acts_on_keys_have_entries_of_whoever_did_them<F: Fixture>(bench: Bench<F>) {
    let system = Act { by: Actor::System, at: NOW };
    assert_eq!(bench.create_first_key(key(1), system.clone()).await, Ok(true));
    assert_eq!(bench.create_first_key(key(2), system).await, Ok(false));
    let (by, now) = (Actor::Key(caller(1)), NOW.plus(SECOND));
    let rotation = Rotation { id: caller(1), hash: [9; 32], others_end_at: now, by, now };
    assert_eq!(bench.rotate_key(rotation.clone()).await, Ok(true));
    assert_eq!(bench.rotate_key(Rotation { id: caller(99), ..rotation }).await, Ok(false));
    let data_key = bench.add_data_key(operator(NOW.plus(2 * SECOND))).await.unwrap();
    // One that waits is not made again.
    bench.add_data_key(operator(NOW.plus(2 * SECOND))).await.unwrap();
    bench.use_data_key(data_key, operator(NOW.plus(3 * SECOND))).await.unwrap();
    bench.forget_data_keys(data_key, operator(NOW.plus(4 * SECOND))).await.unwrap();
    let entries = list(&*bench.store, AuditFilter::default()).await;
    let shown: Vec<_> = entries
        .iter()
        .rev()
        .map(|entry| (entry.event.as_ref(), entry.actor.as_str(), entry.subject.as_deref().unwrap()))
        .collect();
    let (id, data_key) = (caller(1).to_string(), data_key.to_string());
    let before = format!("before {data_key}");
    let expected = [
        ("key.created", "system", id.as_str()),
        ("key.rotated", &id, &id),
        ("data_key.added", "operator", &data_key),
        ("data_key.used", "operator", &data_key),
        ("data_keys.forgotten", "operator", &before),
    ];
    assert_eq!(shown, expected);
    // The key behind the trail is none of those that went.
    assert_eq!(verified(&*bench.store).await, Ok(5));
}

pub(crate) async fn person_that_was_forgotten_stays_in_the_trail_by_hash_alone<F: Fixture>(bench: Bench<F>) {
    let theirs = bench.add_and_send(message(1), "SM1").await;
    bench.receive(receipt_for(theirs, ReceiptStatus::Delivered)).await;
    let before = told(&*bench.store, theirs).await;
    assert_eq!(before.len(), 3);
    let forgotten = bench.forget_receiver(receiver(1), operator(NOW.plus(HOUR))).await.unwrap();
    assert_eq!(forgotten.messages, 1);
    assert_eq!(told(&*bench.store, theirs).await, before);
    let of_them = AuditFilter { receiver: Some(receiver(1)), ..AuditFilter::default() };
    let found = list(&*bench.store, of_them).await;
    let [entry] = &found[..] else { panic!("{found:?}") };
    assert_eq!((entry.event.as_ref(), entry.actor.as_str()), ("receiver.forgotten", "operator"));
    assert_eq!(entry.receiver, Some(bench.receiver_hash(receiver(1))));
    assert_eq!(entry.subject.as_deref(), Some("1 messages"));
    assert_eq!(verified(&*bench.store).await, Ok(4));
}

pub(crate) async fn feedback_has_an_entry_when_it_is_given_first<F: Fixture>(bench: Bench<F>) {
    let new = message(1);
    bench.add([new.clone()]).await;
    for _ in 0..2 {
        let (message_id, by) = (new.id(), Actor::Key(caller(1)));
        let said = Feedback { message_id, outcome: FeedbackOutcome::Confirmed, by, now: NOW.plus(HOUR) };
        bench.keep_feedback(said).await.unwrap();
    }
    let event = AuditFilter { event: Some(Event::SmsFeedback), ..of(new.id()) };
    let found = list(&*bench.store, event).await;
    let [entry] = &found[..] else { panic!("{found:?}") };
    assert_eq!(
        (entry.actor.as_str(), entry.outcome.as_deref()),
        (&*caller(1).to_string(), Some("confirmed"))
    );
    assert_eq!(entry.receiver, Some(bench.receiver_hash(receiver(1))));
}

pub(crate) async fn entries_of_many_at_once_form_chains_that_hold<F: Fixture>(mut bench: Bench<F>) {
    let other = bench.fixture.open_beside().await;
    let mut tasks = JoinSet::new();
    for n in 0..200_u64 {
        let store = if n % 2 == 0 { Arc::clone(&bench.store) } else { Arc::clone(&other) };
        tasks.spawn(async move {
            let accept = Accept { messages: vec![message(n)], idempotency: None, no_repeats_since: None };
            assert_eq!(store.accept(accept).await, Ok(Accepted::Stored));
            if n % 7 == 0 {
                store.note(vec![NewEntry::new(NOW, Actor::System, Event::SmsRefused)]).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(verified(&*bench.store).await, Ok(229));
    // In the chains, time never goes back.
    for chain in bench.audit_chains().await.unwrap() {
        let part = bench.audit_part(chain.chain, 0, 1_000).await.unwrap();
        assert!(part.entries.is_sorted_by_key(|kept| kept.at));
    }
    other.close().await;
    drop(other);
    bench.reopen().await;
    bench.add([message(1_000)]).await;
    assert_eq!(verified(&*bench.store).await, Ok(230));
}

pub(crate) async fn chain_that_is_far_ahead_is_not_gone_on_with<F: Fixture>(bench: Bench<F>) {
    bench.add([message_at(1, NOW.plus(DAY))]).await;
    bench.add([message_at(2, NOW)]).await;
    bench.add([message_at(3, NOW.plus(SECOND))]).await;
    bench.add([message_at(4, NOW)]).await;
    let entries = list(&*bench.store, AuditFilter::default()).await;
    let places: Vec<_> = entries.iter().map(|entry| (entry.chain, entry.seq, entry.at)).collect();
    // A moment's difference is none: the time is that of the entry before.
    let later = NOW.plus(SECOND);
    assert_eq!(places, [(1, 1, NOW.plus(DAY)), (2, 3, later), (2, 2, later), (2, 1, NOW)]);
    assert_eq!(verified(&*bench.store).await, Ok(4));
}

pub(crate) async fn entries_are_listed_by_what_is_asked_for<F: Fixture>(bench: Bench<F>) {
    for n in 1..=5 {
        let at = NOW.plus(HOUR * u32::try_from(n).unwrap());
        let sent = bench.add_and_send(message_at(n, at), &format!("SM{n}")).await;
        let receipt = receipt_for(sent, ReceiptStatus::Delivered);
        bench.receive(Receipt { received_at: at.plus(MINUTE), ..receipt }).await;
    }
    bench.create_key(key(1), operator(NOW.plus(DAY))).await.unwrap();
    let counted = async |filter| list(&*bench.store, filter).await.len();
    let filter = AuditFilter::default;
    assert_eq!(counted(filter()).await, 16);
    assert_eq!(counted(AuditFilter { event: Some(Event::SmsSent), ..filter() }).await, 5);
    assert_eq!(counted(AuditFilter { event: Some(Event::KeyCreated), ..filter() }).await, 1);
    assert_eq!(counted(AuditFilter { actor: Some(Actor::Operator), ..filter() }).await, 1);
    assert_eq!(
        counted(AuditFilter { actor: Some(Actor::Provider(provider("twilio"))), ..filter() }).await,
        5
    );
    assert_eq!(counted(AuditFilter { receiver: Some(receiver(2)), ..filter() }).await, 3);
    assert_eq!(counted(AuditFilter { receiver: Some(receiver(9)), ..filter() }).await, 0);
    let second = message_at(2, NOW.plus(2 * HOUR)).id();
    assert_eq!(counted(of(second)).await, 3);
    assert_eq!(counted(of(message(77).id())).await, 0);
    assert_eq!(counted(AuditFilter { event: Some(Event::SmsSent), ..of(second) }).await, 1);
    let since = Some(NOW.plus(3 * HOUR));
    assert_eq!(counted(AuditFilter { event: Some(Event::SmsAccepted), since, ..filter() }).await, 3);
    let until = AuditFilter { event: Some(Event::SmsAccepted), until: since, ..filter() };
    assert_eq!(counted(until).await, 2);
}

pub(crate) async fn pages_of_entries_return_each_once_newest_first<F: Fixture>(bench: Bench<F>) {
    let all = 20;
    for n in 1..=all {
        // Two chains: the clock of one node is ahead.
        bench.add([message_at(n, NOW.plus(HOUR * u32::from(n % 2 == 0) * 24))]).await;
    }
    for filter in
        [AuditFilter::default(), AuditFilter { event: Some(Event::SmsAccepted), ..AuditFilter::default() }]
    {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = bench.audit(filter.clone(), AuditPage { after, limit: 3 }).await.unwrap();
            seen.extend(page.iter().map(AuditCursor::from));
            after = seen.last().copied();
            if page.len() < 3 {
                break;
            }
        }
        assert!(seen.is_sorted_by(|a, b| a > b), "{seen:?}");
        assert_eq!(seen.iter().map(|cursor| (cursor.chain, cursor.seq)).collect::<BTreeSet<_>>().len(), 20);
    }
}

pub(crate) async fn notes_without_a_message_are_paged_too<F: Fixture>(bench: Bench<F>) {
    let refused = |n: u32| NewEntry::new(NOW.plus(SECOND * n / 2), Actor::Key(caller(1)), Event::SmsRefused);
    bench.note((1..=9).map(refused).collect()).await.unwrap();
    bench.add([message(1)]).await;
    let filter = AuditFilter { event: Some(Event::SmsRefused), ..AuditFilter::default() };
    let first = bench.audit(filter.clone(), AuditPage { after: None, limit: 4 }).await.unwrap();
    let after = first.last().map(AuditCursor::from);
    let rest = bench.audit(filter, AuditPage { after, limit: 100 }).await.unwrap();
    let seqs: Vec<_> = first.iter().chain(&rest).map(|entry| entry.seq).collect();
    assert_eq!(seqs, [9, 8, 7, 6, 5, 4, 3, 2, 1]);
}

pub(crate) async fn checkpoint_signs_where_chains_end_if_anything_is_new<F: Fixture>(bench: Bench<F>) {
    assert_eq!(bench.checkpoint_audit(NOW).await, Ok(None));
    bench.add([message(1), message(2)]).await;
    let first = bench.checkpoint_audit(NOW.plus(MINUTE)).await.unwrap().unwrap();
    assert_eq!((first.number, first.at, first.seen[0].seq), (1, NOW.plus(MINUTE), 2));
    assert!(first.holds() && first.is_signed_by(keys(&*bench.store).public_key()));
    assert_eq!(bench.checkpoint_audit(NOW.plus(HOUR)).await, Ok(None));
    bench.add([message(3)]).await;
    let second = bench.checkpoint_audit(NOW.plus(HOUR)).await.unwrap().unwrap();
    assert_eq!((second.number, second.previous, second.seen[0].seq), (2, first.hash, 3));
    let (_, kept) = bench.audit_checkpoints().await.unwrap();
    assert_eq!(kept, [first, second]);
    assert_eq!(verified(&*bench.store).await, Ok(3));
}

pub(crate) async fn what_is_left_after_forgetting_holds<F: Fixture>(mut bench: Bench<F>) {
    for n in 1..=9 {
        bench.add([message_at(n, NOW)]).await;
    }
    bench.checkpoint_audit(NOW).await.unwrap();
    let later = NOW.plus(200 * DAY);
    forget(&bench, ninety_days(NOW.plus(89 * DAY))).await;
    assert_eq!(verified(&*bench.store).await, Ok(9));
    bench.add([message_at(100, later)]).await;
    bench.checkpoint_audit(later).await.unwrap();
    forget(&bench, ninety_days(later)).await;
    let kept = list(&*bench.store, AuditFilter::default()).await;
    assert_eq!(kept.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [10]);
    assert_eq!(bench.audit_checkpoints().await.unwrap().1.len(), 1);
    assert_eq!(verified(&*bench.store).await, Ok(1));
    bench.reopen().await;
    bench.add([message_at(101, later)]).await;
    assert_eq!(verified(&*bench.store).await, Ok(2));
    // Weeks later nothing is left of that either, and the chain goes on.
    let much_later = later.plus(200 * DAY);
    forget(&bench, ninety_days(much_later)).await;
    assert_eq!(verified(&*bench.store).await, Ok(0));
    bench.add([message_at(102, much_later)]).await;
    assert_eq!(verified(&*bench.store).await, Ok(1));
}

pub(crate) async fn many_messages_of_one_commit_have_an_entry_each<F: Fixture>(bench: Bench<F>) {
    bench.add((1..=300).map(message)).await;
    let claimed = bench.claim(claim(NOW.plus(HOUR))).await.unwrap().claimed;
    let ends = claimed
        .iter()
        .enumerate()
        .map(|(n, claimed)| crate::support::end(claimed, accepted(&format!("SM{n}")), Next::Stop));
    bench.finish(ends.collect()).await.unwrap();
    assert_eq!(verified(&*bench.store).await, Ok(600));
    let filter = AuditFilter { event: Some(Event::SmsSent), ..AuditFilter::default() };
    let page = AuditPage { after: None, limit: 1_000 };
    let sent: BTreeSet<_> =
        bench.audit(filter, page).await.unwrap().into_iter().map(|it| it.message_id).collect();
    assert_eq!(sent.len(), 300);
}
