//! Looking for messages that wait in vain, in the order in which they were accepted, each of them once.
//!
//! No index says which of all messages have not ended: it would change with every one of them. Each is looked at when
//! it has had all the time that a message has; what has not ended then is ended, or goes on watch.

use std::ops::ControlFlow;

use domain::ids::MessageId;
use domain::message::MessageStatus;
use domain::route::ProviderName;
use domain::time::Timestamp;

use super::super::read::first_id;
use super::super::row::{time, word};
use super::super::sql::{Statements, get, params};
use super::watches::{self, Watch};
use crate::StoreError;
use crate::port::messages::{Sweep, Swept};
use crate::port::watches::WatchKind;

pub(in super::super) const MARK: &str = "SELECT mark FROM progress WHERE chore = 'sweep'";

pub(in super::super) const NEXT: &str = "SELECT message_id, status, provider, updated_at FROM states \
     WHERE message_id > ?1 AND message_id < ?2 ORDER BY message_id LIMIT ?3";

pub(in super::super) const SCHEDULED: &str = "SELECT scheduled_at FROM messages WHERE id = ?1";

const PASS: &str = "INSERT INTO progress (chore, mark) VALUES ('sweep', ?1) \
     ON CONFLICT (chore) DO UPDATE SET mark = excluded.mark";

/// A message that has not ended.
struct Waiting {
    message_id: MessageId,
    status: MessageStatus,
    provider: ProviderName,
    updated_at: Timestamp,
}

pub(super) fn sweep(statements: &mut Statements<'_>, sweep: &Sweep) -> Result<Swept, StoreError> {
    let mark = mark(statements)?.unwrap_or_else(|| vec![0; 16]);
    let end = first_id(sweep.accepted_before);
    let (mut waiting, mut passed, mut swept) = (Vec::new(), None, Swept::default());
    statements.walk(NEXT, params![mark, end, sweep.limit], |row| {
        let message_id = MessageId::from_bytes(get(row, 0)?);
        passed = Some(message_id);
        swept.seen += 1;
        // What can't be read must not stop the sweep for all others.
        let (Ok(status), Ok(provider), Ok(updated_at)) = (word(row, 1), word(row, 2), time(row, 3)) else {
            tracing::error!(message.id = %message_id, "a message's state can't be read: passed by");
            return Ok(ControlFlow::Continue(()));
        };
        let status: MessageStatus = status;
        if !status.is_final() {
            waiting.push(Waiting { message_id, status, provider, updated_at });
        }
        Ok(ControlFlow::Continue(()))
    })?;
    for message in waiting {
        look_at(statements, sweep, &message, &mut swept)?;
    }
    if let Some(passed) = passed {
        statements.execute(PASS, params![passed.as_bytes()])?;
    }
    Ok(swept)
}

fn look_at(
    statements: &mut Statements<'_>,
    sweep: &Sweep,
    message: &Waiting,
    swept: &mut Swept,
) -> Result<(), StoreError> {
    let id = message.message_id;
    let is_old = message.updated_at <= sweep.unmoved_since;
    let reports = sweep.reporting.contains(&message.provider);
    match message.status {
        MessageStatus::Sent if !reports => return Ok(()),
        MessageStatus::Sent if is_old => swept.without_receipt += 1,
        MessageStatus::Queued if is_old => swept.expired += 1,
        _ => return watch(statements, sweep, message),
    }
    watches::end_wait(statements, id, message.status, sweep.now)
}

/// Sets a watch for when the message will be as old as the others are that are ended now.
fn watch(statements: &mut Statements<'_>, sweep: &Sweep, message: &Waiting) -> Result<(), StoreError> {
    let id = message.message_id;
    let scheduled_at: Option<Option<i64>> =
        statements.first(SCHEDULED, params![id.as_bytes()], |row| get(row, 0))?;
    let scheduled_at = scheduled_at.flatten().map(Timestamp::from_micros);
    let since = scheduled_at.map_or(message.updated_at, |at| at.max(message.updated_at));
    let due_at = since.plus(sweep.now.since(sweep.unmoved_since));
    watches::set(statements, due_at, &Watch::new(id, WatchKind::Silence, 0)).map(|_due_at| ())
}

fn mark(statements: &mut Statements<'_>) -> Result<Option<Vec<u8>>, StoreError> {
    statements.first(MARK, params![], |row| get(row, 0))
}

/// Whether the sweep has been by a message, and will not see it again.
pub(super) fn has_passed(statements: &mut Statements<'_>, message_id: MessageId) -> Result<bool, StoreError> {
    Ok(mark(statements)?.is_some_and(|mark| message_id.as_bytes().as_slice() <= mark.as_slice()))
}
