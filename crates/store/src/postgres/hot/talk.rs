//! What people say: messages from phones, with what they do to prompts, and changes of consent. Row by row, by the same code as for SQLite, but
//! beside all writers who are about somebody else.
//!
//! What is decided here is decided for one number at a time. So whoever does it holds the place of that number, and whoever
//! accepts messages shares the places of their receivers: what was accepted before an opt-out has been committed when the opt-out
//! looks for what waits, and what is accepted after it sees it. A message moreover holds the rows of all prompts that are open for
//! its sender: of replies that race, one is the first, and a prompt has one outcome. Opening, ending and forgetting prompts runs
//! alone, and so never at the same moment.
//!
//! Places are locked first of all, all of a transaction together and in the order of their numbers; then prompts, in the order of
//! their ids; then states of messages. So nobody waits in a circle, or whoever does is run again.

use std::collections::BTreeSet;

use domain::inbound::Inbound;
use domain::phone::Msisdn;

use crate::StoreError;
use crate::group::{Batch, Pending};
use crate::port::consent::{ChangeConsent, Changed};
use crate::port::inbound::NewInbound;
use crate::port::messages::{Accept, Accepted};
use crate::postgres::data_keys;
use crate::postgres::sql::{Statements, column, params};
use crate::postgres::write;
use crate::seal::Vault;

/// Messages and changes of one transaction, or one operation of more: others wait for the places that it holds.
const TOGETHER: usize = 16;

/// How many places there are. The server has room for some thousand locks: one for each number would be too many.
const PLACES: i64 = 256;

/// In an order that all have: "Tuma" in ASCII and one more, and the place.
const HOLD: &str = "SELECT pg_advisory_xact_lock(1416981602, k) FROM UNNEST($1::int4[]) AS e (k)";
const SHARE: &str = "SELECT pg_advisory_xact_lock_shared(1416981602, k) FROM UNNEST($1::int4[]) AS e (k)";

/// The open prompts of these numbers. One that was closed while this waited for it is left out.
const HOLD_PROMPTS: &str = "SELECT p.id FROM prompts p WHERE p.outcome IS NULL AND p.id IN \
     (SELECT r.prompt_id FROM prompt_receivers r WHERE r.receiver_hash = ANY($1::int8[]) AND r.closed_at IS NULL) \
     ORDER BY p.id FOR UPDATE OF p";

/// Whether something is left that is done here.
pub(in crate::postgres) fn has_work(batch: &Batch) -> bool {
    !batch.consents.is_empty() || batch.inbound.iter().any(|pending| is_plain(&pending.question))
}

/// Whether it is answered by nobody here: what answers draw on is locked by other rules.
fn is_plain(new: &NewInbound) -> bool {
    new.answers.is_none()
}

/// Does the first of them.
pub(in crate::postgres) fn run(statements: &mut Statements<'_>, batch: &mut Batch) -> Result<(), StoreError> {
    let mut inbound: Vec<_> =
        batch.inbound.iter_mut().filter(|it| is_plain(&it.question)).take(TOGETHER).collect();
    let mut room = TOGETHER - inbound.len();
    let has_room = |pending: &&mut Pending<ChangeConsent, Vec<Changed>>| {
        let has_room = room > 0;
        room = room.saturating_sub(pending.question.changes.len().max(1));
        has_room
    };
    let mut consents: Vec<_> = batch.consents.iter_mut().take_while(has_room).collect();
    let writers = inbound.iter().filter_map(|it| it.question.inbound.from.phone());
    let writers = numbers(&statements.vault(), writers);
    let changed = consents.iter().flat_map(|it| &it.question.changes).map(|change| change.number);
    let changed = numbers(&statements.vault(), changed);
    let calls = inbound.iter().map(|it| place_of_a_call(&it.question.inbound));
    let places: BTreeSet<i64> =
        writers.iter().chain(&changed).map(|hash| place(*hash)).chain(calls).collect();
    statements.send(HOLD, params![column(&places)])?;
    if !writers.is_empty() {
        statements.send(HOLD_PROMPTS, params![column(&writers)])?;
    }
    data_keys::check(statements)?;
    for pending in &mut inbound {
        pending.answer = Some(write::inbound::receive(statements, &pending.question)?);
    }
    for pending in &mut consents {
        pending.answer = Some(write::consent::change(statements, &pending.question)?);
    }
    write::audit::append(statements)
}

/// Shares the places of those who may not want these messages, to the end of the transaction. Before anything else is locked.
pub(super) fn share(
    statements: &mut Statements<'_>,
    accepts: &[Pending<Accept, Accepted>],
) -> Result<(), StoreError> {
    let messages = accepts.iter().flat_map(|pending| &pending.question.messages);
    let asked = messages.filter(|new| new.consent.is_some()).map(|new| new.message.receiver);
    let vault = statements.vault();
    let places: BTreeSet<i64> = asked.map(|number| place(vault.blind(number))).collect();
    if places.is_empty() {
        return Ok(());
    }
    statements.send(SHARE, params![column(&places)])
}

fn numbers(vault: &Vault, numbers: impl Iterator<Item = Msisdn>) -> BTreeSet<i64> {
    numbers.map(|number| vault.blind(number)).collect()
}

/// Hashes of numbers are scattered evenly.
fn place(hash: i64) -> i64 {
    hash.rem_euclid(PLACES)
}

/// The same call may be brought to two nodes at once, also one that names no number: which of them is stored is decided here. Any
/// even spreading will do, as long as all nodes have the same.
fn place_of_a_call(inbound: &Inbound) -> i64 {
    let id = inbound.provider_message_id.as_str().bytes();
    place(id.fold(0, |sum: i64, byte| sum.wrapping_mul(31).wrapping_add(byte.into())))
}
