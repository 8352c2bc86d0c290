//! Amounts as people read them: `10,000 sats`, `KES 1,500.00`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What is counted: an ISO 4217 currency, with two decimals, or satoshis, which are whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Currency {
    /// The smallest part of a bitcoin.
    Sats,
    /// An ISO 4217 code.
    Iso([u8; 3]),
}

impl Currency {
    /// Kenya's shilling.
    pub const KES: Self = Self::Iso(*b"KES");

    /// The word in a definition: `sats`, or the code.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sats => "sats",
            Self::Iso(code) => std::str::from_utf8(code).unwrap_or_default(),
        }
    }

    /// The amount in this currency, as it stands in a text.
    pub fn show(self, amount: Amount) -> String {
        let sign = if amount.0 < 0 { "-" } else { "" };
        let magnitude = amount.0.unsigned_abs();
        let whole = grouped(magnitude / 100);
        match self {
            Self::Sats => format!("{sign}{whole} sats"),
            Self::Iso(_) => format!("{} {sign}{whole}.{:02}", self.as_str(), magnitude % 100),
        }
    }
}

impl FromStr for Currency {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        match text.as_bytes() {
            b"sats" => Ok(Self::Sats),
            &[a, b, c] if [a, b, c].iter().all(u8::is_ascii_uppercase) => Ok(Self::Iso([a, b, c])),
            _ => Err(AmountError::Currency),
        }
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Thousands apart, as both English and Swahili write them.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A decimal number with two decimals at most, exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(i64);

/// Why a text is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// No number, or one beyond all bounds.
    #[error("is not a decimal number")]
    NotANumber,
    /// Parts of a cent.
    #[error("has more than two decimals")]
    Decimals,
    /// No such currency.
    #[error("is no currency: write sats, or the three capital letters of one such as KES")]
    Currency,
}

impl Amount {
    /// None at all.
    pub const ZERO: Self = Self(0);

    /// A whole number; `None` if it is beyond what can be counted.
    pub fn whole(number: i64) -> Option<Self> {
        number.checked_mul(100).map(Self)
    }

    /// Whether there is nothing behind the point.
    pub fn is_whole(self) -> bool {
        self.0 % 100 == 0
    }

    /// From a value of JSON: a number, or a text such as `"1500.00"`, which no reader rounds.
    pub fn of(value: &serde_json::Value) -> Result<Self, AmountError> {
        match value {
            serde_json::Value::Number(number) => number.to_string().parse(),
            serde_json::Value::String(text) => text.parse(),
            _ => Err(AmountError::NotANumber),
        }
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !all_digits(whole) || !all_digits(fraction) {
            return Err(AmountError::NotANumber);
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > 2 {
            return Err(AmountError::Decimals);
        }
        let hundredths = format!("{whole}{fraction:0<2}").parse::<i64>();
        let hundredths = hundredths.map_err(|_beyond| AmountError::NotANumber)?;
        Ok(Self(if negative { -hundredths } else { hundredths }))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        if self.is_whole() {
            return write!(f, "{sign}{}", magnitude / 100);
        }
        write!(f, "{sign}{}.{:02}", magnitude / 100, magnitude % 100)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.is_whole() { to.serialize_i64(self.0 / 100) } else { to.collect_str(self) }
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::of(&serde_json::Value::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_grouped_and_have_the_decimals_of_their_currency() {
        for (amount, currency, shown) in [
            ("10000", "sats", "10,000 sats"),
            ("999", "sats", "999 sats"),
            ("1500", "KES", "KES 1,500.00"),
            ("1234567.5", "KES", "KES 1,234,567.50"),
            ("-20.05", "USD", "USD -20.05"),
            ("0", "KES", "KES 0.00"),
        ] {
            let currency: Currency = currency.parse().unwrap();
            assert_eq!(currency.show(amount.parse().unwrap()), shown);
        }
    }

    #[test]
    fn a_number_of_json_is_the_amount_that_was_written() {
        for (json, amount) in [("1500", "1500"), ("1500.50", "1500.50"), ("\"0.10\"", "0.10"), ("-3", "-3")] {
            let value = serde_json::from_str(json).unwrap();
            assert_eq!(Amount::of(&value), amount.parse(), "{json}");
        }
    }

    #[test]
    fn parts_of_a_cent_and_what_is_no_number_are_refused() {
        assert_eq!("1.005".parse::<Amount>(), Err(AmountError::Decimals));
        for text in ["", "-", "1,500", "1e3", "NaN", "--1", "1.", ".5", "99999999999999999999"] {
            assert_eq!(text.parse::<Amount>(), Err(AmountError::NotANumber), "{text}");
        }
    }
}
