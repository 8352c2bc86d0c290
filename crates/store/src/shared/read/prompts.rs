//! Prompts, and where they stand.

use std::collections::BTreeMap;

use domain::ids::{InboundId, KeyId, MessageId, PromptId};
use domain::message::{Message, MessageStatus};
use domain::prompt::Tally;
use domain::prompt::binding::Candidate;
use domain::reply::{Answer, Reference};
use domain::secret::Body;
use domain::time::Timestamp;

use super::super::row::{self, MESSAGE, optional_time, optional_word, word};
use super::super::sql::{self, Row, Statements, Value, get, optional_text, params, text};
use super::super::write::prompts::OVERDUE;
use crate::StoreError;
use crate::port::prompts::{
    Closing, DueReminder, NewPrompt, PromptFilter, PromptReceiver, PromptRecord, PromptReply, PromptSummary,
};
use crate::seal::Column;

const PROMPT: &str = "SELECT id, caller, kind, reference, policy, veto, created_at, closes_at, reminders, closed_at, \
     closed_by, outcome FROM prompts";

const ONE: &str = "SELECT id, caller, kind, reference, policy, veto, created_at, closes_at, reminders, closed_at, \
     closed_by, outcome FROM prompts WHERE id = ?1";

const ASKED: &str = "SELECT count(*) FROM prompt_receivers WHERE prompt_id = ?1";

/// The last one of each place is the answer that stands.
const ANSWERS: &str = "SELECT place, answer FROM prompt_replies WHERE prompt_id = ?1 AND fate = 'counted' \
     ORDER BY received_at, inbound_id";

const PLACES: &str = "SELECT place FROM prompt_receivers WHERE prompt_id = ?1 ORDER BY place";

const MESSAGES: &str = "SELECT p.place, p.message_id, s.status, m.sealed_receiver, m.country FROM prompt_messages p \
     LEFT JOIN states s ON s.message_id = p.message_id LEFT JOIN messages m ON m.id = p.message_id \
     WHERE p.prompt_id = ?1 ORDER BY p.place, p.number";

const REPLIES: &str = "SELECT inbound_id, place, received_at, fate, answer, sealed_words FROM prompt_replies \
     WHERE prompt_id = ?1 ORDER BY received_at, inbound_id";

/// The newest prompts that were put to a number, and when the first of their messages may have left. More than these nobody has
/// in mind.
pub(in super::super) const OF_RECEIVER: &str = "SELECT p.id, p.kind, p.reference, p.closes_at, p.closed_at, r.place, p.caller, \
     (SELECT min(a.started_at) FROM prompt_messages m JOIN attempts a ON a.message_id = m.message_id \
     WHERE m.prompt_id = r.prompt_id AND m.place = r.place \
     AND (a.outcome IS NULL OR a.outcome IN ('accepted', 'ambiguous'))) \
     FROM prompt_receivers r JOIN prompts p ON p.id = r.prompt_id \
     WHERE r.receiver_hash = ?1 ORDER BY r.prompt_id DESC LIMIT 200";

pub(in super::super) const DUE: &str = "SELECT id, remind_at, closes_at FROM prompts WHERE remind_at IS NOT NULL \
     AND remind_at <= ?1 ORDER BY remind_at, id LIMIT ?2";

/// What has not left needs no reminder, nor what will not leave any more.
const IS_WITH_ITS_RECEIVER: &str = "s.status NOT IN ('scheduled', 'queued', 'sending', 'canceled', 'expired') \
     AND m.sealed_body IS NOT NULL";

/// A prompt, and its end.
type Found = (NewPrompt, Option<Closing>);

fn prompt(row: &Row<'_>) -> Result<Found, StoreError> {
    let reminders: Vec<i64> =
        serde_json::from_str(text(row, 8)?).map_err(|_unreadable| StoreError::Corrupt)?;
    let prompt = NewPrompt {
        id: PromptId::from_bytes(get(row, 0)?),
        caller: KeyId::from_bytes(get(row, 1)?),
        kind: word(row, 2)?,
        reference: reference(row, 3)?,
        policy: text(row, 4)?.parse().map_err(|_unreadable| StoreError::Corrupt)?,
        veto: get::<i64>(row, 5)? != 0,
        created_at: row::time(row, 6)?,
        closes_at: row::time(row, 7)?,
        reminders: reminders.into_iter().map(Timestamp::from_micros).collect(),
    };
    let by = optional_text(row, 10)?.map(|actor| actor.parse().map_err(|_unreadable| StoreError::Corrupt));
    let closed = match (optional_time(row, 9)?, optional_word(row, 11)?, by.transpose()?) {
        (Some(at), Some(outcome), Some(by)) => Some((at, outcome, by)),
        _ => None,
    };
    Ok((prompt, closed))
}

fn reference(row: &Row<'_>, at: usize) -> Result<Reference, StoreError> {
    text(row, at)?.parse().map_err(|_unreadable| StoreError::Corrupt)
}

/// The answers that stand, by the places of those who gave them.
pub(in super::super) fn answers(
    statements: &mut Statements<'_>,
    id: PromptId,
) -> Result<BTreeMap<usize, Answer>, StoreError> {
    let read = |row: &Row<'_>| Ok((get(row, 0)?, word(row, 1)?));
    Ok(statements.collect(ANSWERS, params![id.as_bytes()], read)?.into_iter().collect())
}

fn stands(statements: &mut Statements<'_>, (prompt, closed): Found) -> Result<PromptSummary, StoreError> {
    let asked = statements.first(ASKED, params![prompt.id.as_bytes()], |row| get::<u32>(row, 0))?;
    let answers = answers(statements, prompt.id)?;
    let tally = Tally::of(prompt.policy, asked.unwrap_or(0), answers.into_values());
    Ok(PromptSummary { prompt, closed, tally })
}

pub(in super::super) fn summary(
    statements: &mut Statements<'_>,
    id: PromptId,
) -> Result<Option<PromptSummary>, StoreError> {
    let found = statements.first(ONE, params![id.as_bytes()], prompt)?;
    found.map(|found| stands(statements, found)).transpose()
}

pub(in super::super) fn record(
    statements: &mut Statements<'_>,
    id: PromptId,
) -> Result<Option<PromptRecord>, StoreError> {
    let Some(summary) = summary(statements, id)? else { return Ok(None) };
    let receivers = receivers(statements, id)?;
    let vault = statements.vault();
    let replies = statements.collect(REPLIES, params![id.as_bytes()], |row| {
        let id = InboundId::from_bytes(get(row, 0)?);
        let words = match get::<Option<Vec<u8>>>(row, 5)? {
            Some(sealed) => vault.open_text(Column::ReplyWords, id.as_bytes(), &sealed)?,
            None => Body::erased(),
        };
        Ok(PromptReply {
            id,
            place: get(row, 1)?,
            received_at: row::time(row, 2)?,
            fate: word(row, 3)?,
            answer: optional_word(row, 4)?,
            words,
        })
    })?;
    Ok(Some(PromptRecord { summary, receivers, replies }))
}

fn receivers(statements: &mut Statements<'_>, id: PromptId) -> Result<Vec<PromptReceiver>, StoreError> {
    let vault = statements.vault();
    let answers = answers(statements, id)?;
    let places: Vec<usize> = statements.collect(PLACES, params![id.as_bytes()], |row| get(row, 0))?;
    let new = |place: &usize| {
        let answer = answers.get(place).copied();
        (*place, PromptReceiver { receiver: None, messages: Vec::new(), answer })
    };
    let mut receivers: BTreeMap<usize, PromptReceiver> = places.iter().map(new).collect();
    let read = |row: &Row<'_>| {
        let message = MessageId::from_bytes(get(row, 1)?);
        let receiver = match get::<Option<Vec<u8>>>(row, 3)? {
            Some(sealed) => Some(vault.receiver(message, &sealed, word(row, 4)?)?),
            None => None,
        };
        Ok((get::<usize>(row, 0)?, message, optional_word::<MessageStatus>(row, 2)?, receiver))
    };
    for (place, message, status, number) in statements.collect(MESSAGES, params![id.as_bytes()], read)? {
        if let Some(receiver) = receivers.get_mut(&place) {
            receiver.messages.push((message, status));
            receiver.receiver = receiver.receiver.or(number);
        }
    }
    Ok(receivers.into_values().collect())
}

/// What a reply of somebody may be about.
pub(in super::super) struct Asked {
    pub(in super::super) candidate: Candidate,
    /// The place of that person in it.
    pub(in super::super) place: usize,
    /// Whose prompt it is.
    pub(in super::super) caller: KeyId,
}

/// What a reply of somebody may be about, the newest first.
pub(in super::super) fn candidates(
    statements: &mut Statements<'_>,
    receiver: i64,
) -> Result<Vec<Asked>, StoreError> {
    statements.collect(OF_RECEIVER, params![receiver], |row| {
        let candidate = Candidate {
            id: PromptId::from_bytes(get(row, 0)?),
            kind: word(row, 1)?,
            reference: reference(row, 2)?,
            asked_at: optional_time(row, 7)?,
            closes_at: row::time(row, 3)?,
            closed_at: optional_time(row, 4)?,
        };
        Ok(Asked { candidate, place: get(row, 5)?, caller: KeyId::from_bytes(get(row, 6)?) })
    })
}

/// Whether the time of any is over.
pub(in super::super) fn is_any_overdue(
    statements: &mut Statements<'_>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let found = statements.first(OVERDUE, params![now.as_micros(), 1_u32], |_row| Ok(()))?;
    Ok(found.is_some())
}

pub(in super::super) fn due(
    statements: &mut Statements<'_>,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<DueReminder>, StoreError> {
    let read =
        |row: &Row<'_>| Ok((PromptId::from_bytes(get(row, 0)?), row::time(row, 1)?, row::time(row, 2)?));
    let due = statements.collect(DUE, params![now.as_micros(), limit], read)?;
    let mut reminders = Vec::with_capacity(due.len());
    for (prompt, remind_at, closes_at) in due {
        let answers = answers(statements, prompt)?;
        let sent = first_messages(statements, prompt)?;
        let silent = sent.into_iter().filter(|(place, _)| !answers.contains_key(place));
        let messages = silent.map(|(_, message)| message).collect();
        reminders.push(DueReminder { prompt, remind_at, closes_at, messages });
    }
    Ok(reminders)
}

fn first_messages(
    statements: &mut Statements<'_>,
    id: PromptId,
) -> Result<Vec<(usize, Message)>, StoreError> {
    let vault = statements.vault();
    let sql = format!(
        "SELECT {MESSAGE}, p.place FROM prompt_messages p JOIN messages m ON m.id = p.message_id \
         JOIN states s ON s.message_id = p.message_id \
         WHERE p.prompt_id = ?1 AND p.number = 0 AND {IS_WITH_ITS_RECEIVER} ORDER BY p.place"
    );
    let read = |row: &Row<'_>| Ok((get(row, row::AFTER_MESSAGE)?, row::message(&vault, row)?));
    statements.collect_of(&sql, params![id.as_bytes()], read)
}

pub(in super::super) fn list(
    statements: &mut Statements<'_>,
    filter: &PromptFilter,
) -> Result<Vec<PromptSummary>, StoreError> {
    let (mut conditions, mut values) = (vec!["true".to_owned()], Vec::new());
    let mut condition = |sql: &str, value: Value| {
        values.push(value);
        conditions.push(format!("{sql} ?{}", values.len()));
    };
    if let Some(caller) = filter.caller {
        condition("caller =", Value::Blob(caller.as_bytes().to_vec()));
    }
    if let Some(after) = filter.after {
        condition("id <", Value::Blob(after.as_bytes().to_vec()));
    }
    match filter.is_open {
        Some(true) => conditions.push("outcome IS NULL".into()),
        Some(false) => conditions.push("outcome IS NOT NULL".into()),
        None => {}
    }
    values.push(Value::Integer(filter.limit.into()));
    let sql = format!("{PROMPT} WHERE {} ORDER BY id DESC LIMIT ?{}", conditions.join(" AND "), values.len());
    let found = statements.collect_of(&sql, sql::list(values), prompt)?;
    found.into_iter().map(|found| stands(statements, found)).collect()
}
