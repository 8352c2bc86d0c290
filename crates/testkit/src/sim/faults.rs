//! What goes wrong, on purpose: faults that strike at a rate, or the next so many times.
//!
//! A rule names a fault, when it strikes, and (optionally) at which provider and in which requests. Rules are
//! tried in their order. [`Fault::Slow`] adds up; of the other faults that strike a request the first is the one
//! that happens. Faults of receipts strike messages and not requests, and all that strike a message happen.

mod spec;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

pub use self::spec::SpecError;
use crate::sim::provider::Provider;
use crate::sim::seed::Seed;

/// One thing that goes wrong.
///
/// In JSON, an object with the name in snake case as `kind`: `{"kind":"error","status":503}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fault {
    /// The request waits this long before anything else happens to it. A client that leaves meanwhile was not
    /// heard: nothing is recorded.
    Slow {
        /// How long, in milliseconds.
        ms: u64,
    },
    /// HTTP 429. Nothing is recorded.
    TooManyRequests {
        /// Seconds for the header `Retry-After`; no header if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_s: Option<u32>,
    },
    /// An HTTP status from 500 to 599. Nothing is recorded.
    Error {
        /// The status.
        status: u16,
    },
    /// The credentials are refused, right as they are: HTTP 401. Nothing is recorded.
    Unauthorized,
    /// The message is refused: by Twilio with HTTP 400 and this code, by Africa's Talking with this status code
    /// for each receiver. Nothing is recorded.
    Refuse {
        /// The provider's code.
        code: u32,
    },
    /// The connection is reset when the head of the request has come. Nothing is recorded.
    ResetBeforeRead,
    /// The connection is reset when all of the request has come. Nothing is recorded, which the client cannot
    /// know.
    ResetBeforeAccept,
    /// The message is recorded and goes its way; the connection is reset without an answer.
    AcceptThenReset,
    /// The message is recorded and goes its way; the answer is an HTTP status from 500 to 599.
    AcceptThenError {
        /// The status.
        status: u16,
    },
    /// The message is recorded and goes its way; the answer comes this much later, after the client has given
    /// up.
    AcceptThenStall {
        /// How much later, in milliseconds.
        ms: u64,
    },
    /// The message is recorded and goes its way; the answer has the right status and a body cut in the middle.
    MalformedAnswer,
    /// All receipts of the message are posted, and answered, before the request that sends it is.
    ReceiptEarly,
    /// All receipts of the message come this much later.
    ReceiptLate {
        /// How much later, in milliseconds.
        ms: u64,
    },
    /// Each receipt of the message is posted this many more times.
    ReceiptDuplicate {
        /// How many more times.
        #[serde(default = "once")]
        copies: u8,
    },
    /// The receipts of the message come in the opposite order: the final one first.
    ReceiptOutOfOrder,
    /// No receipt of the message comes.
    ReceiptNever,
    /// One more receipt comes before the final one, with a status word that nobody has heard of.
    ReceiptUnknownWord,
    /// The message is not delivered: `undelivered` with 30008 at Twilio, `Failed` with `DeliveryFailure` at
    /// Africa's Talking.
    Undelivered,
}

fn once() -> u8 {
    1
}

/// When a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// By chance, from 0 (never) to 1 (always).
    Rate(f64),
    /// The next so many times, and then no more.
    Next(u32),
}

/// Which requests a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Those that send messages.
    #[default]
    Submit,
    /// All others: fetch, list, balance and so on.
    Query,
    /// All.
    Any,
}

/// A fault, and when and where it strikes.
///
/// In JSON: `{"kind":"slow","ms":200,"rate":0.1}`, `{"kind":"accept_then_reset","next":3,"provider":"twilio"}`.
/// As an option of the command line: `slow=200@0.1`, `twilio:accept-then-reset@x3`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FaultRule {
    /// What happens.
    #[serde(flatten)]
    pub fault: Fault,
    /// When.
    #[serde(flatten)]
    pub trigger: Trigger,
    /// At which provider; at all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
    /// In which requests. Means nothing for the faults of receipts.
    #[serde(default)]
    pub scope: Scope,
}

/// Why a [`FaultRule`] makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The rate is not from 0 to 1.
    #[error("a rate is a number from 0 to 1")]
    Rate,
    /// The status is not one of a server's failure.
    #[error("a status is a number from 500 to 599")]
    Status,
}

impl FaultRule {
    /// `fault` strikes by chance, from 0 (never) to 1 (always).
    pub fn at_rate(rate: f64, fault: Fault) -> Self {
        Self { fault, trigger: Trigger::Rate(rate), provider: None, scope: Scope::Submit }
    }

    /// `fault` strikes the next `count` times.
    pub fn next(count: u32, fault: Fault) -> Self {
        Self { fault, trigger: Trigger::Next(count), provider: None, scope: Scope::Submit }
    }

    /// `fault` strikes always.
    pub fn always(fault: Fault) -> Self {
        Self::at_rate(1.0, fault)
    }

    /// The same, at one provider only.
    pub fn on(self, provider: Provider) -> Self {
        Self { provider: Some(provider), ..self }
    }

    /// The same, in other requests.
    pub fn within(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    pub(crate) fn check(&self) -> Result<(), RuleError> {
        if let Trigger::Rate(rate) = self.trigger
            && !(0.0..=1.0).contains(&rate)
        {
            return Err(RuleError::Rate);
        }
        match self.fault {
            Fault::Error { status } | Fault::AcceptThenError { status } if !(500..600).contains(&status) => {
                Err(RuleError::Status)
            }
            _ => Ok(()),
        }
    }
}

/// What happens to one request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) wait: Duration,
    pub(crate) fault: Option<Fault>,
}

/// What happens to the receipts of one message.
#[expect(clippy::struct_excessive_bools, reason = "faults that strike together, not states of one thing")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ReceiptPlan {
    pub(crate) early: bool,
    pub(crate) late: Duration,
    pub(crate) copies: u8,
    pub(crate) out_of_order: bool,
    pub(crate) never: bool,
    pub(crate) unknown_word: bool,
    pub(crate) undelivered: bool,
}

/// The rules in force.
#[derive(Debug)]
pub(crate) struct Faults {
    seed: Seed,
    any: AtomicBool,
    draws: AtomicU64,
    rules: RwLock<Vec<Live>>,
}

#[derive(Debug)]
struct Live {
    rule: FaultRule,
    left: AtomicU32,
}

impl Faults {
    pub(crate) fn new(seed: Seed) -> Self {
        Self { seed, any: AtomicBool::new(false), draws: AtomicU64::new(0), rules: RwLock::default() }
    }

    pub(crate) fn add(&self, rules: &[FaultRule]) -> Result<(), RuleError> {
        rules.iter().try_for_each(FaultRule::check)?;
        let mut live = self.rules.write();
        live.extend(rules.iter().map(|&rule| Live { rule, left: AtomicU32::new(uses(rule.trigger)) }));
        self.any.store(!live.is_empty(), Ordering::Release);
        Ok(())
    }

    /// No rule is in force, and chance begins anew.
    pub(crate) fn clear(&self) {
        let mut live = self.rules.write();
        live.clear();
        self.any.store(false, Ordering::Release);
        self.draws.store(0, Ordering::Relaxed);
    }

    /// The rules that can still strike, with what is left of their counts.
    pub(crate) fn rules(&self) -> Vec<FaultRule> {
        let live = self.rules.read();
        live.iter()
            .filter_map(|live| match (live.rule.trigger, live.left.load(Ordering::Relaxed)) {
                (Trigger::Rate(_), _) => Some(live.rule),
                (Trigger::Next(_), 0) => None,
                (Trigger::Next(_), left) => Some(FaultRule { trigger: Trigger::Next(left), ..live.rule }),
            })
            .collect()
    }

    /// What happens to the next request of this provider.
    pub(crate) fn for_request(&self, provider: Provider, submits: bool) -> Plan {
        let mut plan = Plan::default();
        if !self.any.load(Ordering::Acquire) {
            return plan;
        }
        let number = self.draws.fetch_add(1, Ordering::Relaxed);
        for (sort, live) in self.rules.read().iter().enumerate() {
            let fault = live.rule.fault;
            let strikes_once = !matches!(fault, Fault::Slow { .. });
            let here = live.rule.covers(provider, submits) && !fault.is_of_receipts();
            if !here || (strikes_once && plan.fault.is_some()) || !live.strikes(self.seed, sort, number) {
                continue;
            }
            match fault {
                Fault::Slow { ms } => plan.wait += Duration::from_millis(ms),
                other => plan.fault = Some(other),
            }
        }
        plan
    }

    /// What happens to the receipts of the next message of this provider.
    pub(crate) fn for_receipts(&self, provider: Provider) -> ReceiptPlan {
        let mut plan = ReceiptPlan::default();
        if !self.any.load(Ordering::Acquire) {
            return plan;
        }
        let number = self.draws.fetch_add(1, Ordering::Relaxed);
        for (sort, live) in self.rules.read().iter().enumerate() {
            let here = live.rule.provider.is_none_or(|named| named == provider);
            if here && live.rule.fault.is_of_receipts() && live.strikes(self.seed, sort, number) {
                plan.add(live.rule.fault);
            }
        }
        plan
    }
}

impl FaultRule {
    fn covers(&self, provider: Provider, submits: bool) -> bool {
        self.provider.is_none_or(|named| named == provider)
            && match self.scope {
                Scope::Submit => submits,
                Scope::Query => !submits,
                Scope::Any => true,
            }
    }
}

impl Fault {
    fn is_of_receipts(self) -> bool {
        matches!(
            self,
            Self::ReceiptEarly
                | Self::ReceiptLate { .. }
                | Self::ReceiptDuplicate { .. }
                | Self::ReceiptOutOfOrder
                | Self::ReceiptNever
                | Self::ReceiptUnknownWord
                | Self::Undelivered
        )
    }
}

impl ReceiptPlan {
    fn add(&mut self, fault: Fault) {
        match fault {
            Fault::ReceiptEarly => self.early = true,
            Fault::ReceiptLate { ms } => self.late += Duration::from_millis(ms),
            Fault::ReceiptDuplicate { copies } => self.copies = self.copies.saturating_add(copies),
            Fault::ReceiptOutOfOrder => self.out_of_order = true,
            Fault::ReceiptNever => self.never = true,
            Fault::ReceiptUnknownWord => self.unknown_word = true,
            Fault::Undelivered => self.undelivered = true,
            _ => {}
        }
    }
}

impl Live {
    fn strikes(&self, seed: Seed, sort: usize, number: u64) -> bool {
        match self.rule.trigger {
            Trigger::Rate(rate) => seed.hits(rate, sort as u64, number),
            Trigger::Next(_) => {
                let taken =
                    self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
                taken.is_ok()
            }
        }
    }
}

fn uses(trigger: Trigger) -> u32 {
    match trigger {
        Trigger::Rate(_) => u32::MAX,
        Trigger::Next(count) => count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(rules: &[FaultRule]) -> Faults {
        let faults = Faults::new(Seed::new(1, 0));
        faults.add(rules).unwrap();
        faults
    }

    #[test]
    fn a_counted_rule_strikes_as_often_as_it_says_and_no_more() {
        let faults = faults(&[FaultRule::next(2, Fault::AcceptThenReset)]);
        let struck = |_| faults.for_request(Provider::Twilio, true).fault.is_some();
        assert_eq!((0..4).map(struck).collect::<Vec<_>>(), [true, true, false, false]);
        assert_eq!(faults.rules(), []);
    }

    #[test]
    fn a_rule_strikes_only_its_provider_and_its_requests() {
        let faults = faults(&[FaultRule::always(Fault::ResetBeforeRead).on(Provider::Twilio)]);
        assert!(faults.for_request(Provider::Twilio, true).fault.is_some());
        assert_eq!(faults.for_request(Provider::Twilio, false), Plan::default());
        assert_eq!(faults.for_request(Provider::AfricasTalking, true), Plan::default());
    }

    #[test]
    fn the_first_fault_that_strikes_happens_and_leaves_the_count_of_the_next() {
        let faults = faults(&[
            FaultRule::next(1, Fault::Slow { ms: 5 }),
            FaultRule::next(1, Fault::Error { status: 502 }),
            FaultRule::next(1, Fault::Unauthorized),
        ]);
        let first = faults.for_request(Provider::Twilio, true);
        let expected = Plan { wait: Duration::from_millis(5), fault: Some(Fault::Error { status: 502 }) };
        assert_eq!(first, expected);
        assert_eq!(faults.for_request(Provider::Twilio, true).fault, Some(Fault::Unauthorized));
    }

    #[test]
    fn faults_of_receipts_leave_requests_alone_and_add_up() {
        let faults = faults(&[
            FaultRule::always(Fault::ReceiptDuplicate { copies: 2 }),
            FaultRule::always(Fault::ReceiptOutOfOrder),
        ]);
        assert_eq!(faults.for_request(Provider::Twilio, true), Plan::default());
        let expected = ReceiptPlan { copies: 2, out_of_order: true, ..ReceiptPlan::default() };
        assert_eq!(faults.for_receipts(Provider::Twilio), expected);
    }

    #[test]
    fn a_rule_that_makes_no_sense_is_refused() {
        let faults = faults(&[]);
        let rate = FaultRule::at_rate(1.5, Fault::Unauthorized);
        assert_eq!(faults.add(&[rate]), Err(RuleError::Rate));
        let status = FaultRule::always(Fault::Error { status: 404 });
        assert_eq!(faults.add(&[status]), Err(RuleError::Status));
    }

    #[test]
    fn rules_read_back_from_their_json() {
        let json = r#"{"kind":"slow","ms":200,"rate":0.1,"provider":"twilio","scope":"any"}"#;
        let rule: FaultRule = serde_json::from_str(json).unwrap();
        let slow = FaultRule::at_rate(0.1, Fault::Slow { ms: 200 });
        assert_eq!(rule, slow.on(Provider::Twilio).within(Scope::Any));
        let rule = FaultRule::next(3, Fault::ReceiptDuplicate { copies: 1 });
        let json = serde_json::to_string(&rule).unwrap();
        assert_eq!(serde_json::from_str::<FaultRule>(&json).unwrap(), rule, "{json}");
        let short: FaultRule = serde_json::from_str(r#"{"kind":"receipt_duplicate","next":3}"#).unwrap();
        assert_eq!(short, rule);
    }
}
