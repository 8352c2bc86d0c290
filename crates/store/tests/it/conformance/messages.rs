//! Accepting messages and showing them.

use std::collections::BTreeMap;

use domain::encoding::Encoding;
use domain::ids::{BulkId, MessageId};
use domain::message::MessageStatus;
use domain::phone::{Country, Msisdn, SenderId};
use domain::scenario::{Priority, Scenario};
use domain::secret::Body;
use domain::time::Timestamp;
use store::StoreError;
use store::port::messages::{Accept, Filter, NewMessage};
use tokio::task::JoinSet;

use crate::support::{Bench, Fixture, HOUR, MINUTE, NOW, SECOND, With, caller, entropy, message, provider};

/// Texts that a careless store spoils.
const TEXTS: &[&str] = &[
    "Hakuna matata",
    "Umepokea 10,000 sats \u{20bf}⚡ kutoka kwa Wanjikũ",
    "👩🏾‍🌾🇰🇪 family: 👨‍👩‍👧‍👦, flag, skin tone",
    "مرحبا \u{202b}rtl\u{202c} 你好",
    "'; DROP TABLE messages; -- \" ? ?1 :a @b $c",
    "line\r\nline\n\ttab \u{feff}\u{200b}",
    "e\u{301} is not é to a store",
    "\u{10ffff}\u{fffd}\u{e000}",
];

/// A message with every field filled, none of them with an everyday value.
fn full(n: u64) -> NewMessage {
    message(n).via("africastalking").with(|message| {
        message.bulk_id = Some(BulkId::new(NOW, entropy(u64::MAX - n)));
        message.caller = caller(u64::MAX);
        message.receiver = Msisdn::from_parts(999_999_999_999_999, Country::ZZ).unwrap();
        message.sender = Some(SenderId::parse("CHAMA 2").unwrap());
        message.scenario = Scenario::ChamaWithdrawal;
        message.priority = Priority::Critical;
        message.body = Body::new("Approve? 👍🏾 APPROVE WR-12345");
        message.encoding = Encoding::Ucs2;
        message.segments = u16::MAX;
        message.reference = Some("WR-12345/\"é\"".into());
        message.group = Some("chama-⚡-7".into());
        message.metadata = BTreeMap::from([
            (String::new(), String::new()),
            ("tenant".into(), "a\"b\\c\nd".into()),
            ("emoji 🏦".into(), "₿".into()),
        ]);
        message.scheduled_at = Some(NOW.plus(HOUR));
        message.expires_at = Some(NOW.plus(2 * HOUR));
    })
}

pub(crate) async fn message_with_every_field_reads_back_equal<F: Fixture>(bench: Bench<F>) {
    let new = full(1);
    bench.add([new.clone()]).await;
    let shown = bench.show(new.id()).await;
    assert_eq!(shown.summary.message, new.message);
    assert_eq!(shown.summary.status, MessageStatus::Scheduled);
    assert_eq!(shown.summary.provider, provider("africastalking"));
    assert_eq!(shown.summary.failure, None);
    assert_eq!(shown.summary.updated_at, new.message.created_at);
    assert_eq!((shown.attempts, shown.receipts), (vec![], vec![]));
}

pub(crate) async fn message_without_options_reads_back_equal<F: Fixture>(bench: Bench<F>) {
    let new = message(1);
    bench.add([new.clone()]).await;
    let shown = bench.show(new.id()).await;
    assert_eq!(shown.summary.message, new.message);
    assert_eq!(shown.summary.status, MessageStatus::Queued);
}

pub(crate) async fn text_reads_back_character_for_character<F: Fixture>(bench: Bench<F>) {
    for (n, text) in (1..).zip(TEXTS) {
        let new = message(n).with(|message| message.body = Body::new(*text));
        bench.add([new.clone()]).await;
        assert_eq!(bench.show(new.id()).await.summary.message.body.expose(), *text);
    }
    let claimed = bench.take(NOW.plus(MINUTE)).await;
    let submitted: Vec<_> = claimed.iter().map(|claimed| claimed.submission.body.expose()).collect();
    assert_eq!(submitted, TEXTS);
}

pub(crate) async fn long_text_reads_back<F: Fixture>(bench: Bench<F>) {
    // Longer than a page of any backend's file.
    let text = "Ksh 1,000 ⚡ ".repeat(5_000);
    let new = message(1).with(|message| message.body = Body::new(text.as_str()));
    bench.add([new.clone()]).await;
    assert_eq!(bench.show(new.id()).await.summary.message, new.message);
}

pub(crate) async fn each_scenario_and_lane_reads_back<F: Fixture>(bench: Bench<F>) {
    for (n, scenario) in (1..).zip(Scenario::ALL) {
        let new = message(n).with(|message| {
            message.scenario = *scenario;
            message.priority = scenario.priority();
        });
        bench.add([new.clone()]).await;
        assert_eq!(bench.show(new.id()).await.summary.message, new.message);
    }
}

pub(crate) async fn accepting_shows_lists_and_queues_the_message<F: Fixture>(bench: Bench<F>) {
    let new = message(1);
    bench.add([new.clone()]).await;
    assert_eq!(bench.status(new.id()).await, MessageStatus::Queued);
    assert_eq!(bench.list(Filter::default()).await, [new.id()]);
    let depth = bench.depth(NOW).await.unwrap();
    assert_eq!(depth.len(), 1);
    assert_eq!((depth[0].messages, depth[0].oldest_due_at), (1, new.message.created_at));
    assert_eq!((&depth[0].provider, depth[0].priority), (&new.provider, new.message.priority));
    assert_eq!(bench.take(NOW.plus(MINUTE)).await.len(), 1);
}

pub(crate) async fn message_is_scheduled_only_if_due_after_it_was_accepted<F: Fixture>(bench: Bench<F>) {
    let created_at = message(1).message.created_at;
    for (n, scheduled_at, status) in [
        (1, None, MessageStatus::Queued),
        (2, Some(NOW), MessageStatus::Queued),
        (3, Some(message(3).message.created_at), MessageStatus::Queued),
        (4, Some(created_at.plus(HOUR)), MessageStatus::Scheduled),
    ] {
        let new = message(n).with(|message| message.scheduled_at = scheduled_at);
        bench.add([new.clone()]).await;
        assert_eq!(bench.status(new.id()).await, status, "scheduled at {scheduled_at:?}");
    }
}

pub(crate) async fn accepted_message_survives_reopening<F: Fixture>(mut bench: Bench<F>) {
    let (now, later) = (message(1), full(2));
    bench.add([now.clone(), later.clone()]).await;
    bench.reopen().await;
    assert_eq!(bench.show(now.id()).await.summary.message, now.message);
    assert_eq!(bench.show(later.id()).await.summary.message, later.message);
    assert_eq!(bench.take(NOW.plus(MINUTE)).await.len(), 1);
}

pub(crate) async fn accept_of_many_stores_all<F: Fixture>(bench: Bench<F>) {
    bench.add((0..100).map(message)).await;
    assert_eq!(bench.list(Filter::default()).await.len(), 100);
    assert_eq!(bench.take(NOW.plus(MINUTE)).await.len(), 100);
}

pub(crate) async fn accept_of_many_stores_none_when_one_of_them_is_there_already<F: Fixture>(
    bench: Bench<F>,
) {
    bench.add([message(2)]).await;
    let refused = bench
        .accept(Accept {
            messages: vec![message(1), message(2), message(3)],
            idempotency: None,
            no_repeats_since: None,
        })
        .await;
    assert!(matches!(refused, Err(StoreError::Internal(_))), "{refused:?}");
    assert_eq!(bench.list(Filter::default()).await, [message(2).id()]);
    assert_eq!(bench.take(NOW.plus(MINUTE)).await.len(), 1);
}

pub(crate) async fn refused_accept_does_not_harm_those_beside_it<F: Fixture>(bench: Bench<F>) {
    bench.add([message(0)]).await;
    let mut accepts = JoinSet::new();
    for n in 1..=50 {
        let store = std::sync::Arc::clone(&bench.store);
        // Every tenth is a message that is there already.
        let id = if n % 10 == 0 { 0 } else { n };
        accepts.spawn(async move {
            let accept = Accept { messages: vec![message(id)], idempotency: None, no_repeats_since: None };
            (id, store.accept(accept).await.is_ok())
        });
    }
    for (id, stored) in accepts.join_all().await {
        assert_eq!(stored, id != 0, "message {id}");
    }
    assert_eq!(bench.list(Filter::default()).await.len(), 46);
}

pub(crate) async fn accept_of_nothing_stores_nothing<F: Fixture>(bench: Bench<F>) {
    bench.add([]).await;
    assert_eq!(bench.list(Filter::default()).await, []);
}

pub(crate) async fn unknown_message_is_none<F: Fixture>(bench: Bench<F>) {
    bench.add([message(1)]).await;
    assert!(bench.message(MessageId::new(NOW, [0; 10])).await.unwrap().is_none());
    assert!(bench.message(message(2).id()).await.unwrap().is_none());
}

pub(crate) async fn times_keep_their_microseconds<F: Fixture>(bench: Bench<F>) {
    let created_at = Timestamp::from_micros(1_795_422_600_999_999);
    let new = crate::support::message_at(1, created_at).with(|message| {
        message.scheduled_at = Some(Timestamp::from_micros(1_795_422_601_000_001));
        message.expires_at = Some(Timestamp::from_micros(1_795_422_609_123_457));
    });
    bench.add([new.clone()]).await;
    assert_eq!(bench.show(new.id()).await.summary.message, new.message);
    let claimed = bench.take(NOW.plus(2 * SECOND)).await;
    assert_eq!(claimed[0].created_at, created_at);
    assert_eq!(Some(claimed[0].due_at), new.message.scheduled_at);
    assert_eq!(claimed[0].submission.expires_at, new.message.expires_at);
}
