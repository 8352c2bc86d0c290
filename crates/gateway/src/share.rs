//! This node's part of what all nodes share: of the rate of each provider's account.
//!
//! The rate is divided by the number of nodes that live. So that it is not exceeded while that number changes:
//!
//! - A new node claims nothing before the others have heard of it.
//! - A node that could not say that it lives for a while claims nothing: the others may have divided its part already.

use std::time::Duration;

use domain::time::Timestamp;
use parking_lot::Mutex;

/// How long a sign of life lets this node go on. After [`GONE_AFTER`] the others take its part: the rest is for clocks
/// that differ.
const HOLDS_FOR: Duration = Duration::from_secs(5);

/// Who has not been heard of for so long is gone.
pub(crate) const GONE_AFTER: Duration = Duration::from_secs(10);

/// After so long the others have heard of a new node: they ask every second.
const HEARD_AFTER: Duration = Duration::from_millis(2_500);

/// A node's part of what all share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    /// Its place among them, from 0.
    pub(crate) rank: u32,
    /// How many they are.
    pub(crate) of: u32,
}

impl Share {
    /// All of it.
    pub(crate) const WHOLE: Self = Self { rank: 0, of: 1 };

    /// The part of a number; the parts of all nodes add up to it.
    pub(crate) const fn part(self, whole: u32) -> u32 {
        whole / self.of + if self.rank < whole % self.of { 1 } else { 0 }
    }
}

/// What this node knows of itself and the others.
#[derive(Debug, Default)]
pub(crate) struct Nodes(Mutex<Option<Known>>);

#[derive(Debug, Clone, Copy)]
struct Known {
    share: Share,
    from: Timestamp,
    until: Timestamp,
}

impl Nodes {
    /// This node's part now; `None` while it must not claim anything.
    pub(crate) fn share(&self, now: Timestamp) -> Option<Share> {
        let known = (*self.0.lock())?;
        (known.from <= now && now < known.until).then_some(known.share)
    }

    /// For a store that no other node can serve.
    pub(crate) fn stay_alone(&self) {
        let (from, until) = (Timestamp::from_micros(i64::MIN), Timestamp::from_micros(i64::MAX));
        *self.0.lock() = Some(Known { share: Share::WHOLE, from, until });
    }

    /// Notes who lives. Answers whether this node's part has changed.
    pub(crate) fn hear(&self, rank: usize, of: usize, now: Timestamp) -> bool {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let share = Share { rank: number(rank), of: number(of).max(1) };
        let mut known = self.0.lock();
        let before = *known;
        // What was interrupted begins anew: the others may have thought that this node was gone.
        let goes_on = before.filter(|before| now < before.until);
        let is_alone = share.of == 1;
        let begins = if is_alone { now } else { now.plus(HEARD_AFTER) };
        let from = goes_on.map_or(begins, |before| before.from.min(begins));
        *known = Some(Known { share, from, until: now.plus(HOLDS_FOR) });
        before.is_none_or(|before| before.share != share || now >= before.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(0).plus(Duration::from_millis(millis))
    }

    #[test]
    fn the_parts_of_all_nodes_add_up() {
        for (whole, of) in [(1_000, 3), (10, 4), (1, 3), (0, 2), (7, 7), (5, 1)] {
            let parts: Vec<u32> = (0..of).map(|rank| Share { rank, of }.part(whole)).collect();
            assert_eq!(parts.iter().sum::<u32>(), whole, "{parts:?}");
            assert!(parts.iter().max().unwrap() - parts.iter().min().unwrap() <= 1, "{parts:?}");
        }
    }

    #[test]
    fn a_node_alone_begins_at_once_and_one_that_joins_waits_to_be_heard_of() {
        let alone = Nodes::default();
        assert_eq!(alone.share(at(0)), None);
        alone.hear(0, 1, at(0));
        assert_eq!(alone.share(at(0)), Some(Share::WHOLE));
        let joining = Nodes::default();
        joining.hear(1, 2, at(0));
        assert_eq!(joining.share(at(2_499)), None);
        joining.hear(1, 2, at(1_000));
        assert_eq!(joining.share(at(2_500)), Some(Share { rank: 1, of: 2 }));
    }

    #[test]
    fn a_node_that_could_not_say_that_it_lives_claims_nothing_and_joins_anew() {
        let nodes = Nodes::default();
        nodes.hear(0, 1, at(0));
        assert_eq!(nodes.share(at(5_000)), None);
        assert!(nodes.hear(0, 2, at(6_000)));
        assert_eq!(nodes.share(at(6_000)), None);
        assert_eq!(nodes.share(at(8_500)), Some(Share { rank: 0, of: 2 }));
    }

    #[test]
    fn the_part_changes_at_once_when_a_node_joins_or_leaves() {
        let nodes = Nodes::default();
        nodes.hear(0, 1, at(0));
        assert!(nodes.hear(0, 2, at(1_000)));
        assert_eq!(nodes.share(at(1_000)), Some(Share { rank: 0, of: 2 }));
        assert!(!nodes.hear(0, 2, at(2_000)));
        assert!(nodes.hear(0, 1, at(3_000)));
        assert_eq!(nodes.share(at(3_000)), Some(Share::WHOLE));
    }
}
