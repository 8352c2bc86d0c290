//! What a batch does, row by row, in one transaction that runs alone.
//!
//! For SQLite that is all there is: it runs in this process, so that a row costs a call, and a prepared statement for
//! each row is as fast as a statement for many. PostgreSQL does the same for what is rare.

#[path = "write/accept.rs"]
pub(super) mod accept;
#[path = "write/again.rs"]
pub(super) mod again;
#[path = "write/audit.rs"]
pub(super) mod audit;
#[path = "write/cancel.rs"]
pub(super) mod cancel;
#[path = "write/claim.rs"]
pub(super) mod claim;
#[path = "write/consent.rs"]
pub(super) mod consent;
#[path = "write/divert.rs"]
pub(super) mod divert;
#[path = "write/doubt.rs"]
pub(super) mod doubt;
#[path = "write/erase.rs"]
pub(super) mod erase;
#[path = "write/events.rs"]
pub(super) mod events;
#[path = "write/finish.rs"]
pub(super) mod finish;
#[path = "write/guard.rs"]
pub(super) mod guard;
#[path = "write/history.rs"]
pub(super) mod history;
#[path = "write/inbound.rs"]
pub(super) mod inbound;
#[path = "write/keys.rs"]
pub(super) mod keys;
#[path = "write/nodes.rs"]
pub(super) mod nodes;
#[path = "write/place.rs"]
pub(super) mod place;
#[path = "write/prompts.rs"]
pub(super) mod prompts;
#[path = "write/quotas.rs"]
pub(super) mod quotas;
#[path = "write/receipts.rs"]
pub(super) mod receipts;
#[path = "write/recover.rs"]
pub(super) mod recover;
#[path = "write/resend.rs"]
pub(super) mod resend;
#[path = "write/spending.rs"]
pub(super) mod spending;
#[path = "write/sweep.rs"]
pub(super) mod sweep;
#[path = "write/templates.rs"]
pub(super) mod templates;
#[path = "write/verifications.rs"]
pub(super) mod verifications;
#[path = "write/watches.rs"]
pub(super) mod watches;
#[path = "write/webhooks.rs"]
pub(super) mod webhooks;

use domain::audit::{Act, Actor, Event, NewEntry};
use domain::ids::MessageId;
use domain::message::{MessageStatus, StatusEvent};
use domain::route::ProviderName;
use domain::time::Timestamp;

use super::data_keys;
use super::row::word;
use super::sql::{Statements, params};
use crate::StoreError;
use crate::group::{Batch, DataKeyChange, Drain, Pending};
use domain::attempt::Failure;

/// Answers each question of a kind with what one function makes of it.
macro_rules! answer {
    ($pendings:expr, |$question:ident| $answer:expr) => {
        for pending in &mut $pendings {
            let $question = &pending.question;
            pending.answer = Some($answer?);
        }
    };
}

/// Outcomes and receipts first: what is decided after them knows them. Claims last: they find what was accepted.
pub(super) fn run(statements: &mut Statements<'_>, batch: &mut Batch) -> Result<(), StoreError> {
    if batch.seals() {
        data_keys::check(statements)?;
    }
    answer!(batch.finishes, |ends| finish::finish(statements, ends));
    answer!(batch.receipts, |receipts| receipts::record(statements, receipts));
    answer!(batch.inbound, |new| inbound::receive(statements, new));
    answer!(batch.consents, |change| consent::change(statements, change));
    answer!(batch.settlements, |settled| watches::settle(statements, settled));
    answer!(batch.watch_takes, |take| watches::take(statements, *take));
    answer!(batch.cancels, |cancel| cancel::cancel(statements, cancel));
    answer!(batch.resends, |resend| resend::resend(statements, resend));
    answer!(batch.diversions, |diversions| divert::divert(statements, diversions));
    answer!(batch.recoveries, |recovery| recover::recover(statements, *recovery));
    answer!(batch.sweeps, |sweep| sweep::sweep(statements, sweep));
    answer!(batch.charges, |charges| spending::settle(statements, charges));
    let opt_outs = consent::OptOuts::look(statements, &batch.accepts)?;
    answer!(batch.accepts, |accept| accept::accept(statements, accept, opt_outs));
    answer!(batch.prompts, |open| prompts::open(statements, open));
    answer!(batch.prompt_ends, |end| prompts::cancel_one(statements, end.0, &end.1));
    answer!(batch.prompt_expiries, |due| prompts::expire(statements, due.0, due.1));
    answer!(batch.reminders, |remind| prompts::remind(statements, remind));
    answer!(batch.prompt_forgets, |forget| prompts::forget::forget(statements, forget));
    answer!(batch.verifications, |change| verifications::change(statements, change));
    answer!(batch.claims, |claim| claim::claim(statements, claim));
    answer!(batch.keys, |change| keys::change(statements, change));
    answer!(batch.templates, |change| templates::change(statements, change));
    answer!(batch.drains, |drain| change_drain(statements, drain));
    answer!(batch.nodes, |change| nodes::change(statements, change));
    answer!(batch.histories, |keep| history::keep(statements, keep));
    answer!(batch.forgotten, |numbers| events::forget(statements, numbers));
    answer!(batch.raised, |raised| events::raise(statements, raised));
    answer!(batch.forgotten_raised, |numbers| events::forget_raised(statements, numbers));
    answer!(batch.endpoints, |operation| webhooks::operate(statements, operation));
    answer!(batch.handed_out, |hand_out| webhooks::hand_out(statements, *hand_out));
    answer!(batch.delivery_takes, |take| webhooks::take(statements, take));
    answer!(batch.delivery_ends, |end| webhooks::end(statements, end));
    answer!(batch.replays, |replay| webhooks::replay(statements, &replay.0, replay.1.as_ref()));
    answer!(batch.forgotten_told, |forget| webhooks::forget(statements, forget.0, forget.1));
    answer!(batch.leases, |change| events::lease(statements, change));
    answer!(batch.data_keys, |change| change_data_key(statements, change));
    answer!(batch.resealed, |rows| data_keys::write(statements, rows));
    answer!(batch.erasures, |served| erase::texts(statements, served));
    answer!(batch.forgotten_receivers, |forget| erase::receiver(statements, forget.0, &forget.1));
    answer!(batch.keeps, |keep| events::keep(statements, *keep));
    answer!(batch.guard_keeps, |kept| guard::keep(statements, kept));
    answer!(batch.feedbacks, |feedback| guard::feedback(statements, feedback));
    answer!(batch.guard_forgets, |forget| guard::forget(statements, forget));
    if !batch.pings.is_empty() {
        statements.execute("UPDATE probe SET writes = writes + 1", params![])?;
    }
    for pending in &mut batch.pings {
        pending.answer = Some(());
    }
    // Nobody else serves this database, or they have been told already.
    for pending in &mut batch.wakes {
        pending.answer = Some(());
    }
    note(statements, &mut batch.notes);
    // What was told so far is chained first: the checkpoint sees it.
    audit::append(statements)?;
    answer!(batch.checkpoints, |now| audit::checkpoint(statements, *now));
    Ok(())
}

/// Enters what is not told by a change.
pub(super) fn note(statements: &mut Statements<'_>, pendings: &mut [Pending<Vec<NewEntry>, ()>]) {
    for pending in pendings {
        for entry in &pending.question {
            statements.tell(entry.clone());
        }
        pending.answer = Some(());
    }
}

pub(super) const STATUS: &str = "SELECT status FROM states WHERE message_id = ?1";

pub(super) const MOVE: &str = "UPDATE states SET status = ?2, reason = ?3, provider_code = ?4, \
     provider = coalesce(?5, provider), updated_at = ?6 \
     WHERE message_id = ?1 AND status = ?7";

/// A change to a message's state row. Every one goes through here, and so through the domain's one function.
struct Move<'a> {
    message_id: MessageId,
    event: StatusEvent,
    failure: Option<&'a Failure>,
    /// The route in force from now on, if it changes.
    provider: Option<&'a ProviderName>,
    /// Whose doing it is.
    by: Actor,
    now: Timestamp,
}

impl Move<'_> {
    /// What the audit trail is told of it.
    fn entry(&self, to: MessageStatus) -> Option<NewEntry> {
        let event = Event::of_move(self.event, to)?;
        let told_by = if let Actor::Provider(name) = &self.by { Some(name) } else { None };
        Some(NewEntry {
            message_id: Some(self.message_id),
            provider: self.provider.or(told_by).cloned(),
            outcome: self.failure.map(|failure| failure.reason.as_str()),
            ..NewEntry::new(self.now, self.by.clone(), event)
        })
    }
}

/// Moves a message's status; answers where it stood and stands, or `None` if there is no such message.
fn move_status(
    statements: &mut Statements<'_>,
    change: &Move<'_>,
) -> Result<Option<(MessageStatus, MessageStatus)>, StoreError> {
    // Nearly all stand where they should: then one statement does.
    let expected = expected_before(change.event);
    if move_from(statements, change, expected)? {
        return Ok(Some((expected, expected.after(change.event))));
    }
    let Some(from) = stands(statements, change.message_id)? else { return Ok(None) };
    let to = from.after(change.event);
    if to != from && move_from(statements, change, from)? {
        return Ok(Some((from, to)));
    }
    Ok(Some((from, from)))
}

/// Whether a change moved anything.
fn has_moved(moved: Option<(MessageStatus, MessageStatus)>) -> bool {
    moved.is_some_and(|(from, to)| from != to)
}

/// Where a message stands as a rule when this happens to it.
const fn expected_before(event: StatusEvent) -> MessageStatus {
    use StatusEvent as E;
    match event {
        E::Claimed | E::TimeRanOut | E::Stopped => MessageStatus::Queued,
        E::Requeued | E::Accepted | E::Refused => MessageStatus::Sending,
        E::ReceiptFailed | E::ReceiptUndelivered | E::ReceiptDelivered | E::WaitedInVain => {
            MessageStatus::Sent
        }
        E::Resent => MessageStatus::Undelivered,
    }
}

/// Moves the status of a message that stands at `from`; `false` if it stands elsewhere.
fn move_from(
    statements: &mut Statements<'_>,
    change: &Move<'_>,
    from: MessageStatus,
) -> Result<bool, StoreError> {
    let values = params![
        change.message_id.as_bytes(),
        from.after(change.event).as_str(),
        change.failure.map(|failure| failure.reason.as_str()),
        change.failure.and_then(|failure| failure.provider_code.as_deref()),
        change.provider.map(ProviderName::as_str),
        change.now.as_micros(),
        from.as_str(),
    ];
    let has_moved = statements.execute(MOVE, values)? > 0;
    if has_moved {
        statements.tell(change.entry(from.after(change.event)));
    }
    Ok(has_moved)
}

fn stands(
    statements: &mut Statements<'_>,
    message_id: MessageId,
) -> Result<Option<MessageStatus>, StoreError> {
    statements.first(STATUS, params![message_id.as_bytes()], |row| word(row, 0))
}

/// Answers the id of the key, or how many are gone.
fn change_data_key(statements: &mut Statements<'_>, change: &DataKeyChange) -> Result<u64, StoreError> {
    match change {
        DataKeyChange::Add(key, act) => {
            data_keys::keep(statements, key)?;
            statements.tell(NewEntry::of_act(act, Event::DataKeyAdded, key.id.to_string()));
            Ok(key.id.into())
        }
        DataKeyChange::Use(id, act) => {
            data_keys::put_to_use(statements, *id)?;
            statements.tell(NewEntry::of_act(act, Event::DataKeyUsed, id.to_string()));
            Ok((*id).into())
        }
        DataKeyChange::Forget { before, act } => {
            let forgotten = data_keys::forget(statements, *before)?;
            statements.tell(NewEntry::of_act(act, Event::DataKeysForgotten, format!("before {before}")));
            Ok(forgotten)
        }
    }
}

const DRAIN: &str = "INSERT INTO drained (provider, since) VALUES (?1, ?2) ON CONFLICT DO NOTHING";

fn change_drain(statements: &mut Statements<'_>, drain: &Drain) -> Result<bool, StoreError> {
    let provider = drain.provider.as_str();
    let changed = match drain.since {
        Some(since) => statements.execute(DRAIN, params![provider, since.as_micros()])?,
        None => statements.execute("DELETE FROM drained WHERE provider = ?1", params![provider])?,
    };
    if changed > 0 {
        let event = if drain.since.is_some() { Event::ProviderDrained } else { Event::ProviderResumed };
        let Act { by, at } = &drain.act;
        let provider = Some(drain.provider.clone());
        statements.tell(NewEntry { provider, ..NewEntry::new(*at, by.clone(), event) });
    }
    Ok(changed > 0)
}
