//! How many messages may go to one receiver, to one group, from one caller, and what they may cost.
//!
//! A limit is a quota in the store (`domain::quota`), so that it holds for all nodes and after a restart. What it is for is
//! kept as a keyed hash: who finds the table learns neither a number nor an address.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use domain::message::Message;
use domain::money::Money;
use domain::phone::{Country, Msisdn};
use domain::quota::{Allowance, Draw};
use domain::route::ProviderName;
use domain::scenario::Scenario;
use domain::time::Timestamp;
use store::Store;

use crate::keyed::KeyedHash;
use crate::spending::Tariff;

/// What the key of the hashes is derived for.
const PURPOSE: &str = "limits";

/// What a limit counts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitBy {
    /// The receiver: the canonical number, however it was written.
    Receiver,
    /// The group of this caller that it names; messages without one are a group of their own.
    Group,
    /// The API key.
    Caller,
    /// The address of the end user, as the caller tells it; messages without one are not counted.
    Client,
    /// The receiver's country.
    Country,
    /// All messages together.
    All,
}

impl LimitBy {
    /// The word in settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Receiver => "receiver",
            Self::Group => "group",
            Self::Caller => "caller",
            Self::Client => "client_ip",
            Self::Country => "country",
            Self::All => "all",
        }
    }

    /// Every one.
    pub const ALL: &[Self] =
        &[Self::Receiver, Self::Group, Self::Caller, Self::Client, Self::Country, Self::All];

    /// Whether it is about who a message goes to: others may have room.
    pub(crate) const fn is_of_receivers(self) -> bool {
        matches!(self, Self::Receiver | Self::Country)
    }

    /// The field of a request that it is about, as a JSON pointer; empty for the request.
    pub const fn pointer(self) -> &'static str {
        match self {
            Self::Receiver | Self::Country => "/receiver",
            Self::Group => "/group",
            Self::Client => "/client_ip",
            Self::Caller | Self::All => "",
        }
    }
}

/// A limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitRule {
    /// What it is called in answers and figures.
    pub name: String,
    /// The scenarios that it is for; none for all.
    pub scenarios: Vec<Scenario>,
    /// The countries of receivers that it is for; none for all.
    pub countries: Vec<Country>,
    /// What it counts by.
    pub by: LimitBy,
    /// How much it lets pass.
    pub allows: Allows,
}

/// How much a limit lets pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allows {
    /// So many messages in a period.
    Messages {
        /// How many.
        limit: u32,
        /// How long the period is.
        period: Duration,
    },
    /// Messages that cost so much on a day.
    Spending(Money),
}

impl std::fmt::Display for Allows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Messages { limit, period } => write!(f, "{limit} messages in {} seconds", period.as_secs()),
            Self::Spending(most) => write!(f, "{} {} a day", most.amount(), most.currency()),
        }
    }
}

impl LimitRule {
    fn is_for(&self, message: &Message) -> bool {
        (self.scenarios.is_empty() || self.scenarios.contains(&message.scenario))
            && (self.countries.is_empty() || self.countries.contains(&message.receiver.country()))
    }
}

/// What a message means to limits, beside what it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weight {
    /// The end user's address, as the caller tells it.
    pub(crate) client: Option<IpAddr>,
    /// What it costs by the route that it takes, where that is known.
    pub(crate) price: Option<Money>,
    /// When it is to leave: the day that pays for it.
    pub(crate) leaves_at: Timestamp,
}

/// Why a message is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// Its caller asks for it: as one more message.
    Asked,
    /// Nobody of those who are held to limits asks: it was counted already, and is paid for once more.
    Unasked,
}

/// The limits of a gateway.
pub(crate) struct Limits {
    rules: Vec<Arc<LimitRule>>,
    tariff: Tariff,
    hash: KeyedHash,
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Limits").field(&self.rules).finish()
    }
}

impl Limits {
    pub(crate) fn new(rules: Vec<LimitRule>, tariff: Tariff, store: &dyn Store) -> Self {
        let rules = rules.into_iter().map(Arc::new).collect();
        Self { rules, tariff, hash: KeyedHash::new(store, PURPOSE) }
    }

    /// What messages cost.
    pub(crate) fn tariff(&self) -> &Tariff {
        &self.tariff
    }

    /// The rules that a message counts for, in order.
    pub(crate) fn rules_for<'a>(
        &'a self,
        message: &'a Message,
        client: Option<IpAddr>,
    ) -> impl Iterator<Item = &'a Arc<LimitRule>> {
        self.rules
            .iter()
            .filter(move |rule| rule.is_for(message) && (rule.by != LimitBy::Client || client.is_some()))
    }

    /// What a message draws, in the order of [`rules_for`](Self::rules_for).
    pub(crate) fn draws(&self, message: &Message, weight: &Weight) -> Vec<Draw> {
        self.rules_for(message, weight.client).map(|rule| self.draw(rule, message, weight)).collect()
    }

    /// What a message draws that is sent again. Whose end user it is for is not known any more.
    pub(crate) fn draws_again(
        &self,
        message: &Message,
        provider: &ProviderName,
        again: Again,
        now: Timestamp,
    ) -> Vec<Draw> {
        let price = self.tariff.price(provider, message);
        let weight = Weight { client: None, price, leaves_at: now };
        self.rules_again(message, again).map(|rule| self.draw(rule, message, &weight)).collect()
    }

    /// The rule of the draw at this place of [`draws_again`](Self::draws_again).
    pub(crate) fn rule_again(&self, message: &Message, again: Again, place: usize) -> Option<Arc<LimitRule>> {
        self.rules_again(message, again).nth(place).cloned()
    }

    /// What the gateway answers to a number of its own accord, beside all rules; `what` tells kinds of answers apart.
    pub(crate) fn answer_to(&self, receiver: Msisdn, what: &[&str], allowance: Allowance) -> Draw {
        let mut hash = self.hash.clone();
        // Every rule has a name.
        hash.feed("");
        hash.feed(receiver.number().to_be_bytes());
        for part in what {
            hash.feed(part);
        }
        Draw { quota: hash.number(), allowance, amount: 1 }
    }

    fn rules_again<'a>(
        &'a self,
        message: &'a Message,
        again: Again,
    ) -> impl Iterator<Item = &'a Arc<LimitRule>> {
        let counts =
            move |rule: &LimitRule| again == Again::Asked || matches!(rule.allows, Allows::Spending(_));
        self.rules_for(message, None).filter(move |rule| counts(rule))
    }

    fn draw(&self, rule: &LimitRule, message: &Message, weight: &Weight) -> Draw {
        let mut hash = self.quota_of(rule, message, weight.client);
        let (allowance, amount) = match rule.allows {
            Allows::Messages { limit, period } => (Allowance::Rate { limit, period }, 1),
            Allows::Spending(most) => {
                let ends = self.tariff.end_of_day(weight.leaves_at);
                // Each day is a quota of its own.
                hash.feed(ends.as_micros().to_be_bytes());
                let charge = self.tariff.charge(weight.price, message.segments);
                (Allowance::Cap { most: most.micros(), ends }, charge.micros().unsigned_abs())
            }
        };
        Draw { quota: hash.number(), allowance, amount }
    }

    fn quota_of(&self, rule: &LimitRule, message: &Message, client: Option<IpAddr>) -> KeyedHash {
        let mut hash = self.hash.clone();
        hash.feed(&rule.name);
        match rule.by {
            LimitBy::Receiver => hash.feed(message.receiver.number().to_be_bytes()),
            LimitBy::Group => {
                // Its name is whatever a caller writes: nobody may use up what is another's.
                hash.feed(message.caller.as_bytes());
                message.group.iter().for_each(|group| hash.feed(group));
            }
            LimitBy::Caller => hash.feed(message.caller.as_bytes()),
            LimitBy::Client => match client.map(|address| address.to_canonical()) {
                Some(IpAddr::V4(address)) => hash.feed(address.octets()),
                // A user has all addresses of a /64.
                Some(IpAddr::V6(address)) => hash.feed(&address.octets()[..8]),
                None => {}
            },
            LimitBy::Country => hash.feed(message.receiver.country().as_str()),
            LimitBy::All => {}
        }
        hash
    }
}
