//! Statements of one transaction, and the values in their rows: what the shared rooms need of PostgreSQL.
//!
//! The rooms are written in the subset of SQL that both backends know. Three things differ and are put right here, once
//! for each text: placeholders, and two hints to SQLite's planner.

use std::collections::HashMap;
use std::error::Error;
use std::ops::ControlFlow;
use std::sync::Arc;

use domain::audit::NewEntry;
use tokio_postgres::Statement;
use tokio_postgres::types::{FromSql, Type};

pub(super) use super::values::{Value, column, list, params};

use super::errors::error;
use super::session::{Answer, Session};
use crate::StoreError;
use crate::seal::Vault;

/// Statements of one connection, prepared when they are first needed.
#[derive(Default)]
pub(super) struct Prepared {
    /// By the address of the text, which stands in this program.
    by_address: HashMap<(usize, usize), Statement>,
    /// Those that were put together.
    by_text: HashMap<String, Statement>,
}

/// The statements of one transaction.
pub(super) struct Statements<'connection> {
    session: &'connection mut Session,
    prepared: &'connection mut Prepared,
    is_committed: bool,
    vault: Arc<Vault>,
    told: Vec<NewEntry>,
}

/// A row of an answer.
pub(super) struct Row<'answer>(&'answer tokio_postgres::Row);

impl<'connection> Statements<'connection> {
    /// Begins a transaction by these words, which are sent with the first statement that is waited for.
    pub(super) fn begin(
        session: &'connection mut Session,
        begin: &'static str,
        prepared: &'connection mut Prepared,
        vault: Arc<Vault>,
    ) -> Result<Self, StoreError> {
        let statements = Self { session, prepared, is_committed: false, vault, told: Vec::new() };
        statements.session.send(begin)?;
        Ok(statements)
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

    /// Commits what they did. Without it, it is all taken back.
    pub(super) fn commit(mut self) -> Result<(), StoreError> {
        self.session.send("COMMIT")?;
        // One that failed is no transaction any more.
        self.is_committed = true;
        self.session.wait().map(|_nothing| ())
    }

    fn prepare(&mut self, sql: &'static str) -> Result<Statement, StoreError> {
        let address = (sql.as_ptr().addr(), sql.len());
        if let Some(statement) = self.prepared.by_address.get(&address) {
            return Ok(statement.clone());
        }
        let statement = self.session.prepare(&translated(sql))?;
        self.prepared.by_address.insert(address, statement.clone());
        Ok(statement)
    }

    fn query(&mut self, statement: &Statement, values: &[Value]) -> Result<Answer, StoreError> {
        self.session.ask(statement, values)?;
        self.session.wait()
    }

    /// Sends the statement of this text, and does not wait for it: that it failed is told later, at the commit at the latest.
    pub(super) fn send(&mut self, sql: &'static str, values: impl AsRef<[Value]>) -> Result<(), StoreError> {
        let statement = self.prepare(sql)?;
        self.session.ask(&statement, values.as_ref())
    }

    /// Asks what [`Statements::first`] will be asked by the same text later in this transaction: with these values, and it
    /// need not wait any more.
    pub(super) fn ask_early(
        &mut self,
        sql: &'static str,
        values: impl AsRef<[Value]>,
    ) -> Result<(), StoreError> {
        let statement = self.prepare(sql)?;
        self.session.ask_early(sql, &statement, values.as_ref())
    }

    /// Lets the server begin with what was asked, while this side does something else.
    pub(super) fn flush(&self) {
        self.session.flush();
    }

    /// Runs the statement of this text; answers how many rows it changed.
    pub(super) fn execute(
        &mut self,
        sql: &'static str,
        values: impl AsRef<[Value]>,
    ) -> Result<usize, StoreError> {
        let statement = self.prepare(sql)?;
        self.query(&statement, values.as_ref()).map(|answer| answer.changed)
    }

    /// Changes the schema. Waits only a moment for those who read: others wait behind it.
    pub(super) fn define(&mut self, sql: &str) -> Result<(), StoreError> {
        self.session.send(format!("SET LOCAL lock_timeout = '1s'; {sql}"))?;
        self.session.wait().map(|_nothing| ())
    }

    /// Runs the statement of this text for its first row, if there is one.
    pub(super) fn first<T>(
        &mut self,
        sql: &'static str,
        values: impl AsRef<[Value]>,
        read: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let answer = if let Some(answer) = self.session.take_early(sql)? {
            answer
        } else {
            let statement = self.prepare(sql)?;
            self.query(&statement, values.as_ref())?
        };
        answer.rows.first().map(|row| read(&Row(row))).transpose()
    }

    /// Runs the statement of this text and reads all rows.
    pub(super) fn collect<T>(
        &mut self,
        sql: &'static str,
        values: impl AsRef<[Value]>,
        mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let statement = self.prepare(sql)?;
        let answer = match self.session.take_early(sql)? {
            Some(answer) => answer,
            None => self.query(&statement, values.as_ref())?,
        };
        answer.rows.iter().map(|row| read(&Row(row))).collect()
    }

    /// The same for a text that was put together.
    pub(super) fn collect_of<T>(
        &mut self,
        sql: &str,
        values: impl AsRef<[Value]>,
        mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        if !self.prepared.by_text.contains_key(sql) {
            let statement = self.session.prepare(&translated(sql))?;
            self.prepared.by_text.insert(sql.to_owned(), statement);
        }
        let statement = self.prepared.by_text.get(sql).cloned().ok_or(StoreError::Stopped)?;
        self.query(&statement, values.as_ref())?.rows.iter().map(|row| read(&Row(row))).collect()
    }

    /// Runs the statement of this text and shows its rows one by one, until one is enough.
    pub(super) fn walk(
        &mut self,
        sql: &'static str,
        values: impl AsRef<[Value]>,
        mut see: impl FnMut(&Row<'_>) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        let statement = self.prepare(sql)?;
        for row in &self.query(&statement, values.as_ref())?.rows {
            if see(&Row(row))?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl Drop for Statements<'_> {
    fn drop(&mut self) {
        // Where this does not arrive, the connection is gone, and the transaction with it.
        self.session.forget();
        if !self.is_committed && !self.session.is_closed() {
            let _ = self.session.send("ROLLBACK").and_then(|()| self.session.wait());
        }
    }
}

/// The text as PostgreSQL knows it: its placeholders, and neither an order of tables nor a plus that keeps a column from
/// choosing an index, which are hints to SQLite.
fn translated(sql: &str) -> String {
    let sql = sql.replace('?', "$").replace("CROSS JOIN", "JOIN").replace("+m.caller", "m.caller");
    sql.replace("+caller", "caller")
        .replace(" INDEXED BY attempts_open", "")
        .replace(" INDEXED BY watches_in_doubt", "")
        .replace(" INDEXED BY guard_days", "")
}

/// A value as it came out of a row.
pub(super) struct Raw<'row>(&'row Type, Option<&'row [u8]>);

impl<'row> FromSql<'row> for Raw<'row> {
    fn from_sql(from: &Type, raw: &'row [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        // By a reference of our own: that which comes in does not live long enough.
        Ok(Self(known(from).ok_or("a type that this crate does not use")?, Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(&Type::UNKNOWN, None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

fn known(from: &Type) -> Option<&'static Type> {
    const KNOWN: [&Type; 8] = [
        &Type::INT2,
        &Type::INT4,
        &Type::INT8,
        &Type::BOOL,
        &Type::TEXT,
        &Type::UUID,
        &Type::BYTEA,
        &Type::VARCHAR,
    ];
    KNOWN.into_iter().find(|known| *known == from)
}

/// What a column can be read as.
pub(super) trait Column: Sized {
    fn read(raw: &Raw<'_>) -> Option<Self>;
}

fn integer(raw: &Raw<'_>) -> Option<i64> {
    let bytes = raw.1?;
    match *raw.0 {
        Type::INT2 => Some(i16::from_be_bytes(bytes.try_into().ok()?).into()),
        Type::INT4 => Some(i32::from_be_bytes(bytes.try_into().ok()?).into()),
        Type::INT8 => Some(i64::from_be_bytes(bytes.try_into().ok()?)),
        _ => None,
    }
}

macro_rules! integers {
    ($($number:ty),+) => {
        $(impl Column for $number {
            fn read(raw: &Raw<'_>) -> Option<Self> {
                integer(raw).and_then(|number| number.try_into().ok())
            }
        })+
    };
}

integers!(i64, u64, u32, u16, usize);

impl Column for bool {
    fn read(raw: &Raw<'_>) -> Option<Self> {
        raw.1.filter(|_| *raw.0 == Type::BOOL).map(|bytes| bytes == [1])
    }
}

impl Column for String {
    fn read(raw: &Raw<'_>) -> Option<Self> {
        let is_text = matches!(*raw.0, Type::TEXT | Type::VARCHAR);
        std::str::from_utf8(raw.1.filter(|_| is_text)?).ok().map(str::to_owned)
    }
}

impl Column for Vec<u8> {
    fn read(raw: &Raw<'_>) -> Option<Self> {
        raw.1.filter(|_| matches!(*raw.0, Type::BYTEA | Type::UUID)).map(<[u8]>::to_vec)
    }
}

impl<const N: usize> Column for [u8; N] {
    fn read(raw: &Raw<'_>) -> Option<Self> {
        raw.1.filter(|_| matches!(*raw.0, Type::BYTEA | Type::UUID))?.try_into().ok()
    }
}

impl<T: Column> Column for Option<T> {
    fn read(raw: &Raw<'_>) -> Option<Self> {
        if raw.1.is_none() { Some(None) } else { T::read(raw).map(Some) }
    }
}

/// Callbacks behind one, oldest first.
pub(super) const CALLBACKS_BEHIND: &str = "SELECT id, received_at, provider_message_id, receiver_hash, sealed_raw \
     FROM callbacks WHERE (received_at, id) > (?1, ?2) ORDER BY received_at, id LIMIT ?3";

/// The column by which messages in trouble are found, among `states s`.
pub(super) const TROUBLE: &str = "s.trouble";

pub(super) fn get<T: Column>(row: &Row<'_>, at: usize) -> Result<T, StoreError> {
    let raw: Raw<'_> = row.0.try_get(at).map_err(error)?;
    T::read(&raw).ok_or(StoreError::Corrupt)
}

pub(super) fn text<'row>(row: &'row Row<'_>, at: usize) -> Result<&'row str, StoreError> {
    optional_text(row, at)?.ok_or(StoreError::Corrupt)
}

pub(super) fn optional_text<'row>(row: &'row Row<'_>, at: usize) -> Result<Option<&'row str>, StoreError> {
    row.0.try_get(at).map_err(|_other_type| StoreError::Corrupt)
}
