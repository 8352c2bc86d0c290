//! The one writer: a batch is one transaction.

use std::sync::Arc;

use rusqlite::Connection;

use super::checkpoint::Checkpointer;
use super::connection::{self, Lock};
use super::{data_keys, write};
use crate::StoreError;
use crate::group::{Backend, Batch};
use crate::seal::Keyring;

/// Dropped in this order: the checkpointer's connection is the last to close, the lock outlives all writing.
pub(super) struct Writer {
    connection: Connection,
    keyring: Arc<Keyring>,
    checkpointer: Checkpointer,
    _lock: Option<Lock>,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        keyring: Arc<Keyring>,
        checkpointer: Checkpointer,
        lock: Option<Lock>,
    ) -> Self {
        Self { connection, keyring, checkpointer, _lock: lock }
    }

    fn transact(&mut self, batch: &mut Batch) -> Result<(), StoreError> {
        connection::transact(&mut self.connection, self.keyring.vault(), |statements| {
            write::run(statements, batch)
        })
    }
}

impl Backend for Writer {
    fn commit(&mut self, batch: &mut Batch) -> Result<(), StoreError> {
        let result = self.transact(batch);
        match &result {
            Ok(()) => self.checkpointer.wrote(batch.written()),
            // A log that is in the database is used again from its beginning: there may be room in it.
            Err(StoreError::Full | StoreError::Io(_)) => _ = self.checkpointer.wake(),
            Err(_) => {}
        }
        result
    }

    fn renew_keys(&mut self) -> Result<(), StoreError> {
        let kept = connection::transact(&mut self.connection, self.keyring.vault(), data_keys::kept)?;
        self.keyring.renew(&kept)
    }
}
