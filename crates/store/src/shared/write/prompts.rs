//! Prompts: opening, what replies do to them, and their end.
//!
//! A reply is decided about by whoever holds its prompt: with SQLite there is one writer, with PostgreSQL the row is locked first
//! (`postgres/hot/talk.rs`); all else runs in transactions that run alone. So of replies that race one is the first, and a prompt
//! has one outcome.

#[path = "prompts/forget.rs"]
pub(in super::super) mod forget;
#[path = "prompts/kept.rs"]
pub(in super::super) mod kept;
#[path = "prompts/told.rs"]
mod told;

use domain::audit::{Act, Actor, Event, NewEntry};
use domain::ids::{MessageId, PromptId};
use domain::inbound::Inbound;
use domain::phone::Msisdn;
use domain::prompt::binding::{self, Bound, Candidate};
use domain::prompt::{Fate, Outcome};
use domain::reply::Answer;
use domain::time::Timestamp;

use self::kept::{Replies, Reply};
use super::super::people;
use super::super::read::prompts as read;
use super::super::sql::{Row, Statements, get, params};
use super::accept::{accept, earlier};
use super::consent::OptOuts;
use super::{cancel, events};
use crate::StoreError;
use crate::port::inbound::NewInbound;
use crate::port::messages::{Accept, Accepted, Cancel, NewMessage};
use crate::port::prompts::{
    KeptReply, OpenPrompt, OpenQuestion, PromptOpened, PromptReply, Remind, ReplyFate,
};
use crate::seal::Column;

const INSERT: &str = "INSERT INTO prompts (id, caller, kind, reference, policy, veto, created_at, closes_at, reminders, \
     remind_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

const INSERT_RECEIVER: &str =
    "INSERT INTO prompt_receivers (prompt_id, place, receiver_hash) VALUES (?1, ?2, ?3)";

/// Numbered as they come.
const INSERT_MESSAGE: &str = "INSERT INTO prompt_messages (prompt_id, place, number, message_id) SELECT ?1, ?2, \
     count(*), ?3 FROM prompt_messages WHERE prompt_id = ?1 AND place = ?2";

const INSERT_REPLY: &str = "INSERT INTO prompt_replies (inbound_id, prompt_id, place, received_at, fate, answer, \
     sealed_words) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

/// When somebody was asked back last.
pub(in super::super) const LAST_ASK: &str = "SELECT asked_at FROM prompt_asks WHERE receiver_hash = ?1";

const ASK: &str = "INSERT INTO prompt_asks (receiver_hash, inbound_id, asked_at) VALUES (?1, ?2, ?3) \
     ON CONFLICT (receiver_hash) DO UPDATE SET inbound_id = excluded.inbound_id, asked_at = excluded.asked_at";

const NOT_ASKED: &str = "DELETE FROM prompt_asks WHERE receiver_hash = ?1 AND inbound_id = ?2";

const CLOSE: &str = "UPDATE prompts SET closed_at = ?2, closed_by = ?3, outcome = ?4, remind_at = NULL \
     WHERE id = ?1 AND outcome IS NULL";

/// So that whoever is asked about a number finds those that are open among few.
const CLOSE_FOR_ALL: &str = "UPDATE prompt_receivers SET closed_at = ?2 WHERE prompt_id = ?1";

const EXISTS: &str = "SELECT 1 FROM prompts WHERE id = ?1";

/// Its messages that have not left.
pub(in super::super) const WAITING: &str = "SELECT p.message_id FROM prompt_messages p JOIN states s ON s.message_id = p.message_id \
     WHERE p.prompt_id = ?1 AND s.status IN ('scheduled', 'queued')";

pub(in super::super) const OVERDUE: &str =
    "SELECT id FROM prompts WHERE outcome IS NULL AND closes_at <= ?1 ORDER BY closes_at, id LIMIT ?2";

const SET_REMINDER: &str =
    "UPDATE prompts SET remind_at = ?3 WHERE id = ?1 AND remind_at = ?2 AND outcome IS NULL";

pub(in super::super) const PLACE_OF: &str =
    "SELECT place FROM prompt_messages WHERE prompt_id = ?1 AND message_id = ?2";

pub(super) fn open(statements: &mut Statements<'_>, open: &OpenPrompt) -> Result<PromptOpened, StoreError> {
    if let Some(idempotency) = &open.accept.idempotency
        && let Some(earlier) = earlier(statements, idempotency)?
    {
        return Ok(PromptOpened::Accepted(earlier));
    }
    let (prompt, vault) = (&open.prompt, statements.vault());
    let receivers: Vec<i64> =
        open.accept.messages.iter().map(|new| vault.blind(new.message.receiver)).collect();
    let named = people::with_an_open_prompt(statements, &receivers, &prompt.reference)?;
    let taken = receivers.iter().enumerate().filter(|(_, receiver)| named.contains(receiver));
    let taken: Vec<usize> = taken.map(|(place, _)| place).collect();
    if !taken.is_empty() {
        return Ok(PromptOpened::ReferenceTaken(taken));
    }
    let opt_outs = OptOuts::of(statements, open.accept.messages.iter())?;
    let accepted = accept(statements, &open.accept, opt_outs)?;
    if !matches!(accepted, Accepted::Stored | Accepted::StoredWithin(_)) {
        return Ok(PromptOpened::Accepted(accepted));
    }
    let reminders: Vec<i64> = prompt.reminders.iter().map(|at| at.as_micros()).collect();
    let values = params![
        prompt.id.as_bytes(),
        prompt.caller.as_bytes(),
        prompt.kind.as_str(),
        prompt.reference.as_str(),
        prompt.policy.to_string(),
        i64::from(prompt.veto),
        prompt.created_at.as_micros(),
        prompt.closes_at.as_micros(),
        serde_json::to_string(&reminders).map_err(|error| StoreError::Internal(error.to_string()))?,
        reminders.first(),
    ];
    statements.send(INSERT, values)?;
    for (place, (receiver, new)) in receivers.iter().zip(&open.accept.messages).enumerate() {
        statements.send(INSERT_RECEIVER, params![prompt.id.as_bytes(), number(place), receiver])?;
        add_message(statements, prompt.id, place, new.message.id)?;
    }
    let act = Act { by: Actor::Key(prompt.caller), at: prompt.created_at };
    statements.tell(NewEntry::of_act(&act, Event::PromptOpened, prompt.id.to_string()));
    Ok(PromptOpened::Accepted(accepted))
}

fn add_message(
    statements: &mut Statements<'_>,
    prompt: PromptId,
    place: usize,
    message: MessageId,
) -> Result<(), StoreError> {
    let values = params![prompt.as_bytes(), number(place), message.as_bytes()];
    statements.send(INSERT_MESSAGE, values)
}

fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// Finds what a message from a phone answers, keeps it there and decides the outcome.
pub(super) fn heard(
    statements: &mut Statements<'_>,
    new: &NewInbound,
    from: Msisdn,
) -> Result<ReplyFate, StoreError> {
    let receiver = statements.vault().blind(from);
    let Inbound { body, received_at, .. } = &new.inbound;
    let known = read::candidates(statements, receiver)?;
    let candidates: Vec<Candidate> = known.iter().map(|asked| asked.candidate.clone()).collect();
    let bound = binding::bind(body.expose(), *received_at, &candidates, new.doubt);
    let (prompt, fate, answer) = match bound {
        Bound::Nothing => return Ok(ReplyFate::NotOurs),
        Bound::Which => {
            let open = open_questions(known, *received_at);
            return Ok(ReplyFate::Which { open, ask: ask(statements, new, receiver)? });
        }
        Bound::Answers(prompt, answer) => (prompt, Fate::Counted, Some(answer)),
        Bound::TooLate(prompt, answer) => (prompt, Fate::Late, answer),
        Bound::Unclear(prompt) => (prompt, Fate::Unclear, None),
    };
    let about = known.into_iter().find(|asked| asked.candidate.id == prompt).ok_or(StoreError::Corrupt)?;
    let read::Asked { candidate: one, place, caller } = about;
    let [stood, stands] = keep(statements, new, from, &Kept { prompt, place, fate, answer })?;
    let tell = match fate {
        Fate::Counted => stood != answer,
        Fate::Late | Fate::Unclear => ask(statements, new, receiver)?,
    };
    match fate {
        Fate::Counted if stood != stands => decide(statements, prompt, *received_at)?,
        // Nobody has closed it yet, though its time is over.
        Fate::Late if one.closed_at.is_none() => {
            close(statements, prompt, Outcome::Expired, &Act { by: Actor::System, at: *received_at })?;
        }
        // What changes nothing decides nothing.
        Fate::Counted | Fate::Late | Fate::Unclear => {}
    }
    let Candidate { kind, reference, .. } = one;
    Ok(ReplyFate::Kept(KeptReply { prompt, caller, kind, reference, fate, answer, tell }))
}

/// Those that took answers at a time, and do now.
fn open_questions(known: Vec<read::Asked>, at: Timestamp) -> Vec<OpenQuestion> {
    let open = known.into_iter().filter(|asked| asked.candidate.takes_answers_at(at));
    let question = |asked: read::Asked| OpenQuestion {
        caller: asked.caller,
        kind: asked.candidate.kind,
        reference: asked.candidate.reference,
    };
    open.map(question).collect()
}

/// What is kept of a reply.
struct Kept {
    prompt: PromptId,
    place: usize,
    fate: Fate,
    answer: Option<Answer>,
}

/// Answers what that person had answered before, and what now.
fn keep(
    statements: &mut Statements<'_>,
    new: &NewInbound,
    from: Msisdn,
    kept: &Kept,
) -> Result<[Option<Answer>; 2], StoreError> {
    let Inbound { body, provider, received_at, .. } = &new.inbound;
    let Kept { prompt, place, fate, answer } = *kept;
    let mut theirs = Replies::of_place(statements, prompt, place)?;
    let stood = theirs.standing();
    theirs.add(Reply { id: new.id, received_at: *received_at, fate, answer });
    let words = statements.vault().seal_text(Column::ReplyWords, new.id.as_bytes(), body.expose())?;
    let values = params![
        new.id.as_bytes(),
        prompt.as_bytes(),
        number(place),
        received_at.as_micros(),
        fate.as_str(),
        answer.map(Answer::as_str),
        words,
    ];
    statements.send(INSERT_REPLY, values)?;
    theirs.prune(statements, prompt, place)?;
    let act = Act { by: Actor::Provider(provider.clone()), at: *received_at };
    let outcome = answer.filter(|_| fate == Fate::Counted).map(Answer::as_str);
    statements.tell(NewEntry {
        receiver: Some(statements.vault().blind(from)),
        outcome: Some(outcome.unwrap_or(fate.as_str())),
        ..NewEntry::of_act(&act, Event::PromptReplied, prompt.to_string())
    });
    if let Some(takers) = events::takers(statements)?
        && let Some(summary) = read::summary(statements, prompt)?
    {
        let (id, received_at, words) = (new.id, *received_at, body.clone());
        let shown = PromptReply { id, place, received_at, fate, answer, words };
        events::raise_for(statements, takers, &[told::replied(&summary, &shown, from, received_at)])?;
    }
    Ok([stood, theirs.standing()])
}

/// Whether its sender is asked back now, and remembers it.
fn ask(statements: &mut Statements<'_>, new: &NewInbound, receiver: i64) -> Result<bool, StoreError> {
    let now = new.inbound.received_at;
    let last =
        statements.first(LAST_ASK, params![receiver], |row| Ok(Timestamp::from_micros(get(row, 0)?)))?;
    if last.is_some_and(|at| at.plus(new.ask_again_after) > now) {
        return Ok(false);
    }
    statements.send(ASK, params![receiver, new.id.as_bytes(), now.as_micros()])?;
    Ok(true)
}

/// Nobody was asked because of a message after all: there was no room for the question, or it is not wanted.
pub(super) fn was_not_asked(statements: &mut Statements<'_>, new: &NewInbound) -> Result<(), StoreError> {
    let Some(number) = new.inbound.from.phone() else { return Ok(()) };
    let receiver = statements.vault().blind(number);
    statements.execute(NOT_ASKED, params![receiver, new.id.as_bytes()]).map(|_rows| ())
}

/// Closes a prompt if its answers decide it.
fn decide(statements: &mut Statements<'_>, id: PromptId, now: Timestamp) -> Result<(), StoreError> {
    let Some(summary) = read::summary(statements, id)? else { return Ok(()) };
    if let Some(outcome) = summary.tally.outcome(summary.prompt.policy, summary.prompt.veto) {
        close(statements, id, outcome, &Act { by: Actor::System, at: now })?;
    }
    Ok(())
}

/// The only way to an outcome. Answers whether the prompt was open.
fn close(
    statements: &mut Statements<'_>,
    id: PromptId,
    outcome: Outcome,
    act: &Act,
) -> Result<bool, StoreError> {
    let values = params![id.as_bytes(), act.at.as_micros(), act.by.to_string(), outcome.as_str()];
    if statements.execute(CLOSE, values)? == 0 {
        return Ok(false);
    }
    statements.send(CLOSE_FOR_ALL, params![id.as_bytes(), act.at.as_micros()])?;
    // Nobody is asked any more what is decided.
    let messages =
        statements.collect(WAITING, params![id.as_bytes()], |row| get(row, 0).map(MessageId::from_bytes))?;
    cancel::cancel(statements, &Cancel { messages, by: act.by.clone(), now: act.at })?;
    let entry = NewEntry::of_act(act, Event::PromptClosed, id.to_string());
    statements.tell(NewEntry { outcome: Some(outcome.as_str()), ..entry });
    if let Some(takers) = events::takers(statements)?
        && let Some(record) = read::record(statements, id)?
    {
        events::raise_for(statements, takers, &[told::closed(&record, act.at)])?;
    }
    Ok(true)
}

pub(super) fn cancel_one(
    statements: &mut Statements<'_>,
    id: PromptId,
    act: &Act,
) -> Result<Option<bool>, StoreError> {
    if statements.first(EXISTS, params![id.as_bytes()], |_row| Ok(()))?.is_none() {
        return Ok(None);
    }
    close(statements, id, Outcome::Canceled, act).map(Some)
}

pub(super) fn expire(statements: &mut Statements<'_>, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let read = |row: &Row<'_>| get(row, 0).map(PromptId::from_bytes);
    let overdue = statements.collect(OVERDUE, params![now.as_micros(), limit], read)?;
    for id in &overdue {
        close(statements, *id, Outcome::Expired, &Act { by: Actor::System, at: now })?;
    }
    Ok(overdue.len() as u64)
}

pub(super) fn remind(statements: &mut Statements<'_>, remind: &Remind) -> Result<Vec<MessageId>, StoreError> {
    let Some(summary) = read::summary(statements, remind.prompt)? else { return Ok(Vec::new()) };
    // If some were missed, one is enough.
    let next = summary.prompt.reminders.iter().find(|at| **at > remind.now.max(remind.remind_at));
    let id = remind.prompt.as_bytes();
    let values = params![id, remind.remind_at.as_micros(), next.map(|at| at.as_micros())];
    if statements.execute(SET_REMINDER, values)? == 0 {
        return Ok(Vec::new());
    }
    let answers = read::answers(statements, remind.prompt)?;
    let mut due: Vec<(usize, NewMessage)> = Vec::new();
    for (first, new) in &remind.messages {
        let place = statements.first(PLACE_OF, params![id, first.as_bytes()], |row| get::<usize>(row, 0))?;
        due.extend(place.filter(|place| !answers.contains_key(place)).map(|place| (place, new.clone())));
    }
    accept_within_limits(statements, &mut due)?;
    for (place, new) in &due {
        add_message(statements, remind.prompt, *place, new.message.id)?;
    }
    let act = Act { by: Actor::System, at: remind.now };
    statements.tell(NewEntry::of_act(&act, Event::PromptReminded, remind.prompt.to_string()));
    Ok(due.into_iter().map(|(_, new)| new.message.id).collect())
}

/// Accepts what limits let pass and its receivers want: any other reminder is left out.
fn accept_within_limits(
    statements: &mut Statements<'_>,
    due: &mut Vec<(usize, NewMessage)>,
) -> Result<(), StoreError> {
    while !due.is_empty() {
        let messages: Vec<NewMessage> = due.iter().map(|(_, new)| new.clone()).collect();
        let opt_outs = OptOuts::of(statements, messages.iter())?;
        let accept = Accept { messages, idempotency: None, no_repeats_since: None };
        let refused: Vec<MessageId> = match self::accept(statements, &accept, opt_outs)? {
            Accepted::Limited(limited) => limited.iter().map(|one| one.message_id).collect(),
            Accepted::OptedOut(unwanted) => unwanted.iter().map(|one| one.message_id).collect(),
            _ => return Ok(()),
        };
        let before = due.len();
        due.retain(|(_, new)| !refused.contains(&new.message.id));
        if due.len() == before {
            return Err(StoreError::Corrupt);
        }
    }
    Ok(())
}
