//! Keys, and what is known of them.

use domain::ids::KeyId;

use super::super::row;
use super::super::sql::{Row, Statements, get, params};
use crate::StoreError;
use crate::port::keys::{ApiKey, FoundKey, Only};

/// The columns of a key `k`.
const KEY: &str = "k.id, k.name, k.hash, k.scopes, k.created_at, k.expires_at, k.revoked_at, k.scenarios, \
     k.countries, k.senders, k.last_used_at, (SELECT max(ends_at) FROM former_secrets WHERE key_id = k.id)";

/// By its secret in force or by one of before, with one statement in either case: whoever asks can't tell by the time
/// which one it was, or that there is none.
pub(in super::super) fn find(
    statements: &mut Statements<'_>,
    hash: &[u8; 32],
) -> Result<Option<FoundKey>, StoreError> {
    let read = |row: &Row<'_>| Ok(FoundKey { key: key(row)?, secret_ends_at: row::optional_time(row, 12)? });
    statements.collect_of(&find_sql(), params![hash], read).map(|mut keys| keys.pop())
}

pub(in super::super) fn find_sql() -> String {
    format!(
        "SELECT {KEY}, NULL FROM api_keys k WHERE k.hash = ?1 \
         UNION ALL SELECT {KEY}, f.ends_at FROM former_secrets f JOIN api_keys k ON k.id = f.key_id WHERE f.hash = ?1"
    )
}

pub(in super::super) fn all(statements: &mut Statements<'_>) -> Result<Vec<ApiKey>, StoreError> {
    statements.collect_of(&format!("SELECT {KEY} FROM api_keys k ORDER BY k.id"), params![], key)
}

fn key(row: &Row<'_>) -> Result<ApiKey, StoreError> {
    let list = |at| get::<String>(row, at).map(|text| words(&text));
    Ok(ApiKey {
        id: KeyId::from_bytes(get(row, 0)?),
        name: get(row, 1)?,
        hash: get(row, 2)?,
        scopes: list(3)?,
        created_at: row::time(row, 4)?,
        expires_at: row::optional_time(row, 5)?,
        revoked_at: row::optional_time(row, 6)?,
        only: Only { scenarios: list(7)?, countries: list(8)?, senders: list(9)? },
        last_used_at: row::optional_time(row, 10)?,
        former_secret_ends_at: row::optional_time(row, 11)?,
    })
}

fn words(text: &str) -> Vec<String> {
    text.split(',').filter(|word| !word.is_empty()).map(Into::into).collect()
}
