//! Decisions on their way to the store: one for all suspicious messages of a caller to a block of numbers within a minute, so
//! that an attack writes a row a minute and not one for each message.

use std::collections::HashMap;

use domain::guard::ledger::Judged;
use domain::guard::{Grain, Mode};
use domain::ids::{DecisionId, KeyId, MessageId};
use domain::phone::{Country, NumberPrefix};
use domain::scenario::Scenario;
use domain::time::Timestamp;
use store::port::guard::Decision;

use crate::fresh;

/// Decisions of a minute that are told apart by block. Beyond it there is one for each country and caller.
const MOST: usize = 1_000;

/// Messages of a decision that are looked at again.
const SAMPLES: i64 = 10;

/// Decisions that wait for a store that is away. Beyond it they are forgotten.
const MOST_WAITING: usize = 10 * MOST;

/// What a decision is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct About {
    country: Country,
    prefix: Option<NumberPrefix>,
    caller: KeyId,
    scenario: Scenario,
}

/// A decision of this minute.
#[derive(Debug)]
struct Open {
    /// Its numbers are what the store does not have yet.
    decision: Decision,
    /// In all.
    sampled: i64,
}

/// Decisions that the store does not have, or not all of.
#[derive(Debug, Default)]
pub(super) struct Decisions {
    minute: i64,
    open: HashMap<About, Open>,
    /// Those of minutes that are over.
    waiting: Vec<Decision>,
    samples: Vec<(MessageId, DecisionId)>,
}

impl Decisions {
    /// Notes a suspicious message. Answers the decision that it belongs to.
    pub(super) fn note(
        &mut self,
        judged: &Judged,
        scenario: Scenario,
        message: MessageId,
        mode: Mode,
    ) -> DecisionId {
        self.begin_minute(judged.at);
        let about = self.about(judged, scenario);
        let open = self.open.entry(about).or_insert_with(|| Open {
            decision: Decision {
                id: fresh::decision_id(judged.at),
                at: judged.at,
                last_at: judged.at,
                mode,
                country: about.country,
                prefix: about.prefix,
                caller: about.caller,
                scenario,
                reasons: judged.reasons.clone(),
                messages: 0,
                sampled: 0,
                confirmed: 0,
            },
            sampled: 0,
        });
        open.decision.messages += 1;
        open.decision.last_at = open.decision.last_at.max(judged.at);
        if mode == Mode::Shadow && open.sampled < SAMPLES {
            open.sampled += 1;
            open.decision.sampled += 1;
            self.samples.push((message, open.decision.id));
        }
        open.decision.id
    }

    /// The message was none of its own. What is known of an earlier minute stays: nobody looks at it so closely.
    pub(super) fn take_back(&mut self, judged: &Judged, scenario: Scenario, message: MessageId) {
        if Grain::Minute.at(judged.at).number != self.minute {
            return;
        }
        let about = self.about(judged, scenario);
        let Some(open) = self.open.get_mut(&about) else { return };
        open.decision.messages -= 1;
        let before = self.samples.len();
        self.samples.retain(|(sample, _)| *sample != message);
        if self.samples.len() < before {
            open.sampled -= 1;
            open.decision.sampled -= 1;
        }
    }

    /// What the store does not have.
    pub(super) fn hand_out(&mut self, now: Timestamp) -> (Vec<Decision>, Vec<(MessageId, DecisionId)>) {
        self.begin_minute(now);
        let mut decisions = std::mem::take(&mut self.waiting);
        for open in self.open.values_mut().filter(|open| has_news(&open.decision)) {
            decisions.push(open.decision.clone());
            open.decision.messages = 0;
            open.decision.sampled = 0;
        }
        (decisions, std::mem::take(&mut self.samples))
    }

    /// The store could not take them.
    pub(super) fn put_back(&mut self, decisions: Vec<Decision>, samples: Vec<(MessageId, DecisionId)>) {
        if self.waiting.len() + decisions.len() <= MOST_WAITING {
            self.waiting.extend(decisions);
            self.samples.extend(samples);
        }
    }

    fn begin_minute(&mut self, now: Timestamp) {
        let minute = Grain::Minute.at(now).number;
        if minute <= self.minute {
            return;
        }
        self.minute = minute;
        let over = std::mem::take(&mut self.open).into_values().map(|open| open.decision);
        self.waiting.extend(over.filter(has_news));
    }

    fn about(&self, judged: &Judged, scenario: Scenario) -> About {
        let country = judged.prefix.country();
        let about = About { country, prefix: Some(judged.prefix), caller: judged.caller, scenario };
        if self.open.len() < MOST || self.open.contains_key(&about) {
            about
        } else {
            About { prefix: None, ..about }
        }
    }
}

fn has_news(decision: &Decision) -> bool {
    decision.messages != 0 || decision.sampled != 0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::guard::{Ledger, Limits, Policy};
    use domain::phone::Msisdn;

    use super::*;

    const NOON: Timestamp = Timestamp::from_micros(1_795_435_200_000_000);

    /// A judgment of a suspicious message to this block.
    fn suspicious(block: u64, now: Timestamp) -> Judged {
        let limits = Limits { per_minute: 1, per_hour: 1, per_day: 1 };
        let mut ledger = Ledger::new(Policy { prefix: limits, ..Policy::default() });
        let receiver = Msisdn::from_parts((254_0000 + block) * 100_000, Country::KE).unwrap();
        let caller = KeyId::new(NOON, [1; 10]);
        ledger.judge(receiver, caller, now);
        ledger.judge(receiver, caller, now)
    }

    fn message(n: u8) -> MessageId {
        MessageId::new(NOON, [n; 10])
    }

    fn note(decisions: &mut Decisions, block: u64, n: u8, now: Timestamp) -> DecisionId {
        decisions.note(&suspicious(block, now), Scenario::Otp, message(n), Mode::Shadow)
    }

    #[test]
    fn messages_of_a_minute_to_one_block_are_one_decision() {
        let mut decisions = Decisions::default();
        let first = note(&mut decisions, 7_123, 1, NOON);
        assert_eq!(note(&mut decisions, 7_123, 2, NOON), first);
        assert_ne!(note(&mut decisions, 7_124, 3, NOON), first);
        let (handed, samples) = decisions.hand_out(NOON);
        assert_eq!((handed.len(), samples.len()), (2, 3));
        assert_eq!(handed.iter().map(|decision| decision.messages).sum::<i64>(), 3);
        // Only what came since is handed out again, and the next minute has a decision of its own.
        assert_eq!(note(&mut decisions, 7_123, 4, NOON), first);
        assert_eq!(decisions.hand_out(NOON).0[0].messages, 1);
        assert_eq!(decisions.hand_out(NOON).0, []);
        assert_ne!(note(&mut decisions, 7_123, 5, NOON.plus(Duration::from_mins(1))), first);
    }

    #[test]
    fn what_is_taken_back_is_not_handed_out() {
        let mut decisions = Decisions::default();
        note(&mut decisions, 7_123, 1, NOON);
        decisions.take_back(&suspicious(7_123, NOON), Scenario::Otp, message(1));
        assert_eq!(decisions.hand_out(NOON), (Vec::new(), Vec::new()));
    }

    #[test]
    fn what_the_store_could_not_take_is_handed_out_again() {
        let mut decisions = Decisions::default();
        note(&mut decisions, 7_123, 1, NOON);
        let (handed, samples) = decisions.hand_out(NOON);
        decisions.put_back(handed.clone(), samples.clone());
        assert_eq!(decisions.hand_out(NOON.plus(Duration::from_mins(5))), (handed, samples));
    }

    #[test]
    fn attack_over_many_blocks_has_a_bounded_number_of_decisions() {
        let mut decisions = Decisions::default();
        for block in 0..3_000 {
            note(&mut decisions, block, 1, NOON);
        }
        let (handed, _) = decisions.hand_out(NOON);
        assert_eq!(handed.len(), MOST + 1);
        assert_eq!(handed.iter().map(|decision| decision.messages).sum::<i64>(), 3_000);
    }
}
