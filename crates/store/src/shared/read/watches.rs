//! What is on watch, with what is needed to decide.

use std::time::Duration;

use domain::attempt::{Attempt, OutcomeKind, ProviderMessageId};
use domain::route::ProviderName;
use domain::time::Timestamp;

use super::super::row;
use super::super::sql::{Row, Statements, get, params};
use super::super::write::doubt::attempts_at;
use super::{ATTEMPTS, message_sql};
use crate::StoreError;
use crate::group::Taken;
use crate::port::messages::MessageSummary;
use crate::port::watches::{WatchCount, WatchKind, Watched};

/// How long before an attempt in doubt others may have begun whose ids must not be taken for its own: clocks differ.
const BEFORE: Duration = Duration::from_hours(1);

/// How many watches of a kind there are, and when the first is due.
pub(in super::super) const COUNT: &str = "SELECT count(*), min(due_at) FROM watches WHERE kind = ?1";

/// The oldest message that is on watch.
pub(in super::super) const OLDEST: &str =
    "SELECT message_id FROM watches WHERE kind = ?1 ORDER BY message_id LIMIT 1";

/// The present round of a message that was sent again.
pub(in super::super) const ROUND: &str = "SELECT began_at, expires_at FROM rounds WHERE message_id = ?1";

pub(in super::super) const ACCEPTED_AT: &str = "SELECT created_at FROM messages WHERE id = ?1";

/// What has ended meanwhile, or can't be read, is left out: its watch comes back.
pub(in super::super) fn watched(
    statements: &mut Statements<'_>,
    taken: &[Taken],
    now: Timestamp,
) -> Result<Vec<Watched>, StoreError> {
    let mut found = Vec::new();
    for taken in taken {
        match watched_one(statements, *taken, now) {
            Ok(watched) => found.extend(watched),
            Err(StoreError::Corrupt) => {
                tracing::error!(message.id = %taken.watch.message_id, "a message on watch can't be read");
            }
            Err(problem) => return Err(problem),
        }
    }
    Ok(found)
}

fn watched_one(
    statements: &mut Statements<'_>,
    taken: Taken,
    now: Timestamp,
) -> Result<Option<Watched>, StoreError> {
    let id = taken.watch.message_id;
    let vault = statements.vault();
    let read = |row: &Row<'_>| row::summary(&vault, row);
    let summary = statements.collect_of(&message_sql(), params![id.as_bytes()], read)?.pop();
    // Ended meanwhile, perhaps by what the same look found out: its watch is pointless, and ends the next time.
    let is_over =
        |summary: &MessageSummary| summary.status.is_final() && taken.kind != WatchKind::Undelivered;
    let Some(summary) = summary.filter(|summary| !is_over(summary)) else { return Ok(None) };
    let mut attempts = statements.collect(ATTEMPTS, params![id.as_bytes()], row::attempt)?;
    let mut asked: Vec<ProviderName> = Vec::new();
    for attempt in &attempts {
        if !asked.contains(&attempt.provider) {
            asked.push(attempt.provider.clone());
        }
    }
    let may_have_left = |attempt: &&Attempt| {
        let kind = attempt.ended.as_ref().map(|(_, outcome)| outcome.kind());
        matches!(kind, None | Some(OutcomeKind::Accepted | OutcomeKind::Ambiguous))
    };
    let perhaps_sent = u16::try_from(attempts.iter().filter(may_have_left).count()).unwrap_or(u16::MAX);
    let attempt = attempts.pop().unwrap_or_else(|| not_yet(&summary));
    let round = statements.collect(ROUND, params![id.as_bytes()], |row| {
        Ok((row::time(row, 0)?, row::optional_time(row, 1)?))
    })?;
    let message = &summary.message;
    let accepted = message.scheduled_at.map_or(message.created_at, |at| at.max(message.created_at));
    let (first_due_at, expires_at) = round.first().copied().unwrap_or((accepted, message.expires_at));
    let (known, has_rival) = match taken.kind {
        WatchKind::Doubt => others(statements, &summary, &attempt, now)?,
        WatchKind::Silence | WatchKind::Undelivered => (Vec::new(), false),
    };
    Ok(Some(Watched {
        watch: taken.watch,
        kind: taken.kind,
        message: summary.message,
        status: summary.status,
        failure: summary.failure,
        updated_at: summary.updated_at,
        attempt,
        first_due_at,
        expires_at,
        asked,
        perhaps_sent,
        known,
        has_rival,
    }))
}

/// For a message that nobody was asked to send yet.
fn not_yet(summary: &MessageSummary) -> Attempt {
    Attempt {
        number: 0,
        provider: summary.provider.clone(),
        started_at: summary.message.created_at,
        ended: None,
    }
}

/// What is known of other attempts by the same provider at the same receiver: the ids it gave, and whether one is
/// under way.
fn others(
    statements: &mut Statements<'_>,
    summary: &MessageSummary,
    attempt: &Attempt,
    now: Timestamp,
) -> Result<(Vec<ProviderMessageId>, bool), StoreError> {
    let (id, receiver) = (summary.message.id, statements.vault().blind(summary.message.receiver));
    let since = attempt.started_at.minus(BEFORE);
    let newest = now.max(attempt.started_at);
    let (mut known, mut has_rival) = (Vec::new(), false);
    for other in attempts_at(statements, receiver, &attempt.provider, since, newest)? {
        if (other.message_id, other.number) == (id, attempt.number) {
            continue;
        }
        has_rival |= other.is_open;
        let theirs = other.provider_message_id.filter(|_| other.started_at >= since);
        if let Some(theirs) = theirs.and_then(ProviderMessageId::new)
            && !known.contains(&theirs)
        {
            known.push(theirs);
        }
    }
    Ok((known, has_rival))
}

pub(in super::super) fn counts(statements: &mut Statements<'_>) -> Result<Vec<WatchCount>, StoreError> {
    let mut counts = Vec::new();
    for kind in [WatchKind::Doubt, WatchKind::Silence, WatchKind::Undelivered] {
        let count = statements.first(COUNT, params![kind.as_str()], |row| {
            Ok((get::<u64>(row, 0)?, row::optional_time(row, 1)?))
        })?;
        let oldest = statements.first(OLDEST, params![kind.as_str()], |row| get::<[u8; 16]>(row, 0))?;
        let (Some((watches, Some(next_due_at))), Some(oldest)) = (count, oldest) else { continue };
        let accepted_at = statements.first(ACCEPTED_AT, params![oldest], |row| row::time(row, 0))?;
        let oldest_accepted_at = accepted_at.unwrap_or(next_due_at);
        counts.push(WatchCount { kind, watches, next_due_at, oldest_accepted_at });
    }
    Ok(counts)
}
