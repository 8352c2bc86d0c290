//! Accepting: messages, states and queue rows of all requests that gathered, in one statement.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::ids::MessageId;
use domain::message::Message;
use domain::phone::SenderId;
use domain::time::Timestamp;

use super::{consent, ids, quotas, spending};
use crate::StoreError;
use crate::group::Pending;
use crate::port::messages::{Accept, Accepted, Idempotency, NewMessage};
use crate::postgres::sql::{Statements, column, get, params};
use crate::postgres::write::accept::{SKEW, day, metadata};
use crate::postgres::write::audit::accepted;
use crate::quotas::Book;
use crate::seal::Vault;

/// All tables by one statement, and what was drawn on quotas: each way to the server and back costs as much as a row.
const INSERT: &str = "WITH messages AS (INSERT INTO messages (id, bulk_id, caller, receiver_hash, country, sender, scenario, \
     priority, sealed_body, encoding, segments, reference, group_name, metadata, scheduled_at, expires_at, created_at, \
     sealed_receiver, template) SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::int8[], $5::text[], $6::text[], $7::text[], \
     $8::text[], $9::bytea[], $10::text[], $11::int4[], $12::text[], $13::text[], $14::text[], $15::int8[], \
     $16::int8[], $17::int8[], $22::bytea[], $26::text[])), \
     states AS (INSERT INTO states (message_id, status, provider, updated_at) \
     SELECT * FROM UNNEST($1::uuid[], $18::text[], $19::text[], $17::int8[])), \
     drawn AS (UPDATE quotas q SET value = e.value, ends_at = e.ends_at \
     FROM UNNEST($23::int8[], $24::int8[], $25::int8[]) AS e (quota, value, ends_at) WHERE q.quota = e.quota), \
     erasable AS (INSERT INTO erasable (message_id) SELECT e.id \
     FROM UNNEST($1::uuid[], $7::text[]) AS e (id, scenario) WHERE e.scenario = 'otp') \
     INSERT INTO queue (provider, lane, due_at, message_id, attempt, expires_at) \
     SELECT e.provider, e.lane, e.due_at, e.message_id, 1, e.expires_at \
     FROM UNNEST($19::text[], $20::int2[], $21::int8[], $1::uuid[], $16::int8[]) \
     AS e (provider, lane, due_at, message_id, expires_at)";

const EARLIER: &str = "SELECT key, request, reply, created_at FROM idempotency \
     WHERE day BETWEEN $2 AND $3 AND key = ANY($1::bytea[]) ORDER BY day, created_at";

/// A key that has run out makes room for its successor. One that another node has just used does not: it is not
/// answered.
const REMEMBER: &str = "INSERT INTO idempotency AS i (day, key, request, reply, created_at) \
     SELECT e.day, e.key, e.request, e.reply, e.created_at \
     FROM UNNEST($1::int8[], $2::bytea[], $3::bytea[], $4::text[], $5::int8[]) \
     AS e (day, key, request, reply, created_at) ORDER BY e.day, e.key \
     ON CONFLICT (day, key) DO UPDATE SET request = excluded.request, reply = excluded.reply, \
     created_at = excluded.created_at WHERE i.created_at < $6 RETURNING key";

type Key = [u8; 32];

pub(super) fn run(
    statements: &mut Statements<'_>,
    pendings: &mut [Pending<Accept, Accepted>],
    quotas_of_others: BTreeSet<i64>,
) -> Result<(), StoreError> {
    let repeatable: Vec<&Idempotency> =
        pendings.iter().filter_map(|pending| pending.question.idempotency.as_ref()).collect();
    let mut known = earlier(statements, &repeatable)?;
    // To look for repetitions, or for what became of a code, is for the other way.
    let plain: Vec<&Accept> =
        pendings.iter().map(|pending| &pending.question).filter(|accept| is_plain(accept)).collect();
    let is_consent_asked = consent::ask(statements, &plain)?;
    let has_quotas = quotas::lock(statements, &plain, quotas_of_others)?;
    statements.flush();
    let mut sealed = seal(&statements.vault(), &plain)?;
    let mut book = if has_quotas { quotas::book(statements)? } else { Book::default() };
    let opt_outs = if is_consent_asked { consent::answer(statements)? } else { consent::OptOuts::default() };
    let vault = statements.vault();
    let (mut fresh, mut new) = (BTreeMap::new(), Vec::new());
    for (at, pending) in pendings.iter_mut().enumerate() {
        let accept = &pending.question;
        match &accept.idempotency {
            _ if !is_plain(accept) => {}
            Some(wanted) => {
                let earlier = known.get(&wanted.key).filter(|it| it.created_at >= wanted.since);
                pending.answer = earlier.map(|it| it.answer(wanted));
                if pending.answer.is_none() {
                    pending.answer = opt_outs.hold_back(&vault, &accept.messages);
                }
                if pending.answer.is_none() {
                    match book.draw(&accept.messages) {
                        Ok(left) => {
                            known.insert(wanted.key, Known::from(wanted));
                            fresh.insert(wanted.key, wanted.clone());
                            new.push((at, left));
                        }
                        Err(limited) => pending.answer = Some(Accepted::Limited(limited)),
                    }
                }
            }
            None => match opt_outs.hold_back(&vault, &accept.messages) {
                Some(held_back) => pending.answer = Some(held_back),
                None => match book.draw(&accept.messages) {
                    Ok(left) => new.push((at, left)),
                    Err(limited) => pending.answer = Some(Accepted::Limited(limited)),
                },
            },
        }
    }
    let remembered = remember(statements, &fresh)?;
    let is_lost = |wanted: &Idempotency| remembered.get(&wanted.key) != Some(&days(wanted).len());
    if fresh.values().any(is_lost) {
        // Another node was asked the same at the same moment. The other way, alone, sees what it answered: so all of
        // these requests take it, and nothing of what was remembered for them stays.
        book.take_back();
        quotas::keep(statements, &book)?;
        return give_way(statements, pendings, &fresh);
    }
    let messages: Vec<&NewMessage> =
        new.iter().flat_map(|(at, _)| &pendings[*at].question.messages).collect();
    let sealed: Vec<Sealed> = messages.iter().filter_map(|new| sealed.remove(&new.message.id)).collect();
    if messages.is_empty() {
        quotas::keep(statements, &book)?;
    } else {
        insert(statements, &messages, &sealed, &book)?;
        spending::reserve(statements, &messages)?;
        statements.flush();
        for (new, sealed) in messages.into_iter().zip(&sealed) {
            statements.tell(accepted(sealed.receiver_hash, new));
        }
    }
    for (at, left) in new {
        pendings[at].answer = Some(Accepted::stored(left));
    }
    Ok(())
}

/// What is sealed of a message.
struct Sealed {
    body: Vec<u8>,
    receiver: Vec<u8>,
    receiver_hash: i64,
}

/// Seals what may be stored, before it is known whether it is: meanwhile the server looks.
fn seal(vault: &Vault, accepts: &[&Accept]) -> Result<HashMap<MessageId, Sealed>, StoreError> {
    let messages = accepts.iter().flat_map(|accept| &accept.messages).map(|new| &new.message);
    let sealed = messages.map(|message| {
        let body = vault.seal_body(message.id, &message.body)?;
        let receiver = vault.seal_receiver(message.id, message.receiver)?;
        Ok((message.id, Sealed { body, receiver, receiver_hash: vault.blind(message.receiver) }))
    });
    sealed.collect()
}

/// The latest moment at which one of these messages was accepted.
pub(super) fn latest(pendings: &[Pending<Accept, Accepted>]) -> Option<Timestamp> {
    let messages = pendings.iter().flat_map(|pending| &pending.question.messages);
    messages.map(|new| new.message.created_at).max()
}

/// Whether nothing has to be looked for that only the other way looks for.
fn is_plain(accept: &Accept) -> bool {
    let is_same_code = |new: &NewMessage| new.verification.as_ref().is_some_and(|it| it.same_as.is_some());
    (accept.idempotency.is_some() || accept.no_repeats_since.is_none())
        && !accept.messages.iter().any(is_same_code)
}

const FORGET: &str = "DELETE FROM idempotency i USING UNNEST($1::bytea[], $2::text[]) AS e (key, reply) \
     WHERE i.key = e.key AND i.reply = e.reply AND i.day BETWEEN $3 AND $4";

fn give_way(
    statements: &mut Statements<'_>,
    pendings: &mut [Pending<Accept, Accepted>],
    fresh: &BTreeMap<Key, Idempotency>,
) -> Result<(), StoreError> {
    let all = || fresh.values().flat_map(days);
    let (first, last) = (all().min().unwrap_or(0), all().max().unwrap_or(0));
    let replies = fresh.values().map(|wanted| wanted.reply.as_str());
    statements.execute(FORGET, params![column(fresh.keys()), column(replies), first, last])?;
    for pending in pendings {
        pending.answer = None;
    }
    Ok(())
}

/// A key that was used before.
struct Known {
    request: Key,
    reply: String,
    created_at: Timestamp,
}

impl Known {
    fn answer(&self, wanted: &Idempotency) -> Accepted {
        if self.request == wanted.request {
            Accepted::Repeated(self.reply.clone())
        } else {
            Accepted::KeyReused
        }
    }
}

impl From<&Idempotency> for Known {
    fn from(wanted: &Idempotency) -> Self {
        Self { request: wanted.request, reply: wanted.reply.clone(), created_at: wanted.now }
    }
}

fn earlier(
    statements: &mut Statements<'_>,
    repeatable: &[&Idempotency],
) -> Result<HashMap<Key, Known>, StoreError> {
    let first = repeatable.iter().map(|wanted| day(wanted.since)).min();
    let last = repeatable.iter().map(|wanted| day(wanted.now.plus(SKEW))).max();
    let (Some(first), Some(last)) = (first, last) else { return Ok(HashMap::new()) };
    let values = params![column(repeatable.iter().map(|wanted| wanted.key)), first, last];
    let rows = statements.collect(EARLIER, values, |row| {
        let created_at = Timestamp::from_micros(get(row, 3)?);
        Ok((get::<Key>(row, 0)?, Known { request: get(row, 1)?, reply: get(row, 2)?, created_at }))
    })?;
    Ok(rows.into_iter().collect())
}

/// The days under which a key is kept: around midnight both, so that two nodes whose clocks differ meet.
fn days(wanted: &Idempotency) -> Vec<i64> {
    let around = [day(wanted.now.minus(SKEW)), day(wanted.now), day(wanted.now.plus(SKEW))];
    let mut days = around.to_vec();
    days.dedup();
    days
}

/// Keeps keys; answers under how many days each of them was.
fn remember(
    statements: &mut Statements<'_>,
    fresh: &BTreeMap<Key, Idempotency>,
) -> Result<HashMap<Key, usize>, StoreError> {
    let rows: Vec<(i64, &Idempotency)> =
        fresh.values().flat_map(|wanted| days(wanted).into_iter().map(move |day| (day, wanted))).collect();
    let Some(since) = rows.iter().map(|(_, wanted)| wanted.since.as_micros()).max() else {
        return Ok(HashMap::new());
    };
    let values = params![
        column(rows.iter().map(|(day, _)| *day)),
        column(rows.iter().map(|(_, wanted)| wanted.key)),
        column(rows.iter().map(|(_, wanted)| wanted.request)),
        column(rows.iter().map(|(_, wanted)| wanted.reply.as_str())),
        column(rows.iter().map(|(_, wanted)| wanted.now.as_micros())),
        since,
    ];
    let mut remembered = HashMap::new();
    for key in statements.collect(REMEMBER, values, |row| get::<Key>(row, 0))? {
        *remembered.entry(key).or_insert(0) += 1;
    }
    Ok(remembered)
}

fn insert(
    statements: &mut Statements<'_>,
    new: &[&NewMessage],
    sealed: &[Sealed],
    book: &Book,
) -> Result<(), StoreError> {
    let messages = || new.iter().map(|new| &new.message);
    let metadata = messages().map(metadata).collect::<Result<Vec<_>, _>>()?;
    let micros = |time: Option<Timestamp>| time.map(Timestamp::as_micros);
    let expires = |message: &Message| micros(message.expires_at);
    let [quotas, drawn, ends] = quotas::changes(book);
    let values = params![
        ids(messages().map(|message| &message.id)),
        column(messages().map(|message| message.bulk_id.map(|id| *id.as_bytes()))),
        column(messages().map(|message| message.caller.as_bytes())),
        column(sealed.iter().map(|sealed| sealed.receiver_hash)),
        column(messages().map(|message| message.receiver.country().as_str().to_owned())),
        column(messages().map(|message| message.sender.as_ref().map(SenderId::as_str))),
        column(messages().map(|message| message.scenario.as_str())),
        column(messages().map(|message| message.priority.as_str())),
        column(sealed.iter().map(|sealed| &sealed.body)),
        column(messages().map(|message| message.encoding.as_str())),
        column(messages().map(|message| message.segments)),
        column(messages().map(|message| message.reference.as_deref())),
        column(messages().map(|message| message.group.as_deref())),
        column(metadata),
        column(messages().map(|message| micros(message.scheduled_at))),
        column(messages().map(expires)),
        column(messages().map(|message| message.created_at.as_micros())),
        column(new.iter().map(|new| new.status().as_str())),
        column(new.iter().map(|new| new.provider.as_str())),
        column(messages().map(|message| message.priority.index())),
        column(new.iter().map(|new| new.due_at().as_micros())),
        column(sealed.iter().map(|sealed| &sealed.receiver)),
        quotas,
        drawn,
        ends,
        column(messages().map(|message| message.template.as_ref().map(ToString::to_string))),
    ];
    statements.send(INSERT, values)
}
