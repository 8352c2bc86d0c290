//! What only PostgreSQL does: weeks as partitions, and a schema that programs of two versions serve.

use std::sync::Arc;

use domain::audit::Actor;
use domain::consent::{Extent, Keyword};
use domain::event::EventKind;
use domain::inbound::Handling;
use domain::time::Timestamp;
use store::port::consent::ChangeConsent;
use store::port::messages::{Accept, Accepted};
use store::port::webhooks::HandOut;
use store::{Options, StoreError};
use tokio::task::JoinSet;

use crate::conformance::consent::opt_out;
use crate::conformance::history::{forget, ninety_days};
use crate::conformance::inbound::from_phone;
use crate::conformance::prompts::{approval, ask, hear, said};
use crate::conformance::webhooks::{create, endpoint, raise, raised};
use crate::support::{Bench, DAY, Fixture as _, HOUR, NOW, PostgresFixture, message_at, provider};

/// Where partitions of a table are.
fn partitions(table: &str) -> String {
    format!("SELECT count(*) FROM pg_inherits WHERE inhparent = '{table}'::regclass")
}

#[tokio::test]
async fn weeks_to_come_have_partitions_and_those_gone_by_have_none() {
    let bench = Bench::<PostgresFixture>::new().await;
    let later = NOW.plus(20 * 365 * DAY);
    let weeks = |at: Timestamp| (0..4).map(move |week| at.plus(week * 7 * DAY));
    forget(&bench, ninety_days(later)).await;
    for at in weeks(later) {
        bench.add([message_at(1, at)]).await;
    }
    // One that reaches to the end of this week, four or five to come, and the default one.
    let ahead = bench.fixture.counts(vec![partitions("messages"), partitions("callbacks")]);
    assert!((6..=7).contains(&ahead[0]) && ahead[0] == ahead[1], "{ahead:?}");
    let default = ["messages", "states"].map(|table| format!("SELECT count(*) FROM {table}_default"));
    assert_eq!(bench.fixture.counts(default.to_vec()), [0, 0]);
    // Each week once.
    forget(&bench, ninety_days(later.plus(HOUR))).await;
    assert_eq!(bench.fixture.counts(vec![partitions("messages")])[0], ahead[0]);
}

#[tokio::test]
async fn week_that_lies_in_the_default_partition_stays_there() {
    let bench = Bench::<PostgresFixture>::new().await;
    let later = NOW.plus(20 * 365 * DAY);
    let new = message_at(1, later);
    let id = new.message.id;
    bench.add([new]).await;
    forget(&bench, ninety_days(later)).await;
    assert_eq!(bench.show(id).await.summary.message.id, id);
    assert_eq!(bench.take(later).await.len(), 1);
}

#[tokio::test]
async fn newer_schema_is_served_by_the_programs_that_it_names() {
    let fixture = PostgresFixture::fresh();
    fixture.open().await.close().await;
    let open = || async {
        store::open(
            &fixture.url(),
            Options { migrate: true, exclusive: true, keys: Some(crate::support::keys()) },
        )
        .await
    };
    fixture.execute("UPDATE tuma_schema SET version = 1000");
    open().await.unwrap().close().await;
    fixture.execute("UPDATE tuma_schema SET needs = 1000");
    let refused = open().await.err();
    assert!(matches!(refused, Some(StoreError::NewerSchema { found: 1_000, .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_start_at_the_same_moment_make_one_schema_and_share_its_keys() {
    let fixture = Arc::new(PostgresFixture::empty());
    let mut starting = JoinSet::new();
    for node in 0..4 {
        let fixture = Arc::clone(&fixture);
        starting.spawn(async move {
            let store = fixture.open().await;
            let new = message_at(node, NOW);
            let id = new.message.id;
            let accept = Accept { messages: vec![new], idempotency: None, no_repeats_since: None };
            assert_eq!(store.accept(accept).await, Ok(Accepted::Stored));
            (id, store)
        });
    }
    let started = starting.join_all().await;
    // What one has sealed, all can read.
    for (id, _) in &started {
        for (_, store) in &started {
            assert_eq!(store.message(*id).await.unwrap().unwrap().summary.message.id, *id);
        }
    }
    let once = ["tuma_schema", "data_keys WHERE id = 0", "data_keys"];
    let counted = fixture.counts(once.map(|rows| format!("SELECT count(*) FROM {rows}")).to_vec());
    assert_eq!(counted, [1, 1, 2]);
}

#[tokio::test]
async fn rows_from_before_there_were_weeks_are_found() {
    let fixture = PostgresFixture::empty();
    let before = ["0001_messages", "0002_watches", "0003_nodes"].map(|name| {
        let path = format!("{}/migrations/postgres/{name}.sql", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    });
    fixture.execute(&before.concat());
    fixture.execute(
        "CREATE TABLE tuma_schema (version INTEGER NOT NULL); INSERT INTO tuma_schema (version) VALUES (3); \
         INSERT INTO states (message_id, status, provider, updated_at) \
         VALUES ('019a0000-0000-7000-8000-000000000000', 'delivered', 'twilio', 1)",
    );
    let store = fixture.open().await;
    store.close().await;
    let lies = "SELECT count(*) FROM states WHERE tableoid::regclass::text LIKE 'states_to_%'".into();
    assert_eq!(fixture.counts(vec![lies]), [1]);
}

#[tokio::test]
async fn function_that_an_earlier_migration_made_is_made_anew() {
    let fixture = PostgresFixture::fresh();
    fixture.open().await.close().await;
    // As it was before, and then that migration alone: those behind it are made once.
    fixture.execute(
        "ALTER FUNCTION tuma_keep_moved() RESET ALL; ALTER TABLE audit_heads DROP COLUMN last_checkpoint",
    );
    fixture.execute(include_str!("../../migrations/postgres/0013_last_checkpoint.sql"));
    let joins_at_once = "SELECT count(*) FROM pg_proc WHERE proname = 'tuma_keep_moved' \
         AND proconfig @> ARRAY['enable_hashjoin=on']";
    assert_eq!(fixture.counts(vec![joins_at_once.into()]), [1]);
}

#[tokio::test]
async fn quota_that_somebody_draws_on_at_this_moment_is_not_forgotten() {
    let bench = Bench::<PostgresFixture>::new().await;
    bench.fixture.execute("INSERT INTO quotas (quota, value, ends_at) VALUES (7, 1, 1), (8, 1, 1)");
    let url = bench.fixture.url();
    let (drawn, may_commit) = std::sync::mpsc::channel::<()>();
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let drawer = std::thread::spawn(move || {
        let mut client = postgres::Client::connect(&url, postgres::NoTls).unwrap();
        client
            .batch_execute("BEGIN; UPDATE quotas SET value = 2, ends_at = 9e18::int8 WHERE quota = 7")
            .unwrap();
        begun.send(()).unwrap();
        may_commit.recv().unwrap();
        client.batch_execute("COMMIT").unwrap();
    });
    has_begun.await.unwrap();
    // Waits for nobody.
    bench.keep_history(ninety_days(NOW)).await.unwrap();
    drawn.send(()).unwrap();
    drawer.join().unwrap();
    bench.keep_history(ninety_days(NOW)).await.unwrap();
    let left = ["quota = 7 AND value = 2", "quota = 8"];
    let counted = left.map(|which| format!("SELECT count(*) FROM quotas WHERE {which}")).to_vec();
    assert_eq!(bench.fixture.counts(counted), [1, 0]);
}

/// A writer that is about other people, in the middle of its transaction: whoever wants to be alone waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn what_people_say_waits_for_no_writer_that_is_about_others() {
    let bench = Bench::<PostgresFixture>::new().await;
    let prompt = ask(&*bench, approval(1, 1, NOW)).await;
    let mut writer = tokio::task::block_in_place(|| {
        let mut client = postgres::Client::connect(&bench.fixture.url(), postgres::NoTls).unwrap();
        client.batch_execute("BEGIN; SELECT pg_advisory_xact_lock_shared(1416981601, 2)").unwrap();
        client
    });
    let stop = bench.receive_inbound(from_phone(20, "STOP", Some(Keyword::Stop))).await.unwrap();
    assert_eq!(stop.handling, Handling::OptedOut);
    let text = bench.receive_inbound(from_phone(21, "Habari", None)).await.unwrap();
    assert_eq!(text.handling, Handling::PassedOn);
    let changes = vec![opt_out(30, None, Extent::All)];
    bench.change_consent(ChangeConsent { changes, by: Actor::System }).await.unwrap();
    hear(&*bench, said(1, 1, "approve", NOW.plus(HOUR))).await;
    assert!(bench.prompt(prompt).await.unwrap().unwrap().summary.closed.is_some());
    tokio::task::block_in_place(|| {
        writer.batch_execute("COMMIT").unwrap();
        drop(writer);
    });
}

/// The publisher has just said that it wants them no more, and has not committed that.
#[tokio::test(flavor = "multi_thread")]
async fn event_that_broker_and_webhooks_let_go_of_at_the_same_moment_is_forgotten() {
    let bench = Bench::<PostgresFixture>::new().await;
    bench.keep_events(true).await.unwrap();
    create(&bench, endpoint(1, 1, &["inbound.received"])).await;
    raise(&bench, raised(1, Some(2), EventKind::InboundReceived)).await;
    assert_eq!(bench.raised_events(10).await.unwrap().len(), 1);
    let mut publisher = tokio::task::block_in_place(|| {
        let mut client = postgres::Client::connect(&bench.fixture.url(), postgres::NoTls).unwrap();
        client.batch_execute("BEGIN; UPDATE events SET publish = 0").unwrap();
        client
    });
    let store = Arc::clone(&bench.store);
    let mut handing_out = tokio::task::JoinSet::new();
    handing_out.spawn(async move { store.hand_out(HandOut { now: NOW, limit: 10 }).await });
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                   AND datname = current_database()";
    while bench.fixture.counts(vec![waiting.to_owned()]) != [1] {
        assert!(handing_out.try_join_next().is_none(), "it waits for nobody");
        tokio::task::yield_now().await;
    }
    tokio::task::block_in_place(|| {
        publisher.batch_execute("COMMIT").unwrap();
        drop(publisher);
    });
    assert_eq!(handing_out.join_next().await.unwrap().unwrap(), Ok(1));
    assert_eq!(bench.fixture.counts(vec!["SELECT count(*) FROM events".into()]), [0]);
}

#[tokio::test]
async fn node_hears_what_another_tells() {
    let bench = Bench::<PostgresFixture>::new().await;
    let other = bench.fixture.open().await;
    let mut heard = other.wakeups();
    // Again and again: what is told before it listens is lost.
    let telling = async {
        loop {
            bench.wake_nodes(vec![provider("twilio"), provider("twilio")]).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        name = heard.recv() => assert_eq!(name, Some(provider("twilio"))),
        () = telling => {}
    }
}
