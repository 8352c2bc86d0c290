//! A PostgreSQL database as one side of a move.

use std::ops::ControlFlow;

use postgres::Client;
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::fallible_iterator::FallibleIterator as _;
use postgres::types::Type;

use super::connection::Address;
use super::errors::error;
use super::sql::{self, Column as _, Raw};
use super::{migrate, writer};
use crate::StoreError;
use crate::side::{FORGET_KEYS, FORGET_MARKS, LIVE_NODES, MARKS, Marks, SET_MARK, Side};
use crate::tables::{Kind, Row, Table, Value};

/// A move takes its time, and sorts large tables.
const SESSION: &str =
    "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET work_mem = '64MB'";

/// The rows of one moment, and nothing is written.
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// SQLite compares texts so, and a database here may have any order.
const BYTEWISE: &str = " COLLATE \"C\"";

pub(crate) struct PostgresSide {
    client: Client,
    name: String,
}

impl PostgresSide {
    /// A database to read. Nobody writes to it before this is dropped.
    pub(crate) fn source(url: &str) -> Result<Self, StoreError> {
        let mut side = Self::open(url)?;
        side.schema(false)?;
        side.client.batch_execute(SNAPSHOT).map_err(error)?;
        Ok(side)
    }

    /// A database to write to.
    pub(crate) fn target(url: &str) -> Result<Self, StoreError> {
        Self::open(url)
    }

    fn open(url: &str) -> Result<Self, StoreError> {
        let address = Address::parse(url)?;
        let mut client = address.client()?;
        client.batch_execute(SESSION).map_err(error)?;
        // Before the snapshot is taken, so that it shows what others wrote who had the lock.
        match client.batch_execute(writer::ALONE_FOR_THE_SESSION).map_err(error) {
            Err(StoreError::Overloaded) => return Err(StoreError::Locked),
            locked => locked?,
        }
        Ok(Self { client, name: address.name() })
    }

    fn number(&mut self, sql: &str) -> Result<u64, StoreError> {
        let row = self.client.query_one(sql, &[]).map_err(error)?;
        Ok(row.try_get::<_, i64>(0).map_err(error)?.cast_unsigned())
    }

    fn has_table(&mut self, name: &str) -> Result<bool, StoreError> {
        let row = self.client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&name]);
        row.and_then(|row| row.try_get(0)).map_err(error)
    }
}

impl Side for PostgresSide {
    fn name(&self) -> &str {
        &self.name
    }

    fn schema(&mut self, migrate: bool) -> Result<(), StoreError> {
        migrate::run(&mut self.client, migrate)
    }

    fn live_nodes(&mut self, since: i64) -> Result<u64, StoreError> {
        if !self.has_table("nodes")? {
            return Ok(0);
        }
        let row = self.client.query_one(LIVE_NODES, &[&since]);
        Ok(row.and_then(|row| row.try_get::<_, i64>(0)).map_err(error)?.cast_unsigned())
    }

    fn has_rows(&mut self, table: &Table) -> Result<bool, StoreError> {
        Ok(self.has_table(table.name)? && self.number(&table.any())? > 0)
    }

    fn forget_keys(&mut self) -> Result<(), StoreError> {
        self.client.batch_execute(FORGET_KEYS).map_err(error)
    }

    fn count(&mut self, table: &Table) -> Result<u64, StoreError> {
        self.number(&table.count())
    }

    fn walk(
        &mut self,
        table: &Table,
        behind: Option<&[Value]>,
        see: &mut dyn FnMut(Row) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let sql = table.select(behind.is_some(), BYTEWISE);
        let key: Vec<_> = behind.unwrap_or_default().iter().cloned().map(native).collect();
        let mut rows = self.client.query_raw(&sql, key).map_err(error)?;
        while let Some(row) = rows.next().map_err(error)? {
            let values = table.columns.iter().enumerate().map(|(at, column)| value(&row, at, column.kind));
            if see(values.collect::<Result<_, _>>()?).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// By `COPY`, which takes the numbers of an identity as they come and costs a fraction of inserting.
    fn write(&mut self, table: &Table, rows: Vec<Row>, chore: &str, mark: &[u8]) -> Result<(), StoreError> {
        let mut transaction = self.client.transaction().map_err(error)?;
        let copy = format!("COPY {} ({}) FROM STDIN BINARY", table.name, table.names());
        let types: Vec<_> = table.columns.iter().map(|column| type_of(column.kind)).collect();
        let mut copied = BinaryCopyInWriter::new(transaction.copy_in(&copy).map_err(error)?, &types);
        for row in rows {
            copied.write_raw(row.into_iter().map(native)).map_err(error)?;
        }
        copied.finish().map_err(error)?;
        transaction.execute(SET_MARK, &[&chore, &mark]).map_err(error)?;
        transaction.commit().map_err(error)
    }

    fn marks(&mut self) -> Result<Marks, StoreError> {
        if !self.has_table("progress")? {
            return Ok(Marks::new());
        }
        let rows = self.client.query(MARKS, &[]).map_err(error)?;
        let mark = |row: &postgres::Row| Ok((row.try_get(0)?, row.try_get(1)?));
        rows.iter().map(mark).collect::<Result<_, _>>().map_err(error)
    }

    fn set_marks(&mut self, marks: &Marks) -> Result<(), StoreError> {
        let mut transaction = self.client.transaction().map_err(error)?;
        transaction.execute(FORGET_MARKS, &[]).map_err(error)?;
        for (chore, mark) in marks {
            transaction.execute(SET_MARK, &[chore, mark]).map_err(error)?;
        }
        transaction.commit().map_err(error)
    }

    /// The next number of an identity, which does not follow from the rows; and what the planner knows of the table.
    fn settle(&mut self, table: &Table) -> Result<(), StoreError> {
        let (name, client) = (table.name, &mut self.client);
        if let [only] = table.key()
            && only.kind == Kind::Big
        {
            // Without a sequence, or without rows, nothing happens.
            let column = only.name;
            let sql = format!(
                "SELECT setval(pg_get_serial_sequence('{name}', '{column}'), (SELECT max({column}) FROM {name}))"
            );
            client.batch_execute(&sql).map_err(error)?;
        }
        client.batch_execute(&format!("ANALYZE {name}")).map_err(error)
    }
}

fn type_of(kind: Kind) -> Type {
    match kind {
        Kind::Small => Type::INT2,
        Kind::Int => Type::INT4,
        Kind::Big => Type::INT8,
        Kind::Text => Type::TEXT,
        Kind::Id => Type::UUID,
        Kind::Bytes => Type::BYTEA,
    }
}

fn native(value: Value) -> sql::Value {
    match value {
        Value::Null => sql::Value::Null,
        Value::Integer(number) => sql::Value::Integer(number),
        Value::Text(text) => sql::Value::Text(text),
        Value::Bytes(bytes) => sql::Value::Blob(bytes),
    }
}

fn value(row: &postgres::Row, at: usize, kind: Kind) -> Result<Value, StoreError> {
    let raw: Raw<'_> = row.try_get(at).map_err(error)?;
    let value = match kind {
        Kind::Small | Kind::Int | Kind::Big => Option::read(&raw).map(|number| number.map(Value::Integer)),
        Kind::Text => Option::read(&raw).map(|text| text.map(Value::Text)),
        Kind::Id | Kind::Bytes => Option::read(&raw).map(|bytes| bytes.map(Value::Bytes)),
    };
    Ok(value.ok_or(StoreError::Corrupt)?.unwrap_or(Value::Null))
}

#[cfg(test)]
mod tests {
    use postgres::{Client, NoTls};

    use super::*;
    use crate::tables::{NOT_CARRIED, TABLES};

    /// The columns of all tables that a migrated database has, by their types. A partition has those of its table.
    const COLUMNS: &str = "SELECT c.relname::text, a.attname::text, t.typname::text \
         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type t ON t.oid = a.atttypid \
         WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = current_schema()::regnamespace \
         AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''";

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test's own environment")]
    fn every_table_and_column_of_the_schema_is_carried() {
        let Ok(server) = std::env::var("TUMA_TEST_POSTGRES") else {
            panic!("run `cargo xtask test`, which starts a PostgreSQL server for the tests");
        };
        let name = format!("tuma_{}", uuid::Uuid::new_v4().simple());
        let mut admin = Client::connect(&format!("{server}/postgres"), NoTls).unwrap();
        admin.batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
        let found = columns(&format!("{server}/{name}"));
        admin.batch_execute(&format!("DROP DATABASE {name}")).unwrap();
        let described = TABLES.iter().flat_map(|table| {
            table.columns.iter().map(|column| {
                let kind = type_of(column.kind).name().to_owned();
                (table.name.to_owned(), column.name.to_owned(), kind)
            })
        });
        let mut described: Vec<_> = described.collect();
        described.sort();
        assert_eq!(described, found, "describe it in tables.rs, so that tuma move carries it");
    }

    fn columns(url: &str) -> Vec<(String, String, String)> {
        let mut side = PostgresSide::target(url).unwrap();
        side.schema(true).unwrap();
        let rows = side.client.query(COLUMNS, &[]).unwrap();
        let columns = rows.iter().map(|row| (row.get(0), row.get(1), row.get(2)));
        let mut columns: Vec<(String, String, String)> =
            columns.filter(|(table, ..): &(String, _, _)| !NOT_CARRIED.contains(&table.as_str())).collect();
        columns.sort();
        columns
    }
}
