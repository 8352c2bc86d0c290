//! A writer: a batch is a transaction or two, and one more for what people say.
//!
//! Many writers, of this node and of others, write at the same time. What happens all day is done for many rows with one
//! statement each ([`hot`]), side by side with other writers, under a lock that all of them share. What is left of a
//! batch, which is rare, is done row by row by the same code as for SQLite; it was written for one writer, and so it
//! runs alone: under the same lock, taken for itself.

use std::sync::Arc;

use super::connection::{Address, Connection};
use super::sql::Statements;
use super::{data_keys, history, hot, write};
use crate::StoreError;
use crate::group::{Backend, Batch};
use crate::port::history::{Forgotten, KeepHistory};
use crate::seal::Keyring;

/// How a transaction begins: with the lock that all writers share, or one has for itself, to the end of a transaction: "Tuma" in ASCII, and a two.
const SIDE_BY_SIDE: &str = "BEGIN READ WRITE; SELECT pg_advisory_xact_lock_shared(1416981601, 2)";
const ALONE: &str = "BEGIN READ WRITE; SELECT pg_advisory_xact_lock(1416981601, 2)";

/// The same to the end of the session, for whoever must be alone in the database over many transactions.
pub(super) const ALONE_FOR_THE_SESSION: &str = "SELECT pg_advisory_lock(1416981601, 2)";

/// How often a transaction is run again that got into another's way.
const TRIES: usize = 8;

/// A connection that writes, made anew when it is lost.
pub(super) struct Writer {
    address: Address,
    keyring: Arc<Keyring>,
    connection: Option<Connection>,
}

impl Writer {
    pub(super) fn new(address: Address, keyring: Arc<Keyring>) -> Self {
        Self { address, keyring, connection: None }
    }

    /// Runs one transaction, again if it got into another's way.
    fn transact(
        &mut self,
        begin: &'static str,
        mut run: impl FnMut(&mut Statements<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        for _ in 1..TRIES {
            match self.once(begin, &mut run) {
                Err(StoreError::Conflict) => {}
                result => return result,
            }
        }
        self.once(begin, &mut run)
    }

    fn once(
        &mut self,
        begin: &'static str,
        run: &mut impl FnMut(&mut Statements<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let connection = match self.connection.take().filter(|connection| !connection.is_closed()) {
            Some(connection) => self.connection.insert(connection),
            None => self.connection.insert(self.address.connect()?),
        };
        connection.transact(begin, self.keyring.vault(), |statements| run(statements))
    }
}

impl Writer {
    /// Changes the schema, one transaction for each change. Whoever waits for it waits for nothing else: that it is made
    /// impossible by a reader must not take anything back.
    fn keep_history(&mut self, keep: &KeepHistory) -> Result<Forgotten, StoreError> {
        let (mut changes, mut messages) = (Vec::new(), 0);
        self.transact(ALONE, |statements| {
            (changes, messages) = history::plan(statements, keep)?;
            Ok(())
        })?;
        for change in &changes {
            self.transact(ALONE, |statements| change.make(statements))?;
        }
        let mut replies = Forgotten::default();
        self.transact(SIDE_BY_SIDE, |statements| {
            replies = write::history::forget_replies(statements, keep)?;
            Ok(())
        })?;
        Ok(Forgotten { messages, ..replies })
    }
}

impl Backend for Writer {
    fn commit(&mut self, batch: &mut Batch) -> Result<(), StoreError> {
        for pending in std::mem::take(&mut batch.histories) {
            let result = self.keep_history(&pending.question);
            pending.answer_with(result);
        }
        // First, as in a transaction that does it all: what is accepted after an opt-out knows of it.
        while hot::talk::has_work(batch) {
            let done = self.transact(SIDE_BY_SIDE, |statements| {
                batch.clear_answers();
                hot::talk::run(statements, batch)
            });
            if done.is_err() {
                batch.clear_answers();
                return done;
            }
            batch.settle_answered();
        }
        if batch.is_empty() {
            return Ok(());
        }
        if hot::has_work(batch) {
            let done = self.transact(SIDE_BY_SIDE, |statements| {
                // Of an earlier try, which was taken back.
                batch.clear_answers();
                hot::run(statements, batch)
            });
            if done.is_err() {
                batch.clear_answers();
                return done;
            }
            batch.settle_answered();
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.transact(ALONE, |statements| write::run(statements, batch))
    }

    fn renew_keys(&mut self) -> Result<(), StoreError> {
        let mut kept = Vec::new();
        self.transact("BEGIN READ ONLY", |statements| {
            kept = data_keys::kept(statements)?;
            Ok(())
        })?;
        self.keyring.renew(&kept)
    }
}
