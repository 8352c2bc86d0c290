//! Taking in what providers tell us.

use async_trait::async_trait;
use domain::ids::MessageId;
use domain::message::MessageStatus;
use domain::receipt::Receipt;

use crate::StoreError;

/// Delivery receipts.
#[async_trait]
pub trait Receipts: Send + Sync {
    /// Stores receipts with the callbacks they came in, moves the status of the messages they are about, and
    /// parks those whose message is not known yet. One answer for each, in order.
    ///
    /// A receipt for an ambiguous attempt settles it as accepted, by this provider's id. One that names no message
    /// of ours settles the only ambiguous attempt of its provider at its receiver, if there is exactly one and none
    /// under way. A receipt of an earlier round counts only if it says `delivered`. A message that a receipt says
    /// was not delivered, for a reason that another route may not share, is put on watch, due at once.
    async fn record_receipts(&self, receipts: Vec<NewReceipt>) -> Result<Vec<ReceiptFate>, StoreError>;
}

/// A receipt to record.
#[derive(Debug, Clone)]
pub struct NewReceipt {
    /// What it says.
    pub receipt: Receipt,
    /// The callback's body as it came.
    pub raw: Vec<u8>,
}

/// What became of a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptFate {
    /// It is about this message, which now stands here.
    Matched {
        /// The message.
        message_id: MessageId,
        /// Where it stood.
        from: MessageStatus,
        /// Where it stands.
        to: MessageStatus,
    },
    /// Its message is not known yet.
    Parked,
}
