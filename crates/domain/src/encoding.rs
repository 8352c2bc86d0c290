//! Which alphabet a text is sent in, and into how many segments it is cut.
//!
//! A segment is what carriers and providers charge for. A text in the GSM 7-bit alphabet fits 160 characters
//! into one; a single character outside of it turns the whole text into UCS-2, with 70. The count here is the
//! one that Twilio's message segment calculator shows: an estimate for prices and limits. What a provider
//! reports for a message is what it charges.

mod gsm7;
mod rewrite;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;

pub use self::rewrite::{to_nfc, transliterate};

/// Septets in a message of one segment: 140 octets are 1120 bits (3GPP TS 23.040, section 9.2.3.24).
pub const GSM7_SINGLE: usize = 160;
/// Septets in each segment of several: a header of 6 octets is taken off, which leaves 1072 bits (3GPP TS
/// 23.040, section 9.2.3.24.1, with an 8-bit reference).
pub const GSM7_PART: usize = 153;
/// UTF-16 code units in a message of one segment.
pub const UCS2_SINGLE: usize = 70;
/// UTF-16 code units in each segment of several.
pub const UCS2_PART: usize = 67;
/// The most segments that a message may take. Longer texts are cut apart or refused by networks.
pub const MAX_SEGMENTS: usize = 10;

/// The alphabet that a text is sent in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// The GSM 7-bit default alphabet with its extension table.
    Gsm7,
    /// UCS-2 by name and UTF-16 in fact: phones show emoji.
    Ucs2,
}

/// A text names no [`Encoding`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown encoding; known are gsm7, ucs2")]
pub struct EncodingError;

/// What a text takes to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Segmentation {
    /// The alphabet of all its segments.
    pub encoding: Encoding,
    /// Septets in GSM-7, where the characters of the extension table take two; UTF-16 code units in UCS-2.
    pub units: usize,
    /// How many segments; 1 for the empty text, which nobody should send.
    pub segments: usize,
}

impl Encoding {
    /// The word used in the API, the store, metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gsm7 => "gsm7",
            Self::Ucs2 => "ucs2",
        }
    }

    /// Units that fit into a message of one segment.
    pub const fn single_capacity(self) -> usize {
        match self {
            Self::Gsm7 => GSM7_SINGLE,
            Self::Ucs2 => UCS2_SINGLE,
        }
    }

    /// Units that fit into each segment of a longer message.
    pub const fn part_capacity(self) -> usize {
        match self {
            Self::Gsm7 => GSM7_PART,
            Self::Ucs2 => UCS2_PART,
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Encoding {
    type Err = EncodingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "gsm7" => Ok(Self::Gsm7),
            "ucs2" => Ok(Self::Ucs2),
            _ => Err(EncodingError),
        }
    }
}

/// Finds the encoding of a text, and counts its units and segments. The text is taken as it is: see
/// [`to_nfc`] and [`transliterate`] for what may be done to it first.
///
/// Segments are filled in order, and what must not be cut and does not fit goes to the next one whole. So a
/// division is wrong: 153 euro signs are 306 septets, but take three segments and not two.
pub fn measure(text: &str) -> Segmentation {
    measure_gsm7(text).unwrap_or_else(|| measure_ucs2(text))
}

/// The texts of the segments. Joined, they are the text.
///
/// Not cut are the two septets of an extension character, a surrogate pair, and (as in Twilio's calculator) a
/// grapheme cluster, such as an emoji with its skin tone or a letter with its accent.
pub fn split(text: &str) -> Vec<&str> {
    let Segmentation { encoding, segments, .. } = measure(text);
    if segments == 1 {
        return vec![text];
    }
    let mut packer = Packer::new(encoding);
    let mut texts = Vec::with_capacity(segments);
    let (mut start, mut end) = (0, 0);
    for_each_item(text, encoding, |item, units| {
        if packer.put(units) {
            texts.extend(text.get(start..end));
            start = end;
        }
        end += item.len();
    });
    texts.extend(text.get(start..));
    texts
}

/// The characters that keep a text out of GSM-7, with their places, counted in characters (Unicode scalar
/// values) from 0. None means that the text is sent in GSM-7.
pub fn offenders(text: &str) -> impl Iterator<Item = (usize, char)> {
    text.chars().enumerate().filter(|&(_, character)| gsm7::septets(character).is_none())
}

/// How many septets a character takes in GSM-7; `None` if it is not in it.
pub fn septets(character: char) -> Option<usize> {
    gsm7::septets(character)
}

/// Whether a character is in GSM-7.
pub fn is_gsm7(character: char) -> bool {
    gsm7::septets(character).is_some()
}

/// The one pass that nearly all texts need; `None` at the first character that is not GSM-7.
fn measure_gsm7(text: &str) -> Option<Segmentation> {
    let mut packer = Packer::new(Encoding::Gsm7);
    for character in text.chars() {
        packer.put(gsm7::septets(character)?);
    }
    Some(packer.finish())
}

fn measure_ucs2(text: &str) -> Segmentation {
    // Finding clusters is slow, and within one segment it doesn't matter where they are.
    let units = utf16_units(text);
    if units <= UCS2_SINGLE {
        return Segmentation { encoding: Encoding::Ucs2, units, segments: 1 };
    }
    let mut packer = Packer::new(Encoding::Ucs2);
    for_each_item(text, Encoding::Ucs2, |_, units| {
        packer.put(units);
    });
    packer.finish()
}

/// Calls `put` with each piece of the text that must not be cut, and its units.
fn for_each_item<'a>(text: &'a str, encoding: Encoding, mut put: impl FnMut(&'a str, usize)) {
    match encoding {
        Encoding::Gsm7 => {
            for character in pieces_of_one_character(text) {
                put(character, character.chars().filter_map(gsm7::septets).sum());
            }
        }
        Encoding::Ucs2 => {
            for cluster in text.graphemes(true) {
                let units = utf16_units(cluster);
                // CR LF is a cluster to Unicode, but two characters to a phone. And a cluster that no segment
                // can hold (accents piled up without end) has to be cut somewhere.
                if units > UCS2_PART || cluster == "\r\n" {
                    for character in pieces_of_one_character(cluster) {
                        put(character, utf16_units(character));
                    }
                } else {
                    put(cluster, units);
                }
            }
        }
    }
}

fn pieces_of_one_character(text: &str) -> impl Iterator<Item = &str> {
    text.char_indices().filter_map(|(at, character)| text.get(at..at + character.len_utf8()))
}

fn utf16_units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// Fills segments in order. It counts as if there were several, which holds until the end shows that one,
/// with no header in it, would do.
struct Packer {
    encoding: Encoding,
    units: usize,
    segments: usize,
    filled: usize,
}

impl Packer {
    fn new(encoding: Encoding) -> Self {
        Self { encoding, units: 0, segments: 1, filled: 0 }
    }

    /// Puts an item in; true if it opened a new segment.
    fn put(&mut self, units: usize) -> bool {
        self.units += units;
        self.filled += units;
        let is_full = self.filled > self.encoding.part_capacity();
        if is_full {
            self.segments += 1;
            self.filled = units;
        }
        is_full
    }

    fn finish(self) -> Segmentation {
        let fits_one = self.units <= self.encoding.single_capacity();
        let segments = if fits_one { 1 } else { self.segments };
        Segmentation { encoding: self.encoding, units: self.units, segments }
    }
}
