//! The most that any rendering of a text takes to send.
//!
//! In GSM-7 a segment of several holds 153 septets, and 152 where the two septets of an extension character might be cut.
//! In UCS-2 it holds 67 units, but a cluster that does not fit goes to the next segment whole: so each segment but the last
//! holds at least 68 less the largest cluster. Where clusters have no such bound, any two neighbors still hold more than 67
//! together, or the second one's first cluster would have been put into the first.

use unicode_segmentation::UnicodeSegmentation;

use super::text::Piece;
use super::variable::{Extent, LARGEST_CLUSTER};
use crate::encoding::{self, Encoding, GSM7_PART, GSM7_SINGLE, Segmentation, UCS2_PART, UCS2_SINGLE};

/// A part of a text with the room that it takes.
pub(super) enum Sized<'a> {
    Literal(&'a str),
    Variable(Extent),
}

/// The worst case of a text.
pub(super) fn worst(pieces: &[Sized<'_>]) -> Segmentation {
    let literals = || {
        pieces.iter().filter_map(|piece| match piece {
            Sized::Literal(text) => Some(*text),
            Sized::Variable(_) => None,
        })
    };
    let extents = || {
        pieces.iter().filter_map(|piece| match piece {
            Sized::Variable(extent) => Some(extent),
            Sized::Literal(_) => None,
        })
    };
    let in_gsm7 = literals().flat_map(str::chars).map(encoding::septets).sum::<Option<usize>>();
    let gsm7 = in_gsm7.map(|septets| {
        let units = septets + extents().map(|extent| extent.septets).sum::<usize>();
        let doubles = extents().any(|extent| extent.doubles)
            || literals().flat_map(str::chars).any(|character| encoding::septets(character) == Some(2));
        let part = if doubles { GSM7_PART - 1 } else { GSM7_PART };
        let segments = if units <= GSM7_SINGLE { 1 } else { units.div_ceil(part) };
        Segmentation { encoding: Encoding::Gsm7, units, segments }
    });
    if let Some(gsm7) = gsm7
        && !extents().any(|extent| extent.leaves)
    {
        return gsm7;
    }
    let units = literals().flat_map(str::chars).map(char::len_utf16).sum::<usize>()
        + extents().map(|extent| extent.units).sum::<usize>();
    let several = in_ucs2(units, largest_cluster(pieces)).max(gsm7.map_or(1, |gsm7| gsm7.segments));
    Segmentation { encoding: Encoding::Ucs2, units, segments: several }
}

fn in_ucs2(units: usize, largest_cluster: Option<usize>) -> usize {
    if units <= UCS2_SINGLE {
        return 1;
    }
    let together = UCS2_PART + 1;
    let by_neighbors = units / together * 2 + usize::from(!units.is_multiple_of(together));
    let by_cluster = largest_cluster.map(|cluster| {
        let least = together.saturating_sub(cluster).max(1);
        1 + (units - 1) / least
    });
    by_cluster.map_or(by_neighbors, |segments| segments.min(by_neighbors))
}

/// The units of the largest cluster, if there is a bound: where no cluster can reach over a whole part of the text.
fn largest_cluster(pieces: &[Sized<'_>]) -> Option<usize> {
    let mut largest = 1;
    let mut before = 0;
    for piece in pieces {
        match piece {
            Sized::Literal(text) => {
                let clusters = || text.graphemes(true).map(|cluster| cluster.encode_utf16().count());
                let first = clusters().next().unwrap_or_default();
                largest = largest.max(clusters().max().unwrap_or_default()).max(before + first);
                if !text.chars().next_back().is_some_and(ends_plainly) {
                    return None;
                }
                before = 0;
            }
            Sized::Variable(extent) if extent.leaves => {
                if before > 0 {
                    return None;
                }
                before = LARGEST_CLUSTER;
                largest = largest.max(before);
            }
            // Letters and digits: nothing is written onto what follows them.
            Sized::Variable(_) => largest = largest.max(before + 1),
        }
    }
    Some(largest)
}

/// Whether no cluster goes on behind a character, unless with marks.
fn ends_plainly(character: char) -> bool {
    encoding::is_gsm7(character) || ('\u{2010}'..='\u{2027}').contains(&character)
}

/// The parts of a text with their extents, by what the variables say.
pub(super) fn sized(
    pieces: &[Piece],
    extent: impl Fn(&str, &[super::filter::Filter]) -> Option<Extent>,
) -> Vec<Sized<'_>> {
    let sized = pieces.iter().filter_map(|piece| match piece {
        Piece::Literal { text, .. } => Some(Sized::Literal(text.as_str())),
        Piece::Variable { name, filters, .. } => extent(name, filters).map(Sized::Variable),
    });
    sized.collect()
}
