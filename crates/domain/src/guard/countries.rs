//! To which countries messages may go.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::phone::{Country, Msisdn};
use crate::route::{Prefix, Rule};

/// The word for all countries.
const ALL: &str = "*";

/// Countries that messages may go to, and beginnings of numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct AllowedCountries {
    all: bool,
    countries: BTreeSet<Country>,
    prefixes: Vec<Prefix>,
}

/// A text that is no country.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("countries are ISO 3166-1 codes of two letters, such as KE, or \"*\" for all")]
pub struct CountriesError;

impl AllowedCountries {
    /// Every country, and numbers of none.
    pub fn all() -> Self {
        Self { all: true, ..Self::default() }
    }

    /// These.
    pub fn these(countries: impl IntoIterator<Item = Country>) -> Self {
        Self { countries: countries.into_iter().collect(), ..Self::default() }
    }

    /// Also the countries and beginnings of numbers that routing rules name: whoever writes a route means to send there.
    pub fn and_of_rules(mut self, rules: &[Rule]) -> Self {
        for rule in rules {
            self.countries.extend(&rule.countries);
            self.prefixes.extend(&rule.prefixes);
        }
        self
    }

    /// Also this one.
    pub fn and(mut self, country: Country) -> Self {
        self.countries.insert(country);
        self
    }

    /// Whether a message may go there.
    pub fn allow(&self, receiver: Msisdn) -> bool {
        self.all
            || self.countries.contains(&receiver.country())
            || self.prefixes.iter().any(|prefix| prefix.begins(receiver.number()))
    }
}

impl TryFrom<Vec<String>> for AllowedCountries {
    type Error = CountriesError;

    fn try_from(words: Vec<String>) -> Result<Self, CountriesError> {
        let (all, codes): (Vec<_>, Vec<_>) = words.iter().partition(|word| *word == ALL);
        let countries = codes.into_iter().map(|code| code.parse::<Country>());
        let countries = countries.collect::<Result<_, _>>().or(Err(CountriesError))?;
        Ok(Self { all: !all.is_empty(), countries, prefixes: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(words: &[&str]) -> AllowedCountries {
        serde_json::from_value(serde_json::json!(words)).unwrap()
    }

    fn number(text: &str) -> Msisdn {
        Msisdn::parse(text, Country::KE).unwrap()
    }

    #[test]
    fn only_what_is_named_is_allowed() {
        let allowed = allowed(&["KE", "ug"]);
        assert!(allowed.allow(number("+254712345678")) && allowed.allow(number("+256772123456")));
        assert!(!allowed.allow(number("+14155550100")) && !allowed.allow(number("+447400123456")));
    }

    #[test]
    fn a_star_allows_numbers_of_no_country_too() {
        assert!(allowed(&["*"]).allow(number("+883510012345678")));
        assert!(!allowed(&["KE"]).allow(number("+883510012345678")));
    }

    #[test]
    fn what_a_route_names_is_allowed() {
        let rules: Vec<Rule> = serde_json::from_value(serde_json::json!([
            {"countries": ["US"], "provider": "west"},
            {"prefixes": ["+4474"], "provider": "west"},
            {"scenarios": ["otp"], "provider": "west"},
        ]))
        .unwrap();
        let allowed = allowed(&["KE"]).and_of_rules(&rules);
        assert!(allowed.allow(number("+14155550100")) && allowed.allow(number("+447400123456")));
        assert!(!allowed.allow(number("+447911123456")) && !allowed.allow(number("+255712345678")));
    }

    #[test]
    fn a_word_that_is_no_country_is_refused() {
        for wrong in ["Kenya", "", "K1"] {
            assert!(AllowedCountries::try_from(vec![wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}
