//! Values on their way into a statement.
//!
//! They go as what the statement wants there: an id is bytes for us and a `uuid` for PostgreSQL. A column of many rows is one
//! run of bytes: a text of its own for each cell took a tenth of the time of an accept.

use std::error::Error;
use std::sync::Arc;

use bytes::{BufMut as _, BytesMut};
use postgres::types::{IsNull, ToSql, Type};

/// A value for one placeholder. Cheap to clone where it is large.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Boolean(bool),
    Integer(i64),
    Text(String),
    Blob(Vec<u8>),
    /// Many values: an array.
    Many(Arc<Column>),
}

/// Many values for one placeholder.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Column {
    cells: Vec<Cell>,
    /// Of all cells that are texts or bytes, one after the other.
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Cell {
    Null,
    Boolean(bool),
    Integer(i64),
    /// So many of the column's bytes.
    Bytes(usize),
}

/// One value, wherever it is kept.
#[derive(Debug)]
enum Scalar<'value> {
    Null,
    Boolean(bool),
    Integer(i64),
    Bytes(&'value [u8]),
}

impl Column {
    fn push_bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.cells.push(Cell::Bytes(bytes.len()));
    }

    fn scalars(&self) -> Vec<Scalar<'_>> {
        let mut rest = self.bytes.as_slice();
        let scalar = |cell: &Cell| match *cell {
            Cell::Null => Scalar::Null,
            Cell::Boolean(flag) => Scalar::Boolean(flag),
            Cell::Integer(number) => Scalar::Integer(number),
            Cell::Bytes(length) => {
                let (bytes, behind) = rest.split_at_checked(length).unwrap_or((rest, &[]));
                rest = behind;
                Scalar::Bytes(bytes)
            }
        };
        self.cells.iter().map(scalar).collect()
    }
}

impl ToSql for Scalar<'_> {
    fn to_sql(&self, to: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => return Ok(IsNull::Yes),
            Self::Boolean(flag) => out.put_u8(u8::from(*flag)),
            Self::Integer(number) => match *to {
                Type::INT2 => out.put_i16(i16::try_from(*number)?),
                Type::INT4 => out.put_i32(i32::try_from(*number)?),
                _ => out.put_i64(*number),
            },
            Self::Bytes(bytes) => out.put_slice(bytes),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    postgres::types::to_sql_checked!();
}

impl ToSql for Value {
    fn to_sql(&self, to: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let scalar = match self {
            Self::Null => Scalar::Null,
            Self::Boolean(flag) => Scalar::Boolean(*flag),
            Self::Integer(number) => Scalar::Integer(*number),
            Self::Text(text) => Scalar::Bytes(text.as_bytes()),
            Self::Blob(bytes) => Scalar::Bytes(bytes),
            Self::Many(column) => return column.scalars().to_sql(to, out),
        };
        scalar.to_sql(to, out)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    postgres::types::to_sql_checked!();
}

/// What can be a value, or a cell of a column.
pub(super) trait ToValue {
    fn to_value(&self) -> Value;

    fn push_to(&self, column: &mut Column);
}

macro_rules! numbers {
    ($($from:ty: |$it:ident| $number:expr;)+) => {
        $(impl ToValue for $from {
            fn to_value(&self) -> Value {
                let $it = *self;
                Value::Integer($number)
            }

            fn push_to(&self, column: &mut Column) {
                let $it = *self;
                column.cells.push(Cell::Integer($number));
            }
        })+
    };
}

numbers! {
    i64: |it| it;
    u64: |it| it.cast_signed();
    u32: |it| it.into();
    u16: |it| it.into();
    usize: |it| i64::try_from(it).unwrap_or(i64::MAX);
}

macro_rules! runs_of_bytes {
    ($($from:ty: |$it:ident| $value:expr, $bytes:expr;)+) => {
        $(impl ToValue for $from {
            fn to_value(&self) -> Value {
                let $it = self;
                $value
            }

            fn push_to(&self, column: &mut Column) {
                let $it = self;
                column.push_bytes($bytes);
            }
        })+
    };
}

runs_of_bytes! {
    str: |it| Value::Text(it.to_owned()), it.as_bytes();
    String: |it| Value::Text(it.clone()), it.as_bytes();
    [u8; 16]: |it| Value::Blob(it.to_vec()), it;
    [u8; 32]: |it| Value::Blob(it.to_vec()), it;
    Vec<u8>: |it| Value::Blob(it.clone()), it;
}

impl ToValue for bool {
    fn to_value(&self) -> Value {
        Value::Boolean(*self)
    }

    fn push_to(&self, column: &mut Column) {
        column.cells.push(Cell::Boolean(*self));
    }
}

impl ToValue for Value {
    fn to_value(&self) -> Value {
        self.clone()
    }

    fn push_to(&self, column: &mut Column) {
        match self {
            // An array has no arrays for cells.
            Self::Null | Self::Many(_) => column.cells.push(Cell::Null),
            Self::Boolean(flag) => column.cells.push(Cell::Boolean(*flag)),
            Self::Integer(number) => column.cells.push(Cell::Integer(*number)),
            Self::Text(text) => column.push_bytes(text.as_bytes()),
            Self::Blob(bytes) => column.push_bytes(bytes),
        }
    }
}

impl<T: ToValue + ?Sized> ToValue for &T {
    fn to_value(&self) -> Value {
        (**self).to_value()
    }

    fn push_to(&self, column: &mut Column) {
        (**self).push_to(column);
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, ToValue::to_value)
    }

    fn push_to(&self, column: &mut Column) {
        match self {
            Some(value) => value.push_to(column),
            None => column.cells.push(Cell::Null),
        }
    }
}

/// Values for a statement, by position.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$($crate::postgres::values::ToValue::to_value(&$value)),*] as &[$crate::postgres::values::Value]
    };
}
pub(super) use params;

/// A column of values for one placeholder, for statements that take many rows at once.
pub(super) fn column<V: ToValue>(values: impl IntoIterator<Item = V>) -> Value {
    let mut column = Column::default();
    for value in values {
        value.push_to(&mut column);
    }
    Value::Many(Arc::new(column))
}

/// Values for a statement that was put together.
pub(super) fn list(values: Vec<Value>) -> Vec<Value> {
    values
}
