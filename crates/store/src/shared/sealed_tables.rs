//! The smaller tables with sealed columns, one line each: all that is needed to seal what is in them anew. Messages and
//! callbacks have ways of their own, for they are many.

use super::sql::{Row, Statements, get, params};
use crate::StoreError;
use crate::port::sealing::{Reseal, RowKey, SealedRow};
use crate::seal::{Column, ResealedRows, SealedCell};

/// A table.
struct Sealed {
    name: &'static str,
    /// The column that rows are gone through by.
    key: &'static str,
    /// Before the first of them.
    first: RowKey,
    /// The id that the values are bound to.
    place: &'static str,
    columns: &'static [(&'static str, Column)],
}

const TABLES: &[Sealed] = &[
    Sealed {
        name: "events",
        key: "number",
        first: RowKey::Number(i64::MIN),
        place: "subject",
        columns: &[("sealed_data", Column::EventData)],
    },
    Sealed {
        name: "inbound",
        key: "id",
        first: RowKey::Id([0; 16]),
        place: "id",
        columns: &[
            ("sealed_from", Column::InboundFrom),
            ("sealed_text", Column::InboundText),
            ("sealed_raw", Column::InboundRaw),
        ],
    },
    Sealed {
        name: "consents",
        key: "id",
        first: RowKey::Id([0; 16]),
        place: "id",
        columns: &[("sealed_number", Column::ConsentNumber)],
    },
    Sealed {
        name: "prompt_replies",
        key: "inbound_id",
        first: RowKey::Id([0; 16]),
        place: "inbound_id",
        columns: &[("sealed_words", Column::ReplyWords)],
    },
    Sealed {
        name: "verifications",
        key: "message_id",
        first: RowKey::Id([0; 16]),
        place: "message_id",
        columns: &[("sealed_code", Column::Code)],
    },
    Sealed {
        name: "webhook_endpoints",
        key: "id",
        first: RowKey::Id([0; 16]),
        place: "id",
        columns: &[
            ("sealed_url", Column::EndpointUrl),
            ("sealed_secret", Column::EndpointSecret),
            ("sealed_former", Column::EndpointFormer),
        ],
    },
];

/// Before the first row of a table; `None` behind the last table.
pub(super) fn first_of(table: u16) -> Option<SealedRow> {
    TABLES.get(usize::from(table)).map(|sealed| SealedRow::Other(table, sealed.first))
}

/// A row: its key, what its values are bound to, and these.
type Values = (RowKey, [u8; 16], Vec<Option<Vec<u8>>>);

/// Rows of a table that have another key than what is new, sealed anew and not written yet.
pub(super) fn reseal(
    statements: &mut Statements<'_>,
    reseal: Reseal,
    table: u16,
    behind: RowKey,
) -> Result<ResealedRows, StoreError> {
    let vault = statements.vault();
    let sealed = TABLES.get(usize::from(table)).ok_or(StoreError::Corrupt)?;
    let rows = read(statements, sealed, behind, reseal.limit)?;
    let mut cells = Vec::new();
    for (key, place, values) in &rows {
        for (at, ((_, column), was)) in sealed.columns.iter().zip(values).enumerate() {
            if let Some(was) = was.as_ref().filter(|was| vault.is_outdated(was)) {
                let now = vault.reseal(*column, place, was)?;
                cells.push(SealedCell { table, key: *key, column: at, was: was.clone(), now });
            }
        }
    }
    let next = rows.last().filter(|_| rows.len() >= reseal.limit as usize);
    let behind = match next {
        Some((key, ..)) => Some(SealedRow::Other(table, *key)),
        None => first_of(table + 1),
    };
    Ok(ResealedRows { rows: rows.len() as u64, cells, behind, ..ResealedRows::none(vault.current()) })
}

fn read(
    statements: &mut Statements<'_>,
    sealed: &Sealed,
    behind: RowKey,
    limit: u32,
) -> Result<Vec<Values>, StoreError> {
    let Sealed { name, key, place, columns, .. } = sealed;
    let names = columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let sql = format!("SELECT {key}, {place}, {names} FROM {name} WHERE {key} > ?1 ORDER BY {key} LIMIT ?2");
    let row = |row: &Row<'_>| -> Result<Values, StoreError> {
        let key = match behind {
            RowKey::Number(_) => RowKey::Number(get(row, 0)?),
            RowKey::Id(_) => RowKey::Id(get(row, 0)?),
        };
        let values = (0..columns.len()).map(|at| get(row, 2 + at)).collect::<Result<_, _>>()?;
        Ok((key, get(row, 1)?, values))
    };
    match behind {
        RowKey::Number(number) => statements.collect_of(&sql, params![number, limit], row),
        RowKey::Id(id) => statements.collect_of(&sql, params![id, limit], row),
    }
}

/// Writes what was sealed anew, unless the value was changed meanwhile.
pub(super) fn write(statements: &mut Statements<'_>, cells: &[SealedCell]) -> Result<(), StoreError> {
    for SealedCell { table, key, column, was, now } in cells {
        let Sealed { name, key: key_name, columns, .. } =
            TABLES.get(usize::from(*table)).ok_or(StoreError::Corrupt)?;
        let (column, _) = columns.get(*column).ok_or(StoreError::Corrupt)?;
        let sql = format!(
            "UPDATE {name} SET {column} = ?2 WHERE {key_name} = ?1 AND {column} = ?3 RETURNING {key_name}"
        );
        let done = |_: &Row<'_>| Ok(());
        match key {
            RowKey::Number(number) => statements.collect_of(&sql, params![number, now, was], done)?,
            RowKey::Id(id) => statements.collect_of(&sql, params![id, now, was], done)?,
        };
    }
    Ok(())
}
