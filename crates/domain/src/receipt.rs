//! Delivery receipts: a provider's word on what became of a message.

use crate::attempt::{Failure, ProviderMessageId};
use crate::ids::MessageId;
use crate::message::StatusEvent;
use crate::phone::Msisdn;
use crate::route::ProviderName;
use crate::scenario::closed_set;
use crate::time::Timestamp;

closed_set! {
    /// What a receipt says, whatever words the provider uses.
    ReceiptStatus ("receipt status") {
        /// The provider has it, or handed it to the network.
        Sent => "sent",
        /// Refused by the provider or the network after it had been taken.
        Failed => "failed",
        /// The network could not deliver it.
        Undelivered => "undelivered",
        /// The phone has it.
        Delivered => "delivered",
    }
}

impl ReceiptStatus {
    /// What the receipt does to the message's status.
    pub const fn event(self) -> StatusEvent {
        match self {
            Self::Sent => StatusEvent::Accepted,
            Self::Failed => StatusEvent::ReceiptFailed,
            Self::Undelivered => StatusEvent::ReceiptUndelivered,
            Self::Delivered => StatusEvent::ReceiptDelivered,
        }
    }
}

/// One receipt, parsed from a provider's callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Who sent it.
    pub provider: ProviderName,
    /// Their name for the message.
    pub provider_message_id: ProviderMessageId,
    /// Our own, where the callback URL carried it.
    pub message_id: Option<MessageId>,
    /// Our attempt, where the callback URL carried it.
    pub attempt: Option<u16>,
    /// The receiver named in it.
    pub receiver: Option<Msisdn>,
    /// Their word, verbatim, at most 64 characters.
    pub provider_status: String,
    /// What the word means; `None` for a word that we don't know, which is kept and changes nothing.
    pub status: Option<ReceiptStatus>,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// The mobile network that reported, by MCC and MNC.
    pub network_code: Option<String>,
    /// When it reached us.
    pub received_at: Timestamp,
}
