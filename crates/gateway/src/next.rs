//! What comes after an attempt: nothing, another try, another route, or a look at what became of it.

use std::time::Duration;

use domain::attempt::{Failure, Reason, SubmitOutcome};
use domain::phone::Msisdn;
use domain::policy::OnSilence;
use domain::route::ProviderName;
use domain::scenario::{Priority, Scenario};
use domain::time::Timestamp;
use store::port::queue::Next;

use crate::routing::{Router, Traveler};
use crate::settings::Settings;

/// A message after an attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tried<'a> {
    pub(crate) provider: &'a ProviderName,
    /// The number of the attempt that ended.
    pub(crate) attempt: u16,
    pub(crate) receiver: Msisdn,
    pub(crate) scenario: Scenario,
    pub(crate) priority: Priority,
    pub(crate) segments: u16,
    pub(crate) refused_by: &'a [ProviderName],
    pub(crate) first_due_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) ended_at: Timestamp,
    /// Drawn at random from 0 to 1.
    pub(crate) jitter: f64,
}

/// What comes next, and when to look what has become of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) next: Next,
    pub(crate) watch_at: Option<Timestamp>,
}

/// What decides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decider<'a> {
    pub(crate) router: &'a Router,
    pub(crate) settings: &'a Settings,
}

impl Decider<'_> {
    /// Decides by how the attempt ended.
    pub(crate) fn after(&self, tried: &Tried<'_>, outcome: &SubmitOutcome) -> Step {
        let next = match outcome {
            SubmitOutcome::Accepted(_) => {
                return Step { next: Next::Stop, watch_at: self.silence_watch(tried) };
            }
            SubmitOutcome::Ambiguous(_) => {
                let policy = self.settings.policy(tried.scenario);
                let look = self.settings.reconcile.first_look.min(policy.decide_after);
                return Step { next: Next::Wait, watch_at: Some(tried.ended_at.plus(look)) };
            }
            SubmitOutcome::Rejected(failure) => self.after_refusal(tried, failure),
            SubmitOutcome::NotSubmitted { failure, retry_after } => {
                self.after_failure(tried, failure, *retry_after)
            }
        };
        Step { next, watch_at: None }
    }

    /// When a message that a provider took should have been delivered, where somebody would do something about
    /// it.
    fn silence_watch(&self, tried: &Tried<'_>) -> Option<Timestamp> {
        let policy = self.settings.policy(tried.scenario);
        let reports = self.router.provider(tried.provider)?.capabilities().reports_delivery;
        (reports && policy.on_silence == OnSilence::Failover)
            .then(|| tried.ended_at.plus(policy.deliver_within))
    }

    /// Refused: certainly not sent, and this provider would refuse it again.
    fn after_refusal(&self, tried: &Tried<'_>, failure: &Failure) -> Next {
        if !failure.reason.another_route_may_help() {
            return Next::Stop;
        }
        // A fault of the account will be mended, so that this route may be asked again.
        if failure.reason.is_of_account() {
            return self.after_failure(tried, failure, None);
        }
        let mut refused_by = tried.refused_by.to_vec();
        if !refused_by.contains(tried.provider) {
            refused_by.push(tried.provider.clone());
        }
        let tried = Tried { refused_by: &refused_by, ..*tried };
        // Every route asks at most once, so this can't go in circles.
        match self.router.choose(&tried.traveler(), true, tried.ended_at) {
            Some(route) => self.retry(&tried, route.provider, Duration::ZERO),
            None => Next::Stop,
        }
    }

    /// Certainly did not leave: by another route at once, or again after a wait.
    fn after_failure(&self, tried: &Tried<'_>, failure: &Failure, retry_after: Option<Duration>) -> Next {
        let policy = self.settings.policy(tried.scenario).retry;
        let Some(wait) = policy.wait(tried.attempt, retry_after, tried.jitter) else {
            return Next::Stop;
        };
        let other = self
            .leaves(tried, failure.reason)
            .then(|| self.router.choose_instead(tried.provider, &tried.traveler(), tried.ended_at))
            .flatten();
        match other {
            // Once round all routes; after that, with all of them failing, waits grow as they do with one.
            Some(other) if usize::from(tried.attempt) < self.router.providers().count() => {
                self.retry(tried, other, Duration::ZERO)
            }
            Some(other) => self.retry(tried, other, wait),
            None => self.retry(tried, tried.provider.clone(), wait),
        }
    }

    /// Whether a message leaves a route that could not take it now.
    fn leaves(&self, tried: &Tried<'_>, reason: Reason) -> bool {
        let is_urgent = matches!(tried.priority, Priority::Critical | Priority::High);
        match (reason, tried.priority) {
            // Too fast is no fault of the route, and its rate is free again in a moment.
            (Reason::RateLimited, _) => is_urgent,
            // Bulk waits for its own route: thousands of messages by a dearer one are a bill.
            (_, Priority::Bulk) => {
                let own = self.router.rank(&tried.traveler(), tried.ended_at).into_iter().next();
                own.is_none_or(|best| best.provider != *tried.provider)
            }
            _ => true,
        }
    }

    pub(crate) fn retry(&self, tried: &Tried<'_>, provider: ProviderName, wait: Duration) -> Next {
        let due_at = tried.ended_at.plus(wait);
        if tried.expires_at.is_some_and(|end| due_at >= end) {
            return Next::Expire;
        }
        if due_at > tried.first_due_at.plus(self.settings.policy(tried.scenario).retry.give_up_after) {
            return Next::Stop;
        }
        Next::Retry {
            provider,
            priority: tried.priority,
            due_at,
            expires_at: tried.expires_at,
            refused_by: tried.refused_by.to_vec(),
        }
    }
}

impl Tried<'_> {
    pub(crate) fn traveler(&self) -> Traveler<'_> {
        Traveler {
            receiver: self.receiver,
            scenario: self.scenario,
            priority: self.priority,
            segments: self.segments,
            refused_by: self.refused_by,
        }
    }
}
