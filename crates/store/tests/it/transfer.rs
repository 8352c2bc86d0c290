//! Carrying a database to another backend: the same answers afterwards, interrupted or not, and nothing where nothing may
//! be.

mod life;
mod refused;

use std::ops::ControlFlow;

use domain::receipt::ReceiptStatus;
use store::transfer::{BATCH, Outcome, Progress, Report, Stage, Transfer, TransferError, transfer};
use store::{Options, StoreError};

use self::life::{Answers, TABLES, fill};
use crate::conformance::audit::verified;
use crate::support::{
    Bench, Fixture, HOUR, NOW, PostgresFixture, SqliteFixture, ids_of, message, receipt_by, receiver, url,
};

/// A place for a store that has an address.
pub(crate) trait Addressed: Fixture + 'static {
    fn address(&self) -> String;

    /// Runs statements on it, whatever Tuma thinks of that.
    fn meddle(address: &str, sql: &str) -> Result<(), String>;
}

impl Addressed for SqliteFixture {
    fn address(&self) -> String {
        url(&self.path())
    }

    fn meddle(address: &str, sql: &str) -> Result<(), String> {
        let file = rusqlite::Connection::open(address.trim_start_matches("sqlite:")).unwrap();
        file.busy_timeout(std::time::Duration::ZERO).unwrap();
        file.execute_batch(sql).map_err(|error| error.to_string())
    }
}

impl Addressed for PostgresFixture {
    fn address(&self) -> String {
        self.url()
    }

    fn meddle(address: &str, sql: &str) -> Result<(), String> {
        let (address, sql) = (address.to_owned(), sql.to_owned());
        // The client waits by a runtime of its own.
        let run = move || postgres::Client::connect(&address, postgres::NoTls)?.batch_execute(&sql);
        std::thread::spawn(run).join().unwrap().map_err(|error: postgres::Error| error.to_string())
    }
}

fn what(from: &impl Addressed, to: &impl Addressed) -> Transfer {
    Transfer { from: from.address(), to: to.address(), served_since: NOW, batch: BATCH }
}

async fn carry(what: Transfer) -> Result<Report, TransferError> {
    transfer(what, |_| ControlFlow::Continue(())).await
}

/// A filled store, closed, with what it answered.
async fn filled<F: Addressed>() -> (F, Answers) {
    let bench = Bench::<F>::new().await;
    fill(&bench).await;
    let answers = Answers::of(&*bench.store).await;
    bench.close().await;
    (bench.fixture, answers)
}

fn rows_of<F: Fixture>(place: &F) -> Vec<u64> {
    place.counts(TABLES.iter().map(|table| format!("SELECT count(*) FROM {table}")).collect())
}

/// The target answers as the source did, and goes on working.
async fn goes_on_as<F: Fixture>(target: F, before: &Answers) {
    let store = target.open().await;
    let bench = Bench { fixture: target, store };
    let after = Answers::of(&*bench.store).await;
    before.assert_same(&after);
    let entries = verified(&*bench.store).await.unwrap();
    assert!(entries > 50, "{entries}");
    assert_eq!(bench.ping().await, Ok(()));
    // What waited is claimed, in its order, and ends.
    let claimed = bench.take(NOW.plus(HOUR)).await;
    assert_eq!(ids_of(&claimed), before.waiting);
    // New callbacks get numbers of their own, behind those that were carried.
    let parked = receipt_by("SMlate", receiver(4_711), ReceiptStatus::Sent);
    bench.receive(parked.clone()).await;
    bench.receive(parked).await;
    bench.add([message(9_000)]).await;
    assert_eq!(bench.take(NOW.plus(2 * HOUR)).await.len(), 1);
    // The trail goes on where it ended.
    assert!(verified(&*bench.store).await.unwrap() > entries);
    assert!(bench.checkpoint_audit(NOW.plus(2 * HOUR)).await.unwrap().is_some_and(|made| made.number == 2));
    bench.close().await;
}

async fn everything_is_carried<S: Addressed, T: Addressed>() {
    let (source, before) = filled::<S>().await;
    assert!(rows_of(&source).iter().all(|rows| *rows > 0), "{:?} {TABLES:?}", rows_of(&source));
    let target = T::fresh();
    let report = carry(what(&source, &target)).await.unwrap();
    assert_eq!(report.outcome, Outcome::Moved);
    let rows: Vec<_> = report.tables.iter().map(|compared| compared.target.rows).collect();
    assert_eq!(rows.iter().sum::<u64>(), rows_of(&source).iter().sum::<u64>());
    // The source is as it was.
    before.assert_same(&Answers::of(&*source.open().await).await);
    goes_on_as(target, &before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_carried_from_sqlite_to_postgresql() {
    everything_is_carried::<SqliteFixture, PostgresFixture>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_carried_from_postgresql_to_sqlite() {
    everything_is_carried::<PostgresFixture, SqliteFixture>().await;
}

/// Breaks off after so many rows were copied, or compared.
async fn break_off(what: Transfer, stage: Stage, after: u64) -> Result<Report, TransferError> {
    let mut first = None;
    let watch = move |progress: Progress| {
        let begun = *first.get_or_insert(progress.all.done);
        if progress.stage != stage {
            first = None;
            return ControlFlow::Continue(());
        }
        if progress.all.done >= begun + after { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    transfer(what, watch).await
}

async fn interrupted_move_goes_on<S: Addressed, T: Addressed>() {
    let (source, before) = filled::<S>().await;
    let target = T::fresh();
    let what = Transfer { batch: 3, ..what(&source, &target) };
    let (mut runs, mut there) = (0, 0);
    let report = loop {
        match break_off(what.clone(), Stage::Copying, 8).await {
            Ok(report) => break report,
            Err(stopped) => assert!(matches!(stopped, TransferError::Stopped), "{stopped}"),
        }
        let options = Options { migrate: true, exclusive: true, keys: Some(crate::support::keys()) };
        let opened = store::open(&target.address(), options).await.err();
        assert_eq!(opened, Some(StoreError::Moving), "a part of a database is no database");
        let rows = rows_of(&target).iter().sum();
        assert!(rows > there, "it goes on from where it was");
        (there, runs) = (rows, runs + 1);
    };
    assert!(runs > 3, "{runs}");
    assert_eq!(report.outcome, Outcome::Moved);
    goes_on_as(target, &before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn move_to_postgresql_that_is_interrupted_again_and_again_goes_on() {
    interrupted_move_goes_on::<SqliteFixture, PostgresFixture>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn move_to_sqlite_that_is_interrupted_again_and_again_goes_on() {
    interrupted_move_goes_on::<PostgresFixture, SqliteFixture>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn move_that_was_stopped_before_and_after_copying_goes_on() {
    let (source, before) = filled::<SqliteFixture>().await;
    let target = PostgresFixture::fresh();
    for stage in [Stage::Reading, Stage::Settling, Stage::Comparing] {
        let stopped = break_off(what(&source, &target), stage, 1).await;
        assert!(matches!(stopped, Err(TransferError::Stopped)), "{stage:?}");
    }
    assert_eq!(carry(what(&source, &target)).await.unwrap().outcome, Outcome::Moved);
    goes_on_as(target, &before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn move_that_has_ended_changes_nothing_when_it_is_run_again() {
    let (source, _) = filled::<SqliteFixture>().await;
    let target = PostgresFixture::fresh();
    assert_eq!(carry(what(&source, &target)).await.unwrap().outcome, Outcome::Moved);
    let bench = Bench { store: target.open().await, fixture: target };
    bench.add([message(9_000)]).await;
    bench.close().await;
    let rows = rows_of(&bench.fixture);
    assert_eq!(carry(what(&source, &bench.fixture)).await.unwrap().outcome, Outcome::MovedBefore);
    assert_eq!(rows_of(&bench.fixture), rows);
}

/// Changes the target behind the move's back, before it is compared.
async fn carry_and_meddle<T: Addressed>(what: Transfer, sql: &'static str) -> Report {
    let (address, mut meddled) = (what.to.clone(), false);
    let watch = move |progress: Progress| {
        if progress.stage == Stage::Comparing && !std::mem::replace(&mut meddled, true) {
            T::meddle(&address, sql).unwrap();
        }
        ControlFlow::Continue(())
    };
    transfer(what, watch).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_added_or_missing_row_is_found_and_the_target_stays_closed() {
    let (source, _) = filled::<SqliteFixture>().await;
    for (sql, table) in [
        (
            "UPDATE messages SET segments = segments + 1 WHERE id = (SELECT min(id::text)::uuid FROM messages)",
            "messages",
        ),
        ("UPDATE queue SET expires_at = 1 WHERE expires_at IS NULL", "queue"),
        ("DELETE FROM rounds", "rounds"),
        ("INSERT INTO drained (provider, since) VALUES ('', 0)", "drained"),
    ] {
        let target = PostgresFixture::fresh();
        let report = carry_and_meddle::<PostgresFixture>(what(&source, &target), sql).await;
        assert_eq!(report.outcome, Outcome::Differs);
        let different: Vec<_> = report
            .tables
            .iter()
            .filter(|compared| !compared.is_equal())
            .map(|compared| compared.table)
            .collect();
        assert_eq!(different, [table]);
        let options = Options { migrate: false, exclusive: false, keys: Some(crate::support::keys()) };
        assert_eq!(store::open(&target.address(), options).await.err(), Some(StoreError::Moving));
        assert_eq!(carry(what(&source, &target)).await.unwrap().outcome, Outcome::Differs, "it stays so");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_comes_to_the_end_of_each_table_and_of_all() {
    let (source, _) = filled::<SqliteFixture>().await;
    let target = PostgresFixture::fresh();
    let (tell, told) = std::sync::mpsc::channel();
    let watch = move |progress| {
        tell.send(progress).unwrap();
        ControlFlow::Continue(())
    };
    transfer(what(&source, &target), watch).await.unwrap();
    let told: Vec<Progress> = told.iter().collect();
    for stage in [Stage::Reading, Stage::Copying, Stage::Settling, Stage::Comparing] {
        let last = told.iter().rfind(|progress| progress.stage == stage).unwrap();
        assert_eq!((last.rows.done, last.all.done), (last.rows.of, last.all.of), "{stage:?}");
        assert!(last.all.of >= TABLES.len() as u64);
    }
}
