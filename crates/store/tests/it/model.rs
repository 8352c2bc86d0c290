//! Random lives of messages, on the real file, beside a model of what the store promises.
//!
//! The model knows the rules and no SQL: a status moves by the domain's one function, an attempt ends once, only the
//! last attempt of a message that still waits for its outcome says what comes next. It leaves open which of the
//! due messages a claim takes, and follows what the store did. Other processes' steps are part of the game: late
//! ends of any attempt, recoveries, receipts before and after everything, and a store that is closed and opened.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::attempt::{OutcomeKind, SubmitOutcome};
use domain::ids::MessageId;
use domain::message::{MessageStatus, StatusEvent};
use domain::receipt::ReceiptStatus;
use domain::scenario::Priority;
use domain::time::Timestamp;
use proptest::prelude::*;
use proptest::sample::Index;
use store::port::queue::{AttemptEnd, Claim, Next, Recovery};
use store::port::receipts::ReceiptFate;

use crate::support::{
    Bench, MINUTE, NOW, SqliteFixture, With, accepted, ambiguous, claim, message_at, node, not_submitted,
    provider, receipt_by, receipt_for, receiver, rejected,
};

/// Something that happens.
#[derive(Debug, Clone)]
enum Step {
    Accept {
        lane: Index,
        due_in: Option<u64>,
        expires_in: Option<u64>,
    },
    Claim {
        node: u64,
        total: u32,
        lease: u64,
    },
    Finish {
        attempt: Index,
        outcome: OutcomeKind,
        next: Comes,
    },
    /// Names the message by our id.
    Receipt {
        message: Index,
        status: Option<ReceiptStatus>,
    },
    /// Names it by the provider's id of an attempt, which we may not know yet.
    ReceiptByProvider {
        attempt: Index,
        status: Option<ReceiptStatus>,
    },
    Recover {
        node: u64,
        only_node: bool,
    },
    Minutes(u64),
    Reopen,
}

#[derive(Debug, Clone, Copy)]
enum Comes {
    Stop,
    Expire,
    Wait,
    RetryIn(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let index = any::<Index>;
    let status = || prop::option::weighted(0.9, prop::sample::select(ReceiptStatus::ALL));
    let comes = prop_oneof![
        1 => Just(Comes::Stop),
        1 => Just(Comes::Expire),
        1 => Just(Comes::Wait),
        4 => (0_u64..10).prop_map(Comes::RetryIn),
    ];
    // Doubt is what makes a life eventful.
    let outcome = prop_oneof![
        2 => prop::sample::select(OutcomeKind::ALL),
        1 => Just(OutcomeKind::Ambiguous),
    ];
    let soon = || prop::option::weighted(0.3, 0_u64..20);
    let step = prop_oneof![
        3 => (index(), soon(), soon())
            .prop_map(|(lane, due_in, expires_in)| Step::Accept { lane, due_in, expires_in }),
        6 => (1_u64..3, 0_u32..5, 0_u64..15)
            .prop_map(|(node, total, lease)| Step::Claim { node, total, lease }),
        9 => (index(), outcome, comes)
            .prop_map(|(attempt, outcome, next)| Step::Finish { attempt, outcome, next }),
        2 => (index(), status()).prop_map(|(message, status)| Step::Receipt { message, status }),
        3 => (index(), status()).prop_map(|(attempt, status)| Step::ReceiptByProvider { attempt, status }),
        2 => (1_u64..3, prop::bool::weighted(0.2))
            .prop_map(|(node, only_node)| Step::Recover { node, only_node }),
        4 => (1_u64..15).prop_map(Step::Minutes),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 20..60)
}

/// A message as the model has it.
struct Model {
    /// Its number, which names its receiver and its provider's ids.
    n: u64,
    status: MessageStatus,
    /// When it is due and when its time runs out, while it waits.
    waits: Option<(Timestamp, Option<Timestamp>)>,
    attempts: Vec<ModelAttempt>,
}

struct ModelAttempt {
    node: u64,
    lease_until: Timestamp,
    ended: Option<OutcomeKind>,
}

impl Model {
    /// What the provider calls the message in an attempt.
    fn provider_id(&self, attempt: usize) -> String {
        format!("P{}-{attempt}", self.n)
    }

    fn after(&mut self, event: StatusEvent) {
        self.status = self.status.after(event);
    }

    /// A word that nobody knows changes nothing.
    fn after_receipt(&mut self, status: Option<ReceiptStatus>) {
        if let Some(status) = status {
            self.after(status.event());
        }
    }

    /// Waits for its turn, and has not been settled by a receipt meanwhile.
    fn is_waiting(&self) -> bool {
        matches!(self.status, MessageStatus::Scheduled | MessageStatus::Queued)
    }
}

/// The store, and the model that it is compared with.
struct Game {
    bench: Bench<SqliteFixture>,
    now: Timestamp,
    messages: BTreeMap<MessageId, Model>,
    /// Receipts that wait for a provider's id, in the order they came.
    parked: Vec<(String, Option<ReceiptStatus>)>,
}

impl Game {
    async fn play(&mut self, step: &Step) {
        match step {
            Step::Accept { lane, due_in, expires_in } => self.accept(*lane, *due_in, *expires_in).await,
            Step::Claim { node, total, lease } => self.claim(*node, *total, *lease).await,
            Step::Finish { attempt, outcome, next } => self.finish(*attempt, *outcome, *next).await,
            Step::Receipt { message, status } => self.receipt(*message, *status).await,
            Step::ReceiptByProvider { attempt, status } => self.receipt_by_provider(*attempt, *status).await,
            Step::Recover { node, only_node } => self.recover(*node, *only_node).await,
            Step::Minutes(minutes) => self.now = self.in_minutes(*minutes),
            Step::Reopen => self.bench.reopen().await,
        }
    }

    fn in_minutes(&self, minutes: u64) -> Timestamp {
        self.now.plus(MINUTE * u32::try_from(minutes).unwrap())
    }

    async fn accept(&mut self, lane: Index, due_in: Option<u64>, expires_in: Option<u64>) {
        let n = self.messages.len() as u64;
        // Each in a millisecond of its own, so that ids are in the order of acceptance.
        self.now = self.now.plus(Duration::from_millis(1));
        let new = message_at(n, self.now).with(|message| {
            message.priority = *lane.get(Priority::ALL);
            message.scheduled_at = due_in.map(|minutes| self.in_minutes(minutes));
            message.expires_at = expires_in.map(|minutes| self.in_minutes(minutes));
        });
        let model = Model {
            n,
            status: new.status(),
            waits: Some((new.due_at(), new.message.expires_at)),
            attempts: Vec::new(),
        };
        self.messages.insert(new.id(), model);
        self.bench.add([new]).await;
    }

    async fn claim(&mut self, by: u64, total: u32, lease: u64) {
        let lease_until = self.in_minutes(lease);
        let wanted = Claim { node: node(by), total, lease_until, ..claim(self.now) };
        let claims = self.bench.claim(wanted).await.unwrap();
        assert!(claims.claimed.len() <= total as usize);
        assert!(claims.claimed.is_sorted_by_key(|claimed| (claimed.priority, claimed.due_at)));
        for claimed in &claims.claimed {
            let model = self.messages.get_mut(&claimed.submission.message_id).unwrap();
            assert!(model.is_waiting(), "{} was claimed", model.status);
            let (due_at, expires_at) = model.waits.take().unwrap();
            assert!(due_at <= self.now && expires_at.is_none_or(|end| end > self.now));
            model.attempts.push(ModelAttempt { node: by, lease_until, ended: None });
            assert_eq!(usize::from(claimed.submission.attempt), model.attempts.len());
            model.after(StatusEvent::Claimed);
        }
        for id in &claims.expired {
            let model = self.messages.get_mut(id).unwrap();
            assert!(model.is_waiting(), "{} expired", model.status);
            let (_, expires_at) = model.waits.take().unwrap();
            assert!(expires_at.is_some_and(|end| end <= self.now));
            model.after(StatusEvent::TimeRanOut);
        }
    }

    async fn finish(&mut self, attempt: Index, outcome: OutcomeKind, next: Comes) {
        let Some((id, number)) = self.pick_attempt(attempt) else { return };
        let next = match next {
            Comes::Stop => Next::Stop,
            Comes::Expire => Next::Expire,
            Comes::Wait => Next::Wait,
            Comes::RetryIn(minutes) => Next::Retry {
                provider: provider("twilio"),
                priority: Priority::Normal,
                due_at: self.in_minutes(minutes),
                expires_at: None,
            },
        };
        let model = self.messages.get_mut(&id).unwrap();
        let provider_id = model.provider_id(number);
        let end = AttemptEnd {
            message_id: id,
            attempt: u16::try_from(number).unwrap(),
            outcome: match outcome {
                OutcomeKind::Accepted => accepted(&provider_id),
                OutcomeKind::Rejected => rejected(),
                OutcomeKind::NotSubmitted => not_submitted(),
                OutcomeKind::Ambiguous => ambiguous(),
            },
            ended_at: self.now,
            next,
        };
        self.bench.finish(vec![end.clone()]).await.unwrap();

        let ended = &mut model.attempts[number - 1].ended;
        if !matches!(ended, None | Some(OutcomeKind::Ambiguous)) {
            return;
        }
        *ended = Some(outcome);
        if let SubmitOutcome::Accepted(_) = end.outcome {
            model.after(StatusEvent::Accepted);
            for (_, status) in self.parked.extract_if(.., |(parked, _)| *parked == provider_id) {
                model.after_receipt(status);
            }
        } else if model.status == MessageStatus::Sending && number == model.attempts.len() {
            match end.next {
                Next::Stop => model.after(StatusEvent::Refused),
                Next::Expire => model.after(StatusEvent::TimeRanOut),
                Next::Wait => {}
                Next::Retry { due_at, expires_at, .. } => {
                    model.after(StatusEvent::Requeued);
                    model.waits = Some((due_at, expires_at));
                }
            }
        }
    }

    async fn receipt(&mut self, message: Index, status: Option<ReceiptStatus>) {
        let Some(id) = self.pick_message(message) else { return };
        let mut receipt = receipt_for(id, ReceiptStatus::Sent);
        (receipt.status, receipt.received_at) = (status, self.now);
        let fate = self.bench.receive(receipt).await;
        let model = self.messages.get_mut(&id).unwrap();
        let from = model.status;
        model.after_receipt(status);
        assert_eq!(fate, ReceiptFate::Matched { message_id: id, from, to: model.status });
    }

    async fn receipt_by_provider(&mut self, attempt: Index, status: Option<ReceiptStatus>) {
        let Some((id, number)) = self.pick_attempt(attempt) else { return };
        let model = self.messages.get_mut(&id).unwrap();
        let provider_id = model.provider_id(number);
        let mut receipt = receipt_by(&provider_id, receiver(model.n), ReceiptStatus::Sent);
        (receipt.status, receipt.received_at) = (status, self.now);
        let fate = self.bench.receive(receipt).await;
        if model.attempts[number - 1].ended == Some(OutcomeKind::Accepted) {
            let from = model.status;
            model.after_receipt(status);
            assert_eq!(fate, ReceiptFate::Matched { message_id: id, from, to: model.status });
        } else {
            assert_eq!(fate, ReceiptFate::Parked);
            self.parked.push((provider_id, status));
        }
    }

    async fn recover(&mut self, by: u64, only_node: bool) {
        let recovery = Recovery { node: node(by), now: self.now, only_node };
        let closed = self.bench.recover(recovery).await.unwrap();
        let mut expected = 0;
        for attempt in self.messages.values_mut().flat_map(|model| &mut model.attempts) {
            let left = attempt.lease_until <= self.now || (only_node && attempt.node != by);
            if left && attempt.ended.is_none() {
                attempt.ended = Some(OutcomeKind::Ambiguous);
                expected += 1;
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

    /// The store shows what the model says.
    async fn compare(&self) {
        for (id, model) in &self.messages {
            let shown = self.bench.show(*id).await;
            assert_eq!(shown.summary.status, model.status, "{id}");
            let ended: Vec<_> = shown
                .attempts
                .iter()
                .map(|attempt| attempt.ended.as_ref().map(|(_, outcome)| outcome.kind()))
                .collect();
            let expected: Vec<_> = model.attempts.iter().map(|attempt| attempt.ended).collect();
            assert_eq!(ended, expected, "{id}");
        }
        self.check_rows();
    }

    /// What must hold in the tables, whatever the interface shows.
    fn check_rows(&self) {
        let file = rusqlite::Connection::open(self.bench.fixture.path()).unwrap();
        let count = |sql: &str| file.query_row(sql, [], |row| row.get::<_, u64>(0)).unwrap();
        assert_eq!(count("SELECT count(*) FROM messages"), self.messages.len() as u64);
        for (never, sql) in [
            ("waits and has an open attempt", "queue JOIN attempts USING (message_id) WHERE outcome IS NULL"),
            ("waits twice", "(SELECT 1 FROM queue GROUP BY message_id HAVING count(*) > 1)"),
            (
                "has two open attempts",
                "(SELECT 1 FROM attempts WHERE outcome IS NULL GROUP BY message_id HAVING count(*) > 1)",
            ),
            (
                "is lost",
                "states WHERE status IN ('scheduled', 'queued') AND message_id NOT IN (SELECT message_id FROM queue)",
            ),
            (
                "is being sent without an attempt, or while it waits",
                "states WHERE status = 'sending' AND (message_id NOT IN (SELECT message_id FROM attempts) \
                 OR message_id IN (SELECT message_id FROM queue))",
            ),
            ("has no state", "messages WHERE id NOT IN (SELECT message_id FROM states)"),
        ] {
            assert_eq!(count(&format!("SELECT count(*) FROM {sql}")), 0, "a message {never}");
        }
    }

    /// In the end, every message that still waits is claimed or expires.
    async fn drain(&mut self) {
        self.now = self.in_minutes(1_000);
        loop {
            let waiting = self.bench.depth().await.unwrap().iter().map(|lane| lane.messages).sum::<u64>();
            if waiting == 0 {
                break;
            }
            self.claim(1, 1_000, 1).await;
        }
        let waiting = self.messages.values().filter(|model| model.is_waiting()).count();
        assert_eq!(waiting, 0);
        self.compare().await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_message_is_lost_or_claimed_twice_whatever_happens(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut game =
                Game { bench: Bench::new().await, now: NOW, messages: BTreeMap::new(), parked: Vec::new() };
            for step in &steps {
                game.play(step).await;
                game.compare().await;
            }
            game.drain().await;
        });
    }
}
