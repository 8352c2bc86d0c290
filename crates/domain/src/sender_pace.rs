//! How fast each sender ID of an account may send: a long code is often held to one message a second, whatever the
//! account may do (Twilio, "Understanding Twilio Rate Limits and Message Queues").
//!
//! A message whose sender may not send now must not block those of other senders behind it. So it leaves the front of
//! its lane for a turn of its own: each one that is put off gets the next free turn, and is moved once, however many
//! wait.

use std::collections::HashMap;
use std::time::Duration;

use crate::limit::SlidingWindow;
use crate::phone::SenderId;
use crate::scenario::Priority;
use crate::time::Timestamp;

const SECOND: Duration = Duration::from_secs(1);

/// Percent of a sender's rate that a lane and those below it may use: a code need not wait for a second of bulk.
const SHARE: [u32; Priority::ALL.len()] = [100, 100, 95, 80];

/// What each sender has sent within the last second, and which turns are given.
#[derive(Debug, Clone, Default)]
pub struct SenderPace {
    /// 0 for no limit.
    per_second: u32,
    /// `None` is the account's own sender.
    senders: HashMap<Option<SenderId>, Sender>,
}

#[derive(Debug, Clone)]
struct Sender {
    window: SlidingWindow,
    /// By lane, the next turn that nobody has.
    next_turn: [Timestamp; Priority::ALL.len()],
}

/// When a message may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Now; it counts as having left.
    Now,
    /// Not before this time, which no other message of its sender and lane has.
    At(Timestamp),
}

impl SenderPace {
    /// At most so many messages of one sender in any second; 0 for no limit.
    pub fn new(per_second: u32) -> Self {
        Self { per_second, senders: HashMap::new() }
    }

    /// Changes the limit. What has been sent goes on counting.
    pub fn set_limit(&mut self, per_second: u32) {
        self.per_second = per_second;
        self.senders.values_mut().for_each(|it| it.window.set_limit(per_second));
    }

    /// Whether there is a limit.
    pub fn is_limited(&self) -> bool {
        self.per_second > 0
    }

    /// Gives a message its turn.
    pub fn turn(&mut self, sender: Option<&SenderId>, lane: Priority, now: Timestamp) -> Turn {
        if !self.is_limited() {
            return Turn::Now;
        }
        let fresh = || Sender {
            window: SlidingWindow::new(self.per_second, SECOND),
            next_turn: [now; Priority::ALL.len()],
        };
        let it = self.senders.entry(sender.cloned()).or_insert_with(fresh);
        if it.window.available(SHARE[lane.index()], now) > 0 {
            it.window.pass(1, now);
            return Turn::Now;
        }
        let next = &mut it.next_turn[lane.index()];
        let turn = it.window.frees_at().map_or(now, |free| free.max(*next));
        *next = turn.plus(SECOND / self.per_second);
        Turn::At(turn)
    }

    /// Forgets senders that have neither sent within the last second nor given a turn away that is still to come.
    pub fn forget(&mut self, now: Timestamp) {
        self.senders.retain(|_, it| it.window.passed(now) > 0 || it.next_turn.iter().any(|turn| *turn > now));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(0).plus(Duration::from_millis(millis))
    }

    #[test]
    fn each_message_put_off_gets_a_turn_of_its_own() {
        let mut pace = SenderPace::new(2);
        let turns: Vec<_> = (0..5).map(|_| pace.turn(None, Priority::Normal, at(0))).collect();
        assert_eq!(
            turns,
            [Turn::Now, Turn::Now, Turn::At(at(1_000)), Turn::At(at(1_500)), Turn::At(at(2_000))]
        );
        assert_eq!(pace.turn(None, Priority::Normal, at(1_000)), Turn::Now);
    }

    #[test]
    fn senders_do_not_wait_for_each_other() {
        let mut pace = SenderPace::new(1);
        let named: SenderId = "CHAMA".parse().unwrap();
        assert_eq!(pace.turn(None, Priority::Bulk, at(0)), Turn::Now);
        assert_eq!(pace.turn(Some(&named), Priority::Bulk, at(0)), Turn::Now);
        assert_eq!(pace.turn(Some(&named), Priority::Bulk, at(1)), Turn::At(at(1_000)));
    }

    #[test]
    fn a_code_does_not_wait_behind_the_turns_of_bulk() {
        let mut pace = SenderPace::new(10);
        let bulk = (0..100).filter(|_| pace.turn(None, Priority::Bulk, at(0)) == Turn::Now).count();
        assert_eq!(bulk, 8);
        assert_eq!(pace.turn(None, Priority::High, at(1)), Turn::Now);
    }

    #[test]
    fn no_limit_gives_every_turn_now_and_remembers_nobody() {
        let mut pace = SenderPace::new(0);
        assert!((0..1_000).all(|_| pace.turn(None, Priority::Bulk, at(0)) == Turn::Now));
        assert!(pace.senders.is_empty());
    }

    #[test]
    fn a_sender_is_forgotten_when_nothing_of_it_is_left() {
        let mut pace = SenderPace::new(1);
        for _ in 0..3 {
            pace.turn(None, Priority::Normal, at(0));
        }
        pace.forget(at(2_500));
        assert_eq!(pace.senders.len(), 1, "a turn is still to come");
        pace.forget(at(3_000));
        assert!(pace.senders.is_empty());
    }

    proptest! {
        #[test]
        fn no_second_holds_more_than_the_limit_and_everybody_gets_through(
            limit in 1..20_u32,
            arrivals in proptest::collection::vec((0..3_000_u64, 0..4_usize), 1..80),
        ) {
            let mut pace = SenderPace::new(limit);
            let mut waiting: Vec<(Timestamp, Priority)> =
                arrivals.iter().map(|(millis, lane)| (at(*millis), Priority::ALL[*lane])).collect();
            let (mut left, mut moves) = (Vec::new(), 0);
            while !waiting.is_empty() {
                waiting.sort_by_key(|(due, lane)| (*due, lane.index()));
                let (now, lane) = waiting.remove(0);
                match pace.turn(None, lane, now) {
                    Turn::Now => left.push(now),
                    Turn::At(later) => {
                        prop_assert!(later > now);
                        waiting.push((later, lane));
                    }
                }
                moves += 1;
                prop_assert!(moves < 20 * (arrivals.len() + 1) * arrivals.len());
            }
            for from in &left {
                let within = left.iter().filter(|it| *it >= from && **it < from.plus(SECOND)).count();
                prop_assert!(within <= limit as usize);
            }
        }
    }
}
