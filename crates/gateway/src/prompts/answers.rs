//! What a message from a phone answers, and what its sender is told.

use domain::ids::{InboundId, KeyId};
use domain::phone::{Msisdn, SenderId};
use domain::prompt::{Fate, Kind};
use domain::route::ProviderName;
use domain::scenario::Scenario;
use domain::secret::Body;
use domain::time::Timestamp;
use store::StoreError;
use store::port::prompts::{KeptReply, NewReply, OpenQuestion, ReplyFate};

use crate::request::{Caller, Content, SendRequest};
use crate::service::SmsService;

/// A message from a phone.
#[derive(Debug, Clone)]
pub struct PossibleReply {
    /// Its id.
    pub id: InboundId,
    /// Who wrote.
    pub from: Msisdn,
    /// Whom it was written to, if messages can be sent from there.
    pub to: Option<SenderId>,
    /// What.
    pub words: Body,
    /// Who brought it.
    pub provider: ProviderName,
    /// When it reached us.
    pub received_at: Timestamp,
}

impl SmsService {
    /// Whether a message answers a prompt, or was meant to. What it does to the prompt is on disk when this answers; the same
    /// message may be brought again.
    pub async fn answers_prompt(&self, reply: PossibleReply) -> Result<bool, StoreError> {
        let settings = &self.shared.settings.prompts;
        let new = NewReply {
            id: reply.id,
            from: reply.from,
            words: reply.words.clone(),
            provider: reply.provider.clone(),
            received_at: reply.received_at,
            now: self.shared.clock.now(),
            doubt: settings.doubt,
            ask_again_after: settings.ask_again_after,
        };
        let fate = self.shared.store.reply(new).await?;
        self.tell_of(&reply, &fate).await;
        Ok(!matches!(fate, ReplyFate::NotOurs))
    }

    /// Tells the sender of a message what it did to a prompt, or asks which one was meant.
    pub(crate) async fn tell_of(&self, reply: &PossibleReply, fate: &ReplyFate) {
        let (whose, text) = match fate {
            ReplyFate::NotOurs => return,
            ReplyFate::Kept(kept) => {
                tracing::info!(prompt.id = %kept.prompt, fate = %kept.fate, "prompt.replied");
                (Some(kept.caller), self.told(kept))
            }
            ReplyFate::Which { open, ask } => {
                (open.first().map(|one| one.caller), ask.then(|| self.question(open)).flatten())
            }
        };
        if let (Some(whose), Some(text)) = (whose, text) {
            self.tell(reply, whose, text).await;
        }
    }

    /// What the sender of a reply hears.
    fn told(&self, kept: &KeptReply) -> Option<String> {
        if !kept.tell {
            return None;
        }
        let settings = &self.shared.settings.prompts;
        let named = |text: &str| text.replace("{reference}", kept.reference.as_str());
        let text = match kept.fate {
            Fate::Counted => named(&settings.thanks),
            Fate::Late => named(&settings.too_late),
            Fate::Unclear => {
                let one =
                    OpenQuestion { caller: kept.caller, kind: kept.kind, reference: kept.reference.clone() };
                return self.question(&[one]);
            }
        };
        (!text.is_empty()).then_some(text)
    }

    /// Asks which one is meant: as many as there is room for, the newest first.
    fn question(&self, open: &[OpenQuestion]) -> Option<String> {
        let settings = &self.shared.settings;
        let most = settings.max_characters(Scenario::General);
        let with = |count: usize| settings.prompts.ask.replace("{choices}", &choices(&open[..count]));
        let mut texts = (1..=open.len()).rev().map(with).filter(|text| !text.is_empty());
        texts.find(|text| text.chars().count() <= most)
    }

    /// A message of its own. That it can't be sent changes nothing about the reply.
    async fn tell(&self, reply: &PossibleReply, whose: KeyId, message: String) {
        let content = Content {
            message,
            scenario: Some(Scenario::General.to_string()),
            sender: reply.to.as_ref().map(|sender| sender.as_str().to_owned()),
            ..Content::default()
        };
        // No caller's key begins like this: it is no character of a header.
        let idempotency_key = Some(format!("\u{1}{}", reply.id));
        let request = SendRequest { receiver: reply.from.to_e164(), content, idempotency_key };
        if let Err(problem) = self.send_sms(Caller::of(whose), request).await {
            tracing::warn!(%problem, inbound.id = %reply.id, "whoever replied could not be answered");
        }
    }
}

/// `APPROVE or REJECT with WR-1 or WR-2, YES or NO with INV-7`.
fn choices(open: &[OpenQuestion]) -> String {
    let of = |kind: Kind, words: &str| {
        let references = open.iter().filter(|one| one.kind == kind).map(|one| one.reference.as_str());
        let references = references.collect::<Vec<_>>().join(" or ");
        (!references.is_empty()).then(|| format!("{words} with {references}"))
    };
    let kinds = [of(Kind::Approval, "APPROVE or REJECT"), of(Kind::Invite, "YES or NO")];
    kinds.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
