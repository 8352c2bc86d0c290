//! What is told to others: kinds of events, and an event before it is kept.
//!
//! That a message's status moved is told by the store itself: see `store::port::events`. Everything else is raised by the
//! change that it tells of, in the same commit.

use std::fmt;

use crate::ids::KeyId;
use crate::message::MessageStatus;
use crate::scenario::closed_set;
use crate::secret::Body;
use crate::time::Timestamp;

closed_set! {
    /// What happened, as one word on the wire: the thing, and what became of it.
    EventKind ("kind of event") {
        /// A message was accepted, or waits again.
        MessageQueued => "message.queued",
        /// A message was accepted, to be sent later.
        MessageScheduled => "message.scheduled",
        /// A message is with a provider.
        MessageSent => "message.sent",
        /// A message arrived.
        MessageDelivered => "message.delivered",
        /// A provider took a message, and it did not arrive.
        MessageUndelivered => "message.undelivered",
        /// A message was not sent.
        MessageFailed => "message.failed",
        /// A message was called back before it left.
        MessageCanceled => "message.canceled",
        /// A message's time ran out before it left.
        MessageExpired => "message.expired",
        /// A person gave the right code in time.
        VerificationApproved => "verification.approved",
        /// Nobody gave the right code in time.
        VerificationExpired => "verification.expired",
        /// All checks were used up.
        VerificationFailed => "verification.failed",
        /// A verification was ended by its caller, or by a newer one.
        VerificationCanceled => "verification.canceled",
        /// A message came in.
        InboundReceived => "inbound.received",
        /// A person opted out or in.
        ConsentChanged => "consent.changed",
        /// A person answered a prompt.
        PromptReplied => "prompt.replied",
        /// A prompt has its outcome.
        PromptClosed => "prompt.closed",
        /// Events are no longer posted to an endpoint.
        EndpointDisabled => "endpoint.disabled",
        /// Somebody tries whether an endpoint hears.
        EndpointTest => "endpoint.test",
    }
}

impl EventKind {
    /// That a message stands so; `None` for a step of ours that callers don't ask for.
    pub const fn of_status(status: MessageStatus) -> Option<Self> {
        use MessageStatus as S;
        match status {
            S::Queued => Some(Self::MessageQueued),
            S::Scheduled => Some(Self::MessageScheduled),
            S::Sending => None,
            S::Sent => Some(Self::MessageSent),
            S::Delivered => Some(Self::MessageDelivered),
            S::Undelivered => Some(Self::MessageUndelivered),
            S::Failed => Some(Self::MessageFailed),
            S::Canceled => Some(Self::MessageCanceled),
            S::Expired => Some(Self::MessageExpired),
        }
    }
}

/// What consumers are told beside the kind: a JSON object. It may hold numbers and texts: `Debug` shows none of it, and the
/// store seals it.
#[derive(Clone, PartialEq, Eq)]
pub struct EventData(Body);

impl EventData {
    /// Takes an object in JSON.
    pub fn from_json(json: impl Into<std::sync::Arc<str>>) -> Self {
        Self(Body::new(json))
    }

    /// The JSON, for the store and for those who may read it.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for EventData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventData({} characters)", self.0.chars())
    }
}

/// An event that is about to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// What happened.
    pub kind: EventKind,
    /// To what: the bytes of an id. Events of the same subject are told one after the other.
    pub subject: [u8; 16],
    /// Whose it is; `None` if it is nobody's in particular, and only for those who hear of all callers.
    pub caller: Option<KeyId>,
    /// When.
    pub at: Timestamp,
    /// What is told of it.
    pub data: EventData,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_that_callers_hear_of_is_a_kind_of_the_same_word() {
        for status in MessageStatus::ALL {
            match EventKind::of_status(*status) {
                Some(kind) => assert_eq!(kind.as_str(), format!("message.{status}")),
                None => assert_eq!(*status, MessageStatus::Sending),
            }
        }
    }

    #[test]
    fn data_is_not_shown() {
        assert_eq!(format!("{:?}", EventData::from_json(r#"{"a":1}"#)), "EventData(7 characters)");
    }
}
