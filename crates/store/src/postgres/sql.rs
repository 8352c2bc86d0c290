//! Statements of one transaction, and the values in their rows: what the shared rooms need of PostgreSQL.
//!
//! The rooms are written in the subset of SQL that both backends know. Three things differ and are put right here, once
//! for each text: placeholders, and two hints to SQLite's planner.

use std::collections::HashMap;
use std::error::Error;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::{BufMut as _, BytesMut};
use domain::audit::NewEntry;
use postgres::types::{FromSql, IsNull, ToSql, Type};
use postgres::{Client, Statement};

use super::connection::error;
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
    client: &'connection mut Client,
    prepared: &'connection mut Prepared,
    is_committed: bool,
    vault: Arc<Vault>,
    told: Vec<NewEntry>,
}

/// A row of an answer.
pub(super) struct Row<'answer>(&'answer postgres::Row);

impl<'connection> Statements<'connection> {
    /// Begins a transaction by these words.
    pub(super) fn begin(
        client: &'connection mut Client,
        begin: &str,
        prepared: &'connection mut Prepared,
        vault: Arc<Vault>,
    ) -> Result<Self, StoreError> {
        // From here on it is taken back, also if only a part of the words was done.
        let statements = Self { client, prepared, is_committed: false, vault, told: Vec::new() };
        statements.client.batch_execute(begin).map_err(error)?;
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
        // One that failed is no transaction any more.
        self.is_committed = true;
        self.client.batch_execute("COMMIT").map_err(error)
    }

    fn prepare(&mut self, sql: &'static str) -> Result<Statement, StoreError> {
        let address = (sql.as_ptr().addr(), sql.len());
        if let Some(statement) = self.prepared.by_address.get(&address) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(&translated(sql)).map_err(error)?;
        self.prepared.by_address.insert(address, statement.clone());
        Ok(statement)
    }

    fn query(&mut self, statement: &Statement, values: &[Value]) -> Result<Vec<postgres::Row>, StoreError> {
        self.client.query(statement, &parameters(values)).map_err(error)
    }

    /// Runs the statement of this text; answers how many rows it changed.
    pub(super) fn execute(
        &mut self,
        sql: &'static str,
        values: impl AsRef<[Value]>,
    ) -> Result<usize, StoreError> {
        let statement = self.prepare(sql)?;
        let changed = self.client.execute(&statement, &parameters(values.as_ref())).map_err(error)?;
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    /// Changes the schema. Waits only a moment for those who read: others wait behind it.
    pub(super) fn define(&mut self, sql: &str) -> Result<(), StoreError> {
        self.client.batch_execute(&format!("SET LOCAL lock_timeout = '1s'; {sql}")).map_err(error)
    }

    /// Runs the statement of this text for its first row, if there is one.
    pub(super) fn first<T>(
        &mut self,
        sql: &'static str,
        values: impl AsRef<[Value]>,
        read: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let statement = self.prepare(sql)?;
        self.query(&statement, values.as_ref())?.first().map(|row| read(&Row(row))).transpose()
    }

    /// Runs the statement of this text and reads all rows.
    pub(super) fn collect<T>(
        &mut self,
        sql: &'static str,
        values: impl AsRef<[Value]>,
        mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let statement = self.prepare(sql)?;
        self.query(&statement, values.as_ref())?.iter().map(|row| read(&Row(row))).collect()
    }

    /// The same for a text that was put together.
    pub(super) fn collect_of<T>(
        &mut self,
        sql: &str,
        values: impl AsRef<[Value]>,
        mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        if !self.prepared.by_text.contains_key(sql) {
            let statement = self.client.prepare(&translated(sql)).map_err(error)?;
            self.prepared.by_text.insert(sql.to_owned(), statement);
        }
        let statement = self.prepared.by_text.get(sql).cloned().ok_or(StoreError::Stopped)?;
        self.query(&statement, values.as_ref())?.iter().map(|row| read(&Row(row))).collect()
    }

    /// Runs the statement of this text and shows its rows one by one, until one is enough.
    pub(super) fn walk(
        &mut self,
        sql: &'static str,
        values: impl AsRef<[Value]>,
        mut see: impl FnMut(&Row<'_>) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        let statement = self.prepare(sql)?;
        for row in &self.query(&statement, values.as_ref())? {
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
        if !self.is_committed && !self.client.is_closed() {
            let _ = self.client.batch_execute("ROLLBACK");
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

/// A value on its way into a statement. It goes as what the statement wants there: an id is bytes for us and a `uuid`
/// for PostgreSQL.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Boolean(bool),
    Integer(i64),
    Text(String),
    Blob(Vec<u8>),
    /// Many values for one placeholder: an array.
    Many(Vec<Value>),
}

fn parameters(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

impl ToSql for Value {
    fn to_sql(&self, to: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => return Ok(IsNull::Yes),
            Self::Boolean(flag) => out.put_u8(u8::from(*flag)),
            Self::Integer(number) => match *to {
                Type::INT2 => out.put_i16(i16::try_from(*number)?),
                Type::INT4 => out.put_i32(i32::try_from(*number)?),
                _ => out.put_i64(*number),
            },
            Self::Text(text) => out.put_slice(text.as_bytes()),
            Self::Blob(bytes) => out.put_slice(bytes),
            Self::Many(values) => return values.to_sql(to, out),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    postgres::types::to_sql_checked!();
}

/// What can be a value.
pub(super) trait ToValue {
    fn to_value(&self) -> Value;
}

macro_rules! to_value {
    ($($from:ty: |$it:ident| $value:expr;)+) => {
        $(impl ToValue for $from {
            fn to_value(&self) -> Value {
                let $it = self;
                $value
            }
        })+
    };
}

to_value! {
    bool: |it| Value::Boolean(*it);
    i64: |it| Value::Integer(*it);
    u64: |it| Value::Integer(it.cast_signed());
    u32: |it| Value::Integer((*it).into());
    u16: |it| Value::Integer((*it).into());
    usize: |it| Value::Integer(i64::try_from(*it).unwrap_or(i64::MAX));
    str: |it| Value::Text(it.to_owned());
    String: |it| Value::Text(it.clone());
    [u8; 16]: |it| Value::Blob(it.to_vec());
    [u8; 32]: |it| Value::Blob(it.to_vec());
    Vec<u8>: |it| Value::Blob(it.clone());
    Value: |it| it.clone();
}

impl<T: ToValue + ?Sized> ToValue for &T {
    fn to_value(&self) -> Value {
        (**self).to_value()
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, ToValue::to_value)
    }
}

/// Values for a statement, by position.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$($crate::postgres::sql::ToValue::to_value(&$value)),*] as &[$crate::postgres::sql::Value]
    };
}
pub(super) use params;

/// A column of values for one placeholder, for statements that take many rows at once.
pub(super) fn column<V: ToValue>(values: impl IntoIterator<Item = V>) -> Value {
    Value::Many(values.into_iter().map(|value| value.to_value()).collect())
}

/// Values for a statement that was put together.
pub(super) fn list(values: Vec<Value>) -> Vec<Value> {
    values
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

/// Quotas that have ended, and what somebody looked at and did not draw on. Not those that others draw on at this
/// moment: by the time they are done, there is something in them.
pub(super) const FORGET_QUOTAS: &str = "DELETE FROM quotas WHERE quota IN \
     (SELECT quota FROM quotas WHERE ends_at < ?1 OR value IS NULL LIMIT ?2 FOR UPDATE SKIP LOCKED) \
     AND (ends_at < ?1 OR value IS NULL)";

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
