//! How many messages of each lane may go to one provider now.
//!
//! Higher lanes go first by order of claiming; what is decided here is what lanes must leave free for each other. A
//! lane never takes the whole rate, nor all requests under way, unless nothing stands above it: a code then finds room
//! at once, however much bulk is waiting. And while messages wait in a lane, those above leave it its guaranteed share:
//! bulk is slow beside a storm of codes, not shut.

use std::time::Duration;

use domain::limit::SlidingWindow;
use domain::scenario::Priority;
use domain::sender_pace::SenderPace;
use domain::time::Timestamp;
use providers::pace::Pace;

use crate::settings::GuaranteedShares;
use crate::share::Share;

/// Percent of the provider's rate that a lane and those below it may use.
const RATE_SHARE: [u32; Priority::ALL.len()] = [100, 100, 98, 95];

/// Percent of the requests under way that a lane and those below it may hold.
const SLOT_SHARE: [u32; Priority::ALL.len()] = [100, 100, 90, 75];

/// The longest pause of an account that can't be used.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Messages in one claim at most: a claim is a part of a commit that others wait for.
const MAX_CLAIM: u32 = 512;

/// Rates and numbers of requests below this are not divided: one message or request is more than a lane's share of them.
const LEAST_TO_DIVIDE: u32 = 10;

/// Among nodes, at most this part of a second's messages begins to leave at once.
const AT_ONCE: u32 = 25;

/// How much faster than the rate they may follow one another, in percent: claims take their time too.
const FASTER: u32 = 120;

/// Which lanes have messages that are due, as far as known.
pub(crate) type Waiting = [bool; Priority::ALL.len()];

/// Nothing is due in any lane.
const NOBODY: Waiting = [false; Priority::ALL.len()];

/// The pace of one provider account, as it goes.
#[derive(Debug)]
pub(crate) struct Pacer {
    /// Of the account.
    whole: Pace,
    /// This node's part of it.
    pace: Pace,
    share: Share,
    /// Nothing of a rate is left for this node: there are more of them than messages in a second.
    has_no_part: bool,
    guaranteed: GuaranteedShares,
    rate: SlidingWindow,
    /// Requests that begin at once, where other nodes have a part of the rate. What leaves within a moment arrives within
    /// another: a second's worth of one node would meet the next one of another, and the first half of its own.
    spread: SlidingWindow,
    bulk: SlidingWindow,
    senders: SenderPace,
    /// By lane, what it has of the rate now.
    passed: [SlidingWindow; Priority::ALL.len()],
    /// By lane, requests under way.
    under_way: [u32; Priority::ALL.len()],
    first_pause: Duration,
    /// Pauses in a row, without a request that went well between them.
    pauses: u32,
    paused_until: Timestamp,
}

/// What may be claimed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// Messages by lane.
    pub(crate) at_most: [u32; Priority::ALL.len()],
    /// Messages over all lanes.
    pub(crate) total: u32,
    /// Requests that may start, by the lane that asks for one.
    pub(crate) requests: [u32; Priority::ALL.len()],
    /// Requests that may begin now, of whichever lane.
    pub(crate) at_once: u32,
    /// Messages that lanes above leave to a lane, if something of it is due.
    pub(crate) guaranteed: [u32; Priority::ALL.len()],
    /// Requests that lanes above leave to a lane, if something of it is due.
    pub(crate) guaranteed_requests: [u32; Priority::ALL.len()],
}

/// When a lane may take messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// At once.
    Now,
    /// At this time.
    At(Timestamp),
    /// When a request under way ends.
    AfterRequest,
}

impl Pacer {
    /// `first_pause` is how long an account that can't be used rests at first; each further pause is twice as long.
    pub(crate) fn new(pace: Pace, guaranteed: GuaranteedShares, first_pause: Duration) -> Self {
        let rate = SlidingWindow::new(pace.messages_per_second, Duration::from_secs(1));
        Self {
            whole: pace,
            pace,
            share: Share::WHOLE,
            has_no_part: false,
            guaranteed,
            bulk: SlidingWindow::new(pace.bulk_batch_size, pace.bulk_batch_interval()),
            senders: SenderPace::new(pace.sender_messages_per_second),
            spread: SlidingWindow::new(0, Duration::ZERO),
            passed: std::array::from_fn(|_| rate.clone()),
            rate,
            under_way: [0; Priority::ALL.len()],
            first_pause,
            pauses: 0,
            paused_until: Timestamp::from_micros(i64::MIN),
        }
    }

    /// Divides the account's rates among the nodes.
    pub(crate) fn set_share(&mut self, share: Share) {
        if share == self.share {
            return;
        }
        self.share = share;
        let whole = &self.whole;
        let rates = [whole.messages_per_second, whole.bulk_batch_size, whole.sender_messages_per_second];
        let [rate, bulk, of_sender] = rates.map(|rate| share.part(rate));
        self.has_no_part = rates.iter().any(|rate| *rate > 0 && share.part(*rate) == 0);
        self.pace.messages_per_second = rate;
        self.rate.set_limit(rate);
        self.spread = spread(if share.of > 1 { rate } else { 0 });
        self.passed.iter_mut().for_each(|passed| passed.set_limit(rate));
        self.bulk.set_limit(bulk);
        self.senders.set_limit(of_sender);
    }

    /// What may be claimed now. What lanes keep for each other is for the claim to see to: it knows in which of them
    /// something is due.
    pub(crate) fn room(&mut self, now: Timestamp) -> Room {
        let none = [0; Priority::ALL.len()];
        let total = self.rate.available(100, now).min(MAX_CLAIM);
        let at_once = self.spread.available(100, now);
        let mut room = Room {
            at_most: none,
            total,
            requests: none,
            at_once,
            guaranteed: none,
            guaranteed_requests: none,
        };
        for lane in Priority::ALL {
            room.at_most[lane.index()] = self.lane_room(*lane, NOBODY, now);
            room.requests[lane.index()] = self.free_slots(*lane, NOBODY, now);
            if room.at_most[lane.index()] > 0 {
                room.guaranteed[lane.index()] = self.own_rate(*lane, now).min(MAX_CLAIM);
                room.guaranteed_requests[lane.index()] = self.own_slots(*lane);
            }
        }
        room
    }

    fn lane_room(&mut self, lane: Priority, waiting: Waiting, now: Timestamp) -> u32 {
        let slots = self.may_begin(lane, waiting, now);
        let rate = self.rate_room(lane, waiting, now).min(MAX_CLAIM);
        match lane {
            _ if now < self.paused_until || self.has_no_part => 0,
            // Messages with one text share a request, so a request may be good for many.
            Priority::Bulk if slots > 0 => rate.min(self.bulk.available(100, now)),
            _ => rate.min(slots),
        }
    }

    /// What a lane may take of the rate: what its cap or its guaranteed share leaves it, and not what lanes below it keep.
    fn rate_room(&mut self, lane: Priority, waiting: Waiting, now: Timestamp) -> u32 {
        let free = self.rate.available(100, now);
        let kept: u32 = self.below(lane, waiting, now).map(|below| self.own_rate(below, now)).sum();
        let own = self.own_rate(lane, now);
        self.rate.available(RATE_SHARE[lane.index()], now).max(own).min(free.saturating_sub(kept))
    }

    /// Requests that may begin now.
    fn may_begin(&mut self, lane: Priority, waiting: Waiting, now: Timestamp) -> u32 {
        self.free_slots(lane, waiting, now).min(self.spread.available(100, now))
    }

    fn free_slots(&mut self, lane: Priority, waiting: Waiting, now: Timestamp) -> u32 {
        let (slots, under_way) = (self.slots(), self.under_way.iter().sum());
        let open = u64::from(slots) * u64::from(SLOT_SHARE[lane.index()]);
        let open = u32::try_from(open.div_ceil(100)).unwrap_or(u32::MAX).saturating_sub(under_way);
        let kept: u32 = self.below(lane, waiting, now).map(|below| self.own_slots(below)).sum();
        let free = slots.saturating_sub(under_way).saturating_sub(kept);
        open.max(self.own_slots(lane)).min(free)
    }

    fn slots(&self) -> u32 {
        // After a pause one request finds out whether the account can be used again.
        if self.pauses > 0 { 1 } else { self.pace.max_in_flight.max(1) }
    }

    /// The lanes below one that have messages which could leave.
    fn below(
        &mut self,
        lane: Priority,
        waiting: Waiting,
        now: Timestamp,
    ) -> impl Iterator<Item = Priority> + use<> {
        let bulk_opens = self.bulk.available(100, now) > 0;
        let below = Priority::ALL.iter().copied().filter(move |it| *it > lane && waiting[it.index()]);
        below.filter(move |it| *it != Priority::Bulk || bulk_opens)
    }

    /// What a lane has not used of its guaranteed share of the rate.
    fn own_rate(&mut self, lane: Priority, now: Timestamp) -> u32 {
        let share = self.share(lane, self.pace.messages_per_second);
        share.saturating_sub(self.passed[lane.index()].passed(now))
    }

    /// What a lane has not used of its guaranteed share of the requests under way.
    fn own_slots(&self, lane: Priority) -> u32 {
        self.share(lane, self.slots()).saturating_sub(self.under_way[lane.index()])
    }

    fn share(&self, lane: Priority, of: u32) -> u32 {
        let percent = self.guaranteed.percent(lane);
        if of < LEAST_TO_DIVIDE || percent == 0 {
            return 0;
        }
        u32::try_from(u64::from(of) * u64::from(percent) / 100).unwrap_or(u32::MAX).max(1)
    }

    /// When the lane may take messages.
    pub(crate) fn opens(&mut self, lane: Priority, waiting: Waiting, now: Timestamp) -> Opening {
        if self.lane_room(lane, waiting, now) > 0 {
            return Opening::Now;
        }
        if self.has_no_part || self.free_slots(lane, waiting, now) == 0 {
            return Opening::AfterRequest;
        }
        if now < self.paused_until {
            return Opening::At(self.paused_until);
        }
        let rate_is_used = self.rate_room(lane, waiting, now) == 0;
        let bulk_is_used = lane == Priority::Bulk && self.bulk.available(100, now) == 0;
        let spread_is_used = self.spread.available(100, now) == 0;
        let bulk = bulk_is_used.then_some(&self.bulk);
        let rate = rate_is_used.then_some(&self.rate);
        let spread = spread_is_used.then_some(&self.spread);
        // All must open: the latest one decides. Each is asked again when the first has opened.
        [bulk, rate, spread]
            .into_iter()
            .flatten()
            .filter_map(SlidingWindow::frees_at)
            .max()
            .map_or(Opening::Now, Opening::At)
    }

    /// Notes that a message leaves.
    pub(crate) fn passes(&mut self, lane: Priority, now: Timestamp) {
        self.rate.pass(1, now);
        self.passed[lane.index()].pass(1, now);
        if lane == Priority::Bulk {
            self.bulk.pass(1, now);
        }
    }

    /// How the senders stand: for a claim, which answers how they stand after it.
    pub(crate) fn senders(&mut self, now: Timestamp) -> SenderPace {
        self.senders.forget(now);
        self.senders.clone()
    }

    pub(crate) fn set_senders(&mut self, senders: SenderPace) {
        self.senders = senders;
    }

    /// Notes that the account can't be used now: too many requests, out of order, no money, wrong credentials. A
    /// pause keeps what is waiting from being tried in vain, message by message. Requests that fail together
    /// make one pause.
    pub(crate) fn pause(&mut self, retry_after: Option<Duration>, now: Timestamp) {
        if now < self.paused_until {
            return;
        }
        let pause = self.first_pause.saturating_mul(1 << self.pauses.min(16)).min(LONGEST_PAUSE);
        self.pauses = self.pauses.saturating_add(1);
        self.paused_until = now.plus(pause.max(retry_after.unwrap_or_default()));
    }

    /// Nothing is to leave before this time: the breaker is open. One request then finds out whether the account
    /// can be used again.
    pub(crate) fn leave_until(&mut self, until: Timestamp) {
        self.pauses = self.pauses.max(1);
        self.paused_until = self.paused_until.max(until);
    }

    /// Whether nothing is to leave now, however much room there is.
    pub(crate) fn is_paused(&self, now: Timestamp) -> bool {
        now < self.paused_until
    }

    /// Notes that the account can be used.
    pub(crate) fn works(&mut self) {
        self.pauses = 0;
        self.paused_until = Timestamp::from_micros(i64::MIN);
    }

    pub(crate) fn request_starts(&mut self, lane: Priority, now: Timestamp) {
        self.under_way[lane.index()] += 1;
        self.spread.pass(1, now);
    }

    pub(crate) fn request_ended(&mut self, lane: Priority) {
        let under_way = &mut self.under_way[lane.index()];
        *under_way = under_way.saturating_sub(1);
    }
}

/// How requests are spread that have to keep to a rate together with those of other nodes; 0 for not at all.
fn spread(rate: u32) -> SlidingWindow {
    let at_once = (rate / AT_ONCE).max(1);
    let micros = u64::from(at_once) * 1_000_000 * 100 / (u64::from(rate.max(1)) * u64::from(FASTER));
    SlidingWindow::new(if rate == 0 { 0 } else { at_once }, Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(250);

    fn pace() -> Pace {
        Pace {
            messages_per_second: 100,
            sender_messages_per_second: 0,
            bulk_batch_size: 10,
            bulk_batch_interval_ms: 1_000,
            max_receivers_per_request: 1,
            max_in_flight: 20,
            connect_timeout_ms: 1_000,
            request_timeout_ms: 1_000,
        }
    }

    fn pacer(pace: Pace) -> Pacer {
        Pacer::new(pace, GuaranteedShares::default(), FIRST)
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(0).plus(Duration::from_millis(millis))
    }

    #[test]
    fn bulk_goes_in_batches_while_single_messages_pass() {
        let mut pacer = pacer(pace());
        assert_eq!(pacer.room(at(0)).at_most, [20, 20, 18, 10]);
        for _ in 0..10 {
            pacer.passes(Priority::Bulk, at(0));
        }
        assert_eq!(pacer.opens(Priority::Bulk, NOBODY, at(1)), Opening::At(at(1_000)));
        assert_eq!(pacer.opens(Priority::Normal, NOBODY, at(1)), Opening::Now);
        assert_eq!(pacer.room(at(1_000)).at_most[Priority::Bulk.index()], 10);
    }

    #[test]
    fn bulk_leaves_requests_for_the_lanes_above() {
        let mut pacer = pacer(pace());
        for _ in 0..15 {
            pacer.request_starts(Priority::Bulk, at(0));
        }
        assert_eq!(pacer.opens(Priority::Bulk, NOBODY, at(0)), Opening::AfterRequest);
        let room = pacer.room(at(0));
        assert_eq!((room.at_most, room.requests), ([5, 5, 3, 0], [5, 5, 3, 0]));
        pacer.request_ended(Priority::Bulk);
        assert_eq!(pacer.opens(Priority::Bulk, NOBODY, at(0)), Opening::Now);
    }

    #[test]
    fn one_request_may_carry_many_receivers() {
        let pace = Pace { max_receivers_per_request: 100, bulk_batch_size: 0, max_in_flight: 4, ..pace() };
        let mut pacer = pacer(pace);
        let room = pacer.room(at(0));
        let (requests, none) = ([4, 4, 4, 3], [0; 4]);
        let guaranteed = [0, 20, 10, 5];
        assert_eq!((room.at_most, room.total), ([4, 4, 4, 95], 100));
        assert_eq!(
            (room.requests, room.guaranteed, room.guaranteed_requests),
            (requests, guaranteed, none),
            "four requests are not divided"
        );
    }

    #[test]
    fn an_account_that_can_not_be_used_rests_longer_each_time_and_is_probed_by_one_request() {
        let mut pacer = pacer(pace());
        pacer.pause(None, at(0));
        pacer.pause(None, at(1));
        assert_eq!(pacer.room(at(100)).at_most, [0; 4]);
        assert_eq!(pacer.opens(Priority::Critical, NOBODY, at(100)), Opening::At(at(250)));
        assert_eq!(pacer.room(at(250)).requests, [1; 4]);
        pacer.pause(None, at(250));
        assert_eq!(pacer.opens(Priority::Critical, NOBODY, at(300)), Opening::At(at(750)));
        pacer.works();
        assert_eq!(pacer.room(at(300)).requests, [20, 20, 18, 15]);
        pacer.pause(Some(Duration::from_secs(30)), at(300));
        assert_eq!(pacer.opens(Priority::Critical, NOBODY, at(300)), Opening::At(at(30_300)));
    }

    #[test]
    fn nodes_divide_the_rates_and_what_has_passed_counts() {
        let mut pacer = pacer(Pace { max_in_flight: 1_000, ..pace() });
        for _ in 0..40 {
            pacer.passes(Priority::High, at(0));
        }
        pacer.set_share(Share { rank: 1, of: 3 });
        let room = pacer.room(at(1));
        assert_eq!((room.total, room.guaranteed), (0, [0; 4]));
        let room = pacer.room(at(1_000));
        assert_eq!((room.total, room.at_most[Priority::Bulk.index()]), (33, 3));
        pacer.set_share(Share { rank: 11, of: 12 });
        assert_eq!(
            pacer.room(at(1_000)).at_most,
            [0; 4],
            "ten messages a batch are not enough for twelve nodes"
        );
        assert_eq!(pacer.opens(Priority::High, NOBODY, at(1_000)), Opening::AfterRequest);
        pacer.set_share(Share::WHOLE);
        assert_eq!(pacer.room(at(1_000)).total, 100);
    }

    #[test]
    fn the_rate_holds_over_all_lanes() {
        let mut pacer = pacer(Pace { max_in_flight: 1_000, ..pace() });
        for _ in 0..95 {
            pacer.passes(Priority::Normal, at(0));
        }
        assert_eq!(pacer.room(at(1)).at_most, [5, 5, 3, 5]);
        assert_eq!(pacer.room(at(1)).total, 5);
    }

    #[test]
    fn what_a_lane_has_not_used_of_its_share_of_the_rate_is_kept_for_it() {
        let mut pacer = pacer(Pace { max_in_flight: 1_000, bulk_batch_size: 0, ..pace() });
        assert_eq!(pacer.room(at(0)).guaranteed, [0, 20, 10, 5]);
        for _ in 0..92 {
            pacer.passes(Priority::High, at(0));
        }
        for _ in 0..3 {
            pacer.passes(Priority::Bulk, at(0));
        }
        let room = pacer.room(at(1));
        assert_eq!((room.total, room.at_most, room.guaranteed), (5, [5, 5, 5, 2], [0, 0, 10, 2]));
        let waiting = [false, false, true, true];
        assert_eq!(pacer.opens(Priority::High, waiting, at(1)), Opening::At(at(1_000)));
        assert_eq!(pacer.opens(Priority::Normal, waiting, at(1)), Opening::Now);
        assert_eq!(pacer.opens(Priority::High, NOBODY, at(1)), Opening::Now);
    }

    #[test]
    fn what_a_lane_has_not_used_of_its_share_of_the_requests_is_kept_for_it() {
        let mut pacer = pacer(Pace { messages_per_second: 0, max_in_flight: 100, ..pace() });
        let waiting = [false, false, false, true];
        for _ in 0..95 {
            pacer.request_starts(Priority::High, at(0));
        }
        let room = pacer.room(at(0));
        assert_eq!((room.requests, room.guaranteed_requests), ([5, 5, 5, 5], [0, 0, 10, 5]));
        assert_eq!(pacer.opens(Priority::High, waiting, at(0)), Opening::AfterRequest);
        assert_eq!(pacer.opens(Priority::Bulk, waiting, at(0)), Opening::Now);
    }

    #[test]
    fn a_lane_that_could_not_use_its_share_now_keeps_nobody_waiting() {
        let mut pacer = pacer(Pace { max_in_flight: 1_000, ..pace() });
        for _ in 0..10 {
            pacer.passes(Priority::Bulk, at(0));
        }
        // The batch of bulk is over until the next second.
        assert_eq!(pacer.room(at(1)).guaranteed, [0, 20, 10, 0]);
        for _ in 0..85 {
            pacer.passes(Priority::High, at(1));
        }
        assert_eq!(pacer.opens(Priority::High, [false, false, false, true], at(2)), Opening::Now);
    }

    #[test]
    fn nodes_let_little_go_at_once_and_the_whole_rate_in_a_second() {
        let mut pacer = pacer(Pace { max_in_flight: 1_000, messages_per_second: 300, ..pace() });
        pacer.set_share(Share { rank: 0, of: 3 });
        let (mut now, mut left) = (at(0), 0);
        while now < at(1_000) {
            let room = pacer.room(now).at_most[Priority::Normal.index()];
            assert!(room <= 4, "{room} at once");
            for _ in 0..room {
                pacer.passes(Priority::Normal, now);
                pacer.request_starts(Priority::Normal, now);
            }
            left += room;
            let Opening::At(next) = pacer.opens(Priority::Normal, NOBODY, now) else {
                panic!("it stays open")
            };
            now = next;
        }
        // The lane may use 98 of a hundred.
        assert_eq!(left, 98);
    }
}
