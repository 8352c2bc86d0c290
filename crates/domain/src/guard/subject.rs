//! Whom the guard counts.

use std::fmt;
use std::str::FromStr;

use crate::ids::KeyId;
use crate::phone::{Country, NumberPrefix};

/// Whom counts are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A block of numbers.
    Prefix(NumberPrefix),
    /// All blocks of a country of which nobody verified codes lately, together: each alone may have too few to tell.
    Newcomers(Country),
    /// A caller.
    Caller(KeyId),
}

/// A text that is no subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a subject of the guard")]
pub struct SubjectError;

impl Subject {
    /// The country, where it has one.
    pub fn country(&self) -> Option<Country> {
        match self {
            Self::Prefix(prefix) => Some(prefix.country()),
            Self::Newcomers(country) => Some(*country),
            Self::Caller(_) => None,
        }
    }
}

/// As it is kept.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(prefix) => write!(f, "prefix {} {}", prefix.country(), prefix.digits()),
            Self::Newcomers(country) => write!(f, "newcomers {country}"),
            Self::Caller(key) => write!(f, "caller {key}"),
        }
    }
}

impl FromStr for Subject {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        let country = |code: &str| code.parse::<Country>().or(Err(SubjectError));
        let words: Vec<_> = text.split(' ').collect();
        match words.as_slice() {
            ["prefix", code, digits] => {
                let digits = NumberPrefix::digits_of(digits).or(Err(SubjectError))?;
                Ok(Self::Prefix(NumberPrefix::from_parts(digits, country(code)?)))
            }
            ["newcomers", code] => country(code).map(Self::Newcomers),
            ["caller", key] => key.parse().map(Self::Caller).or(Err(SubjectError)),
            _ => Err(SubjectError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn subject_reads_back() {
        let subjects = [
            Subject::Prefix(NumberPrefix::from_parts(2_547_123, Country::KE)),
            Subject::Newcomers(Country::KE),
            Subject::Caller(KeyId::new(Timestamp::from_micros(0), [7; 10])),
        ];
        for subject in subjects {
            assert_eq!(subject.to_string().parse(), Ok(subject));
        }
        for wrong in ["", "prefix KE", "prefix KE +x", "newcomers Kenya", "caller 7", "country KE"] {
            assert!(wrong.parse::<Subject>().is_err(), "{wrong}");
        }
    }
}
