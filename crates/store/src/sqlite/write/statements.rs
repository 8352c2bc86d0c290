//! The statements of one transaction.

use rusqlite::{CachedStatement, Connection, OptionalExtension, Params, Row};

use crate::StoreError;
use crate::sqlite::connection::error;

/// Statements, each prepared when it is first needed and kept to the end of the transaction. The connection's own
/// cache hashes the text and clears the values at every use, which took a tenth of the writer's time.
pub(super) struct Statements<'connection> {
    connection: &'connection Connection,
    kept: Vec<(&'static str, CachedStatement<'connection>)>,
}

impl<'connection> Statements<'connection> {
    pub(super) fn new(connection: &'connection Connection) -> Self {
        Self { connection, kept: Vec::new() }
    }

    /// The statement of this text. Found by the text's address: one text at two addresses is two statements, which
    /// does no harm.
    pub(super) fn get(&mut self, sql: &'static str) -> Result<&mut CachedStatement<'connection>, StoreError> {
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
    pub(super) fn execute(&mut self, sql: &'static str, values: impl Params) -> Result<usize, StoreError> {
        self.get(sql)?.execute(values).map_err(error)
    }

    /// Runs the statement of this text for its first row, if there is one.
    pub(super) fn first<T>(
        &mut self,
        sql: &'static str,
        values: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        self.get(sql)?.query_row(values, read).optional().map_err(error)
    }
}
