//! The audit trail, as far as the service keeps it: what is not told by a change in the store, and checkpoints.

use std::sync::Arc;
use std::time::Duration;

use domain::audit::{Checkpoint, NewEntry, hex};

use crate::shared::Shared;
use crate::stop::Stop;
use crate::sweep;

/// From one look at what was gathered of refusals to the next.
pub(crate) const REFUSALS_TURN: Duration = Duration::from_secs(10);

/// Enters refusals, as far as they are entered one by one.
pub(crate) async fn note_refusals(shared: &Shared, entries: Vec<NewEntry>) {
    if !entries.is_empty() {
        enter(shared, shared.refusals.gather(entries, shared.clock.now())).await;
    }
}

/// Enters those that were gathered, when their minute is over.
pub(crate) async fn note_gathered_regularly(shared: Arc<Shared>, stop: Stop) {
    while sweep::pause(&*shared.clock, REFUSALS_TURN, &stop).await {
        enter(&shared, shared.refusals.over(shared.clock.now())).await;
    }
}

/// Enters all that were gathered: the service stops.
pub(crate) async fn note_gathered(shared: &Shared) {
    enter(shared, shared.refusals.all()).await;
}

/// What could not be entered does not change what the caller is answered: a database that takes no entry takes no message
/// either.
async fn enter(shared: &Shared, entries: Vec<NewEntry>) {
    if entries.is_empty() {
        return;
    }
    let lost = entries.len();
    if let Err(problem) = shared.store.note(entries).await {
        tracing::error!(%problem, lost, "refusals could not be entered into the audit trail");
    }
}

/// Signs where the trail ends, from time to time.
pub(crate) async fn checkpoint_regularly(shared: Arc<Shared>, stop: Stop) {
    let turn = shared.settings.audit_checkpoint_every;
    while sweep::pause(&*shared.clock, turn, &stop).await {
        if sweep::does_for_all(&shared, "audit", turn).await {
            checkpoint(&shared).await;
        }
    }
}

/// Signs where the trail ends. What is logged is for whoever keeps it elsewhere: it finds a database that was put back.
pub(crate) async fn checkpoint(shared: &Shared) {
    match shared.store.checkpoint_audit(shared.clock.now()).await {
        Ok(None) => {}
        Ok(Some(Checkpoint { number, hash, signature, .. })) => {
            tracing::info!(number, hash = hex(&hash), signature = hex(&signature), "audit.checkpoint");
        }
        Err(problem) => tracing::error!(%problem, "the audit trail could not be signed"),
    }
}
