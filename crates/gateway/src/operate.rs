//! What callers and operators do to messages and routes that are under way.

use std::time::Duration;

use domain::audit::{Act, Actor, Entry, Event, NewEntry};
use domain::breaker::BreakerState;
use domain::ids::{BulkId, MessageId};
use domain::message::MessageStatus;
use domain::route::ProviderName;
use domain::time::Timestamp;
use providers::pace::Pace;
use providers::provider::Capabilities;
use store::StoreError;
use store::port::audit::{AuditFilter, AuditPage};
use store::port::messages::{Cancel, MessageRecord, MessageSummary, Moved, Resend};
use store::port::queue::{LaneDepth, Stuck};
use store::port::watches::WatchCount;

use crate::health::RouteHealth;
use crate::reconcile::ReconcilerReport;
use crate::routing::Traveler;
use crate::service::SmsService;
use crate::sweep::DATA_KEYS;
use crate::workers::WorkerStatus;

/// Statuses from which a message may be sent again because somebody asks for it.
pub const RETRIABLE: &[MessageStatus] =
    &[MessageStatus::Failed, MessageStatus::Undelivered, MessageStatus::Expired];

/// How long after a message was to leave it may be sent again.
const RETRY_WITHIN: Duration = Duration::from_hours(24);

/// Why a message was not moved as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoveError {
    /// There is no such message.
    #[error("there is no such message")]
    NotFound,
    /// It stands where this can't be done.
    #[error("the message is {0}")]
    Stands(MessageStatus),
    /// It was accepted too long ago.
    #[error("the message is older than a day: send it anew")]
    TooOld,
    /// Its text is erased.
    #[error("the text was erased: send a new message")]
    Erased,
    /// It would go beyond what may be spent today.
    #[error("a cap on what may be spent today is reached")]
    Capped,
    /// No route can carry it.
    #[error("no provider is configured for this receiver")]
    NoProvider,
    /// The store can't do it now.
    #[error(transparent)]
    Store(#[from] StoreError),
}

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

    /// Sends a message again that failed, was not delivered or expired, by the best route of now. A time of expiry
    /// that is over does not count any more: whoever asks for it now wants it now, within the time that the scenario
    /// gives. Only within a day: receipts of an older message would not find it.
    pub async fn retry(&self, id: MessageId, by: Actor) -> Result<Moved, MoveError> {
        let shared = &self.shared;
        let record: MessageRecord = shared.store.message(id).await?.ok_or(MoveError::NotFound)?;
        let status = record.summary.status;
        if !RETRIABLE.contains(&status) {
            return Err(MoveError::Stands(status));
        }
        let (message, now) = (record.summary.message, shared.clock.now());
        if message.body.is_erased() {
            return Err(MoveError::Erased);
        }
        if now > message.scheduled_at.unwrap_or(message.created_at).max(message.created_at).plus(RETRY_WITHIN)
        {
            return Err(MoveError::TooOld);
        }
        let traveler = Traveler {
            receiver: message.receiver,
            scenario: message.scenario,
            priority: message.priority,
            segments: message.segments,
            refused_by: &[],
        };
        let route = shared.router.choose(&traveler, true, now).ok_or(MoveError::NoProvider)?;
        let expires_after = shared.settings.policy(message.scenario).expires_after;
        let resend = Resend {
            message_id: id,
            standing: RETRIABLE,
            last_attempt: None,
            failure: None,
            provider: route.provider.clone(),
            priority: message.priority,
            due_at: now,
            expires_at: message.expires_at.filter(|end| *end > now).or(expires_after.map(|it| now.plus(it))),
            refused_by: Vec::new(),
            draws: shared.limits.draws_again(&message, &route.provider, now),
            by,
            now,
        };
        let moved = shared.store.resend(resend).await?.ok_or(MoveError::NotFound)?;
        if !moved.has_moved() {
            let stands = RETRIABLE.contains(&moved.to);
            return Err(if stands { MoveError::Capped } else { MoveError::Stands(moved.to) });
        }
        tracing::info!(message.id = %id, provider = %route.provider, "sms.retry_asked");
        shared.wakeups.wake(&route.provider);
        Ok(moved)
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
