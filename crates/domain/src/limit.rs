//! How much may pass in a stretch of time.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Timestamp;

/// A limit over every stretch of a given length: never more than `limit` pass within any `window`.
///
/// A token bucket lets its burst and its rate pass together, so up to twice the rate in one second; providers
/// count seconds. Time is an argument, so the limit can be tested and replayed. Passages within a thousandth of
/// the window are kept as one, which bounds the memory.
#[derive(Debug, Clone)]
pub struct SlidingWindow {
    limit: u32,
    window: Duration,
    passed: VecDeque<(Timestamp, u32)>,
    within: u32,
}

impl SlidingWindow {
    /// At most `limit` in any `window`. A limit of zero means none.
    pub fn new(limit: u32, window: Duration) -> Self {
        Self { limit, window, passed: VecDeque::new(), within: 0 }
    }

    /// How many may pass at `now`, if `share` percent of the limit are open to them; `u32::MAX` without a
    /// limit. What passes by a smaller share leaves the rest of the limit to those with a larger one.
    pub fn available(&mut self, share: u32, now: Timestamp) -> u32 {
        if self.limit == 0 {
            return u32::MAX;
        }
        self.forget(now);
        // A share never rounds down to nothing: a lane with a small one is slow, not shut.
        let open = (u64::from(self.limit) * u64::from(share.min(100))).div_ceil(100);
        u32::try_from(open).unwrap_or(u32::MAX).saturating_sub(self.within)
    }

    /// Changes the limit. What has passed goes on counting.
    pub fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
    }

    /// How many have passed within the window that ends at `now`.
    pub fn passed(&mut self, now: Timestamp) -> u32 {
        self.forget(now);
        self.within
    }

    /// Notes that `count` pass at `now`.
    pub fn pass(&mut self, count: u32, now: Timestamp) {
        if self.limit == 0 || count == 0 {
            return;
        }
        self.within = self.within.saturating_add(count);
        let grain = self.window / 1_000;
        match self.passed.back_mut() {
            Some((at, together)) if now.since(*at) < grain => {
                // Later than it was, never earlier: the limit errs to the safe side.
                *at = now.max(*at);
                *together = together.saturating_add(count);
            }
            _ => self.passed.push_back((now, count)),
        }
    }

    /// When some of what passed leaves the window, so that more may pass.
    pub fn frees_at(&self) -> Option<Timestamp> {
        self.passed.front().map(|(at, _)| at.plus(self.window))
    }

    fn forget(&mut self, now: Timestamp) {
        while let Some((at, count)) = self.passed.front() {
            if now < at.plus(self.window) {
                break;
            }
            self.within -= count;
            self.passed.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(0).plus(Duration::from_millis(millis))
    }

    #[test]
    fn what_has_passed_counts_for_a_whole_window() {
        let mut window = SlidingWindow::new(10, SECOND);
        assert_eq!(window.available(100, at(0)), 10);
        window.pass(4, at(0));
        window.pass(6, at(400));
        assert_eq!(window.available(100, at(999)), 0);
        assert_eq!(window.frees_at(), Some(at(1_000)));
        assert_eq!(window.available(100, at(1_000)), 4);
        assert_eq!(window.available(100, at(1_400)), 10);
    }

    #[test]
    fn a_smaller_share_leaves_room_for_a_larger_one() {
        let mut window = SlidingWindow::new(100, SECOND);
        window.pass(window.clone().available(95, at(0)), at(0));
        assert_eq!(window.available(95, at(1)), 0);
        assert_eq!(window.available(100, at(1)), 5);
    }

    #[test]
    fn a_small_share_of_a_small_limit_still_lets_one_pass() {
        assert_eq!(SlidingWindow::new(1, SECOND).available(5, at(0)), 1);
    }

    #[test]
    fn a_limit_of_zero_is_no_limit() {
        let mut window = SlidingWindow::new(0, SECOND);
        window.pass(1_000_000, at(0));
        assert_eq!((window.available(5, at(0)), window.frees_at()), (u32::MAX, None));
    }

    proptest! {
        #[test]
        fn no_window_ever_holds_more_than_the_limit(
            limit in 1..200_u32,
            steps in proptest::collection::vec((0..400_000_i64, 0..300_u32), 1..60),
        ) {
            let mut window = SlidingWindow::new(limit, SECOND);
            let (mut now, mut log) = (at(0), Vec::new());
            for (step, wanted) in steps {
                now = Timestamp::from_micros(now.as_micros() + step);
                let count = wanted.min(window.available(100, now));
                window.pass(count, now);
                log.push((now, count));
                let within: u32 = log.iter().filter(|(at, _)| now < at.plus(SECOND)).map(|(_, count)| count).sum();
                prop_assert!(within <= limit);
                prop_assert!(window.passed.len() <= 1_001);
            }
        }
    }
}
