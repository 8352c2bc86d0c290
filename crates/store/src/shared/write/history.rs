//! Forgetting what is no longer kept.

use std::time::Duration;

use domain::guard::Grain;

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
const FORGET_VERIFICATIONS: &str = "DELETE FROM verifications WHERE message_id IN \
     (SELECT message_id FROM verifications WHERE message_id < ?1 ORDER BY message_id LIMIT ?2)";

/// As far back as shares are taken over minutes, and over days.
const KEEP_CONVERSIONS: [(Grain, Duration); 2] =
    [(Grain::Minute, Duration::from_hours(6)), (Grain::Day, Duration::from_hours(40 * 24))];

const FORGET_CONVERSIONS: &str = "DELETE FROM conversions WHERE grain = ?1 AND bucket < ?2";

pub(super) fn keep(statements: &mut Statements<'_>, keep: &KeepHistory) -> Result<Forgotten, StoreError> {
    let (messages, are_all) = history::keep(statements, keep)?;
    let replies = forget_replies(statements, keep)?;
    Ok(Forgotten { messages, is_done: are_all && replies.is_done, ..replies })
}

/// Forgets answers that no request can ask for any more, and what became of codes.
pub(in super::super) fn forget_replies(
    statements: &mut Statements<'_>,
    keep: &KeepHistory,
) -> Result<Forgotten, StoreError> {
    // A day later than needed: around midnight, nodes whose clocks differ keep answers under both days.
    let first_day = day(keep.replies_since) - 1;
    let replies = statements.execute(FORGET_REPLIES, params![first_day, keep.limit])?;
    let quotas = quotas::forget(statements, keep.now, keep.limit)?;
    let inbound = match keep.messages_since {
        Some(since) => statements.execute(FORGET_INBOUND, params![first_id(since), keep.limit])?,
        None => 0,
    };
    let verifications = match keep.messages_since {
        Some(since) => statements.execute(FORGET_VERIFICATIONS, params![first_id(since), keep.limit])?,
        None => 0,
    };
    for (grain, kept) in KEEP_CONVERSIONS {
        let first = grain.at(keep.now.minus(kept)).number;
        statements.execute(FORGET_CONVERSIONS, params![grain.as_str(), first])?;
    }
    let is_done = [replies, quotas, inbound, verifications].iter().all(|gone| *gone < keep.limit as usize);
    Ok(Forgotten { messages: 0, replies: replies as u64, is_done })
}
