//! Texts that have served, and values that were sealed anew: many at once, beside other writers.

use crate::StoreError;
use crate::group::{Pending, ServedTexts};
use crate::postgres::data_keys;
use crate::postgres::sql::{Statements, column, params};
use crate::seal::ResealedRows;

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
        let ServedTexts { codes, texts, later, mark } = &pending.question;
        statements.execute(ERASE, params![column(codes.iter().chain(texts))])?;
        if !codes.is_empty() {
            statements.execute(ARE_ERASED, params![column(codes)])?;
        }
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
