//! Receipts: kept as they came, matched to their message or parked.

use domain::attempt::{Failure, ProviderMessageId};
use domain::ids::MessageId;
use domain::message::MessageStatus;
use domain::phone::Msisdn;
use domain::receipt::{Receipt, ReceiptStatus};
use domain::route::ProviderName;
use domain::time::Timestamp;
use rusqlite::params;

use super::statements::Statements;
use super::{Move, move_status};
use crate::StoreError;
use crate::port::receipts::{NewReceipt, ReceiptFate};
use crate::sqlite::connection::error;
use crate::sqlite::read::HOUR;
use crate::sqlite::row;

/// How far back a receipt that names only the provider's id is matched. Later ones are parked.
const HOURS_BACK: i64 = 72;

pub(in crate::sqlite) const RECEIVER: &str = "SELECT receiver FROM messages WHERE id = ?1";

/// The message to a receiver, accepted in an hour or scheduled for it, with an attempt that a provider took under
/// this id. Scheduled ones may have been accepted long before.
pub(in crate::sqlite) const FIND: &str = "SELECT m.id FROM messages m JOIN attempts a ON a.message_id = m.id \
     WHERE m.created_at / 3600000000 = ?1 AND m.receiver = ?2 \
     AND a.provider_message_id = ?3 AND a.provider = ?4 \
     UNION ALL \
     SELECT m.id FROM messages m JOIN attempts a ON a.message_id = m.id \
     WHERE m.scheduled_at IS NOT NULL AND m.scheduled_at / 3600000000 = ?1 AND m.receiver = ?2 \
     AND a.provider_message_id = ?3 AND a.provider = ?4";

const KEEP: &str = "INSERT INTO callbacks (received_at, provider, provider_message_id, receiver, message_id, \
     provider_status, status, reason, provider_code, network_code, raw) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";

/// Receipts that wait for a provider's id, unless they are for another receiver than the message. Repeats the
/// condition of the partial index.
pub(in crate::sqlite) const PARKED: &str = "SELECT received_at, provider, provider_status, status, reason, \
     provider_code, network_code, id FROM callbacks \
     WHERE message_id IS NULL AND provider_message_id = ?1 AND provider = ?2 \
     AND (receiver IS NULL OR receiver = (SELECT receiver FROM messages WHERE id = ?3)) ORDER BY id";

pub(in crate::sqlite) const MATCH: &str = "UPDATE callbacks SET message_id = ?2 WHERE id = ?1";

pub(super) fn record(
    statements: &mut Statements<'_>,
    receipts: &[NewReceipt],
) -> Result<Vec<ReceiptFate>, StoreError> {
    receipts.iter().map(|new| record_one(statements, new)).collect()
}

fn record_one(statements: &mut Statements<'_>, new: &NewReceipt) -> Result<ReceiptFate, StoreError> {
    let receipt = &new.receipt;
    let message_id = match receipt.message_id {
        Some(id) => named(statements, receipt, id)?,
        None => find(statements, receipt)?,
    };
    keep(statements, new, message_id)?;
    let Some(message_id) = message_id else { return Ok(ReceiptFate::Parked) };
    let (from, to) =
        apply(statements, message_id, receipt.status, receipt.failure.as_ref(), receipt.received_at)?;
    Ok(ReceiptFate::Matched { message_id, from, to })
}

/// The message that the callback URL named, if it is there and goes to the number that the receipt names.
fn named(
    statements: &mut Statements<'_>,
    receipt: &Receipt,
    id: MessageId,
) -> Result<Option<MessageId>, StoreError> {
    let receiver: Option<u64> = statements.first(RECEIVER, params![id.as_bytes()], |row| row.get(0))?;
    let named = receipt.receiver.map(Msisdn::number);
    Ok(receiver.filter(|receiver| named.is_none_or(|named| named == *receiver)).map(|_receiver| id))
}

/// The message that a provider's id belongs to, by way of the receiver: an index on provider ids would have
/// keys in random order. Newest hours first, where nearly all receipts find their message.
fn find(statements: &mut Statements<'_>, receipt: &Receipt) -> Result<Option<MessageId>, StoreError> {
    let Some(receiver) = receipt.receiver else { return Ok(None) };
    let newest = receipt.received_at.as_micros() / HOUR;
    for hour in (newest - HOURS_BACK..=newest).rev() {
        let values =
            params![hour, receiver.number(), receipt.provider_message_id.as_str(), receipt.provider.as_str()];
        let found: Option<[u8; 16]> = statements.first(FIND, values, |row| row.get(0))?;
        if let Some(id) = found {
            return Ok(Some(MessageId::from_bytes(id)));
        }
    }
    Ok(None)
}

fn keep(
    statements: &mut Statements<'_>,
    new: &NewReceipt,
    message_id: Option<MessageId>,
) -> Result<(), StoreError> {
    let receipt = &new.receipt;
    statements
        .execute(
            KEEP,
            params![
                receipt.received_at.as_micros(),
                receipt.provider.as_str(),
                receipt.provider_message_id.as_str(),
                receipt.receiver.map(Msisdn::number),
                message_id.as_ref().map(MessageId::as_bytes),
                receipt.provider_status,
                receipt.status.map(ReceiptStatus::as_str),
                receipt.failure.as_ref().map(|failure| failure.reason.as_str()),
                receipt.failure.as_ref().and_then(|failure| failure.provider_code.as_deref()),
                receipt.network_code,
                new.raw,
            ],
        )
        .map(|_rows| ())
}

fn apply(
    statements: &mut Statements<'_>,
    message_id: MessageId,
    status: Option<ReceiptStatus>,
    failure: Option<&Failure>,
    now: Timestamp,
) -> Result<(MessageStatus, MessageStatus), StoreError> {
    let Some(status) = status else {
        // A word that we don't know is kept and changes nothing.
        let stands = super::stands(statements, message_id)?.ok_or(StoreError::Corrupt)?;
        return Ok((stands, stands));
    };
    let change = Move { message_id, event: status.event(), failure, provider: None, now };
    move_status(statements, &change)?.ok_or(StoreError::Corrupt)
}

/// Applies the receipts that came before the provider's id was known.
pub(super) fn match_parked(
    statements: &mut Statements<'_>,
    message_id: MessageId,
    provider: &ProviderName,
    provider_message_id: &ProviderMessageId,
) -> Result<(), StoreError> {
    let select = statements.get(PARKED)?;
    let mut rows = select
        .query(params![provider_message_id.as_str(), provider.as_str(), message_id.as_bytes()])
        .map_err(error)?;
    let mut parked = Vec::new();
    while let Some(row) = rows.next().map_err(error)? {
        parked.push((row::get::<i64>(row, 7)?, row::receipt(row)?));
    }
    drop(rows);
    for (id, receipt) in parked {
        statements.execute(MATCH, params![id, message_id.as_bytes()])?;
        apply(statements, message_id, receipt.status, receipt.failure.as_ref(), receipt.received_at)?;
    }
    Ok(())
}
