//! What an entry says.

use std::fmt;
use std::str::FromStr;

use crate::ids::{KeyId, MessageId};
use crate::message::{MessageStatus, StatusEvent};
use crate::route::ProviderName;
use crate::scenario::closed_set;
use crate::time::Timestamp;

closed_set! {
    /// What happened. The words are kept, exported and searched for: they never change.
    Event ("event") {
        /// A message was stored and queued.
        SmsAccepted => "sms.accepted",
        /// A request to send was refused.
        SmsRefused => "sms.refused",
        /// A provider has the message.
        SmsSent => "sms.sent",
        /// No provider took it, or the one that did refused it later.
        SmsFailed => "sms.failed",
        /// The phone has it.
        SmsDelivered => "sms.delivered",
        /// It was not delivered, or nobody said so in time.
        SmsUndelivered => "sms.undelivered",
        /// It was stopped before it left.
        SmsCanceled => "sms.canceled",
        /// Its time ran out.
        SmsExpired => "sms.expired",
        /// It was queued again for another round.
        SmsRetried => "sms.retried",
        /// A caller said what the receiver did with it.
        SmsFeedback => "sms.feedback",
        /// A message from a phone came in.
        InboundReceived => "inbound.received",
        /// Somebody does not want messages any more.
        ConsentOptedOut => "consent.opted_out",
        /// Somebody wants messages again.
        ConsentOptedIn => "consent.opted_in",
        /// A code was made, and a message that carries it was accepted.
        VerificationBegun => "verification.begun",
        /// A code was checked, and it was the right one: its receiver has the phone.
        VerificationApproved => "verification.approved",
        /// A code was checked, and it was a wrong one.
        VerificationRefused => "verification.refused",
        /// All checks were used up.
        VerificationFailed => "verification.failed",
        /// The time of a code ran out.
        VerificationExpired => "verification.expired",
        /// A code was ended by its caller.
        VerificationCanceled => "verification.canceled",
        /// A code was ended by another one for the same receiver.
        VerificationSuperseded => "verification.superseded",
        /// An API key was made.
        KeyCreated => "key.created",
        /// An API key was given another secret.
        KeyRotated => "key.rotated",
        /// An API key was ended.
        KeyRevoked => "key.revoked",
        /// A data key was made.
        DataKeyAdded => "data_key.added",
        /// What is new is sealed under a data key from now on.
        DataKeyUsed => "data_key.used",
        /// Data keys were destroyed: what only they opened is gone.
        DataKeysForgotten => "data_keys.forgotten",
        /// The messages to a number were erased.
        ReceiverForgotten => "receiver.forgotten",
        /// A webhook endpoint was made.
        EndpointCreated => "endpoint.created",
        /// A webhook endpoint was changed, enabled or disabled by somebody.
        EndpointChanged => "endpoint.changed",
        /// A webhook endpoint was given another secret.
        EndpointRotated => "endpoint.rotated",
        /// A webhook endpoint was told of itself.
        EndpointTested => "endpoint.tested",
        /// Events were to be posted to a webhook endpoint again.
        EndpointReplayed => "endpoint.replayed",
        /// A webhook endpoint was disabled because it failed.
        EndpointDisabled => "endpoint.disabled",
        /// A webhook endpoint was deleted.
        EndpointDeleted => "endpoint.deleted",
        /// A provider was taken out of service.
        ProviderDrained => "provider.drained",
        /// A provider was put back into service.
        ProviderResumed => "provider.resumed",
        /// A worker was told to rest.
        WorkerPaused => "worker.paused",
        /// A worker was told to work again.
        WorkerActivated => "worker.activated",
        /// A version of a template was written.
        TemplateDrafted => "template.drafted",
        /// A version of a template was put in force.
        TemplatePublished => "template.published",
        /// A template was taken out of use.
        TemplateDeleted => "template.deleted",
        /// The database's schema was asked to be brought up to date.
        SchemaMigrated => "schema.migrated",
        /// A question was put to many.
        PromptOpened => "prompt.opened",
        /// Somebody answered one.
        PromptReplied => "prompt.replied",
        /// Those who had not answered were asked again.
        PromptReminded => "prompt.reminded",
        /// It has its outcome.
        PromptClosed => "prompt.closed",
    }
}

impl Event {
    /// Whether an entry of it names a message that is stored.
    pub const fn is_of_message(self) -> bool {
        matches!(
            self,
            Self::SmsAccepted
                | Self::SmsSent
                | Self::SmsFailed
                | Self::SmsDelivered
                | Self::SmsUndelivered
                | Self::SmsCanceled
                | Self::SmsExpired
                | Self::SmsRetried
                | Self::SmsFeedback
                | Self::VerificationBegun
                | Self::VerificationApproved
                | Self::VerificationRefused
                | Self::VerificationFailed
                | Self::VerificationExpired
                | Self::VerificationCanceled
                | Self::VerificationSuperseded
        )
    }

    /// What to enter when `event` has led a message to `to`. A step on the way, that a caller would not ask for, is
    /// not entered.
    pub const fn of_move(event: StatusEvent, to: MessageStatus) -> Option<Self> {
        match (event, to) {
            (StatusEvent::Claimed | StatusEvent::Requeued, _) => None,
            (StatusEvent::Resent, _) => Some(Self::SmsRetried),
            (_, MessageStatus::Sent) => Some(Self::SmsSent),
            (_, MessageStatus::Delivered) => Some(Self::SmsDelivered),
            (_, MessageStatus::Undelivered) => Some(Self::SmsUndelivered),
            (_, MessageStatus::Failed) => Some(Self::SmsFailed),
            (_, MessageStatus::Canceled) => Some(Self::SmsCanceled),
            (_, MessageStatus::Expired) => Some(Self::SmsExpired),
            (_, MessageStatus::Scheduled | MessageStatus::Queued | MessageStatus::Sending) => None,
        }
    }
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Actor {
    /// A caller, by its API key.
    Key(KeyId),
    /// The gateway by itself.
    System,
    /// Somebody at the command line, beside the database.
    Operator,
    /// A provider, by what it reported.
    Provider(ProviderName),
}

/// A text that names no actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an actor is a key's id, system, operator, or provider: and a provider's name")]
pub struct ActorError;

const OF_PROVIDER: &str = "provider:";

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => fmt::Display::fmt(id, f),
            Self::System => f.write_str("system"),
            Self::Operator => f.write_str("operator"),
            Self::Provider(name) => write!(f, "{OF_PROVIDER}{name}"),
        }
    }
}

impl FromStr for Actor {
    type Err = ActorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "system" => Ok(Self::System),
            "operator" => Ok(Self::Operator),
            _ => match text.strip_prefix(OF_PROVIDER) {
                Some(name) => name.parse().map(Self::Provider).map_err(|_no_name| ActorError),
                None => text.parse().map(Self::Key).map_err(|_no_id| ActorError),
            },
        }
    }
}

/// Who changes something, and when. Whatever changes the gateway asks for one, so that no change can be made without
/// an entry that tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// Who.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
}

/// What is to be entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// When it happened.
    pub at: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// What happened.
    pub event: Event,
    /// To which message.
    pub message_id: Option<MessageId>,
    /// For whom: the keyed hash of the number. Of a message that is stored, whoever keeps the entry finds it.
    pub receiver: Option<i64>,
    /// By which provider, or to which one.
    pub provider: Option<ProviderName>,
    /// How many characters the text has.
    pub length: Option<u32>,
    /// How many SMS it takes.
    pub segments: Option<u16>,
    /// How it ended: a status, a reason or a code, of a closed set.
    pub outcome: Option<&'static str>,
    /// What else was acted on: a key's id, a worker's name.
    pub subject: Option<String>,
}

impl NewEntry {
    /// An entry of which no more is known.
    pub const fn new(at: Timestamp, actor: Actor, event: Event) -> Self {
        Self {
            at,
            actor,
            event,
            message_id: None,
            receiver: None,
            provider: None,
            length: None,
            segments: None,
            outcome: None,
            subject: None,
        }
    }

    /// An entry of what somebody did to something with a name.
    pub fn of_act(act: &Act, event: Event, subject: impl Into<String>) -> Self {
        Self { subject: Some(subject.into()), ..Self::new(act.at, act.by.clone(), event) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actor_reads_back_from_its_word() {
        let key = KeyId::new(Timestamp::from_micros(1), [7; 10]);
        let provider: ProviderName = "acme".parse().unwrap();
        for actor in [Actor::Key(key), Actor::System, Actor::Operator, Actor::Provider(provider)] {
            assert_eq!(actor.to_string().parse(), Ok(actor));
        }
        for wrong in ["", "root", "provider:", "provider:A B", "key_1"] {
            assert_eq!(wrong.parse::<Actor>(), Err(ActorError), "{wrong}");
        }
    }

    #[test]
    fn every_end_of_a_message_is_entered() {
        for from in MessageStatus::ALL {
            for event in StatusEvent::ALL {
                let to = from.after(*event);
                let entered = Event::of_move(*event, to).is_some();
                let is_step = matches!(event, StatusEvent::Claimed | StatusEvent::Requeued);
                if to != *from && !is_step {
                    assert!(entered, "{from} after {event}");
                }
            }
        }
    }
}
