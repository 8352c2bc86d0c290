//! What chores and people do to messages, and what must hold after every step.

use std::collections::BTreeSet;

use domain::attempt::OutcomeKind;
use domain::audit::Actor;
use domain::ids::MessageId;
use domain::message::{MessageStatus, StatusEvent};
use proptest::sample::Index;
use store::port::messages::{Cancel, Moved, Resend, Sweep, Swept};
use store::port::queue::{Diversion, Waiting};
use store::port::watches::{Settled, TakeWatches, Verdict, WatchKind, Watched};

use super::rules::{Model, PROVIDERS, Waits};
use super::steps::{Comes, Decision};
use super::{Game, route_of};
use crate::support::{Fixture, MINUTE, provider, resend};

/// How long a message may wait, in this game.
const HORIZON: std::time::Duration = std::time::Duration::from_hours(2);

/// Where a message may stand that is sent again.
const RESENDABLE: &[MessageStatus] = &[
    MessageStatus::Sent,
    MessageStatus::Undelivered,
    MessageStatus::Failed,
    MessageStatus::Expired,
    MessageStatus::Canceled,
    MessageStatus::Queued,
    MessageStatus::Sending,
    MessageStatus::Delivered,
];

/// A watch that was taken.
pub(super) struct Held {
    watched: Watched,
    /// How often its message had been sent again by then.
    resends: u32,
}

impl<F: Fixture> Game<F> {
    /// Takes watches. What parked receipts have settled before, the model follows, after asking whether that could be
    /// meant.
    pub(super) async fn look(&mut self, limit: u32) {
        let take = TakeWatches { now: self.now, lease_until: self.in_minutes(2), limit };
        let taken = self.bench.take_watches(take).await.unwrap();
        assert!(taken.len() <= limit as usize);
        let doubted: Vec<_> =
            self.messages.iter().filter(|(_, model)| model.is_in_doubt()).map(|(id, _)| *id).collect();
        let mut settled = Vec::new();
        for id in doubted {
            let last = self.bench.show(id).await.attempts.pop().unwrap();
            if last.ended.unwrap().1.kind() != OutcomeKind::Accepted {
                continue;
            }
            let model = &self.messages[&id];
            let attempt = model.last().unwrap();
            let parked: BTreeSet<_> = self
                .parked
                .iter()
                .filter(|parked| (parked.provider, parked.receiver) == (attempt.provider, model.receiver))
                .filter(|parked| parked.received_at >= attempt.started_at)
                .map(|parked| parked.id.clone())
                .collect();
            let only = self.only_doubt(model.receiver, attempt.provider);
            assert_eq!((parked.len(), only), (1, Some((id, model.attempts.len()))));
            settled.extend(parked.into_iter().map(|theirs| (id, theirs)));
        }
        for (id, theirs) in settled {
            let model = self.messages.get_mut(&id).unwrap();
            model.settle(model.attempts.len(), &theirs, false, &mut self.parked, self.now);
        }
        for watched in taken {
            let model = &self.messages[&watched.message.id];
            assert_eq!(watched.status, model.status);
            assert_eq!(usize::from(watched.attempt.number), model.attempts.len());
            match watched.kind {
                WatchKind::Doubt => assert!(model.is_in_doubt()),
                WatchKind::Silence => assert!(!model.status.is_final()),
                WatchKind::Undelivered => assert!(!model.has_open() && model.status.is_final()),
            }
            let rivals = self.messages.iter().filter(|(id, other)| {
                **id != watched.message.id && other.receiver == model.receiver && other.has_open()
            });
            let is_at = |other: &Model| {
                other.last().map(|last| last.provider) == Some(route_of(watched.attempt.provider.as_str()))
            };
            let has_rival = rivals.filter(|(_, other)| is_at(other)).count() > 0;
            assert!(watched.kind != WatchKind::Doubt || watched.has_rival == has_rival);
            self.held.push(Held { resends: model.resends, watched });
        }
    }

    /// Decides about a watch that was taken before. It may have come back meanwhile, and been taken by another.
    pub(super) async fn decide(&mut self, which: Index, decision: Decision) {
        if self.held.is_empty() {
            return;
        }
        let Held { watched, resends } = self.held.swap_remove(which.index(self.held.len()));
        let id = watched.message.id;
        let is_there = self.is_there(&watched);
        let number = usize::from(watched.attempt.number);
        let verdict = match decision {
            Decision::Again(minutes) => Verdict::Again(self.in_minutes(minutes)),
            Decision::Done => Verdict::Done,
            Decision::WaitedInVain => Verdict::WaitedInVain(self.now),
            Decision::Found(outcome, comes) if watched.kind == WatchKind::Doubt => {
                Verdict::Ended(self.end(id, number, outcome, comes))
            }
            Decision::Found(_, comes) => {
                let route = if let Comes::Retry { provider, .. } = comes { provider } else { 0 };
                Verdict::Resend(self.again(&watched, route))
            }
            Decision::Resend(route) => Verdict::Resend(self.again(&watched, route)),
        };
        let settled = Settled { watch: watched.watch, verdict: verdict.clone() };
        self.bench.settle_watches(vec![settled]).await.unwrap();
        if !is_there {
            return;
        }
        match verdict {
            Verdict::Ended(end) => self.after_end(&end),
            Verdict::Resend(resend) => _ = self.after_resend(&resend),
            Verdict::WaitedInVain(now) => {
                let model = self.messages.get_mut(&id).unwrap();
                match model.status {
                    _ if model.resends != resends => {}
                    MessageStatus::Sent => model.after(StatusEvent::WaitedInVain, None, now),
                    MessageStatus::Queued | MessageStatus::Scheduled => {
                        model.after(StatusEvent::TimeRanOut, None, now);
                    }
                    _ => {}
                }
            }
            Verdict::Again(_) | Verdict::Done => {}
        }
    }

    fn again(&self, watched: &Watched, route: usize) -> Resend {
        Resend {
            last_attempt: Some(watched.attempt.number),
            standing: RESENDABLE,
            provider: provider(PROVIDERS[route]),
            ..resend(watched.message.id, self.now)
        }
    }

    pub(super) async fn resend(
        &mut self,
        message: Index,
        route: usize,
        due_in: u64,
        expires_in: Option<u64>,
    ) {
        let Some(id) = self.pick_message(message) else { return };
        let again = Resend {
            standing: RESENDABLE,
            provider: provider(PROVIDERS[route]),
            due_at: self.in_minutes(due_in),
            expires_at: expires_in.map(|minutes| self.in_minutes(minutes)),
            ..resend(id, self.now)
        };
        let moved = self.bench.resend(again.clone()).await.unwrap();
        assert_eq!(moved, Some(self.after_resend(&again).into()));
    }

    /// What sending a message again does.
    fn after_resend(&mut self, resend: &Resend) -> Moved {
        let model = self.messages.get_mut(&resend.message_id).unwrap();
        let (from, last) = (model.status, model.attempts.len());
        let is_last = resend.last_attempt.is_none_or(|wanted| usize::from(wanted) == last);
        let route = route_of(resend.provider.as_str());
        if is_last && !model.has_open() {
            model.after(StatusEvent::Resent, Some(route), resend.now);
        }
        if model.status != from {
            (model.round, model.resends) = (last + 1, model.resends + 1);
            model.waits =
                Some(Waits { provider: route, due_at: resend.due_at, expires_at: resend.expires_at });
        }
        Moved { message_id: resend.message_id, from, to: model.status }
    }

    pub(super) async fn cancel(&mut self, message: Index) {
        let Some(id) = self.pick_message(message) else { return };
        let cancel = Cancel { messages: vec![id], by: Actor::Operator, now: self.now };
        let moved = self.bench.cancel(cancel).await.unwrap();
        let model = self.messages.get_mut(&id).unwrap();
        let from = model.status;
        model.after(StatusEvent::Stopped, None, self.now);
        assert_eq!(moved, [Some(Moved { message_id: id, from, to: model.status })]);
    }

    pub(super) async fn divert(&mut self, from: usize, take: u32) {
        let waiting =
            Waiting { provider: provider(PROVIDERS[from]), lanes: [true; 4], now: self.now, limit: take };
        let waiters = self.bench.waiting(waiting).await.unwrap();
        let to = 1 - from;
        let diversions: Vec<_> = waiters
            .into_iter()
            .map(|waiter| Diversion { place: waiter.place, to: provider(PROVIDERS[to]) })
            .collect();
        let count = diversions.len() as u64;
        for diversion in &diversions {
            let model = self.messages.get_mut(&diversion.place.message_id).unwrap();
            assert!(model.is_waiting());
            model.route = to;
            let waits = model.waits.as_mut().unwrap();
            assert_eq!(waits.provider, from);
            waits.provider = to;
        }
        assert_eq!(self.bench.divert(diversions).await, Ok(count));
    }

    pub(super) async fn sweep(&mut self, limit: u32) {
        let horizon = self.now.minus(HORIZON);
        let sweep = Sweep {
            accepted_before: horizon,
            unmoved_since: horizon,
            limit,
            reporting: vec![provider(PROVIDERS[0])],
            now: self.now,
        };
        let swept = self.bench.sweep(sweep).await.unwrap();
        let end = MessageId::new(horizon, [0; 10]);
        let ends = |id: &MessageId| id.as_bytes()[..6] < end.as_bytes()[..6];
        let mark = self.swept;
        let ids = self.messages.keys().copied();
        let ids = ids.filter(|id| ends(id) && mark.is_none_or(|mark| *id > mark)).take(limit as usize);
        let ids: Vec<_> = ids.collect();
        let mut expected = Swept { seen: u32::try_from(ids.len()).unwrap(), ..Swept::default() };
        for id in &ids {
            let model = self.messages.get_mut(id).unwrap();
            let is_old = model.updated_at <= horizon;
            match model.status {
                MessageStatus::Sent if is_old && model.route == 0 => {
                    model.after(StatusEvent::WaitedInVain, None, self.now);
                    expected.without_receipt += 1;
                }
                MessageStatus::Queued if is_old => {
                    model.after(StatusEvent::TimeRanOut, None, self.now);
                    expected.expired += 1;
                }
                _ => {}
            }
        }
        self.swept = ids.last().copied().or(mark);
        assert_eq!(swept, expected);
    }

    /// Whether a watch is still as it was taken.
    fn is_there(&self, watched: &Watched) -> bool {
        let sql = format!(
            "SELECT count(*) FROM watches WHERE due_at = {} AND message_id = {}",
            watched.watch.due_at.as_micros(),
            F::literal(watched.message.id)
        );
        self.bench.fixture.counts(vec![sql]) == [1]
    }

    /// The store shows what the model says.
    pub(super) async fn compare(&self) {
        for (id, model) in &self.messages {
            let shown = self.bench.show(*id).await;
            assert_eq!(shown.summary.status, model.status, "{id}");
            assert_eq!(shown.summary.updated_at, model.updated_at, "{id}");
            assert_eq!(shown.summary.provider, provider(PROVIDERS[model.route]), "{id}");
            assert_eq!(shown.attempts.len(), model.attempts.len(), "{id}");
            for (attempt, expected) in shown.attempts.iter().zip(&model.attempts) {
                let ended = attempt.ended.as_ref().map(|(_, outcome)| outcome.kind());
                assert_eq!(ended, expected.ended, "{id}");
                // Nothing is ever taken for another message's.
                let own = format!("P{}-", model.n);
                assert!(expected.id.as_ref().is_none_or(|theirs| theirs.starts_with(&own)), "{id}");
            }
        }
        self.check_rows();
    }

    /// What must hold in the tables, whatever the interface shows.
    fn check_rows(&self) {
        // Rows of the queue that are not left over from an earlier round.
        let live = "queue q JOIN states USING (message_id) LEFT JOIN rounds r USING (message_id) \
             WHERE q.resends = coalesce(r.resends, 0)";
        let open = "SELECT message_id FROM attempts WHERE outcome IS NULL";
        let nevers = [
            (
                "waits and has an open attempt",
                format!(
                    "{live} AND message_id IN ({open}) AND status <> 'sending'
                 AND status IN ('queued', 'scheduled')"
                ),
            ),
            ("waits twice", format!("(SELECT 1 FROM {live} GROUP BY message_id HAVING count(*) > 1) AS x")),
            ("has two open attempts", format!("({open} GROUP BY message_id HAVING count(*) > 1) AS x")),
            (
                "is lost",
                format!(
                    "states s WHERE s.status IN ('scheduled', 'queued') \
                     AND s.message_id NOT IN (SELECT q.message_id FROM {live})"
                ),
            ),
            ("is being sent while it waits", format!("{live} AND status = 'sending'")),
            (
                "is being sent and nobody looks after it",
                format!(
                    "states WHERE status = 'sending' AND message_id NOT IN ({open}) AND message_id NOT IN \
                     (SELECT w.message_id FROM watches w JOIN attempts a ON a.message_id = w.message_id \
                     AND a.number = w.attempt WHERE w.kind = 'doubt' AND a.outcome = 'ambiguous')"
                ),
            ),
            ("has no state", "messages WHERE id NOT IN (SELECT message_id FROM states)".into()),
        ];
        let count = |tables: &str| format!("SELECT count(*) FROM {tables}");
        let all = std::iter::once("messages").chain(nevers.iter().map(|(_, sql)| sql.as_str()));
        let counts = self.bench.fixture.counts(all.map(count).collect());
        assert_eq!(counts[0], self.messages.len() as u64);
        for ((never, _), count) in nevers.iter().zip(&counts[1..]) {
            assert_eq!(*count, 0, "a message {never}");
        }
    }

    /// In the end, every message that still waits is claimed or expires, and every doubt comes to somebody.
    pub(super) async fn drain(&mut self) {
        self.now = self.latest.plus(1_000 * MINUTE);
        for (route, name) in PROVIDERS.iter().enumerate() {
            loop {
                let depth = self.bench.depth(self.now).await.unwrap();
                let theirs = depth.iter().filter(|lane| lane.provider.as_str() == *name);
                if theirs.map(|lane| lane.messages).sum::<u64>() == 0 {
                    break;
                }
                self.claim(1, route, 1_000, 1, false).await;
            }
        }
        assert_eq!(self.messages.values().filter(|model| model.is_waiting()).count(), 0);
        self.now = self.in_minutes(10);
        self.recover(1, true).await;
        self.held.clear();
        self.look(1_000).await;
        let mut told: Vec<_> = self
            .held
            .iter()
            .filter(|held| held.watched.kind == WatchKind::Doubt)
            .map(|held| held.watched.message.id)
            .collect();
        told.sort();
        told.dedup();
        let in_doubt = self.messages.iter().filter(|(_, model)| model.is_in_doubt());
        assert_eq!(told, in_doubt.map(|(id, _)| *id).collect::<Vec<_>>());
        self.compare().await;
    }
}
