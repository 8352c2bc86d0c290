//! Rows into values. A value that can't be read back means a damaged database.

use std::collections::BTreeMap;
use std::str::FromStr;

use domain::attempt::{Acceptance, Attempt, Failure, OutcomeKind, ProviderMessageId, Reason, SubmitOutcome};
use domain::ids::{BulkId, KeyId, MessageId};
use domain::message::Message;
use domain::money::Money;
use domain::phone::{Country, Msisdn};
use domain::route::ProviderName;
use domain::scenario::Priority;
use domain::secret::Body;
use domain::time::Timestamp;

use super::sql::{Row, get, optional_text, text};
use crate::StoreError;
use crate::port::messages::{MessageSummary, ReceiptRecord};
use crate::seal::{CallbackRow, Vault};

/// The columns of a message, for [`message`], which reads them by position.
pub(super) const MESSAGE: &str = "m.id, m.bulk_id, m.caller, m.sealed_receiver, m.country, m.sender, m.scenario, \
     m.priority, m.sealed_body, m.encoding, m.segments, m.reference, m.group_name, m.metadata, m.scheduled_at, \
     m.expires_at, m.created_at, m.template";

/// How many columns [`MESSAGE`] has: the position of the first one after it.
pub(super) const AFTER_MESSAGE: usize = 18;

/// The columns of a state, for [`summary`], after those of the message.
pub(super) const STATE: &str = "s.status, s.provider, s.reason, s.provider_code, s.updated_at";

pub(super) fn message(vault: &Vault, row: &Row<'_>) -> Result<Message, StoreError> {
    let id = MessageId::from_bytes(get(row, 0)?);
    Ok(Message {
        id,
        bulk_id: get::<Option<[u8; 16]>>(row, 1)?.map(BulkId::from_bytes),
        caller: KeyId::from_bytes(get(row, 2)?),
        receiver: msisdn(vault, id, row, 3)?,
        sender: optional_word(row, 5)?,
        scenario: word(row, 6)?,
        priority: word(row, 7)?,
        body: body(vault, id, row, 8)?,
        encoding: word(row, 9)?,
        segments: get(row, 10)?,
        reference: get(row, 11)?,
        group: get(row, 12)?,
        metadata: metadata(row, 13)?,
        scheduled_at: optional_time(row, 14)?,
        expires_at: optional_time(row, 15)?,
        created_at: time(row, 16)?,
        template: optional_word(row, 17)?,
    })
}

pub(super) fn summary(vault: &Vault, row: &Row<'_>) -> Result<MessageSummary, StoreError> {
    Ok(MessageSummary {
        message: message(vault, row)?,
        status: word(row, AFTER_MESSAGE)?,
        provider: word(row, AFTER_MESSAGE + 1)?,
        failure: failure(row, AFTER_MESSAGE + 2)?,
        updated_at: time(row, AFTER_MESSAGE + 4)?,
    })
}

/// Reads `number, provider, started_at, ended_at, outcome, reason, provider_code, provider_message_id,
/// segments, cost_micros, cost_currency`.
pub(super) fn attempt(row: &Row<'_>) -> Result<Attempt, StoreError> {
    let ended_at = optional_time(row, 3)?;
    let ended = match (ended_at, optional_word::<OutcomeKind>(row, 4)?) {
        (Some(at), Some(kind)) => Some((at, outcome(row, kind)?)),
        _ => None,
    };
    Ok(Attempt { number: get(row, 0)?, provider: word(row, 1)?, started_at: time(row, 2)?, ended })
}

fn outcome(row: &Row<'_>, kind: OutcomeKind) -> Result<SubmitOutcome, StoreError> {
    let failed = || Ok(failure(row, 5)?.unwrap_or(Failure::new(Reason::Unknown)));
    Ok(match kind {
        OutcomeKind::Accepted => SubmitOutcome::Accepted(Acceptance {
            provider_message_id: ProviderMessageId::new(get::<String>(row, 7)?).ok_or(StoreError::Corrupt)?,
            segments: get(row, 8)?,
            cost: cost(row, 9)?,
        }),
        OutcomeKind::Rejected => SubmitOutcome::Rejected(failed()?),
        OutcomeKind::NotSubmitted => SubmitOutcome::not_submitted(failed()?),
        OutcomeKind::Ambiguous => SubmitOutcome::Ambiguous(failed()?),
    })
}

/// Reads `cost_micros, cost_currency`.
pub(super) fn cost(row: &Row<'_>, at: usize) -> Result<Option<Money>, StoreError> {
    match (get::<Option<i64>>(row, at)?, get::<Option<String>>(row, at + 1)?) {
        (Some(micros), Some(currency)) => {
            Money::new(micros, &currency).map(Some).map_err(|_unreadable| StoreError::Corrupt)
        }
        _ => Ok(None),
    }
}

/// Reads `received_at, provider, provider_status, status, reason, provider_code, network_code, sealed_raw,
/// attempt, provider_message_id`.
pub(super) fn receipt(vault: &Vault, row: &Row<'_>) -> Result<ReceiptRecord, StoreError> {
    let received_at = time(row, 0)?;
    let place = CallbackRow { received_at, provider_message_id: text(row, 9)? };
    Ok(ReceiptRecord {
        received_at,
        provider: word(row, 1)?,
        provider_status: get(row, 2)?,
        status: optional_word(row, 3)?,
        failure: failure(row, 4)?,
        network_code: get(row, 6)?,
        raw: vault.callback(&place, &get::<Vec<u8>>(row, 7)?)?,
        attempt: get(row, 8)?,
    })
}

/// Reads a reason and, in the next column, the provider's code.
pub(super) fn failure(row: &Row<'_>, at: usize) -> Result<Option<Failure>, StoreError> {
    let Some(reason) = optional_word::<Reason>(row, at)? else { return Ok(None) };
    Ok(Some(Failure { reason, provider_code: get(row, at + 1)? }))
}

/// Reads a message's number and, in the next column, its country.
pub(super) fn msisdn(vault: &Vault, id: MessageId, row: &Row<'_>, at: usize) -> Result<Msisdn, StoreError> {
    let country: Country = word(row, at + 1)?;
    vault.receiver(id, &get::<Vec<u8>>(row, at)?, country)
}

/// Reads a message's text.
pub(super) fn body(vault: &Vault, id: MessageId, row: &Row<'_>, at: usize) -> Result<Body, StoreError> {
    vault.body(id, get::<Option<Vec<u8>>>(row, at)?.as_deref())
}

fn metadata(row: &Row<'_>, at: usize) -> Result<BTreeMap<String, String>, StoreError> {
    match optional_text(row, at)? {
        Some(json) => serde_json::from_str(json).map_err(|_unreadable| StoreError::Corrupt),
        None => Ok(BTreeMap::new()),
    }
}

/// A column that holds a time.
pub(super) fn time(row: &Row<'_>, at: usize) -> Result<Timestamp, StoreError> {
    get(row, at).map(Timestamp::from_micros)
}

/// A column that holds a time or nothing.
pub(super) fn optional_time(row: &Row<'_>, at: usize) -> Result<Option<Timestamp>, StoreError> {
    Ok(get::<Option<i64>>(row, at)?.map(Timestamp::from_micros))
}

/// A column that holds providers, separated by commas.
pub(super) fn providers(row: &Row<'_>, at: usize) -> Result<Vec<ProviderName>, StoreError> {
    match optional_text(row, at)? {
        Some(names) => {
            names.split(',').map(|name| name.parse().map_err(|_impossible| StoreError::Corrupt)).collect()
        }
        None => Ok(Vec::new()),
    }
}

/// A column that holds a lane by its position.
pub(super) fn lane(row: &Row<'_>, at: usize) -> Result<Priority, StoreError> {
    Priority::ALL.get(get::<usize>(row, at)?).copied().ok_or(StoreError::Corrupt)
}

/// A column that holds one of a closed set of words.
pub(super) fn word<T: FromStr>(row: &Row<'_>, at: usize) -> Result<T, StoreError> {
    text(row, at)?.parse().map_err(|_unknown| StoreError::Corrupt)
}

pub(super) fn optional_word<T: FromStr>(row: &Row<'_>, at: usize) -> Result<Option<T>, StoreError> {
    optional_text(row, at)?.map(|word| word.parse().map_err(|_unknown| StoreError::Corrupt)).transpose()
}
