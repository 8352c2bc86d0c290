//! Recording how attempts ended, and what comes next.

use domain::attempt::{Acceptance, Failure, Reason, SubmitOutcome};
use domain::message::StatusEvent;
use domain::money::Money;
use domain::route::ProviderName;
use domain::time::Timestamp;
use rusqlite::params;

use super::statements::Statements;
use super::{Move, move_status, receipts};
use crate::StoreError;
use crate::port::queue::{AttemptEnd, Next};
use crate::sqlite::connection::error;
use crate::sqlite::row::word;

/// The end of an attempt, if it is still open or ambiguous: an attempt ends once, and only an ambiguous one may
/// still be told how it really ended. Answers the provider that was asked.
pub(in crate::sqlite) const CLOSE: &str = "UPDATE attempts SET ended_at = ?3, outcome = ?4, reason = ?5, \
     provider_code = ?6, provider_message_id = ?7, segments = ?8, cost_micros = ?9, cost_currency = ?10 \
     WHERE message_id = ?1 AND number = ?2 AND (outcome IS NULL OR outcome = 'ambiguous') RETURNING provider";

/// Whether it is for this attempt to say what comes next: the message still waits for its outcome, and no later
/// attempt was made.
pub(in crate::sqlite) const IS_IN_FORCE: &str = "SELECT status = 'sending' AND NOT EXISTS \
     (SELECT 1 FROM attempts WHERE message_id = ?1 AND number > ?2) FROM states WHERE message_id = ?1";

const REQUEUE: &str = "INSERT INTO queue (provider, lane, due_at, message_id, attempt, expires_at) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

pub(super) fn finish(statements: &mut Statements<'_>, ends: &[AttemptEnd]) -> Result<(), StoreError> {
    for end in ends {
        let Some(provider) = close_attempt(statements, end)? else { continue };
        match &end.outcome {
            SubmitOutcome::Accepted(acceptance) => accepted(statements, end, &provider, acceptance)?,
            _ => move_on(statements, end)?,
        }
    }
    Ok(())
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
    let update = statements.get(CLOSE)?;
    let mut rows = update.query(values).map_err(error)?;
    rows.next().map_err(error)?.map(|row| word(row, 0)).transpose()
}

/// The provider has it, whatever was decided meanwhile.
fn accepted(
    statements: &mut Statements<'_>,
    end: &AttemptEnd,
    provider: &ProviderName,
    acceptance: &Acceptance,
) -> Result<(), StoreError> {
    let change = Move {
        message_id: end.message_id,
        event: StatusEvent::Accepted,
        failure: None,
        provider: Some(provider),
        now: end.ended_at,
    };
    move_status(statements, &change)?;
    receipts::match_parked(statements, end.message_id, provider, &acceptance.provider_message_id)
}

fn move_on(statements: &mut Statements<'_>, end: &AttemptEnd) -> Result<(), StoreError> {
    let too_late = Failure::new(Reason::Expired);
    let (event, failure, provider) = match &end.next {
        Next::Stop => (StatusEvent::Refused, end.outcome.failure(), None),
        Next::Expire => (StatusEvent::TimeRanOut, Some(&too_late), None),
        Next::Retry { provider, .. } => (StatusEvent::Requeued, end.outcome.failure(), Some(provider)),
        Next::Wait => return Ok(()),
    };
    // A receipt may have come meanwhile, and what a provider has is not tried again. Or somebody gave the attempt
    // up and tries again already: once is enough.
    let values = params![end.message_id.as_bytes(), end.attempt];
    let in_force = statements.first(IS_IN_FORCE, values, |row| row.get(0))?;
    if in_force != Some(true) {
        return Ok(());
    }
    let change = Move { message_id: end.message_id, event, failure, provider, now: end.ended_at };
    move_status(statements, &change)?;
    if let Next::Retry { provider, priority, due_at, expires_at } = &end.next {
        statements.execute(
            REQUEUE,
            params![
                provider.as_str(),
                priority.index(),
                due_at.as_micros(),
                end.message_id.as_bytes(),
                end.attempt.saturating_add(1),
                expires_at.map(Timestamp::as_micros),
            ],
        )?;
    }
    Ok(())
}
