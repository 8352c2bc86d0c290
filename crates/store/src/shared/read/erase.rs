//! Texts that have served.

use domain::message::MessageStatus;

use super::super::row::word;
use super::super::sql::{Row, Statements, get, params};
use super::first_id;
use crate::StoreError;
use crate::group::ServedTexts;
use crate::port::sealing::EraseTexts;

/// Codes whose text is still there and has served: the message has arrived or never will, or it expired and nobody has it
/// in hand. What failed may still be sent again as long as the code is good.
pub(in super::super) const CODES: &str = "SELECT e.message_id FROM erasable e \
     LEFT JOIN states s ON s.message_id = e.message_id LEFT JOIN messages m ON m.id = e.message_id \
     WHERE s.status IS NULL OR s.status IN ('delivered', 'canceled', 'expired') \
     OR (s.status IN ('sent', 'undelivered', 'failed') AND m.created_at < ?2 \
     AND coalesce(m.expires_at, m.created_at) < ?1) ORDER BY e.message_id LIMIT ?3";

const MARK: &str = "SELECT mark FROM progress WHERE chore = 'erase'";

/// Messages behind one, accepted before a time.
pub(in super::super) const OLD: &str = "SELECT s.message_id, s.status FROM states s \
     WHERE s.message_id > ?1 AND s.message_id < ?2 ORDER BY s.message_id LIMIT ?3";

/// Texts from phones that came before a time. Repeats the condition of the partial index.
pub(in super::super) const INBOUND: &str =
    "SELECT id FROM inbound WHERE sealed_text IS NOT NULL AND id < ?1 ORDER BY id LIMIT ?2";

/// A part of them; also whether it is the last.
pub(in super::super) fn served(
    statements: &mut Statements<'_>,
    erase: &EraseTexts,
) -> Result<(ServedTexts, bool), StoreError> {
    let values = params![erase.now.as_micros(), erase.codes_before.as_micros(), erase.limit];
    let codes: Vec<[u8; 16]> = statements.collect(CODES, values, |row| get(row, 0))?;
    let are_all = codes.len() < erase.limit as usize;
    let mut served =
        ServedTexts { codes, texts: Vec::new(), later: Vec::new(), inbound: Vec::new(), mark: None };
    let Some(before) = erase.accepted_before else { return Ok((served, are_all)) };
    let values = params![first_id(before), erase.limit];
    served.inbound = statements.collect(INBOUND, values, |row| get(row, 0))?;
    let are_all = are_all && served.inbound.len() < erase.limit as usize;
    let mark = statements.first(MARK, params![], |row| get::<Vec<u8>>(row, 0))?;
    // Goes on where the last one ended.
    let behind = mark.and_then(|mark| mark.try_into().ok()).unwrap_or([0; 16]);
    let read = |row: &Row<'_>| Ok((get::<[u8; 16]>(row, 0)?, word::<MessageStatus>(row, 1).ok()));
    let found = statements.collect(OLD, params![behind, first_id(before), erase.limit], read)?;
    served.mark = found.last().map(|(last, _)| *last);
    let is_over = |status: Option<MessageStatus>| status.is_none_or(MessageStatus::is_submitted_or_final);
    let is_last = found.len() < erase.limit as usize;
    for (id, status) in found {
        if is_over(status) { served.texts.push(id) } else { served.later.push(id) }
    }
    Ok((served, are_all && is_last))
}
