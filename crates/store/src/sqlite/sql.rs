//! Statements of one transaction or snapshot, and the values in their rows: what the shared rooms need of SQLite.

use std::ops::ControlFlow;
use std::sync::Arc;

use domain::audit::NewEntry;
use rusqlite::{CachedStatement, Connection};

pub(super) use rusqlite::Row;
pub(super) use rusqlite::params;
pub(super) use rusqlite::types::Value;

use super::connection::error;
use super::quotas::Ledger;
use crate::StoreError;
use crate::seal::Vault;

/// Statements, each prepared when it is first needed and kept to the end of the transaction. The connection's own
/// cache hashes the text and clears the values at every use, which took a tenth of the writer's time.
pub(super) struct Statements<'connection> {
    connection: &'connection Connection,
    kept: Vec<(&'static str, CachedStatement<'connection>)>,
    vault: Arc<Vault>,
    told: Vec<NewEntry>,
    ledger: Ledger,
}

impl<'connection> Statements<'connection> {
    pub(super) fn new(connection: &'connection Connection, vault: Arc<Vault>) -> Self {
        Self { connection, kept: Vec::new(), vault, told: Vec::new(), ledger: Ledger::default() }
    }

    /// Goes on with what the writer remembers of quotas, as long as `run` takes.
    pub(super) fn remembering<T>(&mut self, ledger: &mut Ledger, run: impl FnOnce(&mut Self) -> T) -> T {
        std::mem::swap(&mut self.ledger, ledger);
        let answer = run(self);
        std::mem::swap(&mut self.ledger, ledger);
        answer
    }

    /// Statements about what is remembered of quotas.
    pub(super) fn with_ledger<T>(
        &mut self,
        run: impl FnOnce(&mut Self, &mut Ledger) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut ledger = std::mem::take(&mut self.ledger);
        let answer = run(self, &mut ledger);
        self.ledger = ledger;
        answer
    }

    /// What seals and opens.
    pub(super) fn vault(&self) -> Arc<Vault> {
        Arc::clone(&self.vault)
    }

    /// Tells the audit trail what this transaction does: see `write::audit`.
    pub(super) fn tell(&mut self, entry: impl Into<Option<NewEntry>>) {
        self.told.extend(entry.into());
    }

    pub(super) fn take_told(&mut self) -> Vec<NewEntry> {
        std::mem::take(&mut self.told)
    }

    /// The statement of this text. Found by the text's address: one text at two addresses is two statements, which
    /// does no harm.
    fn get(&mut self, sql: &'static str) -> Result<&mut CachedStatement<'connection>, StoreError> {
        let found = self.kept.iter().position(|(text, _)| std::ptr::eq(*text, sql));
        let at = if let Some(at) = found {
            at
        } else {
            self.kept.push((sql, self.connection.prepare_cached(sql).map_err(error)?));
            self.kept.len() - 1
        };
        Ok(&mut self.kept[at].1)
    }

    /// Runs the statement of this text; answers how many rows it changed.
    pub(super) fn execute(
        &mut self,
        sql: &'static str,
        values: impl rusqlite::Params,
    ) -> Result<usize, StoreError> {
        self.get(sql)?.execute(values).map_err(error)
    }

    /// Runs the statement of this text, of which nobody needs an answer. Elsewhere it need not be waited for.
    pub(super) fn send(
        &mut self,
        sql: &'static str,
        values: impl rusqlite::Params,
    ) -> Result<(), StoreError> {
        self.execute(sql, values).map(|_rows| ())
    }

    /// Runs the statement of this text for its first row, if there is one.
    pub(super) fn first<T>(
        &mut self,
        sql: &'static str,
        values: impl rusqlite::Params,
        read: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut rows = self.get(sql)?.query(values).map_err(error)?;
        rows.next().map_err(error)?.map(read).transpose()
    }

    /// Runs the statement of this text and reads all rows.
    pub(super) fn collect<T>(
        &mut self,
        sql: &'static str,
        values: impl rusqlite::Params,
        read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        all(self.get(sql)?, values, read)
    }

    /// The same for a text that was put together.
    pub(super) fn collect_of<T>(
        &mut self,
        sql: &str,
        values: impl rusqlite::Params,
        read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        all(&mut self.connection.prepare_cached(sql).map_err(error)?, values, read)
    }

    /// Runs the statement of this text and shows its rows one by one, until one is enough.
    pub(super) fn walk(
        &mut self,
        sql: &'static str,
        values: impl rusqlite::Params,
        mut see: impl FnMut(&Row<'_>) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        let mut rows = self.get(sql)?.query(values).map_err(error)?;
        while let Some(row) = rows.next().map_err(error)? {
            if see(row)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn all<T>(
    statement: &mut CachedStatement<'_>,
    values: impl rusqlite::Params,
    mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut rows = statement.query(values).map_err(error)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(error)? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// Values for a statement that was put together.
pub(super) fn list(values: Vec<Value>) -> impl rusqlite::Params {
    rusqlite::params_from_iter(values)
}

/// Callbacks behind one, oldest first: numbered as they came.
pub(super) const CALLBACKS_BEHIND: &str = "SELECT id, received_at, provider_message_id, receiver_hash, sealed_raw \
     FROM callbacks WHERE id > ?2 AND ?1 IS NOT NULL ORDER BY id LIMIT ?3";

/// The column by which messages in trouble are found, among `states s`.
pub(super) const TROUBLE: &str = "s.status";

pub(super) fn get<T: rusqlite::types::FromSql>(row: &Row<'_>, at: usize) -> Result<T, StoreError> {
    row.get(at).map_err(error)
}

pub(super) fn text<'row>(row: &'row Row<'_>, at: usize) -> Result<&'row str, StoreError> {
    row.get_ref(at).map_err(error)?.as_str().map_err(|_other_type| StoreError::Corrupt)
}

pub(super) fn optional_text<'row>(row: &'row Row<'_>, at: usize) -> Result<Option<&'row str>, StoreError> {
    row.get_ref(at).map_err(error)?.as_str_or_null().map_err(|_other_type| StoreError::Corrupt)
}
