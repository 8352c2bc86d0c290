//! The one real clock, for whoever runs a service. Tests turn one of their own by hand.

use std::time::SystemTime;

use domain::time::{Clock, Sleep, Timestamp};

/// The system's time, cut to microseconds.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one home of the real clock")]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
    }

    fn sleep_until(&self, moment: Timestamp) -> Sleep<'_> {
        let pause = moment.since(self.now());
        Box::pin(tokio::time::sleep(pause))
    }
}
