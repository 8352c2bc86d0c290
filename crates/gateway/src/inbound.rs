//! Messages from phones: read, understood, stored, and answered.
//!
//! The adapter says who speaks and what is said; [`listening`](crate::listening) finds what the text asks for, and about
//! which sender; [`reply`] writes what is answered. The store does the rest in one commit, in the
//! order in which texts are heard: opt-outs and opt-ins, open questions, whoever listens. So a message that was answered
//! was stored, and one that comes again changes nothing.

mod reply;

use domain::ids::InboundId;
use domain::inbound::{Inbound, ListedOptOut};
use domain::route::ProviderName;
use providers::SmsProvider;
use providers::provider::{CallbackAnswer, CallbackError, CallbackRequest};
use store::port::inbound::NewInbound;
use store::port::prompts::ReplyFate;

pub use self::reply::GATEWAY;
use crate::fresh;
use crate::receipts::CallbackRefusal;
use crate::shared::Shared;
use crate::unwanted::{self, Unwanted};

/// What came of a message from a phone.
pub(crate) struct Heard {
    /// What the provider is to be answered.
    pub(crate) answer: CallbackAnswer,
    /// The prompt that it answers, or was meant to: its sender may have something to hear.
    pub(crate) reply: Option<(InboundId, Inbound, ReplyFate)>,
}

/// Takes in a message from a phone, and answers what the provider is to be answered. When this answers, it is on disk,
/// with what it changed and with the reply to it where that is a message of its own.
pub(crate) async fn receive(
    shared: &Shared,
    provider: &ProviderName,
    callback: CallbackRequest<'_>,
) -> Result<Heard, CallbackRefusal> {
    let adapter = shared.router.provider(provider).ok_or(CallbackRefusal::UnknownProvider)?;
    let inbound =
        adapter.parse_incoming(&callback).inspect_err(|refusal| refused(shared, provider, *refusal))?;
    let new = understood(shared, &**adapter, inbound, &callback);
    let (keyword, carries_reply) = (new.keyword, adapter.answers_carry_replies());
    let reply = reply::text(&shared.settings.inbound, &new);
    let new = if carries_reply {
        new
    } else {
        let reply = reply.clone().and_then(|text| reply::message(shared, &new, text));
        NewInbound { reply, ..new }
    };
    let id = new.id;
    let words = new.inbound.clone();
    let received = shared.store.receive_inbound(new).await?;
    shared.metrics.inbound(provider, &received);
    if received.id == id && !received.is_repeated {
        tracing::info!(inbound.id = %id, %provider, handling = %received.handling, "sms.inbound");
    }
    if received.reply.is_some() {
        shared.wakeups.wake(provider);
    }
    // Whoever asks again has not heard the first answer.
    let answered = reply.filter(|_| carries_reply && reply::is_due(keyword, received.handling));
    let reply = received.answered.map(|fate| (received.id, words, fate));
    Ok(Heard { answer: adapter.answer_incoming(answered.as_ref()), reply })
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
    let keyword = inbound.understood.or_else(|| settings.keywords.read(inbound.body.expose()));
    let rule = settings.rule_for(&inbound);
    NewInbound {
        id: fresh::inbound_id(inbound.received_at),
        keyword,
        about: keyword
            .and_then(|keyword| settings.about(keyword, &inbound, adapter.default_sender().as_ref())),
        consent_id: fresh::consent_id(inbound.received_at),
        caller: rule.and_then(|rule| rule.caller),
        word: rule.and_then(|rule| rule.word.clone()),
        raw: callback.body.to_vec(),
        reply: None,
        doubt: shared.settings.prompts.doubt,
        ask_again_after: shared.settings.prompts.ask_again_after,
        inbound,
    }
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
