//! What was counted of one subject lately, and what is usual with it.
//!
//! Of each length of time the stretch that runs and the one before are kept. A window that ends now is the first of them
//! and as much of the second as the window reaches back into it, as if that had been spread evenly: exact to a few percent,
//! for six numbers instead of a list of everything that happened.

use super::count::{Count, Grain};
use super::rules::Figures;
use crate::time::Timestamp;

/// Codes of a block that must have been verified within a fortnight for it to be known.
const KNOWN: i64 = 3;

/// What was counted of one stretch of time.
#[derive(Debug, Clone, Copy)]
struct Slot {
    number: i64,
    /// What the store had when it was last asked: of all nodes.
    stored: Count,
    /// What was counted here since.
    own: Count,
}

impl Slot {
    const fn empty(number: i64) -> Self {
        Self { number, stored: Count::NONE, own: Count::NONE }
    }

    fn total(&self) -> Count {
        self.stored.plus(self.own).positive()
    }
}

/// The stretch that runs, and the one before.
#[derive(Debug, Clone, Copy)]
struct Recent {
    grain: Grain,
    current: Slot,
    before: Slot,
}

impl Recent {
    const fn new(grain: Grain, now: Timestamp) -> Self {
        let number = grain.at(now).number;
        Self { grain, current: Slot::empty(number), before: Slot::empty(number - 1) }
    }

    /// Begins a new stretch when it is time. Not back again: clocks of nodes differ.
    fn roll(&mut self, now: Timestamp) {
        let number = self.grain.at(now).number;
        if number <= self.current.number {
            return;
        }
        let follows = number == self.current.number + 1;
        self.before = if follows { self.current } else { Slot::empty(number - 1) };
        self.current = Slot::empty(number);
    }

    fn window(&self, now: Timestamp) -> Count {
        let left = if self.grain.at(now).number == self.current.number { self.grain.left(now) } else { 0 };
        self.current.total().plus(self.before.total().part(left, self.grain.micros()))
    }

    fn slot(&mut self, number: i64) -> Option<&mut Slot> {
        [&mut self.current, &mut self.before].into_iter().find(|slot| slot.number == number)
    }
}

/// All that is known of one subject.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    recent: [Recent; 3],
    /// What was counted on the fourteen days before today.
    fortnight: Count,
    /// When something was last counted.
    touched: Timestamp,
}

impl Tally {
    pub(super) fn new(now: Timestamp) -> Self {
        let recent = [Grain::Minute, Grain::Hour, Grain::Day].map(|grain| Recent::new(grain, now));
        Self { recent, fortnight: Count::NONE, touched: now }
    }

    /// Counts at a moment: now, or that of what is taken back.
    pub(super) fn add(&mut self, count: Count, at: Timestamp) {
        self.touched = self.touched.max(at);
        for recent in &mut self.recent {
            recent.roll(at);
            let number = recent.grain.at(at).number;
            // Of a clock that went back: it counts where the others are.
            let number = if number < recent.before.number { recent.current.number } else { number };
            if let Some(slot) = recent.slot(number) {
                slot.own = slot.own.plus(count);
            }
        }
    }

    /// Begins new stretches of time when they are due.
    pub(super) fn roll(&mut self, now: Timestamp) {
        for recent in &mut self.recent {
            recent.roll(now);
        }
    }

    pub(super) fn figures(&mut self, now: Timestamp) -> Figures {
        self.roll(now);
        let [minute, hour, day] = &self.recent;
        Figures {
            minute: minute.window(now),
            hour: hour.window(now),
            day: day.window(now),
            yesterday: day.before.total(),
            fortnight: self.fortnight,
        }
    }

    /// Whether codes of this block are verified as a rule.
    pub(super) fn is_known(&self) -> bool {
        self.fortnight.verified >= KNOWN
    }

    /// What the store does not have yet, by stretch of time.
    pub(super) fn pending(&self) -> impl Iterator<Item = (Grain, i64, Count)> {
        let slots = self.recent.iter().flat_map(|recent| {
            [recent.before, recent.current].map(|slot| (recent.grain, slot.number, slot.own))
        });
        slots.filter(|(_, _, own)| !own.is_none())
    }

    /// Whether there is anything that the store does not have yet.
    pub(super) fn is_pending(&self) -> bool {
        self.pending().next().is_some()
    }

    /// The store has this now.
    pub(super) fn written(&mut self, grain: Grain, number: i64, count: Count) {
        if let Some(slot) = self.slot(grain, number) {
            slot.own = slot.own.minus(count);
            slot.stored = slot.stored.plus(count);
        }
    }

    /// This is what the store has of all nodes.
    pub(super) fn learn(&mut self, grain: Grain, number: i64, total: Count) {
        if let Some(slot) = self.slot(grain, number) {
            slot.stored = total;
        }
    }

    pub(super) fn learn_fortnight(&mut self, total: Count) {
        self.fortnight = total;
    }

    /// Whether it can be forgotten: nothing happened for an hour, nothing is usual, and the store has it.
    pub(super) fn is_idle(&self, now: Timestamp) -> bool {
        now.since(self.touched) >= Grain::Hour.length() && self.fortnight.verified == 0 && !self.is_pending()
    }

    fn slot(&mut self, grain: Grain, number: i64) -> Option<&mut Slot> {
        self.recent.iter_mut().find(|recent| recent.grain == grain)?.slot(number)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const NOON: Timestamp = Timestamp::from_micros(1_795_435_200_000_000);

    fn at(seconds: u64) -> Timestamp {
        NOON.plus(Duration::from_secs(seconds))
    }

    fn sent(number: i64) -> Count {
        Count { sent: number, ..Count::NONE }
    }

    #[test]
    fn what_was_counted_leaves_the_window_bit_by_bit() {
        let mut tally = Tally::new(NOON);
        tally.add(sent(60), at(10));
        assert_eq!(tally.figures(at(59)).minute, sent(60));
        assert_eq!(tally.figures(at(60)).minute, sent(60));
        assert_eq!(tally.figures(at(90)).minute, sent(30));
        assert_eq!(tally.figures(at(120)).minute, sent(0));
        assert_eq!(tally.figures(at(120)).hour, sent(60));
        assert_eq!(tally.figures(at(86_400)).yesterday, sent(60));
    }

    #[test]
    fn what_is_written_and_read_back_is_counted_once() {
        let mut tally = Tally::new(NOON);
        tally.add(sent(5), NOON);
        let pending: Vec<_> = tally.pending().collect();
        assert_eq!(pending.len(), 3);
        for (grain, number, count) in pending {
            tally.written(grain, number, count);
            // Another node has counted two.
            tally.learn(grain, number, count.plus(sent(2)));
        }
        tally.add(sent(1), NOON);
        assert_eq!(tally.figures(NOON).minute, sent(8));
        assert_eq!(tally.pending().map(|(_, _, own)| own.sent).sum::<i64>(), 3);
    }

    proptest! {
        #[test]
        fn a_window_holds_no_more_than_happened_and_all_of_the_running_stretch(
            steps in proptest::collection::vec((0..50_000_000_i64, 1..20_i64), 1..60),
        ) {
            let (mut tally, mut now, mut all) = (Tally::new(NOON), NOON, Vec::new());
            for (step, number) in steps {
                now = Timestamp::from_micros(now.as_micros() + step);
                tally.add(sent(number), now);
                all.push((now, number));
                let sum = |since: i64| -> i64 {
                    let counted = all.iter().filter(|(at, _)| at.as_micros() >= since);
                    counted.map(|(_, number)| number).sum()
                };
                for (grain, window) in [
                    (Grain::Minute, tally.figures(now).minute),
                    (Grain::Hour, tally.figures(now).hour),
                    (Grain::Day, tally.figures(now).day),
                ] {
                    let running = grain.at(now).number * grain.micros();
                    prop_assert!(window.sent >= sum(running), "{grain}");
                    prop_assert!(window.sent <= sum(running - grain.micros()), "{grain}");
                }
            }
        }
    }
}
