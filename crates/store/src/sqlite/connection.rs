//! Opening the file: the one writer, the readers, and the lock that keeps a second server out.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::ids::KeyId;
use domain::route::ProviderName;
use parking_lot::Mutex;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use super::sql::Statements;
use crate::StoreError;
use crate::seal::{Keyring, Vault};

/// How long a statement waits for another process's lock before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Between two tries at what SQLite does not wait for itself.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a guest waits between two tries at a file that another process serves, and how often it tries: for ten seconds. A
/// busy gateway leaves its file alone for moments only, which SQLite's own waiting, of up to 100 ms at a time, may all miss.
const GUEST_PAUSE: Duration = Duration::from_millis(2);
const GUEST_TRIES: i32 = 5_000;

/// Connections that read at once.
pub(super) const READERS: usize = 4;

/// How long a query may take.
const LONGEST_READ: Duration = Duration::from_secs(8);

/// Pages that are free are given back when it is asked for.
const INCREMENTAL: i64 = 2;

/// Steps of SQLite's machine between two looks at the time.
const PROGRESS: i32 = 10_000;

/// Statements kept prepared on each connection: more than this crate has.
const STATEMENTS: usize = 96;

/// Bytes that the log's file keeps when it begins anew: twice as long as it grows in everyday use.
const LOG_KEEPS: u32 = 64 << 20;

/// A connection that may write, before anything is changed.
pub(super) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    create_private(path);
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    // SQLite opens a file that it may not write for reading, and would tell only at the first write.
    if connection.is_readonly(rusqlite::MAIN_DB).map_err(error)? {
        return Err(StoreError::Io("the file can't be written".into()));
    }
    Ok(connection)
}

/// Makes the file, if it is not there, for its owner alone: there are numbers and texts in it. SQLite gives its log
/// the same mode.
fn create_private(path: &Path) {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // If it can't be made, it is there, or SQLite will say why not.
    let _ = options.open(path);
}

/// Settings of a connection that writes. A commit is on disk when it returns: `synchronous=FULL` flushes the
/// log at each one (SQLite, "PRAGMA synchronous").
pub(super) fn prepare_writer(connection: &Connection) -> Result<(), StoreError> {
    // Before the first page is written, or else from the next VACUUM on: so that history can give room back. Saying it again
    // would write to the file (SQLite, "PRAGMA auto_vacuum").
    let vacuum: i64 = connection.pragma_query_value(None, "auto_vacuum", |row| row.get(0)).map_err(error)?;
    if vacuum != INCREMENTAL {
        connection.pragma_update(None, "auto_vacuum", INCREMENTAL).map_err(error)?;
    }
    use_write_ahead_log(connection)?;
    connection.pragma_update(None, "synchronous", "full").map_err(error)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(error)?;
    // The log is moved into the database by a thread of its own: see `checkpoint`.
    connection.pragma_update(None, "wal_autocheckpoint", 0).map_err(error)?;
    // After a reader that took long, the log does not keep the room that it had grown to.
    connection.pragma_update(None, "journal_size_limit", LOG_KEEPS).map_err(error)?;
    // 16 MiB of pages: the growing ends of all trees, with room.
    connection.pragma_update(None, "cache_size", -16_384).map_err(error)?;
    Ok(())
}

fn use_write_ahead_log(connection: &Connection) -> Result<(), StoreError> {
    let end = Instant::now() + BUSY_TIMEOUT;
    let mode: String = loop {
        match connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0)).map_err(error)
        {
            // Two who do this to a new file at once refuse each other without waiting.
            Err(StoreError::Locked) if Instant::now() < end => pause(PAUSE),
            answer => break answer?,
        }
    };
    // SQLite keeps the old mode, and says so, where the file system can't share memory between processes.
    if mode != "wal" {
        return Err(StoreError::Io(format!("the file system allows no write-ahead log (mode {mode})")));
    }
    Ok(())
}

/// Has a connection wait for a lock as one does who writes now and then to a file that another process serves.
pub(super) fn wait_as_guest(connection: &mut Connection) -> Result<(), StoreError> {
    let again = |tries: i32| {
        pause(GUEST_PAUSE);
        tries < GUEST_TRIES
    };
    connection.busy_handler(Some(again)).map_err(error)
}

#[expect(
    clippy::disallowed_methods,
    reason = "opening and writing have a thread of their own, which may wait"
)]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let connection =
        Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(error)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(error)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // One plan for each statement, whatever values are bound: without it, SQLite prepares statements anew that
    // a partial index might serve for one value and not for another.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(error)?;
    Ok(connection)
}

/// What SQLite's error means for an operator.
#[expect(clippy::needless_pass_by_value, reason = "map_err wants it so")]
pub(super) fn error(error: rusqlite::Error) -> StoreError {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
    // A value that this crate could not have written.
    if matches!(
        error,
        FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) | Utf8Error(..)
    ) {
        return StoreError::Corrupt;
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full,
        Some(ErrorCode::OperationInterrupted) => StoreError::Overloaded,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt,
        Some(
            ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied,
        ) => StoreError::Io(error.to_string()),
        _ => StoreError::Internal(error.to_string()),
    }
}

/// Connections that only read. They see the last commit and never wait for the writer.
pub(super) struct Readers {
    path: PathBuf,
    keyring: Arc<Keyring>,
    /// `None` after the end.
    idle: Mutex<Option<Vec<Connection>>>,
    turns: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: &Path, keyring: Arc<Keyring>) -> Self {
        Self {
            path: path.into(),
            keyring,
            idle: Mutex::new(Some(Vec::new())),
            turns: Arc::new(Semaphore::new(READERS)),
        }
    }

    /// Waits until one of the connections is free.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        Arc::clone(&self.turns).acquire_owned().await.map_err(|_closed| StoreError::Stopped)
    }

    /// Runs a query on an idle connection, or a new one.
    pub(super) fn with<T>(
        &self,
        query: impl FnOnce(&mut Statements<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = self.idle.lock().as_mut().and_then(Vec::pop);
        let mut connection = match idle {
            Some(connection) => connection,
            None => open(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?,
        };
        // A query that nobody would wait for any more must not hold a connection, nor the log.
        let end = Instant::now() + LONGEST_READ;
        connection.progress_handler(PROGRESS, Some(move || Instant::now() > end)).map_err(error)?;
        let result = snapshot(&connection, self.keyring.vault(), query);
        if let Some(idle) = self.idle.lock().as_mut() {
            idle.push(connection);
        }
        result
    }

    /// There are no other nodes that could tell anything.
    pub(super) fn wakeups(_readers: &Self) -> mpsc::Receiver<ProviderName> {
        mpsc::channel(1).1
    }

    /// There are no other nodes that could tell of a key.
    pub(super) fn changed_keys(_readers: &Self) -> mpsc::Receiver<KeyId> {
        mpsc::channel(1).1
    }

    /// Closes the idle connections, and the others when their queries end.
    pub(super) fn close(&self) {
        let idle = self.idle.lock().take();
        drop(idle);
    }
}

/// Runs statements as one transaction, which is taken back if they fail.
pub(super) fn transact<T>(
    connection: &mut Connection,
    vault: Arc<Vault>,
    run: impl FnOnce(&mut Statements<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    // Dropping the transaction on an error takes everything back.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(error)?;
    let answer = run(&mut Statements::new(&transaction, vault))?;
    transaction.commit().map_err(error)?;
    Ok(answer)
}

/// Writes the whole file anew, and nothing of what was deleted, and empties the log.
pub(super) fn rewrite(connection: &Connection) -> Result<(), StoreError> {
    connection.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)").map_err(error)
}

/// Runs a query whose statements all see the same commit.
pub(super) fn snapshot<T>(
    connection: &Connection,
    vault: Arc<Vault>,
    query: impl FnOnce(&mut Statements<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let snapshot = connection.unchecked_transaction().map_err(error)?;
    query(&mut Statements::new(&snapshot, vault))
}

/// Held while a process serves a database: two would take each other's open attempts for a crash's.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let io = |error: std::io::Error| StoreError::Io(error.to_string());
        let file =
            File::options().create(true).truncate(false).write(true).open(PathBuf::from(name)).map_err(io)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::Served),
            Err(std::fs::TryLockError::Error(error)) => Err(io(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(folder: &Path) -> Connection {
        let connection = open_writer(&folder.join("tuma.db")).unwrap();
        prepare_writer(&connection).unwrap();
        connection
    }

    #[test]
    fn commit_of_the_writer_is_on_disk_when_it_returns() {
        let folder = tempfile::tempdir().unwrap();
        let connection = writer(folder.path());
        let setting =
            |name: &str| -> i64 { connection.pragma_query_value(None, name, |row| row.get(0)).unwrap() };
        let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
        // 2 is FULL, which flushes the log at each commit.
        assert_eq!(setting("synchronous"), 2);
        // The checkpointer's work, never the writer's.
        assert_eq!(setting("wal_autocheckpoint"), 0);
        assert_eq!(setting("foreign_keys"), 1);
    }

    #[test]
    fn database_that_may_not_grow_is_full() {
        let folder = tempfile::tempdir().unwrap();
        let connection = writer(folder.path());
        connection.execute_batch("CREATE TABLE notes (text); PRAGMA max_page_count = 4").unwrap();
        let insert = || connection.execute("INSERT INTO notes VALUES (zeroblob(4096))", []);
        let full = std::iter::repeat_with(insert).take(10).find_map(Result::err);
        assert_eq!(full.map(error), Some(StoreError::Full));
    }
}
