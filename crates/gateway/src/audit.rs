//! The audit trail, as far as the service keeps it: what is not told by a change in the store, and checkpoints.

use std::sync::Arc;

use domain::audit::{Checkpoint, NewEntry, hex};

use crate::shared::Shared;
use crate::stop::Stop;
use crate::sweep;

/// Enters refusals. What could not be entered does not change what the caller is answered: a database that takes no
/// entry takes no message either.
pub(crate) async fn note_refusals(shared: &Shared, entries: Vec<NewEntry>) {
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
