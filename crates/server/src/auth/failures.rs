//! Failed authentications, counted by the address they come from: guessing is slow, then refused for a while.
//!
//! Only requests that fail are slowed or refused. Whoever shows a valid key is served whatever others at its address do:
//! many callers may stand behind one. What is kept is bounded, and forgotten after a while.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use domain::time::{Clock, Timestamp};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// Failures that are answered at once: a key that was set wrong is put right by a person.
const FREE: u32 = 5;
/// The wait before the answer to the first failure after those; doubled for each further one.
const FIRST_DELAY: Duration = Duration::from_millis(100);
/// Failures of which the answer is waited for; the last one takes 3.2 seconds. What fails after them is refused.
const SLOWED: u32 = 6;
/// How long failures are refused after that, the first time; doubled each time.
const FIRST_REFUSAL: Duration = Duration::from_secs(5);
/// The same at the longest.
const LONGEST_REFUSAL: Duration = Duration::from_mins(5);
/// After how long without a failure an address is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(15);
/// Addresses that are remembered at most.
const MAX_SOURCES: usize = 10_000;
/// Answers that wait at once, at most; each holds a connection. What fails beyond it is refused.
const MAX_WAITING: usize = 256;

/// Where requests come from. Of IPv6 the network: one holder has all of its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Source(IpAddr);

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::from(address) & !u128::from(u64::MAX);
                Self(IpAddr::V6(network.into()))
            }
            v4 @ IpAddr::V4(_) => Self(v4),
        }
    }
}

/// What is known of an address.
#[derive(Debug, Clone, Copy)]
struct Record {
    failures: u32,
    last: Timestamp,
    refused_until: Timestamp,
}

/// Why a failure is not answered as such.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused {
    /// How long failures of this address will be refused.
    pub(super) retry_after: Duration,
}

/// What becomes of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Wait(Duration),
    Refuse(Duration),
}

/// All failures.
#[derive(Debug)]
pub(super) struct Failures {
    clock: Arc<dyn Clock>,
    records: Mutex<HashMap<Source, Record>>,
    waiting: Semaphore,
}

impl Failures {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, records: Mutex::default(), waiting: Semaphore::new(MAX_WAITING) }
    }

    /// Whether failures from there are refused for now.
    pub(super) fn is_refused(&self, source: Source) -> bool {
        let now = self.clock.now();
        self.records.lock().get(&source).is_some_and(|record| now < record.refused_until)
    }

    /// Counts a failure, and returns when it may be answered.
    pub(super) async fn count(&self, source: Source) -> Result<(), Refused> {
        let now = self.clock.now();
        match self.judge(source, now) {
            Verdict::Wait(delay) if delay.is_zero() => Ok(()),
            Verdict::Wait(delay) => {
                let Ok(_waiting) = self.waiting.try_acquire() else {
                    return Err(Refused { retry_after: FIRST_REFUSAL });
                };
                self.clock.sleep_until(now.plus(delay)).await;
                Ok(())
            }
            Verdict::Refuse(retry_after) => Err(Refused { retry_after }),
        }
    }

    fn judge(&self, source: Source, now: Timestamp) -> Verdict {
        let mut records = self.records.lock();
        if records.len() >= MAX_SOURCES && !records.contains_key(&source) {
            make_room(&mut records, now);
        }
        let begin = Record { failures: 0, last: now, refused_until: now };
        let record = records.entry(source).or_insert(begin);
        if now.since(record.last) >= FORGOTTEN_AFTER && now >= record.refused_until {
            *record = begin;
        }
        if now < record.refused_until {
            // Not counted: a program that goes on asking is not refused for ever longer by that alone.
            return Verdict::Refuse(record.refused_until.since(now));
        }
        record.failures = record.failures.saturating_add(1);
        record.last = now;
        let beyond = record.failures.saturating_sub(FREE + SLOWED);
        if beyond == 0 {
            return Verdict::Wait(doubled(FIRST_DELAY, record.failures.saturating_sub(FREE)));
        }
        let refused_for = doubled(FIRST_REFUSAL, beyond).min(LONGEST_REFUSAL);
        record.refused_until = now.plus(refused_for);
        Verdict::Refuse(refused_for)
    }
}

/// Nothing for zero, then the first, and twice as much for each further one.
fn doubled(first: Duration, times: u32) -> Duration {
    match times {
        0 => Duration::ZERO,
        times => first.saturating_mul(2_u32.saturating_pow(times - 1)),
    }
}

/// Forgets what is old enough, or else the older half: not one by one, so that a flood does not pay for each.
fn make_room(records: &mut HashMap<Source, Record>, now: Timestamp) {
    records.retain(|_, record| now.since(record.last) < FORGOTTEN_AFTER);
    if records.len() < MAX_SOURCES {
        return;
    }
    let mut times: Vec<_> = records.values().map(|record| record.last).collect();
    let middle = times.len() / 2;
    let (_, median, _) = times.select_nth_unstable(middle);
    let median = *median;
    let later = records.values().filter(|record| record.last > median).count();
    // Of those of one moment as many as make it a half.
    let mut left = middle.saturating_sub(later);
    records.retain(|_, record| {
        let is_kept = record.last > median || record.last == median && left > 0;
        left -= usize::from(is_kept && record.last == median);
        is_kept
    });
}

#[cfg(test)]
mod tests {
    use testkit::clock::FakeClock;

    use super::*;

    fn failures() -> (Arc<FakeClock>, Failures) {
        let clock = Arc::new(FakeClock::new());
        (Arc::clone(&clock), Failures::new(clock))
    }

    fn source(n: u32) -> Source {
        IpAddr::from(n.to_be_bytes()).into()
    }

    fn judged(failures: &Failures, source: Source, times: usize) -> Vec<Verdict> {
        (0..times).map(|_| failures.judge(source, failures.clock.now())).collect()
    }

    #[test]
    fn a_few_failures_are_answered_at_once_then_slower_and_slower_then_not() {
        let (clock, failures) = failures();
        let wait = |millis| Verdict::Wait(Duration::from_millis(millis));
        let refuse = |seconds| Verdict::Refuse(Duration::from_secs(seconds));
        let mut expected = vec![wait(0); 5];
        expected.extend([100, 200, 400, 800, 1_600, 3_200].map(wait));
        expected.push(refuse(5));
        assert_eq!(judged(&failures, source(1), 12), expected);
        // What fails meanwhile makes it no longer.
        clock.advance(Duration::from_secs(2));
        assert_eq!(judged(&failures, source(1), 3), [refuse(3); 3]);
        for seconds in [10, 20, 40, 80, 160, 300, 300] {
            clock.advance(LONGEST_REFUSAL);
            assert_eq!(judged(&failures, source(1), 1), [refuse(seconds)]);
        }
    }

    #[test]
    fn one_address_does_not_pay_for_another() {
        let (_clock, failures) = failures();
        judged(&failures, source(1), 12);
        assert!(failures.is_refused(source(1)) && !failures.is_refused(source(2)));
        assert_eq!(judged(&failures, source(2), 1), [Verdict::Wait(Duration::ZERO)]);
    }

    #[test]
    fn failures_are_forgotten_after_a_while() {
        let (clock, failures) = failures();
        judged(&failures, source(1), 12);
        clock.advance(FORGOTTEN_AFTER);
        assert!(!failures.is_refused(source(1)));
        assert_eq!(judged(&failures, source(1), 1), [Verdict::Wait(Duration::ZERO)]);
    }

    #[test]
    fn all_addresses_of_a_network_of_ipv6_are_one_source() {
        let source = |text: &str| Source::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:1"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
    }

    #[test]
    fn a_flood_from_many_addresses_takes_bounded_room_and_the_latest_stay() {
        let (clock, failures) = failures();
        judged(&failures, source(0), 12);
        for n in 1..=u32::try_from(3 * MAX_SOURCES).unwrap() {
            if n % 100 == 0 {
                clock.advance(Duration::from_millis(1));
            }
            judged(&failures, source(n), 1);
            assert!(failures.records.lock().len() <= MAX_SOURCES);
        }
        let last = source(u32::try_from(3 * MAX_SOURCES).unwrap());
        assert!(failures.records.lock().contains_key(&last));
    }
}
