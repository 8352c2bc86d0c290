//! What is suspicious: functions of figures and nothing else.
//!
//! Every threshold is the larger of what the settings always allow and of what history allows, and what is verified while
//! it goes on counts as history at once. So a block with a good history has room for a launch, a new network gets as much
//! room as its people verify, and whoever verifies nothing stays at what is always allowed.

use crate::scenario::closed_set;

use super::count::{Count, Grain};

/// Days that history is taken over.
pub const FORTNIGHT: i64 = 14;

/// Of what a day allows, an hour allows a fourth and a minute a tenth: at launches the traffic of a day comes in a few
/// hours.
const HOURS_IN_A_DAY: i64 = 4;
/// The same for minutes.
const MINUTES_IN_A_DAY: i64 = 10;

/// Unverified codes are usual up to three times as many as verified ones, whatever history says: a block that nobody ever
/// verified anything in must not make its own room.
const WORST_USUAL: i64 = 3;

/// A network that delivers badly may do so a fourth worse than usual on a day when there is much of it.
const WORSE: (i64, i64) = (5, 4);

/// A country's unknown blocks together are always allowed so many times what one block is.
const BLOCKS_OF_NEWCOMERS: i64 = 2;

/// A caller with as many verified codes a day has some every hour of it, also by night. Of one with fewer, an hour without
/// any says nothing.
const VERIFIES_EVERY_HOUR: i64 = 1_000;

/// Codes within an hour of which at least one should be verified.
const ENOUGH_TO_TELL: i64 = 20;

/// Codes of a caller that must have been verified, lately or today, before codes that are not count against anybody: one
/// that never says so has no unverified codes.
const SAYS_SO: i64 = 10;

/// The settings of the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Digits behind the calling code that make a block of numbers.
    pub prefix_digits: u32,
    /// Codes to one block that are always allowed.
    pub prefix: Limits,
    /// Codes of one caller that are always allowed.
    pub caller: Limits,
    /// How many times as much as usual is allowed.
    pub growth: u32,
    /// Unverified codes to one block within a day that are always allowed.
    pub least_unverified: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            prefix_digits: 4,
            prefix: Limits { per_minute: 30, per_hour: 150, per_day: 600 },
            caller: Limits { per_minute: 300, per_hour: 3_000, per_day: 20_000 },
            growth: 10,
            least_unverified: 20,
        }
    }
}

/// How many within which window. 0: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Within a minute.
    pub per_minute: u32,
    /// Within an hour.
    pub per_hour: u32,
    /// Within a day.
    pub per_day: u32,
}

impl Limits {
    fn of(self, window: Grain) -> i64 {
        i64::from(match window {
            Grain::Minute => self.per_minute,
            Grain::Hour => self.per_hour,
            Grain::Day => self.per_day,
        })
    }
}

/// What is known of a subject at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Within the minute that ends now.
    pub minute: Count,
    /// Within the hour that ends now.
    pub hour: Count,
    /// Within the day that ends now.
    pub day: Count,
    /// On the day of UTC before today.
    pub yesterday: Count,
    /// On the fourteen days before today.
    pub fortnight: Count,
}

/// What a day is like as a rule.
#[derive(Debug, Clone, Copy)]
struct Usual {
    verified: i64,
    unverified: i64,
    /// Of callers that do not say what is verified.
    untold: i64,
}

impl Usual {
    /// How many codes may be unverified beside so many that are verified: as many, or more where that is usual.
    fn beside(self, verified: i64) -> i64 {
        let (worse, than) = WORSE;
        let most = self.verified.saturating_mul(WORST_USUAL);
        let share = (self.unverified.saturating_mul(worse) / than).min(most).max(self.verified);
        let scaled = i128::from(verified.max(0)) * i128::from(share) / i128::from(self.verified.max(1));
        i64::try_from(scaled).unwrap_or(i64::MAX).max(verified)
    }
}

impl Figures {
    const fn within(&self, window: Grain) -> Count {
        match window {
            Grain::Minute => self.minute,
            Grain::Hour => self.hour,
            Grain::Day => self.day,
        }
    }

    /// Yesterday buys room only by what was verified: what was merely sent may have been the fraud.
    fn usual(&self) -> Usual {
        let total = self.fortnight;
        let a_day = |number: i64| (number.max(0) + FORTNIGHT - 1) / FORTNIGHT;
        Usual {
            verified: self.yesterday.verified.max(a_day(total.verified)),
            unverified: a_day(total.expected - total.verified),
            untold: a_day(total.sent - total.expected),
        }
    }

    /// Whether a caller with these figures says which of its codes are verified, so that those which are not tell
    /// something. One that usually does, and for an hour has not, has lost the way to say so: a fraud leaves the people
    /// alone who verify theirs.
    pub fn tells_what_is_verified(&self) -> bool {
        let has_said = self.fortnight.verified.saturating_add(self.day.verified) >= SAYS_SO;
        let is_lost = self.usual().verified >= VERIFIES_EVERY_HOUR
            && self.hour.expected >= ENOUGH_TO_TELL
            && self.hour.verified == 0;
        has_said && !is_lost
    }
}

closed_set! {
    /// The rules.
    Rule ("rule") {
        /// More codes to one block of numbers than it ever has.
        PrefixVelocity => "prefix_velocity",
        /// More codes of one caller than it ever has.
        CallerVelocity => "caller_velocity",
        /// Codes to one block that nobody verifies.
        PrefixUnverified => "prefix_unverified",
        /// Codes to the unknown blocks of one country that nobody verifies.
        NewcomersUnverified => "newcomers_unverified",
    }
}

/// Why something is suspicious.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Reason {
    /// The rule.
    pub rule: Rule,
    /// Over which window.
    pub window: Grain,
    /// What it found.
    pub figure: i64,
    /// More than this is suspicious.
    pub threshold: i64,
}

/// Figures of those that a code concerns.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// Of its block; `None` where there was no room to count it.
    pub prefix: Option<&'a Figures>,
    /// Of its country's unknown blocks, if its block is one of them.
    pub newcomers: Option<&'a Figures>,
    /// Of its caller.
    pub caller: &'a Figures,
    /// Whether its caller says what is verified.
    pub is_told: bool,
}

/// What is suspicious about one more code: nothing, or one reason for each rule that thinks so.
pub fn suspect(policy: &Policy, case: &Case<'_>) -> Vec<Reason> {
    let growth = i64::from(policy.growth);
    let mut reasons = Vec::new();
    if let Some(prefix) = case.prefix {
        reasons.extend(velocity(Rule::PrefixVelocity, prefix, policy.prefix, growth));
    }
    reasons.extend(velocity(Rule::CallerVelocity, case.caller, policy.caller, growth));
    if case.is_told {
        let least = i64::from(policy.least_unverified);
        if let Some(prefix) = case.prefix {
            let is_known = case.newcomers.is_none();
            reasons.extend(unverified(Rule::PrefixUnverified, prefix, least, is_known));
        }
        if let Some(newcomers) = case.newcomers {
            let least = least.saturating_mul(BLOCKS_OF_NEWCOMERS);
            reasons.extend(unverified(Rule::NewcomersUnverified, newcomers, least, true));
        }
    }
    reasons
}

/// How many codes a window may have; `None` for any number.
fn velocity_limit(figures: &Figures, limits: Limits, growth: i64, window: Grain) -> Option<i64> {
    let always = limits.of(window);
    if always == 0 {
        return None;
    }
    let usual = figures.usual();
    let a_day = usual.verified.max(figures.day.verified).saturating_add(usual.untold);
    let parts = match window {
        Grain::Minute => MINUTES_IN_A_DAY,
        Grain::Hour => HOURS_IN_A_DAY,
        Grain::Day => 1,
    };
    Some(always.max(growth.saturating_mul(a_day) / parts))
}

fn velocity(rule: Rule, figures: &Figures, limits: Limits, growth: i64) -> Option<Reason> {
    Grain::ALL.iter().find_map(|window| {
        let threshold = velocity_limit(figures, limits, growth, *window)?;
        let figure = figures.within(*window).sent.saturating_add(1);
        (figure > threshold).then_some(Reason { rule, window: *window, figure, threshold })
    })
}

/// How many codes of a window may be unverified.
fn unverified_limit(figures: &Figures, least: i64, window: Grain) -> i64 {
    let usual = figures.usual();
    let room = (usual.unverified + usual.verified / 2).min(usual.verified.saturating_mul(WORST_USUAL));
    let parts = if window == Grain::Day { 1 } else { HOURS_IN_A_DAY };
    least.saturating_add(room / parts).saturating_add(usual.beside(figures.within(window).verified))
}

/// How many codes of a window are unverified that are old enough to be: those of the last minute are on their way into
/// somebody's phone, as far as there is room for so many.
fn unverified_codes(figures: &Figures, least: i64, window: Grain) -> i64 {
    let count = figures.within(window);
    let young = figures.minute.expected.min(least.saturating_add(count.verified));
    (count.expected - count.verified - young).max(0)
}

/// `forgives`: the day alone does not condemn, when in the last hour people verified as they should. The people of a block
/// that was attacked this morning get their codes in the afternoon. A block that nobody verified anything in has no such
/// people.
fn unverified(rule: Rule, figures: &Figures, least: i64, forgives: bool) -> Option<Reason> {
    let found = |window| {
        let (figure, threshold) =
            (unverified_codes(figures, least, window), unverified_limit(figures, least, window));
        (figure > threshold).then_some(Reason { rule, window, figure, threshold })
    };
    let is_well_now = figures.hour.expected - figures.hour.verified <= figures.hour.verified;
    found(Grain::Hour).or_else(|| found(Grain::Day).filter(|_| !(forgives && is_well_now)))
}

/// What would be too much for a block of numbers now, for people who wonder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Codes within a minute; `None` for any number.
    pub per_minute: Option<i64>,
    /// Codes within an hour.
    pub per_hour: Option<i64>,
    /// Codes within a day.
    pub per_day: Option<i64>,
    /// Codes of an hour that are not verified.
    pub unverified_per_hour: i64,
    /// Codes of a day that are not verified.
    pub unverified_per_day: i64,
}

impl Thresholds {
    /// Those of a block of numbers.
    pub fn of(figures: &Figures, policy: &Policy) -> Self {
        let limit = |window| velocity_limit(figures, policy.prefix, i64::from(policy.growth), window);
        let unverified = |window| unverified_limit(figures, i64::from(policy.least_unverified), window);
        Self {
            per_minute: limit(Grain::Minute),
            per_hour: limit(Grain::Hour),
            per_day: limit(Grain::Day),
            unverified_per_hour: unverified(Grain::Hour),
            unverified_per_day: unverified(Grain::Day),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn count(sent: i64, verified: i64) -> Count {
        Count { sent, expected: sent, verified, suspected: 0 }
    }

    fn judged(prefix: &Figures, newcomers: Option<&Figures>, is_told: bool) -> Vec<Rule> {
        let caller = Figures::default();
        let case = Case { prefix: Some(prefix), newcomers, caller: &caller, is_told };
        suspect(&Policy::default(), &case).into_iter().map(|reason| reason.rule).collect()
    }

    fn lately(count: Count) -> Figures {
        Figures { hour: count, day: count, ..Figures::default() }
    }

    #[test]
    fn codes_that_people_verify_are_never_suspicious() {
        for sent in [10, 100, 100_000] {
            let figures = lately(count(sent, sent * 3 / 4));
            assert_eq!(judged(&figures, Some(&figures), true), [], "{sent}");
        }
    }

    #[test]
    fn unknown_block_whose_codes_nobody_verifies_is_stopped_at_what_is_always_allowed() {
        assert_eq!(judged(&lately(count(20, 0)), None, true), []);
        assert_eq!(judged(&lately(count(21, 0)), None, true), [Rule::PrefixUnverified]);
    }

    #[test]
    fn codes_of_the_last_minute_may_still_be_verified() {
        let figures = Figures { minute: count(15, 0), ..lately(count(30, 0)) };
        assert_eq!(judged(&figures, None, true), []);
    }

    #[test]
    fn block_with_a_good_history_has_room() {
        let history =
            Figures { yesterday: count(125, 100), fortnight: count(1_750, 1_400), ..lately(count(90, 0)) };
        // An hour allows twenty and a fourth of what a day usually has open and half of what it has verified.
        assert_eq!(unverified_limit(&history, 20, Grain::Hour), 20 + (25 + 50) / 4);
        let hour = Figures { hour: count(30, 0), ..history };
        assert_eq!(judged(&hour, None, true), []);
        assert_eq!(judged(&history, None, true), [Rule::PrefixUnverified]);
    }

    #[test]
    fn block_that_was_attacked_earlier_today_is_well_when_its_people_verify() {
        let day = Figures { day: count(500, 50), ..Figures::default() };
        let (ill, well) = (Figures { hour: count(9, 2), ..day }, Figures { hour: count(9, 7), ..day });
        // Known: no newcomer.
        assert_eq!(judged(&ill, None, true), [Rule::PrefixUnverified]);
        assert_eq!(judged(&well, None, true), []);
    }

    #[test]
    fn unknown_blocks_are_judged_together() {
        let (alone, together) = (lately(count(5, 0)), lately(count(50, 2)));
        assert_eq!(judged(&alone, Some(&together), true), [Rule::NewcomersUnverified]);
    }

    #[test]
    fn caller_that_never_says_what_is_verified_is_held_to_velocity_alone() {
        assert_eq!(judged(&lately(count(100, 0)), None, false), []);
        assert_eq!(judged(&lately(count(150, 0)), None, false), [Rule::PrefixVelocity]);
        let untold = Count { sent: 14 * 200, ..Count::NONE };
        let usual = Figures { fortnight: untold, ..lately(count(450, 0)) };
        assert_eq!(judged(&usual, None, false), []);
    }

    #[test]
    fn caller_whose_word_is_missing_is_told_from_one_under_attack() {
        let usual = Figures {
            yesterday: count(6_000, 5_000),
            fortnight: count(80_000, 65_000),
            ..Figures::default()
        };
        assert!(usual.tells_what_is_verified());
        let attacked = Figures { hour: count(9_000, 150), ..usual };
        assert!(attacked.tells_what_is_verified());
        let lost = Figures { hour: count(250, 0), ..usual };
        assert!(!lost.tells_what_is_verified());
        assert!(!Figures::default().tells_what_is_verified());
    }

    #[test]
    fn limit_of_zero_is_none() {
        let policy =
            Policy { prefix: Limits { per_minute: 0, per_hour: 0, per_day: 0 }, ..Policy::default() };
        let (prefix, caller) = (lately(count(1_000_000, 0)), Figures::default());
        let case = Case { prefix: Some(&prefix), newcomers: None, caller: &caller, is_told: false };
        assert_eq!(suspect(&policy, &case), []);
    }

    prop_compose! {
        fn counts()(sent in 0..5_000_i64, told in 0..=100_i64, verified in 0..=100_i64) -> Count {
            let expected = sent * told / 100;
            Count { sent, expected, verified: expected * verified / 100, suspected: 0 }
        }
    }

    prop_compose! {
        fn figures()(minute in counts(), hour in counts(), day in counts(), yesterday in counts(), fortnight in counts())
        -> Figures {
            let (hour, fortnight) = (minute.plus(hour), yesterday.plus(fortnight));
            Figures { minute, hour, day: hour.plus(day), yesterday, fortnight }
        }
    }

    fn verify(figures: Figures, more: i64) -> Figures {
        let verified = Count { verified: more, ..Count::NONE };
        Figures { hour: figures.hour.plus(verified), day: figures.day.plus(verified), ..figures }
    }

    proptest! {
        #[test]
        fn to_verify_more_never_makes_suspicious(figures in figures(), more in 0..1_000_i64) {
            let before = judged(&figures, Some(&figures), true);
            let after = judged(&verify(figures, more), Some(&verify(figures, more)), true);
            prop_assert!(after.iter().all(|rule| before.contains(rule)), "{before:?} {after:?}");
        }

        #[test]
        fn better_history_never_lowers_what_may_be_sent(figures in figures(), more in 0..100_000_i64) {
            let verified = count(more, more);
            let better = Figures {
                yesterday: figures.yesterday.plus(verified),
                fortnight: figures.fortnight.plus(verified),
                ..figures
            };
            let policy = Policy::default();
            let (before, after) = (Thresholds::of(&figures, &policy), Thresholds::of(&better, &policy));
            prop_assert!(after.per_minute >= before.per_minute && after.per_hour >= before.per_hour);
            prop_assert!(after.per_day >= before.per_day);
        }

        #[test]
        fn half_of_the_codes_may_always_be_unverified_and_never_many_times_as_many(figures in figures()) {
            let usual = figures.usual();
            for verified in [figures.hour.verified, figures.day.verified] {
                let beside = usual.beside(verified);
                prop_assert!(verified <= beside && beside <= WORST_USUAL * verified, "{beside} {verified}");
            }
        }

        #[test]
        fn history_of_unverified_codes_buys_nothing(sent in 0..1_000_000_i64, figures in figures()) {
            let bad = Figures { yesterday: count(sent, 0), fortnight: count(14 * sent, 0), ..figures };
            prop_assert_eq!(unverified_limit(&bad, 20, Grain::Day), 20 + figures.day.verified);
        }

        #[test]
        fn every_reason_is_over_its_threshold(figures in figures(), is_told: bool) {
            let case = Case { prefix: Some(&figures), newcomers: Some(&figures), caller: &figures, is_told };
            for reason in suspect(&Policy::default(), &case) {
                prop_assert!(reason.figure > reason.threshold, "{reason:?}");
            }
        }
    }
}
