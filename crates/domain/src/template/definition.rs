//! A template as people write it: JSON, with every variable's bounds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::amount::{Amount, Currency};
use super::locale::Locale;
use crate::encoding::Encoding;
use crate::scenario::{Scenario, closed_set};

/// A template, as written and kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// What it is for, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The scenario of its messages where a request names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<Scenario>,
    /// The language for receivers whose own it has not; `en` where none is given.
    #[serde(default = "english")]
    pub default_locale: Locale,
    /// The promise of how its texts travel: `gsm7`, or `ucs2` where any character may be in them.
    #[serde(default = "gsm7")]
    pub encoding: Encoding,
    /// The promise of how many segments no text goes beyond.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_segments: Option<usize>,
    /// Curly quotes, dashes and the like of the texts themselves are written plain. Variables say so on their own.
    #[serde(default, skip_serializing_if = "is_false")]
    pub transliterate: bool,
    /// What callers fill in.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, Variable>,
    /// The texts, by language.
    pub locales: BTreeMap<Locale, Texts>,
}

/// The texts of a language: one, or several among which chance decides by weight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Texts {
    /// One.
    One(String),
    /// Several.
    Several(Vec<Variant>),
}

/// One of several texts of a language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// How often it is taken, against the others.
    #[serde(default = "once")]
    pub weight: u32,
    /// The text.
    pub text: String,
}

impl Texts {
    /// Each variant with its weight.
    pub(super) fn variants(&self) -> Vec<(u32, &str)> {
        match self {
            Self::One(text) => vec![(1, text)],
            Self::Several(variants) => {
                variants.iter().map(|variant| (variant.weight, variant.text.as_str())).collect()
            }
        }
    }

    /// Where a variant's text stands, below the place of its language.
    pub(super) fn pointer(&self, index: usize) -> String {
        match self {
            Self::One(_) => String::new(),
            Self::Several(_) => format!("/{index}/text"),
        }
    }
}

closed_set! {
    /// Which characters a text variable may have. Line breaks are in none of them.
    Alphabet ("alphabet") {
        /// Those of GSM-7 that take one septet.
        Basic => "basic",
        /// Those and the extension table (`€`, `[`, `~` and others), which take two.
        Gsm7 => "gsm7",
        /// Any that can be seen. One outside of GSM-7 makes the whole text travel as UCS-2.
        Any => "any",
    }
}

/// A variable: its type, its bounds, and what stands in its place where a request has none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Variable {
    /// Words.
    Text {
        /// Characters at least, without white space at the ends.
        #[serde(default = "one_character", skip_serializing_if = "is_one")]
        min_length: usize,
        /// Characters at most.
        max_length: usize,
        /// Which ones.
        #[serde(default = "basic")]
        alphabet: Alphabet,
        /// Whether it may have line breaks. Without them no value can add a line of its own to a text.
        #[serde(default, skip_serializing_if = "is_false")]
        line_breaks: bool,
        /// Curly quotes, dashes and the like are written plain. Never without being asked: a name is a name.
        #[serde(default, skip_serializing_if = "is_false")]
        transliterate: bool,
        /// Where none is given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        default: Option<String>,
    },
    /// A whole number.
    Integer {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
        /// Where none is given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        default: Option<i64>,
    },
    /// Money.
    Amount {
        /// In what.
        currency: Currency,
        /// The least; 0 where none is given.
        #[serde(default = "nothing")]
        min: Amount,
        /// The most.
        max: Amount,
        /// Where none is given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        default: Option<Amount>,
    },
    /// A phone number.
    Phone {},
    /// A code of digits.
    Code {
        /// Digits at most.
        length: usize,
        /// Digits at least; as many as at most where none is given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min_length: Option<usize>,
    },
    /// One of a few texts.
    Choice {
        /// Which ones.
        values: Vec<String>,
        /// Where none is given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        default: Option<String>,
    },
}

fn english() -> Locale {
    Locale::english()
}

fn gsm7() -> Encoding {
    Encoding::Gsm7
}

fn basic() -> Alphabet {
    Alphabet::Basic
}

fn one_character() -> usize {
    1
}

fn once() -> u32 {
    1
}

fn nothing() -> Amount {
    Amount::ZERO
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes what it skips by reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes what it skips by reference")]
fn is_one(length: &usize) -> bool {
    *length == 1
}
