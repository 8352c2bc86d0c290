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

/// Everybody who was asked, with the answer that stands: the last one that counted.
macro_rules! places {
    () => {
        "SELECT r.prompt_id, r.place, (SELECT p.answer FROM prompt_replies p WHERE p.prompt_id = r.prompt_id \
         AND p.place = r.place AND p.fate = 'counted' ORDER BY p.received_at DESC, p.inbound_id DESC LIMIT 1), \
         r.left_out FROM prompt_receivers r WHERE r.prompt_id "
    };
}

pub(in super::super) const PLACES: &str = concat!(places!(), "= ?1 ORDER BY r.place");

const MESSAGES: &str = "SELECT p.place, p.message_id, s.status, m.sealed_receiver, m.country FROM prompt_messages p \
     LEFT JOIN states s ON s.message_id = p.message_id LEFT JOIN messages m ON m.id = p.message_id \
     WHERE p.prompt_id = ?1 ORDER BY p.place, p.number";

const REPLIES: &str = "SELECT inbound_id, place, received_at, fate, answer, sealed_words FROM prompt_replies \
     WHERE prompt_id = ?1 ORDER BY received_at, inbound_id";

/// How many prompts of a number that are closed a reply may still be about. More than these nobody has in mind.
const CLOSED_IN_MIND: u32 = 100;

/// What a reply of somebody may be about: its columns, of `r` and `p`, with the time at which the first message to that one may
/// have left.
macro_rules! asked {
    () => {
        "SELECT p.id, p.kind, p.reference, p.closes_at, p.closed_at, r.place, p.caller, \
         (SELECT min(a.started_at) FROM prompt_messages m JOIN attempts a ON a.message_id = m.message_id \
         WHERE m.prompt_id = r.prompt_id AND m.place = r.place \
         AND (a.outcome IS NULL OR a.outcome IN ('accepted', 'ambiguous'))) "
    };
}

/// All prompts of a number that are open, and those that were closed last. One that was closed by an older version is found among
/// the open ones, and says itself that it is closed.
pub(in super::super) const OF_RECEIVER: &str = concat!(
    asked!(),
    "FROM prompt_receivers r JOIN prompts p ON p.id = r.prompt_id WHERE r.receiver_hash = ?1 \
     AND r.closed_at IS NULL UNION ALL ",
    asked!(),
    "FROM (SELECT prompt_id, place FROM prompt_receivers WHERE receiver_hash = ?1 AND closed_at IS NOT NULL \
     ORDER BY closed_at DESC LIMIT ?2) r JOIN prompts p ON p.id = r.prompt_id"
);

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

pub(in super::super) fn reference(row: &Row<'_>, at: usize) -> Result<Reference, StoreError> {
    text(row, at)?.parse().map_err(|_unreadable| StoreError::Corrupt)
}

/// Somebody who was asked, as far as it can be said without the messages.
struct Person {
    prompt: PromptId,
    place: usize,
    answer: Option<Answer>,
    left_out: u64,
}

fn person(row: &Row<'_>) -> Result<Person, StoreError> {
    Ok(Person {
        prompt: PromptId::from_bytes(get(row, 0)?),
        place: get(row, 1)?,
        answer: optional_word(row, 2)?,
        left_out: get(row, 3)?,
    })
}

/// The answers that stand, by the places of those who gave them.
pub(in super::super) fn answers(
    statements: &mut Statements<'_>,
    id: PromptId,
) -> Result<BTreeMap<usize, Answer>, StoreError> {
    let places = statements.collect(PLACES, params![id.as_bytes()], person)?;
    Ok(places.into_iter().filter_map(|it| Some((it.place, it.answer?))).collect())
}

/// Where a prompt stands, by the places of all whom it was put to.
fn stands<'a>((prompt, closed): Found, places: impl IntoIterator<Item = &'a Person>) -> PromptSummary {
    let answers: Vec<Option<Answer>> = places.into_iter().map(|it| it.answer).collect();
    let asked = u32::try_from(answers.len()).unwrap_or(u32::MAX);
    let tally = Tally::of(prompt.policy, asked, answers.into_iter().flatten());
    PromptSummary { prompt, closed, tally }
}

pub(in super::super) fn summary(
    statements: &mut Statements<'_>,
    id: PromptId,
) -> Result<Option<PromptSummary>, StoreError> {
    let Some(found) = statements.first(ONE, params![id.as_bytes()], prompt)? else { return Ok(None) };
    let places = statements.collect(PLACES, params![id.as_bytes()], person)?;
    Ok(Some(stands(found, &places)))
}

pub(in super::super) fn record(
    statements: &mut Statements<'_>,
    id: PromptId,
) -> Result<Option<PromptRecord>, StoreError> {
    let Some(found) = statements.first(ONE, params![id.as_bytes()], prompt)? else { return Ok(None) };
    let places = statements.collect(PLACES, params![id.as_bytes()], person)?;
    let receivers = receivers(statements, id, &places)?;
    let summary = stands(found, &places);
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

fn receivers(
    statements: &mut Statements<'_>,
    id: PromptId,
    places: &[Person],
) -> Result<Vec<PromptReceiver>, StoreError> {
    let vault = statements.vault();
    let new = |it: &Person| {
        let Person { place, answer, left_out, .. } = *it;
        (place, PromptReceiver { receiver: None, messages: Vec::new(), answer, left_out })
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
    let mut known = statements.collect(OF_RECEIVER, params![receiver, CLOSED_IN_MIND], |row| {
        let candidate = Candidate {
            id: PromptId::from_bytes(get(row, 0)?),
            kind: word(row, 1)?,
            reference: reference(row, 2)?,
            asked_at: optional_time(row, 7)?,
            closes_at: row::time(row, 3)?,
            closed_at: optional_time(row, 4)?,
        };
        Ok(Asked { candidate, place: get(row, 5)?, caller: KeyId::from_bytes(get(row, 6)?) })
    })?;
    known.sort_by_key(|asked| std::cmp::Reverse(asked.candidate.id));
    Ok(known)
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

/// A page and all who were asked by its prompts: two questions, however many prompts.
pub(in super::super) fn list(
    statements: &mut Statements<'_>,
    filter: &PromptFilter,
) -> Result<Vec<PromptSummary>, StoreError> {
    let (which, values) = list_sql(filter);
    let found = statements.collect_of(&format!("{PROMPT} {which}"), sql::list(values.clone()), prompt)?;
    let sql = format!("{}IN (SELECT id FROM prompts {which})", places!());
    let mut places: BTreeMap<PromptId, Vec<Person>> = BTreeMap::new();
    for place in statements.collect_of(&sql, sql::list(values), person)? {
        places.entry(place.prompt).or_default().push(place);
    }
    let page = found.into_iter().map(|found| {
        let places = places.remove(&found.0.id).unwrap_or_default();
        stands(found, &places)
    });
    Ok(page.collect())
}

/// Which prompts are on a page, behind the name of their table.
pub(in super::super) fn list_sql(filter: &PromptFilter) -> (String, Vec<Value>) {
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
    let which = format!("WHERE {} ORDER BY id DESC LIMIT ?{}", conditions.join(" AND "), values.len());
    (which, values)
}
