//! The one writer: a batch is one transaction.

use std::sync::Arc;

use rusqlite::Connection;

use super::checkpoint::Checkpointer;
use super::connection::{self, Lock};
use super::quotas::{self, Ledger};
use super::{data_keys, write};
use crate::StoreError;
use crate::group::{Backend, Batch};
use crate::seal::Keyring;

/// Dropped in this order: the checkpointer's connection is the last to close, the lock outlives all writing.
pub(super) struct Writer {
    connection: Connection,
    keyring: Arc<Keyring>,
    checkpointer: Checkpointer,
    ledger: Ledger,
    _lock: Option<Lock>,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        keyring: Arc<Keyring>,
        checkpointer: Checkpointer,
        lock: Option<Lock>,
    ) -> Self {
        Self { connection, keyring, checkpointer, ledger: Ledger::default(), _lock: lock }
    }

    fn transact(&mut self, batch: &mut Batch) -> Result<(), StoreError> {
        let ledger = &mut self.ledger;
        let result = connection::transact(&mut self.connection, self.keyring.vault(), |statements| {
            statements.remembering(ledger, |statements| {
                write::run(statements, batch)?;
                quotas::end(statements)
            })
        });
        match &result {
            Ok(()) => self.ledger.committed(),
            Err(_) => self.ledger.taken_back(),
        }
        result
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
