//! Identifiers: a prefix that says what is named, and a `UUIDv7` that sorts by time of creation.
//!
//! Ids that begin with time keep a database's indexes growing at one end, which is several times faster than
//! keys in random order.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::time::Timestamp;

/// Why a text is not an id of the wanted kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form {prefix}_ followed by 32 hexadecimal digits")]
pub struct IdError {
    prefix: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// What the text form begins with, before the underscore.
            pub const PREFIX: &str = $prefix;

            /// A new id: the millisecond of `now`, then `entropy` from a random source.
            pub fn new(now: Timestamp, entropy: [u8; 10]) -> Self {
                Self(uuid::Builder::from_unix_timestamp_millis(now.as_millis(), &entropy).into_uuid())
            }

            /// The 16 bytes that a store keeps.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// From the 16 bytes that a store kept.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_{}", $prefix, self.0.as_simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.strip_prefix(concat!($prefix, "_"))
                    .filter(|hex| hex.len() == 32)
                    .and_then(|hex| Uuid::try_parse(hex).ok())
                    .map(Self)
                    .ok_or(IdError { prefix: $prefix })
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }
    };
}

id!(
    /// One message to one receiver.
    MessageId, "msg"
);
id!(
    /// One bulk request: the messages that were accepted together.
    BulkId, "blk"
);
id!(
    /// One API key, and so one caller.
    KeyId, "key"
);
id!(
    /// One running process of the gateway; owner of leases.
    NodeId, "node"
);
id!(
    /// One decision of the guard against pumping, for one caller and block of numbers.
    DecisionId, "dec"
);
id!(
    /// One message from a phone.
    InboundId, "inb"
);
id!(
    /// One change of what somebody wants: an entry of the consent ledger.
    ConsentId, "con"
);
id!(
    /// One question to many, whose replies are counted.
    PromptId, "prm"
);
id!(
    /// One verification of a number by a one-time code. It has the bytes of the message that carries its code: neither is
    /// ever without the other.
    VerificationId, "ver"
);

impl VerificationId {
    /// The verification whose code a message carries.
    pub const fn of(message: MessageId) -> Self {
        Self(message.0)
    }

    /// The message that carries the code.
    pub const fn message(self) -> MessageId {
        MessageId(self.0)
    }
}
id!(
    /// One address of a caller's where events are posted.
    EndpointId, "whe"
);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_795_422_600_123_456);

    #[test]
    fn text_form_reads_back() {
        let id = MessageId::new(NOW, [7; 10]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(MessageId::from_bytes(*id.as_bytes()), id);
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        let bulk = BulkId::new(NOW, [7; 10]).to_string();
        assert!(bulk.parse::<MessageId>().is_err());
        assert!("msg_".parse::<MessageId>().is_err());
        assert!("msg_{0190}".parse::<MessageId>().is_err());
    }

    #[test]
    fn ids_sort_by_the_time_of_creation() {
        let early = MessageId::new(NOW, [255; 10]);
        let late = MessageId::new(NOW.plus(std::time::Duration::from_millis(1)), [0; 10]);
        assert!(early < late);
    }
}
