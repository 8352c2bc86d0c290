//! The one writer: a batch is one transaction.

use std::sync::Arc;

use domain::audit::AuditKeys;
use rusqlite::{Connection, TransactionBehavior};

use super::checkpoint::Checkpointer;
use super::connection::{Lock, error};
use super::sql::Statements;
use super::write;
use crate::StoreError;
use crate::group::{Backend, Batch};

/// Dropped in this order: the checkpointer's connection is the last to close, the lock outlives all writing.
pub(super) struct Writer {
    connection: Connection,
    checkpointer: Checkpointer,
    keys: Arc<AuditKeys>,
    _lock: Option<Lock>,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        checkpointer: Checkpointer,
        keys: Arc<AuditKeys>,
        lock: Option<Lock>,
    ) -> Self {
        Self { connection, checkpointer, keys, _lock: lock }
    }

    fn transact(&mut self, batch: &mut Batch) -> Result<(), StoreError> {
        // Dropping the transaction on an error takes everything back.
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(error)?;
        write::run(&mut Statements::new(&transaction), batch, &self.keys)?;
        transaction.commit().map_err(error)
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
}
