//! Chance that repeats, and ids that do not.

use std::fmt::Write;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};

/// What all chance in a simulator comes from.
///
/// Draws are numbered, and each is a function of the seed and its number alone. So nothing is locked, and a run
/// that makes the same requests in the same order meets the same faults.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seed {
    seed: u64,
    salt: u64,
}

impl Seed {
    /// `salt` goes into ids only: a gateway's database outlives the simulator, so an id must not come again in
    /// the next run.
    pub(crate) fn new(seed: u64, salt: u64) -> Self {
        Self { seed, salt }
    }

    /// Whether draw `number` of the sort `sort` hits, at a chance of `rate` from 0 to 1.
    pub(crate) fn hits(self, rate: f64, sort: u64, number: u64) -> bool {
        rate > 0.0 && generator(self.seed, sort, number).random::<f64>() < rate
    }

    /// `prefix` and 32 hexadecimal digits, different for each `number`.
    pub(crate) fn id(self, prefix: &str, sort: u64, number: u64) -> String {
        let mut random = generator(self.seed ^ self.salt.rotate_left(32), sort, number);
        let mut id = String::with_capacity(prefix.len() + 32);
        // Writing to a String does not fail.
        let _ = write!(id, "{prefix}{:016x}{:016x}", random.next_u64(), random.next_u64());
        id
    }
}

fn generator(seed: u64, sort: u64, number: u64) -> Xoshiro256PlusPlus {
    // Numbers are small and sorts fewer than 2^16: different pairs give different states.
    Xoshiro256PlusPlus::seed_from_u64(seed ^ number ^ (sort << 48))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_same_seed_hits_the_same_draws() {
        let draws = |seed| -> Vec<bool> {
            (0..200).map(|number| Seed::new(seed, number).hits(0.3, 1, number)).collect()
        };
        assert_eq!(draws(7), draws(7));
        assert_ne!(draws(7), draws(8));
    }

    #[test]
    fn hits_about_as_often_as_asked() {
        let hits = |rate| (0..10_000).filter(|&number| Seed::new(1, 0).hits(rate, 2, number)).count();
        assert_eq!((hits(0.0), hits(1.0)), (0, 10_000));
        assert!((2_700..3_300).contains(&hits(0.3)), "{}", hits(0.3));
    }

    #[test]
    fn ids_differ_between_numbers_and_between_runs() {
        let ids: HashSet<String> = [Seed::new(1, 5), Seed::new(1, 6)]
            .iter()
            .flat_map(|seed| (0..1_000).map(|number| seed.id("SM", 3, number)))
            .collect();
        assert_eq!(ids.len(), 2_000);
        assert!(ids.iter().all(|id| id.len() == 34 && id.starts_with("SM")));
    }
}
