//! Which quotas may be there.
//!
//! Most quotas that a message draws on are new: nobody has sent to that receiver today. To find that out in the table costs more
//! than the draw. So the writer keeps a Bloom filter of all that were drawn: what is not in it is not in the table.

/// Bits of the filter, a power of two: a mebibyte. For a million quotas it is wrong three times in a hundred.
const BITS: u64 = 1 << 23;

/// Bits of a word, and how many words that makes.
const WORD: u64 = 64;
const WORDS: usize = 1 << 17;

/// Bits that are set for each.
const MARKS: u64 = 4;

/// How many are read to fill it, and how many it is good for.
pub(super) const MANY: usize = 1_000_000;

/// A set that may hold more than was added, but never less.
#[derive(Debug)]
pub(super) struct Known {
    words: Vec<u64>,
    added: usize,
}

impl Known {
    pub(super) fn new() -> Self {
        Self { words: vec![0; WORDS], added: 0 }
    }

    pub(super) fn add(&mut self, quota: i64) {
        let mut is_new = false;
        for (word, bit) in marks(quota) {
            is_new |= self.words[word] & bit == 0;
            self.words[word] |= bit;
        }
        self.added += usize::from(is_new);
    }

    pub(super) fn may_hold(&self, quota: i64) -> bool {
        marks(quota).all(|(word, bit)| self.words[word] & bit != 0)
    }

    /// Whether so much was added that it says little.
    pub(super) fn is_worn(&self) -> bool {
        self.added > MANY
    }
}

/// Word and bit of each mark. Quotas are named by hashes; the product spreads those of tests too.
fn marks(quota: i64) -> impl Iterator<Item = (usize, u64)> {
    let mixed = quota.cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = mixed ^ (mixed >> 29);
    let (first, step) = (mixed >> 32, (mixed & u64::from(u32::MAX)) | 1);
    (0..MARKS).map(move |n| {
        let bit = (first + step * n) % BITS;
        (usize::try_from(bit / WORD).unwrap_or_default(), 1 << (bit % WORD))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_held_and_little_else_until_it_is_worn() {
        let mut known = Known::new();
        // Numbers one behind the other are what a hash would not be.
        let all = i64::try_from(MANY).unwrap();
        (0..all).for_each(|quota| known.add(quota));
        assert!((0..all).all(|quota| known.may_hold(quota)));
        assert!(!known.is_worn());
        let wrong = (all..2 * all).filter(|quota| known.may_hold(*quota)).count();
        assert!(wrong < MANY / 20, "{wrong}");
        (all..2 * all).for_each(|quota| known.add(quota));
        assert!(known.is_worn());
    }
}
