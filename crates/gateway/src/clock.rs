//! The one real clock, for whoever runs a service. Tests turn one of their own by hand.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use domain::time::{Clock, Sleep, Timestamp};

/// Longest sleep at a stretch: after it the time is read again, which may have been set, or have gone on while the
/// machine was suspended.
const NAP: Duration = Duration::from_secs(5);

/// The system's time, cut to microseconds, that never goes back.
///
/// It runs with the machine's steady clock from the time that the system had at the start. When the system's time
/// is set forward, it follows. When that is set back, it goes on: a rate that is counted in seconds would stand
/// still otherwise, and what was accepted would not be due for as long.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
    /// What must be added to the time since the start, in microseconds.
    offset: AtomicI64,
}

impl SystemClock {
    /// A clock that starts with the system's time.
    #[expect(clippy::disallowed_methods, reason = "this is the one home of the real clock")]
    pub fn new() -> Self {
        Self { started: Instant::now(), offset: AtomicI64::new(system_time()) }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let steady = i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX);
        let wanted = system_time().saturating_sub(steady);
        let offset = self.offset.fetch_max(wanted, Ordering::Relaxed).max(wanted);
        Timestamp::from_micros(offset.saturating_add(steady))
    }

    fn sleep_until(&self, moment: Timestamp) -> Sleep<'_> {
        Box::pin(async move {
            loop {
                let left = moment.since(self.now());
                if left.is_zero() {
                    break;
                }
                tokio::time::sleep(left.min(NAP)).await;
            }
        })
    }
}

/// Microseconds since 1970 by the system's clock.
#[expect(clippy::disallowed_methods, reason = "this is the one home of the real clock")]
fn system_time() -> i64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_time_that_was_set_forward_is_followed_and_one_set_back_is_not() {
        let clock = SystemClock::new();
        let first = clock.now();
        clock.offset.fetch_sub(3_600_000_000, Ordering::Relaxed);
        assert!(clock.now() >= first);
        clock.offset.fetch_add(3_600_000_000, Ordering::Relaxed);
        assert!(clock.now().since(first) >= Duration::from_mins(59));
    }
}
