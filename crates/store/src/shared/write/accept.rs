//! Accepting: message, state and queue row, or the reply of an earlier request with the same key.

use std::ops::ControlFlow;
use std::time::Duration;

use domain::ids::{BulkId, MessageId};
use domain::message::Message;
use domain::phone::SenderId;
use domain::scenario::Scenario;
use domain::time::Timestamp;

use super::super::read::HOUR;
use super::super::row;
use super::super::sql::{Row, Statements, get, params};
use super::consent::OptOuts;
use super::{quotas, spending, verifications};
use crate::StoreError;
use crate::port::messages::{Accept, Accepted, Idempotency, NewMessage};

const INSERT_MESSAGE: &str = "INSERT INTO messages (id, bulk_id, caller, receiver_hash, country, sender, scenario, \
     priority, sealed_body, encoding, segments, reference, group_name, metadata, scheduled_at, expires_at, created_at, \
     sealed_receiver, template) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, \
     ?19)";

const INSERT_STATE: &str =
    "INSERT INTO states (message_id, status, provider, updated_at) VALUES (?1, ?2, ?3, ?4)";

/// A code: its text does not stay.
const INSERT_ERASABLE: &str = "INSERT INTO erasable (message_id) VALUES (?1)";

const ENQUEUE: &str = "INSERT INTO queue (provider, lane, due_at, message_id, attempt, expires_at) \
     VALUES (?1, ?2, ?3, ?4, 1, ?5)";

/// A caller's text to a receiver, of messages that were accepted in an hour. A plus keeps the caller from choosing the
/// index.
pub(in super::super) const REPEATED: &str = "SELECT id, sealed_body FROM messages WHERE created_at / 3600000000 = ?1 \
     AND receiver_hash = ?2 AND +caller = ?3 AND created_at >= ?4";

pub(in super::super) const EARLIER: &str =
    "SELECT request, reply FROM idempotency WHERE day = ?1 AND key = ?2 AND created_at >= ?3";

/// A key of the same day that has run out makes room for its successor.
const REMEMBER: &str = "INSERT INTO idempotency (day, key, request, reply, created_at) \
     VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (day, key) DO UPDATE SET request = excluded.request, \
     reply = excluded.reply, created_at = excluded.created_at";

pub(super) fn accept(
    statements: &mut Statements<'_>,
    accept: &Accept,
    opt_outs: OptOuts,
) -> Result<Accepted, StoreError> {
    if let Some(idempotency) = &accept.idempotency {
        if let Some(earlier) = earlier(statements, idempotency)? {
            return Ok(earlier);
        }
    } else if let Some(since) = accept.no_repeats_since {
        let repeated = repeated(statements, &accept.messages, since)?;
        if !repeated.is_empty() {
            return Ok(Accepted::Duplicates(repeated));
        }
    }
    let held_back = opt_outs.held_back(statements, &accept.messages)?;
    if !held_back.is_empty() {
        return Ok(Accepted::OptedOut(held_back));
    }
    if verifications::is_late(statements, accept)? {
        return Ok(Accepted::CodeEnded);
    }
    let left = match quotas::draw(statements, &accept.messages)? {
        Ok(left) => left,
        Err(limited) => return Ok(Accepted::Limited(limited)),
    };
    if let Some(idempotency) = &accept.idempotency {
        remember(statements, idempotency)?;
    }
    for new in &accept.messages {
        let receiver = statements.vault().blind(new.message.receiver);
        insert(statements, new, receiver)?;
        spending::reserve(statements, new.message.id, &new.draws, 0)?;
        statements.tell(super::audit::accepted(receiver, new));
        verifications::begin(statements, new, receiver)?;
    }
    Ok(Accepted::stored(left))
}

/// Those of the messages that their caller has sent before, with the same text to the same number.
fn repeated(
    statements: &mut Statements<'_>,
    messages: &[NewMessage],
    since: Timestamp,
) -> Result<Vec<MessageId>, StoreError> {
    let (vault, mut repeated) = (statements.vault(), Vec::new());
    for NewMessage { message, .. } in messages {
        let receiver = vault.blind(message.receiver);
        for hour in since.as_micros() / HOUR..=message.created_at.as_micros() / HOUR {
            let values = params![hour, receiver, message.caller.as_bytes(), since.as_micros()];
            let mut is_repeated = false;
            statements.walk(REPEATED, values, |row| {
                let body = row::body(&vault, MessageId::from_bytes(get(row, 0)?), row, 1)?;
                is_repeated = body == message.body;
                Ok(if is_repeated { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
            if is_repeated {
                repeated.push(message.id);
                break;
            }
        }
    }
    Ok(repeated)
}

/// The caller's own data, as it is kept.
pub(in super::super) fn metadata(message: &Message) -> Result<Option<String>, StoreError> {
    let json = (!message.metadata.is_empty()).then(|| serde_json::to_string(&message.metadata));
    json.transpose().map_err(|error| StoreError::Internal(error.to_string()))
}

fn insert(statements: &mut Statements<'_>, new: &NewMessage, receiver_hash: i64) -> Result<(), StoreError> {
    let message = &new.message;
    let (id, provider) = (message.id.as_bytes(), new.provider.as_str());
    let (vault, metadata) = (statements.vault(), metadata(message)?);
    statements.send(
        INSERT_MESSAGE,
        params![
            id,
            message.bulk_id.as_ref().map(BulkId::as_bytes),
            message.caller.as_bytes(),
            receiver_hash,
            message.receiver.country().as_str(),
            message.sender.as_ref().map(SenderId::as_str),
            message.scenario.as_str(),
            message.priority.as_str(),
            vault.seal_body(message.id, &message.body)?,
            message.encoding.as_str(),
            message.segments,
            message.reference,
            message.group,
            metadata,
            message.scheduled_at.map(Timestamp::as_micros),
            message.expires_at.map(Timestamp::as_micros),
            message.created_at.as_micros(),
            vault.seal_receiver(message.id, message.receiver)?,
            message.template.as_ref().map(ToString::to_string),
        ],
    )?;
    if message.scenario == Scenario::Otp {
        statements.send(INSERT_ERASABLE, params![id])?;
    }
    statements
        .send(INSERT_STATE, params![id, new.status().as_str(), provider, message.created_at.as_micros()])?;
    statements.send(
        ENQUEUE,
        params![
            provider,
            message.priority.index(),
            new.due_at().as_micros(),
            id,
            message.expires_at.map(Timestamp::as_micros),
        ],
    )
}

/// How far the clocks of nodes may be apart.
pub(in super::super) const SKEW: Duration = Duration::from_mins(1);

/// What was answered to an earlier request with this key. A key lives for a day or two: all of them are asked, and the
/// next one if it has begun for a node whose clock is ahead.
pub(in super::super) fn earlier(
    statements: &mut Statements<'_>,
    wanted: &Idempotency,
) -> Result<Option<Accepted>, StoreError> {
    for day in (day(wanted.since)..=day(wanted.now.plus(SKEW))).rev() {
        let values = params![day, wanted.key, wanted.since.as_micros()];
        let read = |row: &Row<'_>| Ok((get::<[u8; 32]>(row, 0)?, get::<String>(row, 1)?));
        let found = statements.first(EARLIER, values, read)?;
        if let Some((request, reply)) = found {
            let same = request == wanted.request;
            return Ok(Some(if same { Accepted::Repeated(reply) } else { Accepted::KeyReused }));
        }
    }
    Ok(None)
}

fn remember(statements: &mut Statements<'_>, idempotency: &Idempotency) -> Result<(), StoreError> {
    statements.send(
        REMEMBER,
        params![
            day(idempotency.now),
            idempotency.key,
            idempotency.request,
            idempotency.reply,
            idempotency.now.as_micros(),
        ],
    )
}

pub(in super::super) fn day(time: Timestamp) -> i64 {
    time.as_micros() / 86_400_000_000
}
