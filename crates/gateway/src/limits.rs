//! How many messages may go to one receiver, to one group, from one caller.
//!
//! A limit is a quota in the store (`domain::quota`), so that it holds for all nodes and after a restart. What it is for is
//! kept as a keyed hash: who finds the table learns neither a number nor an address.

use std::net::IpAddr;
use std::time::Duration;

use domain::message::Message;
use domain::quota::{Allowance, Draw};
use domain::scenario::Scenario;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use store::Store;

/// What the key of the hashes is derived for.
const PURPOSE: &str = "limits";

/// What a limit counts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitBy {
    /// The receiver: the canonical number, however it was written.
    Receiver,
    /// The group that the caller names; messages without one are a group of their caller.
    Group,
    /// The API key.
    Caller,
    /// The address of the end user, as the caller tells it; messages without one are not counted.
    Client,
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
            Self::All => "all",
        }
    }

    /// Every one.
    pub const ALL: &[Self] = &[Self::Receiver, Self::Group, Self::Caller, Self::Client, Self::All];

    /// The field of a request that it is about, as a JSON pointer; empty for the request.
    pub const fn pointer(self) -> &'static str {
        match self {
            Self::Receiver => "/receiver",
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
    /// What it counts by.
    pub by: LimitBy,
    /// How many messages in a period.
    pub limit: u32,
    /// How long the period is.
    pub period: Duration,
}

impl LimitRule {
    fn is_for(&self, scenario: Scenario) -> bool {
        self.scenarios.is_empty() || self.scenarios.contains(&scenario)
    }
}

/// The limits of a gateway.
pub(crate) struct Limits {
    rules: Vec<LimitRule>,
    key: Hmac<Sha256>,
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Limits").field(&self.rules).finish()
    }
}

impl Limits {
    pub(crate) fn new(rules: &[LimitRule], store: &dyn Store) -> Self {
        let key = store.derive_key(PURPOSE);
        let mut block = [0; 64];
        block[..key.len()].copy_from_slice(&*key);
        // A key that is filled up with zeros to a block is the same key (RFC 2104).
        Self { rules: rules.to_vec(), key: Hmac::new(&block.into()) }
    }

    /// The rules that a message counts for, in order.
    pub(crate) fn rules_for<'a>(
        &'a self,
        message: &'a Message,
        client: Option<IpAddr>,
    ) -> impl Iterator<Item = &'a LimitRule> {
        self.rules.iter().filter(move |rule| {
            rule.is_for(message.scenario) && (rule.by != LimitBy::Client || client.is_some())
        })
    }

    /// What a message draws, in the order of [`rules_for`](Self::rules_for).
    pub(crate) fn draws(&self, message: &Message, client: Option<IpAddr>) -> Vec<Draw> {
        let draw = |rule: &LimitRule| Draw {
            quota: self.quota(rule, message, client),
            allowance: Allowance::Rate { limit: rule.limit, period: rule.period },
            amount: 1,
        };
        self.rules_for(message, client).map(draw).collect()
    }

    fn quota(&self, rule: &LimitRule, message: &Message, client: Option<IpAddr>) -> i64 {
        let mut hash = self.key.clone();
        let mut feed = |bytes: &[u8]| {
            hash.update(&(bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        feed(rule.name.as_bytes());
        match rule.by {
            LimitBy::Receiver => feed(&message.receiver.number().to_be_bytes()),
            LimitBy::Group => {
                feed(message.group.as_deref().unwrap_or_default().as_bytes());
                if message.group.is_none() {
                    feed(message.caller.as_bytes());
                }
            }
            LimitBy::Caller => feed(message.caller.as_bytes()),
            LimitBy::Client => match client.map(|address| address.to_canonical()) {
                Some(IpAddr::V4(address)) => feed(&address.octets()),
                // A user has all addresses of a /64.
                Some(IpAddr::V6(address)) => feed(&address.octets()[..8]),
                None => {}
            },
            LimitBy::All => {}
        }
        let hash: [u8; 32] = hash.finalize().into_bytes().into();
        i64::from_be_bytes([hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]])
    }
}
