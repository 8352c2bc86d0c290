//! Whether somebody has the phone with a number: a one-time code is sent there, and checked when they type it in.
//!
//! A verification is pending until something ends it, and then it stays as it ended. Its code is right once. It has a few
//! checks: each examines one code and is used up by it, so that guessing ends long before it succeeds. What comes when
//! it has ended is not examined.

mod code;

pub use self::code::{Code, CodeError, CodeLength, CodeLengthError, LONGEST, SHORTEST};

use crate::scenario::closed_set;
use crate::time::Timestamp;

closed_set! {
    /// Where a verification stands.
    VerificationStatus ("status") {
        /// The code may be typed in.
        Pending => "pending",
        /// The right code was typed in, in time. Once.
        Approved => "approved",
        /// Its time ran out.
        Expired => "expired",
        /// Its checks were used up by wrong codes.
        Failed => "failed",
        /// Its caller ended it.
        Canceled => "canceled",
        /// A new code was asked for.
        Superseded => "superseded",
    }
}

impl VerificationStatus {
    /// Whether it has ended.
    pub const fn has_ended(self) -> bool {
        !matches!(self, Self::Pending)
    }

    /// Whether its code was at hand for as long as it should have been: what became of it tells whether it arrived. One that
    /// its caller ended tells nothing.
    pub const fn tells_of_route(self) -> bool {
        matches!(self, Self::Approved | Self::Expired | Self::Failed | Self::Superseded)
    }
}

/// Where a verification stands, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Where it stands.
    pub status: VerificationStatus,
    /// How many more codes are examined.
    pub checks_left: u16,
    /// When its time runs out.
    pub expires_at: Timestamp,
}

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Examined {
    /// It was the right code. Said once of a verification.
    Right,
    /// It was a wrong code.
    Wrong,
    /// It was not looked at: the verification had ended.
    Not,
}

impl Progress {
    /// A verification that begins.
    pub const fn begun(checks: u16, expires_at: Timestamp) -> Self {
        Self { status: VerificationStatus::Pending, checks_left: checks, expires_at }
    }

    /// Where it stands now: time may have passed that nobody has noted yet.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        self.ended(VerificationStatus::Pending, now)
    }

    /// Where it stands after a code was given to it. `is_right` is asked only if that code is examined.
    #[must_use]
    pub fn checked(self, is_right: impl FnOnce() -> bool, now: Timestamp) -> (Self, Examined) {
        let current = self.at(now);
        if current.status.has_ended() || current.checks_left == 0 {
            return (current, Examined::Not);
        }
        let checks_left = current.checks_left - 1;
        let (status, examined) = match (is_right(), checks_left) {
            (true, _) => (VerificationStatus::Approved, Examined::Right),
            (false, 0) => (VerificationStatus::Failed, Examined::Wrong),
            (false, _) => (VerificationStatus::Pending, Examined::Wrong),
        };
        (Self { status, checks_left, ..current }, examined)
    }

    /// Where it stands after its caller ended it.
    #[must_use]
    pub fn canceled(self, now: Timestamp) -> Self {
        self.ended(VerificationStatus::Canceled, now)
    }

    /// Where it stands after another code was asked for.
    #[must_use]
    pub fn superseded(self, now: Timestamp) -> Self {
        self.ended(VerificationStatus::Superseded, now)
    }

    /// What has ended stays so, and time goes before all else.
    fn ended(self, status: VerificationStatus, now: Timestamp) -> Self {
        match self.status {
            VerificationStatus::Pending if now >= self.expires_at => {
                Self { status: VerificationStatus::Expired, ..self }
            }
            VerificationStatus::Pending => Self { status, ..self },
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_795_422_600_123_456);

    fn begun() -> Progress {
        Progress::begun(5, NOW.plus(Duration::from_mins(10)))
    }

    #[test]
    fn the_right_code_is_right_once() {
        let (approved, examined) = begun().checked(|| true, NOW);
        assert_eq!((approved.status, examined), (VerificationStatus::Approved, Examined::Right));
        let never = || -> bool { panic!("examined") };
        assert_eq!(approved.checked(never, NOW), (approved, Examined::Not));
        assert_eq!(approved.canceled(NOW), approved);
        assert_eq!(approved.at(NOW.plus(Duration::from_hours(1))), approved);
    }

    #[test]
    fn five_wrong_codes_are_examined_and_then_not_even_the_right_one() {
        let mut progress = begun();
        for left in (0..5).rev() {
            let examined;
            (progress, examined) = progress.checked(|| false, NOW);
            assert_eq!((progress.checks_left, examined), (left, Examined::Wrong));
        }
        assert_eq!(progress.status, VerificationStatus::Failed);
        assert_eq!(progress.checked(|| true, NOW), (progress, Examined::Not));
    }

    #[test]
    fn the_fifth_check_may_be_the_right_one() {
        let mut progress = begun();
        for _ in 0..4 {
            progress = progress.checked(|| false, NOW).0;
        }
        assert_eq!(progress.checked(|| true, NOW).1, Examined::Right);
    }

    #[test]
    fn time_runs_out_at_the_moment_it_says() {
        let (end, just_before) = (begun().expires_at, begun().expires_at.minus(Duration::from_micros(1)));
        assert_eq!(begun().checked(|| true, just_before).1, Examined::Right);
        let (expired, examined) = begun().checked(|| true, end);
        assert_eq!((expired.status, examined), (VerificationStatus::Expired, Examined::Not));
        // Too late to be anything else.
        assert_eq!(begun().canceled(end).status, VerificationStatus::Expired);
        assert_eq!(begun().superseded(end).status, VerificationStatus::Expired);
        assert_eq!(begun().superseded(just_before).status, VerificationStatus::Superseded);
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Right,
        Wrong,
        Cancel,
        Supersede,
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            1 => Just(Step::Right),
            4 => Just(Step::Wrong),
            1 => Just(Step::Cancel),
            1 => Just(Step::Supersede),
            2 => (1_u64..400).prop_map(Step::Wait),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_it_ends_once_and_examines_no_more_than_it_may(
            checks in 1_u16..8,
            steps in proptest::collection::vec(step(), 0..60),
        ) {
            let mut progress = Progress::begun(checks, NOW.plus(Duration::from_mins(10)));
            let (mut now, mut examined, mut right, mut ended) = (NOW, 0_u16, 0, None);
            for step in steps {
                let check = |is_right| progress.checked(|| is_right, now);
                let (after, seen) = match step {
                    Step::Right => check(true),
                    Step::Wrong => check(false),
                    Step::Cancel => (progress.canceled(now), Examined::Not),
                    Step::Supersede => (progress.superseded(now), Examined::Not),
                    Step::Wait(seconds) => {
                        now = now.plus(Duration::from_secs(seconds));
                        (progress.at(now), Examined::Not)
                    }
                };
                examined += u16::from(seen != Examined::Not);
                right += u16::from(seen == Examined::Right);
                prop_assert_eq!(seen == Examined::Right, after.status == VerificationStatus::Approved && !progress.status.has_ended());
                if let Some(ended) = ended {
                    prop_assert_eq!(after, ended);
                    prop_assert_eq!(seen, Examined::Not);
                }
                if after.status.has_ended() {
                    ended = Some(after);
                }
                progress = after;
            }
            prop_assert!(right <= 1);
            prop_assert!(examined <= checks);
            prop_assert_eq!(progress.checks_left, checks - examined);
        }
    }
}
