//! Step 2: claim, submit, record the outcome, and decide what comes next.
//!
//! One dispatcher for each provider. It claims no more than it can submit at once, lane by lane: the claim's
//! commit is also the durable intent of each attempt, so the time in which a crash leaves a doubt is that of
//! the request itself. Requests run side by side up to the provider's limit; each records its own outcome,
//! and the store's group commit makes one flush of many.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::attempt::{Failure, Reason, Submission, SubmitOutcome};
use domain::batch::Requests;
use domain::scenario::Priority;
use domain::sender_pace::SenderPace;
use domain::time::Timestamp;
use providers::SmsProvider;
use store::StoreError;
use store::port::queue::{AttemptEnd, Claim, Claimed, Next};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::fault::fault_point;
use crate::fresh;
use crate::health::Sign;
use crate::next::Tried;
use crate::pacer::{Opening, Pacer, Waiting};
use crate::shared::Shared;
use crate::stop::Stop;
use crate::unwanted::{self, Unwanted};

/// How long an account that can't be used rests at first.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// How long to wait after the store failed.
const STORE_PAUSE: Duration = Duration::from_millis(500);

/// How often messages are looked for that expire while nothing is claimed.
const EXPIRY_TURN: Duration = Duration::from_secs(1);

/// Messages of a lane that are looked at together for whether their time has run out.
const EXPIRED_AT_ONCE: u32 = 256;

/// Submits the messages of one provider.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    pub(crate) provider: Arc<dyn SmsProvider>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) wake: Arc<Notify>,
}

/// Longest time without a look into the queue: the net beneath the wake-ups.
pub(crate) const LONGEST_REST: Duration = Duration::from_secs(5);

/// The same where other nodes may have accepted something: nobody wakes us for that.
const REST_AMONG_NODES: Duration = Duration::from_millis(200);

/// How long after its claim a message may begin to leave. A process that was halted for longer may be taken for gone: what
/// it had claimed is being looked after elsewhere.
const LEAVES_WITHIN: Duration = Duration::from_secs(5);

/// What a request told.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    account: Option<Account>,
    /// Some of its messages wait again for this provider.
    retries: bool,
    /// The provider's breaker is open: nothing more is to be tried before this time.
    leave_until: Option<Timestamp>,
}

/// What a request told about the provider's account.
#[derive(Debug, Clone, Copy)]
enum Account {
    /// It took a message.
    Works,
    /// It can't be used now.
    Unusable { since: Timestamp, retry_after: Option<Duration> },
}

/// What a dispatcher knows of its lanes, and what it has under way.
struct Progress {
    pacer: Pacer,
    /// By lane, when the first waiting message is due, as far as known.
    next_due: [Option<Timestamp>; Priority::ALL.len()],
    /// The same as the last claim saw it: a lane in which something may have arrived since is not one in which something
    /// waits.
    seen_due: [Option<Timestamp>; Priority::ALL.len()],
    under_way: JoinSet<Told>,
    /// The lane of each request under way.
    lanes: HashMap<tokio::task::Id, Priority>,
    /// When to look next for messages that expire while nothing is claimed.
    expire_at: Timestamp,
}

impl Dispatcher {
    /// Runs until stopped. Then nothing more is claimed, and what was claimed is submitted and recorded.
    pub(crate) async fn run(self: Arc<Self>, stop: Stop) {
        let clock = &self.shared.clock;
        let start = clock.now();
        let mut progress = Progress {
            pacer: Pacer::new(*self.provider.pace(), self.shared.settings.guaranteed, FIRST_PAUSE),
            next_due: [Some(start); Priority::ALL.len()],
            seen_due: [None; Priority::ALL.len()],
            under_way: JoinSet::new(),
            lanes: HashMap::new(),
            expire_at: start,
        };
        while !stop.soft.is_cancelled() {
            let now = clock.now();
            stop.beat(now);
            let share = self.shared.nodes.share(now);
            if let Some(share) = share {
                progress.pacer.set_share(share);
            }
            let in_service = share.is_some() && self.in_service(&stop);
            // What nobody claims for a while expires all the same.
            if (!in_service || progress.pacer.is_paused(now)) && now >= progress.expire_at {
                progress.expire_at = now.plus(EXPIRY_TURN);
                self.expire(now).await;
            }
            let look_at = progress.look_at(now).filter(|_| in_service);
            if look_at.is_some_and(|at| at <= now) {
                self.claim(&mut progress, now).await;
                continue;
            }
            let rest = now.plus(if self.shared.store.is_shared() { REST_AMONG_NODES } else { LONGEST_REST });
            let pause = clock.sleep_until(look_at.map_or(rest, |at| at.min(rest)));
            tokio::select! {
                () = stop.soft.cancelled() => {}
                () = self.wake.notified() => progress.next_due = [Some(now); Priority::ALL.len()],
                () = progress.request_ended(), if !progress.under_way.is_empty() => {}
                () = pause => {
                    if look_at.is_none_or(|at| at > rest) {
                        progress.next_due = [Some(now); Priority::ALL.len()];
                    }
                }
            }
        }
        while !progress.under_way.is_empty() {
            tokio::select! {
                () = stop.hard.cancelled() => return,
                () = progress.request_ended() => {}
            }
        }
    }

    async fn claim(self: &Arc<Self>, progress: &mut Progress, now: Timestamp) {
        let room = progress.pacer.room(now);
        let claim = Claim {
            node: self.shared.node,
            provider: self.provider.provider_name().clone(),
            at_most: room.at_most,
            total: room.total,
            requests: room.requests,
            at_once: room.at_once,
            guaranteed: room.guaranteed,
            guaranteed_requests: room.guaranteed_requests,
            receivers_per_request: self.provider.pace().max_receivers_per_request,
            now,
            lease_until: now.plus(self.shared.settings.lease),
            quiet: Arc::clone(&self.shared.settings.quiet_hours),
            senders: progress.pacer.senders(now),
        };
        match self.shared.store.claim(claim).await {
            Ok(claims) => {
                progress.next_due = claims.next_due;
                progress.seen_due = claims.next_due;
                progress.pacer.set_senders(claims.senders);
                for id in claims.expired {
                    self.shared.metrics.expired(self.provider.provider_name());
                    self.shared.outcomes.settle(id);
                }
                // They leave now: a claim that took long must not let two seconds' worth leave together.
                let leaves_at = self.shared.clock.now();
                for claimed in &claims.claimed {
                    progress.pacer.passes(claimed.priority, leaves_at);
                    self.shared.metrics.claimed(claimed.priority, now.since(claimed.due_at));
                }
                for request in self.requests(claims.claimed) {
                    progress.start(Arc::clone(self), request, (now, leaves_at));
                }
            }
            Err(problem) => {
                tracing::error!(%problem, provider = %self.provider.provider_name(), "the queue can't be read");
                self.shared.metrics.store_failed();
                self.shared.clock.sleep_until(now.plus(STORE_PAUSE)).await;
            }
        }
    }

    /// Ends messages at the front of the lanes whose time has run out, without taking any: also a provider out of
    /// service must not keep a code `queued` that will never leave.
    async fn expire(&self, now: Timestamp) {
        let claim = Claim {
            node: self.shared.node,
            provider: self.provider.provider_name().clone(),
            at_most: [EXPIRED_AT_ONCE; Priority::ALL.len()],
            total: EXPIRED_AT_ONCE,
            // No place for anything that would leave.
            requests: [0; Priority::ALL.len()],
            at_once: 0,
            guaranteed: [0; Priority::ALL.len()],
            guaranteed_requests: [0; Priority::ALL.len()],
            receivers_per_request: 1,
            now,
            lease_until: now,
            quiet: Arc::clone(&self.shared.settings.quiet_hours),
            senders: SenderPace::default(),
        };
        match self.shared.store.claim(claim).await {
            Ok(claims) => {
                for id in claims.expired {
                    self.shared.metrics.expired(self.provider.provider_name());
                    self.shared.outcomes.settle(id);
                }
            }
            Err(problem) => {
                tracing::error!(%problem, provider = %self.provider.provider_name(), "the queue can't be read");
                self.shared.metrics.store_failed();
            }
        }
    }

    /// Messages into requests, by the rule that the claim counted them by.
    fn requests(&self, claimed: Vec<Claimed>) -> Vec<Vec<Claimed>> {
        let mut places = Requests::new(self.provider.pace().max_receivers_per_request);
        let mut requests: Vec<Vec<Claimed>> = Vec::with_capacity(claimed.len());
        for message in claimed {
            match places.place(&message.submission, message.priority, usize::MAX) {
                Some(position) if position < requests.len() => requests[position].push(message),
                _ => requests.push(vec![message]),
            }
        }
        requests
    }

    /// Neither drained by an operator nor paused.
    fn in_service(&self, stop: &Stop) -> bool {
        !stop.is_paused()
            && self.shared.router.health().drained_since(self.provider.provider_name()).is_none()
    }

    /// One request to the provider, from its first byte to its recorded outcome.
    async fn submit(self: Arc<Self>, request: Vec<Claimed>, claimed_at: Timestamp) -> Told {
        fault_point("after_intent");
        let shared = &self.shared;
        let begun = shared.clock.now();
        let is_late = shared.store.is_shared() && begun.since(claimed_at) > LEAVES_WITHIN;
        let outcomes = if is_late {
            let halted = SubmitOutcome::not_submitted(Failure::new(Reason::Crashed));
            vec![halted; request.len()]
        } else if let [single] = request.as_slice() {
            vec![self.provider.send_sms(&single.submission).await]
        } else {
            let submissions: Vec<Submission> =
                request.iter().map(|message| message.submission.clone()).collect();
            self.provider.send_bulk_sms(&submissions).await
        };
        fault_point("after_answer");
        let ended_at = shared.clock.now();
        shared.metrics.request_ended(self.provider.provider_name(), ended_at.since(begun));
        // A provider answers for each message or, by mistake, for fewer: then nobody knows of the rest.
        let unanswered = || SubmitOutcome::Ambiguous(Failure::new(Reason::BadAnswer));
        let outcomes: Vec<SubmitOutcome> =
            outcomes.into_iter().chain(std::iter::repeat_with(unanswered)).take(request.len()).collect();
        let leave_until = self.note_health(&request, &outcomes, ended_at);
        // Drawn once: what shared a request will share one again.
        let jitter = fresh::jitter();
        let ends: Vec<AttemptEnd> = request
            .iter()
            .zip(outcomes)
            .map(|(message, outcome)| self.end(message, outcome, jitter, ended_at))
            .collect();
        self.record(&ends).await;
        self.note_unwanted(&request, &ends).await;
        fault_point("after_outcome");
        self.tell(&request, &ends);
        Told {
            account: account(&ends),
            retries: ends.iter().any(|end| self.is_retried_here(end)),
            leave_until,
        }
    }

    /// Feeds the breakers. Answers until when this provider is to be left alone, if it is.
    fn note_health(
        &self,
        request: &[Claimed],
        outcomes: &[SubmitOutcome],
        now: Timestamp,
    ) -> Option<Timestamp> {
        let health = self.shared.router.health();
        let mut leave_until = None;
        for (message, outcome) in request.iter().zip(outcomes) {
            let country = message.submission.receiver.country();
            // A sender that the caller chose and the network refuses says nothing of the route for others.
            let is_of_sender = message.submission.sender.is_some()
                && outcome.failure().is_some_and(|failure| failure.reason == Reason::SenderNotAllowed);
            let sign = if is_of_sender { Sign::Nothing } else { Sign::of_outcome(outcome) };
            leave_until = health.note(self.provider.provider_name(), country, sign, now);
        }
        leave_until
    }

    /// Enters those who do not want messages, as the provider says. What can't be entered now is told by the next refusal.
    async fn note_unwanted(&self, request: &[Claimed], ends: &[AttemptEnd]) {
        let refused = request.iter().zip(ends).filter(|(_, end)| unwanted::is_meant(end.outcome.failure()));
        let told: Vec<Unwanted> = refused
            .map(|(message, end)| Unwanted {
                number: message.submission.receiver,
                sender: message.submission.sender.clone(),
                detail: end.outcome.failure().and_then(|failure| failure.provider_code.clone()),
                at: end.ended_at,
            })
            .collect();
        if let Err(problem) = unwanted::enter(&self.shared, &*self.provider, told).await {
            tracing::warn!(%problem, provider = %self.provider.provider_name(), "an opt-out could not be entered");
        }
    }

    /// Tells everybody who waits for what has happened.
    fn tell(&self, request: &[Claimed], ends: &[AttemptEnd]) {
        let shared = &self.shared;
        let provider = self.provider.provider_name();
        for (message, end) in request.iter().zip(ends) {
            shared.metrics.attempt_ended(provider, message, end);
            let country = message.submission.receiver.country();
            if matches!(end.outcome, SubmitOutcome::Accepted(_)) {
                shared.silence.accepted(end.message_id, provider, country, end.ended_at);
            }
            match &end.next {
                Next::Stop | Next::Expire => shared.outcomes.settle(end.message_id),
                Next::Retry { provider: other, .. } if other != provider => {
                    tracing::info!(message.id = %end.message_id, from = %provider, to = %other, "sms.failover");
                    shared.metrics.failed_over(provider, other);
                    shared.wakeups.wake(other);
                }
                Next::Retry { .. } | Next::Wait => {}
            }
        }
    }

    fn is_retried_here(&self, end: &AttemptEnd) -> bool {
        matches!(&end.next, Next::Retry { provider, .. } if provider == self.provider.provider_name())
    }

    fn end(&self, message: &Claimed, outcome: SubmitOutcome, jitter: f64, ended_at: Timestamp) -> AttemptEnd {
        let submission = &message.submission;
        let tried = Tried {
            provider: self.provider.provider_name(),
            attempt: submission.attempt,
            receiver: submission.receiver,
            scenario: submission.scenario,
            priority: message.priority,
            segments: message.segments,
            refused_by: &message.refused_by,
            first_due_at: message.first_due_at,
            expires_at: submission.expires_at,
            ended_at,
            jitter,
        };
        let step = self.shared.decider().after(&tried, &outcome);
        AttemptEnd {
            message_id: submission.message_id,
            attempt: submission.attempt,
            outcome,
            ended_at,
            next: step.next,
            watch_at: step.watch_at,
        }
    }

    /// Records outcomes, however long it takes: what a provider has answered must not be forgotten. The
    /// request keeps its place among those under way, so a store that is down stops the submitting too.
    async fn record(&self, ends: &[AttemptEnd]) {
        let shared = &self.shared;
        while let Err(problem) = shared.store.finish(ends.to_vec()).await {
            tracing::error!(%problem, outcomes = ends.len(), "outcomes can't be recorded; trying again");
            shared.metrics.store_failed();
            if problem == StoreError::Stopped {
                return;
            }
            shared.clock.sleep_until(shared.clock.now().plus(STORE_PAUSE)).await;
        }
    }
}

/// What the ends of a request's attempts say of the account.
fn account(ends: &[AttemptEnd]) -> Option<Account> {
    let mut account = None;
    for end in ends {
        match &end.outcome {
            SubmitOutcome::Accepted(_) => return Some(Account::Works),
            SubmitOutcome::NotSubmitted { failure, retry_after } if failure.reason.is_of_account() => {
                account = Some(Account::Unusable { since: end.ended_at, retry_after: *retry_after });
            }
            SubmitOutcome::Rejected(failure) if failure.reason.is_of_account() => {
                account = Some(Account::Unusable { since: end.ended_at, retry_after: None });
            }
            _ => {}
        }
    }
    account
}

impl Progress {
    /// When to look into the queue again: when a lane has both a message that is due and room for it. `None`
    /// if only an arrival or the end of a request can change that.
    fn look_at(&mut self, now: Timestamp) -> Option<Timestamp> {
        let waiting = self.waiting(now);
        let lanes = Priority::ALL.iter().zip(self.next_due);
        let openings = lanes.filter_map(|(lane, due)| match due {
            Some(due) if due > now => Some(due),
            Some(_) => match self.pacer.opens(*lane, waiting, now) {
                Opening::Now => Some(now),
                Opening::At(time) => Some(time),
                Opening::AfterRequest => None,
            },
            None => None,
        });
        openings.min()
    }

    /// Which lanes have messages that are due, as far as known.
    fn waiting(&self, now: Timestamp) -> Waiting {
        self.seen_due.map(|due| due.is_some_and(|due| due <= now))
    }

    /// Messages of one lane, on their way in one request.
    fn start(
        &mut self,
        dispatcher: Arc<Dispatcher>,
        request: Vec<Claimed>,
        (claimed_at, leaves_at): (Timestamp, Timestamp),
    ) {
        let Some(lane) = request.first().map(|first| first.priority) else { return };
        self.pacer.request_starts(lane, leaves_at);
        let id = self.under_way.spawn(dispatcher.submit(request, claimed_at)).id();
        self.lanes.insert(id, lane);
    }

    fn hear(&mut self, told: &Told) {
        match told.account {
            Some(Account::Works) => self.pacer.works(),
            Some(Account::Unusable { since, retry_after }) => self.pacer.pause(retry_after, since),
            None => {}
        }
        if let Some(until) = told.leave_until {
            self.pacer.leave_until(until);
        }
        if told.retries {
            // Known only now that the pause is: else it would be tried before.
            self.next_due = [Some(Timestamp::from_micros(i64::MIN)); Priority::ALL.len()];
        }
    }

    /// Returns when a request has ended, and takes note of all that have.
    async fn request_ended(&mut self) {
        let mut ended = self.under_way.join_next_with_id().await;
        while let Some(result) = ended {
            let id = match &result {
                Ok((id, told)) => {
                    self.hear(told);
                    *id
                }
                Err(problem) => problem.id(),
            };
            if let Some(lane) = self.lanes.remove(&id) {
                self.pacer.request_ended(lane);
            }
            if result.is_err_and(|problem| problem.is_panic()) {
                tracing::error!(
                    "a submission panicked; its attempt will be closed as ambiguous when its lease ends"
                );
            }
            ended = self.under_way.try_join_next_with_id();
        }
    }
}
