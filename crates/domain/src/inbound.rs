//! Messages from phones: what a person answers, or writes of their own accord.

use crate::attempt::ProviderMessageId;
use crate::consent::Keyword;
use crate::phone::{Msisdn, SenderId};
use crate::route::ProviderName;
use crate::scenario::closed_set;
use crate::secret::Body;
use crate::time::Timestamp;

/// Who wrote. Personal data: `Debug` shows no number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A phone that can be answered.
    Phone(Msisdn),
    /// Something else, as the provider wrote it: a network's own name, a short code. Nobody to ask or to answer.
    Other(Body),
}

impl Origin {
    /// The phone, if it is one.
    pub fn phone(&self) -> Option<Msisdn> {
        match self {
            Self::Phone(number) => Some(*number),
            Self::Other(_) => None,
        }
    }
}

/// One message from a phone, parsed from a provider's callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inbound {
    /// Who brought it.
    pub provider: ProviderName,
    /// Their name for it: by this a repeated callback is known.
    pub provider_message_id: ProviderMessageId,
    /// Who wrote.
    pub from: Origin,
    /// The number or short code that was written to, as the provider wrote it, at most 64 characters. Ours, and so no
    /// personal data.
    pub to: String,
    /// The text as it came. May be empty, and may hold any character.
    pub body: Body,
    /// How many SMS it took, if the provider says so.
    pub segments: Option<u16>,
    /// What the provider itself took the text for. It has acted on it, and answered.
    pub understood: Option<Keyword>,
    /// When it reached us.
    pub received_at: Timestamp,
}

impl Inbound {
    /// The sender that was written to, if messages can be sent from it.
    pub fn sender(&self) -> Option<SenderId> {
        SenderId::parse(&self.to).ok()
    }
}

closed_set! {
    /// What became of a message from a phone.
    Handling ("handling") {
        /// It was an opt-out.
        OptedOut => "opted_out",
        /// It was an opt-in.
        OptedIn => "opted_in",
        /// It asked for help.
        Helped => "helped",
        /// It answered a question that was open.
        Answered => "answered",
        /// It is for whoever listens.
        PassedOn => "passed_on",
    }
}

/// A receiver's word that came by another way than a message: a provider's own list of those who opted out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedOptOut {
    /// Which provider.
    pub provider: ProviderName,
    /// Who opted out.
    pub number: Msisdn,
    /// Of which sender; `None` where the provider does not say.
    pub sender: Option<SenderId>,
    /// When it reached us.
    pub received_at: Timestamp,
}
