//! What the target's `progress` says of a move: from which source, how far each table has come, and that it has ended.

use sha2::{Digest as _, Sha256};

use super::TransferError;
use super::digest::Digest;
use crate::StoreError;
use crate::side::Marks;
use crate::tables::{Row, Table, Value};

/// A move has begun and not ended. The schema's readers know this word too.
pub(super) const ORIGIN: &str = "move:source";

/// A move has ended.
const DONE: &str = "move:done";

/// Bytes of a fingerprint.
const FINGERPRINT: usize = 32;

/// Which source is moved.
pub(super) struct Origin {
    /// A hash over all that is in it.
    fingerprint: [u8; FINGERPRINT],
    /// What people call it.
    name: String,
}

impl Origin {
    pub(super) fn of(name: &str, digests: &[Digest]) -> Self {
        let hash = digests.iter().fold(Sha256::new(), |hash, digest| hash.chain_update(digest.hash));
        Self { fingerprint: hash.finalize().into(), name: name.to_owned() }
    }

    pub(super) fn write(&self) -> Vec<u8> {
        [self.fingerprint.as_slice(), self.name.as_bytes()].concat()
    }

    fn read(mark: &[u8]) -> Option<Self> {
        let (fingerprint, name) = mark.split_first_chunk()?;
        Some(Self { fingerprint: *fingerprint, name: std::str::from_utf8(name).ok()?.to_owned() })
    }

    /// Whether the move that has begun is of this source. A file that was renamed is the same source.
    pub(super) fn check(&self, marks: &Marks) -> Result<(), TransferError> {
        let begun = marks.get(ORIGIN).and_then(|mark| Self::read(mark));
        match begun.ok_or(TransferError::Target(StoreError::Corrupt))? {
            begun if begun.fingerprint == self.fingerprint => Ok(()),
            begun if begun.name == self.name => Err(TransferError::SourceChanged(begun.name)),
            begun => Err(TransferError::OtherSource(begun.name)),
        }
    }
}

/// The marks of a move that has ended. The source's name is of no use any more.
pub(super) fn done(origin: &Origin) -> Marks {
    Marks::from([(DONE.to_owned(), origin.fingerprint.to_vec())])
}

/// How far a table has come.
#[derive(Default)]
pub(super) struct Place {
    /// Rows that are in the target.
    pub(super) rows: u64,
    /// The last of their keys.
    pub(super) key: Option<Row>,
}

impl Place {
    pub(super) fn chore(table: &Table) -> String {
        format!("move:{}", table.name)
    }

    pub(super) fn of(table: &Table, marks: &Marks) -> Result<Self, TransferError> {
        let Some(mark) = marks.get(&Self::chore(table)) else { return Ok(Self::default()) };
        Self::read(mark, table.key().len()).ok_or(TransferError::Target(StoreError::Corrupt))
    }

    fn read(mut mark: &[u8], values: usize) -> Option<Self> {
        let Value::Integer(rows) = Value::read(&mut mark)? else { return None };
        let key = (0..values).map(|_| Value::read(&mut mark)).collect::<Option<Row>>()?;
        mark.is_empty().then_some(Self { rows: u64::try_from(rows).ok()?, key: Some(key) })
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut mark = Vec::new();
        Value::Integer(self.rows.cast_signed()).write(&mut mark);
        for value in self.key.iter().flatten() {
            value.write(&mut mark);
        }
        mark
    }

    /// These rows are copied next.
    pub(super) fn pass(&mut self, table: &Table, rows: &[Row]) {
        self.rows += rows.len() as u64;
        self.key = rows.last().map(|row| table.key_of(row)).or(self.key.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::TABLES;

    fn origin(name: &str, hash: u8) -> Origin {
        Origin::of(name, &[Digest { rows: 1, hash: [hash; 32] }])
    }

    #[test]
    fn another_source_is_refused_by_name_and_a_renamed_one_is_not() {
        let marks = Marks::from([(ORIGIN.to_owned(), origin("sqlite:/a.db", 1).write())]);
        assert!(origin("sqlite:/a.db", 1).check(&marks).is_ok());
        assert!(origin("sqlite:/renamed.db", 1).check(&marks).is_ok());
        let other = origin("sqlite:/b.db", 2).check(&marks);
        assert!(matches!(other, Err(TransferError::OtherSource(name)) if name == "sqlite:/a.db"));
        let changed = origin("sqlite:/a.db", 2).check(&marks);
        assert!(matches!(changed, Err(TransferError::SourceChanged(name)) if name == "sqlite:/a.db"));
    }

    #[test]
    fn place_in_a_table_reads_back() {
        let queue = TABLES.iter().find(|table| table.name == "queue").unwrap();
        let key =
            vec![Value::Text("a".into()), Value::Integer(1), Value::Integer(2), Value::Bytes(vec![7; 16])];
        let mut place = Place::default();
        place.pass(queue, &[key.iter().cloned().chain([Value::Integer(1)]).collect()]);
        let marks = Marks::from([("move:queue".to_owned(), place.write())]);
        let read = Place::of(queue, &marks).unwrap();
        assert!(read.rows == 1 && read.key == Some(key));
        assert!(Place::of(queue, &Marks::new()).unwrap().key.is_none());
        let cut = Marks::from([("move:queue".to_owned(), place.write()[..12].to_vec())]);
        assert!(Place::of(queue, &cut).is_err());
    }
}
