//! Phone numbers as people type them: `Msisdn::parse`.
//!
//! The first line names the default country, the rest is what is typed.

use domain::phone::{Country, Msisdn};

pub fn check(data: &[u8]) {
    let (region, typed) = super::first_line(data);
    let region: Country = region.parse().unwrap_or(Country::KE);
    let Ok(typed) = std::str::from_utf8(typed) else { return };
    let Ok(number) = Msisdn::parse(typed, region) else { return };
    let e164 = number.to_e164();
    assert_eq!(Msisdn::parse(&e164, region), Ok(number), "E.164 reads back");
    assert_eq!(Msisdn::from_parts(number.number(), number.country()), Ok(number));
    let digits = e164.strip_prefix('+').unwrap();
    assert!((7..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()));
    // What was typed may begin in many ways, but it ends with the number: a code must not go to a stranger.
    if typed.is_ascii() {
        let typed: String = typed.chars().filter(char::is_ascii_digit).collect();
        let end = digits.get(digits.len() - 4..).unwrap();
        assert!(typed.ends_with(end), "it became another number");
    }
    let shown = format!("{number:?}");
    let longest = shown.split(|character: char| !character.is_ascii_digit()).map(str::len).max();
    assert!(longest.unwrap_or(0) <= 4, "more than four digits in a row are shown");
}
