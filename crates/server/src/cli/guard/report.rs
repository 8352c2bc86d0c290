//! What was sent and verified, and what of it was suspicious.

use std::collections::BTreeMap;

use domain::guard::{Count, Figures, Mode, Subject, Thresholds};
use domain::phone::{Country, NumberPrefix};
use serde::Serialize;

use super::{Material, first_moment};
use crate::cli::{print, say};
use crate::config;

/// The report.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    mode: &'static str,
    /// From the beginning of a day of UTC until now.
    since: String,
    days: i64,
    countries: Vec<CountryLine>,
    prefixes: Vec<PrefixLine>,
    callers: Vec<CallerLine>,
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Numbers {
    /// Codes that were let pass.
    sent: i64,
    /// Of these, verified.
    verified: i64,
    /// Percent of those of callers that say what is verified; `null` without any.
    verified_percent: Option<i64>,
    /// Codes that were found suspicious: refused by enforce, and by shadow not.
    suspected: i64,
    /// Suspicious codes that were sent all the same and looked at again.
    sampled: i64,
    /// Of these, verified: enforce would have been wrong about them.
    confirmed: i64,
}

#[derive(Debug, Serialize)]
struct CountryLine {
    country: String,
    #[serde(flatten)]
    numbers: Numbers,
}

#[derive(Debug, Serialize)]
struct CallerLine {
    caller: String,
    #[serde(flatten)]
    numbers: Numbers,
}

#[derive(Debug, Serialize)]
struct PrefixLine {
    country: String,
    prefix: String,
    #[serde(flatten)]
    numbers: Numbers,
    now: Standing,
}

/// How a block stands now, each figure beside what it may be.
#[derive(Debug, Serialize)]
struct Standing {
    sent_in_a_day: i64,
    may_be_sent_in_a_day: Option<i64>,
    may_be_sent_in_an_hour: Option<i64>,
    may_be_sent_in_a_minute: Option<i64>,
    unverified_in_a_day: i64,
    may_be_unverified_in_a_day: i64,
    may_be_unverified_in_an_hour: i64,
}

/// What became of the samples.
#[derive(Debug, Clone, Copy, Default)]
struct Samples {
    sampled: i64,
    confirmed: i64,
}

impl Numbers {
    fn new(count: Count, samples: Samples) -> Self {
        let percent = (count.expected > 0).then(|| (100 * count.verified / count.expected).min(100));
        Self {
            sent: count.sent,
            verified: count.verified,
            verified_percent: percent,
            suspected: count.suspected,
            sampled: samples.sampled,
            confirmed: samples.confirmed,
        }
    }

    fn cells(&self) -> String {
        let Self { sent, verified, suspected, sampled, confirmed, .. } = self;
        let percent = self.verified_percent.map_or_else(|| "-".into(), |percent| format!("{percent} %"));
        format!("{sent:>9}{verified:>10}{percent:>8}{suspected:>11}{confirmed:>6} of {sampled:<6}")
    }
}

impl Standing {
    fn new(figures: &Figures, policy: &domain::guard::Policy) -> Self {
        let thresholds = Thresholds::of(figures, policy);
        Self {
            sent_in_a_day: figures.day.sent,
            may_be_sent_in_a_day: thresholds.per_day,
            may_be_sent_in_an_hour: thresholds.per_hour,
            may_be_sent_in_a_minute: thresholds.per_minute,
            unverified_in_a_day: (figures.day.expected - figures.day.verified).max(0),
            may_be_unverified_in_a_day: thresholds.unverified_per_day,
            may_be_unverified_in_an_hour: thresholds.unverified_per_hour,
        }
    }
}

impl Report {
    pub(super) fn new(material: &Material, settings: &config::Guard) -> Self {
        let mut of_prefix: BTreeMap<NumberPrefix, Samples> = BTreeMap::new();
        let mut of_country: BTreeMap<Country, (Count, Samples)> = BTreeMap::new();
        for decision in &material.decisions {
            let (_, country) = of_country.entry(decision.country).or_default();
            let prefix = decision.prefix.map(|prefix| of_prefix.entry(prefix).or_default());
            for samples in prefix.into_iter().chain([country]) {
                samples.sampled += decision.sampled;
                samples.confirmed += decision.confirmed;
            }
        }
        let (mut prefixes, mut callers) = (Vec::new(), Vec::new());
        for (subject, total) in &material.totals {
            match subject {
                Subject::Prefix(prefix) => {
                    let (country, _) = of_country.entry(prefix.country()).or_default();
                    *country = country.plus(*total);
                    let figures = material.figures.get(subject).copied().unwrap_or_default();
                    prefixes.push(PrefixLine {
                        country: prefix.country().to_string(),
                        prefix: prefix.to_string(),
                        numbers: Numbers::new(*total, of_prefix.get(prefix).copied().unwrap_or_default()),
                        now: Standing::new(&figures, &settings.policy()),
                    });
                }
                Subject::Caller(key) => {
                    let numbers = Numbers::new(*total, Samples::default());
                    callers.push(CallerLine { caller: key.to_string(), numbers });
                }
                Subject::Newcomers(_) => {}
            }
        }
        prefixes.sort_by_key(|line| std::cmp::Reverse((line.numbers.suspected, line.numbers.sent)));
        let countries = of_country.into_iter().map(|(country, (count, samples))| CountryLine {
            country: country.to_string(),
            numbers: Numbers::new(count, samples),
        });
        Self {
            mode: settings.mode.as_str(),
            since: first_moment(material.days.first).to_string(),
            days: material.days.last - material.days.first + 1,
            countries: countries.collect(),
            prefixes,
            callers,
        }
    }

    pub(super) fn show(&self, top: usize) {
        print(format_args!("mode {}, since {} ({} days)", self.mode, self.since, self.days));
        let header =
            format!("{:>9}{:>10}{:>8}{:>11}  {:<14}", "sent", "verified", "share", "suspicious", "wrongly");
        if self.prefixes.is_empty() {
            return say("nothing was counted: codes are counted while guard.mode is shadow or enforce");
        }
        print(format_args!("\n{:<40}{header}", "country"));
        for line in &self.countries {
            print(format_args!("{:<40}{}", line.country, line.numbers.cells()));
        }
        print(format_args!("\n{:<40}{header}", "caller"));
        for line in &self.callers {
            print(format_args!("{:<40}{}", line.caller, line.numbers.cells()));
        }
        print(format_args!("\n{:<40}{header}now", "block of numbers"));
        for line in self.prefixes.iter().take(top) {
            let name = format!("{} {}", line.country, line.prefix);
            print(format_args!("{name:<40}{}{}", line.numbers.cells(), line.now.cells()));
        }
        let left = self.prefixes.len().saturating_sub(top);
        if left > 0 {
            say(format_args!("{left} more blocks; --top and --json show them"));
        }
        let is_untold = self.callers.iter().all(|line| line.numbers.verified == 0);
        if is_untold {
            say(
                "no caller says which codes are verified (POST /sms/{id}/feedback): only numbers of codes are judged",
            );
        }
        if self.mode == Mode::Shadow.as_str() {
            say(
                "shadow: what is suspicious was sent all the same; \"wrongly\" counts those of a sample that were verified",
            );
        }
    }
}

impl Standing {
    fn cells(&self) -> String {
        let limit = self.may_be_sent_in_a_day.map_or_else(|| "any".into(), |limit| limit.to_string());
        let Self { sent_in_a_day, unverified_in_a_day, may_be_unverified_in_a_day, .. } = self;
        format!(
            "{sent_in_a_day} of {limit} sent, {unverified_in_a_day} of {may_be_unverified_in_a_day} unverified"
        )
    }
}
