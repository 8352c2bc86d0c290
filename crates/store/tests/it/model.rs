//! Random lives of messages, on the real file, beside a model of what the store promises.
//!
//! The model knows the rules and no SQL: a status moves by the domain's one function, an attempt ends once, only the
//! last attempt of a message that still waits for its outcome says what comes next, a receipt counts by the attempt
//! that it is about. It leaves open which of the due messages a claim takes, and follows what the store did. Other
//! processes' steps are part of the game: late ends of any attempt, recoveries, receipts before and after everything,
//! decisions about watches that were taken long ago, a clock that is set back, and a store that is closed and opened.
//!
//! The world is truthful: a provider reports only on what it has, under an id of its own. So whatever the store
//! concludes about an attempt in doubt must be about that attempt's message.

mod chores;
mod rules;
mod steps;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::attempt::{Failure, OutcomeKind, Reason, SubmitOutcome};
use domain::civil::QuietHours;
use domain::ids::MessageId;
use domain::message::{MessageStatus, StatusEvent};
use domain::receipt::{Receipt, ReceiptStatus};
use domain::scenario::{Priority, Scenario};
use domain::time::Timestamp;
use proptest::prelude::*;
use proptest::sample::Index;
use store::port::queue::{AttemptEnd, Claim, Next, Recovery};
use store::port::receipts::ReceiptFate;

use self::chores::Held;
use self::rules::{Model, ModelAttempt, PROVIDERS, Parked, Waits};
use self::steps::{Comes, Says, Step, steps};
use crate::support::{
    Bench, Fixture, MINUTE, NOW, PostgresFixture, SqliteFixture, With, accepted, ambiguous, claim,
    message_at, node, not_submitted, provider, receipt_by, receipt_for, receiver, rejected,
};

/// The store, and the model that it is compared with.
struct Game<F> {
    bench: Bench<F>,
    now: Timestamp,
    /// The latest time that the clock ever showed.
    latest: Timestamp,
    messages: BTreeMap<MessageId, Model>,
    /// Receipts that wait for a provider's id, in the order they came.
    parked: Vec<Parked>,
    /// Watches that were taken and not settled.
    held: Vec<Held>,
    /// The last message that a sweep has been by.
    swept: Option<MessageId>,
}

impl<F: Fixture> Game<F> {
    async fn new() -> Self {
        Self {
            bench: Bench::new().await,
            now: NOW,
            latest: NOW,
            messages: BTreeMap::new(),
            parked: Vec::new(),
            held: Vec::new(),
            swept: None,
        }
    }

    async fn play(&mut self, step: &Step) {
        match step {
            Step::Accept { lane, receiver, provider, due_in, expires_in } => {
                self.accept(*lane, *receiver, *provider, *due_in, *expires_in).await;
            }
            Step::Claim { node, provider, total, lease, quiet } => {
                self.claim(*node, *provider, *total, *lease, *quiet).await;
            }
            Step::Finish { attempt, outcome, next, watch } => {
                self.finish(*attempt, *outcome, *next, *watch).await;
            }
            Step::Receipt { attempt, says, names_attempt } => {
                self.receipt(*attempt, *says, *names_attempt).await;
            }
            Step::Unnamed { attempt, says } => self.unnamed(*attempt, *says).await,
            Step::Recover { node, only_node } => self.recover(*node, *only_node).await,
            Step::Look { limit } => self.look(*limit).await,
            Step::Decide { watched, verdict } => self.decide(*watched, *verdict).await,
            Step::Resend { message, provider, due_in, expires_in } => {
                self.resend(*message, *provider, *due_in, *expires_in).await;
            }
            Step::Cancel { message } => self.cancel(*message).await,
            Step::Divert { from, take } => self.divert(*from, *take).await,
            Step::Sweep { limit } => self.sweep(*limit).await,
            Step::Minutes(minutes) => self.now = self.in_minutes(*minutes),
            Step::Back(minutes) => self.set_back(*minutes),
            Step::Reopen { closed } => self.reopen(*closed).await,
        }
        self.latest = self.latest.max(self.now);
    }

    fn in_minutes(&self, minutes: u64) -> Timestamp {
        self.now.plus(MINUTE * u32::try_from(minutes).unwrap())
    }

    /// By less than an hour in all: the index by receiver is by hours.
    fn set_back(&mut self, minutes: u64) {
        let back = self.now.minus(MINUTE * u32::try_from(minutes).unwrap());
        self.now = back.max(self.latest.minus(50 * MINUTE));
    }

    /// A store that was not closed is dropped, as by a process that ends.
    async fn reopen(&mut self, closed: bool) {
        if closed {
            return self.bench.reopen().await;
        }
        let elsewhere = Bench::<F>::new().await;
        // The old one goes first: a store has one server.
        self.bench.store = elsewhere.store;
        self.bench.store = self.bench.fixture.open().await;
    }

    async fn accept(
        &mut self,
        lane: Index,
        to: u64,
        route: usize,
        due_in: Option<u64>,
        expires_in: Option<u64>,
    ) {
        let n = self.messages.len() as u64;
        // Each in a millisecond of its own, so that ids are unique in whatever order the clock goes.
        self.now = self.now.plus(Duration::from_millis(1));
        let new = message_at(n, self.now).via(PROVIDERS[route]).with(|message| {
            message.priority = *lane.get(Priority::ALL);
            message.receiver = receiver(to);
            message.scheduled_at = due_in.map(|minutes| self.in_minutes(minutes));
            message.expires_at = expires_in.map(|minutes| self.in_minutes(minutes));
        });
        let waits = Waits { provider: route, due_at: new.due_at(), expires_at: new.message.expires_at };
        let model = Model {
            n,
            receiver: to,
            status: new.status(),
            updated_at: self.now,
            route,
            waits: Some(waits),
            attempts: Vec::new(),
            round: 1,
            resends: 0,
            told: Vec::new(),
        };
        self.messages.insert(new.id(), model);
        self.bench.add([new]).await;
    }

    async fn claim(&mut self, by: u64, route: usize, total: u32, lease: u64, quiet: bool) {
        let lease_until = self.in_minutes(lease);
        // Noon in Nairobi is half an hour after the beginning.
        let night = [(Scenario::Transaction, "12:00-13:00".parse().unwrap())];
        let quiet = QuietHours { by_scenario: night.into_iter().filter(|_| quiet).collect(), zone: None };
        let is_quiet = quiet.ends(Scenario::Transaction, receiver(0).country(), self.now).is_some();
        let wanted = Claim {
            node: node(by),
            provider: provider(PROVIDERS[route]),
            total,
            lease_until,
            quiet: Arc::new(quiet),
            ..claim(self.now)
        };
        let claims = self.bench.claim(wanted).await.unwrap();
        assert!(claims.claimed.len() <= total as usize);
        assert!(claims.claimed.is_sorted_by_key(|claimed| (claimed.priority, claimed.due_at)));
        assert!(claims.claimed.is_empty() || !is_quiet);
        for claimed in &claims.claimed {
            let model = self.messages.get_mut(&claimed.submission.message_id).unwrap();
            assert!(model.is_waiting(), "{} was claimed", model.status);
            let waits = model.waits.take().unwrap();
            assert_eq!(waits.provider, route);
            assert!(waits.due_at <= self.now && waits.expires_at.is_none_or(|end| end > self.now));
            assert!(!model.has_open(), "claimed beside an open attempt");
            model.attempts.push(ModelAttempt {
                provider: route,
                node: by,
                lease_until,
                started_at: self.now,
                ended: None,
                id: None,
                has_left: false,
            });
            assert_eq!(usize::from(claimed.submission.attempt), model.attempts.len());
            model.after(StatusEvent::Claimed, Some(route), self.now);
        }
        for id in &claims.expired {
            let model = self.messages.get_mut(id).unwrap();
            assert!(model.is_waiting(), "{} expired", model.status);
            let waits = model.waits.take().unwrap();
            assert!(waits.expires_at.is_some_and(|end| end <= self.now));
            model.after(StatusEvent::TimeRanOut, None, self.now);
        }
    }

    fn next(&self, comes: Comes, outcome: OutcomeKind) -> Next {
        match comes {
            Comes::Expire => Next::Expire,
            // Only of an ambiguous attempt there is something to find out.
            Comes::Wait if outcome == OutcomeKind::Ambiguous => Next::Wait,
            Comes::Stop | Comes::Wait => Next::Stop,
            Comes::Retry { minutes, provider: route } => Next::Retry {
                provider: provider(PROVIDERS[route]),
                priority: Priority::Normal,
                due_at: self.in_minutes(minutes),
                expires_at: None,
                refused_by: Vec::new(),
            },
        }
    }

    /// An end of an attempt that can be true: what a provider has reported on was not refused by it.
    fn end(&self, id: MessageId, number: usize, outcome: OutcomeKind, comes: Comes) -> AttemptEnd {
        let model = &self.messages[&id];
        let outcome = match outcome {
            OutcomeKind::Rejected | OutcomeKind::NotSubmitted if model.attempts[number - 1].has_left => {
                OutcomeKind::Ambiguous
            }
            possible => possible,
        };
        AttemptEnd {
            message_id: id,
            attempt: u16::try_from(number).unwrap(),
            outcome: match outcome {
                OutcomeKind::Accepted => accepted(&model.provider_id(number)),
                OutcomeKind::Rejected => rejected(),
                OutcomeKind::NotSubmitted => not_submitted(),
                OutcomeKind::Ambiguous => ambiguous(),
            },
            ended_at: self.now,
            next: self.next(comes, outcome),
            watch_at: None,
        }
    }

    async fn finish(&mut self, attempt: Index, outcome: OutcomeKind, comes: Comes, watch: bool) {
        let Some((id, number)) = self.pick_attempt(attempt) else { return };
        let end = self.end(id, number, outcome, comes);
        let watch_at = watch.then(|| self.in_minutes(5));
        self.bench.finish(vec![AttemptEnd { watch_at, ..end.clone() }]).await.unwrap();
        self.after_end(&end);
    }

    /// What the end of an attempt does.
    fn after_end(&mut self, end: &AttemptEnd) {
        let (number, now) = (usize::from(end.attempt), end.ended_at);
        let model = self.messages.get_mut(&end.message_id).unwrap();
        if !model.attempts[number - 1].is_unclear() {
            return;
        }
        model.attempts[number - 1].ended = Some(end.outcome.kind());
        if let SubmitOutcome::Accepted(_) = end.outcome {
            let id = model.provider_id(number);
            let attempt = &mut model.attempts[number - 1];
            (attempt.id, attempt.has_left) = (Some(id), true);
            let route = attempt.provider;
            model.after(StatusEvent::Accepted, Some(route), now);
            model.match_parked(number, &mut self.parked);
            return;
        }
        let is_ambiguous = matches!(end.outcome, SubmitOutcome::Ambiguous(_));
        if is_ambiguous && model.adopt_told(number, &mut self.parked, now) {
            return;
        }
        if model.status != MessageStatus::Sending || number != model.attempts.len() {
            return;
        }
        match &end.next {
            Next::Stop => model.after(StatusEvent::Refused, None, now),
            Next::Expire => model.after(StatusEvent::TimeRanOut, None, now),
            Next::Wait => {}
            Next::Retry { provider, due_at, expires_at, .. } => {
                let route = route_of(provider.as_str());
                model.after(StatusEvent::Requeued, Some(route), now);
                model.waits = Some(Waits { provider: route, due_at: *due_at, expires_at: *expires_at });
            }
        }
    }

    /// An attempt that a provider may report on.
    fn pick_reported(&mut self, attempt: Index) -> Option<(MessageId, usize)> {
        let (id, number) = self.pick_attempt(attempt)?;
        let attempt = &mut self.messages.get_mut(&id).unwrap().attempts[number - 1];
        let may_have_left = attempt.is_unclear() || attempt.ended == Some(OutcomeKind::Accepted);
        attempt.has_left |= may_have_left;
        may_have_left.then_some((id, number))
    }

    async fn receipt(&mut self, attempt: Index, says: Says, names_attempt: bool) {
        let Some((id, number)) = self.pick_reported(attempt) else { return };
        let now = self.now;
        let model = self.messages.get_mut(&id).unwrap();
        let (from, route) = (model.status, model.attempts[number - 1].provider);
        let theirs = model.provider_id(number);
        let named = u16::try_from(number).ok().filter(|_| names_attempt);
        let receipt = Receipt { attempt: named, ..receipt_for(id, ReceiptStatus::Sent) };
        let about = if names_attempt { Some(number) } else { model.meant(route, &theirs) };
        model.after_receipt(route, &theirs, about, says.status, &mut self.parked, now);
        let to = model.status;
        let fate = self.bench.receive(said(receipt, route, &theirs, says, now)).await;
        assert_eq!(fate, ReceiptFate::Matched { message_id: id, from, to });
    }

    async fn unnamed(&mut self, attempt: Index, says: Says) {
        let Some((of, number)) = self.pick_reported(attempt) else { return };
        let now = self.now;
        let model = &self.messages[&of];
        let (route, to, theirs) =
            (model.attempts[number - 1].provider, model.receiver, model.provider_id(number));
        let receipt = receipt_by(&theirs, receiver(to), ReceiptStatus::Sent);
        let fate = self.bench.receive(said(receipt, route, &theirs, says, now)).await;

        if let Some((id, number)) = self.find(to, route, &theirs) {
            let model = self.messages.get_mut(&id).unwrap();
            let from = model.status;
            model.after_receipt(route, &theirs, Some(number), says.status, &mut self.parked, now);
            assert_eq!(fate, ReceiptFate::Matched { message_id: id, from, to: model.status });
            return;
        }
        let received = Parked {
            provider: route,
            id: theirs.clone(),
            receiver: to,
            status: says.status,
            received_at: now,
        };
        self.parked.push(received);
        let Some((id, number)) = self.only_doubt(to, route) else {
            assert_eq!(fate, ReceiptFate::Parked);
            return;
        };
        let model = self.messages.get_mut(&id).unwrap();
        let from = model.status;
        let has_failed = matches!(says.status, Some(ReceiptStatus::Failed | ReceiptStatus::Undelivered));
        model.settle(number, &theirs, has_failed, &mut self.parked, now);
        assert_eq!(fate, ReceiptFate::Matched { message_id: id, from, to: model.status });
    }

    /// The attempt that a provider took under this id, so far as is known.
    fn find(&self, to: u64, route: usize, theirs: &str) -> Option<(MessageId, usize)> {
        let attempts =
            self.messages.iter().filter(|(_, model)| model.receiver == to).flat_map(|(id, model)| {
                (1..).zip(&model.attempts).map(move |(number, attempt)| (*id, number, attempt))
            });
        let mut found = attempts
            .filter(|(_, _, attempt)| attempt.provider == route && attempt.id.as_deref() == Some(theirs));
        found.next().map(|(id, number, _)| (id, number))
    }

    /// The attempt that something without our id must be about: the only one of which nobody knows how it ended.
    fn only_doubt(&self, to: u64, route: usize) -> Option<(MessageId, usize)> {
        let of_receiver = self.messages.iter().filter(|(_, model)| model.receiver == to);
        let attempts = of_receiver.flat_map(|(id, model)| {
            (1..).zip(&model.attempts).map(move |(number, attempt)| (*id, number, attempt))
        });
        let mut unclear = attempts.filter(|(.., attempt)| attempt.provider == route && attempt.is_unclear());
        let (id, number, attempt) = unclear.next()?;
        (unclear.next().is_none() && attempt.ended.is_some()).then_some((id, number))
    }

    async fn recover(&mut self, by: u64, only_node: bool) {
        let recovery = Recovery { node: node(by), now: self.now, only_node };
        let closed = self.bench.recover(recovery).await.unwrap();
        let mut expected = 0;
        for model in self.messages.values_mut() {
            for number in 1..=model.attempts.len() {
                let attempt = &mut model.attempts[number - 1];
                let left = attempt.lease_until <= self.now || (only_node && attempt.node != by);
                if left && attempt.ended.is_none() {
                    attempt.ended = Some(OutcomeKind::Ambiguous);
                    expected += 1;
                    model.adopt_told(number, &mut self.parked, self.now);
                }
            }
        }
        assert_eq!(closed, expected);
    }

    fn pick_message(&self, index: Index) -> Option<MessageId> {
        let ids: Vec<_> = self.messages.keys().copied().collect();
        (!ids.is_empty()).then(|| *index.get(&ids))
    }

    /// Any attempt that was ever made, by message and number.
    fn pick_attempt(&self, index: Index) -> Option<(MessageId, usize)> {
        let attempts = |(id, model): (&MessageId, &Model)| {
            let id = *id;
            (1..=model.attempts.len()).map(move |number| (id, number))
        };
        let all: Vec<_> = self.messages.iter().flat_map(attempts).collect();
        (!all.is_empty()).then(|| *index.get(&all))
    }
}

fn route_of(name: &str) -> usize {
    PROVIDERS.iter().position(|known| *known == name).unwrap()
}

fn said(receipt: Receipt, route: usize, theirs: &str, says: Says, now: Timestamp) -> Receipt {
    let reason = if says.may_help { Reason::OperatorDown } else { Reason::Unreachable };
    Receipt {
        provider: provider(PROVIDERS[route]),
        provider_message_id: crate::support::provider_id(theirs),
        status: says.status,
        failure: Some(Failure::new(reason)),
        received_at: now,
        ..receipt
    }
}

/// Plays a game on a store of one backend.
fn play<F: Fixture>(steps: &[Step]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut game = Game::<F>::new().await;
        for step in steps {
            game.play(step).await;
            game.compare().await;
        }
        game.drain().await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_message_is_lost_or_claimed_twice_whatever_happens(steps in steps()) {
        play::<SqliteFixture>(&steps);
    }
}

proptest! {
    // A database is made for each, and a statement is a way to the server and back.
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn no_message_is_lost_or_claimed_twice_in_postgres_whatever_happens(steps in steps()) {
        play::<PostgresFixture>(&steps);
    }
}
