//! Templates and their versions.

use super::super::row;
use super::super::sql::{Row, Statements, get, params};
use crate::StoreError;
use crate::port::templates::{InForce, KeptTemplate};

const COLUMNS: &str =
    "name, version, definition, created_at, created_by, published_at, published_by, retired_at";

const IN_FORCE: &str = "SELECT t.name, t.version, t.published_at FROM templates t \
     WHERE t.retired_at IS NULL AND t.published_at = (SELECT max(o.published_at) FROM templates o \
     WHERE o.name = t.name AND o.retired_at IS NULL) ORDER BY t.name";

pub(in super::super) fn all(statements: &mut Statements<'_>) -> Result<Vec<KeptTemplate>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM templates WHERE retired_at IS NULL ORDER BY name, version");
    statements.collect_of(&sql, params![], template)
}

pub(in super::super) fn of_name(
    statements: &mut Statements<'_>,
    name: &str,
) -> Result<Vec<KeptTemplate>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM templates WHERE name = ?1 ORDER BY version");
    statements.collect_of(&sql, params![name], template)
}

pub(in super::super) fn in_force(statements: &mut Statements<'_>) -> Result<Vec<InForce>, StoreError> {
    statements.collect(IN_FORCE, params![], |row| {
        Ok(InForce { name: get(row, 0)?, version: get(row, 1)?, since: row::time(row, 2)? })
    })
}

fn template(row: &Row<'_>) -> Result<KeptTemplate, StoreError> {
    Ok(KeptTemplate {
        name: get(row, 0)?,
        version: get(row, 1)?,
        definition: get(row, 2)?,
        created_at: row::time(row, 3)?,
        created_by: get(row, 4)?,
        published_at: row::optional_time(row, 5)?,
        published_by: get(row, 6)?,
        retired_at: row::optional_time(row, 7)?,
    })
}
