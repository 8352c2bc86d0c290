//! Recording how attempts ended, and what comes next.

use domain::attempt::{Acceptance, Failure, Reason, SubmitOutcome};
use domain::audit::Actor;
use domain::message::{MessageStatus, StatusEvent};
use domain::money::Money;
use domain::route::ProviderName;

use super::super::row::word;
use super::super::sql::{Statements, params};
use super::place::{self, Turn};
use super::watches::{self, Watch};
use super::{Move, again, cancel, doubt, move_status, receipts};
use crate::StoreError;
use crate::port::queue::{AttemptEnd, Next};
use crate::port::watches::WatchKind;

/// The end of an attempt, if it is still open or ambiguous: an attempt ends once, and only an ambiguous one may
/// still be told how it really ended. Answers the provider that was asked.
pub(in super::super) const CLOSE: &str = "UPDATE attempts SET ended_at = ?3, outcome = ?4, reason = ?5, \
     provider_code = ?6, provider_message_id = ?7, segments = ?8, cost_micros = ?9, cost_currency = ?10 \
     WHERE message_id = ?1 AND number = ?2 AND (outcome IS NULL OR outcome = 'ambiguous') RETURNING provider";

pub(super) fn finish(statements: &mut Statements<'_>, ends: &[AttemptEnd]) -> Result<(), StoreError> {
    ends.iter().try_for_each(|end| finish_one(statements, end))
}

pub(super) fn finish_one(statements: &mut Statements<'_>, end: &AttemptEnd) -> Result<(), StoreError> {
    let Some(provider) = close_attempt(statements, end)? else { return Ok(()) };
    let (id, attempt) = (end.message_id, end.attempt);
    match &end.outcome {
        SubmitOutcome::Accepted(acceptance) => accepted(statements, end, &provider, acceptance),
        // A receipt that came while the attempt was open has told that the provider has it.
        SubmitOutcome::Ambiguous(_)
            if doubt::adopt_told(statements, id, attempt, &provider, end.ended_at)? =>
        {
            Ok(())
        }
        _ => move_on(statements, end, &provider),
    }
}

fn close_attempt(
    statements: &mut Statements<'_>,
    end: &AttemptEnd,
) -> Result<Option<ProviderName>, StoreError> {
    let failure = end.outcome.failure();
    let acceptance = match &end.outcome {
        SubmitOutcome::Accepted(acceptance) => Some(acceptance),
        _ => None,
    };
    let cost = acceptance.and_then(|acceptance| acceptance.cost);
    let values = params![
        end.message_id.as_bytes(),
        end.attempt,
        end.ended_at.as_micros(),
        end.outcome.kind().as_str(),
        failure.map(|failure| failure.reason.as_str()),
        failure.and_then(|failure| failure.provider_code.as_deref()),
        acceptance.map(|acceptance| acceptance.provider_message_id.as_str()),
        acceptance.and_then(|acceptance| acceptance.segments),
        cost.map(Money::micros),
        cost.as_ref().map(Money::currency),
    ];
    statements.first(CLOSE, values, |row| word(row, 0))
}

/// The provider has it, whatever was decided meanwhile.
fn accepted(
    statements: &mut Statements<'_>,
    end: &AttemptEnd,
    provider: &ProviderName,
    acceptance: &Acceptance,
) -> Result<(), StoreError> {
    let (message_id, attempt) = (end.message_id, end.attempt);
    let change = Move {
        message_id,
        event: StatusEvent::Accepted,
        failure: None,
        provider: Some(provider),
        by: Actor::System,
        now: end.ended_at,
    };
    let moved = move_status(statements, &change)?;
    if let (Some(watch_at), Some((_, MessageStatus::Sent))) = (end.watch_at, moved) {
        watches::set(statements, watch_at, &Watch::new(message_id, WatchKind::Silence, attempt))?;
    }
    receipts::match_parked(statements, message_id, attempt, provider, &acceptance.provider_message_id)
}

fn move_on(
    statements: &mut Statements<'_>,
    end: &AttemptEnd,
    asked: &ProviderName,
) -> Result<(), StoreError> {
    // A receipt may have come meanwhile, and what a provider has is not tried again. Or somebody gave the attempt
    // up and tries again already: once is enough.
    let Some(resends) = doubt::is_in_force(statements, end.message_id, end.attempt)? else {
        return Ok(());
    };
    let (event, failure, provider) = match &end.next {
        Next::Stop => (StatusEvent::Refused, given_up(&end.outcome), Some(asked)),
        Next::Expire => (StatusEvent::TimeRanOut, Some(Failure::new(Reason::Expired)), None),
        Next::Retry { provider, .. } => {
            (StatusEvent::Requeued, end.outcome.failure().cloned(), Some(provider))
        }
        Next::Wait => return wait(statements, end, asked),
    };
    let change = Move {
        message_id: end.message_id,
        event,
        failure: failure.as_ref(),
        provider,
        by: Actor::System,
        now: end.ended_at,
    };
    move_status(statements, &change)?;
    if let Next::Retry { provider, priority, due_at, expires_at, refused_by } = &end.next {
        if let Some(obstacle) = again::obstacle(statements, end.message_id, end.ended_at)? {
            let failure = again::failure(obstacle);
            let stopped =
                cancel::stop_one(statements, end.message_id, failure.as_ref(), &Actor::System, end.ended_at);
            return stopped.map(|_moved| ());
        }
        let turn = Turn {
            provider,
            lane: *priority,
            due_at: *due_at,
            message_id: end.message_id,
            attempt: end.attempt.saturating_add(1),
            expires_at: *expires_at,
            refused_by,
            resends,
        };
        place::put(statements, &turn)?;
    }
    Ok(())
}

/// Why a message ends here. What may have left is not a failure of the kind that the attempt met: what counts is
/// that nobody knows.
fn given_up(outcome: &SubmitOutcome) -> Option<Failure> {
    match outcome {
        SubmitOutcome::Ambiguous(_) => Some(Failure::new(Reason::OutcomeUnknown)),
        _ => outcome.failure().cloned(),
    }
}

/// Somebody has to find out how the attempt ended: without a watch, the message would be forgotten.
fn wait(statements: &mut Statements<'_>, end: &AttemptEnd, asked: &ProviderName) -> Result<(), StoreError> {
    if !matches!(end.outcome, SubmitOutcome::Ambiguous(_)) {
        return Ok(());
    }
    let watch_at = end.watch_at.unwrap_or(end.ended_at);
    watches::set_doubt(statements, watch_at, end.message_id, end.attempt, asked)
}
