//! The guard against SMS pumping: where messages may go, and whether codes are suspicious.
//!
//! It decides in memory, by what it has counted and what the store has told it of other nodes and earlier days
//! (`bookkeeping.rs`). What it counted and decided is handed over once a second. The rules are those of `domain::guard`.

mod decisions;

use domain::guard::ledger::{Entered, Judged};
use domain::guard::{AllowedCountries, Count, Ledger, Mode, Reason, Subject};
use domain::ids::{DecisionId, MessageId};
use domain::message::Message;
use domain::phone::Msisdn;
use domain::scenario::Scenario;
use domain::time::Timestamp;
use parking_lot::Mutex;
use store::port::guard::KeptByGuard;

use self::decisions::Decisions;
use crate::settings::{GuardSettings, Settings};

/// The guard of a service.
#[derive(Debug)]
pub(crate) struct Guard {
    settings: GuardSettings,
    countries: AllowedCountries,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ledger: Ledger,
    decisions: Decisions,
}

/// What the guard thinks of a message. It is counted already, and counted back by [`Guard::take_back`].
#[derive(Debug)]
pub(crate) struct Opinion {
    pub(crate) message: MessageId,
    /// What was decided, if it is suspicious.
    pub(crate) decision: Option<DecisionId>,
    scenario: Scenario,
    judged: Judged,
}

impl Opinion {
    pub(crate) fn reasons(&self) -> &[Reason] {
        &self.judged.reasons
    }
}

impl Guard {
    pub(crate) fn new(settings: &Settings) -> Self {
        let GuardSettings { countries, policy, .. } = &settings.guard;
        let state = State { ledger: Ledger::new(*policy), decisions: Decisions::default() };
        Self {
            countries: countries.clone().and_of_rules(&settings.rules).and(settings.default_region),
            settings: settings.guard.clone(),
            state: Mutex::new(state),
        }
    }

    pub(crate) fn mode(&self) -> Mode {
        self.settings.mode
    }

    /// Whether messages may go to the country of this number. Asked also when the guard is off.
    pub(crate) fn allows(&self, receiver: Msisdn) -> bool {
        self.countries.allow(receiver)
    }

    /// Whether it looks at messages of this scenario.
    pub(crate) fn watches(&self, scenario: Scenario) -> bool {
        self.settings.mode != Mode::Off && self.settings.scenarios.contains(&scenario)
    }

    /// Decides about a message that is asked for now, and counts it. `is_checked` if its code is checked here.
    pub(crate) fn judge(&self, message: &Message, is_checked: bool, now: Timestamp) -> Opinion {
        let mut state = self.state.lock();
        let judge = if is_checked { Ledger::judge_checked } else { Ledger::judge };
        let judged = judge(&mut state.ledger, message.receiver, message.caller, now);
        let decision = judged
            .is_suspicious()
            .then(|| state.decisions.note(&judged, message.scenario, message.id, self.settings.mode));
        Opinion { message: message.id, decision, scenario: message.scenario, judged }
    }

    /// It was no message of its own: the same request was made before, or it could not be stored.
    pub(crate) fn take_back(&self, opinions: &[Opinion]) {
        if opinions.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        for opinion in opinions {
            state.ledger.take_back(&opinion.judged);
            if opinion.decision.is_some() {
                state.decisions.take_back(&opinion.judged, opinion.scenario, opinion.message);
            }
        }
    }

    /// The receiver of a message has shown that it arrived.
    pub(crate) fn verified(&self, message: &Message, now: Timestamp) {
        self.state.lock().ledger.verified(message.receiver, message.caller, now);
    }

    /// What the store does not have yet, of so many subjects at most, and whether there is more; `None` if it has
    /// everything. What is handed out is [`kept`](Self::kept) or [`not_kept`](Self::not_kept).
    pub(crate) fn hand_out(&self, subjects: usize, now: Timestamp) -> Option<(KeptByGuard, bool)> {
        let mut state = self.state.lock();
        let is_more = state.ledger.changed() > subjects;
        let counts = state.ledger.pending(subjects);
        let (decisions, samples) = state.decisions.hand_out(now);
        let is_nothing = counts.is_empty() && decisions.is_empty() && samples.is_empty();
        (!is_nothing).then_some((KeptByGuard { now, counts, decisions, samples }, is_more))
    }

    /// The store has it.
    pub(crate) fn kept(&self, kept: &KeptByGuard) {
        self.state.lock().ledger.written(&kept.counts);
    }

    /// The store could not take it.
    pub(crate) fn not_kept(&self, kept: KeptByGuard) {
        self.state.lock().decisions.put_back(kept.decisions, kept.samples);
    }

    /// Those of whom the store was not asked yet.
    pub(crate) fn take_unread(&self, subjects: usize) -> Vec<Subject> {
        self.state.lock().ledger.take_unread(subjects)
    }

    pub(crate) fn give_back_unread(&self, subjects: Vec<Subject>) {
        self.state.lock().ledger.give_back_unread(subjects);
    }

    /// What the store has of the stretches of time that run.
    pub(crate) fn learn(&self, entered: &[Entered], now: Timestamp) {
        self.state.lock().ledger.learn(entered, now);
    }

    /// What it has of the fortnight before.
    pub(crate) fn learn_fortnight(&self, totals: &[(Subject, Count)], now: Timestamp) {
        self.state.lock().ledger.learn_fortnight(totals, now);
    }

    /// The same of everybody, on a new day.
    pub(crate) fn begin_day(&self, totals: &[(Subject, Count)], now: Timestamp) {
        self.state.lock().ledger.begin_day(totals, now);
    }
}
