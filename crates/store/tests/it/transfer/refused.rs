//! Sources that can't be taken, and targets that must not be written to: nothing changes there.

use std::ops::ControlFlow;

use store::port::nodes::Beat;
use store::transfer::{Outcome, Stage, Transfer, TransferError, transfer};
use store::{Options, StoreError};

use super::{Addressed, Answers, break_off, carry, filled, rows_of, what};
use crate::support::{Bench, Fixture, MINUTE, NOW, PostgresFixture, SqliteFixture, message, node, operator};

async fn refused(what: Transfer) -> TransferError {
    carry(what).await.err().unwrap_or_else(|| panic!("it was moved"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn target_that_is_not_empty_is_refused_and_left_as_it_is() {
    let (source, _) = filled::<SqliteFixture>().await;
    let (target, before) = filled::<PostgresFixture>().await;
    let problem = refused(what(&source, &target)).await;
    assert!(matches!(problem, TransferError::NotEmpty("api_keys")), "{problem}");
    before.assert_same(&Answers::of(&*target.open().await).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_row_in_any_table_of_the_target_is_enough() {
    let (source, _) = filled::<SqliteFixture>().await;
    for (table, sql) in [
        ("drained", "INSERT INTO drained (provider, since) VALUES ('x', 1)"),
        ("progress", "INSERT INTO progress (chore, mark) VALUES ('sweep', '\\x00')"),
        ("idempotency", "INSERT INTO idempotency VALUES (1, '\\x00', '\\x00', '', 1)"),
    ] {
        let target = PostgresFixture::fresh();
        target.open().await.close().await;
        PostgresFixture::meddle(&target.address(), sql).unwrap();
        let before = rows_of(&target);
        let problem = refused(what(&source, &target)).await;
        assert!(matches!(problem, TransferError::NotEmpty(found) if found == table), "{problem}");
        assert_eq!(rows_of(&target), before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_target_with_a_schema_and_old_nodes_is_taken() {
    let (source, _) = filled::<SqliteFixture>().await;
    let target = PostgresFixture::fresh();
    let store = target.open().await;
    let before = NOW.minus(MINUTE);
    store.beat(Beat { node: node(1), now: before, gone_before: before }).await.unwrap();
    store.close().await;
    assert_eq!(carry(what(&source, &target)).await.unwrap().outcome, Outcome::Moved);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_of_another_program_is_refused() {
    let (source, _) = filled::<SqliteFixture>().await;
    let target = PostgresFixture::empty();
    PostgresFixture::meddle(&target.address(), "CREATE TABLE notes (text TEXT)").unwrap();
    let problem = refused(what(&source, &target)).await;
    assert!(matches!(problem, TransferError::Target(StoreError::Foreign)), "{problem}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_source_does_not_go_on_with_a_move_and_is_told_whose_it_is() {
    let (first, _) = filled::<SqliteFixture>().await;
    let (second, _) = filled::<PostgresFixture>().await;
    let target = PostgresFixture::fresh();
    let begun = Transfer { batch: 3, ..what(&first, &target) };
    assert!(break_off(begun, Stage::Copying, 8).await.is_err());
    let before = rows_of(&target);
    // Alike in all that people see, but for one receiver.
    let other = "UPDATE messages SET receiver_hash = receiver_hash # 1 WHERE reference IS NOT NULL";
    PostgresFixture::meddle(&second.address(), other).unwrap();
    let problem = refused(what(&second, &target)).await;
    let name = std::fs::canonicalize(first.path()).unwrap();
    assert!(matches!(&problem, TransferError::OtherSource(whose) if whose.ends_with(name.to_str().unwrap())));
    assert_eq!(rows_of(&target), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn source_that_was_served_meanwhile_does_not_go_on() {
    let (source, _) = filled::<SqliteFixture>().await;
    let target = PostgresFixture::fresh();
    let begun = Transfer { batch: 3, ..what(&source, &target) };
    assert!(break_off(begun, Stage::Copying, 8).await.is_err());
    let before = rows_of(&target);
    // No count and no id tells that this happened.
    let bench = Bench { store: source.open().await, fixture: source };
    bench.revoke_key(crate::support::caller(1), operator(NOW)).await.unwrap();
    bench.close().await;
    let problem = refused(what(&bench.fixture, &target)).await;
    assert!(matches!(problem, TransferError::SourceChanged(_)), "{problem}");
    assert_eq!(rows_of(&target), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn part_of_a_database_is_no_source() {
    let (source, _) = filled::<SqliteFixture>().await;
    let (part, target) = (PostgresFixture::fresh(), SqliteFixture::fresh());
    let begun = Transfer { batch: 3, ..what(&source, &part) };
    assert!(break_off(begun, Stage::Copying, 8).await.is_err());
    let problem = refused(what(&part, &target)).await;
    assert!(matches!(problem, TransferError::Source(StoreError::Moving)), "{problem}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn source_that_is_served_is_refused() {
    let target = PostgresFixture::fresh();
    let file = Bench::<SqliteFixture>::new().await;
    let problem = refused(what(&file.fixture, &target)).await;
    assert!(matches!(problem, TransferError::Source(StoreError::Served)), "{problem}");

    let bench = Bench::<PostgresFixture>::new().await;
    bench.beat(Beat { node: node(1), now: NOW, gone_before: NOW }).await.unwrap();
    let problem = refused(what(&bench.fixture, &SqliteFixture::fresh())).await;
    assert!(matches!(problem, TransferError::SourceServed(1)), "{problem}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn target_that_is_served_is_refused() {
    let (source, _) = filled::<SqliteFixture>().await;
    let bench = Bench::<PostgresFixture>::new().await;
    bench.beat(Beat { node: node(1), now: NOW, gone_before: NOW }).await.unwrap();
    let problem = refused(what(&source, &bench.fixture)).await;
    assert!(matches!(problem, TransferError::TargetServed(1)), "{problem}");
    let file = Bench::<SqliteFixture>::new().await;
    let problem = refused(what(&source, &file.fixture)).await;
    assert!(matches!(problem, TransferError::Target(StoreError::Served)), "{problem}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_is_not_moved_into_itself() {
    let (file, _) = filled::<SqliteFixture>().await;
    let problem = refused(what(&file, &file)).await;
    assert!(matches!(problem, TransferError::Target(StoreError::Served)), "{problem}");
    let (database, _) = filled::<PostgresFixture>().await;
    let problem = refused(what(&database, &database)).await;
    assert!(matches!(problem, TransferError::Target(StoreError::Locked)), "{problem}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn source_that_is_not_there_or_old_is_refused_and_not_made() {
    let (source, target) = (SqliteFixture::fresh(), PostgresFixture::fresh());
    let problem = refused(what(&source, &target)).await;
    assert!(matches!(problem, TransferError::Source(StoreError::Missing)), "{problem}");
    assert!(!source.path().exists());
    let (source, _) = filled::<SqliteFixture>().await;
    let wrong = Transfer { to: "mysql://localhost/tuma".into(), ..what(&source, &target) };
    let problem = refused(wrong).await;
    assert!(matches!(problem, TransferError::Target(StoreError::Address)), "{problem}");
    SqliteFixture::meddle(&source.address(), "PRAGMA user_version = 1").unwrap();
    let problem = refused(what(&source, &target)).await;
    assert!(matches!(problem, TransferError::Source(StoreError::OlderSchema { found: 1, .. })), "{problem}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn target_of_an_older_version_is_migrated_only_if_it_is_empty() {
    let (source, _) = filled::<SqliteFixture>().await;
    let target = PostgresFixture::empty();
    let old = concat!(
        include_str!("../../../migrations/postgres/0001_messages.sql"),
        "CREATE TABLE tuma_schema (version INTEGER NOT NULL); INSERT INTO tuma_schema (version) VALUES (1);",
        "INSERT INTO idempotency VALUES (1, '\\x00', '\\x00', '', 1)",
    );
    PostgresFixture::meddle(&target.address(), old).unwrap();
    let problem = refused(what(&source, &target)).await;
    assert!(matches!(problem, TransferError::NotEmpty("idempotency")), "{problem}");
    assert_eq!(target.counts(vec!["SELECT version::bigint FROM tuma_schema".into()]), [1]);
    PostgresFixture::meddle(&target.address(), "DELETE FROM idempotency").unwrap();
    assert_eq!(carry(what(&source, &target)).await.unwrap().outcome, Outcome::Moved);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_postgresql_can_not_hold_is_named_before_anything_is_written() {
    let (source, _) = filled::<SqliteFixture>().await;
    let target = PostgresFixture::empty();
    let nul = "UPDATE messages SET reference = 'a' || char(0) || 'b' WHERE reference IS NOT NULL";
    SqliteFixture::meddle(&source.address(), nul).unwrap();
    let problem = refused(what(&source, &target)).await;
    assert!(
        matches!(&problem, TransferError::Unfit { table: "messages", column: "reference", .. }),
        "{problem}"
    );
    let options = Options { migrate: false, exclusive: false, keys: Some(crate::support::keys()) };
    assert_eq!(store::open(&target.address(), options).await.err(), Some(StoreError::Missing));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_writes_to_the_source_while_it_is_moved() {
    let (source, _) = filled::<SqliteFixture>().await;
    let target = PostgresFixture::fresh();
    let (address, mut refusals) = (source.address(), 0);
    let (tell, told) = std::sync::mpsc::channel();
    let watch = move |_| {
        let written = SqliteFixture::meddle(&address, "DELETE FROM api_keys");
        refusals += u32::from(written.is_err_and(|problem| problem.contains("locked")));
        tell.send(refusals).unwrap();
        ControlFlow::Continue(())
    };
    assert_eq!(transfer(what(&source, &target), watch).await.unwrap().outcome, Outcome::Moved);
    let told: Vec<_> = told.iter().collect();
    assert_eq!(told.last().copied(), Some(u32::try_from(told.len()).unwrap()));
    let bench = Bench { store: source.open().await, fixture: source };
    bench.add([message(9_000)]).await;
}
