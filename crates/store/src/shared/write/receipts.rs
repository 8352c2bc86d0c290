//! Receipts: kept as they came, matched to their message or parked.
//!
//! A receipt is about an attempt: the one that it names, or the one that its provider calls so. What it says moves the
//! message if that attempt is of the present round, and a failure only if no later attempt is to decide. A receipt
//! whose attempt is not known counts as about the last.

use domain::attempt::{Failure, ProviderMessageId};
use domain::audit::Actor;
use domain::ids::MessageId;
use domain::message::MessageStatus;
use domain::receipt::{Receipt, ReceiptStatus};
use domain::route::ProviderName;
use domain::time::Timestamp;

use super::super::read::HOUR;
use super::super::row;
use super::super::sql::{Row, Statements, get, params};
use super::doubt::Told;
use super::watches::{self, Watch};
use super::{Move, doubt, move_status};
use crate::StoreError;
use crate::port::receipts::{NewReceipt, ReceiptFate};
use crate::port::watches::WatchKind;
use crate::seal::CallbackRow;

/// How far back a receipt that names only the provider's id is matched. Later ones are parked.
pub(super) const HOURS_BACK: i64 = 72;

/// The message that a receipt is about, with the attempt of that number.
pub(in super::super) const TARGET: &str = "SELECT m.receiver_hash, a.outcome = 'ambiguous' AND a.provider = ?3, r.round \
     FROM messages m LEFT JOIN attempts a ON a.message_id = m.id AND a.number = ?2 \
     LEFT JOIN rounds r ON r.message_id = m.id WHERE m.id = ?1";

/// The attempts of a message that a receipt may be about: those that its provider took under this id, and those of it
/// whose end is not known.
pub(in super::super) const MEANT: &str = "SELECT number, provider_message_id IS NOT NULL FROM attempts \
     WHERE message_id = ?1 AND provider = ?2 \
     AND (provider_message_id = ?3 OR outcome IS NULL OR outcome = 'ambiguous')";

/// The message to a receiver, accepted in an hour or scheduled for it, with an attempt that a provider took under
/// this id. Scheduled ones may have been accepted long before.
pub(in super::super) const FIND: &str = "SELECT m.id, a.number \
     FROM messages m JOIN attempts a ON a.message_id = m.id \
     WHERE m.created_at / 3600000000 = ?1 AND m.receiver_hash = ?2 \
     AND a.provider_message_id = ?3 AND a.provider = ?4 \
     UNION ALL \
     SELECT m.id, a.number FROM messages m JOIN attempts a ON a.message_id = m.id \
     WHERE m.scheduled_at IS NOT NULL AND m.scheduled_at / 3600000000 = ?1 AND m.receiver_hash = ?2 \
     AND a.provider_message_id = ?3 AND a.provider = ?4";

const KEEP: &str = "INSERT INTO callbacks (received_at, provider, provider_message_id, receiver_hash, message_id, \
     provider_status, status, reason, provider_code, network_code, sealed_raw, attempt) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";

/// Receipts that wait for a provider's id, unless they are for another receiver than the message. Repeats the
/// condition of the partial index.
pub(in super::super) const PARKED: &str = "SELECT id, received_at, status, reason, provider_code FROM callbacks \
     WHERE message_id IS NULL AND provider_message_id = ?1 AND provider = ?2 \
     AND (receiver_hash IS NULL OR receiver_hash = (SELECT receiver_hash FROM messages WHERE id = ?3)) ORDER BY id";

pub(in super::super) const MATCH: &str = "UPDATE callbacks SET message_id = ?2, attempt = ?3 \
     WHERE id = ?1 AND received_at = ?4";

pub(in super::super) const LAST_ATTEMPT: &str =
    "SELECT coalesce(max(number), 0) FROM attempts WHERE message_id = ?1";

pub(super) fn record(
    statements: &mut Statements<'_>,
    receipts: &[NewReceipt],
) -> Result<Vec<ReceiptFate>, StoreError> {
    receipts.iter().map(|new| record_one(statements, new)).collect()
}

/// What a receipt is about.
struct Target {
    message_id: MessageId,
    attempt: Option<u16>,
    /// Nobody knew how that attempt ended.
    is_ambiguous: bool,
    /// The number of the attempt with which the present round began, if the message was sent again.
    round: Option<u16>,
    /// Who tells.
    provider: ProviderName,
}

fn record_one(statements: &mut Statements<'_>, new: &NewReceipt) -> Result<ReceiptFate, StoreError> {
    let receipt = &new.receipt;
    let target = match receipt.message_id {
        Some(id) => named(statements, receipt, id)?,
        None => find(statements, receipt)?,
    };
    let Some(target) = target else { return unmatched(statements, new) };
    let message_id = target.message_id;
    keep(statements, new, Some((message_id, target.attempt)))?;
    let (failure, now) = (receipt.failure.as_ref(), receipt.received_at);
    let (from, to) = match target.attempt.filter(|_| target.is_ambiguous) {
        Some(attempt) => {
            let from = super::stands(statements, message_id)?.ok_or(StoreError::Corrupt)?;
            doubt::settle(statements, message_id, attempt, &receipt.provider, told(receipt))?;
            (from, apply(statements, &target, receipt.status, failure, now)?.1)
        }
        None => apply(statements, &target, receipt.status, failure, now)?,
    };
    Ok(ReceiptFate::Matched { message_id, from, to })
}

/// What a receipt tells of an attempt whose end nobody knew.
fn told(receipt: &Receipt) -> Told<'_> {
    use ReceiptStatus::{Failed, Undelivered};
    let has_failed = matches!(receipt.status, Some(Failed | Undelivered));
    Told { id: receipt.provider_message_id.as_str(), has_failed, at: receipt.received_at }
}

/// The message that the callback URL named, if it is there and goes to the number that the receipt names.
fn named(
    statements: &mut Statements<'_>,
    receipt: &Receipt,
    id: MessageId,
) -> Result<Option<Target>, StoreError> {
    let attempt = match receipt.attempt {
        Some(attempt) => Some(attempt),
        None => meant(statements, receipt, id)?,
    };
    let receiver = receipt.receiver.map(|receiver| statements.vault().blind(receiver));
    target(statements, id, attempt, receiver, &receipt.provider)
}

/// The attempt of a message that a receipt is about, if it can be one only.
fn meant(
    statements: &mut Statements<'_>,
    receipt: &Receipt,
    id: MessageId,
) -> Result<Option<u16>, StoreError> {
    let values = params![id.as_bytes(), receipt.provider.as_str(), receipt.provider_message_id.as_str()];
    let unclear: Vec<(u16, bool)> =
        statements.collect(MEANT, values, |row| Ok((get(row, 0)?, get(row, 1)?)))?;
    if let Some((theirs, _)) = unclear.iter().find(|(_, is_known)| *is_known) {
        return Ok(Some(*theirs));
    }
    Ok(if let [(only, _)] = unclear[..] { Some(only) } else { None })
}

fn target(
    statements: &mut Statements<'_>,
    message_id: MessageId,
    attempt: Option<u16>,
    receiver: Option<i64>,
    provider: &ProviderName,
) -> Result<Option<Target>, StoreError> {
    let values = params![message_id.as_bytes(), attempt, provider.as_str()];
    let found = statements
        .first(TARGET, values, |row| Ok((get::<i64>(row, 0)?, get::<Option<bool>>(row, 1)?, get(row, 2)?)))?;
    let Some((goes_to, is_ambiguous, round)) = found else { return Ok(None) };
    if receiver.is_some_and(|named| named != goes_to) {
        return Ok(None);
    }
    let (is_ambiguous, provider) = (is_ambiguous.unwrap_or(false), provider.clone());
    Ok(Some(Target { message_id, attempt, is_ambiguous, round, provider }))
}

/// The message that a provider's id belongs to, by way of the receiver: an index on provider ids would have
/// keys in random order. Newest hours first, where nearly all receipts find their message; the hour to come last, in
/// case the clock was set back.
fn find(statements: &mut Statements<'_>, receipt: &Receipt) -> Result<Option<Target>, StoreError> {
    let Some(receiver) = receipt.receiver else { return Ok(None) };
    let receiver = statements.vault().blind(receiver);
    let newest = receipt.received_at.as_micros() / HOUR;
    for hour in (newest - HOURS_BACK..=newest).rev().chain([newest + 1]) {
        let values = params![hour, receiver, receipt.provider_message_id.as_str(), receipt.provider.as_str()];
        let read = |row: &Row<'_>| Ok((get::<[u8; 16]>(row, 0)?, get::<u16>(row, 1)?));
        if let Some((id, attempt)) = statements.first(FIND, values, read)? {
            return target(statements, MessageId::from_bytes(id), Some(attempt), None, &receipt.provider);
        }
    }
    Ok(None)
}

/// Keeps a receipt whose message is not known, and takes it for that of the only attempt in doubt that it can be
/// about.
fn unmatched(statements: &mut Statements<'_>, new: &NewReceipt) -> Result<ReceiptFate, StoreError> {
    let receipt = &new.receipt;
    keep(statements, new, None)?;
    // One that names a message names the wrong one.
    let (None, Some(receiver)) = (receipt.message_id, receipt.receiver) else {
        return Ok(ReceiptFate::Parked);
    };
    let (provider, now) = (&receipt.provider, receipt.received_at);
    let doubt = doubt::only_doubt(statements, statements.vault().blind(receiver), provider, now)?;
    let Some((message_id, attempt)) = doubt else { return Ok(ReceiptFate::Parked) };
    let from = super::stands(statements, message_id)?.ok_or(StoreError::Corrupt)?;
    if !doubt::settle(statements, message_id, attempt, provider, told(receipt))? {
        return Ok(ReceiptFate::Parked);
    }
    let to = super::stands(statements, message_id)?.ok_or(StoreError::Corrupt)?;
    Ok(ReceiptFate::Matched { message_id, from, to })
}

fn keep(
    statements: &mut Statements<'_>,
    new: &NewReceipt,
    about: Option<(MessageId, Option<u16>)>,
) -> Result<(), StoreError> {
    let receipt = &new.receipt;
    let message_id = about.map(|(message_id, _)| message_id);
    let vault = statements.vault();
    let sealed = vault.seal_callback(&CallbackRow::from(receipt), &new.raw)?;
    statements
        .execute(
            KEEP,
            params![
                receipt.received_at.as_micros(),
                receipt.provider.as_str(),
                receipt.provider_message_id.as_str(),
                receipt.receiver.map(|receiver| vault.blind(receiver)),
                message_id.as_ref().map(MessageId::as_bytes),
                receipt.provider_status,
                receipt.status.map(ReceiptStatus::as_str),
                receipt.failure.as_ref().map(|failure| failure.reason.as_str()),
                receipt.failure.as_ref().and_then(|failure| failure.provider_code.as_deref()),
                receipt.network_code,
                sealed,
                about.map_or(receipt.attempt, |(_, attempt)| attempt),
            ],
        )
        .map(|_rows| ())
}

/// Moves the message by what a receipt says; answers where it stood and stands.
fn apply(
    statements: &mut Statements<'_>,
    target: &Target,
    status: Option<ReceiptStatus>,
    failure: Option<&Failure>,
    now: Timestamp,
) -> Result<(MessageStatus, MessageStatus), StoreError> {
    let message_id = target.message_id;
    // A word that we don't know is kept and changes nothing.
    let counting = match status {
        Some(status) if counts(statements, target, status)? => status,
        _ => {
            let stands = super::stands(statements, message_id)?.ok_or(StoreError::Corrupt)?;
            return Ok((stands, stands));
        }
    };
    let by = Actor::Provider(target.provider.clone());
    let change = Move { message_id, event: counting.event(), failure, provider: None, by, now };
    let (from, to) = move_status(statements, &change)?.ok_or(StoreError::Corrupt)?;
    let has_failed = from != to && matches!(to, MessageStatus::Undelivered | MessageStatus::Failed);
    if has_failed && failure.is_some_and(|failure| failure.reason.another_route_may_help()) {
        let attempt = match target.attempt {
            Some(attempt) => attempt,
            None => last_attempt(statements, message_id)?,
        };
        watches::set(statements, now, &Watch::new(message_id, WatchKind::Undelivered, attempt))?;
    }
    Ok((from, to))
}

/// Whether what a receipt says of its attempt is said of the message.
fn counts(
    statements: &mut Statements<'_>,
    target: &Target,
    status: ReceiptStatus,
) -> Result<bool, StoreError> {
    let Some(attempt) = target.attempt else { return Ok(true) };
    let is_of_this_round = target.round.is_none_or(|round| attempt >= round);
    Ok(match status {
        ReceiptStatus::Delivered => true,
        ReceiptStatus::Sent => is_of_this_round,
        // A later attempt may still do what this one did not.
        ReceiptStatus::Failed | ReceiptStatus::Undelivered => {
            is_of_this_round && attempt >= last_attempt(statements, target.message_id)?
        }
    })
}

/// The number of a message's last attempt; zero if there was none.
pub(super) fn last_attempt(
    statements: &mut Statements<'_>,
    message_id: MessageId,
) -> Result<u16, StoreError> {
    let last = statements.first(LAST_ATTEMPT, params![message_id.as_bytes()], |row| get(row, 0))?;
    Ok(last.unwrap_or(0))
}

/// Applies the receipts that came before the provider's id was known.
pub(super) fn match_parked(
    statements: &mut Statements<'_>,
    message_id: MessageId,
    attempt: u16,
    provider: &ProviderName,
    provider_message_id: &ProviderMessageId,
) -> Result<(), StoreError> {
    let values = params![provider_message_id.as_str(), provider.as_str(), message_id.as_bytes()];
    let parked = statements.collect(PARKED, values, |row| {
        let status: Option<ReceiptStatus> = row::optional_word(row, 2)?;
        Ok((get::<i64>(row, 0)?, row::time(row, 1)?, status, row::failure(row, 3)?))
    })?;
    if parked.is_empty() {
        return Ok(());
    }
    let target = target(statements, message_id, Some(attempt), None, provider)?.ok_or(StoreError::Corrupt)?;
    for (id, received_at, status, failure) in parked {
        statements.execute(MATCH, params![id, message_id.as_bytes(), attempt, received_at.as_micros()])?;
        apply(statements, &target, status, failure.as_ref(), received_at)?;
    }
    Ok(())
}
