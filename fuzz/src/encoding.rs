//! Texts: alphabet, length and segments.

use domain::encoding::{Encoding, measure, offenders, split, to_nfc, transliterate};

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    segments_fit(text);
    let composed = to_nfc(text);
    assert_eq!(to_nfc(&composed), composed, "composing twice changes more");
    segments_fit(&composed);
    let plain = transliterate(text);
    assert_eq!(transliterate(&plain), plain, "rewriting twice changes more");
    assert!(offenders(&plain).count() <= offenders(text).count(), "rewriting makes it worse");
    segments_fit(&plain);
}

fn segments_fit(text: &str) {
    let whole = measure(text);
    let segments = split(text);
    assert_eq!(segments.concat(), text, "segments join to the text");
    assert_eq!(segments.len(), whole.segments, "as many as were counted");
    assert_eq!(whole.encoding == Encoding::Ucs2, offenders(text).next().is_some());
    let units = |part: &str| match whole.encoding {
        Encoding::Gsm7 => measure(part).units,
        Encoding::Ucs2 => part.encode_utf16().count(),
    };
    let capacity = match segments.len() {
        1 => whole.encoding.single_capacity(),
        _ => whole.encoding.part_capacity(),
    };
    assert!(segments.iter().all(|segment| units(segment) <= capacity), "a segment is too long");
    assert_eq!(segments.iter().map(|segment| units(segment)).sum::<usize>(), whole.units);
}
