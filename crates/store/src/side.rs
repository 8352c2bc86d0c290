//! What a move needs of a backend: its database as one of the two sides.
//!
//! Not the store: a move reads and writes every row there is, for hours if need be, and shares the database with nobody.
//! So a side has a connection of its own that holds the lock of whoever writes, from the beginning to the end.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::StoreError;
use crate::tables::{Row, Table, Value};

/// How far a move has come, in the target's `progress`: by chore. The names of all of them begin alike.
pub(crate) type Marks = BTreeMap<String, Vec<u8>>;

/// One of the two databases of a move.
pub(crate) trait Side: Send {
    /// What people call it. Without user and password.
    fn name(&self) -> &str;

    /// Whether the schema is the one that this program knows, after bringing it there if that is allowed.
    fn schema(&mut self, migrate: bool) -> Result<(), StoreError>;

    /// How many nodes said that they live, since a time in microseconds.
    fn live_nodes(&mut self, since: i64) -> Result<u64, StoreError>;

    /// Whether the table is there and has a row to carry.
    fn has_rows(&mut self, table: &Table) -> Result<bool, StoreError>;

    /// How many rows there are to carry.
    fn count(&mut self, table: &Table) -> Result<u64, StoreError>;

    /// Shows rows in the order of their key, those behind a key if there is one, until one is enough.
    fn walk(
        &mut self,
        table: &Table,
        behind: Option<&[Value]>,
        see: &mut dyn FnMut(Row) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    /// Writes rows that are not there, and a mark that says so, in one transaction.
    fn write(&mut self, table: &Table, rows: Vec<Row>, chore: &str, mark: &[u8]) -> Result<(), StoreError>;

    /// Forgets data keys, under which nothing is sealed: those of the source take their place.
    fn forget_keys(&mut self) -> Result<(), StoreError>;

    /// The marks of moves.
    fn marks(&mut self) -> Result<Marks, StoreError>;

    /// Puts these in the place of all marks of moves, in one transaction.
    fn set_marks(&mut self, marks: &Marks) -> Result<(), StoreError>;

    /// Makes a working database of the rows: what the backend keeps beside them.
    fn settle(&mut self, table: &Table) -> Result<(), StoreError>;
}

pub(crate) const FORGET_KEYS: &str = "DELETE FROM data_keys";

/// What all marks of moves begin with.
pub(crate) const MARKS: &str = "SELECT chore, mark FROM progress WHERE substr(chore, 1, 5) = 'move:'";

pub(crate) const FORGET_MARKS: &str = "DELETE FROM progress WHERE substr(chore, 1, 5) = 'move:'";

pub(crate) const SET_MARK: &str = "INSERT INTO progress (chore, mark) VALUES ($1, $2) \
     ON CONFLICT (chore) DO UPDATE SET mark = excluded.mark";

pub(crate) const LIVE_NODES: &str = "SELECT count(*) FROM nodes WHERE seen_at >= $1";
