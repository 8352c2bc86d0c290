//! What a message's text was made of.

use std::fmt;
use std::str::FromStr;

use super::is_name;
use super::locale::Locale;

/// The version of a built-in template.
pub const BUILT_IN: u32 = 0;

/// Which template a text was made of, and which of its texts. Kept with the message as `name@version/locale/variant`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// The template.
    pub name: String,
    /// Its version; [`BUILT_IN`] if it is the built-in one.
    pub version: u32,
    /// The language.
    pub locale: Locale,
    /// Which of the texts of that language, counted from 0.
    pub variant: usize,
}

/// A text that names no template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no template, version, locale and variant")]
pub struct UsedError;

impl fmt::Display for Used {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, version, locale, variant } = self;
        write!(f, "{name}@{version}/{locale}/{variant}")
    }
}

impl FromStr for Used {
    type Err = UsedError;

    fn from_str(text: &str) -> Result<Self, UsedError> {
        let read = || {
            let (name, rest) = text.split_once('@')?;
            let (version, rest) = rest.split_once('/')?;
            let (locale, variant) = rest.split_once('/')?;
            let (version, locale, variant) =
                (version.parse().ok()?, locale.parse().ok()?, variant.parse().ok()?);
            is_name(name).then(|| Self { name: name.into(), version, locale, variant })
        };
        read().ok_or(UsedError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back() {
        let used = Used { name: "otp".into(), version: 3, locale: "sw-KE".parse().unwrap(), variant: 1 };
        assert_eq!(used.to_string(), "otp@3/sw-KE/1");
        assert_eq!("otp@3/sw-KE/1".parse(), Ok(used));
        for wrong in ["", "otp", "otp@3", "otp@3/sw", "otp@x/sw/1", "Otp@3/sw/1", "otp@3/s/1"] {
            assert_eq!(wrong.parse::<Used>(), Err(UsedError), "{wrong}");
        }
    }
}
