//! Countries by code, and their calling codes.

use std::fmt;
use std::str::FromStr;

use rlibphonenumber::{PHONE_NUMBER_UTIL, Region};
use serde::{Deserialize, Serialize};

/// A country by its ISO 3166-1 alpha-2 code, in capitals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Country([u8; 2]);

/// A text is not two letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("country is not an ISO 3166-1 code of two letters, such as KE")]
pub struct CountryError;

impl Country {
    /// Kenya.
    pub const KE: Self = Self(*b"KE");
    /// No country: the number is of a network that spans the world, such as a satellite's or `+883`. `ZZ` is
    /// never assigned by ISO 3166, and means an unknown region to CLDR.
    pub const ZZ: Self = Self(*b"ZZ");

    /// The code in capitals: `KE`.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("ZZ")
    }

    /// The calling code of the country's phone numbers, such as 254. `None` for a code that no country with
    /// phones has: reading a country checks its form only, so settings should ask.
    pub fn calling_code(self) -> Option<u16> {
        let code = PHONE_NUMBER_UTIL.get_country_code_for_region(self.region()?)?;
        u16::try_from(code).ok()
    }

    /// The country as the library has it.
    pub(super) fn region(self) -> Option<Region> {
        Region::from_code(self.as_str()).ok()
    }

    /// From the library's region, of which one is the world.
    pub(super) fn of(region: Region) -> Self {
        region.as_region_str().parse().unwrap_or(Self::ZZ)
    }
}

impl FromStr for Country {
    type Err = CountryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Ok(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => Err(CountryError),
        }
    }
}

impl TryFrom<String> for Country {
    type Error = CountryError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Country> for String {
    fn from(country: Country) -> Self {
        country.as_str().to_owned()
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
