//! The figures of all blocks of numbers and callers.
//!
//! In memory, because a code is decided about before it is accepted; the store is told each second what was counted, and
//! tells what other nodes did. Bounded: an attack over many blocks must not take the memory of those that are known. When
//! there is no room left, a new block is counted with its country's newcomers alone.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::count::{Bucket, Count};
use super::rules::{Case, Figures, Policy, Reason, suspect};
use super::subject::Subject;
use super::tally::Tally;
use crate::ids::KeyId;
use crate::phone::{Msisdn, NumberPrefix};
use crate::time::Timestamp;

/// Subjects that are remembered at most: some ten megabytes. Kenya has a tenth as many blocks of four digits in use.
const MOST: usize = 20_000;

/// Callers among them at most. Whoever has tokens to give out makes as many callers as it likes, and they take no place of
/// blocks.
const MOST_CALLERS: usize = 5_000;

/// How often room is made at most: it takes a look at all of them.
const BETWEEN_SWEEPS: Duration = Duration::from_secs(10);

/// The figures of all.
#[derive(Debug)]
pub struct Ledger {
    policy: Policy,
    most: usize,
    most_callers: usize,
    /// How many of the tallies are of callers.
    callers: usize,
    tallies: HashMap<Subject, Tally>,
    /// Those of whom the store does not have everything.
    changed: BTreeSet<Subject>,
    /// Those of whom the store was not asked yet.
    unread: BTreeSet<Subject>,
    swept_at: Option<Timestamp>,
}

/// Something to add to what the store has, or that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entered {
    /// When.
    pub bucket: Bucket,
    /// Of whom.
    pub subject: Subject,
    /// What.
    pub count: Count,
}

/// What was decided about one code, and how it was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// When.
    pub at: Timestamp,
    /// Its block.
    pub prefix: NumberPrefix,
    /// Who sends it.
    pub caller: KeyId,
    /// Why it is suspicious, if it is.
    pub reasons: Vec<Reason>,
    subjects: Vec<Subject>,
    counted: Count,
}

impl Judged {
    /// Whether anything about it is suspicious.
    pub fn is_suspicious(&self) -> bool {
        !self.reasons.is_empty()
    }
}

impl Ledger {
    /// An empty one.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            most: MOST,
            most_callers: MOST_CALLERS,
            callers: 0,
            tallies: HashMap::new(),
            changed: BTreeSet::new(),
            unread: BTreeSet::new(),
            swept_at: None,
        }
    }

    /// Decides about one code, and counts it.
    pub fn judge(&mut self, receiver: Msisdn, caller: KeyId, now: Timestamp) -> Judged {
        self.judge_code(receiver, caller, false, now)
    }

    /// The same for a code that is checked here: whether it is verified is known without its caller saying so.
    pub fn judge_checked(&mut self, receiver: Msisdn, caller: KeyId, now: Timestamp) -> Judged {
        self.judge_code(receiver, caller, true, now)
    }

    fn judge_code(&mut self, receiver: Msisdn, caller: KeyId, is_checked: bool, now: Timestamp) -> Judged {
        let prefix = receiver.prefix(self.policy.prefix_digits);
        let (block, sender) = (Subject::Prefix(prefix), Subject::Caller(caller));
        let newcomers = (!self.is_known(&block)).then_some(Subject::Newcomers(prefix.country()));
        let of_block = self.tallies.get_mut(&block).map(|tally| tally.figures(now));
        let of_newcomers = newcomers.map(|subject| self.figures(subject, now));
        let of_sender = self.figures(sender, now);
        let is_told = is_checked || of_sender.tells_what_is_verified();
        let nothing = Figures::default();
        let case = Case {
            // A block that was never counted has nothing; one for which there is no room is not judged alone.
            prefix: of_block.as_ref().or(self.has_room(block, now).then_some(&nothing)),
            newcomers: of_newcomers.as_ref(),
            caller: &of_sender,
            is_told,
        };
        let reasons = suspect(&self.policy, &case);
        let counted = if reasons.is_empty() {
            Count { sent: 1, expected: is_told.into(), ..Count::NONE }
        } else {
            Count { suspected: 1, ..Count::NONE }
        };
        // An unknown block in an attack over many is not worth the room.
        let is_counted_alone = of_block.is_some() || reasons.is_empty();
        let block = is_counted_alone.then_some(block);
        let subjects: Vec<_> = [block, newcomers, Some(sender)].into_iter().flatten().collect();
        for subject in &subjects {
            self.add(*subject, counted, now);
        }
        Judged { at: now, prefix, caller, reasons, subjects, counted }
    }

    /// Counts it back: it was no code of its own.
    pub fn take_back(&mut self, judged: &Judged) {
        for subject in &judged.subjects {
            self.add(*subject, Count::NONE.minus(judged.counted), judged.at);
        }
    }

    /// Somebody verified a code.
    pub fn verified(&mut self, receiver: Msisdn, caller: KeyId, now: Timestamp) {
        let block = Subject::Prefix(receiver.prefix(self.policy.prefix_digits));
        let newcomers = (!self.is_known(&block)).then(|| Subject::Newcomers(receiver.country()));
        let verified = Count { verified: 1, ..Count::NONE };
        for subject in [Some(block), newcomers, Some(Subject::Caller(caller))].into_iter().flatten() {
            self.add(subject, verified, now);
        }
    }

    /// What the store does not have yet, of so many subjects at most.
    pub fn pending(&self, subjects: usize) -> Vec<Entered> {
        let of_one = |subject: &Subject| {
            let tally = self.tallies.get(subject)?;
            let entered = tally.pending().map(|(grain, number, count)| Entered {
                bucket: Bucket { grain, number },
                subject: *subject,
                count,
            });
            Some(entered.collect::<Vec<_>>()).filter(|entered| !entered.is_empty())
        };
        // Those of whom nothing is left, as their stretches of time are over, take no place of others.
        self.changed.iter().filter_map(of_one).take(subjects).flatten().collect()
    }

    /// Of how many subjects the store does not have everything.
    pub fn changed(&self) -> usize {
        self.changed.len()
    }

    /// The store has these now.
    pub fn written(&mut self, entered: &[Entered]) {
        for Entered { bucket, subject, count } in entered {
            let Some(tally) = self.tallies.get_mut(subject) else { continue };
            tally.written(bucket.grain, bucket.number, *count);
            let is_pending = tally.is_pending();
            self.set_changed(*subject, is_pending);
        }
    }

    /// Those of whom the store was not asked yet, so many at most. They count as asked from now on.
    pub fn take_unread(&mut self, subjects: usize) -> Vec<Subject> {
        let taken: Vec<_> = self.unread.iter().take(subjects).copied().collect();
        for subject in &taken {
            self.unread.remove(subject);
        }
        taken
    }

    /// They could not be asked about.
    pub fn give_back_unread(&mut self, subjects: Vec<Subject>) {
        self.unread.extend(subjects);
    }

    /// What the store has of all nodes, in these stretches of time.
    pub fn learn(&mut self, entered: &[Entered], now: Timestamp) {
        for Entered { bucket, subject, count } in entered {
            if let Some(tally) = self.track(*subject, now) {
                tally.roll(now);
                tally.learn(bucket.grain, bucket.number, *count);
            }
            self.unread.remove(subject);
        }
    }

    /// What the store has of the fourteen days before today.
    pub fn learn_fortnight(&mut self, totals: &[(Subject, Count)], now: Timestamp) {
        for (subject, total) in totals {
            if let Some(tally) = self.track(*subject, now) {
                tally.learn_fortnight(*total);
            }
            self.unread.remove(subject);
        }
    }

    /// A new day: nothing of the fourteen days before it is known yet but what is told now.
    pub fn begin_day(&mut self, totals: &[(Subject, Count)], now: Timestamp) {
        for tally in self.tallies.values_mut() {
            tally.learn_fortnight(Count::NONE);
        }
        self.learn_fortnight(totals, now);
    }

    /// Everybody's figures.
    pub fn overview(&mut self, now: Timestamp) -> BTreeMap<Subject, Figures> {
        self.tallies.iter_mut().map(|(subject, tally)| (*subject, tally.figures(now))).collect()
    }

    fn is_known(&self, block: &Subject) -> bool {
        self.tallies.get(block).is_some_and(Tally::is_known)
    }

    /// What there is of one, or nothing.
    fn figures(&mut self, subject: Subject, now: Timestamp) -> Figures {
        self.tallies.get_mut(&subject).map(|tally| tally.figures(now)).unwrap_or_default()
    }

    fn add(&mut self, subject: Subject, count: Count, at: Timestamp) {
        if let Some(tally) = self.track(subject, at) {
            tally.add(count, at);
            let is_pending = tally.is_pending();
            self.set_changed(subject, is_pending);
        }
    }

    /// One may have nothing to tell after something was added: what was counted and counted back is nothing. And it may
    /// have something after the store took what was handed out, if that was counted back meanwhile.
    fn set_changed(&mut self, subject: Subject, is_pending: bool) {
        if is_pending {
            self.changed.insert(subject);
        } else {
            self.changed.remove(&subject);
        }
    }

    fn track(&mut self, subject: Subject, now: Timestamp) -> Option<&mut Tally> {
        if !self.tallies.contains_key(&subject) {
            if !self.has_room(subject, now) {
                return None;
            }
            self.callers += usize::from(is_caller(&subject));
            self.unread.insert(subject);
        }
        match self.tallies.entry(subject) {
            Entry::Occupied(known) => Some(known.into_mut()),
            Entry::Vacant(new) => Some(new.insert(Tally::new(now))),
        }
    }

    /// Whether one more like this can be remembered; forgets idle ones if need be.
    fn has_room(&mut self, subject: Subject, now: Timestamp) -> bool {
        let is_due = self.swept_at.is_none_or(|at| now.since(at) >= BETWEEN_SWEEPS);
        if !self.is_room(&subject) && is_due {
            self.swept_at = Some(now);
            self.tallies.retain(|_, tally| !tally.is_idle(now));
            let left = &self.tallies;
            self.unread.retain(|subject| left.contains_key(subject));
            self.changed.retain(|subject| left.contains_key(subject));
            self.callers = left.keys().filter(|subject| is_caller(subject)).count();
        }
        self.is_room(&subject)
    }

    fn is_room(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Caller(_) => self.callers < self.most_callers,
            Subject::Prefix(_) => self.tallies.len() - self.callers < self.most - self.most_callers,
            // Countries are few: they may have more than the room.
            Subject::Newcomers(_) => true,
        }
    }
}

fn is_caller(subject: &Subject) -> bool {
    matches!(subject, Subject::Caller(_))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::guard::{Grain, Rule};
    use crate::phone::Country;

    const NOON: Timestamp = Timestamp::from_micros(1_795_435_200_000_000);

    fn at(seconds: u64) -> Timestamp {
        NOON.plus(Duration::from_secs(seconds))
    }

    fn caller(n: u8) -> KeyId {
        KeyId::new(Timestamp::from_micros(0), [n; 10])
    }

    /// A number of a block: 254 and four digits, and five of its own.
    fn number(block: u64, own: u64) -> Msisdn {
        Msisdn::from_parts((254_0000 + block) * 100_000 + own, Country::KE).unwrap()
    }

    /// A ledger whose caller says what is verified.
    fn told() -> Ledger {
        let mut ledger = Ledger::new(Policy::default());
        for n in 0..20 {
            ledger.judge(number(7_000, n), caller(1), NOON);
            ledger.verified(number(7_000, n), caller(1), NOON);
        }
        ledger
    }

    #[test]
    fn codes_that_nobody_verifies_become_suspicious_and_those_of_other_blocks_do_not() {
        let mut ledger = told();
        let verdicts: Vec<_> =
            (0..60).map(|n| ledger.judge(number(1_234, n), caller(1), at(300 + n)).is_suspicious()).collect();
        let passed = verdicts.iter().filter(|is_suspicious| !**is_suspicious).count();
        assert!((21..=41).contains(&passed), "{passed}");
        assert!(verdicts[59]);
        assert!(!ledger.judge(number(7_000, 99), caller(1), at(400)).is_suspicious());
    }

    #[test]
    fn what_is_taken_back_was_never_counted() {
        let mut ledger = told();
        let before = ledger.overview(at(100));
        let judged = ledger.judge(number(7_000, 50), caller(1), at(100));
        assert_ne!(ledger.overview(at(100)), before);
        ledger.take_back(&judged);
        assert_eq!(ledger.overview(at(100)), before);
    }

    #[test]
    fn what_was_counted_and_counted_back_takes_no_place_of_what_the_store_must_learn() {
        let mut ledger = Ledger::new(Policy::default());
        for block in 0..400 {
            let judged = ledger.judge(number(1_000 + block, 0), caller(1), NOON);
            ledger.take_back(&judged);
        }
        assert_eq!((ledger.changed(), ledger.pending(400)), (0, Vec::new()));
        ledger.judge(number(9_999, 0), caller(1), NOON);
        let of: BTreeSet<_> = ledger.pending(400).into_iter().map(|entered| entered.subject).collect();
        assert!(of.contains(&Subject::Prefix(number(9_999, 0).prefix(4))), "{of:?}");
    }

    #[test]
    fn what_is_counted_back_while_the_store_takes_it_is_told_the_store() {
        let mut ledger = Ledger::new(Policy::default());
        let judged = ledger.judge(number(1_000, 0), caller(1), NOON);
        let handed_out = ledger.pending(400);
        ledger.take_back(&judged);
        ledger.written(&handed_out);
        let back: Vec<_> = ledger.pending(400).iter().map(|entered| entered.count.sent).collect();
        assert_eq!(back, vec![-1; handed_out.len()]);
    }

    #[test]
    fn what_is_too_old_to_be_told_takes_no_place_either() {
        let mut ledger = Ledger::new(Policy::default());
        ledger.judge(number(1_000, 0), caller(1), NOON);
        let days_later = at(3 * 86_400);
        ledger.overview(days_later);
        ledger.judge(number(9_999, 0), caller(2), days_later);
        assert_eq!(ledger.pending(1).len(), 3);
    }

    #[test]
    fn many_blocks_with_a_few_codes_each_are_found_together() {
        let mut ledger = told();
        let suspicious = (0..400_u64).filter(|n| {
            let judged = ledger.judge(number(1_000 + n, 0), caller(1), at(300 + n));
            judged.reasons.iter().any(|reason| reason.rule == Rule::NewcomersUnverified)
        });
        assert!(suspicious.count() > 250);
        // Blocks that came when it was known are not remembered.
        assert!(ledger.tallies.len() < 200, "{}", ledger.tallies.len());
    }

    #[test]
    fn memory_is_bounded_and_known_blocks_stay() {
        let mut ledger = Ledger { most: 100, most_callers: 5, ..Ledger::new(Policy::default()) };
        let known = Subject::Prefix(number(7_000, 0).prefix(4));
        let verified = Count { sent: 90, expected: 90, verified: 80, suspected: 0 };
        ledger.learn_fortnight(&[(known, verified)], NOON);
        for n in 0..5_000 {
            ledger.judge(number(n, 0), caller(2), at(n));
            let pending = ledger.pending(1_000);
            ledger.written(&pending);
        }
        assert!(ledger.tallies.len() <= 102, "{}", ledger.tallies.len());
        assert!(ledger.is_known(&known));
    }

    #[test]
    fn callers_without_number_take_no_place_of_blocks_and_not_more_than_theirs() {
        let mut ledger = Ledger { most: 100, most_callers: 20, ..Ledger::new(Policy::default()) };
        for n in 0..5_000_u64 {
            let caller = KeyId::new(at(n), [7; 10]);
            ledger.judge(number(n % 50, 0), caller, at(n));
        }
        assert_eq!(ledger.callers, ledger.tallies.keys().filter(|subject| is_caller(subject)).count());
        assert!(ledger.callers <= 20, "{}", ledger.callers);
        let blocks = (0..50).filter(|n| {
            let block = Subject::Prefix(number(*n, 0).prefix(4));
            ledger.tallies.contains_key(&block)
        });
        assert_eq!(blocks.count(), 50);
        // Those who were quiet for an hour make room for others, once the store has what they did.
        let pending = ledger.pending(1_000);
        ledger.written(&pending);
        let (later, new) = (at(20_000), KeyId::new(at(20_000), [8; 10]));
        ledger.judge(number(1, 0), new, later);
        assert!(ledger.tallies.contains_key(&Subject::Caller(new)));
    }

    /// What nodes add up.
    #[derive(Default)]
    struct Books(BTreeMap<(Grain, i64, Subject), Count>);

    impl Books {
        fn sync(&mut self, ledger: &mut Ledger, now: Timestamp) {
            let pending = ledger.pending(usize::MAX);
            for Entered { bucket, subject, count } in &pending {
                let kept = self.0.entry((bucket.grain, bucket.number, *subject)).or_default();
                *kept = kept.plus(*count);
            }
            ledger.written(&pending);
            let all = self.0.iter().map(|((grain, number, subject), count)| Entered {
                bucket: Bucket { grain: *grain, number: *number },
                subject: *subject,
                count: *count,
            });
            ledger.learn(&all.collect::<Vec<_>>(), now);
        }
    }

    proptest! {
        #[test]
        fn nodes_that_share_a_store_come_to_the_same_figures(
            steps in proptest::collection::vec((0..3_usize, 0..5_u64, 0..40_u64, 0..4_u8), 1..120),
        ) {
            let mut nodes: Vec<_> = (0..3).map(|_| told()).collect();
            // All begin with the same, which one of them has written down.
            let mut books = Books::default();
            for node in nodes.iter_mut().skip(1) {
                *node = Ledger::new(Policy::default());
            }
            let mut now = NOON;
            for (node, block, wait, what) in steps {
                now = now.plus(Duration::from_secs(wait));
                let receiver = number(1_000 + block, wait);
                match what {
                    0 => nodes[node].verified(receiver, caller(1), now),
                    1 => books.sync(&mut nodes[node], now),
                    2 => {
                        let judged = nodes[node].judge(receiver, caller(1), now);
                        books.sync(&mut nodes[node], now);
                        nodes[node].take_back(&judged);
                    }
                    _ => {
                        nodes[node].judge(receiver, caller(1), now);
                    }
                }
            }
            for _ in 0..2 {
                for node in &mut nodes {
                    books.sync(node, now);
                }
            }
            let overviews: Vec<_> = nodes.iter_mut().map(|node| node.overview(now)).collect();
            prop_assert_eq!(&overviews[0], &overviews[1]);
            prop_assert_eq!(&overviews[1], &overviews[2]);
        }
    }
}
