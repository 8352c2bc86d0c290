//! A clock that stands still until it is moved.

use std::time::Duration;

use domain::time::{Clock, Sleep, Timestamp};
use tokio::sync::watch;

/// A [`Clock`] for tests: it shows what it was set to, and wakes those who sleep until then.
///
/// Share it in an `Arc`: the gateway reads it, the test moves it. Who begins to sleep until a moment that the
/// clock has reached is awake at once, so nothing depends on whether the sleep or the move comes first.
#[derive(Debug)]
pub struct FakeClock {
    now: watch::Sender<Timestamp>,
}

impl FakeClock {
    /// Where a new clock stands: 2026-11-23T08:30:00Z, a Monday morning in Nairobi.
    pub const START: Timestamp = Timestamp::from_micros(1_795_422_600_000_000);

    /// A clock that stands at [`Self::START`].
    pub fn new() -> Self {
        Self::at(Self::START)
    }

    /// A clock that stands at `now`.
    pub fn at(now: Timestamp) -> Self {
        Self { now: watch::Sender::new(now) }
    }

    /// Moves the clock forward, and tells where it stands then.
    pub fn advance(&self, by: Duration) -> Timestamp {
        self.now.send_modify(|now| *now = now.plus(by));
        self.now()
    }

    /// Puts the clock to `now`, be it earlier or later.
    pub fn set(&self, now: Timestamp) {
        self.now.send_replace(now);
    }

    /// How many are asleep by this clock at present.
    pub fn sleepers(&self) -> usize {
        self.now.receiver_count()
    }
}

impl Default for FakeClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        *self.now.borrow()
    }

    fn sleep_until(&self, moment: Timestamp) -> Sleep<'_> {
        let mut shown = self.now.subscribe();
        Box::pin(async move {
            // It fails only when the clock is gone, and the clock is borrowed here.
            let _ = shown.wait_for(|now| *now >= moment).await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stands_still_until_it_is_moved() {
        let clock = FakeClock::new();
        assert_eq!(clock.now().to_string(), "2026-11-23T08:30:00.000Z");
        assert_eq!(clock.now(), FakeClock::START);

        clock.advance(Duration::from_secs(90));
        assert_eq!(clock.now().to_string(), "2026-11-23T08:31:30.000Z");

        clock.set(FakeClock::START.minus(Duration::from_mins(1)));
        assert_eq!(clock.now().to_string(), "2026-11-23T08:29:00.000Z");
    }

    #[tokio::test]
    async fn wakes_those_whose_moment_has_come_and_no_others() {
        use futures_util::FutureExt;

        let clock = FakeClock::new();
        let mut soon = clock.sleep_until(FakeClock::START.plus(Duration::from_secs(5)));
        let mut later = clock.sleep_until(FakeClock::START.plus(Duration::from_secs(9)));
        assert!((&mut soon).now_or_never().is_none());
        assert_eq!(clock.sleepers(), 2);

        clock.advance(Duration::from_secs(5));
        soon.await;
        assert!((&mut later).now_or_never().is_none());
        clock.sleep_until(FakeClock::START).await;
    }
}
