//! What can be done to a variable on its way into a text.

use super::amount::Currency;
use super::definition::{Alphabet, Variable};
use crate::encoding;
use crate::scenario::closed_set;

closed_set! {
    /// A filter, as in `{{ amount | sats }}`.
    Filter ("filter") {
        /// The last six characters, for ids of transactions: enough to recognize one, too little to use it.
        Last6 => "last6",
        /// An amount of satoshis: `10,000 sats`.
        Sats => "sats",
        /// An amount of Kenyan shillings: `KES 1,500.00`.
        Kes => "kes",
        /// A phone number with its middle hidden: `+254*****5678`.
        PhoneMasked => "phone_masked",
        /// Capital letters, where GSM-7 has them.
        Upper => "upper",
    }
}

/// The first filter that makes no sense where it stands.
pub(super) fn misplaced(variable: &Variable, filters: &[Filter]) -> Option<Filter> {
    // A text of any characters is not cut: a mark would be cut from its letter.
    let mut words = match variable {
        Variable::Text { alphabet, .. } => *alphabet != Alphabet::Any,
        Variable::Code { .. } | Variable::Integer { .. } => true,
        Variable::Amount { .. } | Variable::Phone {} | Variable::Choice { .. } => false,
    };
    for (index, filter) in filters.iter().enumerate() {
        let fits = match filter {
            Filter::Last6 | Filter::Upper => words,
            Filter::Sats => index == 0 && counts(variable, Currency::Sats),
            Filter::Kes => index == 0 && counts(variable, Currency::KES),
            Filter::PhoneMasked => index == 0 && matches!(variable, Variable::Phone {}),
        };
        if !fits {
            return Some(*filter);
        }
        words &= matches!(filter, Filter::Last6 | Filter::Upper);
    }
    None
}

fn counts(variable: &Variable, wanted: Currency) -> bool {
    match variable {
        Variable::Integer { .. } => true,
        Variable::Amount { currency, .. } => *currency == wanted,
        _ => false,
    }
}

/// The last six characters.
pub(super) fn last6(text: &str) -> String {
    let behind = text.chars().count().saturating_sub(6);
    text.chars().skip(behind).collect()
}

/// Capital letters. A letter stays small whose capital is not in GSM-7, such as `à`, or is two letters.
pub(super) fn upper(text: &str) -> String {
    text.chars().map(capital).collect()
}

fn capital(letter: char) -> char {
    let mut capitals = letter.to_uppercase();
    match (capitals.next(), capitals.next()) {
        (Some(capital), None) if encoding::is_gsm7(capital) => capital,
        _ => letter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_cut_to_its_last_six() {
        assert_eq!(last6("0x9f8e7d6c5b4a"), "6c5b4a");
        assert_eq!(last6("abc"), "abc");
    }

    #[test]
    fn capitals_stay_in_the_alphabet() {
        assert_eq!(upper("josé à ß ñ"), "JOSÉ à ß Ñ");
    }
}
