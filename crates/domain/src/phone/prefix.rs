//! The beginning of a number: what a block of numbers has in common.

use std::fmt;
use std::str::FromStr;

use super::{Country, Msisdn, calling_code_digits, digit_count};

/// Digits at the end of a number that a prefix never has: it stands for ten thousand phones at least.
const LEFT_OUT: u32 = 4;

/// The calling code of a number and some of the digits behind it, with the country.
///
/// No personal data, unlike the number: it may be kept, shown and written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NumberPrefix {
    country: Country,
    digits: u64,
}

/// A text that is not a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a prefix is a + and digits, such as +254712")]
pub struct NumberPrefixError;

impl Msisdn {
    /// The block that the number is in: its calling code and so many digits more, but never its last four.
    pub fn prefix(self, digits: u32) -> NumberPrefix {
        let national_digits = digit_count(self.number) - calling_code_digits(self.number);
        let left_out = national_digits.saturating_sub(digits).max(LEFT_OUT.min(national_digits));
        NumberPrefix { country: self.country, digits: self.number / 10_u64.pow(left_out) }
    }
}

impl NumberPrefix {
    /// From what was kept.
    pub const fn from_parts(digits: u64, country: Country) -> Self {
        Self { country, digits }
    }

    /// Its digits, calling code included.
    pub const fn digits(self) -> u64 {
        self.digits
    }

    /// The country of its numbers.
    pub const fn country(self) -> Country {
        self.country
    }

    /// Reads the digits of a prefix, with or without the plus, whatever the country.
    pub fn digits_of(text: &str) -> Result<u64, NumberPrefixError> {
        let digits = text.strip_prefix('+').unwrap_or(text);
        let is_prefix = (1..=15).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0');
        if is_prefix { u64::from_str(digits).or(Err(NumberPrefixError)) } else { Err(NumberPrefixError) }
    }
}

impl fmt::Display for NumberPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}", self.digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(number: &str, digits: u32) -> String {
        Msisdn::parse(number, Country::KE).unwrap().prefix(digits).to_string()
    }

    #[test]
    fn prefix_has_the_calling_code_and_so_many_digits() {
        assert_eq!(prefix("+254712345678", 4), "+2547123");
        assert_eq!(prefix("+14155550100", 4), "+14155");
        assert_eq!(prefix("+254712345678", 2), "+25471");
    }

    #[test]
    fn last_four_digits_are_never_in_it() {
        assert_eq!(prefix("+254712345678", 9), "+25471234");
        assert_eq!(prefix("+6834002", 4), "+683");
    }

    #[test]
    fn digits_of_a_prefix_are_read_and_nothing_else() {
        assert_eq!(NumberPrefix::digits_of("+2547123"), Ok(2_547_123));
        assert_eq!(NumberPrefix::digits_of("254"), Ok(254));
        for wrong in ["", "+", "0254", "25 47", "+254x", "1234567890123456"] {
            assert!(NumberPrefix::digits_of(wrong).is_err(), "{wrong}");
        }
    }
}
