//! How much of something may be used over time, by all nodes together.
//!
//! All that is kept of a quota is one number. For a rate it is the time at which it would be as if nothing had ever been
//! used (GCRA, ITU-T I.371: the "theoretical arrival time"); for a cap it is what was used. So any store can keep it, and
//! what is decided depends on nothing but that number and the present.

use std::time::Duration;

use crate::time::Timestamp;

/// What is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowance {
    /// So many at once, and again one for each part of the period: five an hour are five now, and one every twelve
    /// minutes. In any period no more than twice as many, less one.
    Rate {
        /// How many in a period.
        limit: u32,
        /// How long it is.
        period: Duration,
    },
    /// So much in all, until it ends.
    Cap {
        /// How much.
        most: i64,
        /// When what was used counts no more.
        ends: Timestamp,
    },
}

/// A part of a quota that somebody wants to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// Which quota: a keyed hash of what it is for.
    pub quota: i64,
    /// What it allows.
    pub allowance: Allowance,
    /// How much is wanted: messages of a rate, of a cap whatever it counts.
    pub amount: u64,
}

/// What a quota says to a draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drawn {
    /// There is enough.
    Granted {
        /// The number to keep.
        value: i64,
        /// How much is left.
        left: Left,
    },
    /// There is not enough.
    Refused {
        /// When there may be, if nobody else draws.
        again_at: Timestamp,
        /// The number to keep instead of one that no draw of now could have left.
        corrected: Option<i64>,
    },
}

/// How a quota stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// How much may be used now.
    pub remaining: u64,
    /// When all of it may be used again, if nobody draws.
    pub whole_at: Timestamp,
}

impl Draw {
    /// What a quota says whose number is this; `None` if nothing was ever drawn of it.
    pub fn on(&self, kept: Option<i64>, now: Timestamp) -> Drawn {
        match self.allowance {
            Allowance::Rate { limit, period } => self.on_rate(kept, limit, period, now),
            Allowance::Cap { most, ends } => {
                let value = kept.unwrap_or(0).saturating_add(self.wanted());
                if value > most {
                    return Drawn::Refused { again_at: ends, corrected: None };
                }
                let remaining = u64::try_from(most - value).unwrap_or(0);
                Drawn::Granted { value, left: Left { remaining, whole_at: ends } }
            }
        }
    }

    fn wanted(&self) -> i64 {
        i64::try_from(self.amount).unwrap_or(i64::MAX)
    }

    fn on_rate(&self, kept: Option<i64>, limit: u32, period: Duration, now: Timestamp) -> Drawn {
        let period = i64::try_from(period.as_micros()).unwrap_or(i64::MAX);
        let now = now.as_micros();
        let each = (period / i64::from(limit.max(1))).max(1);
        let full = now.saturating_add(period);
        // Further ahead than one that was just used up: a node's clock was ahead, or the rule's period was longer. Nobody
        // is shut out by it for longer than the rule says. It is for the store to keep, or each look would begin anew.
        let corrected = kept.is_some_and(|kept| kept > full).then_some(full);
        let begins = corrected.or(kept).map_or(now, |kept| kept.max(now));
        let value = begins.saturating_add(each.saturating_mul(self.wanted()));
        let over = value.saturating_sub(full);
        if over > 0 || limit == 0 {
            // What is wanted at once and is more than the whole will never be there.
            let wait = if limit == 0 { period } else { over };
            return Drawn::Refused { again_at: Timestamp::from_micros(now.saturating_add(wait)), corrected };
        }
        let remaining = u64::try_from((full - value) / each).unwrap_or(0);
        Drawn::Granted { value, left: Left { remaining, whole_at: Timestamp::from_micros(value) } }
    }

    /// When the number tells no more than none would: it need not be kept longer.
    pub fn forgotten_at(&self, value: i64) -> Timestamp {
        match self.allowance {
            Allowance::Rate { .. } => Timestamp::from_micros(value),
            Allowance::Cap { ends, .. } => ends,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(1_795_422_600_000_000 + seconds * 1_000_000)
    }

    fn codes() -> Draw {
        Draw { quota: 1, allowance: Allowance::Rate { limit: 5, period: HOUR }, amount: 1 }
    }

    /// Draws one, and keeps what is to be kept.
    fn draw(kept: &mut Option<i64>, draw: &Draw, now: Timestamp) -> Result<u64, Timestamp> {
        match draw.on(*kept, now) {
            Drawn::Granted { value, left } => {
                *kept = Some(value);
                Ok(left.remaining)
            }
            Drawn::Refused { again_at, corrected } => {
                *kept = corrected.or(*kept);
                Err(again_at)
            }
        }
    }

    #[test]
    fn five_an_hour_are_five_at_once_and_one_each_twelve_minutes() {
        let mut kept = None;
        let first: Vec<_> = (0..5).map(|_| draw(&mut kept, &codes(), at(0)).unwrap()).collect();
        assert_eq!(first, [4, 3, 2, 1, 0]);
        assert_eq!(draw(&mut kept, &codes(), at(0)), Err(at(720)));
        assert_eq!(draw(&mut kept, &codes(), at(719)), Err(at(720)));
        assert_eq!(draw(&mut kept, &codes(), at(720)), Ok(0));
        assert_eq!(draw(&mut kept, &codes(), at(720)), Err(at(1_440)));
        // A victim is never shut out for good: after an hour of rest all is there again.
        assert_eq!(draw(&mut kept, &codes(), at(720 + 3_600)), Ok(4));
    }

    #[test]
    fn a_refusal_costs_nothing() {
        let mut kept = None;
        for _ in 0..5 {
            draw(&mut kept, &codes(), at(0)).unwrap();
        }
        let full = kept;
        for second in 0..700 {
            draw(&mut kept, &codes(), at(second)).unwrap_err();
        }
        assert_eq!(kept, full);
    }

    #[test]
    fn a_cap_is_used_up_to_the_last_and_no_further() {
        let cap = Allowance::Cap { most: 10_000_000, ends: at(86_400) };
        let draw = |kept, amount| Draw { quota: 2, allowance: cap, amount }.on(kept, at(0));
        let Drawn::Granted { value, left } = draw(Some(9_980_000), 20_000) else {
            panic!("there was enough")
        };
        assert_eq!((value, left.remaining), (10_000_000, 0));
        assert_eq!(draw(Some(9_980_001), 20_000), Drawn::Refused { again_at: at(86_400), corrected: None });
    }

    #[test]
    fn a_limit_of_zero_lets_nothing_pass() {
        let none = Draw { allowance: Allowance::Rate { limit: 0, period: HOUR }, ..codes() };
        assert_eq!(none.on(None, at(0)), Drawn::Refused { again_at: at(3_600), corrected: None });
    }

    #[test]
    fn nobody_waits_longer_than_the_rule_says_because_a_clock_was_ahead_or_the_rule_was_another() {
        // Kept by a node whose clock was a day ahead: as if all of it had been used now.
        let mut kept = Some(at(86_400).as_micros());
        assert_eq!(draw(&mut kept, &codes(), at(0)), Err(at(720)));
        assert_eq!(draw(&mut kept, &codes(), at(720)), Ok(0));
        assert_eq!(draw(&mut kept, &codes(), at(720 + 3_600)), Ok(4));
        // Kept when it was five a day.
        let other =
            Draw { allowance: Allowance::Rate { limit: 5, period: Duration::from_hours(24) }, ..codes() };
        let mut kept = None;
        for _ in 0..5 {
            draw(&mut kept, &other, at(0)).unwrap();
        }
        assert_eq!(draw(&mut kept, &codes(), at(60)), Err(at(60 + 720)));
        assert_eq!(draw(&mut kept, &codes(), at(60 + 3_600)), Ok(4));
    }

    proptest! {
        #[test]
        fn no_period_lets_through_twice_the_limit(
            limit in 1..100_u32,
            steps in proptest::collection::vec(0..2_000_i64, 1..300),
        ) {
            let wanted = Draw { quota: 1, allowance: Allowance::Rate { limit, period: HOUR }, amount: 1 };
            let (mut kept, mut now, mut granted) = (None, 0, Vec::new());
            for step in steps {
                now += step;
                match draw(&mut kept, &wanted, at(now)) {
                    Ok(_) => granted.push(now),
                    // Told when, it is there then.
                    Err(again_at) => {
                        let is_there = matches!(wanted.on(kept, again_at), Drawn::Granted { .. });
                        prop_assert!(is_there);
                    }
                }
                let within = granted.iter().filter(|at| now - **at < 3_600).count();
                prop_assert!(within < 2 * limit as usize);
            }
        }

        #[test]
        fn whatever_is_kept_after_a_period_of_rest_all_is_there(
            limit in 1..100_u32, ahead in 0..1_000_000_i64, rest in 3_600..10_000_i64,
        ) {
            let wanted = Draw { quota: 1, allowance: Allowance::Rate { limit, period: HOUR }, amount: 1 };
            let mut kept = Some(at(ahead).as_micros());
            let _first = draw(&mut kept, &wanted, at(0));
            prop_assert_eq!(draw(&mut kept, &wanted, at(rest)), Ok(u64::from(limit) - 1));
        }
    }
}
