//! Whose wire a request speaks.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A provider that is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Twilio Programmable Messaging.
    Twilio,
    /// Africa's Talking bulk SMS.
    AfricasTalking,
}

/// A text names no [`Provider`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown provider; known are twilio, africastalking")]
pub struct ProviderError;

impl Provider {
    /// The word used in JSON, options and query strings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Twilio => "twilio",
            Self::AfricasTalking => "africastalking",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Provider {
    type Err = ProviderError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "twilio" => Ok(Self::Twilio),
            "africastalking" => Ok(Self::AfricasTalking),
            _ => Err(ProviderError),
        }
    }
}
