//! The 74 texts of Twilio's message segment calculator, with what it makes of them.

use domain::encoding::{Encoding, Segmentation, measure, split, transliterate};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    text: String,
    encoding: String,
    units: usize,
    segments: usize,
    units_per_segment: Vec<usize>,
    segment_texts: Vec<String>,
    smart_encoded: Smart,
}

#[derive(Deserialize)]
struct Smart {
    encoding: String,
    units: usize,
    segments: usize,
}

/// Where our transliteration makes one space of what the calculator widens to seven (tab) and two (NBSP).
const DEPARTURES: [(&str, &str, usize); 2] = [("tab", "a b", 3), ("nbsp", "a b", 3)];

fn vectors() -> Vec<Vector> {
    let file: Vectors = serde_json::from_str(include_str!("../vectors/sms_encoding_vectors.json")).unwrap();
    assert_eq!(file.vectors.len(), 74);
    file.vectors
}

fn encoding(calculators_word: &str) -> Encoding {
    match calculators_word {
        "GSM-7" => Encoding::Gsm7,
        "UCS-2" => Encoding::Ucs2,
        other => panic!("unknown encoding {other}"),
    }
}

#[test]
fn measure_agrees_with_the_calculator() {
    for vector in vectors() {
        let expected = Segmentation {
            encoding: encoding(&vector.encoding),
            units: vector.units,
            segments: vector.segments,
        };
        assert_eq!(measure(&vector.text), expected, "{}", vector.name);
    }
}

#[test]
fn split_cuts_where_the_calculator_cuts() {
    for vector in vectors() {
        assert_eq!(split(&vector.text), vector.segment_texts, "{}", vector.name);
    }
}

#[test]
fn each_segment_has_as_many_units_as_the_calculators() {
    for vector in vectors() {
        let units = split(&vector.text).into_iter().map(|segment| match encoding(&vector.encoding) {
            Encoding::Gsm7 => measure(segment).units,
            Encoding::Ucs2 => segment.encode_utf16().count(),
        });
        assert_eq!(units.collect::<Vec<_>>(), vector.units_per_segment, "{}", vector.name);
    }
}

#[test]
fn transliterated_texts_measure_as_smart_encoded_ones() {
    let is_departure = |vector: &Vector| DEPARTURES.iter().any(|(name, ..)| *name == vector.name);
    for vector in vectors().into_iter().filter(|vector| !is_departure(vector)) {
        let expected = Segmentation {
            encoding: encoding(&vector.smart_encoded.encoding),
            units: vector.smart_encoded.units,
            segments: vector.smart_encoded.segments,
        };
        assert_eq!(measure(&transliterate(&vector.text)), expected, "{}", vector.name);
    }
}

#[test]
fn where_we_depart_from_smart_encoding_a_space_is_one_space() {
    let vectors = vectors();
    for (name, text, units) in DEPARTURES {
        let vector = vectors.iter().find(|vector| vector.name == name).unwrap();
        assert_eq!(transliterate(&vector.text), text);
        assert_eq!(measure(text).units, units);
        assert_ne!(vector.smart_encoded.units, units, "{name} is no departure any more");
    }
}
