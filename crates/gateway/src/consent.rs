//! What callers say and ask about consent, and messages from phones for those who ask.

use domain::audit::Actor;
use domain::consent::{Change, Direction, Extent, Source};
use domain::phone::{Msisdn, SenderId};
use store::StoreError;
use store::port::consent::{ChangeConsent, Changed, ConsentRecord, OptOutFilter};
use store::port::inbound::{InboundFilter, InboundRecord};

use crate::fresh;
use crate::service::SmsService;

/// What a caller says of somebody's consent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Whose.
    pub number: Msisdn,
    /// About this sender; `None` for all.
    pub sender: Option<SenderId>,
    /// Which way.
    pub direction: Direction,
    /// How far.
    pub extent: Extent,
    /// A note for the ledger.
    pub note: Option<String>,
}

impl SmsService {
    /// Enters what a caller says of somebody's consent. When this answers, it is on disk.
    pub async fn change_consent(&self, said: Said, by: Actor) -> Result<Changed, StoreError> {
        let at = self.now();
        let change = Change {
            id: fresh::consent_id(at),
            number: said.number,
            sender: said.sender,
            direction: said.direction,
            extent: said.extent,
            source: Source::Api,
            provider: None,
            inbound_id: None,
            detail: said.note,
            at,
        };
        let changed = self.shared.store.change_consent(ChangeConsent { changes: vec![change], by }).await?;
        changed.into_iter().next().ok_or(StoreError::Corrupt)
    }

    /// Opt-outs that hold now, newest first.
    pub async fn opt_outs(&self, filter: OptOutFilter) -> Result<Vec<ConsentRecord>, StoreError> {
        self.shared.store.opt_outs(filter).await
    }

    /// All that the ledger has of a person, newest first.
    pub async fn consent_history(
        &self,
        number: Msisdn,
        limit: u32,
    ) -> Result<Vec<ConsentRecord>, StoreError> {
        self.shared.store.consent_history(number, limit).await
    }

    /// Messages from phones, newest first.
    pub async fn inbound(&self, filter: InboundFilter) -> Result<Vec<InboundRecord>, StoreError> {
        self.shared.store.inbound(filter).await
    }
}
