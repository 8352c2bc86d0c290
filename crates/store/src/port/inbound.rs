//! Messages from phones.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::consent::Keyword;
use domain::ids::{ConsentId, InboundId, KeyId};
use domain::inbound::{Handling, Inbound, Origin};
use domain::message::Message;
use domain::phone::{Msisdn, SenderId};
use domain::quota::Draw;
use domain::route::ProviderName;
use domain::secret::Body;
use domain::time::Timestamp;

use crate::StoreError;
use crate::port::messages::NewMessage;
use crate::port::prompts::ReplyFate;

/// Messages from phones.
#[async_trait]
pub trait InboundMessages: Send + Sync {
    /// Stores a message from a phone and does what it asks for, in one commit: opt-outs and opt-ins first, then answers
    /// to open questions, then whoever listens. One that was stored before is not stored again, and changes nothing.
    async fn receive_inbound(&self, new: NewInbound) -> Result<Received, StoreError>;

    /// Messages from phones, newest first.
    async fn inbound(&self, filter: InboundFilter) -> Result<Vec<InboundRecord>, StoreError>;
}

/// A message from a phone to store.
#[derive(Debug, Clone)]
pub struct NewInbound {
    /// Its id.
    pub id: InboundId,
    /// What it says.
    pub inbound: Inbound,
    /// The keyword that it is, if it is one.
    pub keyword: Option<Keyword>,
    /// The sender that a change of consent is about; `None` for all.
    pub about: Option<SenderId>,
    /// The id of the entry if it changes consent.
    pub consent_id: ConsentId,
    /// The caller that it is for, if it is one caller's.
    pub caller: Option<KeyId>,
    /// The caller's own word that it begins with.
    pub word: Option<String>,
    /// The callback's body as it came.
    pub raw: Vec<u8>,
    /// Who writes what is answered, if anybody may.
    pub answers: Option<Arc<dyn Answers>>,
    /// For how long after a prompt was closed a word without a reference may still be meant for it.
    pub doubt: Duration,
    /// Nobody is asked back again within this time which prompt was meant.
    pub ask_again_after: Duration,
}

/// Writes what is answered to a message from a phone. It is asked within the commit, when it is known what became of that: so
/// it waits for nothing, and looks into no store.
pub trait Answers: fmt::Debug + Send + Sync {
    /// What is answered, if anything.
    fn to(&self, became: &Became<'_>) -> Option<Reply>;
}

/// What became of a message from a phone, for whoever answers it.
#[derive(Debug, Clone, Copy)]
pub struct Became<'a> {
    /// What it was.
    pub handling: Handling,
    /// Whether it changed what its sender wants.
    pub has_changed: bool,
    /// What it did to a prompt, or was meant to do.
    pub fate: Option<&'a ReplyFate>,
}

/// A message in answer to one from a phone.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The message.
    pub message: Box<NewMessage>,
    /// What it draws, instead of what the message says: the first of these of which all is there. If none is, nothing is
    /// answered.
    pub draws: Vec<Vec<Draw>>,
    /// The answer to the provider's callback carries it: it is no message of its own, and only draws.
    pub is_carried: bool,
}

/// What became of a message from a phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Its id; that of the first time if it came before.
    pub id: InboundId,
    /// What became of it, now or then.
    pub handling: Handling,
    /// It had come before: nothing was changed now.
    pub is_repeated: bool,
    /// Whether it is answered, now or then: by a message of its own, or by what its provider is answered.
    pub is_answered: bool,
    /// The answer that was stored and queued with it.
    pub reply: Option<Box<Message>>,
    /// What it did to a prompt, or was meant to do.
    pub fate: Option<ReplyFate>,
}

/// Which messages to list. Conditions left out are met by all.
#[derive(Debug, Clone, Default)]
pub struct InboundFilter {
    /// Only this caller's; `None` for a caller who may read all.
    pub caller: Option<KeyId>,
    /// Only this one.
    pub id: Option<InboundId>,
    /// From this number.
    pub from: Option<Msisdn>,
    /// To this number or short code.
    pub to: Option<String>,
    /// Of which this became.
    pub handling: Option<Handling>,
    /// Came at or after this time.
    pub since: Option<Timestamp>,
    /// Came before this time.
    pub until: Option<Timestamp>,
    /// Begin after this one, going back in time.
    pub after: Option<InboundId>,
    /// How many at most.
    pub limit: u32,
}

/// A message from a phone as kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundRecord {
    /// Its id.
    pub id: InboundId,
    /// Who brought it.
    pub provider: ProviderName,
    /// Their name for it.
    pub provider_message_id: String,
    /// Who wrote.
    pub from: Origin,
    /// What was written to.
    pub to: String,
    /// The text; `None` once it was erased.
    pub body: Option<Body>,
    /// How many SMS it took, if known.
    pub segments: Option<u16>,
    /// The keyword that it is.
    pub keyword: Option<Keyword>,
    /// The caller's own word that it begins with.
    pub word: Option<String>,
    /// The caller that it is for.
    pub caller: Option<KeyId>,
    /// What became of it.
    pub handling: Handling,
    /// When it came.
    pub received_at: Timestamp,
}
