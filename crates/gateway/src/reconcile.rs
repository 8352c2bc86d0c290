//! Looks after messages whose fate is not clear: finds out how ambiguous attempts ended, and sends again what a
//! provider did not deliver.
//!
//! The watches in the store are its work list, so that a crash forgets nothing. What it finds out:
//!
//! - A provider that can be asked is asked. What it has is adopted; what it certainly has not is tried again.
//! - One that can't be asked may still report: the store adopts an attempt by its receipt.
//! - Where nobody finds out in time, the scenario's policy decides.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use domain::attempt::{Acceptance, Failure, Reason, SubmitOutcome};
use domain::audit::Actor;
use domain::message::MessageStatus;
use domain::policy::{OnAmbiguous, OnSilence};
use domain::route::{ProviderName, Route, Standing};
use domain::time::Timestamp;
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use providers::provider::SubmissionQuery;
use store::port::messages::Resend;
use store::port::queue::{AttemptEnd, Next};
use store::port::watches::{Settled, TakeWatches, Verdict, WatchKind, Watched};
use tokio::sync::Notify;

use crate::again;
use crate::fault::fault_point;
use crate::fresh;
use crate::limits::Again;
use crate::next::Tried;
use crate::shared::Shared;
use crate::stop::Stop;

/// From one look to the next.
pub(crate) const TURN: Duration = Duration::from_secs(1);

/// Watches that are taken together: what is decided about one is recorded with the others.
const BATCH: u32 = 64;

/// How long others leave alone what was taken: longer than asking a provider takes.
const LEASE: Duration = Duration::from_mins(2);

/// Questions to providers at the same time.
const AT_ONCE: usize = 16;

/// How long a message that was not delivered waits for another route that fails now.
const LONGEST_WAIT_FOR_ROUTE: Duration = Duration::from_mins(10);

/// How often a message is sent again because of what became of it, whatever the policy.
const MOST_RESENDS: u16 = 3;

/// Looks after messages on watch.
#[derive(Debug)]
pub(crate) struct Reconciler {
    pub(crate) shared: Arc<Shared>,
    pub(crate) wake: Arc<Notify>,
    pub(crate) report: Arc<Mutex<ReconcilerReport>>,
}

/// What the reconciler has done since the start.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReconcilerReport {
    /// When it last looked.
    pub last_look: Option<Timestamp>,
    /// Messages looked after.
    pub looked_after: u64,
    /// Ambiguous attempts that turned out to have arrived.
    pub found: u64,
    /// Ambiguous attempts that turned out not to have arrived.
    pub absent: u64,
    /// Messages given up because nobody could find out.
    pub given_up: u64,
    /// Messages sent again, by policy, for an unclear, missing or bad outcome.
    pub resent: u64,
    /// Questions that a provider did not answer.
    pub unanswered: u64,
}

impl Reconciler {
    /// Runs until stopped.
    pub(crate) async fn run(self: Arc<Self>, stop: Stop) {
        while !stop.soft.is_cancelled() {
            let now = self.shared.clock.now();
            stop.beat(now);
            let look = async { if stop.is_paused() { 0 } else { self.look(now, &stop).await } };
            let taken = tokio::select! {
                // What was taken comes back when its lease ends.
                () = stop.hard.cancelled() => return,
                taken = look => taken,
            };
            if taken == BATCH as usize {
                continue;
            }
            let rest = self.shared.clock.sleep_until(now.plus(TURN));
            tokio::select! {
                () = stop.soft.cancelled() => {}
                () = self.wake.notified() => {}
                () = rest => {}
            }
        }
    }

    /// Looks after what is due. Answers how many.
    async fn look(&self, now: Timestamp, stop: &Stop) -> usize {
        let take = TakeWatches { now, lease_until: now.plus(LEASE), limit: BATCH };
        let watched = match self.shared.store.take_watches(take).await {
            Ok(watched) => watched,
            Err(problem) => {
                tracing::error!(%problem, "watches can't be read");
                self.shared.metrics.store_failed();
                return 0;
            }
        };
        self.report.lock().last_look = Some(now);
        if watched.is_empty() {
            return 0;
        }
        let count = watched.len();
        self.report.lock().looked_after += count as u64;
        // One doubt about a receiver after the other: what is adopted for the first is known to the next.
        let mut asked_about = HashSet::new();
        let decided = futures_util::stream::iter(watched)
            .map(|mut watched| {
                let whom = (watched.attempt.provider.clone(), watched.message.receiver);
                let is_next = watched.kind != WatchKind::Doubt || asked_about.insert(whom);
                async move {
                    watched.expires_at = self.useful_until(&watched, now).await;
                    let verdict =
                        if is_next { self.decide(&watched).await } else { Verdict::Again(now.plus(TURN)) };
                    stop.beat(self.shared.clock.now());
                    (watched, verdict)
                }
            })
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        fault_point("before_settle");
        let settled = decided
            .iter()
            .map(|(watched, verdict)| Settled { watch: watched.watch, verdict: verdict.clone() })
            .collect();
        if let Err(problem) = self.shared.store.settle_watches(settled).await {
            // The leases end, and it is all looked at again.
            tracing::error!(%problem, "what was decided can't be recorded");
            self.shared.metrics.store_failed();
            return 0;
        }
        fault_point("after_settle");
        for (watched, verdict) in &decided {
            self.tell(watched, verdict);
        }
        count
    }

    /// Until when a message is of use. One whose code has ended is of none.
    async fn useful_until(&self, watched: &Watched, now: Timestamp) -> Option<Timestamp> {
        match again::has_dead_code(&*self.shared.store, &watched.message, now).await {
            Ok(true) => Some(now),
            // If that can't be known now, the store looks once more before anything is sent again.
            Ok(false) | Err(_) => watched.expires_at,
        }
    }

    async fn decide(&self, watched: &Watched) -> Verdict {
        match watched.kind {
            WatchKind::Doubt => self.resolve(watched).await,
            WatchKind::Silence => self.hear_silence(watched),
            WatchKind::Undelivered => self.redeliver(watched),
        }
    }

    /// Finds out how an ambiguous attempt ended, or decides without knowing.
    async fn resolve(&self, watched: &Watched) -> Verdict {
        let settings = &self.shared.settings;
        let now = self.shared.clock.now();
        let Some((ended_at, outcome)) = &watched.attempt.ended else {
            return Verdict::Again(now.plus(settings.reconcile.interval));
        };
        let decide_at = ended_at.plus(settings.policy(watched.message.scenario).decide_after);
        let failure = outcome.failure().cloned().unwrap_or(Failure::new(Reason::Unknown));
        let provider = self.shared.router.provider(&watched.attempt.provider);
        let askable = provider.filter(|provider| provider.capabilities().finds_submissions);
        // What the provider has may be the message of the attempt under way. That ends with its lease at the latest,
        // and then the provider can be asked: nothing is decided unasked.
        if askable.is_some() && watched.has_rival {
            return Verdict::Again(now.plus(settings.reconcile.interval));
        }
        if let Some(provider) = askable {
            let query = SubmissionQuery {
                receiver: watched.message.receiver,
                body: watched.message.body.clone(),
                started_at: watched.attempt.started_at,
                known: watched.known.clone(),
            };
            match provider.find_submission(&query).await {
                Ok(Some(found)) => {
                    let acceptance = Acceptance {
                        provider_message_id: found.provider_message_id,
                        segments: None,
                        cost: found.cost,
                    };
                    return self.ended(watched, SubmitOutcome::Accepted(acceptance));
                }
                // A list may be behind: only what is still not there after a while certainly is not.
                Ok(None) if now >= ended_at.plus(settings.reconcile.absent_after) => {
                    return self.ended(watched, SubmitOutcome::not_submitted(failure));
                }
                Ok(None) => return Verdict::Again(ended_at.plus(settings.reconcile.absent_after)),
                Err(problem) => {
                    self.report.lock().unanswered += 1;
                    tracing::warn!(provider = %watched.attempt.provider, %problem, "a provider can't be asked");
                }
            }
        }
        if now < decide_at {
            return Verdict::Again(decide_at.min(now.plus(settings.reconcile.interval)));
        }
        self.decide_in_doubt(watched, failure)
    }

    /// Nobody knows, and the time to find out is over.
    fn decide_in_doubt(&self, watched: &Watched, failure: Failure) -> Verdict {
        let policy = self.shared.settings.policy(watched.message.scenario);
        let mut end = self.end(watched, SubmitOutcome::Ambiguous(failure), Next::Stop);
        if policy.on_ambiguous == OnAmbiguous::Resend && watched.perhaps_sent <= MOST_RESENDS {
            let tried = self.tried(watched, &[]);
            let other = self.shared.router.choose_instead(
                &watched.attempt.provider,
                &tried.traveler(),
                tried.ended_at,
            );
            let choose = || self.shared.router.choose(&tried.traveler(), true, tried.ended_at);
            let Some(route) = other.or_else(|| choose().map(|route| route.provider)) else {
                return Verdict::Ended(end);
            };
            end.next = match self.shared.decider().retry(&tried, route, Duration::ZERO) {
                // Its time is over: what remains is that nobody knows.
                Next::Expire => Next::Stop,
                next => next,
            };
        }
        Verdict::Ended(end)
    }

    /// Now it is known how the attempt ended.
    fn ended(&self, watched: &Watched, outcome: SubmitOutcome) -> Verdict {
        let tried = self.tried(watched, &[]);
        let step = self.shared.decider().after(&tried, &outcome);
        let mut end = self.end(watched, outcome, step.next);
        end.watch_at = step.watch_at;
        Verdict::Ended(end)
    }

    fn end(&self, watched: &Watched, outcome: SubmitOutcome, next: Next) -> AttemptEnd {
        AttemptEnd {
            message_id: watched.message.id,
            attempt: watched.attempt.number,
            outcome,
            ended_at: self.shared.clock.now(),
            next,
            watch_at: None,
        }
    }

    /// No receipt has come by the time that it should have.
    fn hear_silence(&self, watched: &Watched) -> Verdict {
        let settings = &self.shared.settings;
        let (message, now) = (&watched.message, self.shared.clock.now());
        let is_sent = watched.status == MessageStatus::Sent;
        let provider = self.shared.router.provider(&watched.attempt.provider);
        if is_sent && !provider.is_some_and(|provider| provider.capabilities().reports_delivery) {
            // Nobody will ever say more.
            return Verdict::Done;
        }
        let moved_at = watched.updated_at.max(watched.first_due_at);
        let horizon = moved_at.plus(settings.reconcile.horizon);
        if now >= horizon && watched.status != MessageStatus::Sending {
            return Verdict::WaitedInVain(now);
        }
        let policy = settings.policy(message.scenario);
        let country = message.receiver.country();
        let overdue = is_sent && policy.on_silence == OnSilence::Failover;
        if overdue
            && let Some(provider) = self.another_route(watched, now)
            && self.shared.silence.is_telling(&watched.attempt.provider, country, policy.deliver_within, now)
        {
            return self.resend(
                watched,
                provider,
                &[MessageStatus::Sent],
                Some(Failure::new(Reason::NoReceipt)),
                now,
            );
        }
        // The sweep finds it at the horizon, unless it has been by already.
        if message.created_at.plus(settings.reconcile.horizon) > now {
            Verdict::Done
        } else {
            Verdict::Again(horizon.max(now.plus(settings.reconcile.interval)))
        }
    }

    /// A receipt says that it was not delivered, and another route may do better.
    fn redeliver(&self, watched: &Watched) -> Verdict {
        let now = self.shared.clock.now();
        match self.another_route(watched, now) {
            Some(provider) => self.resend(
                watched,
                provider,
                &[MessageStatus::Undelivered, MessageStatus::Failed],
                watched.failure.clone(),
                now,
            ),
            None if self.is_worth_waiting(watched, now) => {
                Verdict::Again(now.plus(self.shared.settings.reconcile.interval))
            }
            None => Verdict::Done,
        }
    }

    /// Whether a route that has not been asked may work again while the message is of use.
    fn is_worth_waiting(&self, watched: &Watched, now: Timestamp) -> bool {
        let has_waited = now.since(watched.updated_at) >= LONGEST_WAIT_FOR_ROUTE;
        let tried = self.tried(watched, &watched.asked);
        let may_work = |route: &Route| matches!(route.standing, Standing::Open { .. } | Standing::Probing);
        !is_over(watched, now)
            && !has_waited
            && watched.perhaps_sent <= MOST_RESENDS
            && self.shared.router.rank(&tried.traveler(), now).iter().any(may_work)
    }

    /// A route that has not been asked yet, for a message whose time is not over.
    fn another_route(&self, watched: &Watched, now: Timestamp) -> Option<ProviderName> {
        if is_over(watched, now) || watched.perhaps_sent > MOST_RESENDS {
            return None;
        }
        let tried = self.tried(watched, &watched.asked);
        self.shared.router.choose_instead(&watched.attempt.provider, &tried.traveler(), now)
    }

    /// `refused_by` are providers that are not to be asked again.
    fn tried<'a>(&self, watched: &'a Watched, refused_by: &'a [ProviderName]) -> Tried<'a> {
        let message = &watched.message;
        Tried {
            provider: &watched.attempt.provider,
            attempt: watched.attempt.number,
            receiver: message.receiver,
            scenario: message.scenario,
            priority: message.priority,
            segments: message.segments,
            refused_by,
            first_due_at: watched.first_due_at,
            expires_at: watched.expires_at,
            ended_at: self.shared.clock.now(),
            jitter: fresh::jitter(),
        }
    }

    /// The message again, by another route.
    fn resend(
        &self,
        watched: &Watched,
        provider: ProviderName,
        standing: &'static [MessageStatus],
        failure: Option<Failure>,
        now: Timestamp,
    ) -> Verdict {
        Verdict::Resend(Resend {
            message_id: watched.message.id,
            standing,
            last_attempt: Some(watched.attempt.number),
            failure,
            draws: self.shared.limits.draws_again(&watched.message, &provider, Again::Unasked, now),
            provider,
            priority: watched.message.priority,
            due_at: now,
            expires_at: watched.expires_at,
            refused_by: watched.asked.clone(),
            by: Actor::System,
            now,
        })
    }

    fn tell(&self, watched: &Watched, verdict: &Verdict) {
        let (id, shared) = (watched.message.id, &self.shared);
        let provider = &watched.attempt.provider;
        let mut report = self.report.lock();
        match verdict {
            Verdict::Ended(end) => {
                match (&end.outcome, &end.next) {
                    (SubmitOutcome::Accepted(_), _) => report.found += 1,
                    (SubmitOutcome::Ambiguous(_), Next::Retry { .. }) => report.resent += 1,
                    (SubmitOutcome::Ambiguous(_), _) => report.given_up += 1,
                    _ => report.absent += 1,
                }
                tracing::info!(message.id = %id, %provider, outcome = %end.outcome.kind(), "sms.reconciled");
                shared.metrics.reconciled(provider, end);
                match &end.next {
                    Next::Retry { provider, .. } => shared.wakeups.wake(provider),
                    _ => shared.outcomes.settle(id),
                }
            }
            Verdict::Resend(resend) => {
                report.resent += 1;
                tracing::info!(message.id = %id, from = %provider, to = %resend.provider, "sms.failover");
                shared.metrics.failed_over(provider, &resend.provider);
                shared.wakeups.wake(&resend.provider);
            }
            Verdict::WaitedInVain(_) => shared.metrics.waited_in_vain(provider),
            Verdict::Again(_) | Verdict::Done => {}
        }
    }
}

/// Whether a message is of no use any more: its time has run out, or its text is gone.
fn is_over(watched: &Watched, now: Timestamp) -> bool {
    watched.message.body.is_erased() || watched.expires_at.is_some_and(|end| end <= now)
}
