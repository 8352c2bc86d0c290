//! How many messages of each lane may go to one provider now.
//!
//! Higher lanes go first by order of claiming; what is decided here is what lower lanes must leave free. A
//! lane never takes the whole rate, nor all requests under way, unless nothing stands above it: a code then
//! finds room at once, however much bulk is waiting.

use std::time::Duration;

use domain::limit::SlidingWindow;
use domain::scenario::Priority;
use domain::time::Timestamp;
use providers::pace::Pace;

/// Percent of the provider's rate that a lane and those below it may use.
const RATE_SHARE: [u32; Priority::ALL.len()] = [100, 100, 98, 95];

/// Percent of the requests under way that a lane and those below it may hold.
const SLOT_SHARE: [u32; Priority::ALL.len()] = [100, 100, 90, 75];

/// The longest pause of an account that can't be used.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Messages in one claim at most: a claim is a part of a commit that others wait for.
const MAX_CLAIM: u32 = 512;

/// The pace of one provider account, as it goes.
#[derive(Debug)]
pub(crate) struct Pacer {
    pace: Pace,
    rate: SlidingWindow,
    bulk: SlidingWindow,
    under_way: u32,
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
    pub(crate) fn new(pace: Pace, first_pause: Duration) -> Self {
        Self {
            pace,
            rate: SlidingWindow::new(pace.messages_per_second, Duration::from_secs(1)),
            bulk: SlidingWindow::new(pace.bulk_batch_size, pace.bulk_batch_interval()),
            under_way: 0,
            first_pause,
            pauses: 0,
            paused_until: Timestamp::from_micros(i64::MIN),
        }
    }

    pub(crate) fn room(&mut self, now: Timestamp) -> Room {
        let total = self.rate.available(100, now).min(MAX_CLAIM);
        let mut room = Room { at_most: [0; Priority::ALL.len()], total, requests: [0; Priority::ALL.len()] };
        for lane in Priority::ALL {
            room.at_most[lane.index()] = self.lane_room(*lane, now);
            room.requests[lane.index()] = self.free_slots(*lane);
        }
        room
    }

    fn lane_room(&mut self, lane: Priority, now: Timestamp) -> u32 {
        let slots = self.free_slots(lane);
        let rate = self.rate.available(RATE_SHARE[lane.index()], now).min(MAX_CLAIM);
        match lane {
            _ if now < self.paused_until => 0,
            // Messages with one text share a request, so a request may be good for many.
            Priority::Bulk if slots > 0 => rate.min(self.bulk.available(100, now)),
            _ => rate.min(slots),
        }
    }

    fn free_slots(&self, lane: Priority) -> u32 {
        // After a pause one request finds out whether the account can be used again.
        let slots = if self.pauses > 0 { 1 } else { self.pace.max_in_flight.max(1) };
        let open = u64::from(slots) * u64::from(SLOT_SHARE[lane.index()]);
        u32::try_from(open.div_ceil(100)).unwrap_or(u32::MAX).saturating_sub(self.under_way)
    }

    /// When the lane may take messages.
    pub(crate) fn opens(&mut self, lane: Priority, now: Timestamp) -> Opening {
        if self.lane_room(lane, now) > 0 {
            return Opening::Now;
        }
        if self.free_slots(lane) == 0 {
            return Opening::AfterRequest;
        }
        if now < self.paused_until {
            return Opening::At(self.paused_until);
        }
        let bulk = (lane == Priority::Bulk && self.bulk.available(100, now) == 0).then_some(&self.bulk);
        let rate = (self.rate.available(RATE_SHARE[lane.index()], now) == 0).then_some(&self.rate);
        // Both must open: the later one decides. Each is asked again when the first has opened.
        [bulk, rate]
            .into_iter()
            .flatten()
            .filter_map(SlidingWindow::frees_at)
            .max()
            .map_or(Opening::Now, Opening::At)
    }

    /// Notes that a message leaves.
    pub(crate) fn passes(&mut self, lane: Priority, now: Timestamp) {
        self.rate.pass(1, now);
        if lane == Priority::Bulk {
            self.bulk.pass(1, now);
        }
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

    pub(crate) fn request_starts(&mut self) {
        self.under_way += 1;
    }

    pub(crate) fn request_ended(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(250);

    fn pace() -> Pace {
        Pace {
            messages_per_second: 100,
            bulk_batch_size: 10,
            bulk_batch_interval_ms: 1_000,
            max_receivers_per_request: 1,
            max_in_flight: 20,
            connect_timeout_ms: 1_000,
            request_timeout_ms: 1_000,
        }
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(0).plus(Duration::from_millis(millis))
    }

    #[test]
    fn bulk_goes_in_batches_while_single_messages_pass() {
        let mut pacer = Pacer::new(pace(), FIRST);
        assert_eq!(pacer.room(at(0)).at_most, [20, 20, 18, 10]);
        for _ in 0..10 {
            pacer.passes(Priority::Bulk, at(0));
        }
        assert_eq!(pacer.opens(Priority::Bulk, at(1)), Opening::At(at(1_000)));
        assert_eq!(pacer.opens(Priority::Normal, at(1)), Opening::Now);
        assert_eq!(pacer.room(at(1_000)).at_most[Priority::Bulk.index()], 10);
    }

    #[test]
    fn bulk_leaves_requests_for_the_lanes_above() {
        let mut pacer = Pacer::new(pace(), FIRST);
        for _ in 0..15 {
            pacer.request_starts();
        }
        assert_eq!(pacer.opens(Priority::Bulk, at(0)), Opening::AfterRequest);
        let room = pacer.room(at(0));
        assert_eq!((room.at_most, room.requests), ([5, 5, 3, 0], [5, 5, 3, 0]));
        pacer.request_ended();
        assert_eq!(pacer.opens(Priority::Bulk, at(0)), Opening::Now);
    }

    #[test]
    fn one_request_may_carry_many_receivers() {
        let pace = Pace { max_receivers_per_request: 100, bulk_batch_size: 0, max_in_flight: 4, ..pace() };
        let mut pacer = Pacer::new(pace, FIRST);
        let room = pacer.room(at(0));
        assert_eq!(room, Room { at_most: [4, 4, 4, 95], total: 100, requests: [4, 4, 4, 3] });
    }

    #[test]
    fn an_account_that_can_not_be_used_rests_longer_each_time_and_is_probed_by_one_request() {
        let mut pacer = Pacer::new(pace(), FIRST);
        pacer.pause(None, at(0));
        pacer.pause(None, at(1));
        assert_eq!(pacer.room(at(100)).at_most, [0; 4]);
        assert_eq!(pacer.opens(Priority::Critical, at(100)), Opening::At(at(250)));
        assert_eq!(pacer.room(at(250)).requests, [1; 4]);
        pacer.pause(None, at(250));
        assert_eq!(pacer.opens(Priority::Critical, at(300)), Opening::At(at(750)));
        pacer.works();
        assert_eq!(pacer.room(at(300)).requests, [20, 20, 18, 15]);
        pacer.pause(Some(Duration::from_secs(30)), at(300));
        assert_eq!(pacer.opens(Priority::Critical, at(300)), Opening::At(at(30_300)));
    }

    #[test]
    fn the_rate_holds_over_all_lanes() {
        let mut pacer = Pacer::new(Pace { max_in_flight: 1_000, ..pace() }, FIRST);
        for _ in 0..95 {
            pacer.passes(Priority::Normal, at(0));
        }
        assert_eq!(pacer.room(at(1)).at_most, [5, 5, 3, 0]);
        assert_eq!(pacer.room(at(1)).total, 5);
    }
}
