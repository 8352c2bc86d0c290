//! Times of day, where people live.
//!
//! A clock on a wall skips an hour when summer time begins and shows one twice when it ends. So a window is not a
//! comparison of times of day but, for each day, a stretch of real time from one moment to another; where the clock
//! shows a time twice, the window takes the longer of both readings.

mod zones;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, Time};
use jiff::tz::AmbiguousOffset;
use serde::{Deserialize, Deserializer};

use crate::phone::Country;
use crate::scenario::Scenario;
use crate::time::Timestamp;

/// A time zone by its IANA name.
#[derive(Clone, PartialEq, Eq)]
pub struct TimeZone(jiff::tz::TimeZone);

/// A text that is no time zone's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no time zone has this name; write one of the IANA database, such as Africa/Nairobi")]
pub struct TimeZoneError;

impl TimeZone {
    /// The zone in which most people of a country live; UTC for a country without one.
    pub fn of(country: Country) -> Self {
        let named = zones::zone_of(country).and_then(|name| name.parse().ok());
        named.unwrap_or(Self(jiff::tz::TimeZone::UTC))
    }

    /// When the day ends that it is at this time.
    pub fn end_of_day(&self, time: Timestamp) -> Timestamp {
        let tomorrow = self.date(time).and_then(|date| date.tomorrow().ok());
        let midnight = tomorrow.and_then(|date| self.moments(date, Time::midnight()));
        // Only at the end of what a calendar can show.
        midnight.map_or(time, |(first, _)| first)
    }

    fn date(&self, time: Timestamp) -> Option<Date> {
        let time = jiff::Timestamp::from_microsecond(time.as_micros()).ok()?;
        Some(self.0.to_datetime(time).date())
    }

    /// When the clock shows `time` on `date`: the first and the last moment, which differ where it is set back. Where
    /// it is set forward over the time, both are when that happens.
    fn moments(&self, date: Date, time: Time) -> Option<(Timestamp, Timestamp)> {
        let shown = date.to_datetime(time);
        let (first, last) = match self.0.to_ambiguous_timestamp(shown).offset() {
            AmbiguousOffset::Unambiguous { offset } => (offset, offset),
            AmbiguousOffset::Fold { before, after } => (before, after),
            AmbiguousOffset::Gap { after, .. } => {
                let earlier = after.to_timestamp(shown).ok()?;
                let set = self.0.following(earlier).next()?.timestamp();
                let set = Timestamp::from_micros(set.as_microsecond());
                return Some((set, set));
            }
        };
        let moment = |offset: jiff::tz::Offset| {
            offset.to_timestamp(shown).ok().map(|time| Timestamp::from_micros(time.as_microsecond()))
        };
        Some((moment(first)?, moment(last)?))
    }
}

impl FromStr for TimeZone {
    type Err = TimeZoneError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        jiff::tz::TimeZone::get(name).map(Self).map_err(|_unknown| TimeZoneError)
    }
}

impl fmt::Display for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

impl fmt::Debug for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for TimeZone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A part of every day, such as `21:00-07:00`. Its end does not belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    from: Time,
    to: Time,
}

/// A text that is no part of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected two different times of day, such as 21:00-07:00")]
pub struct WindowError;

impl FromStr for Window {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (from, to) = text.split_once('-').ok_or(WindowError)?;
        let (from, to) = (time_of_day(from)?, time_of_day(to)?);
        if from == to { Err(WindowError) } else { Ok(Self { from, to }) }
    }
}

fn time_of_day(text: &str) -> Result<Time, WindowError> {
    let (hour, minute) = text.trim().split_once(':').ok_or(WindowError)?;
    let number = |digits: &str| {
        let is_two_digits = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        if is_two_digits { digits.parse::<i8>().or(Err(WindowError)) } else { Err(WindowError) }
    };
    Time::new(number(hour)?, number(minute)?, 0, 0).map_err(|_no_such_time| WindowError)
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02}", from.hour(), from.minute(), to.hour(), to.minute())
    }
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Window {
    /// Whether a moment falls into it, by the clocks of a zone.
    pub fn contains(&self, now: Timestamp, zone: &TimeZone) -> bool {
        self.ends(now, zone).is_some()
    }

    /// When it ends, for a moment within it. Always after `now`, and outside.
    pub fn ends(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let today = zone.date(now)?;
        let mut end = None;
        // Yesterday's may reach past midnight; and where clocks are set, one day's may touch the next.
        for day in [today.yesterday(), Ok(today), today.tomorrow()] {
            let day = day.ok()?;
            let last_day = if self.to < self.from { day.tomorrow().ok()? } else { day };
            let (begins, _) = zone.moments(day, self.from)?;
            let (_, ends) = zone.moments(last_day, self.to)?;
            let reached = end.unwrap_or(now);
            if begins <= reached && reached < ends {
                end = Some(ends);
            }
        }
        end
    }
}

/// When which messages must not leave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QuietHours {
    /// By scenario; one that is not here has none.
    pub by_scenario: BTreeMap<Scenario, Window>,
    /// By whose clocks; those of the receiver's country if `None`.
    pub zone: Option<TimeZone>,
}

impl QuietHours {
    /// When a message that would leave now may leave; `None` if it may leave now.
    pub fn ends(&self, scenario: Scenario, country: Country, now: Timestamp) -> Option<Timestamp> {
        let window = self.by_scenario.get(&scenario)?;
        match &self.zone {
            Some(zone) => window.ends(now, zone),
            None => window.ends(now, &TimeZone::of(country)),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_scenario.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn window(text: &str) -> Window {
        text.parse().unwrap()
    }

    #[test]
    fn a_country_without_a_zone_has_utc() {
        assert_eq!(TimeZone::of(Country::KE).to_string(), "Africa/Nairobi");
        assert_eq!(TimeZone::of(Country::ZZ).to_string(), "UTC");
    }

    #[test]
    fn a_window_may_pass_midnight() {
        let nairobi = TimeZone::of(Country::KE);
        let night = window("21:00-07:00");
        // Nairobi is three hours before UTC.
        assert!(!night.contains(at("2026-11-23T17:59:59Z"), &nairobi));
        assert_eq!(night.ends(at("2026-11-23T18:00:00Z"), &nairobi), Some(at("2026-11-24T04:00:00Z")));
        assert_eq!(night.ends(at("2026-11-24T03:59:59Z"), &nairobi), Some(at("2026-11-24T04:00:00Z")));
        assert_eq!(night.ends(at("2026-11-24T04:00:00Z"), &nairobi), None);
    }

    #[test]
    fn a_window_ends_by_the_clock_on_the_day_that_clocks_change() {
        let berlin: TimeZone = "Europe/Berlin".parse().unwrap();
        let night = window("22:00-08:00");
        let evening = at("2026-10-24T20:30:00Z");
        assert_eq!(night.ends(evening, &berlin), Some(at("2026-10-25T07:00:00Z")), "an hour longer");
    }

    #[test]
    fn a_time_shown_twice_ends_the_window_when_it_is_shown_last() {
        let berlin: TimeZone = "Europe/Berlin".parse().unwrap();
        for shown in ["2026-10-25T00:15:00Z", "2026-10-25T00:45:00Z", "2026-10-25T01:15:00Z"] {
            assert_eq!(
                window("21:00-02:30").ends(at(shown), &berlin),
                Some(at("2026-10-25T01:30:00Z")),
                "{shown}"
            );
        }
    }

    #[test]
    fn a_time_never_shown_ends_the_window_when_clocks_pass_it() {
        let berlin: TimeZone = "Europe/Berlin".parse().unwrap();
        let jump = at("2026-03-29T01:00:00Z");
        assert_eq!(window("21:00-02:30").ends(at("2026-03-29T00:30:00Z"), &berlin), Some(jump));
        assert!(!window("02:15-02:45").contains(jump, &berlin));
    }

    proptest::proptest! {
        #[test]
        fn a_window_holds_what_clocks_say_and_ends_outside(
            zone in proptest::sample::select(vec![
                "Africa/Nairobi", "Africa/Cairo", "America/New_York", "America/Sao_Paulo", "America/Havana",
                "Asia/Beirut", "Asia/Kathmandu", "Australia/Lord_Howe", "Europe/Berlin", "Pacific/Apia", "UTC",
            ]),
            (from, to) in (0..1_440_i64, 0..1_440_i64),
            seconds in 1_200_000_000..1_900_000_000_i64,
        ) {
            proptest::prop_assume!(from != to);
            let shown = |minutes: i64| format!("{:02}:{:02}", minutes / 60, minutes % 60);
            let (window, zone) = (window(&format!("{}-{}", shown(from), shown(to))), zone.parse::<TimeZone>().unwrap());
            let now = Timestamp::from_micros(seconds * 1_000_000);
            let clock = zone.0.to_datetime(jiff::Timestamp::from_second(seconds).unwrap()).time();
            let says = if window.from < window.to {
                (window.from..window.to).contains(&clock)
            } else {
                clock >= window.from || clock < window.to
            };
            proptest::prop_assert!(!says || window.contains(now, &zone));
            if let Some(end) = window.ends(now, &zone) {
                proptest::prop_assert!(end > now && !window.contains(end, &zone));
            }
        }
    }

    #[test]
    fn what_is_no_part_of_a_day_is_refused() {
        for wrong in ["", "21:00", "21:00-21:00", "24:00-07:00", "9:00-17:00", "21.00-07.00", "21:60-07:00"] {
            assert_eq!(wrong.parse::<Window>(), Err(WindowError), "{wrong}");
        }
        assert_eq!(window("21:00-07:00").to_string(), "21:00-07:00");
    }

    #[test]
    fn quiet_hours_hold_one_scenario_by_the_receivers_clock() {
        let quiet = QuietHours {
            by_scenario: BTreeMap::from([(Scenario::ChamaInvite, window("21:00-07:00"))]),
            zone: None,
        };
        let now = at("2026-11-23T20:00:00Z");
        assert_eq!(quiet.ends(Scenario::Otp, Country::KE, now), None);
        assert_eq!(quiet.ends(Scenario::ChamaInvite, Country::KE, now), Some(at("2026-11-24T04:00:00Z")));
        let american = "US".parse().unwrap();
        assert_eq!(quiet.ends(Scenario::ChamaInvite, american, now), None, "three in the afternoon there");
    }
}
