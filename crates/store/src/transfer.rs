//! Carrying a whole database into another one, which may be of another backend.
//!
//! 1. The source is read once and hashed, table by table. It can't change meanwhile: its lock is held to the end. The
//!    hash of all is its **fingerprint**.
//! 2. The rows are copied, many with one transaction, in the order of their keys. The same transaction says in the
//!    target's `progress` up to which key the table has come: so a move that was interrupted goes on from there, and
//!    copies nothing twice.
//! 3. The target is read and hashed as the source was, and the two are compared.
//!
//! The target's first mark holds the fingerprint. It lets only this source go on with it, and lets nobody open the
//! database ([`StoreError::Moving`]) before all of it is there and compared. Ids or counts would not tell a source that
//! was served meanwhile from one that was not; reading everything once more costs less than writing it does.

mod digest;
mod mark;
mod steps;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};

use domain::time::Timestamp;

pub use self::digest::Digest;
pub use self::steps::{Progress, Stage, Tally};

use self::mark::{ORIGIN, Origin, Place, done};
use self::steps::Steps;
use crate::StoreError;
use crate::postgres::PostgresSide;
use crate::side::{Marks, Side};
use crate::sqlite::SqliteSide;
use crate::tables::{DATA_KEYS, Row, TABLES, Table};

/// Rows of one transaction. More of them gain nothing.
pub const BATCH: usize = 10_000;

/// Bytes after which a transaction has no more rows, however few: answers to requests may be long.
const BATCH_BYTES: usize = 8 << 20;

/// Batches that are read while one is written.
const AHEAD: usize = 2;

/// What to carry where.
#[derive(Clone)]
pub struct Transfer {
    /// The source's address, as [`open`](crate::open) takes it.
    pub from: String,
    /// The target's address.
    pub to: String,
    /// A node that has said since then that it lives is taken to serve its database.
    pub served_since: Timestamp,
    /// Rows of one transaction: [`BATCH`].
    pub batch: usize,
}

/// How a move ended that was not interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is there.
    Moved,
    /// Everything was there before: the same move was done to its end.
    MovedBefore,
    /// Source and target are not the same after it. The target can't be opened.
    Differs,
}

/// What was carried.
#[derive(Debug, Clone)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// Each table of both sides. Empty if nothing was done.
    pub tables: Vec<Compared>,
}

/// One table as it is on both sides.
#[derive(Debug, Clone, Copy)]
pub struct Compared {
    /// Its name.
    pub table: &'static str,
    /// What was read from the source.
    pub source: Digest,
    /// What was read from the target.
    pub target: Digest,
}

/// Why nothing was moved, or not all.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The source can't be used.
    #[error("the source: {0}")]
    Source(StoreError),
    /// The target can't be used.
    #[error("the target: {0}")]
    Target(StoreError),
    /// Nodes serve the source.
    #[error("nodes serve the source, {0} of them: stop them first")]
    SourceServed(u64),
    /// Nodes serve the target.
    #[error("nodes serve the target, {0} of them: move into a database that nobody uses")]
    TargetServed(u64),
    /// There is something in the target.
    #[error("the target is not empty: there are rows in its table {0}")]
    NotEmpty(&'static str),
    /// Another source was being moved into the target.
    #[error(
        "the target holds a part of {0}, whose move into it has not ended: go on from there, or take an empty one"
    )]
    OtherSource(String),
    /// The source is not what it was.
    #[error(
        "{0} is not what it was when its move into the target began: it was served since, or by another version of tuma. Take an empty target"
    )]
    SourceChanged(String),
    /// The target has no room for a value.
    #[error("column {column} of {row} in table {table} holds what not every database can keep")]
    Unfit {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// Which row.
        row: String,
    },
    /// Somebody asked to stop.
    #[error("stopped: what is in the target stays there, and the same command goes on from it")]
    Stopped,
}

/// Carries everything from one database into another, empty one, or goes on with it. `watch` is told how far it has come
/// and may break it off, which loses nothing.
///
/// # Errors
/// A database that can't be used, is served, or is not the right one; a value that the target can't hold; `watch` broke it
/// off. What was written until then stays, and is where the next run goes on.
pub async fn transfer(
    transfer: Transfer,
    watch: impl FnMut(Progress) -> ControlFlow<()> + Send + 'static,
) -> Result<Report, TransferError> {
    let mut steps = Steps::new(watch);
    let run = move || run(&transfer, &mut steps);
    tokio::task::spawn_blocking(run).await.map_err(|_panic| TransferError::Target(StoreError::Stopped))?
}

fn run(transfer: &Transfer, steps: &mut Steps) -> Result<Report, TransferError> {
    let mut source =
        open(&transfer.from, PostgresSide::source, SqliteSide::source).map_err(TransferError::Source)?;
    let mut target =
        open(&transfer.to, PostgresSide::target, SqliteSide::target).map_err(TransferError::Target)?;
    let (source, target) = (&mut *source, &mut *target);
    refuse_served(source, target, transfer.served_since)?;
    let standing = Standing::of(target)?;
    let sources = digest::all(source, Stage::Reading, steps, true)?;
    let origin = Origin::of(source.name(), &sources);
    let Some(marks) = standing.allow(&origin)? else {
        return Ok(Report { outcome: Outcome::MovedBefore, tables: Vec::new() });
    };
    target.schema(true).map_err(TransferError::Target)?;
    if marks.is_empty() {
        target.forget_keys().map_err(TransferError::Target)?;
        let begun = Marks::from([(ORIGIN.to_owned(), origin.write())]);
        target.set_marks(&begun).map_err(TransferError::Target)?;
    }
    copy_all(source, target, &marks, &sources, transfer.batch, steps)?;
    settle(target, steps)?;
    let targets = digest::all(target, Stage::Comparing, steps, false)?;
    let report = compared(&sources, &targets);
    if report.outcome == Outcome::Moved {
        target.set_marks(&done(&origin)).map_err(TransferError::Target)?;
    }
    Ok(report)
}

type Opened = Result<Box<dyn Side>, StoreError>;

fn open<P: Side + 'static, S: Side + 'static>(
    url: &str,
    postgres: impl FnOnce(&str) -> Result<P, StoreError>,
    sqlite: impl FnOnce(&std::path::Path) -> Result<S, StoreError>,
) -> Opened {
    match crate::address(url)? {
        crate::Address::Sqlite(path) => Ok(Box::new(sqlite(&PathBuf::from(path))?)),
        crate::Address::Postgres(url) => Ok(Box::new(postgres(url)?)),
    }
}

fn refuse_served(
    source: &mut dyn Side,
    target: &mut dyn Side,
    since: Timestamp,
) -> Result<(), TransferError> {
    let since = since.as_micros();
    match source.live_nodes(since).map_err(TransferError::Source)? {
        0 => {}
        nodes => return Err(TransferError::SourceServed(nodes)),
    }
    if source.marks().map_err(TransferError::Source)?.contains_key(ORIGIN) {
        return Err(TransferError::Source(StoreError::Moving));
    }
    match target.live_nodes(since).map_err(TransferError::Target)? {
        0 => Ok(()),
        nodes => Err(TransferError::TargetServed(nodes)),
    }
}

/// What there is in the target before anything is done to it.
enum Standing {
    Empty,
    /// A move into it has begun.
    Begun(Marks),
    /// There are rows in this table; a move into it may have ended.
    Filled(&'static str, Marks),
}

impl Standing {
    /// Only looks: a target that will be refused is left as it is.
    fn of(target: &mut dyn Side) -> Result<Self, TransferError> {
        match target.schema(false) {
            Ok(()) | Err(StoreError::Missing | StoreError::OlderSchema { .. }) => {}
            Err(other) => return Err(TransferError::Target(other)),
        }
        let marks = target.marks().map_err(TransferError::Target)?;
        if marks.contains_key(ORIGIN) {
            return Ok(Self::Begun(marks));
        }
        // Keys under which nothing is sealed are no reason to refuse.
        for table in TABLES.iter().filter(|table| table.name != DATA_KEYS) {
            if target.has_rows(table).map_err(TransferError::Target)? {
                return Ok(Self::Filled(table.name, marks));
            }
        }
        Ok(Self::Empty)
    }

    /// How far the move of this source has come; `None` if it has ended.
    fn allow(self, origin: &Origin) -> Result<Option<Marks>, TransferError> {
        match self {
            Self::Empty => Ok(Some(Marks::new())),
            Self::Begun(marks) => origin.check(&marks).map(|()| Some(marks)),
            Self::Filled(_, marks) if marks == done(origin) => Ok(None),
            Self::Filled(table, _) => Err(TransferError::NotEmpty(table)),
        }
    }
}

fn copy_all(
    source: &mut dyn Side,
    target: &mut dyn Side,
    marks: &Marks,
    sources: &[Digest],
    batch: usize,
    steps: &mut Steps,
) -> Result<(), TransferError> {
    let places: Vec<_> = TABLES.iter().map(|table| Place::of(table, marks)).collect::<Result<_, _>>()?;
    let there = places.iter().map(|place| place.rows).sum();
    steps.begin(Stage::Copying, there, sources.iter().map(|digest| digest.rows).sum());
    for ((table, place), digest) in TABLES.iter().zip(places).zip(sources) {
        steps.table(table.name, place.rows, digest.rows)?;
        copy(source, target, table, place, batch, steps)?;
    }
    Ok(())
}

/// Copies what is missing of a table. It is read on a thread of its own, while what was read before is written.
fn copy(
    source: &mut dyn Side,
    target: &mut dyn Side,
    table: &Table,
    mut place: Place,
    batch: usize,
    steps: &mut Steps,
) -> Result<(), TransferError> {
    let behind = place.key.clone();
    std::thread::scope(|scope| {
        let (send, receive) = sync_channel(AHEAD);
        let reader = scope.spawn(move || read(source, table, behind.as_ref(), batch, &send));
        for rows in receive {
            let copied = rows.len() as u64;
            place.pass(table, &rows);
            target.write(table, rows, &Place::chore(table), &place.write()).map_err(TransferError::Target)?;
            steps.pass(copied)?;
        }
        let read = reader.join().map_err(|_panic| StoreError::Stopped);
        read.and_then(|read| read).map_err(TransferError::Source)
    })
}

/// Gives the rows of a table away in batches. It ends early when nobody takes them any more.
fn read(
    source: &mut dyn Side,
    table: &Table,
    behind: Option<&Row>,
    batch: usize,
    to: &SyncSender<Vec<Row>>,
) -> Result<(), StoreError> {
    let (mut rows, mut size) = (Vec::new(), 0);
    source.walk(table, behind.map(Vec::as_slice), &mut |row| {
        size += row.iter().map(crate::tables::Value::size).sum::<usize>();
        rows.push(row);
        if rows.len() < batch && size < BATCH_BYTES {
            return ControlFlow::Continue(());
        }
        size = 0;
        match to.send(std::mem::take(&mut rows)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_nobody) => ControlFlow::Break(()),
        }
    })?;
    if !rows.is_empty() {
        // Whoever does not take it knows why.
        let _ = to.send(rows);
    }
    Ok(())
}

fn settle(target: &mut dyn Side, steps: &mut Steps) -> Result<(), TransferError> {
    steps.begin(Stage::Settling, 0, TABLES.len() as u64);
    for table in TABLES {
        steps.table(table.name, 0, 1)?;
        target.settle(table).map_err(TransferError::Target)?;
        steps.pass(1)?;
    }
    Ok(())
}

fn compared(sources: &[Digest], targets: &[Digest]) -> Report {
    let tables = TABLES.iter().zip(sources.iter().zip(targets));
    let tables: Vec<_> = tables
        .map(|(table, (source, target))| Compared { table: table.name, source: *source, target: *target })
        .collect();
    let is_equal = tables.iter().all(Compared::is_equal);
    Report { outcome: if is_equal { Outcome::Moved } else { Outcome::Differs }, tables }
}

impl Compared {
    /// Whether both sides have the same rows.
    pub fn is_equal(&self) -> bool {
        self.source == self.target
    }
}
