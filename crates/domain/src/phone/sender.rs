//! Sender IDs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What the phone shows as the sender: a name, a short code, or a number in E.164 form. Not personal data: it
/// is ours.
///
/// The service that picks a sender at the provider's side, Twilio's Messaging Service, is not a sender ID.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SenderId(String);

/// Why a text is not a [`SenderId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SenderError {
    /// Nothing there.
    #[error("is empty")]
    Empty,
    /// A name of more than 11 characters.
    #[error("is too long; a sender name has at most 11 characters")]
    TooLong,
    /// A name with something else than letters, digits and spaces between them, or without a letter.
    #[error("may have only ASCII letters, digits, and spaces between them, and needs a letter")]
    Name,
    /// Digits alone, but not as many as a short code has.
    #[error("is not a short code of 3 to 8 digits; write a phone number with + and its country code")]
    ShortCode,
    /// A plus, but no E.164 number behind it.
    #[error("is not a phone number in E.164 form: + and 7 to 15 digits, without spaces")]
    LongCode,
}

impl SenderId {
    /// Checks the form of a sender ID, which is all that can be checked: which ones may be used is agreed
    /// with carriers, country by country.
    ///
    /// A name has 1 to 11 characters (3GPP TS 23.040, 9.1.2.5: an alphanumeric address holds 11 septets), of
    /// which Twilio takes letters, digits and spaces with at least one letter. A number with a plus must have
    /// the form of E.164, but need not be in a range in use: it is rented, not typed by a stranger.
    pub fn parse(text: &str) -> Result<Self, SenderError> {
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if text.is_empty() {
            return Err(SenderError::Empty);
        }
        if let Some(digits) = text.strip_prefix('+') {
            let is_e164 = is_digits(digits) && (7..=15).contains(&digits.len()) && !digits.starts_with('0');
            return if is_e164 { Ok(Self(text.to_owned())) } else { Err(SenderError::LongCode) };
        }
        if is_digits(text) {
            let is_short_code = (3..=8).contains(&text.len());
            return if is_short_code { Ok(Self(text.to_owned())) } else { Err(SenderError::ShortCode) };
        }
        if text.chars().count() > 11 {
            return Err(SenderError::TooLong);
        }
        let is_name = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b' ')
            && text.bytes().any(|byte| byte.is_ascii_alphabetic())
            && text.trim() == text;
        if is_name { Ok(Self(text.to_owned())) } else { Err(SenderError::Name) }
    }

    /// The sender as a provider wants it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SenderId {
    type Err = SenderError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<String> for SenderId {
    type Error = SenderError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<SenderId> for String {
    fn from(sender: SenderId) -> Self {
        sender.0
    }
}

impl fmt::Display for SenderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SenderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SenderId({:?})", self.0)
    }
}
