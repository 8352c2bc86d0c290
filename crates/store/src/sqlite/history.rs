//! Forgetting, message by message: a part at a time, oldest first. Pages that become free are used again, and given back if
//! they are many.

use super::audit;
use super::read::first_id;
use super::sql::{Statements, get, params};
use crate::StoreError;
use crate::port::history::KeepHistory;

/// `sent` is over too: of a provider that reports nothing, and past every horizon.
const OVER: &str = "SELECT s.message_id FROM states s \
     WHERE s.message_id < ?1 AND s.status NOT IN ('scheduled', 'queued', 'sending') \
     ORDER BY s.message_id LIMIT ?2";

/// Nothing tells of a message that is gone.
const OF_A_MESSAGE: [&str; 5] = [
    "DELETE FROM callbacks WHERE message_id = ?1",
    "DELETE FROM attempts WHERE message_id = ?1",
    "DELETE FROM rounds WHERE message_id = ?1",
    "DELETE FROM states WHERE message_id = ?1",
    "DELETE FROM messages WHERE id = ?1",
];

/// Written with the index's own condition. What is parked for so long is nobody's.
const PARKED: &str = "DELETE FROM callbacks WHERE id IN \
     (SELECT id FROM callbacks WHERE message_id IS NULL AND received_at < ?1 LIMIT ?2)";

/// Free pages, and all pages; nothing in a file that was made before room could be given back.
const PAGES: &str = "SELECT f.freelist_count, p.page_count FROM pragma_freelist_count f, pragma_page_count p, \
     pragma_auto_vacuum v WHERE v.auto_vacuum = 2";

/// So many at a time: their pages are moved in the commit of what else gathered. A row for each.
const GIVE_BACK: &str = "PRAGMA incremental_vacuum(512)";

/// One page of so many may stay free: what is forgotten each day is room for what comes.
const MAY_BE_FREE: i64 = 8;

/// Gives back a part of what is free, if it is much; answers whether it is not any more.
fn give_back(statements: &mut Statements<'_>) -> Result<bool, StoreError> {
    let is_much = |statements: &mut Statements<'_>| {
        let pages =
            statements.first(PAGES, params![], |row| Ok((get::<i64>(row, 0)?, get::<i64>(row, 1)?)))?;
        Ok(pages.is_some_and(|(free, all)| free > all / MAY_BE_FREE))
    };
    if !is_much(statements)? {
        return Ok(true);
    }
    statements.collect(GIVE_BACK, params![], |_page| Ok(()))?;
    is_much(statements).map(|is_much| !is_much)
}

/// Forgets entries of the audit trail and messages that are no longer kept. Answers how many messages, and whether these
/// were all.
pub(super) fn keep(statements: &mut Statements<'_>, keep: &KeepHistory) -> Result<(u64, bool), StoreError> {
    let are_entries_done = audit::forget(statements, keep.audit_since, keep.limit)?;
    let is_room_given = give_back(statements)?;
    let are_entries_done = are_entries_done && is_room_given;
    let Some(since) = keep.messages_since else { return Ok((0, are_entries_done)) };
    let over: Vec<[u8; 16]> =
        statements.collect(OVER, params![first_id(since), keep.limit], |row| get(row, 0))?;
    for id in &over {
        for sql in OF_A_MESSAGE {
            statements.execute(sql, params![id])?;
        }
    }
    let parked = statements.execute(PARKED, params![since.as_micros(), keep.limit])?;
    let limit = keep.limit as usize;
    Ok((over.len() as u64, over.len() < limit && parked < limit && are_entries_done))
}
