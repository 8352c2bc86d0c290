//! Step 2: claim, submit, record the outcome, and decide what comes next.
//!
//! One dispatcher for each provider. It claims no more than it can submit at once, lane by lane: the claim's
//! commit is also the durable intent of each attempt, so the time in which a crash leaves a doubt is that of
//! the request itself. Requests run side by side up to the provider's limit; each records its own outcome,
//! and the store's group commit makes one flush of many.

use std::sync::Arc;
use std::time::Duration;

use domain::attempt::{Failure, Reason, Submission, SubmitOutcome};
use domain::batch::Requests;
use domain::ids::NodeId;
use domain::scenario::Priority;
use domain::time::{Clock, Timestamp};
use providers::SmsProvider;
use store::port::queue::{AttemptEnd, Claim, Claimed, Next};
use store::{Store, StoreError};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::arrivals::Outcomes;
use crate::fresh;
use crate::metrics::Metrics;
use crate::pacer::{Opening, Pacer};
use crate::settings::Settings;
use crate::stop::Stop;

/// How long to wait after the store failed.
const STORE_PAUSE: Duration = Duration::from_millis(500);

/// Submits the messages of one provider.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    pub(crate) provider: Arc<dyn SmsProvider>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) node: NodeId,
    pub(crate) settings: Arc<Settings>,
    pub(crate) wake: Arc<Notify>,
    pub(crate) outcomes: Arc<Outcomes>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Longest time without a look into the queue: the net beneath the wake-ups.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// What a request told about the provider's account.
#[derive(Debug, Clone, Copy)]
enum Account {
    /// It took a message.
    Works,
    /// It can't be used now.
    Unusable { since: Timestamp, retry_after: Option<Duration> },
    /// Nothing.
    Unknown,
}

/// What a dispatcher knows of its lanes, and what it has under way.
struct Progress {
    pacer: Pacer,
    /// By lane, when the first waiting message is due, as far as known.
    next_due: [Option<Timestamp>; Priority::ALL.len()],
    under_way: JoinSet<Account>,
}

impl Dispatcher {
    /// Runs until stopped. Then nothing more is claimed, and what was claimed is submitted and recorded.
    pub(crate) async fn run(self: Arc<Self>, stop: Stop) {
        let start = self.clock.now();
        let mut progress = Progress {
            pacer: Pacer::new(*self.provider.pace(), self.settings.retry.base),
            next_due: [Some(start); Priority::ALL.len()],
            under_way: JoinSet::new(),
        };
        while !stop.soft.is_cancelled() {
            let now = self.clock.now();
            let look_at = progress.look_at(now);
            if look_at.is_some_and(|at| at <= now) {
                self.claim(&mut progress, now).await;
                continue;
            }
            let rest = now.plus(LONGEST_REST);
            let pause = self.clock.sleep_until(look_at.map_or(rest, |at| at.min(rest)));
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
            node: self.node,
            provider: self.provider.provider_name().clone(),
            at_most: room.at_most,
            total: room.total,
            requests: room.requests,
            receivers_per_request: self.provider.pace().max_receivers_per_request,
            now,
            lease_until: now.plus(self.settings.lease),
        };
        match self.store.claim(claim).await {
            Ok(claims) => {
                progress.next_due = claims.next_due;
                for id in claims.expired {
                    self.metrics.expired(self.provider.provider_name());
                    self.outcomes.settle(id);
                }
                for claimed in &claims.claimed {
                    progress.pacer.passes(claimed.priority, now);
                    self.metrics.claimed(claimed.priority, now.since(claimed.due_at));
                }
                for request in self.requests(claims.claimed) {
                    progress.pacer.request_starts();
                    progress.under_way.spawn(Arc::clone(self).submit(request));
                }
            }
            Err(problem) => {
                tracing::error!(%problem, provider = %self.provider.provider_name(), "the queue can't be read");
                self.metrics.store_failed();
                self.clock.sleep_until(now.plus(STORE_PAUSE)).await;
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

    /// One request to the provider, from its first byte to its recorded outcome.
    async fn submit(self: Arc<Self>, request: Vec<Claimed>) -> Account {
        let begun = self.clock.now();
        let outcomes = if let [single] = request.as_slice() {
            vec![self.provider.send_sms(&single.submission).await]
        } else {
            let submissions: Vec<Submission> =
                request.iter().map(|message| message.submission.clone()).collect();
            self.provider.send_bulk_sms(&submissions).await
        };
        let ended_at = self.clock.now();
        self.metrics.request_ended(self.provider.provider_name(), ended_at.since(begun));
        // A provider answers for each message or, by mistake, for fewer: then nobody knows of the rest.
        let unanswered = || SubmitOutcome::Ambiguous(Failure::new(Reason::BadAnswer));
        let outcomes = outcomes.into_iter().chain(std::iter::repeat_with(unanswered));
        // Drawn once: what shared a request will share one again.
        let jitter = fresh::jitter();
        let ends: Vec<AttemptEnd> = request
            .iter()
            .zip(outcomes)
            .map(|(message, outcome)| self.end(message, outcome, jitter, ended_at))
            .collect();
        self.record(&ends).await;
        for (message, end) in request.iter().zip(&ends) {
            self.metrics.attempt_ended(self.provider.provider_name(), message, end);
            if matches!(end.next, Next::Stop | Next::Expire) {
                self.outcomes.settle(end.message_id);
            }
        }
        account(&ends)
    }

    fn end(&self, message: &Claimed, outcome: SubmitOutcome, jitter: f64, ended_at: Timestamp) -> AttemptEnd {
        let next = match &outcome {
            // Refused for a fault of the account, which somebody will mend: the message waits for that.
            SubmitOutcome::Rejected(failure) if is_of_account(failure.reason) => {
                self.retry(message, None, jitter, ended_at)
            }
            SubmitOutcome::Accepted(_) | SubmitOutcome::Rejected(_) => Next::Stop,
            SubmitOutcome::Ambiguous(_) => Next::Wait,
            SubmitOutcome::NotSubmitted { retry_after, .. } => {
                self.retry(message, *retry_after, jitter, ended_at)
            }
        };
        AttemptEnd {
            message_id: message.submission.message_id,
            attempt: message.submission.attempt,
            outcome,
            ended_at,
            next,
        }
    }

    fn retry(&self, message: &Claimed, retry_after: Option<Duration>, jitter: f64, now: Timestamp) -> Next {
        let submission = &message.submission;
        let policy = &self.settings.retry;
        let Some(wait) = policy.wait(submission.attempt, retry_after, jitter) else {
            return Next::Stop;
        };
        let due_at = now.plus(wait);
        if due_at > message.created_at.plus(policy.give_up_after) {
            return Next::Stop;
        }
        if submission.expires_at.is_some_and(|end| due_at >= end) {
            return Next::Expire;
        }
        Next::Retry {
            provider: self.provider.provider_name().clone(),
            priority: message.priority,
            due_at,
            expires_at: submission.expires_at,
        }
    }

    /// Records outcomes, however long it takes: what a provider has answered must not be forgotten. The
    /// request keeps its place among those under way, so a store that is down stops the submitting too.
    async fn record(&self, ends: &[AttemptEnd]) {
        while let Err(problem) = self.store.finish(ends.to_vec()).await {
            tracing::error!(%problem, outcomes = ends.len(), "outcomes can't be recorded; trying again");
            self.metrics.store_failed();
            if problem == StoreError::Stopped {
                return;
            }
            self.clock.sleep_until(self.clock.now().plus(STORE_PAUSE)).await;
        }
        // A retry may be due before the dispatcher would look again.
        if ends.iter().any(|end| matches!(end.next, Next::Retry { .. })) {
            self.wake.notify_one();
        }
    }
}

/// What the ends of a request's attempts say of the account.
fn account(ends: &[AttemptEnd]) -> Account {
    let mut account = Account::Unknown;
    for end in ends {
        match &end.outcome {
            SubmitOutcome::Accepted(_) => return Account::Works,
            SubmitOutcome::NotSubmitted { failure, retry_after } if is_of_account(failure.reason) => {
                account = Account::Unusable { since: end.ended_at, retry_after: *retry_after };
            }
            SubmitOutcome::Rejected(failure) if is_of_account(failure.reason) => {
                account = Account::Unusable { since: end.ended_at, retry_after: None };
            }
            _ => {}
        }
    }
    account
}

/// Whether it is the account or its provider that can't be used, rather than this message.
fn is_of_account(reason: Reason) -> bool {
    matches!(reason, Reason::ProviderDown | Reason::RateLimited | Reason::Balance | Reason::Credential)
}

impl Progress {
    /// When to look into the queue again: when a lane has both a message that is due and room for it. `None`
    /// if only an arrival or the end of a request can change that.
    fn look_at(&mut self, now: Timestamp) -> Option<Timestamp> {
        let lanes = Priority::ALL.iter().zip(self.next_due);
        let openings = lanes.filter_map(|(lane, due)| match due {
            Some(due) if due > now => Some(due),
            Some(_) => match self.pacer.opens(*lane, now) {
                Opening::Now => Some(now),
                Opening::At(time) => Some(time),
                Opening::AfterRequest => None,
            },
            None => None,
        });
        openings.min()
    }

    /// Returns when a request has ended, and takes note of all that have.
    async fn request_ended(&mut self) {
        let mut ended = self.under_way.join_next().await;
        while let Some(result) = ended {
            self.pacer.request_ended();
            match &result {
                Ok(Account::Works) => self.pacer.works(),
                Ok(Account::Unusable { since, retry_after }) => self.pacer.pause(*retry_after, *since),
                Ok(Account::Unknown) | Err(_) => {}
            }
            if let Err(problem) = result
                && problem.is_panic()
            {
                tracing::error!(
                    "a submission panicked; its attempt will be closed as ambiguous when its lease ends"
                );
            }
            ended = self.under_way.try_join_next();
        }
    }
}
