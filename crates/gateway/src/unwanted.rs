//! Receivers of whom a provider says that they do not want messages: by a callback, by refusing a message, by a receipt.

use domain::attempt::{Failure, Reason};
use domain::audit::Actor;
use domain::consent::{Change, Direction, Source};
use domain::phone::{Msisdn, SenderId};
use domain::time::Timestamp;
use providers::SmsProvider;
use store::StoreError;
use store::port::consent::ChangeConsent;

use crate::fresh;
use crate::shared::Shared;

/// Somebody of whom a provider says that he does not want messages.
pub(crate) struct Unwanted {
    pub(crate) number: Msisdn,
    /// Of which sender; `None` for the one that messages show which name none.
    pub(crate) sender: Option<SenderId>,
    /// The provider's code.
    pub(crate) detail: Option<String>,
    pub(crate) at: Timestamp,
}

/// Enters what a provider said of people.
pub(crate) async fn enter(
    shared: &Shared,
    adapter: &dyn SmsProvider,
    told: Vec<Unwanted>,
) -> Result<(), StoreError> {
    if told.is_empty() {
        return Ok(());
    }
    let provider = adapter.provider_name();
    let of_one = |told: Unwanted| Change {
        id: fresh::consent_id(told.at),
        number: told.number,
        sender: told.sender.or_else(|| adapter.default_sender()),
        direction: Direction::OptOut,
        extent: adapter.refusal_extent(),
        source: Source::Provider,
        provider: Some(provider.clone()),
        inbound_id: None,
        detail: told.detail,
        at: told.at,
    };
    let changes = told.into_iter().map(of_one).collect();
    let by = Actor::Provider(provider.clone());
    shared.store.change_consent(ChangeConsent { changes, by }).await.map(|_changed| ())
}

/// Whether a message was not sent because its receiver does not want it.
pub(crate) fn is_meant(failure: Option<&Failure>) -> bool {
    failure.is_some_and(|failure| failure.reason == Reason::OptedOut)
}
