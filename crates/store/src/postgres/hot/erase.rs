//! Texts that have served, and values that were sealed anew: many at once, beside other writers.

use std::collections::HashSet;

use crate::StoreError;
use crate::group::{Pending, ServedTexts};
use crate::postgres::data_keys;
use crate::postgres::sql::{Statements, column, get, params};
use crate::postgres::write;
use crate::seal::ResealedRows;

/// Asked when it is done: somebody may have asked to send it again since it was looked for. What another node decides about
/// at this moment is left for later: here nobody may wait.
const HAVE_SERVED: &str = "SELECT message_id FROM states WHERE message_id = ANY($1::uuid[]) \
     AND message_id BETWEEN $2 AND $3 AND status NOT IN ('queued', 'scheduled', 'sending') FOR UPDATE SKIP LOCKED";

const NOT_THERE: &str = "SELECT e.id FROM UNNEST($1::uuid[]) AS e (id) \
     WHERE NOT EXISTS (SELECT 1 FROM states s WHERE s.message_id = e.id AND s.message_id BETWEEN $2 AND $3)";

const ERASE: &str = "UPDATE messages SET sealed_body = NULL WHERE id = ANY($1::uuid[])";

const ARE_ERASED: &str = "DELETE FROM erasable WHERE message_id = ANY($1::uuid[])";

const ERASE_LATER: &str =
    "INSERT INTO erasable (message_id) SELECT UNNEST($1::uuid[]) ON CONFLICT DO NOTHING";

const SET_MARK: &str = "INSERT INTO progress (chore, mark) VALUES ('erase', $1) \
     ON CONFLICT (chore) DO UPDATE SET mark = excluded.mark";

pub(super) fn texts(
    statements: &mut Statements<'_>,
    pendings: &mut [Pending<ServedTexts, ()>],
) -> Result<(), StoreError> {
    for pending in pendings {
        let ServedTexts { codes, texts, later, inbound, mark } = &pending.question;
        write::erase::inbound(statements, inbound)?;
        let served = have_served(statements, &codes.iter().chain(texts).collect::<Vec<_>>())?;
        statements.execute(ERASE, params![column(&served)])?;
        let codes: Vec<_> = codes.iter().filter(|id| served.contains(*id)).collect();
        if !codes.is_empty() {
            statements.execute(ARE_ERASED, params![column(codes)])?;
        }
        let later: Vec<_> = later.iter().chain(texts.iter().filter(|id| !served.contains(*id))).collect();
        if !later.is_empty() {
            statements.execute(ERASE_LATER, params![column(later)])?;
        }
        if let Some(mark) = mark {
            statements.execute(SET_MARK, params![mark.to_vec()])?;
        }
        pending.answer = Some(());
    }
    Ok(())
}

/// Those of these messages that have ended or are gone. They stay so until this transaction ends.
fn have_served(statements: &mut Statements<'_>, ids: &[&[u8; 16]]) -> Result<HashSet<[u8; 16]>, StoreError> {
    let (Some(first), Some(last)) = (ids.iter().min(), ids.iter().max()) else { return Ok(HashSet::new()) };
    let mut served = HashSet::new();
    for sql in [HAVE_SERVED, NOT_THERE] {
        let values = params![column(ids), *first, *last];
        served.extend(statements.collect(sql, values, |row| get::<[u8; 16]>(row, 0))?);
    }
    Ok(served)
}

pub(super) fn reseal(
    statements: &mut Statements<'_>,
    pendings: &mut [Pending<ResealedRows, ()>],
) -> Result<(), StoreError> {
    for pending in pendings {
        data_keys::write(statements, &pending.question)?;
        pending.answer = Some(());
    }
    Ok(())
}
