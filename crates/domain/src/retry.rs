//! When to try again: exponential backoff with full jitter, and an end to it.

use std::time::Duration;

/// How often and how fast a submission that certainly did not leave is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The longest wait before the second try; doubled for each further one.
    pub base: Duration,
    /// The longest wait before any try.
    pub cap: Duration,
    /// How many tries in all.
    pub max_attempts: u16,
    /// How long after a message was due it is tried again at the latest.
    pub give_up_after: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(500),
            cap: Duration::from_mins(5),
            max_attempts: 500,
            give_up_after: Duration::from_hours(24),
        }
    }
}

impl RetryPolicy {
    /// How long to wait after try number `attempt` (from 1) failed, or `None` when no try is left.
    ///
    /// `jitter` is a random factor from 0 to 1. The wait is drawn from the whole interval ("full jitter"), so
    /// that messages that failed together don't come back together; a wait that the provider asked for is
    /// kept, with the jitter on top.
    pub fn wait(&self, attempt: u16, retry_after: Option<Duration>, jitter: f64) -> Option<Duration> {
        if attempt >= self.max_attempts {
            return None;
        }
        let doublings = u32::from(attempt.saturating_sub(1)).min(31);
        let ceiling = self.base.saturating_mul(1 << doublings).min(self.cap);
        let drawn = ceiling.mul_f64(jitter.clamp(0.0, 1.0));
        Some(retry_after.unwrap_or_default().saturating_add(drawn))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_the_cap() {
        let policy = RetryPolicy {
            base: Duration::from_secs(1),
            cap: Duration::from_secs(5),
            max_attempts: 6,
            ..RetryPolicy::default()
        };
        let waits = (1..=6).map(|attempt| policy.wait(attempt, None, 1.0).map(|wait| wait.as_secs()));
        assert_eq!(waits.collect::<Vec<_>>(), [Some(1), Some(2), Some(4), Some(5), Some(5), None]);
    }

    #[test]
    fn a_wait_that_the_provider_asked_for_is_kept() {
        let asked = Duration::from_secs(30);
        assert_eq!(RetryPolicy::default().wait(1, Some(asked), 0.0), Some(asked));
    }

    proptest! {
        #[test]
        fn a_wait_stays_within_its_bounds(attempt in 1..u16::MAX, jitter in -1.0..2.0_f64) {
            let policy = RetryPolicy { max_attempts: u16::MAX, ..RetryPolicy::default() };
            prop_assert!(policy.wait(attempt, None, jitter).unwrap() <= policy.cap);
        }
    }
}
