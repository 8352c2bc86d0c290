//! Every figure that the gateway gives, declared once.
//!
//! Labels are closed sets: names of providers, scenarios, lanes, reasons. Never a number, an id or a text of
//! anybody's. The steps of a message's path say what happened, and it is counted here.

mod codes;
mod rates;
mod webhooks;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use domain::attempt::{Reason, SubmitOutcome};
use domain::encoding::Encoding;
use domain::guard::{self, Mode};
use domain::message::Message;
use domain::receipt::ReceiptStatus;
use domain::route::ProviderName;
use domain::scenario::{Priority, Scenario};
use domain::time::{Clock, Timestamp};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter};
use parking_lot::Mutex;
use providers::provider::CallbackError;
use store::port::history::Forgotten;
use store::port::inbound::Received;
use store::port::messages::Swept;
use store::port::queue::{AttemptEnd, Claimed, LaneDepth, Next};
use store::port::receipts::ReceiptFate;
use store::port::sealing::Erased;
use store::port::watches::{WatchCount, WatchKind};

use self::rates::Rates;
use crate::request::{Reached, SendError};

/// Seconds, from a local simulator's answer to a message that waited an hour.
const SECONDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 600.0, 3_600.0];

/// All instruments.
#[derive(Debug)]
pub(crate) struct Metrics {
    clock: Arc<dyn Clock>,
    /// About events on their way to endpoints.
    pub(crate) webhooks: Arc<self::webhooks::Figures>,
    accepted: Counter<u64>,
    refused: Counter<u64>,
    sent: Counter<u64>,
    failed: Counter<u64>,
    retried: Counter<u64>,
    duration: Histogram<f64>,
    queue_time: Histogram<f64>,
    message_length: Histogram<u64>,
    segments: Counter<u64>,
    usage: Counter<u64>,
    requests: Counter<u64>,
    latency: Histogram<f64>,
    cost: Counter<f64>,
    otp: Counter<u64>,
    transaction: Counter<u64>,
    chama: Counter<u64>,
    receipts: Counter<u64>,
    callbacks_refused: Counter<u64>,
    store_failures: Counter<u64>,
    panics: Counter<u64>,
    recovered: Counter<u64>,
    reconciled: Counter<u64>,
    failovers: Counter<u64>,
    diverted: Counter<u64>,
    without_receipt: Counter<u64>,
    forgotten: Counter<u64>,
    erased: Counter<u64>,
    overdue: Counter<u64>,
    guarded: Counter<u64>,
    inbound: Counter<u64>,
    limited: Counter<u64>,
    codes: codes::Codes,
    stalled: Gauge<u64>,
    watches: Arc<Mutex<Vec<WatchCount>>>,
    rates: Arc<Mutex<BTreeMap<ProviderName, Rates>>>,
    depth: Arc<Mutex<Vec<LaneDepth>>>,
}

/// What is counted of a message when it was accepted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    scenario: Scenario,
    priority: Priority,
    encoding: Encoding,
    characters: u64,
    segments: u64,
}

impl From<&Message> for Arrival {
    fn from(message: &Message) -> Self {
        Self {
            scenario: message.scenario,
            priority: message.priority,
            encoding: message.encoding,
            characters: message.body.chars() as u64,
            segments: u64::from(message.segments),
        }
    }
}

fn message_length(meter: &Meter) -> Histogram<u64> {
    let histogram =
        meter.u64_histogram("sms.message_length").with_description("Characters of accepted messages.");
    histogram.with_boundaries(vec![70.0, 160.0, 306.0, 459.0, 612.0, 918.0, 1_530.0]).build()
}

impl Metrics {
    pub(crate) fn new(meter: &Meter, providers: &[ProviderName], clock: Arc<dyn Clock>) -> Self {
        let counter =
            |name: &'static str, help: &'static str| meter.u64_counter(name).with_description(help).build();
        let seconds = |name: &'static str, help: &'static str| {
            let histogram = meter.f64_histogram(name).with_description(help).with_unit("s");
            histogram.with_boundaries(SECONDS.to_vec()).build()
        };
        let rates = providers.iter().map(|provider| (provider.clone(), Rates::default())).collect();
        let metrics = Self {
            accepted: counter("sms.accepted.count", "Messages stored and queued."),
            refused: counter(
                "sms.refused.count",
                "Reasons for which requests were refused before anything was stored: a request may have several.",
            ),
            sent: counter("sms.sent.count", "Messages that a provider took."),
            failed: counter("sms.failed.count", "Messages that no provider took, by reason."),
            retried: counter(
                "sms.retry.count",
                "Attempts that certainly did not leave and will be made again.",
            ),
            duration: seconds("sms.duration", "From accepting a message to a provider's taking it."),
            queue_time: seconds("sms.queue.time", "From a message's being due to its being claimed."),
            message_length: message_length(meter),
            segments: counter("sms.segments.count", "Segments of accepted messages, by our count."),
            usage: counter("sms.provider", "Attempts by provider: how much each one is used."),
            requests: counter("sms.provider.requests", "Attempts by how they ended."),
            latency: seconds("sms.provider.latency", "From a request's first byte to the end of the answer."),
            cost: meter
                .f64_counter("sms.cost")
                .with_description(
                    "What providers charge, where they say so at once, in units of the currency.",
                )
                .build(),
            otp: counter("sms.scenario.otp", "One-time codes that a provider took."),
            transaction: counter("sms.scenario.transaction", "Transaction notices that a provider took."),
            chama: counter("sms.scenario.chama", "Messages to savings groups that a provider took."),
            receipts: counter(
                "sms.receipt.count",
                "Delivery receipts, by what they say and whether they matched.",
            ),
            callbacks_refused: counter(
                "sms.callback.refused.count",
                "Callbacks refused as forged or unreadable.",
            ),
            store_failures: counter(
                "sms.store.failure.count",
                "Calls to the store that failed and are repeated.",
            ),
            recovered: counter(
                "sms.recovered.count",
                "Attempts that nobody finished, closed as ambiguous: perhaps sent, perhaps not.",
            ),
            reconciled: counter(
                "sms.reconciled.count",
                "Ambiguous attempts by what was found out or decided: found, absent, given_up, resent.",
            ),
            failovers: counter("sms.failover.count", "Messages that took another route after one failed."),
            diverted: counter(
                "sms.diverted.count",
                "Waiting messages that took another route because theirs could not be used.",
            ),
            erased: counter("sms.erased.count", "Texts that were erased."),
            forgotten: counter("sms.forgotten.count", "Messages that were no longer kept; about how many."),
            without_receipt: counter("sms.no_receipt.count", "Messages whose receipt never came."),
            inbound: counter("sms.inbound.count", "Messages from phones, by what became of them."),
            guarded: guarded(meter),
            codes: codes::Codes::new(meter),
            limited: counter("sms.rate_limit.hit", "Messages refused because a limit was reached, by limit."),
            overdue: counter("sms.overdue.count", "Messages that expired in the queue at the horizon."),
            stalled: stalled(meter),
            watches: Arc::default(),
            panics: counter("sms.worker.panic.count", "Workers that panicked and were started again."),
            rates: Arc::new(Mutex::new(rates)),
            depth: Arc::new(Mutex::new(Vec::new())),
            clock,
            webhooks: webhooks::Figures::new(meter),
        };
        metrics.observe(meter);
        metrics
    }

    /// Figures that are read when somebody asks.
    fn observe(&self, meter: &Meter) {
        for (name, help, share) in [
            (
                "sms.provider.success_rate",
                "Share of attempts that the provider took, over 5 minutes.",
                Rates::success as fn(&Rates, i64) -> Option<f64>,
            ),
            ("sms.provider.error_rate", "Share of attempts that failed, over 5 minutes.", Rates::error),
        ] {
            let (rates, clock) = (Arc::clone(&self.rates), Arc::clone(&self.clock));
            meter
                .f64_observable_gauge(name)
                .with_description(help)
                .with_callback(move |gauge| {
                    let minute = minute(clock.now());
                    for (provider, rates) in rates.lock().iter() {
                        if let Some(share) = share(rates, minute) {
                            gauge.observe(share, &[by_provider(provider)]);
                        }
                    }
                })
                .build();
        }
        let depth = Arc::clone(&self.depth);
        meter
            .u64_observable_gauge("sms.queue.depth")
            .with_description("Messages that wait for their turn.")
            .with_callback(move |gauge| {
                for lane in depth.lock().iter() {
                    gauge.observe(lane.messages, &[by_provider(&lane.provider), by_lane(lane.priority)]);
                }
            })
            .build();
        let watches = Arc::clone(&self.watches);
        meter
            .u64_observable_gauge("sms.watch.count")
            .with_description("Messages on watch: in doubt, silent, or to be sent by another route.")
            .with_callback(move |gauge| {
                let counts = watches.lock();
                for kind in [WatchKind::Doubt, WatchKind::Silence, WatchKind::Undelivered] {
                    let found = counts.iter().find(|count| count.kind == kind);
                    let label = KeyValue::new("kind", kind.as_str());
                    gauge.observe(found.map_or(0, |count| count.watches), &[label]);
                }
            })
            .build();
    }

    pub(crate) fn accepted(&self, arrival: Arrival) {
        let Arrival { scenario, priority, encoding, characters, segments } = arrival;
        let encoding = KeyValue::new("encoding", encoding.as_str());
        self.accepted.add(1, &[by_scenario(scenario), by_lane(priority)]);
        self.message_length.record(characters, std::slice::from_ref(&encoding));
        self.segments.add(segments, &[encoding]);
    }

    pub(crate) fn refused(&self, refusal: &SendError) {
        let count = |code: &'static str| self.refused.add(1, &[KeyValue::new("code", code)]);
        match refusal {
            SendError::Invalid(errors) => errors.iter().for_each(|error| count(error.problem.code())),
            SendError::KeyReused => count("idempotency_key_reused"),
            SendError::Repeated => count("repeated_message"),
            SendError::NoProvider => count("no_provider"),
            SendError::GuardRefused { .. } => count("guard_refused"),
            SendError::Limited(reached) => {
                count("rate_limited");
                self.limited(reached);
            }
            SendError::LimitedReceivers { longest, refusals } => {
                for refusal in refusals {
                    count(refusal.problem.code());
                }
                self.limited(longest);
            }
            SendError::OptedOut(_) => count("opted_out"),
            SendError::Store(_) => count("store_unavailable"),
        }
    }

    /// A message would have gone beyond a limit.
    pub(crate) fn limited(&self, reached: &Reached) {
        self.limited.add(1, &[KeyValue::new("limit", reached.limit.name.clone())]);
    }

    /// The guard looked at a message, and has these reasons to find it suspicious.
    pub(crate) fn guarded(&self, mode: Mode, reasons: &[guard::Reason]) {
        let count = |rule: &'static str, verdict: &'static str| {
            let labels = [("mode", mode.as_str()), ("rule", rule), ("verdict", verdict)];
            self.guarded.add(1, &labels.map(|(name, value)| KeyValue::new(name, value)));
        };
        if reasons.is_empty() {
            count("none", "passed");
        }
        let verdict = if mode == Mode::Enforce { "refused" } else { "suspected" };
        for reason in reasons {
            count(reason.rule.as_str(), verdict);
        }
    }

    pub(crate) fn claimed(&self, lane: Priority, waited: Duration) {
        self.queue_time.record(waited.as_secs_f64(), &[by_lane(lane)]);
    }

    pub(crate) fn expired(&self, provider: &ProviderName) {
        self.failed.add(1, &[by_provider(provider), KeyValue::new("reason", "expired")]);
    }

    pub(crate) fn request_ended(&self, provider: &ProviderName, took: Duration) {
        self.latency.record(took.as_secs_f64(), &[by_provider(provider)]);
    }

    pub(crate) fn attempt_ended(&self, provider: &ProviderName, message: &Claimed, end: &AttemptEnd) {
        let kind = end.outcome.kind();
        self.usage.add(1, &[by_provider(provider)]);
        self.requests.add(1, &[by_provider(provider), KeyValue::new("outcome", kind.as_str())]);
        if let Some(rates) = self.rates.lock().get_mut(provider) {
            rates.count(minute(end.ended_at), kind);
        }
        let scenario = message.submission.scenario;
        match &end.outcome {
            SubmitOutcome::Accepted(acceptance) => {
                let took = end.ended_at.since(message.created_at);
                let labels = [by_provider(provider), by_scenario(scenario)];
                self.sent.add(1, &labels);
                self.duration.record(took.as_secs_f64(), &labels);
                self.taken(scenario);
                if let Some(cost) = acceptance.cost {
                    let currency = KeyValue::new("currency", cost.currency().to_owned());
                    #[expect(
                        clippy::cast_precision_loss,
                        reason = "a figure for graphs; amounts are kept exactly"
                    )]
                    self.cost.add(cost.micros() as f64 / 1e6, &[by_provider(provider), currency]);
                }
                tracing::debug!(
                    message.id = %end.message_id,
                    %provider,
                    %scenario,
                    attempt = end.attempt,
                    duration_ms = took.as_millis(),
                    message_length = message.submission.body.chars(),
                    country = %message.submission.receiver.country(),
                    "sms.sent"
                );
            }
            SubmitOutcome::Rejected(failure)
            | SubmitOutcome::NotSubmitted { failure, .. }
            | SubmitOutcome::Ambiguous(failure) => {
                let labels = [by_provider(provider), KeyValue::new("reason", failure.reason.as_str())];
                let event = match end.next {
                    Next::Stop | Next::Expire => {
                        self.failed.add(1, &labels);
                        "sms.failed"
                    }
                    Next::Retry { .. } => {
                        self.retried.add(1, &labels);
                        "sms.retry"
                    }
                    Next::Wait => "sms.ambiguous",
                };
                tracing::warn!(
                    message.id = %end.message_id,
                    %provider,
                    %scenario,
                    attempt = end.attempt,
                    outcome = %kind,
                    reason = %failure.reason,
                    provider_code = failure.provider_code,
                    country = %message.submission.receiver.country(),
                    "{event}"
                );
            }
        }
    }

    fn taken(&self, scenario: Scenario) {
        match scenario {
            Scenario::Otp => self.otp.add(1, &[]),
            Scenario::Transaction => self.transaction.add(1, &[]),
            Scenario::ChamaInvite | Scenario::ChamaWithdrawal => self.chama.add(1, &[by_scenario(scenario)]),
            Scenario::Alert | Scenario::General => {}
        }
    }

    pub(crate) fn receipt(&self, provider: &ProviderName, word: Option<ReceiptStatus>, fate: ReceiptFate) {
        let matched = match fate {
            ReceiptFate::Matched { .. } => "matched",
            ReceiptFate::Parked => "parked",
        };
        let labels = [
            by_provider(provider),
            KeyValue::new("status", word.map_or("unknown", ReceiptStatus::as_str)),
            KeyValue::new("fate", matched),
        ];
        self.receipts.add(1, &labels);
    }

    /// A message from a phone came in.
    pub(crate) fn inbound(&self, provider: &ProviderName, received: &Received) {
        let handling = if received.is_repeated { "repeated" } else { received.handling.as_str() };
        self.inbound.add(1, &[by_provider(provider), KeyValue::new("handling", handling)]);
    }

    pub(crate) fn callback_refused(&self, provider: &ProviderName, refusal: CallbackError) {
        let why = match refusal {
            CallbackError::Forged(_) => "forged",
            CallbackError::Malformed(_) => "malformed",
            CallbackError::Unsupported => "unsupported",
        };
        self.callbacks_refused.add(1, &[by_provider(provider), KeyValue::new("why", why)]);
    }

    pub(crate) fn queue_depth(&self, depth: Vec<LaneDepth>) {
        let mut known = self.depth.lock();
        // A lane that has run empty is shown as empty, not as it last was.
        for drained in known.iter_mut() {
            drained.messages = 0;
        }
        for lane in depth {
            match known.iter_mut().find(|old| old.provider == lane.provider && old.priority == lane.priority)
            {
                Some(old) => *old = lane,
                None => known.push(lane),
            }
        }
    }

    /// The providers that messages wait for, as last measured.
    pub(crate) fn waited_for(&self) -> BTreeSet<ProviderName> {
        let depth = self.depth.lock();
        depth.iter().filter(|lane| lane.messages > 0).map(|lane| lane.provider.clone()).collect()
    }

    pub(crate) fn recovered(&self, attempts: u64) {
        self.recovered.add(attempts, &[]);
    }

    pub(crate) fn store_failed(&self) {
        self.store_failures.add(1, &[]);
    }

    /// Names of workers are names of chores and providers.
    pub(crate) fn worker_panicked(&self, worker: &str) {
        self.panics.add(1, &[KeyValue::new("worker", worker.to_owned())]);
    }

    pub(crate) fn stalled_workers(&self, workers: u64) {
        self.stalled.record(workers, &[]);
    }

    /// A message takes another route because the one before failed.
    pub(crate) fn failed_over(&self, from: &ProviderName, to: &ProviderName) {
        let to = KeyValue::new("to", to.as_str().to_owned());
        self.failovers.add(1, &[by_provider(from), to]);
    }

    /// Messages take another route before they were tried on this one.
    pub(crate) fn diverted(&self, from: &ProviderName, messages: u64) {
        self.diverted.add(messages, &[by_provider(from)]);
    }

    /// It was found out, or decided, how an ambiguous attempt ended.
    pub(crate) fn reconciled(&self, provider: &ProviderName, end: &AttemptEnd) {
        let verdict = match (&end.outcome, &end.next) {
            (SubmitOutcome::Accepted(_), _) => "found",
            (SubmitOutcome::Ambiguous(_), Next::Retry { .. }) => "resent",
            (SubmitOutcome::Ambiguous(_), _) => "given_up",
            _ => "absent",
        };
        self.reconciled.add(1, &[by_provider(provider), KeyValue::new("verdict", verdict)]);
        if matches!(end.next, Next::Stop | Next::Expire) && end.outcome.failure().is_some() {
            let reason = if verdict == "given_up" { Reason::OutcomeUnknown } else { Reason::Expired };
            self.failed.add(1, &[by_provider(provider), KeyValue::new("reason", reason.as_str())]);
        }
    }

    /// No receipt came within the horizon.
    pub(crate) fn waited_in_vain(&self, provider: &ProviderName) {
        self.without_receipt.add(1, &[by_provider(provider)]);
    }

    /// What a sweep ended.
    pub(crate) fn swept(&self, swept: Swept) {
        self.without_receipt.add(swept.without_receipt.into(), &[]);
        self.overdue.add(swept.expired.into(), &[]);
    }

    /// What was no longer kept.
    pub(crate) fn erased(&self, erased: Erased) {
        self.erased.add(erased.codes + erased.texts, &[]);
    }

    pub(crate) fn forgotten(&self, forgotten: Forgotten) {
        self.forgotten.add(forgotten.messages, &[]);
    }

    /// How many messages are on watch.
    pub(crate) fn watches(&self, counts: Vec<WatchCount>) {
        *self.watches.lock() = counts;
    }
}

fn stalled(meter: &Meter) -> Gauge<u64> {
    let gauge = meter.u64_gauge("sms.worker.stalled");
    gauge.with_description("Workers that give no sign of life.").build()
}

fn guarded(meter: &Meter) -> Counter<u64> {
    let counter = meter.u64_counter("tuma.guard.decisions");
    counter.with_description("Messages that the guard looked at, by rule and verdict.").build()
}

fn minute(time: Timestamp) -> i64 {
    time.as_micros().div_euclid(60_000_000)
}

fn by_provider(provider: &ProviderName) -> KeyValue {
    KeyValue::new("provider", provider.as_str().to_owned())
}

fn by_scenario(scenario: Scenario) -> KeyValue {
    KeyValue::new("scenario", scenario.as_str())
}

fn by_lane(lane: Priority) -> KeyValue {
    KeyValue::new("lane", lane.as_str())
}
