//! The time zone of each country.

use crate::phone::Country;

const TEXT: &str = include_str!("zones.txt");

/// Countries with their zones, by country. Made while the crate compiles, so that nothing is parsed at run time and a
/// malformed line does not compile.
const ZONES: [(&str, &str); count(TEXT)] = table(TEXT);

/// The name of the zone that most people of `country` live in.
pub(super) fn zone_of(country: Country) -> Option<&'static str> {
    let found = ZONES.binary_search_by(|(code, _)| (*code).cmp(country.as_str()));
    found.ok().map(|index| ZONES[index].1)
}

/// Lines that are not comments.
const fn count(text: &str) -> usize {
    let (bytes, mut at, mut lines) = (text.as_bytes(), 0, 0);
    while at < bytes.len() {
        if bytes[at] != b'#' {
            lines += 1;
        }
        at = after_line(bytes, at);
    }
    lines
}

const fn table<const N: usize>(text: &'static str) -> [(&'static str, &'static str); N] {
    let (bytes, mut at, mut lines) = (text.as_bytes(), 0, 0);
    let mut table = [("", ""); N];
    while at < bytes.len() {
        let next = after_line(bytes, at);
        if bytes[at] != b'#' {
            assert!(
                bytes[at + 2] == b' ' && bytes[next - 1] == b'\n',
                "a line is a country, a space and a zone"
            );
            table[lines] = (part(text, at, at + 2), part(text, at + 3, next - 1));
            lines += 1;
        }
        at = next;
    }
    table
}

/// Where the line after the one at `at` begins.
const fn after_line(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() && bytes[at] != b'\n' {
        at += 1;
    }
    at + 1
}

const fn part(text: &'static str, from: usize, to: usize) -> &'static str {
    text.split_at(to).0.split_at(from).1
}

#[cfg(test)]
mod tests {
    use super::super::TimeZone;
    use super::*;

    fn all_codes() -> impl Iterator<Item = Country> {
        let letters = || (b'A'..=b'Z').map(char::from);
        letters().flat_map(move |a| letters().map(move |b| format!("{a}{b}").parse().unwrap()))
    }

    #[test]
    fn countries_are_in_order_and_each_zone_exists() {
        assert!(ZONES.is_sorted_by(|one, next| one.0 < next.0));
        for (country, zone) in ZONES {
            assert!(country.parse::<Country>().is_ok_and(|read| read.as_str() == country), "{country}");
            assert_eq!(zone.parse::<TimeZone>().map(|read| read.to_string()).as_deref(), Ok(zone));
        }
    }

    #[test]
    fn every_country_with_phone_numbers_has_a_zone() {
        let zoneless = all_codes().filter(|code| code.calling_code().is_some() && zone_of(*code).is_none());
        assert_eq!(zoneless.collect::<Vec<_>>(), []);
    }

    #[test]
    fn a_country_with_many_zones_has_that_of_most_people() {
        for (country, zone) in [
            ("AU", "Australia/Sydney"),
            ("BR", "America/Sao_Paulo"),
            ("CA", "America/Toronto"),
            ("CD", "Africa/Kinshasa"),
            ("CL", "America/Santiago"),
            ("ES", "Europe/Madrid"),
            ("ID", "Asia/Jakarta"),
            ("KE", "Africa/Nairobi"),
            ("MX", "America/Mexico_City"),
            ("PT", "Europe/Lisbon"),
            ("RU", "Europe/Moscow"),
            ("US", "America/New_York"),
        ] {
            assert_eq!(zone_of(country.parse().unwrap()), Some(zone));
        }
    }
}
