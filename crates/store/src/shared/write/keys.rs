//! Keys are made, rotated and ended, and their use is noted.

use domain::audit::{Act, Event, NewEntry};
use domain::ids::KeyId;
use domain::time::Timestamp;

use super::super::listener::tell_of_key;
use super::super::sql::{Statements, params};
use crate::StoreError;
use crate::group::KeyChange;
use crate::port::keys::{ApiKey, KeyUse, Rotation};

const CREATE: &str = "INSERT INTO api_keys (id, name, hash, scopes, created_at, expires_at, revoked_at, scenarios, \
     countries, senders) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

const ANY: &str = "SELECT 1 FROM api_keys LIMIT 1";

/// Each earlier secret ends with the overlap, unless it would end before.
const SHORTEN: &str = "UPDATE former_secrets SET ends_at = ?2 WHERE key_id = ?1 AND ends_at > ?2";

const FORGET: &str = "DELETE FROM former_secrets WHERE key_id = ?1 AND ends_at <= ?2";

const KEEP: &str =
    "INSERT INTO former_secrets (hash, key_id, ends_at) SELECT hash, id, ?2 FROM api_keys WHERE id = ?1";

const REPLACE: &str = "UPDATE api_keys SET hash = ?2 WHERE id = ?1 AND revoked_at IS NULL \
     AND (expires_at IS NULL OR expires_at > ?3)";

const USABLE: &str = "SELECT 1 FROM api_keys WHERE id = ?1 AND revoked_at IS NULL \
     AND (expires_at IS NULL OR expires_at > ?2)";

const REVOKE: &str = "UPDATE api_keys SET revoked_at = coalesce(revoked_at, ?2) WHERE id = ?1";

/// Another node may have noted a later use.
const USED: &str = "UPDATE api_keys SET last_used_at = ?2 WHERE id = ?1 AND coalesce(last_used_at, 0) < ?2";

pub(super) fn change(statements: &mut Statements<'_>, change: &KeyChange) -> Result<bool, StoreError> {
    match change {
        KeyChange::Create(key, act) => create(statements, key, act),
        KeyChange::CreateFirst(key, act) => match statements.first(ANY, params![], |_row| Ok(()))? {
            Some(()) => Ok(false),
            None => create(statements, key, act),
        },
        KeyChange::Rotate(rotation) => rotate(statements, rotation),
        KeyChange::Revoke(id, act) => {
            let revoked = statements.execute(REVOKE, params![id.as_bytes(), act.at.as_micros()])? > 0;
            if revoked {
                statements.tell(entry(act, Event::KeyRevoked, *id));
                tell_of_key(statements, *id)?;
            }
            Ok(revoked)
        }
        KeyChange::Used(uses) => note(statements, uses),
    }
}

fn entry(act: &Act, event: Event, id: KeyId) -> NewEntry {
    NewEntry::of_act(act, event, id.to_string())
}

fn create(statements: &mut Statements<'_>, key: &ApiKey, act: &Act) -> Result<bool, StoreError> {
    let ApiKey { id, name, hash, scopes, only, created_at, expires_at, revoked_at, .. } = key;
    let values = params![
        id.as_bytes(),
        name,
        hash,
        scopes.join(","),
        created_at.as_micros(),
        expires_at.map(Timestamp::as_micros),
        revoked_at.map(Timestamp::as_micros),
        only.scenarios.join(","),
        only.countries.join(","),
        only.senders.join(","),
    ];
    let is_created = statements.execute(CREATE, values)? > 0;
    if is_created {
        statements.tell(entry(act, Event::KeyCreated, *id));
    }
    Ok(is_created)
}

/// The secret in force becomes one of before. So a rotation that is repeated, for its answer was lost, takes no secret
/// from a caller that still uses the first one.
fn rotate(statements: &mut Statements<'_>, rotation: &Rotation) -> Result<bool, StoreError> {
    let Rotation { id, hash, others_end_at, by, now: at } = rotation;
    let (id_bytes, now) = (id.as_bytes(), at.as_micros());
    if statements.first(USABLE, params![id_bytes, now], |_row| Ok(()))?.is_none() {
        return Ok(false);
    }
    let end = others_end_at.as_micros();
    statements.execute(SHORTEN, params![id_bytes, end])?;
    statements.execute(KEEP, params![id_bytes, end])?;
    statements.execute(FORGET, params![id_bytes, now])?;
    statements.execute(REPLACE, params![id_bytes, hash, now])?;
    statements.tell(entry(&Act { by: by.clone(), at: *at }, Event::KeyRotated, *id));
    tell_of_key(statements, *id)?;
    Ok(true)
}

/// Row by row: a handful of keys, once a minute.
pub(in super::super) fn note(statements: &mut Statements<'_>, uses: &[KeyUse]) -> Result<bool, StoreError> {
    for used in uses {
        statements.execute(USED, params![used.id.as_bytes(), used.at.as_micros()])?;
    }
    Ok(true)
}
