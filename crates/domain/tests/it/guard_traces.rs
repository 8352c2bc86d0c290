//! Traces of codes: what people do, and what frauds do. The same each time, for the same seed.

use std::time::Duration;

use domain::ids::KeyId;
use domain::phone::{Country, Msisdn};
use domain::time::Timestamp;

/// A Monday at midnight.
pub(crate) const BEGIN: Timestamp = Timestamp::from_micros(1_794_787_200_000_000);

pub(crate) const DAY: Duration = Duration::from_hours(24);

/// How much of a day's traffic each hour has, in thousandths: few by night, a peak in the evening.
const HOURS: [u64; 24] =
    [8, 5, 4, 4, 6, 14, 32, 50, 58, 56, 52, 50, 52, 50, 48, 50, 54, 62, 72, 80, 74, 58, 39, 22];

/// A code that somebody asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) at: Timestamp,
    pub(crate) receiver: Msisdn,
    pub(crate) caller: KeyId,
    /// When it is typed in, if it is sent.
    pub(crate) verified_at: Option<Timestamp>,
    pub(crate) is_fraud: bool,
}

/// Numbers that look random and are not: splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators", 2014).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A moment within a stretch of time.
    fn within(&mut self, from: Timestamp, length: Duration) -> Timestamp {
        let micros = u64::try_from(length.as_micros()).unwrap();
        from.plus(Duration::from_micros(self.below(micros)))
    }

    /// A moment of a day as people live it.
    fn of_day(&mut self, day: Timestamp) -> Timestamp {
        let mut left = self.below(HOURS.iter().sum());
        let hour = HOURS.iter().position(|share| match left.checked_sub(*share) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        });
        self.within(day.plus(Duration::from_hours(hour.unwrap() as u64)), Duration::from_hours(1))
    }

    /// How long a person takes to type a code in: mostly well under a minute, sometimes minutes.
    fn patience(&mut self) -> Duration {
        let most = if self.percent(8) { 280 } else { 45 };
        Duration::from_secs(8 + self.below(most))
    }
}

pub(crate) fn caller(n: u8) -> KeyId {
    KeyId::new(Timestamp::from_micros(0), [n; 10])
}

/// Blocks of numbers of one country.
#[derive(Debug, Clone, Copy)]
struct Block {
    country: &'static str,
    /// Calling code and four digits.
    begins: u64,
    /// How many of all codes go there.
    weight: u64,
    /// Percent of codes that people of this network type in.
    verify: u64,
}

fn number(begins: u64, country: &str, own: u64) -> Msisdn {
    Msisdn::from_parts(begins * 100_000 + own % 100_000, country.parse::<Country>().unwrap()).unwrap()
}

/// The customers of a business: many in a few blocks, a few in many.
pub(crate) struct Town {
    blocks: Vec<Block>,
    pub(crate) dice: Dice,
}

impl Town {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut blocks = Vec::new();
        let of = |count: u64, country, code: u64, first: u64, step: u64, share: u64| {
            (0..count).map(move |n| (country, code * 10_000 + first + n * step, share * 1_000 / (n + 4)))
        };
        let all = of(260, "KE", 254, 7_001, 3, 20)
            .chain(of(40, "KE", 254, 1_100, 2, 6))
            .chain(of(40, "UG", 256, 7_010, 7, 3))
            .chain(of(25, "TZ", 255, 7_120, 9, 2))
            .chain(of(10, "RW", 250, 7_880, 3, 1));
        for (country, begins, weight) in all {
            // Networks differ, and some of them deliver badly.
            let verify = if dice.percent(6) { 35 + dice.below(20) } else { 70 + dice.below(22) };
            blocks.push(Block { country, begins, weight, verify });
        }
        Self { blocks, dice }
    }

    fn block(&mut self) -> Block {
        // Somebody is always the first one of a block.
        if self.dice.percent(2) {
            return Block {
                country: "KE",
                begins: 2_547_000 + self.dice.below(1_000),
                weight: 1,
                verify: 75,
            };
        }
        let mut left = self.dice.below(self.blocks.iter().map(|block| block.weight).sum());
        let found = self.blocks.iter().find(|block| match left.checked_sub(block.weight) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        });
        *found.unwrap()
    }

    /// A person asks for a code; whoever could not use it may ask for another.
    fn person(&mut self, block: Block, at: Timestamp) -> Vec<Asked> {
        let by = caller(if self.dice.percent(80) { 1 } else { 2 });
        let receiver = number(block.begins, block.country, self.dice.next());
        let mut asked = Vec::new();
        let mut at = at;
        loop {
            let verified_at = self.dice.percent(block.verify).then(|| at.plus(self.dice.patience()));
            asked.push(Asked { at, receiver, caller: by, verified_at, is_fraud: false });
            if verified_at.is_some() || asked.len() == 3 || self.dice.percent(60) {
                return asked;
            }
            at = at.plus(Duration::from_secs(40 + self.dice.below(60)));
        }
    }

    /// A day of so many people.
    pub(crate) fn day(&mut self, day: Timestamp, people: u64) -> Vec<Asked> {
        let mut asked = Vec::new();
        for _ in 0..people {
            let (block, at) = (self.block(), self.dice.of_day(day));
            asked.extend(self.person(block, at));
        }
        asked
    }

    /// So many people of a network that nobody of them was with before.
    pub(crate) fn new_network(&mut self, day: Timestamp, people: u64) -> Vec<Asked> {
        let block = Block { country: "KE", begins: 2_541_290, weight: 1, verify: 78 };
        let mut asked = Vec::new();
        for _ in 0..people {
            let at = self.dice.of_day(day);
            asked.extend(self.person(block, at));
        }
        asked
    }
}

fn fraud(receiver: Msisdn, at: Timestamp) -> Asked {
    Asked { at, receiver, caller: caller(1), verified_at: None, is_fraud: true }
}

/// Numbers of one block abroad, one after the other, within two hours.
pub(crate) fn sequential(dice: &mut Dice, day: Timestamp, codes: u64) -> Vec<Asked> {
    let begin = day.plus(Duration::from_hours(10));
    let ask = |n| fraud(number(2_507_277, "RW", 20_000 + n), dice.within(begin, Duration::from_hours(2)));
    (0..codes).map(ask).collect()
}

/// The same in small numbers, all day long.
pub(crate) fn drip(dice: &mut Dice, day: Timestamp, codes: u64) -> Vec<Asked> {
    let ask = |n: u64| fraud(number(2_557_655, "TZ", 7 * n), dice.within(day, DAY));
    (0..codes).map(ask).collect()
}

/// Many machines, each with numbers of its own: three blocks of four are such as the fraud's network has and no customer
/// is in, the others are those of customers.
pub(crate) fn botnet(town: &mut Town, day: Timestamp, codes: u64) -> Vec<Asked> {
    let begin = day.plus(Duration::from_hours(13));
    let customers: Vec<_> = town.blocks.iter().filter(|block| block.country == "KE").copied().collect();
    let dice = &mut town.dice;
    let ask = |_| {
        let begins = if dice.percent(75) {
            2_547_902 + 3 * dice.below(30)
        } else {
            customers[usize::try_from(dice.below(120)).unwrap()].begins
        };
        let own = dice.next();
        fraud(number(begins, "KE", own), dice.within(begin, Duration::from_hours(4)))
    };
    (0..codes).map(ask).collect()
}

/// Numbers of the block in which most customers are, within an hour.
pub(crate) fn among_customers(town: &mut Town, day: Timestamp, codes: u64) -> Vec<Asked> {
    let begin = day.plus(Duration::from_hours(15));
    let Block { country, begins, .. } = town.blocks[0];
    let dice = &mut town.dice;
    let ask = |_| {
        let own = dice.next();
        fraud(number(begins, country, own), dice.within(begin, Duration::from_hours(1)))
    };
    (0..codes).map(ask).collect()
}
