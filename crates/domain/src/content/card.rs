//! The number of a payment card: 13 to 19 digits, in groups as on a card, of an issuer, with the right check digit.
//!
//! One number of ten has the right check digit by chance, and texts about money are full of numbers. So the groups
//! count too: a phone number and an amount side by side have as many digits as a card number, but no card is printed
//! like that.

use std::ops::{Range, RangeInclusive};

/// Thirteen digits with at most one sign between two of them.
pub(super) const DIGITS: &str = r"[0-9](?:[ \x{A0}.\x{2010}-\x{2015}-]?[0-9]){12}";

/// How many digits a card number has (ISO/IEC 7812-1).
const LENGTHS: RangeInclusive<usize> = 13..=19;

/// Letters and digits in one word from which on it is an id or a hash: digits in it are no number of their own.
const LONG_WORD: usize = 24;

/// A range of issuers: the first six digits, and how many digits there are in all.
type Issuers = (RangeInclusive<u32>, RangeInclusive<usize>);

/// What the networks have published of their ranges.
const ISSUERS: &[Issuers] = &[
    // Diners Club.
    (300_000..=305_999, 14..=19),
    (309_500..=309_599, 14..=19),
    (360_000..=369_999, 14..=19),
    (380_000..=399_999, 14..=19),
    // American Express.
    (340_000..=349_999, 15..=15),
    (370_000..=379_999, 15..=15),
    // JCB.
    (352_800..=358_999, 16..=19),
    // Visa.
    (400_000..=499_999, 13..=19),
    // Mastercard, Maestro, and Verve within them.
    (222_100..=272_099, 16..=16),
    (500_000..=509_999, 13..=19),
    (510_000..=559_999, 16..=16),
    (560_000..=589_999, 13..=19),
    (630_000..=639_999, 13..=19),
    (670_000..=679_999, 13..=19),
    // Discover, and Verve within it.
    (601_100..=601_199, 16..=19),
    (644_000..=659_999, 16..=19),
    // UnionPay.
    (620_000..=629_999, 16..=19),
    (810_000..=817_199, 16..=19),
];

/// Whether a card number stands in the text.
pub(super) fn is_in(text: &str) -> bool {
    let groups = groups(text);
    let mut from = 0;
    while from < groups.len() {
        // Groups follow one another as long as one sign stands between two of them.
        let mut digits = 0;
        for to in from..groups.len() {
            if to > from && !is_separated_once(text, &groups[to - 1], &groups[to]) {
                break;
            }
            digits += groups[to].len();
            if digits > *LENGTHS.end() {
                break;
            }
            if digits >= *LENGTHS.start() && is_card(text, &groups[from..=to]) {
                return true;
            }
        }
        from += 1;
    }
    false
}

/// Where digits stand, without those in long words.
fn groups(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric();
    let mut groups = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if !is_word(&bytes[at]) {
            at += 1;
            continue;
        }
        let word = &bytes[at..];
        let word = &word[..word.iter().position(|byte| !is_word(byte)).unwrap_or(word.len())];
        let has_letters = word.iter().any(u8::is_ascii_alphabetic);
        if !has_letters || word.len() < LONG_WORD {
            groups.extend(digits_of(word).map(|digits| at + digits.start..at + digits.end));
        }
        at += word.len();
    }
    groups
}

fn digits_of(word: &[u8]) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + word.get(at..)?.iter().position(u8::is_ascii_digit)?;
        let rest = &word[start..];
        at = start + rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        Some(start..at)
    })
}

fn is_separated_once(text: &str, before: &Range<usize>, after: &Range<usize>) -> bool {
    let mut between = text.get(before.end..after.start).unwrap_or_default().chars();
    let is_sign = |sign| matches!(sign, ' ' | '\u{A0}' | '.' | '-' | '\u{2010}'..='\u{2015}');
    between.next().is_some_and(is_sign) && between.next().is_none()
}

fn is_card(text: &str, groups: &[Range<usize>]) -> bool {
    if !are_as_printed(groups) {
        return false;
    }
    let number: String = groups.iter().filter_map(|group| text.get(group.clone())).collect();
    let first: Option<u32> = number.get(..6).and_then(|first| first.parse().ok());
    let is_issued = |(range, lengths): &Issuers| {
        first.is_some_and(|first| range.contains(&first)) && lengths.contains(&number.len())
    };
    ISSUERS.iter().any(is_issued) && has_check_digit(&number)
}

/// In one piece; in groups of the same size, of which the last may be smaller; or as on cards of 14 and 15 digits.
fn are_as_printed(groups: &[Range<usize>]) -> bool {
    let sizes: Vec<usize> = groups.iter().map(Range::len).collect();
    match sizes.as_slice() {
        [_] | [4, 6, 4 | 5] => true,
        [first, .., last] => *first <= 4 && last <= first && sizes.iter().rev().skip(1).all(|it| it == first),
        [] => false,
    }
}

/// The check digit by the formula of Luhn (ISO/IEC 7812-1, annex B).
fn has_check_digit(number: &str) -> bool {
    let digits = number.bytes().rev().map(|digit| u32::from(digit - b'0'));
    let weighed = digits.enumerate().map(|(place, digit)| match (place % 2, 2 * digit) {
        (0, _) => digit,
        (_, double) if double > 9 => double - 9,
        (_, double) => double,
    });
    weighed.sum::<u32>() % 10 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_network_are_found() {
        // The networks' own numbers for tests.
        let numbers = [
            "4111111111111111",
            "4222222222222",
            "5555555555554444",
            "2223003122003222",
            "378282246310005",
            "30569309025904",
            "6011111111111117",
            "3530111333300000",
            "6200000000000005",
            "6759649826438453",
            "5060990580000217499",
        ];
        for number in numbers {
            assert!(is_in(number), "{number}");
        }
    }

    #[test]
    fn a_number_is_found_among_others() {
        for text in [
            "12 4111 1111 1111 1111 12/27",
            "x:4111.1111.1111.1111.",
            "Visa4111111111111111",
            "1-4111-1111-1111-1111",
        ] {
            assert!(is_in(text), "{text}");
        }
    }

    #[test]
    fn other_numbers_are_none() {
        let texts = [
            // The check digit is wrong.
            "4111111111111112",
            // Nobody's.
            "9111111111111111",
            "1234567890123452",
            // Too long, or in no groups of a card.
            "41111111111111111111",
            "411 1111 11111 1111",
            "4111  1111  1111  1111",
            // In a hash.
            "a4111111111111111bcdef012",
        ];
        for text in texts {
            assert!(!is_in(text), "{text}");
        }
    }
}
