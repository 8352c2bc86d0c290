//! The time of day for processes that compare notes: in microseconds, and never backwards.

use std::time::SystemTime;

use tokio::time::Instant;

/// Shows Unix time in microseconds. The wall clock is read once; from then on only the monotonic clock counts, so
/// that a correction of the wall clock meanwhile distorts nothing. Two processes of one machine agree to within what
/// the wall clock was corrected by between their starts.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch {
    base_us: u64,
    started: Instant,
}

impl Stopwatch {
    /// Reads the wall clock.
    pub fn start() -> Self {
        #[expect(clippy::disallowed_methods, reason = "two processes compare what they saw by it")]
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { base_us: micros(since.as_micros()), started: Instant::now() }
    }

    /// Microseconds since 1970.
    pub fn unix_us(&self) -> u64 {
        self.base_us + self.since_start_us()
    }

    /// Microseconds since it was started.
    pub fn since_start_us(&self) -> u64 {
        micros(self.started.elapsed().as_micros())
    }
}

fn micros(micros: u128) -> u64 {
    u64::try_from(micros).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_of_one_machine_agree() {
        let (one, other) = (Stopwatch::start(), Stopwatch::start());
        assert!(one.unix_us().abs_diff(other.unix_us()) < 1_000_000);
        assert!(one.unix_us() > 1_700_000_000_000_000);
    }
}
