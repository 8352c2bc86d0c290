//! Amounts of money, exact to the millionth of a currency unit.

use std::fmt;

/// An amount in millionths of a unit, with its ISO 4217 currency.
///
/// Providers price a segment at fractions of a cent, and in several currencies: amounts of different
/// currencies are never added.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    micros: i64,
    currency: [u8; 3],
}

/// Why a text is not an amount of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The currency is not three capital letters.
    #[error("currency is not an ISO 4217 code")]
    Currency,
    /// The amount is not a decimal number within range.
    #[error("amount is not a decimal number")]
    Amount,
}

impl Money {
    /// An amount in millionths of a unit of `currency`, an ISO 4217 code such as `KES`.
    pub fn new(micros: i64, currency: &str) -> Result<Self, MoneyError> {
        match currency.as_bytes() {
            [a, b, c] if [a, b, c].iter().all(|letter| letter.is_ascii_uppercase()) => {
                Ok(Self { micros, currency: [*a, *b, *c] })
            }
            _ => Err(MoneyError::Currency),
        }
    }

    /// An amount in millionths of a US dollar, in which providers' price lists are.
    pub const fn usd(micros: i64) -> Self {
        Self { micros, currency: *b"USD" }
    }

    /// From a decimal text, such as `0.8000` or `-0.00750`, and a currency. Digits beyond the sixth decimal
    /// are cut.
    pub fn from_decimal(amount: &str, currency: &str) -> Result<Self, MoneyError> {
        let (negative, digits) = match amount.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, amount),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !all_digits(whole) || !all_digits(fraction) {
            return Err(MoneyError::Amount);
        }
        let units: i64 = whole.parse().or(Err(MoneyError::Amount))?;
        let millionths: i64 = fraction
            .bytes()
            .chain(std::iter::repeat(b'0'))
            .take(6)
            .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        let micros = units
            .checked_mul(1_000_000)
            .and_then(|micros| micros.checked_add(millionths))
            .ok_or(MoneyError::Amount)?;
        Self::new(if negative { -micros } else { micros }, currency)
    }

    /// So many times as much; `None` if that is more than can be counted.
    pub fn times(self, times: u16) -> Option<Self> {
        Some(Self { micros: self.micros.checked_mul(times.into())?, ..self })
    }

    /// Millionths of a unit.
    pub fn micros(self) -> i64 {
        self.micros
    }

    /// The ISO 4217 code.
    pub fn currency(&self) -> &str {
        // The constructors let in capital letters only.
        std::str::from_utf8(&self.currency).unwrap_or_default()
    }

    /// The amount as a decimal text, with at least two and at most six decimals: `0.80`, `0.0079`.
    pub fn amount(self) -> String {
        let sign = if self.micros < 0 { "-" } else { "" };
        let magnitude = self.micros.unsigned_abs();
        let mut text = format!("{sign}{}.{:06}", magnitude / 1_000_000, magnitude % 1_000_000);
        let shortest = text.find('.').map_or(text.len(), |point| point + 3);
        while text.len() > shortest && text.ends_with('0') {
            text.pop();
        }
        text
    }

    /// The amount without its sign: Twilio reports a charge as a negative price.
    pub fn abs(self) -> Self {
        Self { micros: self.micros.saturating_abs(), ..self }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.currency(), self.amount())
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_of_the_providers_are_exact() {
        for (amount, micros, shown) in [
            ("0.8000", 800_000, "0.80"),
            ("-0.00750", -7_500, "-0.0075"),
            ("0", 0, "0.00"),
            ("999999589.6168", 999_999_589_616_800, "999999589.6168"),
        ] {
            let money = Money::from_decimal(amount, "KES").unwrap();
            assert_eq!((money.micros(), money.amount().as_str()), (micros, shown));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for amount in ["", "-", ".5", "1.", "1,5", "1e3", "NaN", "99999999999999999999"] {
            assert_eq!(Money::from_decimal(amount, "KES"), Err(MoneyError::Amount), "{amount}");
        }
        assert_eq!(Money::from_decimal("1", "Kes"), Err(MoneyError::Currency));
    }
}
