//! Templates: texts with typed variables, in several languages, whose longest rendering is known beforehand.
//!
//! A template's language is deliberately small: text, and `{{ variable | filter }}`. What any of its renderings can take to
//! send then follows from the bounds of its variables, and a promise such as "one segment of GSM-7" is checked when the
//! template is written, not when ten thousand people get two segments each. Conditions and loops would need a choice of
//! words instead: that is what variants and choices are for.
//!
//! The texts are parsed by minijinja, so that their syntax is the one that people know, and written by ourselves (ADR 0025).

mod amount;
mod builtin;
mod definition;
mod filter;
mod lint;
mod locale;
mod render;
mod text;
mod used;
mod value;
mod variable;
mod visible;
mod worst;

pub use self::amount::{Amount, AmountError, Currency};
pub use self::builtin::{BUILTIN, builtin};
pub use self::definition::{Alphabet, Definition, Texts, Variable, Variant};
pub use self::filter::Filter;
pub use self::lint::{Finding, Report, Severity, WorstCase};
pub use self::locale::{Locale, LocaleError};
pub use self::render::{Rendered, Template};
pub use self::text::Place;
pub use self::used::{BUILT_IN, Used, UsedError};
pub use self::value::{VariableError, VariableProblem, Variables};

/// The longest name of a template or a variable.
pub const LONGEST_NAME: usize = 32;

/// Whether a text can name a template or a variable: small letters, digits and underscores, a letter first.
pub fn is_name(text: &str) -> bool {
    (1..=LONGEST_NAME).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}
