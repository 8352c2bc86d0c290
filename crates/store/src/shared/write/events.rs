//! What is told to others: raising it, forgetting what has arrived, whether anything is kept at all, and who publishes.

use domain::event::NewEvent;

use super::super::data_keys;
use super::super::outbox::{self, KEEP, NO_MORE};
use super::super::sql::{Statements, get, params};
use crate::StoreError;
use crate::group::LeaseChange;
use crate::seal::Column;

const TAKERS: &str = "SELECT publish, stage FROM event_takers WHERE publish + stage > 0";

const TAKE_FOR_BROKER: &str = "UPDATE event_takers SET publish = ?1";

/// One that webhooks take stays for them.
pub(in super::super) const FORGET_RAISED: &str = "DELETE FROM events WHERE number = ?1 AND stage = 0";
pub(in super::super) const IS_PUBLISHED: &str = "UPDATE events SET publish = 0 WHERE number = ?1";

pub(in super::super) const FORGET: &str = "DELETE FROM outbox WHERE id = ?1";

/// Anew, the holder's own, one that has ended, or one that reaches so far that the clock of whoever took it was wrong then.
pub(in super::super) const TAKE_LEASE: &str = "INSERT INTO leases (name, node, until_at) VALUES (?1, ?2, ?3) \
     ON CONFLICT (name) DO UPDATE SET node = excluded.node, until_at = excluded.until_at \
     WHERE leases.node = excluded.node OR leases.until_at < ?4 \
     OR leases.until_at > ?5";

pub(in super::super) const RELEASE_LEASE: &str = "DELETE FROM leases WHERE name = ?1 AND node = ?2";

/// Who takes what is told: how a new event stands for them.
#[derive(Clone, Copy)]
pub(in super::super) struct Takers {
    /// One, if it is to be published to the broker.
    pub(in super::super) publish: u16,
    /// One, if it is to be handed out to webhooks.
    pub(in super::super) stage: u16,
}

/// An event that is about to be kept.
pub(in super::super) struct SealedEvent<'event> {
    pub(in super::super) event: &'event NewEvent,
    pub(in super::super) data: Vec<u8>,
}

/// Tells others of what this transaction does, if anybody wants to know. Whoever raises events of one subject in several
/// transactions has locked what they are about: the numbers are their order.
pub(in super::super) fn raise(
    statements: &mut Statements<'_>,
    events: &[NewEvent],
) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    match takers(statements)? {
        Some(takers) => raise_for(statements, takers, events),
        None => Ok(()),
    }
}

/// Who wants to hear of anything; `None` if nobody does. Asked first by whoever must read much to say what happened.
pub(super) fn takers(statements: &mut Statements<'_>) -> Result<Option<Takers>, StoreError> {
    statements.first(TAKERS, params![], |row| Ok(Takers { publish: get(row, 0)?, stage: get(row, 1)? }))
}

/// The same as [`raise`], for those who want to hear of it.
pub(super) fn raise_for(
    statements: &mut Statements<'_>,
    takers: Takers,
    events: &[NewEvent],
) -> Result<(), StoreError> {
    data_keys::check(statements)?;
    let vault = statements.vault();
    let mut sealed = Vec::new();
    for event in events {
        let NewEvent { subject, data, .. } = event;
        let data = vault.seal_text(Column::EventData, subject, data.expose())?;
        sealed.push(SealedEvent { event, data });
    }
    outbox::insert(statements, takers, &sealed)
}

/// Makes or drops the triggers. Looks first: a change to the schema makes others wait.
pub(super) fn keep(statements: &mut Statements<'_>, keep: bool) -> Result<(), StoreError> {
    statements.execute(TAKE_FOR_BROKER, params![u16::from(keep)])?;
    if outbox::are_kept(statements)? == keep {
        return Ok(());
    }
    for statement in if keep { KEEP } else { NO_MORE } {
        statements.execute(statement, params![])?;
    }
    Ok(())
}

pub(super) fn forget_raised(statements: &mut Statements<'_>, numbers: &[i64]) -> Result<(), StoreError> {
    for number in numbers {
        if statements.execute(FORGET_RAISED, params![number])? == 0 {
            statements.execute(IS_PUBLISHED, params![number])?;
        }
    }
    Ok(())
}

pub(super) fn forget(statements: &mut Statements<'_>, numbers: &[i64]) -> Result<(), StoreError> {
    for number in numbers {
        statements.execute(FORGET, params![number])?;
    }
    Ok(())
}

pub(in super::super) fn lease(
    statements: &mut Statements<'_>,
    change: &LeaseChange,
) -> Result<bool, StoreError> {
    let changed = match change {
        LeaseChange::Take(lease) => {
            let until = lease.until.as_micros();
            let beyond = lease.until.plus(lease.until.since(lease.ended_before)).as_micros();
            let ended_before = lease.ended_before.as_micros();
            let values = params![lease.name, lease.node.as_bytes(), until, ended_before, beyond];
            statements.execute(TAKE_LEASE, values)?
        }
        LeaseChange::Release(name, node) => {
            statements.execute(RELEASE_LEASE, params![name, node.as_bytes()])?
        }
    };
    Ok(changed > 0)
}
