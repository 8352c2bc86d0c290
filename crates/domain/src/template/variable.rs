//! The types of variables: what is a value of one, how it stands in a text, and how much room it takes at most.

use serde_json::Value;
use unicode_segmentation::UnicodeSegmentation;

use super::amount::{Amount, Currency};
use super::definition::{Alphabet, Variable};
use super::filter::{self, Filter};
use super::value::VariableProblem;
use super::visible::first_hidden;
use crate::encoding;
use crate::phone::{Country, Msisdn};

/// UTF-16 code units of the largest cluster in a value: what people write has up to 15, a kiss of two with skin tones.
pub(super) const LARGEST_CLUSTER: usize = 16;

/// The longest phone number, `+` and 15 digits; with its middle hidden it is as long.
const PHONE: usize = 16;

/// A value that is one of its variable.
pub(super) enum Given {
    Text(String),
    Integer(i64),
    Amount(Amount, Currency),
    Phone(Msisdn),
}

/// The room that a variable takes at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Septets, for values that are in GSM-7.
    pub(super) septets: usize,
    /// UTF-16 code units.
    pub(super) units: usize,
    /// A value may have characters of two septets.
    pub(super) doubles: bool,
    /// A value may have characters that are not in GSM-7.
    pub(super) leaves: bool,
}

impl Variable {
    /// Reads a value, or takes the default where none is given.
    pub(super) fn read(&self, value: Option<&Value>, region: Country) -> Result<Given, VariableProblem> {
        let Some(value) = value else { return self.fallback().ok_or(VariableProblem::Missing) };
        match self {
            Self::Text { min_length, max_length, alphabet, line_breaks, transliterate, .. } => {
                let text = value.as_str().ok_or(VariableProblem::WrongType { expected: "a text" })?;
                let text = encoding::to_nfc(text);
                let text = if *transliterate { encoding::transliterate(&text) } else { text };
                check_length(&text, *min_length, *max_length)?;
                check_text(&text, *alphabet, *line_breaks)?;
                Ok(Given::Text(text.into_owned()))
            }
            Self::Integer { min, max, .. } => {
                let number = value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
                let number = number.ok_or(VariableProblem::WrongType { expected: "a whole number" })?;
                within(&number, min, max)?;
                Ok(Given::Integer(number))
            }
            Self::Amount { currency, min, max, .. } => {
                let amount = Amount::of(value).map_err(VariableProblem::Amount)?;
                within(&amount, min, max)?;
                if *currency == Currency::Sats && !amount.is_whole() {
                    return Err(VariableProblem::NotWhole);
                }
                Ok(Given::Amount(amount, *currency))
            }
            Self::Phone {} => {
                let text = value.as_str().ok_or(VariableProblem::WrongType { expected: "a text" })?;
                Msisdn::parse(text, region).map(Given::Phone).map_err(VariableProblem::Phone)
            }
            Self::Code { length, min_length } => {
                let (min, max) = (min_length.unwrap_or(*length), *length);
                let digits = value.as_str().filter(|text| {
                    (min..=max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
                });
                digits.map(|digits| Given::Text(digits.into())).ok_or(VariableProblem::Code { min, max })
            }
            Self::Choice { values, .. } => {
                let text = value.as_str().ok_or(VariableProblem::WrongType { expected: "a text" })?;
                let chosen = values.iter().find(|value| *value == text).ok_or(VariableProblem::NotAChoice)?;
                Ok(Given::Text(encoding::to_nfc(chosen).into_owned()))
            }
        }
    }

    fn fallback(&self) -> Option<Given> {
        match self {
            Self::Text { default, transliterate, .. } => default.as_deref().map(|text| {
                let text = encoding::to_nfc(text);
                let text = if *transliterate { encoding::transliterate(&text) } else { text };
                Given::Text(text.into_owned())
            }),
            Self::Choice { default, .. } => {
                default.as_deref().map(|text| Given::Text(encoding::to_nfc(text).into_owned()))
            }
            Self::Integer { default, .. } => default.map(Given::Integer),
            Self::Amount { default, currency, .. } => default.map(|amount| Given::Amount(amount, *currency)),
            Self::Phone {} | Self::Code { .. } => None,
        }
    }

    /// The default as a value that a request could have.
    pub(super) fn default_value(&self) -> Option<Value> {
        match self {
            Self::Text { default, .. } | Self::Choice { default, .. } => default.clone().map(Value::from),
            Self::Integer { default, .. } => default.map(Value::from),
            Self::Amount { default, .. } => default.map(|amount| Value::from(amount.to_string())),
            Self::Phone {} | Self::Code { .. } => None,
        }
    }

    /// The room that it takes at most, behind its filters.
    pub(super) fn extent(&self, filters: &[Filter]) -> Extent {
        let plain = |length| Extent { septets: length, units: length, doubles: false, leaves: false };
        let widest = |shown: [String; 2]| plain(shown.iter().map(String::len).max().unwrap_or_default());
        match self {
            Self::Text { max_length, alphabet, .. } => {
                let characters =
                    if filters.contains(&Filter::Last6) { 6.min(*max_length) } else { *max_length };
                let doubles = *alphabet != Alphabet::Basic;
                let septets = if doubles { characters * 2 } else { characters };
                let leaves = *alphabet == Alphabet::Any;
                Extent { septets, units: if leaves { characters * 2 } else { characters }, doubles, leaves }
            }
            Self::Integer { min, max, .. } => {
                // The number furthest from 0 on either side is the longest one there.
                widest([*min, *max].map(|number| Given::Integer(number).show(filters)))
            }
            Self::Amount { min, max, currency, .. } => {
                widest([*min, *max].map(|amount| Given::Amount(amount, *currency).show(filters)))
            }
            Self::Phone {} => plain(PHONE),
            Self::Code { length, .. } => {
                plain(if filters.contains(&Filter::Last6) { 6.min(*length) } else { *length })
            }
            Self::Choice { values, .. } => extent_of(values),
        }
    }
}

impl Given {
    /// How it stands in a text.
    pub(super) fn show(&self, filters: &[Filter]) -> String {
        let (first, rest) =
            filters.split_first().map_or((None, filters), |(first, rest)| (Some(*first), rest));
        let (shown, rest) = match (self, first) {
            (Self::Integer(number), Some(filter @ (Filter::Sats | Filter::Kes))) => {
                let currency = if filter == Filter::Sats { Currency::Sats } else { Currency::KES };
                let amount = Amount::whole(*number).unwrap_or(Amount::ZERO);
                (currency.show(amount), rest)
            }
            (Self::Amount(amount, currency), Some(Filter::Sats | Filter::Kes)) => {
                (currency.show(*amount), rest)
            }
            (Self::Phone(number), Some(Filter::PhoneMasked)) => (number.masked(), rest),
            (Self::Text(text), _) => (text.clone(), filters),
            (Self::Integer(number), _) => (number.to_string(), filters),
            (Self::Amount(amount, currency), _) => (currency.show(*amount), filters),
            (Self::Phone(number), _) => (number.to_e164(), filters),
        };
        rest.iter().fold(shown, |shown, filter| match filter {
            Filter::Last6 => filter::last6(&shown),
            Filter::Upper => filter::upper(&shown),
            Filter::Sats | Filter::Kes | Filter::PhoneMasked => shown,
        })
    }
}

fn within<T: PartialOrd + ToString>(value: &T, min: &T, max: &T) -> Result<(), VariableProblem> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(VariableProblem::OutOfBounds { min: min.to_string(), max: max.to_string() })
}

fn check_length(text: &str, min: usize, max: usize) -> Result<(), VariableProblem> {
    let (found, shown) = (text.chars().count(), text.trim().chars().count());
    if found > max {
        return Err(VariableProblem::TooLong { found, max });
    }
    if shown < min { Err(VariableProblem::TooShort { found: shown, min }) } else { Ok(()) }
}

fn check_text(text: &str, alphabet: Alphabet, line_breaks: bool) -> Result<(), VariableProblem> {
    let mut position = 0;
    for line in text.split('\n') {
        if position > 0 && !line_breaks {
            return Err(VariableProblem::LineBreak { position: position - 1 });
        }
        if let Some((place, character)) = first_outside(line, alphabet) {
            return Err(VariableProblem::Character { character, position: position + place, alphabet });
        }
        // With the line break behind it.
        position += line.chars().count() + 1;
    }
    if alphabet == Alphabet::Any { check_clusters(text) } else { Ok(()) }
}

/// What the worst case relies on: a value's clusters are no larger than assumed, and its first one is its own.
pub(super) fn check_clusters(text: &str) -> Result<(), VariableProblem> {
    if text.chars().next().is_some_and(attaches) {
        return Err(VariableProblem::LooseMark);
    }
    let units = |cluster: &str| cluster.chars().map(char::len_utf16).sum::<usize>();
    if text.graphemes(true).any(|cluster| units(cluster) > LARGEST_CLUSTER) {
        return Err(VariableProblem::TooManyMarks);
    }
    Ok(())
}

/// Whether a character is written onto the one before it.
pub(super) fn attaches(character: char) -> bool {
    !character.is_control() && ['a', character].iter().collect::<String>().graphemes(true).count() == 1
}

/// The first character of a line that is not in an alphabet, with its place.
fn first_outside(line: &str, alphabet: Alphabet) -> Option<(usize, char)> {
    let is_outside = |character: char| match alphabet {
        Alphabet::Basic => encoding::septets(character) != Some(1) || character.is_control(),
        Alphabet::Gsm7 => !encoding::is_gsm7(character) || character.is_control(),
        Alphabet::Any => false,
    };
    match alphabet {
        Alphabet::Any => first_hidden(line),
        Alphabet::Basic | Alphabet::Gsm7 => line.chars().enumerate().find(|(_, it)| is_outside(*it)),
    }
}

fn extent_of(values: &[String]) -> Extent {
    let mut extent = Extent { septets: 0, units: 0, doubles: false, leaves: false };
    for value in values {
        let value = encoding::to_nfc(value);
        extent.units = extent.units.max(value.chars().map(char::len_utf16).sum());
        match value.chars().map(encoding::septets).sum::<Option<usize>>() {
            Some(septets) => {
                extent.septets = extent.septets.max(septets);
                extent.doubles |= septets > value.chars().count();
            }
            None => extent.leaves = true,
        }
    }
    extent
}
