//! What happens all day, for many rows with one statement each, side by side with other writers and nodes.
//!
//! Only the plain cases are done here: what is accepted, claimed, taken by its provider and delivered as it should be.
//! An operation of which anything is out of the ordinary is left without an answer, and [`super::write`] does it. Rows
//! of `states` are locked first, in the order of their ids, before anything is decided about a message; claims pass by
//! what others have locked, and so does what stops messages whose codes have ended. So nobody waits in a circle. What
//! people say has transactions of its own: see [`talk`].

mod accept;
mod claim;
mod consent;
mod erase;
mod events;
mod finish;
mod guard;
mod idle;
mod keys;
mod nodes;
mod quotas;
mod receipts;
mod spending;
pub(super) mod talk;
mod verifications;
mod webhooks;

use std::collections::{BTreeSet, HashMap};

use domain::ids::MessageId;
use domain::message::MessageStatus;

use super::audit;
use super::data_keys;
use super::listener;
use super::row::word;
use super::sql::{Statements, Value, column, get, params};
use super::write;
use crate::StoreError;
use crate::group::Batch;

/// Where messages stand, as long as this transaction holds them.
type Standing = HashMap<MessageId, MessageStatus>;

pub(super) fn has_work(batch: &Batch) -> bool {
    !(batch.finishes.is_empty()
        && batch.receipts.is_empty()
        && batch.accepts.is_empty()
        && batch.charges.is_empty()
        && batch.claims.is_empty()
        && batch.watch_takes.is_empty()
        && batch.recoveries.is_empty()
        && batch.nodes.is_empty()
        && batch.wakes.is_empty()
        && batch.forgotten.is_empty()
        && batch.raised.is_empty()
        && batch.forgotten_raised.is_empty()
        && batch.handed_out.is_empty()
        && batch.delivery_takes.is_empty()
        && batch.delivery_ends.is_empty()
        && batch.replays.is_empty()
        && batch.forgotten_told.is_empty()
        && batch.leases.is_empty()
        && batch.resealed.is_empty()
        && batch.erasures.is_empty()
        && !batch.keys.iter().any(keys::is_note)
        && batch.guard_keeps.is_empty()
        && batch.feedbacks.is_empty()
        && batch.verifications.is_empty()
        && batch.guard_forgets.is_empty()
        && batch.notes.is_empty())
}

/// Outcomes and receipts first: what is decided after them knows them. Claims last: they find what was accepted.
pub(super) fn run(statements: &mut Statements<'_>, batch: &mut Batch) -> Result<(), StoreError> {
    talk::share(statements, &batch.accepts)?;
    let seals = batch.seals();
    if seals {
        statements.ask_early(data_keys::NEWEST, params![])?;
    }
    if let Some(latest) = accept::latest(&batch.accepts) {
        audit::ask_early(statements, latest)?;
    }
    receipts::name(statements, &mut batch.receipts)?;
    let ends = batch.finishes.iter().flat_map(|pending| &pending.question).map(|end| end.message_id);
    let receipts = batch.receipts.iter().flat_map(|pending| &pending.question);
    let about = ends.chain(receipts.filter_map(|new| new.receipt.message_id)).collect();
    let mut standing = lock(statements, &about)?;
    finish::run(statements, &mut standing, &mut batch.finishes)?;
    receipts::run(statements, &mut standing, &mut batch.receipts)?;
    idle::take_watches(statements, &mut batch.watch_takes)?;
    idle::recover(statements, &mut batch.recoveries)?;
    accept::run(statements, &mut batch.accepts, spending::quotas(&batch.charges))?;
    spending::settle(statements, &mut batch.charges)?;
    for pending in &mut batch.claims {
        pending.answer = claim::run(statements, &pending.question)?;
    }
    for pending in &mut batch.nodes {
        pending.answer = nodes::run(statements, &pending.question)?;
    }
    if !batch.wakes.is_empty() {
        listener::tell(statements, batch.wakes.iter().flat_map(|pending| &pending.question))?;
    }
    for pending in &mut batch.wakes {
        pending.answer = Some(());
    }
    keys::note(statements, &mut batch.keys)?;
    events::forget(statements, &mut batch.forgotten)?;
    events::raise(statements, &mut batch.raised)?;
    events::forget_raised(statements, &mut batch.forgotten_raised)?;
    webhooks::run(statements, batch)?;
    events::lease(statements, &mut batch.leases)?;
    erase::reseal(statements, &mut batch.resealed)?;
    erase::texts(statements, &mut batch.erasures)?;
    let counted = verifications::run(statements, batch)?;
    // Last of all that may wait: whoever has locked a count waits for nobody. A chain is taken that nobody holds.
    guard::run(statements, batch)?;
    verifications::add(statements, &counted)?;
    write::note(statements, &mut batch.notes);
    if seals {
        data_keys::check(statements)?;
    }
    write::audit::append(statements)
}

const LOCK: &str = "SELECT message_id, status FROM states WHERE message_id = ANY($1::uuid[]) \
     AND message_id BETWEEN $2 AND $3 ORDER BY message_id FOR UPDATE";

/// Locks messages and answers where they stand. One that can't be read is left out, and so left to the other way.
fn lock(statements: &mut Statements<'_>, about: &BTreeSet<MessageId>) -> Result<Standing, StoreError> {
    let (Some(first), Some(last)) = (about.first(), about.last()) else { return Ok(Standing::new()) };
    let values = params![ids(about), first.as_bytes(), last.as_bytes()];
    let rows = statements.collect(LOCK, values, |row| {
        Ok((MessageId::from_bytes(get(row, 0)?), word::<MessageStatus>(row, 1).ok()))
    })?;
    Ok(rows.into_iter().filter_map(|(id, status)| Some((id, status?))).collect())
}

fn ids<'a>(messages: impl IntoIterator<Item = &'a MessageId>) -> Value {
    column(messages.into_iter().map(MessageId::as_bytes))
}
