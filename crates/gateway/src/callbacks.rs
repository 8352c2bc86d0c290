//! What providers call: each callback to the step that it is for.

use domain::route::ProviderName;
use providers::provider::{CallbackAnswer, CallbackKind, CallbackRequest};

use crate::inbound;
use crate::receipts::{self, CallbackRefusal};
use crate::service::SmsService;

impl SmsService {
    /// Takes in a callback from a provider. When this answers, what it says is on disk. Answers what the provider is to
    /// be answered, where that matters.
    pub async fn receive_callback(
        &self,
        provider: &ProviderName,
        callback: CallbackRequest<'_>,
    ) -> Result<Option<CallbackAnswer>, CallbackRefusal> {
        let shared = &self.shared;
        match callback.kind {
            CallbackKind::Status => {
                receipts::receive(shared, &self.reconcile, provider, callback).await.map(|()| None)
            }
            CallbackKind::Incoming => inbound::receive(shared, provider, callback).await.map(Some),
            CallbackKind::OptOut => inbound::receive_opt_out(shared, provider, callback).await.map(|()| None),
        }
    }
}
