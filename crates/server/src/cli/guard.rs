//! `tuma guard`: what the guard against SMS pumping counted and decided, in the database itself, so that it also tells when
//! no gateway runs.

mod report;

use std::collections::BTreeMap;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use domain::guard::rules::FORTNIGHT;
use domain::guard::{Figures, Grain, Ledger, Subject};
use domain::time::{Clock as _, Timestamp};
use gateway::SystemClock;
use store::Store;
use store::port::guard::{AskedCounts, AskedSubjects, Days, Decision, DecisionFilter};

use self::report::Report;
use super::print;
use crate::config::Config;

/// Decisions that are read at once.
const PAGE: u32 = 1_000;

/// Show what the guard against SMS pumping counted and decided.
#[derive(Debug, Args)]
pub(super) struct Guard {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show by country and block of numbers what was sent and verified, what is allowed now, and what was found suspicious.
    Report {
        /// Over how many days of UTC, today included.
        #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=40))]
        days: u32,
        /// How many blocks at most: those with most suspicious codes first, then those with most codes.
        #[arg(long, default_value_t = 30)]
        top: usize,
        /// As JSON, with all blocks.
        #[arg(long)]
        json: bool,
    },
}

/// What a report is made of.
struct Material {
    days: Days,
    /// What was counted on these days.
    totals: BTreeMap<Subject, domain::guard::Count>,
    /// How it stands now.
    figures: BTreeMap<Subject, Figures>,
    decisions: Vec<Decision>,
}

impl Guard {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let Verb::Report { days, top, json } = self.verb;
        let store = store::open(config.database_url.expose(), config.store_options(false, false))
            .await
            .context("the store can't be opened")?;
        let material = gather(&*store, config, days, SystemClock::new().now()).await;
        store.close().await;
        let report = Report::new(&material?, &config.guard);
        if json {
            print(serde_json::to_string_pretty(&report)?);
        } else {
            report.show(top);
        }
        Ok(())
    }
}

async fn gather(store: &dyn Store, config: &Config, days: u32, now: Timestamp) -> anyhow::Result<Material> {
    let today = Grain::Day.at(now).number;
    let days = Days { first: today + 1 - i64::from(days), last: today };
    let totals = store.guard_days(days, Vec::new()).await?.into_iter().collect();
    let fortnight = Days { first: today - FORTNIGHT, last: today - 1 };
    // The gateway's own, so that the thresholds are those that it decides by.
    let mut ledger = Ledger::new(config.guard.policy());
    ledger.learn_fortnight(&store.guard_days(fortnight, Vec::new()).await?, now);
    let counts = store.guard_counts(AskedCounts { now, of: AskedSubjects::All }).await?;
    ledger.learn(&counts, now);
    let decisions = decisions(store, first_moment(days.first)).await?;
    Ok(Material { days, totals, figures: ledger.overview(now), decisions })
}

async fn decisions(store: &dyn Store, since: Timestamp) -> anyhow::Result<Vec<Decision>> {
    let mut all: Vec<Decision> = Vec::new();
    loop {
        let after = all.last().map(|last| last.id);
        let filter = DecisionFilter { since: Some(since), after, limit: PAGE, ..DecisionFilter::default() };
        let page = store.guard_decisions(filter).await?;
        let is_last = page.len() < PAGE as usize;
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
}

/// When a day begins.
fn first_moment(day: i64) -> Timestamp {
    Timestamp::from_micros(day * 86_400_000_000)
}
