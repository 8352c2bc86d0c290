//! Languages by their tags, and which one a receiver gets.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A language tag such as `en` or `sw-KE` (BCP 47): a language, and where wanted a region or script behind it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Locale(String);

/// A text is no language tag. Does not hold the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no language tag such as en, sw or sw-KE")]
pub struct LocaleError;

impl Locale {
    /// English.
    pub fn english() -> Self {
        Self("en".into())
    }

    /// The tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The language alone: `sw` of `sw-KE`.
    pub fn language(&self) -> &str {
        self.0.split('-').next().unwrap_or_default()
    }
}

impl FromStr for Locale {
    type Err = LocaleError;

    fn from_str(text: &str) -> Result<Self, LocaleError> {
        let mut parts = text.split(['-', '_']);
        let language = parts.next().unwrap_or_default();
        if !(2..=3).contains(&language.len()) || !language.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return Err(LocaleError);
        }
        let mut tag = language.to_ascii_lowercase();
        for (index, part) in parts.enumerate() {
            let fits = (2..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
            if !fits || index == 2 {
                return Err(LocaleError);
            }
            tag.push('-');
            // Regions are written in capitals, all else in small letters: so tags are compared as they are.
            tag.push_str(&if part.len() == 2 {
                part.to_ascii_uppercase()
            } else {
                part.to_ascii_lowercase()
            });
        }
        Ok(Self(tag))
    }
}

impl fmt::Display for Locale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Locale {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Locale {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_as_people_write_them() {
        for (written, tag) in [("en", "en"), ("SW", "sw"), ("sw-ke", "sw-KE"), ("sw_KE", "sw-KE")] {
            assert_eq!(written.parse::<Locale>().unwrap().as_str(), tag);
        }
        for wrong in ["", "e", "english", "e1", "en-", "en-x", "en--KE", "en-a-b-c", "sw KE"] {
            assert_eq!(wrong.parse::<Locale>(), Err(LocaleError), "{wrong}");
        }
    }
}
