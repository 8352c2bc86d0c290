//! Who does not want what: the ledger of opt-outs and opt-ins, and what holds now.

use async_trait::async_trait;
use domain::audit::Actor;
use domain::consent::{Change, Class, Direction, Extent, Question, Source};
use domain::ids::{ConsentId, InboundId, MessageId};
use domain::phone::{Msisdn, SenderId};
use domain::route::ProviderName;
use domain::time::Timestamp;

use crate::StoreError;

/// The consent ledger. Entries are added and never changed; what holds now follows from them.
///
/// A change never shares a moment with an accept: what was accepted before it and has not left is stopped by it, what is
/// accepted after it knows of it.
#[async_trait]
pub trait Consents: Send + Sync {
    /// Enters changes, in their order, and stops what waits and is held back by them. One answer for each.
    ///
    /// A change after which all is as it was is not entered: so a list can be imported twice.
    async fn change_consent(&self, change: ChangeConsent) -> Result<Vec<Changed>, StoreError>;

    /// Which opt-out would hold back a message to this number, if one does.
    async fn held_back(&self, number: Msisdn, question: Question) -> Result<Option<HeldBack>, StoreError>;

    /// Opt-outs that hold now, newest first.
    async fn opt_outs(&self, filter: OptOutFilter) -> Result<Vec<ConsentRecord>, StoreError>;

    /// All that was entered of a number, newest first.
    async fn consent_history(&self, number: Msisdn, limit: u32) -> Result<Vec<ConsentRecord>, StoreError>;
}

/// Changes to enter.
#[derive(Debug, Clone)]
pub struct ChangeConsent {
    /// In their order.
    pub changes: Vec<Change>,
    /// Who says so.
    pub by: Actor,
}

/// What a change changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It is entered, and so many messages that waited were stopped.
    Entered {
        /// How many.
        stopped: u64,
    },
    /// All is as it was.
    AsItWas,
}

/// An opt-out that holds a message back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBack {
    /// About this sender; `None` for all.
    pub sender: Option<SenderId>,
    /// How far it goes.
    pub extent: Extent,
    /// How it became known.
    pub source: Source,
    /// Since when it holds.
    pub since: Timestamp,
}

/// A message that an opt-out holds back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptedOut {
    /// The message.
    pub message_id: MessageId,
    /// The opt-out.
    pub by: HeldBack,
}

/// Which opt-outs to list.
#[derive(Debug, Clone, Default)]
pub struct OptOutFilter {
    /// Of this number.
    pub number: Option<Msisdn>,
    /// About this sender. Those about all senders are not among them.
    pub sender: Option<SenderId>,
    /// That hold back messages of this class.
    pub class: Option<Class>,
    /// Begin after this one, going back in time.
    pub after: Option<ConsentId>,
    /// How many at most.
    pub limit: u32,
}

/// An entry of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentRecord {
    /// Its id.
    pub id: ConsentId,
    /// Whose; `None` once the person was forgotten. The opt-out goes on, by the hash of the number.
    pub number: Option<Msisdn>,
    /// About this sender; `None` for all.
    pub sender: Option<SenderId>,
    /// Which way.
    pub direction: Direction,
    /// How far.
    pub extent: Extent,
    /// How it became known.
    pub source: Source,
    /// Which provider said so, or carried the keyword.
    pub provider: Option<ProviderName>,
    /// The message by which the person said so.
    pub inbound_id: Option<InboundId>,
    /// What else is known.
    pub detail: Option<String>,
    /// Who entered it.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
}
