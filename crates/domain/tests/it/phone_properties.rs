//! What holds for every number and every text.

use domain::phone::{Country, Msisdn};
use proptest::prelude::*;
use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberType};

/// The nine digits of a Kenyan mobile phone's number, by the ranges that are assigned (07… and 01…).
fn kenyan_mobiles() -> impl Strategy<Value = String> {
    (prop_oneof![700_u32..=729, 740_u32..=743, 757_u32..=759, 790_u32..=799, 110_u32..=115], 0_u32..1_000_000)
        .prop_map(|(range, rest)| format!("{range}{rest:06}"))
}

fn regions() -> impl Strategy<Value = Country> {
    prop::sample::select(vec![
        "KE", "UG", "TZ", "US", "CA", "GB", "DE", "IT", "MX", "AR", "BR", "RU", "AU", "ZZ",
    ])
    .prop_map(|code| code.parse().unwrap())
}

/// What somebody may type: the characters of numbers, more often than not.
fn inputs() -> impl Strategy<Value = String> {
    prop_oneof!["\\PC{0,50}", "[+]?[0-9 ().\\-]{0,24}", "(\\+|00|0)?[1-9][0-9]{5,15}", any::<String>()]
}

/// The longest run of digits in a text.
fn longest_run(text: &str) -> usize {
    text.split(|character: char| !character.is_ascii_digit()).map(str::len).max().unwrap_or(0)
}

proptest! {
    #[test]
    fn all_forms_of_a_kenyan_mobile_are_one_number(nine in kenyan_mobiles()) {
        let number = Msisdn::parse(&format!("+254{nine}"), Country::KE).unwrap();
        prop_assert_eq!(number.to_e164(), format!("+254{nine}"));
        prop_assert_eq!(number.country(), Country::KE);
        let (operator, rest) = nine.split_at(3);
        for form in [
            format!("254{nine}"),
            format!("0{nine}"),
            nine.clone(),
            format!("00254{nine}"),
            format!("+254 (0){nine}"),
            format!("0{operator} {rest}"),
            format!("0{operator}-{rest}"),
            format!("+254.{operator}.{rest}"),
            format!("(0{operator})\u{A0}{rest}"),
        ] {
            prop_assert_eq!(Msisdn::parse(&form, Country::KE), Ok(number), "{}", form);
        }
    }

    #[test]
    fn the_e164_form_reads_back(input in inputs(), region in regions()) {
        if let Ok(number) = Msisdn::parse(&input, region) {
            prop_assert_eq!(Msisdn::parse(&number.to_e164(), region), Ok(number));
            prop_assert_eq!(Msisdn::from_parts(number.number(), number.country()), Ok(number));
        }
    }

    #[test]
    fn bare_digits_are_a_valid_number_here_or_abroad_or_refused(input in "[1-9][0-9]{6,14}") {
        if let Ok(number) = Msisdn::parse(&input, Country::KE) {
            let e164 = number.to_e164();
            prop_assert!(PHONE_NUMBER_UTIL.parse(&e164, None).unwrap().is_valid());
            let is_as_typed = e164 == format!("+{input}") || e164 == format!("+254{input}");
            let had_national_prefix = e164.len() <= input.len();
            // Some countries' numbers are known without their area code, which is put in: 261 2000000 is +261 20 2000000.
            let (_, last_digits) = input.split_at(input.len() - 6);
            let has_area_code = e164.ends_with(last_digits);
            prop_assert!(
                is_as_typed || had_national_prefix || has_area_code,
                "{} became {}",
                input,
                e164
            );
        }
    }

    #[test]
    fn any_text_is_read_or_refused_without_a_panic(input in any::<String>(), region in regions()) {
        let _ = Msisdn::parse(&input, region);
    }

    #[test]
    fn debug_shows_no_more_than_four_digits_in_a_row(number in 1_000_000_u64..1_000_000_000_000_000) {
        let number = Msisdn::from_parts(number, Country::KE).unwrap();
        let shown = format!("{number:?}");
        prop_assert!(longest_run(&shown) <= 4, "{}", shown);
        prop_assert_eq!(shown.len(), format!("Msisdn({})", number.to_e164()).len());
    }
}

#[test]
fn calling_codes_are_told_by_their_first_two_digits() {
    // The masked form shows the calling code and hides what follows, for each code that the metadata knows.
    for code in PHONE_NUMBER_UTIL.get_supported_calling_codes() {
        let number: u64 = format!("{code}23456789").parse().unwrap();
        let masked = Msisdn::from_parts(number, Country::ZZ).unwrap().masked();
        assert_eq!(masked, format!("+{code}****6789"));
    }
}

#[test]
fn the_librarys_example_of_each_country_and_type_is_read() {
    for region in PHONE_NUMBER_UTIL.get_supported_regions() {
        for kind in [PhoneNumberType::Mobile, PhoneNumberType::FixedLine] {
            let Ok(example) = PHONE_NUMBER_UTIL.get_example_number_for_type_and_region(region, kind) else {
                continue;
            };
            let number = Msisdn::parse(&example.to_string(), Country::KE).unwrap();
            assert_eq!(number.to_e164(), example.to_string());
            // The country may be another one of the same code: Christmas Island has Australia's ranges.
            let country: Country = region.to_string().parse().unwrap();
            assert_eq!(number.country().calling_code(), country.calling_code());
        }
    }
}
