//! Attempts whose end nobody knows, and what tells it after all: a receipt.
//!
//! A receipt that names our attempt settles it. One that names no message of ours may still be about an attempt in
//! doubt: it is taken for that if it can be about no other. What could be meant is every attempt of its provider at
//! its receiver, of the last days, of which we know no provider's id: those under way, those in doubt, and those that
//! were given up.

use std::ops::ControlFlow;

use domain::attempt::ProviderMessageId;
use domain::audit::Actor;
use domain::ids::MessageId;
use domain::message::StatusEvent;
use domain::route::ProviderName;
use domain::time::Timestamp;

use super::super::read::HOUR;
use super::super::row::time;
use super::super::sql::{Row, Statements, get, params};
use super::{Move, move_status, receipts};
use crate::StoreError;

/// Whether it is for this attempt to say what comes next: the message still waits for its outcome, and no later
/// attempt was made. And how often the message was sent again.
pub(in super::super) const IS_IN_FORCE: &str = "SELECT status = 'sending' AND NOT EXISTS \
     (SELECT 1 FROM attempts WHERE message_id = ?1 AND number > ?2), \
     (SELECT coalesce(max(resends), 0) FROM rounds WHERE message_id = ?1) FROM states WHERE message_id = ?1";

/// An attempt of which the provider has told that it has the message.
pub(in super::super) const SETTLE: &str = "UPDATE attempts \
     SET outcome = 'accepted', reason = NULL, provider_code = NULL, provider_message_id = ?3 \
     WHERE message_id = ?1 AND number = ?2 AND outcome = 'ambiguous'";

pub(in super::super) const ROUND: &str = "SELECT round FROM rounds WHERE message_id = ?1";

/// What a receipt that is matched to the message already calls an attempt: one that names it, or else one that names
/// none, if no later attempt was made.
pub(in super::super) const TOLD: &str = "SELECT provider_message_id FROM callbacks c \
     WHERE message_id = ?1 AND provider = ?3 AND (attempt = ?2 OR (attempt IS NULL AND NOT EXISTS \
     (SELECT 1 FROM attempts WHERE message_id = ?1 AND (number > ?2 OR provider_message_id = c.provider_message_id)))) \
     ORDER BY attempt IS NULL, id DESC LIMIT 1";

/// The doubts about a provider's attempts at a receiver.
pub(in super::super) const DOUBTS: &str = "SELECT w.message_id, w.attempt \
     FROM watches w CROSS JOIN states s ON s.message_id = w.message_id \
     CROSS JOIN attempts a ON a.message_id = w.message_id AND a.number = w.attempt \
     WHERE w.receiver_hash = ?1 AND w.provider = ?2 AND s.status = 'sending' AND a.outcome = 'ambiguous' \
     AND NOT EXISTS (SELECT 1 FROM attempts l WHERE l.message_id = w.message_id AND l.number > w.attempt) LIMIT 2";

pub(in super::super) const NO_DOUBT: &str = "DELETE FROM watches \
     WHERE receiver_hash = (SELECT receiver_hash FROM messages WHERE id = ?1) AND provider = ?2 AND message_id = ?1 \
     AND attempt <= ?3";

/// A provider's attempts at a receiver, of messages that were accepted in an hour or scheduled for it.
pub(in super::super) const ATTEMPTS_AT: &str = "SELECT a.message_id, a.number, a.outcome, a.provider_message_id, \
     a.started_at \
     FROM messages m CROSS JOIN attempts a ON a.message_id = m.id \
     WHERE m.created_at / 3600000000 = ?1 AND m.receiver_hash = ?2 AND a.provider = ?3 \
     UNION ALL \
     SELECT a.message_id, a.number, a.outcome, a.provider_message_id, \
     a.started_at \
     FROM messages m CROSS JOIN attempts a ON a.message_id = m.id \
     WHERE m.scheduled_at IS NOT NULL AND m.scheduled_at / 3600000000 = ?1 AND m.receiver_hash = ?2 AND a.provider = ?3";

/// The parked receipts of a provider about a receiver, from a time on: their ids. Repeats the condition of the partial
/// index.
pub(in super::super) const PARKED_AT: &str = "SELECT DISTINCT provider_message_id FROM callbacks \
     WHERE message_id IS NULL AND receiver_hash = ?1 AND provider = ?2 AND received_at >= ?3 LIMIT 2";

pub(in super::super) const STARTED: &str =
    "SELECT started_at FROM attempts WHERE message_id = ?1 AND number = ?2";

/// If this attempt says what comes next, how often its message was sent again.
pub(super) fn is_in_force(
    statements: &mut Statements<'_>,
    message_id: MessageId,
    attempt: u16,
) -> Result<Option<u32>, StoreError> {
    let values = params![message_id.as_bytes(), attempt];
    let read = |row: &Row<'_>| Ok((get::<bool>(row, 0)?, get::<u32>(row, 1)?));
    let found = statements.first(IS_IN_FORCE, values, read)?;
    Ok(found.and_then(|(in_force, resends)| in_force.then_some(resends)))
}

/// What told how an ambiguous attempt ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told<'a> {
    /// The provider's id.
    pub(super) id: &'a str,
    /// The provider had the message, and will not deliver it: whoever was told moves the status.
    pub(super) has_failed: bool,
    pub(super) at: Timestamp,
}

/// Settles an ambiguous attempt: the provider took the message, under this id. `false` if it is not ambiguous any
/// more.
pub(super) fn settle(
    statements: &mut Statements<'_>,
    message_id: MessageId,
    attempt: u16,
    provider: &ProviderName,
    told: Told<'_>,
) -> Result<bool, StoreError> {
    let values = params![message_id.as_bytes(), attempt, told.id];
    if statements.execute(SETTLE, values)? == 0 {
        return Ok(false);
    }
    // Not that of a later attempt, which is still in doubt.
    statements.execute(NO_DOUBT, params![message_id.as_bytes(), provider.as_str(), attempt])?;
    let round: Option<u16> = statements.first(ROUND, params![message_id.as_bytes()], |row| get(row, 0))?;
    // What becomes of an attempt of an earlier round, only a delivery tells.
    if !told.has_failed && round.is_none_or(|round| attempt >= round) {
        let change = Move {
            message_id,
            event: StatusEvent::Accepted,
            failure: None,
            provider: Some(provider),
            by: Actor::Provider(provider.clone()),
            now: told.at,
        };
        move_status(statements, &change)?;
    }
    if let Some(id) = ProviderMessageId::new(told.id) {
        receipts::match_parked(statements, message_id, attempt, provider, &id)?;
    }
    Ok(true)
}

/// Settles an attempt that has just become ambiguous, if a receipt has told of it while it was open.
pub(super) fn adopt_told(
    statements: &mut Statements<'_>,
    message_id: MessageId,
    attempt: u16,
    provider: &ProviderName,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let values = params![message_id.as_bytes(), attempt, provider.as_str()];
    let told: Option<String> = statements.first(TOLD, values, |row| get(row, 0))?;
    match told {
        Some(id) => {
            let told = Told { id: &id, has_failed: false, at: now };
            settle(statements, message_id, attempt, provider, told)
        }
        None => Ok(false),
    }
}

/// The one attempt that something without our id from this provider about this receiver must be about: one in doubt, or
/// one whose doubt was given up, if no other is unclear.
pub(super) fn only_doubt(
    statements: &mut Statements<'_>,
    receiver: i64,
    provider: &ProviderName,
    now: Timestamp,
) -> Result<Option<(MessageId, u16)>, StoreError> {
    let values = params![receiver, provider.as_str()];
    let doubts = statements
        .collect(DOUBTS, values, |row| Ok((MessageId::from_bytes(get(row, 0)?), get::<u16>(row, 1)?)))?;
    let (mut unclear, mut is_open) = (doubts, false);
    for_attempts_at(statements, receiver, provider, now, now, |attempt| {
        let names = (attempt.message_id, attempt.number);
        is_open |= attempt.is_open;
        if attempt.is_ambiguous && !unclear.contains(&names) {
            unclear.push(names);
        }
    })?;
    Ok(if let ([only], false) = (&unclear[..], is_open) { Some(*only) } else { None })
}

/// Settles an attempt in doubt by what is parked: if that is about one id of the provider, and can be about no other
/// attempt.
pub(super) fn adopt_parked(
    statements: &mut Statements<'_>,
    message_id: MessageId,
    attempt: u16,
    receiver: i64,
    provider: &ProviderName,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let values = params![message_id.as_bytes(), attempt];
    let started_at: Option<i64> = statements.first(STARTED, values, |row| get(row, 0))?;
    let values = params![receiver, provider.as_str(), started_at];
    let parked: Vec<String> = statements.collect(PARKED_AT, values, |row| get(row, 0))?;
    let [id] = &parked[..] else { return Ok(false) };
    if only_doubt(statements, receiver, provider, now)? != Some((message_id, attempt)) {
        return Ok(false);
    }
    let told = Told { id, has_failed: false, at: now };
    settle(statements, message_id, attempt, provider, told)
}

/// A provider's attempt at a receiver.
pub(in super::super) struct AttemptAt {
    pub(in super::super) message_id: MessageId,
    pub(in super::super) number: u16,
    pub(in super::super) is_open: bool,
    is_ambiguous: bool,
    pub(in super::super) provider_message_id: Option<String>,
    pub(in super::super) started_at: Timestamp,
}

/// Shows the attempts of a provider at a receiver, of messages that were accepted up to `newest`, and as many hours
/// before `oldest` as receipts are matched. One may be shown twice.
fn for_attempts_at(
    statements: &mut Statements<'_>,
    receiver: i64,
    provider: &ProviderName,
    oldest: Timestamp,
    newest: Timestamp,
    mut see: impl FnMut(AttemptAt),
) -> Result<(), StoreError> {
    let oldest = oldest.as_micros() / HOUR - receipts::HOURS_BACK;
    // An hour more: the clock may have been set back.
    for hour in oldest..=newest.as_micros() / HOUR + 1 {
        let values = params![hour, receiver, provider.as_str()];
        statements.walk(ATTEMPTS_AT, values, |row| {
            let outcome: Option<String> = get(row, 2)?;
            see(AttemptAt {
                message_id: MessageId::from_bytes(get(row, 0)?),
                number: get(row, 1)?,
                is_open: outcome.is_none(),
                is_ambiguous: outcome.as_deref() == Some("ambiguous"),
                provider_message_id: get(row, 3)?,
                started_at: time(row, 4)?,
            });
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(())
}

/// The same for a reader.
pub(in super::super) fn attempts_at(
    statements: &mut Statements<'_>,
    receiver: i64,
    provider: &ProviderName,
    oldest: Timestamp,
    newest: Timestamp,
) -> Result<Vec<AttemptAt>, StoreError> {
    let mut found = Vec::new();
    for_attempts_at(statements, receiver, provider, oldest, newest, |attempt| found.push(attempt))?;
    Ok(found)
}
