//! Offending characters, normalization and transliteration.

use std::borrow::Cow;

use domain::encoding::{Encoding, measure, offenders, split, to_nfc, transliterate};

#[test]
fn words_of_the_encodings_read_back() {
    for encoding in [Encoding::Gsm7, Encoding::Ucs2] {
        assert_eq!(encoding.as_str().parse(), Ok(encoding));
        assert_eq!(serde_json::to_value(encoding).unwrap(), encoding.as_str());
    }
    assert!("GSM-7".parse::<Encoding>().unwrap_err().to_string().contains("gsm7, ucs2"));
}

#[test]
fn offenders_are_named_by_their_place_in_characters() {
    let found: Vec<_> = offenders("Ng’ombe é € 👍").collect();
    assert_eq!(found, [(2, '’'), (12, '👍')]);
}

#[test]
fn a_text_without_offenders_is_gsm7() {
    assert_eq!(offenders("Habari! [KES 1,500] €5 @ Ñandù\r\n").next(), None);
}

#[test]
fn the_empty_text_is_one_empty_segment() {
    assert_eq!(measure("").segments, 1);
    assert_eq!(split(""), [""]);
}

#[test]
fn an_accent_of_its_own_is_joined_to_its_letter() {
    assert_eq!(to_nfc("Cafe\u{301}"), "Café");
    assert_eq!(measure(&to_nfc("Cafe\u{301}")).encoding, Encoding::Gsm7);
    assert!(matches!(to_nfc("Karibu, José"), Cow::Borrowed(_)));
}

#[test]
fn the_ohm_sign_becomes_a_greek_letter_that_gsm7_has() {
    assert_eq!(offenders(&to_nfc("5 \u{2126}")).next(), None);
}

#[test]
fn a_cluster_larger_than_a_segment_is_cut_between_code_points() {
    let zalgo = format!("e{}", "\u{301}".repeat(100));
    let segments = split(&zalgo);
    assert_eq!(segments.iter().map(|segment| segment.chars().count()).collect::<Vec<_>>(), [67, 34]);
}

#[test]
fn cr_lf_is_cut_where_a_segment_of_ucs2_ends() {
    let text = format!("{}\r\n{}", "Ж".repeat(66), "Ж".repeat(5));
    let segments = split(&text);
    assert!(segments[0].ends_with('\r') && segments[1].starts_with('\n'), "{segments:?}");
}

#[test]
fn typography_becomes_plain() {
    for (typed, plain) in [
        ("“Hi” ‘there’ «you» ‹too›", "\"Hi\" 'there' \"you\" 'too'"),
        ("Ng’ombe", "Ng'ombe"),
        ("5–6 pm — or 7‑8, −3", "5-6 pm - or 7-8, -3"),
        ("Wait…", "Wait..."),
        ("KES\u{A0}1\u{202F}500\u{2009}net\tnow", "KES 1 500 net now"),
        ("one\u{2028}two\u{85}three", "one\ntwo\nthree"),
        ("pay\u{200B}ment\u{FEFF} co\u{AD}op\u{0}\u{1B}", "payment coop"),
        ("ＡＢＣ１２３！＼｀～", "ABC123!\\'~"),
        ("a\r\nb\u{C}c", "a\r\nb\u{C}c"),
    ] {
        assert_eq!(transliterate(typed), plain);
    }
}

#[test]
fn what_would_change_the_meaning_stays() {
    for text in ["1¼ bags", "ã ê ĩ ũ", "₦500", "© 2026", "👨\u{200D}👩\u{200D}👧", "n\u{303}"] {
        assert!(matches!(transliterate(text), Cow::Borrowed(_)), "{text}");
    }
}

#[test]
fn an_address_keeps_every_character() {
    let address = "https://pay.example/ａ…b\u{200B}c";
    assert_eq!(transliterate(&format!("See… {address}\u{A0}now…")), format!("See... {address} now..."));
    assert_eq!(transliterate(address), address);
}
