//! A file as one side of a move.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::types::Value as Native;
use rusqlite::{Connection, TransactionBehavior, params, params_from_iter};

use super::connection::{self, Lock, error};
use super::{migrate, quotas};
use crate::StoreError;
use crate::seal::Vault;
use crate::side::{FORGET_KEYS, FORGET_MARKS, LIVE_NODES, MARKS, Marks, SET_MARK, Side};
use crate::tables::{Kind, Row, Table, Value};

/// Pages in the log after which SQLite moves them into the database by itself: its own default. Nobody waits for this
/// writer.
const CHECKPOINT_PAGES: u32 = 1_000;

/// Dropped in this order: the lock outlives the connection.
pub(crate) struct SqliteSide {
    connection: Connection,
    _lock: Lock,
    name: String,
}

impl SqliteSide {
    /// A file to read. Nobody writes to it before this is dropped.
    pub(crate) fn source(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            return Err(StoreError::Missing);
        }
        let mut side = Self::open(path)?;
        side.schema(false)?;
        let closed = Arc::new(Vault::closed());
        connection::transact(&mut side.connection, closed, quotas::bring_all)?;
        // Tools that work beside a server take no lock file: this keeps them from writing.
        side.connection.execute_batch("BEGIN IMMEDIATE").map_err(error)?;
        Ok(side)
    }

    /// A file to write to, which is made if it is not there.
    pub(crate) fn target(path: &Path) -> Result<Self, StoreError> {
        Self::open(path)
    }

    fn open(path: &Path) -> Result<Self, StoreError> {
        let lock = Lock::take(path)?;
        let connection = connection::open_writer(path)?;
        // People may go on from another folder.
        let path = path.canonicalize().unwrap_or_else(|_gone| PathBuf::from(path));
        Ok(Self { connection, _lock: lock, name: format!("sqlite:{}", path.display()) })
    }

    fn number(&self, sql: &str, values: impl rusqlite::Params) -> Result<u64, StoreError> {
        self.connection.query_row(sql, values, |row| row.get(0)).map_err(error)
    }

    fn has_table(&self, name: &str) -> Result<bool, StoreError> {
        let tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = $1";
        Ok(self.number(tables, params![name])? > 0)
    }
}

impl Side for SqliteSide {
    fn name(&self) -> &str {
        &self.name
    }

    fn schema(&mut self, migrate: bool) -> Result<(), StoreError> {
        migrate::check(&self.connection, migrate)?;
        if migrate {
            connection::prepare_writer(&self.connection)?;
            self.connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES).map_err(error)?;
            migrate::run(&mut self.connection)?;
        }
        Ok(())
    }

    fn live_nodes(&mut self, since: i64) -> Result<u64, StoreError> {
        if self.has_table("nodes")? { self.number(LIVE_NODES, params![since]) } else { Ok(0) }
    }

    fn has_rows(&mut self, table: &Table) -> Result<bool, StoreError> {
        Ok(self.has_table(table.name)? && self.number(&table.any(), [])? > 0)
    }

    fn forget_keys(&mut self) -> Result<(), StoreError> {
        self.connection.execute_batch(FORGET_KEYS).map_err(error)
    }

    fn count(&mut self, table: &Table) -> Result<u64, StoreError> {
        self.number(&table.count(), [])
    }

    fn walk(
        &mut self,
        table: &Table,
        behind: Option<&[Value]>,
        see: &mut dyn FnMut(Row) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let sql = table.select(behind.is_some(), "");
        let mut statement = self.connection.prepare(&sql).map_err(error)?;
        let key = behind.unwrap_or_default().iter().cloned().map(native);
        let mut rows = statement.query(params_from_iter(key)).map_err(error)?;
        while let Some(row) = rows.next().map_err(error)? {
            let values = table.columns.iter().enumerate().map(|(at, column)| value(row, at, column.kind));
            if see(values.collect::<Result<_, _>>()?).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn write(&mut self, table: &Table, rows: Vec<Row>, chore: &str, mark: &[u8]) -> Result<(), StoreError> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(error)?;
        let places: Vec<_> = (1..=table.columns.len()).map(|place| format!("${place}")).collect();
        let sql = format!("INSERT INTO {} ({}) VALUES ({})", table.name, table.names(), places.join(", "));
        let mut insert = transaction.prepare(&sql).map_err(error)?;
        for row in rows {
            insert.execute(params_from_iter(row.into_iter().map(native))).map_err(error)?;
        }
        drop(insert);
        transaction.execute(SET_MARK, params![chore, mark]).map_err(error)?;
        transaction.commit().map_err(error)
    }

    fn marks(&mut self) -> Result<Marks, StoreError> {
        if !self.has_table("progress")? {
            return Ok(Marks::new());
        }
        let mut statement = self.connection.prepare(MARKS).map_err(error)?;
        let marks = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(error)?;
        marks.collect::<Result<_, _>>().map_err(error)
    }

    fn set_marks(&mut self, marks: &Marks) -> Result<(), StoreError> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(error)?;
        transaction.execute(FORGET_MARKS, []).map_err(error)?;
        for (chore, mark) in marks {
            transaction.execute(SET_MARK, params![chore, mark]).map_err(error)?;
        }
        transaction.commit().map_err(error)
    }

    /// Nothing: the next number of a row follows from the highest there is, and our statements are made for a planner
    /// without statistics.
    fn settle(&mut self, _table: &Table) -> Result<(), StoreError> {
        Ok(())
    }
}

fn native(value: Value) -> Native {
    match value {
        Value::Null => Native::Null,
        Value::Integer(number) => Native::Integer(number),
        Value::Text(text) => Native::Text(text),
        Value::Bytes(bytes) => Native::Blob(bytes),
    }
}

fn value(row: &rusqlite::Row<'_>, at: usize, kind: Kind) -> Result<Value, StoreError> {
    let value = match kind {
        Kind::Small | Kind::Int | Kind::Big => {
            row.get::<_, Option<i64>>(at).map_err(error)?.map(Value::Integer)
        }
        Kind::Text => row.get::<_, Option<String>>(at).map_err(error)?.map(Value::Text),
        Kind::Id | Kind::Bytes => row.get::<_, Option<Vec<u8>>>(at).map_err(error)?.map(Value::Bytes),
    };
    Ok(value.unwrap_or(Value::Null))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::{NOT_CARRIED, TABLES};

    /// The columns of all tables that a migrated file has, as SQLite describes them, in the order of their names.
    const COLUMNS: &str = "SELECT t.name, c.name, c.type FROM sqlite_schema t JOIN pragma_table_info(t.name) c \
         WHERE t.type = 'table' ORDER BY 1, 2";

    #[test]
    fn every_table_and_column_of_the_schema_is_carried() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate::run(&mut connection).unwrap();
        let mut statement = connection.prepare(COLUMNS).unwrap();
        let found = statement.query_map([], |row| <(String, String, String)>::try_from(row)).unwrap();
        let found: Vec<_> =
            found.map(Result::unwrap).filter(|(table, ..)| !NOT_CARRIED.contains(&table.as_str())).collect();
        let kind = |kind| match kind {
            Kind::Small | Kind::Int | Kind::Big => "INTEGER",
            Kind::Text => "TEXT",
            Kind::Id | Kind::Bytes => "BLOB",
        };
        let described = TABLES.iter().flat_map(|table| {
            let column = |column: &crate::tables::Column| {
                (table.name.to_owned(), column.name.to_owned(), kind(column.kind).to_owned())
            };
            table.columns.iter().map(column).collect::<Vec<_>>()
        });
        let mut described: Vec<_> = described.collect();
        described.sort();
        assert_eq!(described, found, "describe it in tables.rs, so that tuma move carries it");
    }

    #[test]
    fn rows_are_read_in_the_order_of_an_index() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate::run(&mut connection).unwrap();
        for table in TABLES {
            let sql = format!("EXPLAIN QUERY PLAN {}", table.select(true, ""));
            let mut explain = connection.prepare(&sql).unwrap();
            let plan: Vec<String> =
                explain.raw_query().mapped(|row| row.get("detail")).collect::<Result<_, _>>().unwrap();
            assert!(plan.len() == 1 && plan[0].starts_with("SEARCH"), "{}: {plan:?}", table.name);
        }
    }
}
