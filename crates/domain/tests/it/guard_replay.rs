//! Traces of codes through the guard as it refuses: whom it stops, and whom it should have let pass.
//!
//! What it stops is not sent, and so not verified. The store is a map here; what it has on a new day is what the guard
//! knows of the days before.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;
use std::time::Duration;

use domain::guard::ledger::Entered;
use domain::guard::{Count, Grain, Ledger, Policy, Rule, Subject};
use domain::ids::KeyId;
use domain::phone::Msisdn;
use domain::time::Timestamp;

use crate::guard_traces::{Asked, BEGIN, DAY, Dice, Town, among_customers, botnet, drip, sequential};

/// People who ask for codes on a normal day.
const PEOPLE: u64 = 3_000;

/// Days of history before a day is looked at.
const HISTORY: u32 = 15;

/// What was stopped.
#[derive(Debug, Clone, Copy, Default)]
struct Score {
    fraud: u64,
    fraud_stopped: u64,
    people: u64,
    people_stopped: u64,
}

impl Score {
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    fn share(part: u64, whole: u64) -> f64 {
        if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
    }

    /// Of what was stopped, how much was fraud.
    fn precision(self) -> f64 {
        Self::share(self.fraud_stopped, self.fraud_stopped + self.people_stopped)
    }

    /// Of the fraud, how much was stopped.
    fn recall(self) -> f64 {
        Self::share(self.fraud_stopped, self.fraud)
    }

    /// Of people's codes, how many were stopped.
    fn harm(self) -> f64 {
        Self::share(self.people_stopped, self.people.max(1))
    }

    fn and(self, other: Self) -> Self {
        Self {
            fraud: self.fraud + other.fraud,
            fraud_stopped: self.fraud_stopped + other.fraud_stopped,
            people: self.people + other.people,
            people_stopped: self.people_stopped + other.people_stopped,
        }
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fraud, fraud_stopped, people, people_stopped } = self;
        write!(f, "people {people_stopped}/{people} stopped, harm {:.5}", self.harm())?;
        if *fraud > 0 {
            write!(f, "; fraud {fraud_stopped}/{fraud} stopped, ")?;
            write!(f, "precision {:.4}, recall {:.4}", self.precision(), self.recall())?;
        }
        Ok(())
    }
}

/// A guard at work.
struct Replay {
    ledger: Ledger,
    /// What the store has.
    books: BTreeMap<(Grain, i64, Subject), Count>,
    to_verify: BinaryHeap<Reverse<(Timestamp, Msisdn, KeyId)>>,
    /// Whether callers say what is verified.
    is_told: bool,
    synced: Timestamp,
    by_rule: BTreeMap<Rule, u64>,
}

impl Replay {
    fn new() -> Self {
        Self {
            ledger: Ledger::new(Policy::default()),
            books: BTreeMap::new(),
            to_verify: BinaryHeap::new(),
            is_told: true,
            synced: BEGIN,
            by_rule: BTreeMap::new(),
        }
    }

    /// A guard that has seen normal days.
    fn with_history(town: &mut Town) -> Self {
        let mut replay = Self::new();
        for day in 0..HISTORY {
            replay.run(town.day(BEGIN.plus(day * DAY), PEOPLE));
        }
        replay
    }

    fn run(&mut self, mut trace: Vec<Asked>) -> Score {
        trace.sort_by_key(|asked| asked.at);
        let mut score = Score::default();
        for asked in trace {
            self.pass_time(asked.at);
            let judged = self.ledger.judge(asked.receiver, asked.caller, asked.at);
            let is_stopped = judged.is_suspicious();
            if asked.is_fraud {
                score.fraud += 1;
                score.fraud_stopped += u64::from(is_stopped);
            } else {
                score.people += 1;
                score.people_stopped += u64::from(is_stopped);
                for reason in &judged.reasons {
                    *self.by_rule.entry(reason.rule).or_default() += 1;
                }
            }
            if let Some(at) = asked.verified_at.filter(|_| !is_stopped && self.is_told) {
                self.to_verify.push(Reverse((at, asked.receiver, asked.caller)));
            }
        }
        score
    }

    /// Codes that were typed in by now, and what the guard does from time to time.
    fn pass_time(&mut self, now: Timestamp) {
        while let Some(Reverse((at, receiver, caller))) = self.to_verify.peek().copied() {
            if at > now {
                break;
            }
            self.to_verify.pop();
            self.sync(at);
            self.ledger.verified(receiver, caller, at);
        }
        self.sync(now);
    }

    fn sync(&mut self, now: Timestamp) {
        let begins_day = Grain::Day.at(now) != Grain::Day.at(self.synced);
        if !begins_day && now.since(self.synced) < Duration::from_secs(20) {
            return;
        }
        self.synced = now;
        let pending = self.ledger.pending(usize::MAX);
        for Entered { bucket, subject, count } in &pending {
            let kept = self.books.entry((bucket.grain, bucket.number, *subject)).or_default();
            *kept = kept.plus(*count);
        }
        self.ledger.written(&pending);
        if begins_day {
            self.begin_day(now);
        }
    }

    fn begin_day(&mut self, now: Timestamp) {
        let today = Grain::Day.at(now).number;
        self.books.retain(|(grain, number, _), _| *grain == Grain::Day && *number >= today - 14);
        let mut totals: BTreeMap<Subject, Count> = BTreeMap::new();
        for ((_, _, subject), count) in self.books.iter().filter(|((_, number, _), _)| *number < today) {
            let total = totals.entry(*subject).or_default();
            *total = total.plus(*count);
        }
        self.ledger.begin_day(&totals.into_iter().collect::<Vec<_>>(), now);
    }
}

fn today() -> Timestamp {
    BEGIN.plus(HISTORY * DAY)
}

#[test]
fn normal_week_is_left_alone() {
    let mut town = Town::new(1);
    let mut replay = Replay::with_history(&mut town);
    let mut score = Score::default();
    for day in 0..7 {
        score = score.and(replay.run(town.day(today().plus(day * DAY), PEOPLE)));
    }
    println!("normal week: {score} {:?}", replay.by_rule);
    assert!(score.harm() <= 0.001, "{score}");
}

#[test]
fn first_days_of_all_are_left_alone() {
    let mut town = Town::new(2);
    let mut replay = Replay::new();
    let mut score = Score::default();
    for day in 0..3 {
        score = score.and(replay.run(town.day(BEGIN.plus(day * DAY), PEOPLE)));
    }
    println!("first days: {score} {:?}", replay.by_rule);
    assert!(score.harm() <= 0.002, "{score}");
}

#[test]
fn launch_day_is_left_alone() {
    let mut town = Town::new(3);
    let mut replay = Replay::with_history(&mut town);
    replay.by_rule.clear();
    let mut trace = town.day(today(), 10 * PEOPLE);
    trace.extend(town.new_network(today(), PEOPLE));
    let score = replay.run(trace);
    println!("launch day: {score} {:?}", replay.by_rule);
    assert!(score.harm() <= 0.002, "{score}");
}

#[test]
fn normal_week_of_callers_that_do_not_say_what_is_verified_is_left_alone() {
    let mut town = Town::new(4);
    let mut replay = Replay { is_told: false, ..Replay::new() };
    let mut score = Score::default();
    for day in 0..7 {
        score = score.and(replay.run(town.day(BEGIN.plus(day * DAY), PEOPLE)));
    }
    println!("normal week, nobody says what is verified: {score} {:?}", replay.by_rule);
    assert!(score.harm() <= 0.001, "{score}");
}

/// A normal day with an attack in it, after a normal fortnight; in three towns.
#[expect(clippy::print_stdout, reason = "the figures are to be seen")]
fn attacked(name: &str, attack: impl Fn(&mut Town, Timestamp) -> Vec<Asked>) -> Score {
    let mut all = Score::default();
    for seed in [5, 6, 7] {
        let mut town = Town::new(seed);
        let mut replay = Replay::with_history(&mut town);
        replay.by_rule.clear();
        let mut trace = town.day(today(), PEOPLE);
        trace.extend(attack(&mut town, today()));
        let score = replay.run(trace);
        println!("{name}, town {seed}: {score} {:?}", replay.by_rule);
        all = all.and(score);
    }
    println!("{name}: {all}");
    all
}

#[test]
fn sequential_numbers_of_one_block_abroad_are_stopped() {
    let score = attacked("sequential", |_, day| sequential(&mut Dice::new(50), day, 5_000));
    assert!(score.recall() >= 0.98 && score.precision() >= 0.99, "{score}");
}

#[test]
fn slow_drip_over_a_day_is_stopped() {
    let score = attacked("drip", |_, day| drip(&mut Dice::new(60), day, 400));
    assert!(score.recall() >= 0.9 && score.precision() >= 0.95, "{score}");
}

#[test]
fn botnet_over_many_blocks_of_an_allowed_country_is_mostly_stopped() {
    let score = attacked("botnet", |town, day| botnet(town, day, 4_000));
    assert!(score.recall() >= 0.65 && score.precision() >= 0.95, "{score}");
    assert!(score.harm() <= 0.01, "{score}");
}

#[test]
fn attack_on_a_block_of_customers_is_stopped_with_some_of_them() {
    let score = attacked("among customers", |town, day| among_customers(town, day, 2_000));
    assert!(score.recall() >= 0.9 && score.precision() >= 0.97, "{score}");
    assert!(score.harm() <= 0.01, "{score}");
}
