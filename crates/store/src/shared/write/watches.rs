//! Watches: set with what they are about, taken when they are due, settled when somebody has decided.

use std::ops::ControlFlow;
use std::time::Duration;

use domain::attempt::{Failure, OutcomeKind, Reason};
use domain::audit::Actor;
use domain::ids::MessageId;
use domain::message::{MessageStatus, StatusEvent};
use domain::route::ProviderName;
use domain::time::Timestamp;

use super::super::row::{optional_word, time, word};
use super::super::sql::{Row, Statements, get, params};
use super::{Move, doubt, finish, move_status, place, resend};
use crate::StoreError;
use crate::group::Taken;
use crate::port::watches::{Settled, TakeWatches, Verdict, WatchId, WatchKind};

/// Until an attempt that is under way has ended: a request takes about so long.
const UNDER_WAY: Duration = Duration::from_secs(1);

/// Before somebody looks again at a message that can't be ended yet.
const NOT_YET: Duration = Duration::from_hours(1);

/// How many watches are looked through for each that may be taken: those that have become pointless are not.
const SPARE: u32 = 4;

pub(in super::super) const SET: &str = "INSERT INTO watches \
     (due_at, message_id, kind, attempt, provider, receiver_hash, resends) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
     ON CONFLICT DO NOTHING";

pub(in super::super) const DUE: &str = "SELECT due_at, message_id, kind, attempt, provider, receiver_hash, resends \
     FROM watches WHERE due_at <= ?1 ORDER BY due_at, message_id LIMIT ?2";

pub(in super::super) const ONE: &str = "SELECT due_at, message_id, kind, attempt, provider, receiver_hash, resends \
     FROM watches WHERE due_at = ?1 AND message_id = ?2";

pub(in super::super) const END: &str = "DELETE FROM watches WHERE due_at = ?1 AND message_id = ?2";

/// Where the message of a watch stands, and its last attempt.
pub(in super::super) const STANDING: &str = "SELECT s.status, coalesce(r.resends, 0), a.number, a.outcome \
     FROM states s LEFT JOIN rounds r ON r.message_id = s.message_id \
     LEFT JOIN attempts a ON a.message_id = s.message_id \
     AND a.number = (SELECT max(number) FROM attempts WHERE message_id = ?1) WHERE s.message_id = ?1";

/// A watch as kept.
pub(super) struct Watch {
    message_id: MessageId,
    kind: WatchKind,
    /// The attempt that it is about; zero for the message, whatever attempts are made.
    attempt: u16,
    /// Of a doubt: who was asked, and for whom.
    doubted: Option<(ProviderName, i64)>,
    resends: u32,
}

impl Watch {
    pub(super) fn new(message_id: MessageId, kind: WatchKind, attempt: u16) -> Self {
        Self { message_id, kind, attempt, doubted: None, resends: 0 }
    }
}

/// Sets a watch; answers when it is due: where the message has another one for that microsecond, right after it.
pub(super) fn set(
    statements: &mut Statements<'_>,
    due_at: Timestamp,
    watch: &Watch,
) -> Result<Timestamp, StoreError> {
    let mut due_at = due_at;
    loop {
        let values = params![
            due_at.as_micros(),
            watch.message_id.as_bytes(),
            watch.kind.as_str(),
            watch.attempt,
            watch.doubted.as_ref().map(|(provider, _)| provider.as_str()),
            watch.doubted.as_ref().map(|(_, receiver)| *receiver),
            watch.resends,
        ];
        if statements.execute(SET, values)? > 0 {
            return Ok(due_at);
        }
        due_at = due_at.plus(Duration::from_micros(1));
    }
}

pub(in super::super) const RECEIVER: &str = "SELECT receiver_hash FROM messages WHERE id = ?1";

/// Sets the watch of an attempt in doubt, in the place of an earlier one of the same message and provider.
pub(super) fn set_doubt(
    statements: &mut Statements<'_>,
    due_at: Timestamp,
    message_id: MessageId,
    attempt: u16,
    provider: &ProviderName,
) -> Result<(), StoreError> {
    statements.execute(doubt::NO_DOUBT, params![message_id.as_bytes(), provider.as_str(), attempt])?;
    let receiver: Option<i64> =
        statements.first(RECEIVER, params![message_id.as_bytes()], |row| get(row, 0))?;
    let doubted = receiver.map(|receiver| (provider.clone(), receiver));
    let watch = Watch { doubted, ..Watch::new(message_id, WatchKind::Doubt, attempt) };
    set(statements, due_at, &watch).map(|_due_at| ())
}

pub(super) fn take(statements: &mut Statements<'_>, take: TakeWatches) -> Result<Vec<Taken>, StoreError> {
    let limit = take.limit.saturating_mul(SPARE);
    let (mut due, mut unreadable) = (Vec::new(), Vec::new());
    statements.walk(DUE, params![take.now.as_micros(), limit], |row| {
        let due_at = time(row, 0)?;
        match watch(row) {
            Ok(watch) => due.push((due_at, watch)),
            // One damaged row must not keep all others from being looked after.
            Err(StoreError::Corrupt) => {
                let id = WatchId { message_id: MessageId::from_bytes(get(row, 1)?), due_at };
                tracing::error!(message.id = %id.message_id, "a watch can't be read, and ends");
                unreadable.push(id);
            }
            Err(problem) => return Err(problem),
        }
        Ok(ControlFlow::Continue(()))
    })?;
    for id in unreadable {
        end(statements, id)?;
    }
    let mut taken = Vec::new();
    for (due_at, mut watch) in due {
        if taken.len() >= take.limit as usize {
            break;
        }
        let id = WatchId { message_id: watch.message_id, due_at };
        let standing = match standing(statements, watch.message_id) {
            Err(StoreError::Corrupt) => {
                tracing::error!(message.id = %id.message_id, "a message on watch can't be read");
                end(statements, id)?;
                set(statements, take.now.plus(NOT_YET), &watch)?;
                continue;
            }
            standing => standing?,
        };
        let Some(standing) = standing.filter(|standing| !is_pointless(&watch, standing)) else {
            end(statements, id)?;
            continue;
        };
        if let (WatchKind::Doubt, Some((provider, receiver))) = (watch.kind, &watch.doubted)
            && doubt::adopt_parked(
                statements,
                watch.message_id,
                watch.attempt,
                *receiver,
                provider,
                take.now,
            )?
        {
            continue;
        }
        end(statements, id)?;
        watch.resends = standing.resends;
        if watch.kind == WatchKind::Undelivered && standing.is_under_way() {
            set(statements, take.now.plus(UNDER_WAY), &watch)?;
            continue;
        }
        let due_at = set(statements, take.lease_until, &watch)?;
        let id = WatchId { message_id: watch.message_id, due_at };
        taken.push(Taken { watch: id, kind: watch.kind });
    }
    Ok(taken)
}

/// Reads a row of [`DUE`] or [`ONE`].
fn watch(row: &Row<'_>) -> Result<Watch, StoreError> {
    let provider: Option<ProviderName> = optional_word(row, 4)?;
    Ok(Watch {
        message_id: MessageId::from_bytes(get(row, 1)?),
        kind: kind(&get::<String>(row, 2)?)?,
        attempt: get(row, 3)?,
        doubted: provider.zip(get(row, 5)?),
        resends: get(row, 6)?,
    })
}

fn kind(word: &str) -> Result<WatchKind, StoreError> {
    let mut kinds = [WatchKind::Doubt, WatchKind::Silence, WatchKind::Undelivered].into_iter();
    kinds.find(|kind| kind.as_str() == word).ok_or(StoreError::Corrupt)
}

/// Where a message stands, for a watch.
struct Standing {
    status: MessageStatus,
    resends: u32,
    /// The number of the last attempt and how it ended, if it did.
    last: Option<(u16, Option<OutcomeKind>)>,
}

impl Standing {
    fn is_under_way(&self) -> bool {
        self.last.is_some_and(|(_, outcome)| outcome.is_none())
    }
}

fn standing(statements: &mut Statements<'_>, id: MessageId) -> Result<Option<Standing>, StoreError> {
    statements.first(STANDING, params![id.as_bytes()], |row| {
        let number: Option<u16> = get(row, 2)?;
        let outcome = optional_word(row, 3)?;
        let last = number.map(|number| (number, outcome));
        Ok(Standing { status: word(row, 0)?, resends: get(row, 1)?, last })
    })
}

/// Whether what a watch is about is over.
fn is_pointless(watch: &Watch, standing: &Standing) -> bool {
    let has_later = standing.last.is_some_and(|(number, _)| number > watch.attempt);
    match watch.kind {
        WatchKind::Doubt => {
            let in_doubt = Some((watch.attempt, Some(OutcomeKind::Ambiguous)));
            standing.status != MessageStatus::Sending || standing.last != in_doubt
        }
        WatchKind::Silence => standing.status.is_final() || (watch.attempt > 0 && has_later),
        WatchKind::Undelivered => {
            has_later || !matches!(standing.status, MessageStatus::Undelivered | MessageStatus::Failed)
        }
    }
}

pub(super) fn settle(statements: &mut Statements<'_>, settled: &[Settled]) -> Result<(), StoreError> {
    settled.iter().try_for_each(|settled| settle_one(statements, settled))
}

fn settle_one(statements: &mut Statements<'_>, settled: &Settled) -> Result<(), StoreError> {
    let WatchId { message_id, due_at } = settled.watch;
    let values = params![due_at.as_micros(), message_id.as_bytes()];
    // It has ended, or somebody else has taken it since.
    let Some(watch) = statements.first(ONE, values, watch)? else { return Ok(()) };
    end(statements, settled.watch)?;
    let next_look = match &settled.verdict {
        Verdict::Again(due_at) => return set(statements, *due_at, &watch).map(|_due_at| ()),
        Verdict::Ended(end) => return finish::finish_one(statements, end),
        Verdict::Done => due_at.plus(NOT_YET),
        Verdict::Resend(wanted) => {
            resend::resend(statements, wanted)?;
            wanted.now.plus(UNDER_WAY)
        }
        Verdict::WaitedInVain(now) => {
            wait_is_over(statements, &watch, *now)?;
            now.plus(NOT_YET)
        }
    };
    let standing = standing(statements, message_id)?;
    if standing.is_some_and(|standing| is_still_needed(&watch, &standing, &settled.verdict)) {
        set(statements, next_look, &watch)?;
    }
    Ok(())
}

/// Whether a message would be forgotten if its watch ended with this verdict.
fn is_still_needed(watch: &Watch, standing: &Standing, verdict: &Verdict) -> bool {
    let unanswered = match watch.kind {
        // Only an end, or a receipt, is the end of a doubt.
        WatchKind::Doubt => true,
        // Not ended while it may still be answered.
        WatchKind::Silence => {
            matches!(verdict, Verdict::WaitedInVain(_)) && standing.status == MessageStatus::Sending
        }
        WatchKind::Undelivered => matches!(verdict, Verdict::Resend(_)) && standing.is_under_way(),
    };
    unanswered && !is_pointless(watch, standing)
}

/// Ends a message that waited in vain: for a receipt, or for its turn.
fn wait_is_over(statements: &mut Statements<'_>, watch: &Watch, now: Timestamp) -> Result<(), StoreError> {
    let Some(standing) = standing(statements, watch.message_id)? else { return Ok(()) };
    // It was sent again after somebody looked: that was about another round.
    if standing.resends != watch.resends {
        return Ok(());
    }
    match standing.status {
        MessageStatus::Sent | MessageStatus::Queued | MessageStatus::Scheduled => {
            end_wait(statements, watch.message_id, standing.status, now)
        }
        _ => Ok(()),
    }
}

/// Ends the wait of a message that stands at `status`.
pub(super) fn end_wait(
    statements: &mut Statements<'_>,
    message_id: MessageId,
    status: MessageStatus,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (event, reason) = match status {
        MessageStatus::Sent => (StatusEvent::WaitedInVain, Reason::NoReceipt),
        _ => (StatusEvent::TimeRanOut, Reason::Expired),
    };
    let failure = Failure::new(reason);
    let by = Actor::System;
    let change = Move { message_id, event, failure: Some(&failure), provider: None, by, now };
    move_status(statements, &change)?;
    if event == StatusEvent::TimeRanOut {
        place::vacate(statements, message_id)?;
    }
    Ok(())
}

fn end(statements: &mut Statements<'_>, watch: WatchId) -> Result<(), StoreError> {
    let values = params![watch.due_at.as_micros(), watch.message_id.as_bytes()];
    statements.execute(END, values).map(|_rows| ())
}
