//! Messages from phones: read, understood, stored, and answered.
//!
//! The adapter says who speaks and what is said; [`listening`](crate::listening) finds what the text asks for, and about
//! which sender; [`answers`](crate::answers) writes what is answered. The store does the rest in one commit, in the
//! order in which texts are heard: opt-outs and opt-ins, open questions, whoever listens. So a message that was answered
//! was stored, and one that comes again changes nothing.

use std::sync::Arc;

use domain::inbound::{Inbound, ListedOptOut};
use domain::route::ProviderName;
use providers::SmsProvider;
use providers::provider::{CallbackAnswer, CallbackError, CallbackRequest};
use store::port::inbound::{Answers, NewInbound, Received};
use store::port::prompts::ReplyFate;

pub use crate::answers::GATEWAY;
use crate::answers::Writer;
use crate::fresh;
use crate::metrics::Arrival;
use crate::receipts::CallbackRefusal;
use crate::shared::Shared;
use crate::unwanted::{self, Unwanted};

/// Takes in a message from a phone, and answers what the provider is to be answered. When this answers, it is on disk,
/// with what it changed and with the reply to it where that is a message of its own.
pub(crate) async fn receive(
    shared: &Shared,
    provider: &ProviderName,
    callback: CallbackRequest<'_>,
) -> Result<CallbackAnswer, CallbackRefusal> {
    let adapter = shared.router.provider(provider).ok_or(CallbackRefusal::UnknownProvider)?;
    let inbound =
        adapter.parse_incoming(&callback).inspect_err(|refusal| refused(shared, provider, *refusal))?;
    let received = shared.store.receive_inbound(understood(shared, &**adapter, inbound, &callback)).await?;
    tell(shared, provider, &received);
    // Whoever asks again has not heard the first answer.
    let is_carried = adapter.answers_carry_replies() && received.is_answered;
    let carried = if is_carried { shared.answers.confirmation(received.handling) } else { None };
    Ok(adapter.answer_incoming(carried.as_ref()))
}

/// What is counted and logged of a message that was stored, and who is woken by it.
fn tell(shared: &Shared, provider: &ProviderName, received: &Received) {
    shared.metrics.inbound(provider, received);
    if received.is_repeated {
        return;
    }
    let Received { id, handling, is_answered, .. } = received;
    tracing::info!(inbound.id = %id, %provider, %handling, answered = is_answered, "sms.inbound");
    if let Some(ReplyFate::Kept(kept)) = &received.fate {
        tracing::info!(prompt.id = %kept.prompt, fate = %kept.fate, "prompt.replied");
    }
    if let Some(reply) = &received.reply {
        shared.metrics.accepted(Arrival::from(&**reply));
        shared.wakeups.wake(provider);
    }
}

fn refused(shared: &Shared, provider: &ProviderName, refusal: CallbackError) {
    shared.metrics.callback_refused(provider, refusal);
    tracing::warn!(%provider, %refusal, "callback refused");
}

/// What a message asks for, and whose it is.
fn understood(
    shared: &Shared,
    adapter: &dyn SmsProvider,
    inbound: Inbound,
    callback: &CallbackRequest<'_>,
) -> NewInbound {
    let settings = &shared.settings.inbound;
    let keyword = settings.keyword(&inbound);
    let rule = settings.rule_for(&inbound);
    let id = fresh::inbound_id(inbound.received_at);
    NewInbound {
        id,
        keyword,
        about: keyword
            .and_then(|keyword| settings.about(keyword, &inbound, adapter.default_sender().as_ref())),
        consent_id: fresh::consent_id(inbound.received_at),
        caller: rule.and_then(|rule| rule.caller),
        word: rule.and_then(|rule| rule.word.clone()),
        raw: callback.body.to_vec(),
        answers: writer(shared, adapter, id, &inbound),
        doubt: shared.settings.prompts.doubt,
        ask_again_after: shared.settings.prompts.ask_again_after,
        inbound,
    }
}

/// Who answers; nobody where nobody can be answered, or where no message may go.
fn writer(
    shared: &Shared,
    adapter: &dyn SmsProvider,
    id: domain::ids::InboundId,
    inbound: &Inbound,
) -> Option<Arc<dyn Answers>> {
    let from = inbound.from.phone().filter(|number| shared.guard.allows(*number))?;
    Some(Arc::new(Writer {
        book: Arc::clone(&shared.answers),
        id,
        from,
        to: inbound.to.clone(),
        sender: inbound.sender(),
        provider: inbound.provider.clone(),
        is_confirmed: inbound.understood.is_some(),
        carries: adapter.answers_carry_replies(),
        received_at: inbound.received_at,
    }))
}

/// Takes in a provider's word that somebody opted out. When this answers, the ledger has it.
pub(crate) async fn receive_opt_out(
    shared: &Shared,
    provider: &ProviderName,
    callback: CallbackRequest<'_>,
) -> Result<(), CallbackRefusal> {
    let adapter = shared.router.provider(provider).ok_or(CallbackRefusal::UnknownProvider)?;
    let ListedOptOut { number, sender, received_at, .. } =
        adapter.parse_opt_out(&callback).inspect_err(|refusal| refused(shared, provider, *refusal))?;
    let told = Unwanted { number, sender, detail: Some("callback".into()), at: received_at };
    unwanted::enter(shared, &**adapter, vec![told]).await?;
    Ok(())
}
