//! What is counted, and in which stretches of time.

use std::time::Duration;

use crate::scenario::closed_set;
use crate::time::Timestamp;

/// Codes. Signed: what is taken back after it was written down is added as less than nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Let pass.
    pub sent: i64,
    /// Of these, from callers that say which codes are verified.
    pub expected: i64,
    /// Said to be verified.
    pub verified: i64,
    /// Found suspicious. They are not among those that were sent, also where they were let pass: so what the guard
    /// decides in shadow is what it would decide if it refused.
    pub suspected: i64,
}

impl Count {
    /// Nothing.
    pub const NONE: Self = Self { sent: 0, expected: 0, verified: 0, suspected: 0 };

    /// Both together.
    pub const fn plus(self, other: Self) -> Self {
        Self {
            sent: self.sent.saturating_add(other.sent),
            expected: self.expected.saturating_add(other.expected),
            verified: self.verified.saturating_add(other.verified),
            suspected: self.suspected.saturating_add(other.suspected),
        }
    }

    /// Without the other.
    pub const fn minus(self, other: Self) -> Self {
        Self {
            sent: self.sent.saturating_sub(other.sent),
            expected: self.expected.saturating_sub(other.expected),
            verified: self.verified.saturating_sub(other.verified),
            suspected: self.suspected.saturating_sub(other.suspected),
        }
    }

    /// Whether there is nothing.
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// Each of its numbers after this change, none below zero.
    fn each(self, change: impl Fn(i64) -> i64) -> Self {
        Self {
            sent: change(self.sent).max(0),
            expected: change(self.expected).max(0),
            verified: change(self.verified).max(0),
            suspected: change(self.suspected).max(0),
        }
    }

    /// Without numbers below zero, which a taken back message may leave for a moment.
    pub(super) fn positive(self) -> Self {
        self.each(|number| number)
    }

    /// The part of it that is `part` of `whole`, rounded down.
    pub(super) fn part(self, part: i64, whole: i64) -> Self {
        self.each(|number| {
            let scaled = i128::from(number) * i128::from(part) / i128::from(whole.max(1));
            i64::try_from(scaled).unwrap_or(i64::MAX)
        })
    }
}

closed_set! {
    /// The stretches of time in which is counted.
    Grain ("grain") {
        /// A minute.
        Minute => "minute",
        /// An hour.
        Hour => "hour",
        /// A day of UTC.
        Day => "day",
    }
}

/// One stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket {
    /// How long it is.
    pub grain: Grain,
    /// Which one, counted from 1970.
    pub number: i64,
}

impl Grain {
    /// How long a stretch is.
    pub const fn length(self) -> Duration {
        match self {
            Self::Minute => Duration::from_mins(1),
            Self::Hour => Duration::from_hours(1),
            Self::Day => Duration::from_hours(24),
        }
    }

    /// How long a stretch is, in microseconds.
    pub(super) const fn micros(self) -> i64 {
        self.length().as_secs().cast_signed() * 1_000_000
    }

    /// The stretch that this moment is in.
    pub const fn at(self, now: Timestamp) -> Bucket {
        Bucket { grain: self, number: now.as_micros().div_euclid(self.micros()) }
    }

    /// How much of the stretch that this moment is in is still to come, in microseconds.
    pub(super) const fn left(self, now: Timestamp) -> i64 {
        self.micros() - now.as_micros().rem_euclid(self.micros())
    }
}
