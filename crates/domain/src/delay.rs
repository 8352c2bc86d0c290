//! What the receipts of one route normally do: learned, so that silence can mean something.
//!
//! A histogram with logarithmic buckets, in which each new sample makes all older ones count for a little less. What is
//! trusted is kept for each bucket: a route may report nothing within seconds and everything within minutes, and each
//! scenario asks about a time of its own.

use std::time::Duration;

/// Each doubling of a delay has this many buckets, so a bucket's bounds are at most an eighth apart.
const STEPS: usize = 8;
/// Buckets in all. The last takes every delay of 35 hours and more.
const BUCKETS: usize = 200;
/// What a sample still counts for after the next one. A hundred samples later it is about a third.
const KEPT: f64 = 0.99;
/// What 20 samples in a row count for together, a little rounded down.
const ENOUGH: f64 = 18.2;
/// Share of receipts in time from which a route counts as one that reports, and below which it does not any more.
/// Two limits, so that a route at the limit does not change all the time.
const TRUSTED_FROM: f64 = 0.90;
const TRUSTED_TO: f64 = 0.75;

/// The delays of one route's receipts, with little memory and for a little while.
#[derive(Debug, Clone)]
pub struct ReceiptDelays {
    /// Receipts by their delay.
    reported: [f64; BUCKETS],
    /// Messages without a receipt by how long they were waited for.
    missing: [f64; BUCKETS],
    /// Whether receipts normally come before the bucket begins.
    trusted: [bool; BUCKETS],
}

impl Default for ReceiptDelays {
    fn default() -> Self {
        Self { reported: [0.0; BUCKETS], missing: [0.0; BUCKETS], trusted: [false; BUCKETS] }
    }
}

impl ReceiptDelays {
    /// A receipt came, this long after the message had been taken.
    pub fn reported(&mut self, delay: Duration) {
        self.fade();
        self.reported[bucket(delay)] += 1.0;
        self.judge();
    }

    /// No receipt came for as long as it was waited for.
    pub fn missing(&mut self, waited: Duration) {
        self.fade();
        self.missing[bucket(waited)] += 1.0;
        self.judge();
    }

    /// Whether receipts normally come within half of `limit`, so that a message without one by then is a message
    /// that something happened to.
    ///
    /// It becomes true when 90 % of at least 20 recent messages were reported in that time, and stays so until fewer
    /// than 75 % are. What was waited for less says nothing either way. A delay in the same bucket as half of `limit`
    /// counts as late: the answer errs towards waiting.
    pub fn normally_within(&mut self, limit: Duration) -> bool {
        self.trusted[bucket(limit / 2)]
    }

    /// The delay within which this percent of the recent messages were reported, rounded up to its bucket's end.
    /// `None` if fewer were reported at all.
    pub fn percentile(&self, percent: u32) -> Option<Duration> {
        let all: f64 = self.reported.iter().chain(&self.missing).sum();
        // Sums in different orders differ in their last digits, which is no difference.
        let wanted = all * f64::from(percent.min(100)) / 100.0 - 1e-6;
        let mut sum = 0.0;
        let found = self.reported.iter().position(|weight| {
            sum += weight;
            sum > 0.0 && sum >= wanted
        });
        found.map(end_of)
    }

    fn fade(&mut self) {
        self.reported.iter_mut().chain(&mut self.missing).for_each(|weight| *weight *= KEPT);
    }

    /// Decides for each bucket with every sample: decided when asked, the answer would depend on who asked before.
    fn judge(&mut self) {
        let mut known: f64 = self.reported.iter().chain(&self.missing).sum();
        let mut in_time = 0.0;
        for index in 0..BUCKETS {
            let least = if self.trusted[index] { TRUSTED_TO } else { TRUSTED_FROM };
            self.trusted[index] = known >= ENOUGH && in_time >= least * known;
            in_time += self.reported[index];
            known -= self.missing[index];
        }
    }
}

/// The bucket of a delay: its number of binary digits, and the three after the first of them.
fn bucket(delay: Duration) -> usize {
    let millis = usize::try_from(delay.as_millis()).unwrap_or(usize::MAX);
    let doublings = millis.checked_ilog2().and_then(|digits| digits.checked_sub(STEPS.ilog2()));
    doublings
        .map_or(millis, |doublings| (doublings as usize * STEPS + (millis >> doublings)).min(BUCKETS - 1))
}

/// Where a bucket ends, and the next begins.
fn end_of(bucket: usize) -> Duration {
    let next = bucket + 1;
    let doublings = (next / STEPS).saturating_sub(1);
    let millis = (next - doublings * STEPS) << doublings;
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: Duration = Duration::from_mins(1);
    const SOON: Duration = Duration::from_secs(4);

    fn after(reported: usize) -> ReceiptDelays {
        let mut delays = ReceiptDelays::default();
        (0..reported).for_each(|_| delays.reported(SOON));
        delays
    }

    #[test]
    fn nothing_is_normal_before_twenty_samples_are_known() {
        assert!(!after(19).normally_within(LIMIT));
        assert!(after(20).normally_within(LIMIT));
    }

    #[test]
    fn receipts_must_come_within_half_of_the_limit() {
        let mut delays = after(200);
        assert!(delays.normally_within(SOON * 3));
        assert!(!delays.normally_within(SOON));
        assert!(!delays.normally_within(Duration::ZERO));
    }

    #[test]
    fn a_route_that_never_reports_is_never_trusted() {
        let mut silent = ReceiptDelays::default();
        (0..1_000).for_each(|_| silent.missing(LIMIT));
        assert!(!silent.normally_within(LIMIT));
    }

    #[test]
    fn trust_comes_at_90_percent_and_goes_below_75() {
        let mut delays = ReceiptDelays::default();
        let mut spread = |missing_of_20: usize| {
            for step in (0..50).flat_map(|_| 0..20) {
                if step < missing_of_20 { delays.missing(LIMIT) } else { delays.reported(SOON) }
            }
            delays.normally_within(LIMIT)
        };
        assert!(!spread(3), "85 %, and never trusted");
        assert!(spread(1), "95 %");
        assert!(spread(3), "85 %, and still trusted");
        assert!(!spread(7), "65 %");
        assert!(!spread(3), "85 %, and no longer trusted");
    }

    #[test]
    fn an_outage_of_receipts_ends_the_trust_after_some_dozens() {
        let mut delays = after(10_000);
        let ended = (1..1_000).find(|_| {
            delays.missing(LIMIT);
            !delays.normally_within(LIMIT)
        });
        assert_eq!(ended, Some(29));
    }

    #[test]
    fn a_wait_that_was_short_says_nothing_of_a_long_one() {
        let mut delays = after(100);
        (0..60).for_each(|_| delays.missing(SOON * 2));
        assert!(delays.normally_within(LIMIT));
        assert!(!delays.normally_within(SOON * 3));
    }

    #[test]
    fn percentiles_are_of_all_messages_reported_or_not() {
        let mut delays = ReceiptDelays::default();
        assert_eq!(delays.percentile(50), None);
        for _ in 0..60 {
            delays.reported(Duration::from_secs(2));
            delays.reported(SOON);
            delays.missing(LIMIT);
        }
        let within = |percent| delays.percentile(percent).map(|delay| delay.as_millis());
        assert_eq!((within(30), within(60), within(75)), (Some(2_048), Some(4_096), None));
    }

    proptest! {
        #[test]
        fn a_delay_lies_in_its_bucket_which_is_narrow(millis in 0..1_u64 << 27) {
            let delay = Duration::from_millis(millis);
            let index = bucket(delay);
            let begins = index.checked_sub(1).map_or(Duration::ZERO, end_of);
            prop_assert!(begins <= delay && delay < end_of(index));
            prop_assert!(end_of(index).abs_diff(begins).as_millis() <= (u128::from(millis) / 8).max(1));
        }

        #[test]
        fn a_longer_delay_is_in_no_earlier_bucket(one: Duration, other: Duration) {
            let (short, long) = (bucket(one.min(other)), bucket(one.max(other)));
            prop_assert!(short <= long && long < BUCKETS);
        }

        #[test]
        fn a_longer_limit_is_kept_if_a_shorter_one_is(
            samples in proptest::collection::vec((any::<bool>(), 0..120_000_u64), 0..300),
            (one, other) in (0..240_000_u64, 0..240_000_u64),
        ) {
            let mut delays = ReceiptDelays::default();
            for (came, millis) in samples {
                if came { delays.reported(Duration::from_millis(millis)) } else { delays.missing(LIMIT * 60) }
            }
            let mut kept = |millis| delays.normally_within(Duration::from_millis(millis));
            prop_assert!(!kept(one.min(other)) || kept(one.max(other)));
        }
    }
}
