//! Step 3: what providers tell us, from a callback to a moved status.

use domain::route::ProviderName;
use providers::provider::{CallbackError, CallbackRequest};
use store::port::receipts::{NewReceipt, ReceiptFate};
use store::{Store, StoreError};

use crate::arrivals::Outcomes;
use crate::metrics::Metrics;
use crate::routing::Router;

/// Why a callback was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallbackRefusal {
    /// No provider of that name is configured.
    #[error("no such provider")]
    UnknownProvider,
    /// The provider's adapter refused it.
    #[error(transparent)]
    Refused(#[from] CallbackError),
    /// It could not be stored: the provider should try again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Checks a callback, stores it and moves what it is about. When this answers, the receipt is on disk.
pub(crate) async fn receive(
    store: &dyn Store,
    router: &Router,
    outcomes: &Outcomes,
    metrics: &Metrics,
    provider: &ProviderName,
    callback: CallbackRequest<'_>,
) -> Result<(), CallbackRefusal> {
    let adapter = router.provider(provider).ok_or(CallbackRefusal::UnknownProvider)?;
    let receipts = adapter.parse_callback(&callback).inspect_err(|refusal| {
        metrics.callback_refused(provider, *refusal);
        tracing::warn!(%provider, %refusal, "callback refused");
    })?;
    let receipts: Vec<NewReceipt> =
        receipts.into_iter().map(|receipt| NewReceipt { receipt, raw: callback.body.to_vec() }).collect();
    let words: Vec<_> = receipts.iter().map(|new| new.receipt.status).collect();
    let fates = store.record_receipts(receipts).await?;
    for (word, fate) in words.into_iter().zip(fates) {
        metrics.receipt(provider, word, fate);
        if let ReceiptFate::Matched { message_id, from, to } = fate
            && from != to
        {
            // A receipt may be the first to tell that a provider has a message.
            outcomes.settle(message_id);
            tracing::info!(message.id = %message_id, %provider, status = %to, "sms.receipt");
        }
    }
    Ok(())
}
