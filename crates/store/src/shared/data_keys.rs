//! The keys of a database, and sealing what was there before them.

use domain::ids::MessageId;
use domain::time::Timestamp;

use super::row;
use super::sealed_tables;
use super::sql::{CALLBACKS_BEHIND, Row, Statements, get, params};
use crate::StoreError;
use crate::port::sealing::{Reseal, SealedRow};
use crate::seal::{
    self, CallbackRow, Column, Keyring, MasterKeys, ResealedRows, SealedCallback, SealedMessage, WrappedKey,
};

const KEPT: &str = "SELECT id, wrapped, in_use FROM data_keys ORDER BY id";

const KEEP: &str = "INSERT INTO data_keys (id, wrapped, in_use) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";

const REWRAP: &str = "UPDATE data_keys SET wrapped = ?2 WHERE id = ?1";

const USE: &str = "UPDATE data_keys SET in_use = 1 WHERE id = ?1";

/// The key under which all that is new must be sealed.
pub(super) const NEWEST: &str = "SELECT max(id) FROM data_keys WHERE in_use = 1 AND id > 0";

/// Never the key of the hashes, nor one that is in use.
const FORGET: &str = "DELETE FROM data_keys WHERE id > 0 AND id < ?1 \
     AND id < (SELECT max(id) FROM data_keys WHERE in_use = 1)";

/// There is something that was never sealed.
const IS_PLAIN: &str = "SELECT 1 FROM progress WHERE chore = 'seal'";

const ALL_SEALED: &str = "DELETE FROM progress WHERE chore = 'seal'";

pub(super) const MESSAGES: &str =
    "SELECT id, sealed_receiver, sealed_body FROM messages WHERE id > ?1 ORDER BY id LIMIT ?2";

/// Watches say for whom a doubt is.
const HASH_WATCHES: &str = "UPDATE watches SET receiver_hash = \
     (SELECT receiver_hash FROM messages WHERE id = watches.message_id) WHERE receiver_hash IS NOT NULL";

/// Rows of a commit while a database is brought up to date.
const TOGETHER: u32 = 1_000;

pub(super) fn kept(statements: &mut Statements<'_>) -> Result<Vec<WrappedKey>, StoreError> {
    statements.collect(KEPT, params![], |row| {
        Ok(WrappedKey { id: get(row, 0)?, wrapped: get(row, 1)?, is_in_use: get::<i64>(row, 2)? != 0 })
    })
}

pub(super) fn keep(statements: &mut Statements<'_>, key: &WrappedKey) -> Result<(), StoreError> {
    let values = params![key.id, key.wrapped, i64::from(key.is_in_use)];
    statements.execute(KEEP, values).map(|_kept| ())
}

/// Unwraps the keys of a database, if that takes no writing: `None` where [`open`] must do it.
pub(super) fn unwrap(
    statements: &mut Statements<'_>,
    master: impl FnOnce(bool) -> Result<MasterKeys, StoreError>,
) -> Result<Option<Keyring>, StoreError> {
    let kept = self::kept(statements)?;
    if kept.is_empty() {
        return Ok(None);
    }
    let keyring = Keyring::open(master(false)?, &kept)?;
    Ok(keyring.rewrap(&kept)?.is_empty().then_some(keyring))
}

/// Unwraps the keys of a database; makes them if there are none. `master` is asked with whether it may make one.
pub(super) fn open(
    statements: &mut Statements<'_>,
    master: impl FnOnce(bool) -> Result<MasterKeys, StoreError>,
) -> Result<Keyring, StoreError> {
    let mut kept = self::kept(statements)?;
    let master = master(kept.is_empty())?;
    if kept.is_empty() {
        for key in WrappedKey::first(&master)? {
            keep(statements, &key)?;
        }
        kept = self::kept(statements)?;
    }
    let keyring = Keyring::open(master, &kept)?;
    for key in keyring.rewrap(&kept)? {
        statements.execute(REWRAP, params![key.id, key.wrapped])?;
        tracing::info!(key = key.id, "a data key is wrapped by the new master key");
    }
    Ok(keyring)
}

pub(super) fn put_to_use(statements: &mut Statements<'_>, id: u32) -> Result<(), StoreError> {
    statements.execute(USE, params![id]).map(|_used| ())
}

/// Refuses a transaction that would seal under another key than the newest in use: that one may be deleted by now. A key is
/// put to use in a transaction that runs alone, so that whoever passes this has ended before, or sees it.
pub(super) fn check(statements: &mut Statements<'_>) -> Result<(), StoreError> {
    let newest = statements.first(NEWEST, params![], |row| get::<Option<u32>>(row, 0))?.flatten();
    if newest == Some(statements.vault().current()) { Ok(()) } else { Err(StoreError::UnknownKey) }
}

/// Writes what was sealed anew, unless another key was put to use meanwhile.
pub(super) fn write(statements: &mut Statements<'_>, rows: &ResealedRows) -> Result<(), StoreError> {
    if rows.key != statements.vault().current() {
        return Err(StoreError::UnknownKey);
    }
    super::sealed::write(statements, &rows.messages, &rows.callbacks)?;
    sealed_tables::write(statements, &rows.cells)
}

pub(super) fn forget(statements: &mut Statements<'_>, before: u32) -> Result<u64, StoreError> {
    statements.execute(FORGET, params![before]).map(|forgotten| forgotten as u64)
}

/// Whether something is left that was there before values were sealed.
pub(super) fn is_plain(statements: &mut Statements<'_>) -> Result<bool, StoreError> {
    Ok(statements.first(IS_PLAIN, params![], |_row| Ok(()))?.is_some())
}

/// Seals a part of what was there before; answers where to go on, or `None` when all is sealed.
pub(super) fn seal_plain(
    statements: &mut Statements<'_>,
    behind: SealedRow,
) -> Result<Option<SealedRow>, StoreError> {
    let sealed = reseal(statements, Reseal { behind, limit: TOGETHER })?;
    write(statements, &sealed)?;
    if sealed.behind.is_none() {
        statements.execute(HASH_WATCHES, params![])?;
        statements.execute(ALL_SEALED, params![])?;
    }
    Ok(sealed.behind)
}

/// Rows that have another key than what is new, sealed anew and not written yet.
pub(super) fn reseal(statements: &mut Statements<'_>, reseal: Reseal) -> Result<ResealedRows, StoreError> {
    match reseal.behind {
        SealedRow::Message(behind) => messages(statements, behind, reseal.limit),
        SealedRow::Callback(at, behind) => callbacks(statements, (at, behind), reseal.limit),
        SealedRow::Other(table, behind) => sealed_tables::reseal(statements, reseal, table, behind),
    }
}

fn messages(
    statements: &mut Statements<'_>,
    behind: MessageId,
    limit: u32,
) -> Result<ResealedRows, StoreError> {
    let vault = statements.vault();
    let rows = statements.collect(MESSAGES, params![behind.as_bytes(), limit], |row| {
        let id = MessageId::from_bytes(get(row, 0)?);
        Ok((id, get::<Vec<u8>>(row, 1)?, get::<Option<Vec<u8>>>(row, 2)?))
    })?;
    let mut messages = Vec::new();
    for (id, receiver, body) in &rows {
        if !vault.is_outdated(receiver) && body.as_ref().is_none_or(|body| !vault.is_outdated(body)) {
            continue;
        }
        let body = body.as_ref().map(|body| vault.reseal(Column::Body, id.as_bytes(), body)).transpose()?;
        let was = receiver.clone();
        let receiver = vault.reseal(Column::Receiver, id.as_bytes(), receiver)?;
        let receiver_hash = vault.blind_sealed(*id, &receiver)?;
        messages.push(SealedMessage { id: *id, receiver_hash, was, receiver, body });
    }
    let behind = match rows.last() {
        Some((last, ..)) if rows.len() >= limit as usize => SealedRow::Message(*last),
        _ => SealedRow::Callback(Timestamp::from_micros(i64::MIN), i64::MIN),
    };
    let rows = rows.len() as u64;
    Ok(ResealedRows { rows, messages, behind: Some(behind), ..ResealedRows::none(vault.current()) })
}

/// A callback's row: its number, when it came, the provider's id, the hash of the number, and what came.
type Callback = (i64, Timestamp, String, Option<i64>, Vec<u8>);

fn callbacks(
    statements: &mut Statements<'_>,
    (at, behind): (Timestamp, i64),
    limit: u32,
) -> Result<ResealedRows, StoreError> {
    let vault = statements.vault();
    let read = |row: &Row<'_>| -> Result<Callback, StoreError> {
        Ok((get(row, 0)?, row::time(row, 1)?, get(row, 2)?, get(row, 3)?, get(row, 4)?))
    };
    let rows = statements.collect(CALLBACKS_BEHIND, params![at.as_micros(), behind, limit], read)?;
    let mut callbacks = Vec::new();
    for (id, received_at, provider_message_id, receiver, sealed) in &rows {
        if !vault.is_outdated(sealed) {
            continue;
        }
        let place = CallbackRow { received_at: *received_at, provider_message_id };
        // What was never sealed has the number itself where the hash belongs.
        let receiver_hash = match receiver {
            Some(number) if seal::is_plain(sealed) => Some(vault.blind_number(number.cast_unsigned())),
            hash => *hash,
        };
        let raw = vault.reseal(Column::Callback, &place.bytes(), sealed)?;
        let was = sealed.clone();
        callbacks.push(SealedCallback { id: *id, received_at: *received_at, receiver_hash, was, raw });
    }
    let next = rows.last().filter(|_| rows.len() >= limit as usize);
    let behind = match next {
        Some((id, received_at, ..)) => Some(SealedRow::Callback(*received_at, *id)),
        None => sealed_tables::first_of(0),
    };
    Ok(ResealedRows { rows: rows.len() as u64, callbacks, behind, ..ResealedRows::none(vault.current()) })
}
