//! What callers and operators do to messages and routes that are under way.

use domain::audit::{Act, Actor, Entry, Event, NewEntry};
use domain::breaker::BreakerState;
use domain::guard::Mode;
use domain::ids::{BulkId, MessageId};
use domain::message::{Message, MessageStatus};
use domain::route::ProviderName;
use domain::time::Timestamp;
use providers::pace::Pace;
use providers::provider::Capabilities;
use store::StoreError;
use store::port::audit::{AuditFilter, AuditPage};
use store::port::messages::{Cancel, MessageRecord, MessageSummary, Moved};
use store::port::queue::{LaneDepth, Stuck};
use store::port::watches::WatchCount;

use crate::again::{self, MoveError, Way};
use crate::conversions::CountryConversion;
use crate::guard::Opinion;
use crate::health::RouteHealth;
use crate::limits::Again;
use crate::reconcile::ReconcilerReport;
use crate::routing::Traveler;
use crate::service::SmsService;
use crate::sweep::DATA_KEYS;
use crate::workers::WorkerStatus;

/// Why a worker was not told to rest or to work again.
#[derive(Debug, thiserror::Error)]
pub enum PauseError {
    /// There is none of this name.
    #[error("there is no worker of that name")]
    Unknown,
    /// The gateway can't do without it.
    #[error("this worker never rests: without it, the gateway could neither accept nor read messages")]
    Needed,
    /// The store can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A provider as operators see it.
#[derive(Debug, Clone)]
pub struct ProviderStatus {
    /// Its name.
    pub name: ProviderName,
    /// Whether it takes what no routing rule claims.
    pub is_default: bool,
    /// Since when it is out of service, if it is.
    pub drained_since: Option<Timestamp>,
    /// Its own breaker.
    pub breaker: BreakerState,
    /// Breakers of its routes into single countries that are not closed.
    pub countries: Vec<RouteHealth>,
    /// What came of codes on its routes, of the last hour.
    pub conversions: Vec<CountryConversion>,
    /// What it can do.
    pub capabilities: Capabilities,
    /// How fast its account may be used.
    pub pace: Pace,
    /// What waits for it, by lane, as last measured.
    pub waiting: Vec<LaneDepth>,
}

/// The queue as operators see it.
#[derive(Debug, Clone)]
pub struct QueueStatus {
    /// What waits, by provider and lane.
    pub lanes: Vec<LaneDepth>,
    /// What is on watch, by kind.
    pub watches: Vec<WatchCount>,
    /// What the reconciler has done since the start.
    pub reconciler: ReconcilerReport,
    /// When this was so.
    pub at: Timestamp,
}

impl SmsService {
    /// Stops a message that has not left. One that is stopped already is not moved, and that is no error.
    pub async fn cancel(&self, id: MessageId, by: Actor) -> Result<Moved, MoveError> {
        let cancel = Cancel { messages: vec![id], by, now: self.shared.clock.now() };
        let moved = self.shared.store.cancel(cancel).await?.into_iter().next().flatten();
        let moved = moved.ok_or(MoveError::NotFound)?;
        if moved.to != MessageStatus::Canceled {
            return Err(MoveError::Stands(moved.to));
        }
        self.tell_of_canceled(&moved);
        Ok(moved)
    }

    /// Stops what has not left of a bulk request. Answers one entry for each of these messages.
    pub async fn cancel_messages(
        &self,
        messages: Vec<MessageId>,
        by: Actor,
    ) -> Result<Vec<Moved>, StoreError> {
        let cancel = Cancel { messages, by, now: self.shared.clock.now() };
        let moved: Vec<Moved> = self.shared.store.cancel(cancel).await?.into_iter().flatten().collect();
        for moved in &moved {
            self.tell_of_canceled(moved);
        }
        Ok(moved)
    }

    fn tell_of_canceled(&self, moved: &Moved) {
        if moved.has_moved() {
            tracing::info!(message.id = %moved.message_id, "sms.canceled");
            self.shared.outcomes.settle(moved.message_id);
        }
    }

    /// The messages of a bulk request.
    pub async fn messages_of_bulk(&self, id: BulkId) -> Result<Vec<MessageSummary>, StoreError> {
        self.shared.store.messages_of_bulk(id).await
    }

    /// Sends a message again that failed, was not delivered or expired, by the best route of now. It counts for limits, and
    /// the guard looks at it, as at a new message: a button "send again" must not send without end.
    pub async fn retry(&self, id: MessageId, by: Actor) -> Result<Moved, MoveError> {
        let shared = &self.shared;
        let record: MessageRecord = shared.store.message(id).await?.ok_or(MoveError::NotFound)?;
        let (summary, now) = (record.summary, shared.clock.now());
        let way = |message: &Message| {
            let traveler = Traveler {
                receiver: message.receiver,
                scenario: message.scenario,
                priority: message.priority,
                segments: message.segments,
                refused_by: &[],
            };
            let provider = shared.router.choose(&traveler, true, now)?.provider;
            let draws = shared.limits.draws_again(message, &provider, Again::Asked, now);
            Some(Way { provider, draws })
        };
        let policy = shared.settings.policy(summary.message.scenario);
        let resend = again::resend_of(&summary, &policy, way, by, now)?;
        again::check_code(&*shared.store, &summary.message, now).await?;
        again::check_consent(&*shared.store, &summary.message, shared.router.default_senders()).await?;
        let provider = resend.provider.clone();
        let opinion = self.judge_again(&summary.message, now)?;
        let queued =
            again::queue(&*shared.store, &shared.limits, &summary.message, Again::Asked, resend).await;
        match &queued {
            Ok(_) => {
                self.count_opinions(opinion.as_slice());
                tracing::info!(message.id = %id, %provider, "sms.retry_asked");
                shared.wakeups.wake(&provider);
            }
            Err(refusal) => {
                shared.guard.take_back(opinion.as_slice());
                if let MoveError::Limited(reached) = refusal {
                    shared.metrics.limited(reached);
                }
            }
        }
        queued
    }

    /// Asks the guard about a message that is to be sent again.
    fn judge_again(&self, message: &Message, now: Timestamp) -> Result<Option<Opinion>, MoveError> {
        let guard = &self.shared.guard;
        if !guard.watches(message.scenario) {
            return Ok(None);
        }
        let opinion = guard.judge(message, false, now);
        match opinion.decision {
            Some(decision) if guard.mode() == Mode::Enforce => {
                self.count_opinions(&[opinion]);
                Err(MoveError::GuardRefused { decision })
            }
            _ => Ok(Some(opinion)),
        }
    }

    /// Entries of the audit trail, newest first.
    pub async fn audit(&self, filter: AuditFilter, page: AuditPage) -> Result<Vec<Entry>, StoreError> {
        self.shared.store.audit(filter, page).await
    }

    fn act(&self, by: Actor) -> Act {
        Act { by, at: self.now() }
    }

    /// Every configured provider with its health.
    pub async fn providers(&self) -> Result<Vec<ProviderStatus>, StoreError> {
        let shared = &self.shared;
        let now = shared.clock.now();
        let depth = shared.store.depth(now).await?;
        let shown = shared.router.providers().map(|provider| {
            let name = provider.provider_name();
            let health = shared.router.health();
            let routes = health.routes_of(name, now);
            let own = routes.iter().find(|route| route.country.is_none());
            ProviderStatus {
                name: name.clone(),
                is_default: shared.router.is_default(name),
                drained_since: health.drained_since(name),
                breaker: own.map_or(BreakerState::Closed, |route| route.state),
                countries: routes
                    .into_iter()
                    .filter(|route| route.country.is_some() && route.state != BreakerState::Closed)
                    .collect(),
                conversions: shared.router.conversions().of(name),
                capabilities: provider.capabilities(),
                pace: *provider.pace(),
                waiting: depth.iter().filter(|lane| lane.provider == *name).cloned().collect(),
            }
        });
        Ok(shown.collect())
    }

    /// Takes a provider out of service: what is under way is finished, what waits takes other routes where there
    /// are any, and nothing new comes. `None` if there is no such provider; else whether it was in service.
    pub async fn drain(&self, name: &ProviderName, by: Actor) -> Result<Option<bool>, StoreError> {
        self.set_drained(name, true, self.act(by)).await
    }

    /// Puts a provider back into service. `None` if there is no such provider; else whether it was out of service.
    pub async fn resume(&self, name: &ProviderName, by: Actor) -> Result<Option<bool>, StoreError> {
        let changed = self.set_drained(name, false, self.act(by)).await?;
        self.shared.wakeups.wake(name);
        Ok(changed)
    }

    async fn set_drained(
        &self,
        name: &ProviderName,
        drained: bool,
        act: Act,
    ) -> Result<Option<bool>, StoreError> {
        if self.shared.router.provider(name).is_none() {
            return Ok(None);
        }
        let since = drained.then_some(act.at);
        let changed = self.shared.store.set_drained(name.clone(), since, act).await?;
        self.shared.router.health().set_drained(name, since);
        tracing::warn!(provider = %name, drained, "a provider's service was changed");
        Ok(Some(changed))
    }

    /// What waits, what is on watch, and what the reconciler does about it.
    pub async fn queue(&self) -> Result<QueueStatus, StoreError> {
        let now = self.shared.clock.now();
        Ok(QueueStatus {
            lanes: self.shared.store.depth(now).await?,
            watches: self.shared.store.watch_counts().await?,
            reconciler: *self.report.lock(),
            at: now,
        })
    }

    /// Messages that have not moved since a time and have not ended, the oldest first.
    pub async fn stuck(&self, before: Timestamp, limit: u32) -> Result<Vec<Stuck>, StoreError> {
        self.shared.store.stuck(before, limit).await
    }

    /// All workers.
    pub fn workers(&self) -> Vec<WorkerStatus> {
        self.workers.show()
    }

    /// Lets a worker rest, or work again.
    pub async fn set_worker_paused(&self, name: &str, paused: bool, by: Actor) -> Result<(), PauseError> {
        if !self.workers.show().iter().any(|worker| worker.name == name) {
            return Err(PauseError::Unknown);
        }
        if paused && name == DATA_KEYS {
            return Err(PauseError::Needed);
        }
        let event = if paused { Event::WorkerPaused } else { Event::WorkerActivated };
        // Before it is done: what could not be entered is not done.
        self.shared.store.note(vec![NewEntry::of_act(&self.act(by), event, name)]).await?;
        self.workers.set_paused(name, paused);
        tracing::warn!(worker = name, paused, "a worker was told to rest or to work again");
        self.shared.wakeups.wake_all();
        Ok(())
    }
}
