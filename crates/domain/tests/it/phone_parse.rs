//! Numbers as people type them, and what must not be made of them.

use domain::phone::{Country, Msisdn, PhoneError};

fn country(code: &str) -> Country {
    code.parse().unwrap()
}

#[track_caller]
fn assert_parses(input: &str, default_region: &str, e164: &str, of: &str) {
    let number =
        Msisdn::parse(input, country(default_region)).map(|number| (number.to_e164(), number.country()));
    assert_eq!(number, Ok((e164.to_owned(), country(of))), "{input:?} typed in {default_region}");
}

#[track_caller]
fn assert_refused(input: &str, default_region: &str, error: PhoneError) {
    let number = Msisdn::parse(input, country(default_region)).map(Msisdn::to_e164);
    assert_eq!(number, Err(error), "{input:?} typed in {default_region}");
}

#[test]
fn every_form_a_kenyan_types_is_the_same_number() {
    for input in [
        "+254712345678",
        "254712345678",
        "0712345678",
        "712345678",
        "00254712345678",
        "000254712345678",
        "+254 712 345 678",
        "0712-345-678",
        "0712.345.678",
        "(0712) 345678",
        "(+254) 712345678",
        "+254(0)712345678",
        "+2540712345678",
        "2540712345678",
        " 0712 345 678\n",
        "0712\u{A0}345\u{202F}678",
        "0712–345–678",
        "\u{202A}+254\u{A0}712\u{2011}345678\u{202C}",
        "[0712] 345 678",
        "+ 254 712 345678",
        "＋254712345678",
        "０７１２３４５６７８",
        "٠٧١٢٣٤٥٦٧٨",
        "+۲۵۴۷۱۲۳۴۵۶۷۸",
    ] {
        assert_parses(input, "KE", "+254712345678", "KE");
    }
    assert_parses("0110123456", "KE", "+254110123456", "KE");
    assert_parses("110 123 456", "KE", "+254110123456", "KE");
}

#[test]
fn national_forms_of_other_countries_are_read_with_their_rules() {
    for (input, region, e164) in [
        ("0772 123456", "UG", "+256772123456"),
        ("0754 123 456", "TZ", "+255754123456"),
        ("0788 123 456", "RW", "+250788123456"),
        ("0803 123 4567", "NG", "+2348031234567"),
        ("082 123 4567", "ZA", "+27821234567"),
        ("07400 123456", "GB", "+447400123456"),
        ("(415) 555-0100", "US", "+14155550100"),
        ("1-415-555-0100", "US", "+14155550100"),
        ("613-555-0123", "CA", "+16135550123"),
        ("098765 43210", "IN", "+919876543210"),
        ("06 1234 5678", "IT", "+390612345678"),
        ("01 23 45 67 89", "CI", "+2250123456789"),
    ] {
        assert_parses(input, region, e164, region);
    }
}

#[test]
fn international_form_means_the_same_in_every_country() {
    for (input, of) in [
        ("+254712345678", "KE"),
        ("+256772123456", "UG"),
        ("+255754123456", "TZ"),
        ("+250788123456", "RW"),
        ("+2348031234567", "NG"),
        ("+27821234567", "ZA"),
        ("+447400123456", "GB"),
        ("+14155550100", "US"),
        ("+16135550123", "CA"),
        ("+18765550123", "JM"),
        ("+919876543210", "IN"),
        ("+390612345678", "IT"),
        ("+77012345678", "KZ"),
        ("+79161234567", "RU"),
        ("+29051234", "SH"),
        ("+6834002", "NU"),
    ] {
        for typed_in in ["KE", "US", "GB", "ZZ"] {
            assert_parses(input, typed_in, input, of);
        }
    }
}

#[test]
fn landlines_are_numbers_too() {
    assert_parses("020 201 2345", "KE", "+254202012345", "KE");
    assert_parses("+44 20 7946 0958", "KE", "+442079460958", "GB");
}

#[test]
fn a_number_of_no_country_has_the_country_zz() {
    assert_parses("+883510012345", "KE", "+883510012345", "ZZ");
    assert_parses("+80012345678", "KE", "+80012345678", "ZZ");
}

#[test]
fn a_foreign_number_without_its_plus_keeps_its_country() {
    assert_parses("14155550100", "KE", "+14155550100", "US");
    assert_parses("447400123456", "KE", "+447400123456", "GB");
    assert_parses("256 772 123456", "KE", "+256772123456", "UG");
    assert_parses("254712345678", "US", "+254712345678", "KE");
    assert_parses("254712345678", "GB", "+254712345678", "KE");
    assert_parses("254712345678", "ZZ", "+254712345678", "KE");
}

#[test]
fn the_default_code_is_never_put_before_digits_that_it_makes_no_valid_number_of() {
    for input in ["4155550100", "7400123456", "32345678901", "99712345678", "911234567"] {
        assert!(Msisdn::parse(input, Country::KE).is_err(), "{input}");
    }
    assert_refused("4155550100", "KE", PhoneError::Invalid);
    assert_refused("15551234567", "KE", PhoneError::NotNational);
    assert_refused("0712345678", "ZZ", PhoneError::NotNational);
}

#[test]
fn a_landline_here_that_is_a_mobile_phone_abroad_is_ambiguous() {
    assert_refused("254712345678", "DE", PhoneError::Ambiguous);
    assert_refused("14155550100", "AT", PhoneError::Ambiguous);
    assert_parses("0254 712345678", "DE", "+49254712345678", "DE");
    // Arkansas, and with a plus a mobile phone in Norway: in North America a number is both kinds at once.
    assert_parses("4792012345", "US", "+14792012345", "US");
}

#[test]
fn the_prefix_for_calls_abroad_is_that_of_the_default_country_or_00() {
    assert_parses("011 254 712345678", "US", "+254712345678", "KE");
    assert_parses("0011 254 712345678", "AU", "+254712345678", "KE");
    assert_parses("00 44 7400 123456", "KE", "+447400123456", "GB");
    assert_refused("00 0712345678", "KE", PhoneError::UnknownCallingCode);
}

#[test]
fn international_form_may_be_of_a_range_that_is_newer_than_the_metadata() {
    assert_parses("+15558675310", "KE", "+15558675310", "US");
    assert_parses("0015558675310", "KE", "+15558675310", "US");
    assert_refused("+15558675310", "US", PhoneError::Invalid);
    assert_refused("+10000000000", "KE", PhoneError::Invalid);
    assert_refused("+11234567890", "KE", PhoneError::Invalid);
}

#[test]
fn a_number_with_kenyas_code_must_be_valid_in_kenya() {
    for typed_in in ["KE", "US"] {
        assert_refused("+254912345678", typed_in, PhoneError::Invalid);
        assert_refused("+25471234567", typed_in, PhoneError::Invalid);
        assert_refused("+254254712345678", typed_in, PhoneError::TooLong);
    }
    assert_refused("0912345678", "KE", PhoneError::Invalid);
}

#[test]
fn what_is_no_phone_number_is_refused_with_the_reason() {
    for (input, error) in [
        ("", PhoneError::Empty),
        (" \t\u{200B}()- ", PhoneError::Empty),
        ("+", PhoneError::NotANumber),
        ("0712345678 ext 5", PhoneError::Letters),
        ("0712345678x5", PhoneError::Letters),
        ("0712 FLOWER", PhoneError::Letters),
        ("tel:+254712345678", PhoneError::Letters),
        ("7.12345678E8", PhoneError::Letters),
        ("0712345678.0", PhoneError::Invalid),
        ("+254712345678.0", PhoneError::Invalid),
        ("0712345678;ext=5", PhoneError::NotANumber),
        ("0712345678,5", PhoneError::NotANumber),
        ("0712345678/0722345678", PhoneError::NotANumber),
        ("*144#", PhoneError::NotANumber),
        ("07123\n45678", PhoneError::NotANumber),
        ("07123\u{0}45678", PhoneError::NotANumber),
        ("++254712345678", PhoneError::NotANumber),
        ("254+712345678", PhoneError::NotANumber),
        ("071234567²", PhoneError::NotANumber),
        ("☎0712345678", PhoneError::NotANumber),
        ("999", PhoneError::TooShort),
        ("112", PhoneError::TooShort),
        ("20880", PhoneError::TooShort),
        ("0", PhoneError::TooShort),
        ("071234", PhoneError::TooShort),
        ("+254999", PhoneError::TooShort),
        ("+1415", PhoneError::TooShort),
        ("+1234567890123456", PhoneError::TooLong),
        ("123456789012345678901", PhoneError::TooLong),
        ("+0712345678", PhoneError::UnknownCallingCode),
        ("+999712345678", PhoneError::UnknownCallingCode),
        ("+00254712345678", PhoneError::UnknownCallingCode),
    ] {
        assert_refused(input, "KE", error);
    }
    assert_refused(&" ".repeat(41), "KE", PhoneError::TooLong);
    assert_refused(&"0712345678 ".repeat(1_000), "KE", PhoneError::TooLong);
}

#[test]
fn messages_continue_the_name_of_the_field_and_hold_no_digits() {
    for error in [PhoneError::Letters, PhoneError::NotNational, PhoneError::Ambiguous, PhoneError::TooShort] {
        let message = error.to_string();
        assert!(message.starts_with(char::is_lowercase) && !message.ends_with('.'), "{message}");
        assert!(!message.contains(|character: char| character.is_ascii_digit()), "{message}");
    }
}

#[test]
fn a_masked_number_shows_at_most_half_of_its_end() {
    for (e164, masked) in [
        ("+254712345678", "+254*****5678"),
        ("+14155550100", "+1******0100"),
        ("+447400120006", "+44******0006"),
        ("+79161234567", "+7******4567"),
        ("+29051234", "+290***34"),
        ("+883510012345", "+883*****2345"),
    ] {
        let number = Msisdn::parse(e164, Country::KE).unwrap();
        assert_eq!(number.masked(), masked);
        assert_eq!(format!("{number:?}"), format!("Msisdn({masked})"));
    }
}

#[test]
fn a_store_keeps_the_number_and_the_country() {
    let number = Msisdn::parse("0712345678", Country::KE).unwrap();
    assert_eq!(number.number(), 254_712_345_678);
    assert_eq!(Msisdn::from_parts(number.number(), number.country()), Ok(number));
    assert_eq!(Msisdn::from_parts(999_999, Country::KE), Err(PhoneError::TooShort));
    assert_eq!(Msisdn::from_parts(1_000_000_000_000_000, Country::KE), Err(PhoneError::TooLong));
}

#[test]
fn countries_are_two_letters() {
    assert_eq!("ke".parse(), Ok(Country::KE));
    assert_eq!(Country::KE.to_string(), "KE");
    for text in ["", "K", "KEN", "K3", "Ké", "001"] {
        assert!(text.parse::<Country>().is_err(), "{text}");
    }
    assert_eq!(serde_json::to_string(&Country::KE).unwrap(), "\"KE\"");
    assert_eq!(serde_json::from_str::<Country>("\"ZZ\"").unwrap(), Country::ZZ);
    assert!(serde_json::from_str::<Country>("\"Kenya\"").is_err());
}

#[test]
fn a_country_without_phones_has_no_calling_code() {
    assert_eq!(Country::KE.calling_code(), Some(254));
    assert_eq!(country("CA").calling_code(), Some(1));
    assert_eq!(country("UK").calling_code(), None);
    assert_eq!(Country::ZZ.calling_code(), None);
}
