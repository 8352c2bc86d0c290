//! One-time codes of all requests that gathered, beside other writers: begun, checked and ended with a few statements.
//!
//! Whoever begins a verification holds the place of its receiver to the end of the transaction, so that of two nodes which
//! begin one for the same receiver the second sees what the first began. Rows are locked together and in the order of
//! their ids, before anything is decided about them.

use std::collections::BTreeMap;

use domain::audit::{Actor, Event, NewEntry};
use domain::conversion::Conversion;
use domain::event::NewEvent;
use domain::guard::Bucket;
use domain::ids::{MessageId, VerificationId};
use domain::message::{MessageStatus, StatusEvent};
use domain::phone::Country;
use domain::route::ProviderName;
use domain::time::Timestamp;
use domain::verification::Examined;

use crate::StoreError;
use crate::group::{Batch, Pending};
use crate::port::guard::FeedbackOutcome;
use crate::port::messages::{Accept, Accepted, NewMessage};
use crate::port::verifications::{ChangeVerifications, Seen};
use crate::postgres::row::word;
use crate::postgres::sql::{Row, Statements, column, get, params};
use crate::postgres::write::events::raise;
use crate::postgres::write::guard::CONFIRM;
use crate::postgres::write::verifications::{Blow, Kept, begun, kept, sealed_code};

/// In an order that all have. No other lock of this kind has one number.
const HOLD: &str = "SELECT pg_advisory_xact_lock(k) FROM UNNEST($1::int8[]) AS e (k)";

/// The columns are those of one that is found row by row.
const LOCK: &str = "SELECT message_id, caller, receiver_hash, country, status, code_hash, checks_left, created_at, \
     expires_at, ended_at FROM verifications WHERE (status = 'pending' AND receiver_hash = ANY($1::int8[])) \
     OR message_id = ANY($2::uuid[]) ORDER BY message_id FOR UPDATE";

const BEGIN: &str = "INSERT INTO verifications (message_id, caller, receiver_hash, country, status, code_hash, \
     sealed_code, checks_left, created_at, expires_at) \
     SELECT e.id, e.caller, e.hash, e.country, 'pending', e.code_hash, e.code, e.checks, e.created_at, e.expires_at \
     FROM UNNEST($1::uuid[], $2::uuid[], $3::int8[], $4::text[], $5::bytea[], $6::bytea[], $7::int4[], $8::int8[], \
     $9::int8[]) AS e (id, caller, hash, country, code_hash, code, checks, created_at, expires_at)";

/// A code that has ended is not kept.
const MOVE: &str = "UPDATE verifications v SET status = e.status, checks_left = e.checks, ended_at = e.ended_at, \
     sealed_code = CASE WHEN e.ended_at IS NULL THEN v.sealed_code ELSE NULL END \
     FROM UNNEST($1::uuid[], $2::text[], $3::int4[], $4::int8[]) AS e (id, status, checks, ended_at) \
     WHERE v.message_id = e.id";

const ROUTES: &str = "SELECT message_id, status, provider FROM states \
     WHERE message_id = ANY($1::uuid[]) AND message_id BETWEEN $2 AND $3";

/// Those that nobody else decides about at this moment: whoever claims one, or notes that a provider has it, goes before. What
/// is tried again or sent again is written by who runs alone, and sees that the code has ended.
const FREE: &str = "SELECT message_id, status FROM states \
     WHERE message_id = ANY($1::uuid[]) AND message_id BETWEEN $2 AND $3 ORDER BY message_id FOR UPDATE SKIP LOCKED";

const STOP: &str = "UPDATE states s SET status = e.status, reason = NULL, provider_code = NULL, updated_at = e.at \
     FROM UNNEST($1::uuid[], $2::text[], $3::int8[]) AS e (id, status, at) \
     WHERE s.message_id = e.id AND s.message_id BETWEEN $4 AND $5";

/// Their places, as `write::place::VACATE` finds them, but for one that a claim holds: that looks where its message stands, and
/// takes it off the queue.
const VACATE: &str = "WITH free AS (SELECT q.provider, q.lane, q.due_at, q.message_id FROM states s \
     JOIN messages m ON m.id = s.message_id JOIN queue q ON q.provider = s.provider \
     AND q.lane = CASE m.priority WHEN 'critical' THEN 0 WHEN 'high' THEN 1 WHEN 'normal' THEN 2 ELSE 3 END \
     AND q.due_at = CASE WHEN m.scheduled_at > m.created_at THEN m.scheduled_at ELSE m.created_at END \
     AND q.message_id = m.id \
     WHERE s.message_id = ANY($1::uuid[]) AND s.message_id BETWEEN $2 AND $3 AND m.id BETWEEN $2 AND $3 \
     FOR UPDATE OF q SKIP LOCKED) \
     DELETE FROM queue q USING free f WHERE q.provider = f.provider AND q.lane = f.lane AND q.due_at = f.due_at \
     AND q.message_id = f.message_id";

const COUNT: &str = "INSERT INTO conversions AS c (grain, bucket, provider, country, sent, verified) \
     SELECT e.grain, e.bucket, e.provider, e.country, e.sent, e.verified \
     FROM UNNEST($1::text[], $2::int8[], $3::text[], $4::text[], $5::int8[], $6::int8[]) \
     AS e (grain, bucket, provider, country, sent, verified) \
     ORDER BY e.grain COLLATE \"C\", e.bucket, e.provider COLLATE \"C\", e.country COLLATE \"C\" \
     ON CONFLICT (grain, bucket, provider, country) DO UPDATE SET \
     sent = c.sent + excluded.sent, verified = c.verified + excluded.verified";

const SAY: &str = "INSERT INTO feedback (message_id, outcome, at) \
     SELECT e.message_id, $2::text, $3::int8 FROM UNNEST($1::uuid[]) AS e (message_id) \
     ORDER BY e.message_id ON CONFLICT DO NOTHING RETURNING message_id";

/// Counts for a row of conversions.
pub(super) type Counted = BTreeMap<(Bucket, ProviderName, Country), Conversion>;

/// Begins what was accepted, and does what is asked. Answers what to count when everything else is done: whoever has locked
/// a count waits for nobody.
pub(super) fn run(statements: &mut Statements<'_>, batch: &mut Batch) -> Result<Counted, StoreError> {
    let vault = statements.vault();
    let begins: Vec<(&NewMessage, i64)> = batch
        .accepts
        .iter()
        .filter(|pending| is_stored(pending))
        .flat_map(|pending| &pending.question.messages)
        .filter(|new| new.verification.is_some())
        .map(|new| (new, vault.blind(new.message.receiver)))
        .collect();
    if begins.is_empty() && batch.verifications.is_empty() {
        return Ok(Counted::new());
    }
    let mut rows = lock(statements, &begins, &batch.verifications)?;
    let mut moved = Moved::default();
    begin(statements, &begins, &mut rows, &mut moved)?;
    let mut seen = Vec::with_capacity(batch.verifications.len());
    for pending in &batch.verifications {
        seen.push(change(statements, &pending.question, &mut rows, &mut moved));
    }
    let news = write(statements, &rows, &moved)?;
    stop(statements, &moved)?;
    raise(statements, &moved.events)?;
    for (pending, mut seen) in batch.verifications.iter_mut().zip(seen) {
        for seen in seen.iter_mut().flatten() {
            seen.is_news = seen.examined == Examined::Right && news.contains(&seen.verification.id);
        }
        pending.answer = Some(seen);
    }
    count(statements, &rows, &moved)
}

fn is_stored(pending: &Pending<Accept, Accepted>) -> bool {
    matches!(pending.answer, Some(Accepted::Stored | Accepted::StoredWithin(_)))
}

type Rows = BTreeMap<VerificationId, Kept>;

/// What has happened to rows of which this transaction holds the lock.
#[derive(Default)]
struct Moved {
    changed: Vec<VerificationId>,
    ended: Vec<VerificationId>,
    /// Messages whose codes have ended, with who ended them and when.
    stopped: BTreeMap<MessageId, (Actor, Timestamp)>,
    approved: Vec<(VerificationId, Timestamp)>,
    events: Vec<NewEvent>,
}

impl Moved {
    fn note(
        &mut self,
        statements: &mut Statements<'_>,
        row: &Kept,
        came: (Examined, bool),
        by: &Actor,
        now: Timestamp,
    ) {
        let (examined, has_ended) = came;
        if examined == Examined::Not && !has_ended {
            return;
        }
        let id = row.verification.id;
        self.changed.push(id);
        if has_ended {
            self.ended.push(id);
            self.events.extend(row.event());
        }
        if has_ended && row.stops_message() {
            self.stopped.insert(id.message(), (by.clone(), now));
        }
        if examined == Examined::Right {
            self.approved.push((id, now));
        }
        statements.tell(row.entry(came, by, now));
    }
}

fn lock(
    statements: &mut Statements<'_>,
    begins: &[(&NewMessage, i64)],
    changes: &[Pending<ChangeVerifications, Vec<Option<Seen>>>],
) -> Result<Rows, StoreError> {
    let mut places: Vec<i64> = begins.iter().map(|(_, receiver)| *receiver).collect();
    places.sort_unstable();
    places.dedup();
    if !places.is_empty() {
        statements.execute(HOLD, params![column(&places)])?;
    }
    let asked = changes.iter().flat_map(|pending| &pending.question.ids);
    let values = params![column(&places), column(asked.map(VerificationId::as_bytes))];
    let rows = statements.collect(LOCK, values, kept)?;
    Ok(rows.into_iter().map(|row| (row.verification.id, row)).collect())
}

fn begin(
    statements: &mut Statements<'_>,
    begins: &[(&NewMessage, i64)],
    rows: &mut Rows,
    moved: &mut Moved,
) -> Result<(), StoreError> {
    if begins.is_empty() {
        return Ok(());
    }
    let vault = statements.vault();
    // Of several for one receiver that gathered, each takes the place of those before it: the last one stays.
    for (new, receiver) in begins {
        let (message, by) = (&new.message, Actor::Key(new.message.caller));
        for open in rows.values_mut() {
            if open.receiver_hash == *receiver && open.verification.caller == message.caller {
                let came = open.after(Blow::Superseded, &vault, message.created_at);
                moved.note(statements, open, came, &by, message.created_at);
            }
        }
        if let Some(row) = Kept::begun(&vault, new, *receiver) {
            rows.insert(row.verification.id, row);
        }
        statements.tell(begun(new, *receiver));
    }
    insert(statements, begins, rows)
}

fn insert(
    statements: &mut Statements<'_>,
    begins: &[(&NewMessage, i64)],
    rows: &Rows,
) -> Result<(), StoreError> {
    let vault = statements.vault();
    let new = || begins.iter().filter_map(|(new, _)| new.verification.as_deref());
    let messages = || begins.iter().map(|(new, _)| &new.message);
    let ids = || messages().map(|message| VerificationId::of(message.id));
    let codes = ids().zip(new()).map(|(id, new)| sealed_code(&vault, id, new));
    let codes = codes.collect::<Result<Vec<_>, _>>()?;
    let values = params![
        column(ids().map(|id| *id.as_bytes())),
        column(messages().map(|message| message.caller.as_bytes())),
        column(begins.iter().map(|(_, receiver)| *receiver)),
        column(messages().map(|message| message.receiver.country().as_str().to_owned())),
        column(ids().filter_map(|id| rows.get(&id)).map(|row| row.code_hash)),
        column(codes),
        column(new().map(|new| new.checks)),
        column(messages().map(|message| message.created_at.as_micros())),
        column(new().map(|new| new.expires_at.as_micros())),
    ];
    statements.send(BEGIN, values)
}

/// In the order in which they gathered: of all that give the right code, one is the first.
fn change(
    statements: &mut Statements<'_>,
    change: &ChangeVerifications,
    rows: &mut Rows,
    moved: &mut Moved,
) -> Vec<Option<Seen>> {
    let vault = statements.vault();
    let one = |id: &VerificationId| {
        let row = rows.get_mut(id).filter(|row| row.is_of(change.caller))?;
        let came = row.after(Blow::Deed(&change.deed), &vault, change.now);
        moved.note(statements, row, came, &change.by, change.now);
        let verification = row.verification.clone();
        Some(Seen { verification, examined: came.0, has_ended: came.1, is_news: false })
    };
    change.ids.iter().map(one).collect()
}

/// Writes every row that changed, as it is now. Answers those that were approved and of which nobody said so before.
fn write(
    statements: &mut Statements<'_>,
    rows: &Rows,
    moved: &Moved,
) -> Result<Vec<VerificationId>, StoreError> {
    let mut ids = moved.changed.clone();
    ids.sort_unstable();
    ids.dedup();
    let changed: Vec<_> = ids.iter().filter_map(|id| rows.get(id)).map(|row| &row.verification).collect();
    if !changed.is_empty() {
        let values = params![
            column(changed.iter().map(|it| it.id.as_bytes())),
            column(changed.iter().map(|it| it.progress.status.as_str())),
            column(changed.iter().map(|it| it.progress.checks_left)),
            column(changed.iter().map(|it| it.ended_at.map(Timestamp::as_micros))),
        ];
        statements.send(MOVE, values)?;
    }
    let Some(now) = moved.approved.iter().map(|(_, at)| *at).max() else { return Ok(Vec::new()) };
    let values = params![
        column(moved.approved.iter().map(|(id, _)| id.as_bytes())),
        FeedbackOutcome::Confirmed.as_str(),
        now.as_micros(),
    ];
    let news = statements.collect(SAY, values, |row| Ok(VerificationId::from_bytes(get(row, 0)?)))?;
    for id in &news {
        statements.execute(CONFIRM, params![id.as_bytes()])?;
    }
    Ok(news)
}

/// Stops messages that have not left and whose codes have ended. Rows of states were to be locked before those of verifications:
/// so nothing is waited for here.
fn stop(statements: &mut Statements<'_>, moved: &Moved) -> Result<(), StoreError> {
    let ids = || moved.stopped.keys();
    let (Some(first), Some(last)) = (ids().next(), ids().next_back()) else { return Ok(()) };
    let values = params![super::ids(ids()), first.as_bytes(), last.as_bytes()];
    let read = |row: &Row<'_>| Ok((MessageId::from_bytes(get(row, 0)?), word::<MessageStatus>(row, 1).ok()));
    let mut stopped = Vec::new();
    for (id, from) in statements.collect(FREE, values, read)? {
        let Some(from) = from else { continue };
        let to = from.after(StatusEvent::Stopped);
        let Some((by, now)) = moved.stopped.get(&id).filter(|_| to != from) else { continue };
        let entry = Event::of_move(StatusEvent::Stopped, to);
        let entry =
            entry.map(|event| NewEntry { message_id: Some(id), ..NewEntry::new(*now, by.clone(), event) });
        statements.tell(entry);
        stopped.push((id, to, *now));
    }
    if stopped.is_empty() {
        return Ok(());
    }
    let values = params![
        super::ids(stopped.iter().map(|(id, ..)| id)),
        column(stopped.iter().map(|(_, to, _)| to.as_str())),
        column(stopped.iter().map(|(.., at)| at.as_micros())),
        first.as_bytes(),
        last.as_bytes(),
    ];
    statements.send(STOP, values)?;
    let values = params![super::ids(stopped.iter().map(|(id, ..)| id)), first.as_bytes(), last.as_bytes()];
    statements.send(VACATE, values)
}

fn count(statements: &mut Statements<'_>, rows: &Rows, moved: &Moved) -> Result<Counted, StoreError> {
    let ended = || moved.ended.iter().map(|id| id.message());
    let (Some(first), Some(last)) = (ended().min(), ended().max()) else { return Ok(Counted::new()) };
    let read = |row: &Row<'_>| {
        let id = MessageId::from_bytes(get(row, 0)?);
        Ok((id, word::<MessageStatus>(row, 1)?, word::<ProviderName>(row, 2)?))
    };
    let values = params![super::ids(&ended().collect::<Vec<_>>()), first.as_bytes(), last.as_bytes()];
    let mut counted = Counted::new();
    for (id, standing, provider) in statements.collect(ROUTES, values, read)? {
        let Some(row) = rows.get(&VerificationId::of(id)) else { continue };
        let Some(conversion) = row.conversion(standing) else { continue };
        for bucket in row.buckets() {
            let place = counted.entry((bucket, provider.clone(), row.verification.country)).or_default();
            *place = Conversion::plus(*place, conversion);
        }
    }
    Ok(counted)
}

/// Adds to what routes have come to, in an order that all have.
pub(super) fn add(statements: &mut Statements<'_>, counted: &Counted) -> Result<(), StoreError> {
    if counted.is_empty() {
        return Ok(());
    }
    let values = params![
        column(counted.keys().map(|(bucket, ..)| bucket.grain.as_str())),
        column(counted.keys().map(|(bucket, ..)| bucket.number)),
        column(counted.keys().map(|(_, provider, _)| provider.as_str())),
        column(counted.keys().map(|(.., country)| country.as_str().to_owned())),
        column(counted.values().map(|count| count.sent.cast_signed())),
        column(counted.values().map(|count| count.verified.cast_signed())),
    ];
    statements.send(COUNT, values)
}
