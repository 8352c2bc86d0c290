//! What holds for every text.

use domain::encoding::{Encoding, measure, offenders, split, to_nfc, transliterate};
use proptest::prelude::*;

/// Texts near the limits, of characters that are counted or cut in different ways.
fn texts() -> impl Strategy<Value = String> {
    let gsm7 = prop::sample::select(vec!["a", "a", "a", "é", "€", "{", "\r\n", "\r", " ", "Ω"]);
    let mixed = prop::sample::select(vec![
        "a",
        "€",
        "Ж",
        "👍",
        "👍🏿",
        "👨\u{200D}👩\u{200D}👧\u{200D}👦",
        "🇰🇪",
        "🇰",
        "e\u{301}",
        "\u{301}",
        "\u{200D}",
        "\u{FE0F}",
        "\r\n",
        "ẹ\u{300}",
        "“",
        "\u{A0}",
        "…",
        "://",
        "ሰላም",
        "नि",
        "\u{200B}",
    ]);
    prop_oneof![
        prop::collection::vec(gsm7, 0..340).prop_map(|pieces| pieces.concat()),
        prop::collection::vec(mixed, 0..160).prop_map(|pieces| pieces.concat()),
        (any::<char>(), 0_usize..400).prop_map(|(character, times)| character.to_string().repeat(times)),
        any::<String>(),
    ]
}

proptest! {
    #[test]
    fn segments_rejoin_to_the_text(text in texts()) {
        prop_assert_eq!(split(&text).concat(), text);
    }

    #[test]
    fn no_segment_is_over_its_capacity(text in texts()) {
        let whole = measure(&text);
        let segments = split(&text);
        let capacity = match segments.len() {
            1 => whole.encoding.single_capacity(),
            _ => whole.encoding.part_capacity(),
        };
        for segment in segments {
            let units = match whole.encoding {
                Encoding::Gsm7 => measure(segment).units,
                Encoding::Ucs2 => segment.encode_utf16().count(),
            };
            prop_assert!(units <= capacity);
        }
    }

    #[test]
    fn measure_counts_the_segments_that_split_makes(text in texts()) {
        prop_assert_eq!(measure(&text).segments, split(&text).len());
    }

    #[test]
    fn only_the_last_segment_has_room_for_what_follows_it(text in texts()) {
        // Greedy: the first character of a segment, or at most its first cluster, did not fit before.
        let encoding = measure(&text).encoding;
        let largest_item = match encoding { Encoding::Gsm7 => 2, Encoding::Ucs2 => 67 };
        let segments = split(&text);
        for pair in segments.windows(2) {
            let units = match encoding {
                Encoding::Gsm7 => measure(pair[0]).units,
                Encoding::Ucs2 => pair[0].encode_utf16().count(),
            };
            prop_assert!(units + largest_item > encoding.part_capacity());
            prop_assert!(!pair[1].is_empty());
        }
    }

    #[test]
    fn appending_never_saves_a_segment(text in texts(), more in texts()) {
        let longer = format!("{text}{more}");
        prop_assert!(measure(&longer).segments >= measure(&text).segments);
    }

    #[test]
    fn a_text_is_ucs2_exactly_if_it_has_offenders(text in texts()) {
        prop_assert_eq!(measure(&text).encoding == Encoding::Ucs2, offenders(&text).next().is_some());
    }

    #[test]
    fn normalizing_twice_changes_nothing_more(text in texts()) {
        let once = to_nfc(&text).into_owned();
        prop_assert_eq!(to_nfc(&once), once.as_str());
    }

    #[test]
    fn transliterating_twice_changes_nothing_more(text in texts()) {
        let once = transliterate(&text).into_owned();
        prop_assert_eq!(transliterate(&once), once.as_str());
    }

    #[test]
    fn transliterating_never_adds_an_offender(text in texts()) {
        prop_assert!(offenders(&transliterate(&text)).count() <= offenders(&text).count());
    }
}
