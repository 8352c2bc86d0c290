//! Step 3: what providers tell us, from a callback to a moved status.

use domain::attempt::Reason;
use domain::ids::MessageId;
use domain::phone::{Country, Msisdn};
use domain::receipt::{Receipt, ReceiptStatus};
use domain::route::ProviderName;
use domain::time::Timestamp;
use providers::provider::{CallbackError, CallbackRequest};
use store::StoreError;
use store::port::receipts::{NewReceipt, ReceiptFate};
use tokio::sync::Notify;

use crate::fault::fault_point;
use crate::health::Sign;
use crate::shared::Shared;
use crate::unwanted::{self, Unwanted};

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
    shared: &Shared,
    reconcile: &Notify,
    provider: &ProviderName,
    callback: CallbackRequest<'_>,
) -> Result<(), CallbackRefusal> {
    let adapter = shared.router.provider(provider).ok_or(CallbackRefusal::UnknownProvider)?;
    let receipts = adapter.parse_callback(&callback).inspect_err(|refusal| {
        shared.metrics.callback_refused(provider, *refusal);
        tracing::warn!(%provider, %refusal, "callback refused");
    })?;
    fault_point("before_receipt");
    let receipts: Vec<NewReceipt> =
        receipts.into_iter().map(|receipt| NewReceipt { receipt, raw: callback.body.to_vec() }).collect();
    let said: Vec<Said> = receipts.iter().map(|new| Said::from(&new.receipt)).collect();
    let fates = shared.store.record_receipts(receipts).await?;
    unwanted::enter(shared, &**adapter, told(shared, &said, &fates).await?).await?;
    fault_point("after_receipt");
    for (said, fate) in said.into_iter().zip(fates) {
        shared.metrics.receipt(provider, said.status, fate);
        if let ReceiptFate::Matched { message_id, from, to } = fate {
            note(shared, reconcile, provider, &said, message_id);
            if from != to {
                // A receipt may be the first to tell that a provider has a message.
                shared.outcomes.settle(message_id);
                tracing::info!(message.id = %message_id, %provider, status = %to, "sms.receipt");
            }
        }
    }
    Ok(())
}

/// Those of whom a receipt says that they do not want messages. A receipt that was stored and could not be acted on is
/// not answered 200: it comes again.
async fn told(shared: &Shared, said: &[Said], fates: &[ReceiptFate]) -> Result<Vec<Unwanted>, StoreError> {
    let mut told = Vec::new();
    for (said, fate) in said.iter().zip(fates) {
        let (Some(number), ReceiptFate::Matched { message_id, .. }) = (said.receiver, fate) else { continue };
        if said.reason == Some(Reason::OptedOut) {
            let record = shared.store.message(*message_id).await?;
            let sender = record.and_then(|record| record.summary.message.sender);
            told.push(Unwanted { number, sender, detail: said.code.clone(), at: said.at });
        }
    }
    Ok(told)
}

/// What a receipt says, as far as it is of use after it is stored.
struct Said {
    status: Option<ReceiptStatus>,
    reason: Option<Reason>,
    code: Option<String>,
    receiver: Option<Msisdn>,
    country: Option<Country>,
    at: Timestamp,
}

impl From<&Receipt> for Said {
    fn from(receipt: &Receipt) -> Self {
        Self {
            status: receipt.status,
            reason: receipt.failure.as_ref().map(|failure| failure.reason),
            code: receipt.failure.as_ref().and_then(|failure| failure.provider_code.clone()),
            receiver: receipt.receiver,
            country: receipt.receiver.map(Msisdn::country),
            at: receipt.received_at,
        }
    }
}

/// Learns from a receipt how its route fares, and has the message looked after that was not delivered.
fn note(shared: &Shared, reconcile: &Notify, provider: &ProviderName, said: &Said, id: MessageId) {
    let delivered = match said.status {
        None | Some(ReceiptStatus::Sent) => return,
        Some(ReceiptStatus::Delivered) => Some(true),
        Some(ReceiptStatus::Failed | ReceiptStatus::Undelivered) => {
            let reason = said.reason.unwrap_or(Reason::Unknown);
            if reason.another_route_may_help() {
                reconcile.notify_one();
            }
            Sign::is_of_way(reason).then_some(false)
        }
    };
    shared.silence.reported(id, said.at);
    if let (Some(country), Some(delivered)) = (said.country, delivered) {
        shared.router.health().note_receipt(provider, country, delivered, said.at);
    }
}
