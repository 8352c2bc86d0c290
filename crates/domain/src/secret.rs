//! Values that must not be read by chance: credentials, and the text of a message.
//!
//! Neither type implements `Display` or `Serialize`, and `Debug` shows no content, so a log line, an error or
//! a metric label that would hold one does not compile or shows nothing.

use std::fmt;
use std::sync::Arc;

/// A credential: zeroed when dropped, never printed. Read it with [`ExposeSecret::expose_secret`].
pub use secrecy::{ExposeSecret, SecretString};

/// For what held a credential on its way here.
pub use secrecy::zeroize::{Zeroize, Zeroizing};

/// A key of 32 bytes, zeroed when dropped.
pub type Key = Zeroizing<[u8; 32]>;

/// The text of a message. Cheap to clone; `Debug` shows its length only.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Body(Arc<str>);

impl Body {
    /// Takes a text as it is.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// What is left of a text that was erased: nothing. No message is accepted with an empty text.
    pub fn erased() -> Self {
        Self::new("")
    }

    /// Whether the text was erased.
    pub fn is_erased(&self) -> bool {
        self.0.is_empty()
    }

    /// The text itself: for a provider's request, the store, and a caller with the right to read it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// How many characters (Unicode scalar values) the text has.
    pub fn chars(&self) -> usize {
        self.0.chars().count()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} characters)", self.chars())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_text() {
        assert_eq!(format!("{:?}", Body::new("Code 482913")), "Body(11 characters)");
    }
}
