//! What a table holds, as one number: SHA-256 over its rows in the order of their keys, from the values as this program
//! reads them. So it does not depend on how a backend keeps them.

use std::fmt;
use std::ops::ControlFlow;

use sha2::{Digest as _, Sha256};

use super::TransferError;
use super::steps::{Stage, Steps};
use crate::StoreError;
use crate::side::Side;
use crate::tables::{Row, TABLES, Table};

/// Rows after which whoever watches is told.
const TELL_AFTER: u64 = 1_024;

/// How many rows a table has, and their hash.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest {
    /// Rows.
    pub rows: u64,
    /// SHA-256.
    pub hash: [u8; 32],
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows, {self}", self.rows)
    }
}

/// The first half of the hash, in hexadecimal digits: enough to compare.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.hash.iter().take(16).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A digest under way.
struct Hashing {
    rows: u64,
    hash: Sha256,
    bytes: Vec<u8>,
}

impl Hashing {
    /// Another table, or another list of columns, is another hash, also without rows.
    fn new(table: &Table) -> Self {
        let hash = Sha256::new().chain_update(table.name).chain_update("\0").chain_update(table.names());
        Self { rows: 0, hash, bytes: Vec::new() }
    }

    fn add(&mut self, row: &Row) {
        self.bytes.clear();
        for value in row {
            value.write(&mut self.bytes);
        }
        self.hash.update(&self.bytes);
        self.rows += 1;
    }

    fn end(self) -> Digest {
        Digest { rows: self.rows, hash: self.hash.finalize().into() }
    }
}

/// Reads one side whole. Of the source it is also asked whether every value can be carried: better known before
/// anything is written.
pub(super) fn all(
    side: &mut dyn Side,
    stage: Stage,
    steps: &mut Steps,
    is_source: bool,
) -> Result<Vec<Digest>, TransferError> {
    let failed = if is_source { TransferError::Source } else { TransferError::Target };
    let rows: Vec<u64> =
        TABLES.iter().map(|table| side.count(table)).collect::<Result<_, _>>().map_err(failed)?;
    steps.begin(stage, 0, rows.iter().sum());
    let mut digests = Vec::new();
    for (table, rows) in TABLES.iter().zip(rows) {
        steps.table(table.name, 0, rows)?;
        digests.push(one(side, table, steps, is_source, failed)?);
    }
    Ok(digests)
}

fn one(
    side: &mut dyn Side,
    table: &Table,
    steps: &mut Steps,
    is_source: bool,
    failed: impl FnOnce(StoreError) -> TransferError,
) -> Result<Digest, TransferError> {
    let (mut hashing, mut result) = (Hashing::new(table), Ok(()));
    side.walk(table, None, &mut |row| {
        result = fits(table, &row, hashing.rows, is_source);
        hashing.add(&row);
        if result.is_ok() && hashing.rows.is_multiple_of(TELL_AFTER) {
            result = steps.pass(TELL_AFTER);
        }
        if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })
    .map_err(failed)?;
    result?;
    steps.pass(hashing.rows % TELL_AFTER)?;
    Ok(hashing.end())
}

/// Whether every database can keep the row, which has so many others before it.
fn fits(table: &Table, row: &Row, before: u64, is_asked: bool) -> Result<(), TransferError> {
    match table.unfit(row).filter(|_| is_asked) {
        None => Ok(()),
        Some(column) => {
            let row = table.id_of(row).unwrap_or_else(|| format!("row number {}", before + 1));
            Err(TransferError::Unfit { table: table.name, column: column.name, row })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::Value;

    fn digest(rows: &[Row]) -> Digest {
        let mut hashing = Hashing::new(&TABLES[1]);
        for row in rows {
            hashing.add(row);
        }
        hashing.end()
    }

    fn row(name: &str, since: i64) -> Row {
        vec![Value::Text(name.into()), Value::Integer(since)]
    }

    #[test]
    fn same_rows_are_the_same_and_any_change_is_another() {
        let rows = [row("a", 1), row("b", 2)];
        assert_eq!(digest(&rows), digest(&rows.clone()));
        let others = [
            vec![row("a", 1)],
            vec![row("a", 1), row("b", 3)],
            vec![row("b", 2), row("a", 1)],
            vec![row("ab", 1), row("", 2)],
            vec![row("a", 1), vec![Value::Text("b".into()), Value::Null]],
            vec![row("a", 1), row("b", 2), row("b", 2)],
        ];
        for other in others {
            assert!(digest(&other) != digest(&rows));
        }
    }

    #[test]
    fn table_without_rows_is_not_another_one_without_rows() {
        assert!(Hashing::new(&TABLES[0]).end() != Hashing::new(&TABLES[1]).end());
    }
}
