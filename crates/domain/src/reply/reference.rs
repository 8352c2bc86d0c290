//! The name of a request, as its receivers type it.

use std::fmt;
use std::str::FromStr;

use super::words;

/// Characters of the longest one.
const MAX: usize = 32;
/// Letters and digits of the shortest one.
const MIN: usize = 2;

/// The caller's name for a request, such as `WR-12345`. Two that differ only in case, hyphens and the like are the same.
#[derive(Debug, Clone)]
pub struct Reference {
    text: String,
    key: String,
}

/// A text that can't be a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Too short, too long, or with characters that nobody types.
    #[error(
        "must have 2 to 32 letters and digits of ASCII, with single hyphens, underscores or slashes between them"
    )]
    Form,
    /// Could be taken for an answer.
    #[error("is a word that replies are made of")]
    Word,
}

impl Reference {
    /// As the caller wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its letters and digits, in upper case: what it is compared by.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether it has a digit. A reply that names another one like it is known for what it is; one of letters alone looks like
    /// any other word.
    pub fn has_digit(&self) -> bool {
        self.key.chars().any(|character| character.is_ascii_digit())
    }

    /// Whether a text shows it.
    pub fn is_in(&self, text: &str) -> bool {
        !super::Reading::of_whole(text, &[self]).named.is_empty()
    }
}

impl PartialEq for Reference {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Reference {}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split(['-', '_', '/']).collect();
        let is_part =
            |part: &&str| !part.is_empty() && part.chars().all(|character| character.is_ascii_alphanumeric());
        let key = parts.concat().to_ascii_uppercase();
        if !parts.iter().all(is_part) || key.len() < MIN || text.len() > MAX {
            return Err(ReferenceError::Form);
        }
        if words::meaning(&key).is_some() {
            return Err(ReferenceError::Word);
        }
        Ok(Self { text: text.to_owned(), key })
    }
}
