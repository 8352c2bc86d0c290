//! Moving the write-ahead log into the database, on a thread and a connection of its own.
//!
//! Left to the writer, a checkpoint stalls it for 0.2 to 0.3 s every few thousand commits. Beside it, small and
//! often, it costs the writer little. A passive checkpoint never waits for the writer, but under steady load it
//! never reaches the end of the log either, and only a log that was moved whole is used again from its
//! beginning. So a log that has grown long is ended by a restarting checkpoint right after a passive one, when
//! little is left to move while the writer waits. A reader that takes long keeps the log from ending: then it
//! grows, and the writer waits for nobody.

use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use super::connection::{self, error};
use crate::StoreError;

/// Rows written after which a checkpoint is due.
const ROWS: usize = 4_096;

/// Pages in the log (4 KiB each) after which the writer is made to wait for its end.
const LONG_LOG: i64 = 8_192;

/// Pages left after a passive checkpoint up to which a restarting one may follow: a few milliseconds' work.
const NEAR_THE_END: i64 = 1_024;

/// How long a restarting checkpoint waits for the writer, and then keeps it waiting for readers.
const PATIENCE: Duration = Duration::from_millis(100);

/// Tells the thread that rows were written. Dropping it ends the thread, and waits for that.
pub(super) struct Checkpointer {
    due: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    rows: usize,
}

impl Checkpointer {
    pub(super) fn start(path: &Path) -> Result<Self, StoreError> {
        let connection = connection::open_writer(path)?;
        connection::prepare_writer(&connection)?;
        connection.busy_timeout(PATIENCE).map_err(error)?;
        let (due, wake) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".into())
            .spawn(move || {
                while wake.recv().is_ok() {
                    if let Err(problem) = run(&connection) {
                        tracing::warn!(%problem, "the log could not be moved into the database; will try again");
                    }
                }
            })
            .map_err(|error| StoreError::Io(error.to_string()))?;
        Ok(Self { due: Some(due), thread: Some(thread), rows: 0 })
    }

    /// Counts rows, and wakes the thread when there are enough.
    pub(super) fn wrote(&mut self, rows: usize) {
        self.rows += rows;
        if self.rows >= ROWS && self.wake() {
            self.rows = 0;
        }
    }

    /// Wakes the thread; `false` if it is still to begin with what it was woken for before.
    pub(super) fn wake(&self) -> bool {
        self.due.as_ref().is_some_and(|due| !matches!(due.try_send(()), Err(TrySendError::Full(()))))
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        drop(self.due.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn run(connection: &Connection) -> Result<(), StoreError> {
    let mut left_before = i64::MAX;
    loop {
        let Progress { log, moved } = checkpoint(connection, "PASSIVE")?;
        let left = log - moved;
        if log <= LONG_LOG || left >= left_before {
            return Ok(());
        }
        if left <= NEAR_THE_END {
            checkpoint(connection, "RESTART")?;
            return Ok(());
        }
        left_before = left;
    }
}

/// Pages in the log, and how many of them are in the database by now.
struct Progress {
    log: i64,
    moved: i64,
}

fn checkpoint(connection: &Connection, mode: &str) -> Result<Progress, StoreError> {
    connection
        .query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
            Ok(Progress { log: row.get(1)?, moved: row.get(2)? })
        })
        .map_err(error)
}
