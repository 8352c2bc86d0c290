//! The circuit breaker of one route: it opens when the route fails, so that messages take another, and finds out
//! with single probes when the route works again.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Timestamp;

/// How long the result of a probe is waited for before another message may probe.
const PROBE_PATIENCE: Duration = Duration::from_secs(30);

/// How long a breaker that may be probed waits for a probe. Then it is closed as if it were new: too little goes this
/// way for anybody to find out otherwise.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(10);

/// Parts of the window in which outcomes are counted: what is kept is bounded by it.
const PARTS: u32 = 10;

/// When a breaker opens and closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Failures in a row that open it.
    pub failures_in_row: u32,
    /// Over how long outcomes are counted.
    pub window: Duration,
    /// Outcomes that a window must hold before their share counts.
    pub least: u32,
    /// Percent of failures in a window that open it.
    pub failure_percent: u32,
    /// How long it stays open at first. Doubled each time that a probe fails.
    pub first_open: Duration,
    /// How long it stays open at the longest.
    pub longest_open: Duration,
    /// Probes that must go well, one after the other, before it closes.
    pub probes: u32,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            failures_in_row: 3,
            window: Duration::from_secs(30),
            least: 20,
            failure_percent: 50,
            first_open: Duration::from_secs(5),
            // A probe is one message; waiting for long costs those whose only route has come back.
            longest_open: Duration::from_secs(10),
            probes: 2,
        }
    }
}

/// What a breaker lets pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Everything.
    Closed,
    /// Nothing.
    Open {
        /// When it last was closed.
        since: Timestamp,
        /// When it may be probed.
        until: Timestamp,
    },
    /// One probe at a time.
    HalfOpen {
        /// When it last was closed.
        since: Timestamp,
        /// Since when it may be probed.
        from: Timestamp,
    },
}

impl BreakerState {
    /// The state in a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
            Self::HalfOpen { .. } => "half_open",
        }
    }
}

/// The breaker of one route.
#[derive(Debug, Clone)]
pub struct Breaker {
    policy: BreakerPolicy,
    in_row: u32,
    parts: VecDeque<Part>,
    open: Option<Open>,
}

/// Outcomes of a part of the window.
#[derive(Debug, Clone, Copy)]
struct Part {
    begins: Timestamp,
    outcomes: u32,
    failures: u32,
}

/// A breaker that is not closed.
#[derive(Debug, Clone, Copy)]
struct Open {
    since: Timestamp,
    until: Timestamp,
    /// How long it stayed open last.
    length: Duration,
    good_probes: u32,
    /// When the probe under way began.
    probing_since: Option<Timestamp>,
}

impl Breaker {
    /// A closed one.
    pub fn new(policy: BreakerPolicy) -> Self {
        Self { policy, in_row: 0, parts: VecDeque::new(), open: None }
    }

    /// What it lets pass now.
    pub fn state(&self, now: Timestamp) -> BreakerState {
        match self.open {
            None => BreakerState::Closed,
            Some(Open { since, until, .. }) if now < until => BreakerState::Open { since, until },
            Some(Open { until, .. }) if now >= until.plus(FORGOTTEN_AFTER) => BreakerState::Closed,
            Some(Open { since, until, .. }) => BreakerState::HalfOpen { since, from: until },
        }
    }

    /// The route worked.
    pub fn success(&mut self, now: Timestamp) {
        self.forget(now);
        let is_half_open = matches!(self.state(now), BreakerState::HalfOpen { .. });
        match &mut self.open {
            None => {
                self.in_row = 0;
                self.count(false, now);
            }
            Some(open) if is_half_open => {
                open.good_probes += 1;
                open.probing_since = None;
                if open.good_probes >= self.policy.probes.max(1) {
                    *self = Self::new(self.policy);
                }
            }
            // The late answer to what was sent before it opened says nothing of now.
            Some(_) => {}
        }
    }

    /// The route failed.
    pub fn failure(&mut self, now: Timestamp) {
        self.forget(now);
        let is_half_open = matches!(self.state(now), BreakerState::HalfOpen { .. });
        match &mut self.open {
            None => {
                self.in_row = self.in_row.saturating_add(1);
                self.count(true, now);
                if self.in_row >= self.policy.failures_in_row.max(1) || self.fails_too_often() {
                    self.parts.clear();
                    let length = self.policy.first_open;
                    let until = now.plus(length);
                    self.open = Some(Open { since: now, until, length, good_probes: 0, probing_since: None });
                }
            }
            Some(open) if is_half_open => {
                open.length = open.length.saturating_mul(2).min(self.policy.longest_open);
                open.until = now.plus(open.length);
                open.good_probes = 0;
                open.probing_since = None;
            }
            Some(_) => {}
        }
    }

    /// Whether a message may be the probe now: the breaker is half-open and no other probe is under way.
    pub fn may_probe(&self, now: Timestamp) -> bool {
        let is_half_open = matches!(self.state(now), BreakerState::HalfOpen { .. });
        let under_way = self.open.and_then(|open| open.probing_since);
        is_half_open && under_way.is_none_or(|since| now.since(since) >= PROBE_PATIENCE)
    }

    /// Takes the one place of a probe; `false` if there is none.
    pub fn probe(&mut self, now: Timestamp) -> bool {
        let may_probe = self.may_probe(now);
        if let Some(open) = self.open.as_mut().filter(|_| may_probe) {
            open.probing_since = Some(now);
        }
        may_probe
    }

    fn forget(&mut self, now: Timestamp) {
        if self.open.is_some() && self.state(now) == BreakerState::Closed {
            *self = Self::new(self.policy);
        }
    }

    fn count(&mut self, failed: bool, now: Timestamp) {
        while self.parts.front().is_some_and(|part| now >= part.begins.plus(self.policy.window)) {
            self.parts.pop_front();
        }
        let length = self.policy.window / PARTS;
        let begin = Part { begins: now, outcomes: 0, failures: 0 };
        if self.parts.back().is_none_or(|part| now >= part.begins.plus(length)) {
            self.parts.push_back(begin);
        }
        if let Some(part) = self.parts.back_mut() {
            part.outcomes = part.outcomes.saturating_add(1);
            part.failures = part.failures.saturating_add(u32::from(failed));
        }
    }

    fn fails_too_often(&self) -> bool {
        let outcomes: u64 = self.parts.iter().map(|part| u64::from(part.outcomes)).sum();
        let failures: u64 = self.parts.iter().map(|part| u64::from(part.failures)).sum();
        outcomes >= u64::from(self.policy.least)
            && failures * 100 >= outcomes * u64::from(self.policy.failure_percent)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(0).plus(Duration::from_millis(millis))
    }

    fn opened_at_zero() -> Breaker {
        let mut breaker = Breaker::new(BreakerPolicy::default());
        (0..3).for_each(|_| breaker.failure(at(0)));
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        let mut breaker = Breaker::new(BreakerPolicy::default());
        breaker.failure(at(0));
        breaker.failure(at(1));
        breaker.success(at(2));
        breaker.failure(at(3));
        breaker.failure(at(4));
        assert_eq!(breaker.state(at(4)), BreakerState::Closed);
        breaker.failure(at(5));
        assert_eq!(breaker.state(at(5)), BreakerState::Open { since: at(5), until: at(5_005) });
    }

    #[test]
    fn half_of_enough_outcomes_open_it() {
        let mut breaker = Breaker::new(BreakerPolicy::default());
        for step in 0..10 {
            breaker.success(at(step * 10));
            assert_eq!(breaker.state(at(step * 10)), BreakerState::Closed);
            breaker.failure(at(step * 10 + 1));
        }
        assert!(matches!(breaker.state(at(100)), BreakerState::Open { .. }));
    }

    #[test]
    fn outcomes_older_than_the_window_do_not_count() {
        let mut breaker = Breaker::new(BreakerPolicy::default());
        for step in 0..30 {
            // A failure every five seconds, with a success after it: six of each in a window.
            breaker.failure(at(step * 5_000));
            breaker.success(at(step * 5_000 + 1));
        }
        assert_eq!(breaker.state(at(150_000)), BreakerState::Closed);
    }

    #[test]
    fn one_probe_at_a_time_and_two_good_ones_close_it() {
        let mut breaker = opened_at_zero();
        assert!(!breaker.probe(at(4_999)));
        let half_open = BreakerState::HalfOpen { since: at(0), from: at(5_000) };
        assert_eq!(breaker.state(at(5_000)), half_open);
        assert!(breaker.probe(at(5_000)));
        assert!(!breaker.probe(at(5_001)));
        breaker.success(at(5_100));
        assert_eq!(breaker.state(at(5_100)), half_open);
        assert!(breaker.probe(at(5_101)));
        breaker.success(at(5_200));
        assert_eq!(breaker.state(at(5_200)), BreakerState::Closed);
    }

    #[test]
    fn each_probe_that_fails_doubles_the_time_that_it_stays_open() {
        let policy = BreakerPolicy { longest_open: Duration::from_mins(1), ..BreakerPolicy::default() };
        let mut breaker = Breaker::new(policy);
        (0..3).for_each(|_| breaker.failure(at(0)));
        for (probed, until) in [(5, 15), (15, 35), (35, 75), (75, 135), (135, 195)] {
            assert!(breaker.probe(at(probed * 1_000)));
            breaker.failure(at(probed * 1_000));
            let state = BreakerState::Open { since: at(0), until: at(until * 1_000) };
            assert_eq!(breaker.state(at(probed * 1_000)), state);
        }
    }

    #[test]
    fn a_probe_whose_result_never_comes_gives_up_its_place() {
        let mut breaker = opened_at_zero();
        assert!(breaker.probe(at(5_000)));
        assert!(!breaker.probe(at(34_999)));
        assert!(breaker.probe(at(35_000)));
    }

    #[test]
    fn a_route_that_nothing_goes_by_is_not_held_for_failing_for_ever() {
        let mut breaker = opened_at_zero();
        assert_eq!(breaker.state(at(605_000)), BreakerState::Closed);
        breaker.failure(at(605_000));
        assert_eq!(breaker.state(at(605_000)), BreakerState::Closed, "it begins anew");
    }

    #[test]
    fn late_answers_to_what_left_before_it_opened_change_nothing() {
        let mut breaker = opened_at_zero();
        let before = breaker.state(at(100));
        breaker.success(at(100));
        breaker.failure(at(100));
        assert_eq!(breaker.state(at(100)), before);
    }

    proptest! {
        #[test]
        fn it_never_stays_open_longer_than_allowed_and_keeps_little(
            steps in proptest::collection::vec((0..20_000_u64, any::<bool>()), 1..200),
        ) {
            let mut breaker = Breaker::new(BreakerPolicy::default());
            let mut now = 0;
            for (step, works) in steps {
                now += step;
                if works { breaker.success(at(now)) } else { breaker.failure(at(now)) }
                if let BreakerState::Open { until, .. } = breaker.state(at(now)) {
                    prop_assert!(until <= at(now + 60_000));
                }
                prop_assert!(breaker.parts.len() <= PARTS as usize + 1);
            }
        }
    }
}
