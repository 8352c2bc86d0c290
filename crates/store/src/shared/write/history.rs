//! Forgetting what is no longer kept.

use super::super::history;
use super::super::quotas;
use super::super::read::first_id;
use super::super::sql::{Statements, params};
use super::accept::day;
use crate::StoreError;
use crate::port::history::{Forgotten, KeepHistory};

const FORGET_REPLIES: &str = "DELETE FROM idempotency WHERE (day, key) IN \
     (SELECT day, key FROM idempotency WHERE day < ?1 ORDER BY day, key LIMIT ?2)";

/// Messages from phones are kept for as long as those to them.
const FORGET_INBOUND: &str =
    "DELETE FROM inbound WHERE id IN (SELECT id FROM inbound WHERE id < ?1 ORDER BY id LIMIT ?2)";

pub(super) fn keep(statements: &mut Statements<'_>, keep: &KeepHistory) -> Result<Forgotten, StoreError> {
    let (messages, are_all) = history::keep(statements, keep)?;
    let replies = forget_replies(statements, keep)?;
    Ok(Forgotten { messages, is_done: are_all && replies.is_done, ..replies })
}

/// Forgets answers that no request can ask for any more.
pub(in super::super) fn forget_replies(
    statements: &mut Statements<'_>,
    keep: &KeepHistory,
) -> Result<Forgotten, StoreError> {
    // A day later than needed: around midnight, nodes whose clocks differ keep answers under both days.
    let first_day = day(keep.replies_since) - 1;
    let replies = statements.execute(FORGET_REPLIES, params![first_day, keep.limit])?;
    let quotas = quotas::forget(statements, keep.now, keep.limit)?;
    let limit = keep.limit as usize;
    let inbound = match keep.messages_since {
        Some(since) => statements.execute(FORGET_INBOUND, params![first_id(since), keep.limit])?,
        None => 0,
    };
    Ok(Forgotten {
        messages: 0,
        replies: replies as u64,
        is_done: replies < limit && quotas < limit && inbound < limit,
    })
}
