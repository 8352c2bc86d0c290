//! What is sealed, under which key, and what does not stay.

use domain::attempt::Reason;
use domain::audit::Actor;
use domain::consent::Keyword;
use domain::ids::MessageId;
use domain::inbound::Origin;
use domain::message::MessageStatus;
use domain::receipt::ReceiptStatus;
use domain::scenario::Scenario;
use domain::secret::Body;
use domain::time::Timestamp;
use store::StoreError;
use store::port::messages::{Accept, Cancel, Filter};
use store::port::queue::Next;
use store::port::sealing::{EraseTexts, Erased, Reseal, SealedRow};

use super::inbound::{all, from_phone};
use crate::support::{
    Bench, DAY, Fixture, HOUR, MINUTE, NOW, With as _, accepted, message, operator, receipt_by, receipt_for,
    receiver, resend,
};

/// A one-time code that is good for ten minutes.
fn code(n: u64) -> store::port::messages::NewMessage {
    message(n).with(|message| {
        message.scenario = Scenario::Otp;
        message.body = Body::new("Nambari yako ni 482913");
        message.expires_at = Some(NOW.plus(10 * MINUTE));
    })
}

/// Seals all anew, a few rows at a time; answers how many had another key.
async fn reseal<F: Fixture>(bench: &Bench<F>) -> u64 {
    let (mut behind, mut resealed) = (Some(SealedRow::FIRST), 0);
    while let Some(row) = behind {
        let part = bench.reseal(Reseal { behind: row, limit: 2 }).await.unwrap();
        resealed += part.resealed;
        behind = part.behind;
    }
    resealed
}

/// Erases all that is to be erased at a time; texts are kept for thirty days.
async fn erase<F: Fixture>(bench: &Bench<F>, now: Timestamp) -> Erased {
    let mut all = Erased::default();
    while !all.is_done {
        let part = EraseTexts {
            now,
            accepted_before: Some(now.minus(30 * DAY)),
            codes_before: now.minus(10 * MINUTE),
            limit: 2,
        };
        let erased = bench.erase_texts(part).await.unwrap();
        all = Erased {
            codes: all.codes + erased.codes,
            texts: all.texts + erased.texts,
            is_done: erased.is_done,
        };
    }
    all
}

async fn is_erased<F: Fixture>(bench: &Bench<F>, id: MessageId) -> bool {
    bench.show(id).await.summary.message.body.is_erased()
}

pub(crate) async fn all_that_is_sealed_is_read_under_a_new_key_and_the_old_one_can_go<F: Fixture>(
    mut bench: Bench<F>,
) {
    let mut ids = Vec::new();
    for n in 1..=3 {
        let id = bench.add_and_send(message(n), &format!("SM{n}")).await;
        bench.receive(receipt_for(id, ReceiptStatus::Delivered)).await;
        ids.push(id);
    }
    bench.receive(receipt_by("SM99", receiver(99), ReceiptStatus::Delivered)).await;
    let key = bench.add_data_key(operator(NOW)).await.unwrap();
    assert_eq!(bench.add_data_key(operator(NOW)).await, Ok(key), "one that waits is not doubled");
    assert_eq!(reseal(&bench).await, 0, "it is not in use yet");
    bench.receive_inbound(from_phone(5, "STOP", Some(Keyword::Stop))).await.unwrap();
    bench.use_data_key(key, operator(NOW)).await.unwrap();
    bench.add([message(4)]).await;
    // Three messages, their callbacks, and the one of nobody; the three values of a message from a phone, and the number of
    // the opt-out that it was. The fourth message has the new key.
    assert_eq!(reseal(&bench).await, 11);
    assert_eq!(reseal(&bench).await, 0);
    assert_eq!(bench.forget_data_keys(key, operator(NOW)).await, Ok(1));
    bench.reopen().await;
    for (n, id) in (1..).zip(&ids) {
        let record = bench.show(*id).await;
        assert_eq!(record.summary.message, message(n).message);
        assert_eq!(record.receipts[0].raw, b"MessageStatus=x");
    }
    assert_eq!(bench.take(NOW.plus(MINUTE)).await.len(), 1);
    let from = &bench.inbound(all()).await.unwrap()[0];
    assert_eq!((&from.from, from.body.as_ref().unwrap().expose()), (&Origin::Phone(receiver(5)), "STOP"));
    assert_eq!(bench.consent_history(receiver(5), 1).await.unwrap()[0].number, Some(receiver(5)));
    // By number as before.
    assert_eq!(bench.list(Filter { receiver: Some(receiver(2)), ..Filter::default() }).await, [ids[1]]);
    let late = bench.add_and_send(message(99), "SM99").await;
    assert_eq!(bench.status(late).await, MessageStatus::Delivered);
}

pub(crate) async fn key_that_went_too_early_is_told_and_takes_only_what_it_sealed<F: Fixture>(
    bench: Bench<F>,
) {
    let old = bench.add_and_send(message(1), "SM1").await;
    let key = bench.add_data_key(operator(NOW)).await.unwrap();
    bench.use_data_key(key, operator(NOW)).await.unwrap();
    assert_eq!(bench.forget_data_keys(key, operator(NOW)).await, Ok(1));
    assert_eq!(bench.message(old).await.map(|_| ()), Err(StoreError::Corrupt));
    let new = bench.add_and_send(message(2), "SM2").await;
    assert_eq!(bench.show(new).await.summary.message, message(2).message);
}

pub(crate) async fn node_that_has_not_heard_of_a_new_key_seals_under_it_all_the_same<F: Fixture>(
    bench: Bench<F>,
) {
    let other = bench.fixture.open_beside().await;
    bench.add([message(1)]).await;
    let key = other.add_data_key(operator(NOW)).await.unwrap();
    other.use_data_key(key, operator(NOW)).await.unwrap();
    // By the node that has not looked since.
    bench.add([message(2)]).await;
    let unclaimed = receipt_by("SM99", receiver(99), ReceiptStatus::Delivered);
    bench.receive(unclaimed).await;
    let part = other.reseal(Reseal { behind: SealedRow::FIRST, limit: 10 }).await.unwrap();
    assert_eq!((part.rows, part.resealed), (2, 1), "only what was there before has the old key");
    let callbacks = other.reseal(Reseal { behind: part.behind.unwrap(), limit: 10 }).await.unwrap();
    assert_eq!((callbacks.rows, callbacks.resealed), (1, 0));
    assert_eq!(other.forget_data_keys(key, operator(NOW)).await, Ok(1));
    for n in 1..=2 {
        assert_eq!(bench.show(message(n).id()).await.summary.message, message(n).message);
    }
}

pub(crate) async fn nothing_is_sealed_while_the_key_in_use_can_not_be_opened<F: Fixture>(bench: Bench<F>) {
    let claimed = bench.add_and_take(message(1)).await;
    // Wrapped for another place, so that it opens as little as under another master key.
    bench
        .fixture
        .run("INSERT INTO data_keys (id, wrapped, in_use) SELECT 2, wrapped, 1 FROM data_keys WHERE id = 1");
    let accept =
        |n| bench.accept(Accept { messages: vec![message(n)], idempotency: None, no_repeats_since: None });
    assert_eq!(accept(2).await.map(|_| ()), Err(StoreError::UnknownKey));
    assert_eq!(bench.ping().await, Err(StoreError::UnknownKey), "it is not ready");
    // What is under way goes on: it seals nothing.
    bench.end(&claimed, accepted("SM1"), Next::Stop).await;
    assert_eq!(bench.status(message(1).id()).await, MessageStatus::Sent);
    bench.fixture.run("DELETE FROM data_keys WHERE id = 2");
    assert!(accept(2).await.is_ok());
    assert_eq!(bench.ping().await, Ok(()));
}

pub(crate) async fn of_two_that_seal_anew_the_one_with_the_older_key_writes_nothing<F: Fixture>(
    bench: Bench<F>,
) {
    let other = bench.fixture.open_beside().await;
    bench.add([message(1)]).await;
    let next = async |store: &dyn store::Store| {
        let key = store.add_data_key(operator(NOW)).await.unwrap();
        store.use_data_key(key, operator(NOW)).await.unwrap();
        key
    };
    next(&*other).await;
    let newest = next(&*bench).await;
    let all = Reseal { behind: SealedRow::FIRST, limit: 10 };
    assert_eq!(other.reseal(all).await, Err(StoreError::UnknownKey));
    assert_eq!(other.reseal(all).await.map(|part| part.resealed), Ok(1), "now it has heard of the key");
    assert_eq!(bench.forget_data_keys(newest + 1, operator(NOW)).await, Ok(2), "never the one in use");
    assert_eq!(bench.show(message(1).id()).await.summary.message, message(1).message);
}

pub(crate) async fn text_of_a_code_is_erased_once_it_has_served<F: Fixture>(bench: Bench<F>) {
    let delivered = bench.add_and_send(code(1), "SM1").await;
    bench.receive(receipt_for(delivered, ReceiptStatus::Delivered)).await;
    let failed = bench.add_and_send(code(2), "SM2").await;
    bench.receive(receipt_for(failed, ReceiptStatus::Failed)).await;
    let sent = bench.add_and_send(code(3), "SM3").await;
    let (canceled, waiting) = (code(4), code(5));
    let (canceled_id, waiting_id) = (canceled.id(), waiting.id());
    bench.add([canceled, waiting]).await;
    bench.cancel(Cancel { messages: vec![canceled_id], by: Actor::Operator, now: NOW }).await.unwrap();
    assert_eq!(erase(&bench, NOW.plus(MINUTE)).await, Erased { codes: 2, texts: 0, is_done: true });
    assert!(is_erased(&bench, delivered).await && is_erased(&bench, canceled_id).await);
    // What failed or is not heard of may be sent again while the code is good.
    assert!(!is_erased(&bench, failed).await && !is_erased(&bench, sent).await);
    assert_eq!(erase(&bench, NOW.plus(11 * MINUTE)).await, Erased { codes: 2, texts: 0, is_done: true });
    assert!(is_erased(&bench, failed).await && is_erased(&bench, sent).await);
    // What waits has its text, whatever the time, and is claimed with it.
    assert!(!is_erased(&bench, waiting_id).await);
    assert_eq!(erase(&bench, NOW.plus(11 * MINUTE)).await, Erased { codes: 0, texts: 0, is_done: true });
    let shown = bench.show(delivered).await.summary;
    assert_eq!((shown.status, shown.message.receiver), (MessageStatus::Delivered, receiver(1)));
}

pub(crate) async fn erased_text_is_never_sent<F: Fixture>(bench: Bench<F>) {
    let id = bench.add_and_send(code(1), "SM1").await;
    bench.receive(receipt_for(id, ReceiptStatus::Failed)).await;
    erase(&bench, NOW.plus(11 * MINUTE)).await;
    let again = bench.resend(resend(id, NOW.plus(12 * MINUTE))).await.unwrap().unwrap();
    assert!(!again.has_moved() && again.limited.is_none());
    assert_eq!(bench.status(id).await, MessageStatus::Failed);
    assert_eq!(bench.take(NOW.plus(HOUR)).await.len(), 0);

    // One that waits although its text is gone, however that came about.
    let (without, with) = (message(2), message(3));
    let (without_id, with_id) = (without.id(), with.id());
    bench.add([without, with]).await;
    let literal = F::literal(without_id);
    bench.fixture.run(&format!("UPDATE messages SET sealed_body = NULL WHERE id = {literal}"));
    let taken = bench.take(NOW.plus(HOUR)).await;
    assert_eq!(taken.iter().map(|claimed| claimed.submission.message_id).collect::<Vec<_>>(), [with_id]);
    let shown = bench.show(without_id).await;
    let failure = shown.summary.failure.map(|failure| failure.reason);
    assert_eq!((shown.summary.status, failure), (MessageStatus::Failed, Some(Reason::TextErased)));
    assert_eq!(shown.attempts.len(), 0);
}

pub(crate) async fn texts_are_kept_for_as_long_as_they_are_to_be<F: Fixture>(bench: Bench<F>) {
    let mut ids = Vec::new();
    for n in 1..=3 {
        ids.push(bench.add_and_send(message(n), &format!("SM{n}")).await);
    }
    let waiting = message(4);
    let waiting_id = waiting.id();
    bench.add([waiting]).await;
    assert_eq!(erase(&bench, NOW.plus(30 * DAY)).await.texts, 0);
    assert_eq!(erase(&bench, NOW.plus(31 * DAY)).await, Erased { codes: 0, texts: 3, is_done: true });
    for id in ids {
        assert!(is_erased(&bench, id).await);
    }
    // One that waits for so long is erased when it has served.
    assert!(!is_erased(&bench, waiting_id).await);
    bench
        .cancel(Cancel { messages: vec![waiting_id], by: Actor::Operator, now: NOW.plus(31 * DAY) })
        .await
        .unwrap();
    assert_eq!(erase(&bench, NOW.plus(31 * DAY)).await, Erased { codes: 1, texts: 0, is_done: true });
    assert!(is_erased(&bench, waiting_id).await);
}

pub(crate) async fn person_is_forgotten_with_all_that_happened_but_for_what_waits<F: Fixture>(
    bench: Bench<F>,
) {
    let other = bench.add_and_send(message(2), "SM2").await;
    let mut theirs = Vec::new();
    for n in 3..=5 {
        let to_them = message(n).with(|message| message.receiver = receiver(1));
        let id = bench.add_and_send(to_them, &format!("SM{n}")).await;
        bench.receive(receipt_for(id, ReceiptStatus::Delivered)).await;
        theirs.push(id);
    }
    bench.receive(receipt_by("SM98", receiver(1), ReceiptStatus::Delivered)).await;
    bench.receive(receipt_by("SM99", receiver(2), ReceiptStatus::Delivered)).await;
    let waiting = message(1);
    let waiting_id = waiting.id();
    bench.add([waiting]).await;
    let forgotten = bench.forget_receiver(receiver(1), operator(NOW)).await.unwrap();
    assert_eq!((forgotten.messages, forgotten.callbacks, forgotten.waiting), (3, 1, vec![waiting_id]));
    for id in theirs {
        assert!(bench.message(id).await.unwrap().is_none());
    }
    let of_them = Filter { receiver: Some(receiver(1)), ..Filter::default() };
    assert_eq!(bench.list(of_them).await, [waiting_id]);
    assert_eq!(bench.show(other).await.summary.message, message(2).message);
    let left =
        ["messages", "states", "attempts", "callbacks"].map(|table| format!("SELECT count(*) FROM {table}"));
    assert_eq!(bench.fixture.counts(left.to_vec()), [2, 2, 1, 1]);
}

pub(crate) async fn keys_for_other_purposes_are_the_same_each_time_and_differ_by_purpose<F: Fixture>(
    mut bench: Bench<F>,
) {
    let (first, other) = (bench.derive_key("a"), bench.derive_key("b"));
    assert_ne!(first, other);
    let hash = bench.receiver_hash(receiver(1));
    bench.reopen().await;
    assert_eq!(bench.derive_key("a"), first);
    assert_eq!(bench.receiver_hash(receiver(1)), hash);
    assert_ne!(bench.receiver_hash(receiver(2)), hash);
}
