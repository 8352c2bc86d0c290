//! Moving the write-ahead log into the database, on a thread and a connection of its own.
//!
//! Left to the writer, a checkpoint stalls it for 0.2 to 0.3 s every few thousand commits. Beside it, small and
//! often, it costs the writer little. A passive checkpoint never waits for the writer, but under steady load it
//! never reaches the end of the log either, and only a log that was moved whole is used again from its
//! beginning. So a log that has grown long is ended by a restarting checkpoint right after a passive one, when
//! little is left to move while the writer waits.

use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::connection::{self, error};
use crate::StoreError;

/// Rows written after which a checkpoint is due.
const ROWS: usize = 4_096;

/// Pages in the log (4 KiB each) after which the writer is made to wait for its end.
const LONG_LOG: i64 = 8_192;

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

    pub(super) fn wrote(&mut self, rows: usize) {
        self.rows += rows;
        if self.rows >= ROWS
            && let Some(due) = &self.due
            && !matches!(due.try_send(()), Err(TrySendError::Full(())))
        {
            self.rows = 0;
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        drop(self.due.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn run(connection: &Connection) -> Result<(), StoreError> {
    let log = checkpoint(connection, "PASSIVE")?;
    if log > LONG_LOG {
        checkpoint(connection, "RESTART")?;
    }
    Ok(())
}

/// Runs a checkpoint; answers how many pages the log has.
fn checkpoint(connection: &Connection, mode: &str) -> Result<i64, StoreError> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get(1)).map_err(error)
}
