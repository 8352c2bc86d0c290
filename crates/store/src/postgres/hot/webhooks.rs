//! Events on their way to webhooks: one node does it for all, and nobody else decides about them.

use crate::StoreError;
use crate::group::Batch;
use crate::postgres::sql::Statements;
use crate::postgres::write::webhooks;

pub(super) fn run(statements: &mut Statements<'_>, batch: &mut Batch) -> Result<(), StoreError> {
    for pending in &mut batch.handed_out {
        pending.answer = Some(webhooks::hand_out(statements, pending.question)?);
    }
    for pending in &mut batch.delivery_takes {
        pending.answer = Some(webhooks::take(statements, &pending.question)?);
    }
    for pending in &mut batch.delivery_ends {
        pending.answer = Some(webhooks::end(statements, &pending.question)?);
    }
    for pending in &mut batch.replays {
        let (replay, act) = &pending.question;
        pending.answer = Some(webhooks::replay(statements, replay, act.as_ref())?);
    }
    for pending in &mut batch.forgotten_told {
        let (before, limit) = pending.question;
        pending.answer = Some(webhooks::forget(statements, before, limit)?);
    }
    Ok(())
}
