//! Phone numbers, the countries they belong to, and sender IDs.
//!
//! Numbering plans change every month somewhere, so what is valid comes from libphonenumber's metadata (the
//! `rlibphonenumber` crate) and not from patterns of our own. What the library is *not* left to do is guess:
//! it takes letters for keypad digits, cuts extensions off, and puts the default country's code in front of a
//! foreign number that was typed without its `+`. A one-time code would then go to a stranger. So the text is
//! read here, character by character, and the library sees digits only.
//!
//! The library writes those digits to the `log` facade at level trace: whoever installs a logger must shut
//! out the target `rlibphonenumber`.

mod country;
mod prefix;
mod sender;
mod typed;

use std::fmt;

use rlibphonenumber::{
    NumberLengthType, PHONE_NUMBER_UTIL, ParseError, PhoneNumber, PhoneNumberType, Region, ValidationError,
};

pub use self::country::{Country, CountryError};
pub use self::prefix::{NumberPrefix, NumberPrefixError};
pub use self::sender::{SenderError, SenderId};
use self::typed::Typed;

/// Digits of the longest number, calling code included (ITU-T E.164).
const MAX_DIGITS: u32 = 15;
/// Digits of the shortest number that a phone can have: `+683` (Niue) and four more. Anything shorter is a
/// short code or an emergency number, which exist inside one network only.
const MIN_DIGITS: u32 = 7;
/// Calling codes that have rules of their own below.
const KENYA: i32 = 254;
const NORTH_AMERICA: i32 = 1;

/// Why a text is not a phone number that an SMS can be sent to. Never holds the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PhoneError {
    /// Nothing but white space and punctuation.
    #[error("is empty")]
    Empty,
    /// Letters: a vanity number, an extension, or a `tel:` address.
    #[error("has letters in it; write digits only, and no extension")]
    Letters,
    /// Holds something else that is not part of a phone number.
    #[error("is not a phone number")]
    NotANumber,
    /// Fewer digits than any number of its country: a short code, an emergency number, or digits missing.
    #[error("is too short for a phone number")]
    TooShort,
    /// More digits than any number of its country.
    #[error("is too long for a phone number")]
    TooLong,
    /// International form, but no country has this calling code.
    #[error("does not begin with the calling code of a country")]
    UnknownCallingCode,
    /// The right length, but in no range that is in use.
    #[error("is not a valid phone number of its country")]
    Invalid,
    /// National digits that are no number of the default country.
    #[error("is not a number of the default country; write a foreign one with + and its country code")]
    NotNational,
    /// A landline of the default country, or else a mobile phone abroad typed without its `+`.
    #[error("could be a number of two countries; write it with + and its country code")]
    Ambiguous,
}

/// A phone number in E.164 form, with the country that it belongs to.
///
/// Personal data: there is no `Display` and no `Serialize`, and `Debug` is masked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Msisdn {
    number: u64,
    country: Country,
}

impl Msisdn {
    /// Reads a number in any form that people type, with spaces, dashes, dots and brackets.
    ///
    /// 1. After `+`, the digits are E.164. A national prefix behind the calling code, as in `+254 (0)712…`,
    ///    is dropped.
    /// 2. Without it, digits that are a valid number of `default_region` are that number: in national form
    ///    (`0712345678`), without the zero, or with the calling code in front (`254712345678`). The prefix
    ///    that the region dials before numbers abroad is known too.
    /// 3. Else, digits behind `00` are E.164.
    /// 4. Else, digits that are a valid E.164 number but for the `+` (`14155550100` typed in Kenya) are that.
    /// 5. Anything else is refused. The default country's code is never put in front of digits that it does
    ///    not make a valid number of, and digits that read as a landline here but as a mobile phone abroad
    ///    are refused as ambiguous.
    ///
    /// Valid means in a range that its country has in use, mobile or not: in North America, for one, a number
    /// does not tell. Only rules 1 and 3 take more, because a new range is dialed before the metadata has it:
    /// there a possible length will do, unless the number is of `default_region` or of Kenya.
    pub fn parse(input: &str, default_region: Country) -> Result<Self, PhoneError> {
        let typed = Typed::read(input)?;
        if typed.plus {
            international(typed.digits(), default_region)
        } else {
            national(typed.digits(), default_region)
        }
    }

    /// From what a store kept. Checks that there are 7 to 15 digits and nothing more: whether the number is
    /// valid, and of that country, was decided when it was parsed.
    pub fn from_parts(number: u64, country: Country) -> Result<Self, PhoneError> {
        match digit_count(number) {
            ..MIN_DIGITS => Err(PhoneError::TooShort),
            MIN_DIGITS..=MAX_DIGITS => Ok(Self { number, country }),
            _ => Err(PhoneError::TooLong),
        }
    }

    /// The digits of the E.164 form as a number. Exact, because no calling code begins with zero.
    pub fn number(self) -> u64 {
        self.number
    }

    /// The country that the number belongs to; [`Country::ZZ`] if it is of no country.
    pub fn country(self) -> Country {
        self.country
    }

    /// The whole number, `+254712345678`. It exposes personal data: for a provider's request and for a caller
    /// with the right to read it, never for a log, a metric or an error.
    pub fn to_e164(self) -> String {
        format!("+{}", self.number)
    }

    /// The number with its middle hidden, `+254*****5678`: enough to recognize it, too little to dial it. At
    /// most the last four digits are shown, and never more than half of those behind the calling code.
    pub fn masked(self) -> String {
        let national_digits = digit_count(self.number) - calling_code_digits(self.number);
        let shown = (national_digits / 2).min(4);
        format!(
            "+{}{:*<hidden$}{:0tail$}",
            self.number / 10_u64.pow(national_digits),
            "",
            self.number % 10_u64.pow(shown),
            hidden = (national_digits - shown) as usize,
            tail = shown as usize,
        )
    }

    /// The number as the library has it, if that is not beyond E.164.
    fn of(phone: &PhoneNumber, region: Region) -> Option<Self> {
        let zeros = if phone.italian_leading_zero() { phone.number_of_leading_zeros() } else { 0 };
        let national_digits = u32::try_from(zeros).ok()?.checked_add(digit_count(phone.national_number))?;
        let calling_code = u64::try_from(phone.country_code).ok()?;
        let number = calling_code.checked_mul(10_u64.checked_pow(national_digits)?)?;
        Self::from_parts(number.checked_add(phone.national_number)?, Country::of(region)).ok()
    }
}

impl fmt::Debug for Msisdn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Msisdn({})", self.masked())
    }
}

/// Rules 1 and 3: the digits of an E.164 number.
fn international(digits: &str, default_region: Country) -> Result<Msisdn, PhoneError> {
    let as_typed = e164(digits)?;
    if let Some(msisdn) = valid(&as_typed).or_else(|| without_national_prefix(&as_typed, digits)) {
        return Ok(msisdn);
    }
    match PHONE_NUMBER_UTIL.is_possible_number_with_reason(&as_typed) {
        Ok(NumberLengthType::IsPossible) if may_be_new(&as_typed, default_region) => {
            let region = PHONE_NUMBER_UTIL.get_region_for_country_code(as_typed.country_code);
            region.and_then(|region| Msisdn::of(&as_typed, region)).ok_or(PhoneError::Invalid)
        }
        Ok(NumberLengthType::IsPossibleLocalOnly) | Err(ValidationError::TooShort) => {
            Err(PhoneError::TooShort)
        }
        Err(ValidationError::TooLong) => Err(PhoneError::TooLong),
        _ => Err(PhoneError::Invalid),
    }
}

/// Rules 2 to 5: digits that were typed without a `+`.
fn national(digits: &str, default_region: Country) -> Result<Msisdn, PhoneError> {
    let home = default_region
        .region()
        .ok_or(ParseError::InvalidCountryCode)
        .and_then(|region| PHONE_NUMBER_UTIL.parse(digits, Some(region)));
    if let Ok(home) = &home
        && let Some(msisdn) = valid(home)
    {
        return if is_ambiguous(home, digits) { Err(PhoneError::Ambiguous) } else { Ok(msisdn) };
    }
    if let Some(digits) = digits.strip_prefix("00") {
        return international(digits, default_region);
    }
    if let Ok(abroad) = e164(digits)
        && let Some(msisdn) = valid(&abroad).or_else(|| without_national_prefix(&abroad, digits))
    {
        return Ok(msisdn);
    }
    Err(match home.map(|home| PHONE_NUMBER_UTIL.is_possible_number_with_reason(&home)) {
        Ok(Ok(NumberLengthType::IsPossible)) => PhoneError::Invalid,
        Ok(Ok(NumberLengthType::IsPossibleLocalOnly) | Err(ValidationError::TooShort))
        | Err(ParseError::TooShortNsn | ParseError::TooShortAfterIdd | ParseError::NotANumber(_)) => {
            PhoneError::TooShort
        }
        _ => PhoneError::NotNational,
    })
}

/// The number exactly as its digits say, if they are as many as E.164 allows and begin with a calling code.
fn e164(digits: &str) -> Result<PhoneNumber, PhoneError> {
    if digits.starts_with('0') {
        return Err(PhoneError::UnknownCallingCode);
    }
    let number = digits.parse().or(Err(PhoneError::TooLong))?;
    let Msisdn { number, .. } = Msisdn::from_parts(number, Country::ZZ)?;
    let national_digits = digit_count(number) - calling_code_digits(number);
    let country_code = i32::try_from(number / 10_u64.pow(national_digits)).unwrap_or(0);
    if PHONE_NUMBER_UTIL.get_region_for_country_code(country_code).is_none() {
        return Err(PhoneError::UnknownCallingCode);
    }
    let national_number = number % 10_u64.pow(national_digits);
    let zeros = i32::try_from(national_digits - digit_count(national_number)).unwrap_or(0);
    Ok(PhoneNumber {
        country_code,
        national_number,
        italian_leading_zero: (zeros > 0).then_some(true),
        number_of_leading_zeros: (zeros > 1).then_some(zeros),
        ..PhoneNumber::default()
    })
}

/// The number, if its country has such a range in use. A country that shares its calling code is told by the
/// range: the United States from Canada, Russia from Kazakhstan.
fn valid(phone: &PhoneNumber) -> Option<Msisdn> {
    let region = PHONE_NUMBER_UTIL.get_region_for_number(phone)?;
    PHONE_NUMBER_UTIL.is_valid_number_for_region(phone, region).then(|| Msisdn::of(phone, region))?
}

/// The valid number that is left when the library has taken a national prefix out: `+254 (0)712…`, or the 1
/// that Mexico no longer has behind its calling code.
fn without_national_prefix(as_typed: &PhoneNumber, digits: &str) -> Option<Msisdn> {
    let parsed = PHONE_NUMBER_UTIL.parse(format!("+{digits}"), None).ok()?;
    if parsed == *as_typed { None } else { valid(&parsed) }
}

/// Whether a number that is not valid by the metadata may be of a range that was opened since. Not in the
/// default country or Kenya, whose plans we can afford to follow closely; and not if it begins with a digit
/// that its plan will not give away: zero, and in North America one.
fn may_be_new(phone: &PhoneNumber, default_region: Country) -> bool {
    let home = default_region.calling_code().map(i32::from);
    let followed = phone.country_code == KENYA || Some(phone.country_code) == home;
    let reserved = phone.italian_leading_zero()
        || (phone.country_code == NORTH_AMERICA && phone.national_number < 2_000_000_000);
    !followed && !reserved
}

/// Whether digits that are no mobile phone's at home are one's abroad. German landlines come in many lengths,
/// and `254712345678` is one of them; but who sends it an SMS means Kenya.
fn is_ambiguous(home: &PhoneNumber, digits: &str) -> bool {
    !digits.starts_with('0')
        && !may_be_mobile(home)
        && e164(digits).is_ok_and(|abroad| abroad != *home && may_be_mobile(&abroad))
}

fn may_be_mobile(phone: &PhoneNumber) -> bool {
    let kind = PHONE_NUMBER_UTIL.get_number_type(phone);
    matches!(kind, PhoneNumberType::Mobile | PhoneNumberType::FixedLineOrMobile)
}

/// How many digits the calling code at the front of an E.164 number has. Codes are assigned so that the first
/// two digits tell (ITU-T, "List of Recommendation E.164 assigned country codes", 2016).
fn calling_code_digits(number: u64) -> u32 {
    match number / 10_u64.pow(digit_count(number).saturating_sub(2)) {
        10..=19 | 70..=79 => 1,
        20 | 27 | 30 | 31 | 32 | 33 | 34 | 36 | 39 | 40 | 41 | 43 | 44 | 45 | 46 | 47 | 48 | 49 | 51 | 52
        | 53 | 54 | 55 | 56 | 57 | 58 | 60 | 61 | 62 | 63 | 64 | 65 | 66 | 81 | 82 | 84 | 86 | 90 | 91
        | 92 | 93 | 94 | 95 | 98 => 2,
        _ => 3,
    }
}

fn digit_count(number: u64) -> u32 {
    number.checked_ilog10().map_or(1, |power| power + 1)
}
