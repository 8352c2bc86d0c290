//! What providers call: each callback to the step that it is for.

use domain::ids::InboundId;
use domain::inbound::Inbound;
use domain::route::ProviderName;
use providers::provider::{CallbackAnswer, CallbackKind, CallbackRequest};
use store::port::prompts::ReplyFate;

use crate::inbound::{self, Heard};
use crate::prompts::PossibleReply;
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
            CallbackKind::Incoming => {
                let Heard { answer, reply } = inbound::receive(shared, provider, callback).await?;
                if let Some((id, inbound, fate)) = reply {
                    self.tell_of_prompt(id, inbound, &fate).await;
                }
                Ok(Some(answer))
            }
            CallbackKind::OptOut => inbound::receive_opt_out(shared, provider, callback).await.map(|()| None),
        }
    }

    async fn tell_of_prompt(&self, id: InboundId, inbound: Inbound, fate: &ReplyFate) {
        let Some(from) = inbound.from.phone() else { return };
        let to = inbound.sender();
        let Inbound { provider, received_at, body, .. } = inbound;
        self.tell_of(&PossibleReply { id, from, to, words: body, provider, received_at }, fate).await;
    }
}
