//! What callers put in the place of variables, and what is wrong with it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::amount::AmountError;
use super::definition::Alphabet;
use super::is_name;
use super::visible::is_hidden;
use crate::phone::PhoneError;

/// The values of variables, by name. Names, amounts and codes of people: `Debug` shows none of them.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Variables(BTreeMap<String, Value>);

impl Variables {
    /// The same with another value; one of that name is replaced.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// These, and those of `others` that have no value here.
    pub fn over(&self, others: &Self) -> Self {
        let mut all = others.0.clone();
        all.extend(self.0.clone());
        Self(all)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of one.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Every name, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Each with its value as JSON, in the order of names: the same for equal values.
    pub fn written(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.to_string()))
    }
}

impl FromIterator<(String, Value)> for Variables {
    fn from_iter<T: IntoIterator<Item = (String, Value)>>(values: T) -> Self {
        Self(values.into_iter().collect())
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Variables({} values)", self.0.len())
    }
}

/// A variable with a mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariableError {
    /// Its name; `None` for one whose name is none, which is not repeated: it may be a number in the wrong place.
    pub variable: Option<String>,
    /// What is wrong.
    pub problem: VariableProblem,
}

impl VariableError {
    pub(super) fn new(variable: &str, problem: VariableProblem) -> Self {
        Self { variable: is_name(variable).then(|| variable.to_owned()), problem }
    }

    /// Where it is, as a JSON pointer into a request with `variables`.
    pub fn pointer(&self) -> String {
        match &self.variable {
            Some(name) => format!("/variables/{name}"),
            None => "/variables".into(),
        }
    }
}

/// What is wrong with the value of a variable. None holds the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VariableProblem {
    /// The template has none of that name.
    #[error("is no variable of the template")]
    Unknown,
    /// None given, and there is no default.
    #[error("is required by the template")]
    Missing,
    /// Of another type.
    #[error("must be {expected}")]
    WrongType {
        /// What it must be.
        expected: &'static str,
    },
    /// Longer than it may be.
    #[error("has {found} characters, {max} are allowed")]
    TooLong {
        /// How many there are.
        found: usize,
        /// How many there may be.
        max: usize,
    },
    /// Shorter than it must be.
    #[error("has {found} characters, {min} are needed at least")]
    TooShort {
        /// How many there are, without white space at the ends.
        found: usize,
        /// How many there must be.
        min: usize,
    },
    /// A line of its own, which the template does not want.
    #[error("has a line break at position {position}, and the template allows none")]
    LineBreak {
        /// Where the first one is, counted in characters from 0.
        position: usize,
    },
    /// A character that is not in its alphabet.
    #[error("has {} at position {position}, which is not in its alphabet, {alphabet}", shown(*.character))]
    Character {
        /// The first one.
        character: char,
        /// Where it is, counted in characters from 0.
        position: usize,
        /// The alphabet.
        alphabet: Alphabet,
    },
    /// A mark that would be put on what stands before the variable.
    #[error("begins with a mark that belongs to a letter before it")]
    LooseMark,
    /// More marks on one letter than any language puts there.
    #[error("has a character with too many marks on it")]
    TooManyMarks,
    /// Beyond its bounds.
    #[error("must be from {min} to {max}")]
    OutOfBounds {
        /// The least.
        min: String,
        /// The most.
        max: String,
    },
    /// No amount.
    #[error("{0}")]
    Amount(AmountError),
    /// Parts of what has none.
    #[error("must be a whole number of satoshis")]
    NotWhole,
    /// No code.
    #[error("must be {min} to {max} digits, as a text")]
    Code {
        /// Digits at least.
        min: usize,
        /// Digits at most.
        max: usize,
    },
    /// No phone number.
    #[error("{0}")]
    Phone(PhoneError),
    /// None of the texts that it may be.
    #[error("is none of the values that the template allows")]
    NotAChoice,
}

impl VariableProblem {
    /// A stable word for callers to decide on.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown_variable",
            Self::Missing => "required",
            Self::WrongType { .. } => "wrong_type",
            Self::TooLong { .. } => "too_long",
            Self::TooShort { .. } => "too_short",
            Self::Character { .. } | Self::LineBreak { .. } | Self::LooseMark | Self::TooManyMarks => {
                "character_not_allowed"
            }
            Self::OutOfBounds { .. } | Self::NotAChoice => "out_of_bounds",
            Self::Amount(_) | Self::NotWhole => "invalid_amount",
            Self::Code { .. } => "invalid_code",
            Self::Phone(_) => "invalid_receiver",
        }
    }
}

/// A character for people: itself where it can be seen, and its number.
pub(super) fn shown(character: char) -> String {
    let number = u32::from(character);
    // One that turns round what follows would do so to the sentence about it.
    if is_hidden(character) || character.is_whitespace() {
        format!("U+{number:04X}")
    } else {
        format!("{character} (U+{number:04X})")
    }
}
