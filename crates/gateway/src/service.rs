//! The facade: everything that the gateway does for its callers.

use std::sync::Arc;
use std::time::Duration;

use domain::ids::{MessageId, NodeId};
use domain::phone::Country;
use domain::route::ProviderName;
use domain::time::{Clock, Timestamp};
use opentelemetry::metrics::Meter;
use providers::SmsProvider;
use providers::provider::CallbackRequest;
use store::port::messages::{Filter, MessageRecord, MessageSummary, Page};
use store::port::queue::Recovery;
use store::{Store, StoreError};

use crate::accept::{Acceptor, Prepared, Repeatable, Stored};
use crate::arrivals::{Outcomes, Wakeups};
use crate::dispatch::Dispatcher;
use crate::fresh;
use crate::metrics::{Arrival, Metrics};
use crate::receipts::{self, CallbackRefusal};
use crate::request::{BulkAnswer, BulkRequest, Caller, SendAnswer, SendError, SendRequest};
use crate::routing::Router;
use crate::settings::Settings;
use crate::stop::Stop;
use crate::workers::Workers;

/// How often attempts are looked for that nobody will finish.
const RECOVERY_INTERVAL: Duration = Duration::from_secs(10);

/// How often the depth of the queue is measured.
const DEPTH_INTERVAL: Duration = Duration::from_secs(5);

/// What a service is made of. Two services can run in one process: nothing is shared but what is passed in.
#[derive(Debug)]
pub struct Parts {
    /// Where messages are kept.
    pub store: Arc<dyn Store>,
    /// The providers that have an account.
    pub providers: Vec<Arc<dyn SmsProvider>>,
    /// The provider for what no routing rule claims.
    pub default_provider: ProviderName,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The settings.
    pub settings: Settings,
    /// Where figures go.
    pub meter: Meter,
}

/// Sends messages, and knows what became of them.
#[derive(Debug)]
pub struct SmsService {
    store: Arc<dyn Store>,
    router: Router,
    clock: Arc<dyn Clock>,
    settings: Arc<Settings>,
    metrics: Arc<Metrics>,
    wakeups: Wakeups,
    outcomes: Arc<Outcomes>,
    workers: Workers,
    node: NodeId,
}

impl SmsService {
    /// A service that accepts and shows messages. Nothing is submitted before [`start`](Self::start).
    pub fn new(parts: Parts) -> Self {
        let Parts { store, providers, default_provider, clock, settings, meter } = parts;
        let names = providers.iter().map(|provider| provider.provider_name().clone()).collect::<Vec<_>>();
        let metrics = Arc::new(Metrics::new(&meter, &names, Arc::clone(&clock)));
        Self {
            store,
            router: Router::new(settings.rules.clone(), default_provider, providers),
            settings: Arc::new(settings),
            wakeups: Wakeups::new(names.into_iter()),
            outcomes: Arc::new(Outcomes::default()),
            workers: Workers::new(Arc::clone(&clock), Arc::clone(&metrics)),
            node: fresh::node_id(clock.now()),
            metrics,
            clock,
        }
    }

    /// Closes what an earlier process left open, and starts submitting.
    pub async fn start(&self) -> Result<(), StoreError> {
        self.recover(self.settings.only_node).await?;
        self.tell_of_stranded().await?;
        for provider in self.router.providers() {
            let dispatcher = Arc::new(Dispatcher {
                provider: Arc::clone(provider),
                store: Arc::clone(&self.store),
                clock: Arc::clone(&self.clock),
                node: self.node,
                settings: Arc::clone(&self.settings),
                wake: self.wakeups.of(provider.provider_name()),
                outcomes: Arc::clone(&self.outcomes),
                metrics: Arc::clone(&self.metrics),
            });
            self.workers.start("dispatch", move |stop| Arc::clone(&dispatcher).run(stop));
        }
        let (store, clock, metrics) =
            (Arc::clone(&self.store), Arc::clone(&self.clock), Arc::clone(&self.metrics));
        let node = self.node;
        self.workers.start("recovery", move |stop| {
            recover_regularly(Arc::clone(&store), Arc::clone(&clock), Arc::clone(&metrics), node, stop)
        });
        let (store, clock, metrics) =
            (Arc::clone(&self.store), Arc::clone(&self.clock), Arc::clone(&self.metrics));
        self.workers.start("depth", move |stop| {
            measure_depth(Arc::clone(&store), Arc::clone(&clock), Arc::clone(&metrics), stop)
        });
        Ok(())
    }

    /// Stops submitting: nothing more is claimed, what is under way is finished and recorded up to a limit, the
    /// rest stays queued. Then the store is closed.
    pub async fn stop(&self) {
        self.stop_submitting().await;
        self.store.close().await;
    }

    /// Stops submitting, and goes on accepting: what is accepted from now on stays queued.
    pub async fn stop_submitting(&self) {
        self.workers.stop(self.settings.soft_stop).await;
    }

    /// Says what waits for a provider that is not configured any more: nobody will submit it.
    async fn tell_of_stranded(&self) -> Result<(), StoreError> {
        let depth = self.store.depth().await?;
        for lane in depth.iter().filter(|lane| self.router.provider(&lane.provider).is_none()) {
            tracing::error!(
                provider = %lane.provider,
                lane = %lane.priority,
                messages = lane.messages,
                "messages wait for a provider that is not configured: they stay queued until it is"
            );
        }
        Ok(())
    }

    async fn recover(&self, only_node: bool) -> Result<(), StoreError> {
        let closed =
            self.store.recover(Recovery { node: self.node, now: self.clock.now(), only_node }).await?;
        self.metrics.recovered(closed);
        if closed > 0 {
            tracing::warn!(
                attempts = closed,
                "attempts were left open by a process that stopped: nobody knows whether they were sent"
            );
        }
        Ok(())
    }

    /// Accepts one message. When this answers, the message is on disk and queued.
    pub async fn send_sms(&self, caller: Caller, request: SendRequest) -> Result<SendAnswer, SendError> {
        let repeatable = request.idempotency_key.is_some().then(|| request.clone());
        let prepared = self.acceptor().prepare_one(caller, request, self.clock.now());
        match prepared {
            Ok(prepared) => self.store(prepared).await?.into_answer(),
            Err(refusal) => self.earlier(caller, repeatable.as_ref(), refusal).await?.into_answer(),
        }
    }

    /// What a repeated request was answered before, or the refusal of one that was not made before.
    async fn earlier<'a, R>(
        &self,
        caller: Caller,
        repeatable: Option<&'a R>,
        refusal: SendError,
    ) -> Result<Stored, SendError>
    where
        Repeatable<'a>: From<&'a R>,
    {
        if let Some(request) = repeatable
            && let Some(stored) = self.acceptor().earlier(caller, request.into(), self.clock.now()).await?
        {
            return Ok(stored);
        }
        self.counted(Err(refusal))
    }

    /// Accepts one message and waits up to `limit` until a provider has accepted or refused it. Answers with
    /// where it stands then; a message that takes longer goes its way all the same.
    pub async fn send_sms_and_wait(
        &self,
        caller: Caller,
        request: SendRequest,
        limit: Duration,
    ) -> Result<(SendAnswer, Option<MessageRecord>), SendError> {
        let deadline = self.clock.sleep_until(self.clock.now().plus(limit));
        let repeatable = request.idempotency_key.is_some().then(|| request.clone());
        let prepared = match self.acceptor().prepare_one(caller, request, self.clock.now()) {
            Ok(prepared) => prepared,
            Err(refusal) => {
                let answer = self.earlier(caller, repeatable.as_ref(), refusal).await?.into_answer()?;
                let record = self.store.message(answer.id).await?;
                return Ok((answer, record));
            }
        };
        let ids: Vec<MessageId> = prepared.messages.iter().map(|new| new.message.id).collect();
        let mut ticket = ids.first().map(|id| self.outcomes.expect(*id));
        let answer = self.store(prepared).await?.into_answer()?;
        if !ids.contains(&answer.id) {
            // A repeated request: wait for the message of the first one, unless it is already settled.
            ticket = Some(self.outcomes.expect(answer.id));
            let record = self.store.message(answer.id).await?;
            if record.as_ref().is_some_and(|record| record.summary.status.is_submitted_or_final()) {
                return Ok((answer, record));
            }
        }
        if let Some(ticket) = &mut ticket {
            tokio::select! {
                () = ticket.settled() => {}
                () = deadline => {}
            }
        }
        let record = self.store.message(answer.id).await?;
        Ok((answer, record))
    }

    /// Accepts one text for many receivers. Receivers that can't be sent to are refused one by one; all others
    /// are on disk and queued when this answers.
    pub async fn send_bulk_sms(&self, caller: Caller, request: BulkRequest) -> Result<BulkAnswer, SendError> {
        let repeatable = request.idempotency_key.is_some().then(|| request.clone());
        match self.acceptor().prepare_bulk(caller, request, self.clock.now()) {
            Ok(prepared) => self.store(prepared).await?.into_bulk_answer(),
            Err(refusal) => self.earlier(caller, repeatable.as_ref(), refusal).await?.into_bulk_answer(),
        }
    }

    fn acceptor(&self) -> Acceptor<'_> {
        Acceptor { store: &*self.store, router: &self.router, settings: &self.settings }
    }

    fn counted<T>(&self, checked: Result<T, SendError>) -> Result<T, SendError> {
        checked.inspect_err(|refusal| self.metrics.refused(refusal))
    }

    async fn store(&self, prepared: Prepared) -> Result<Stored, SendError> {
        let messages = prepared.messages.iter();
        let arrivals = messages.map(|new| (new.provider.clone(), Arrival::from(&new.message))).collect();
        // Dropped also when the caller goes away before the answer: the messages are stored all the same.
        let mut announcement = Announcement { service: self, arrivals };
        let stored = self.counted(self.acceptor().store(prepared).await);
        if !stored.as_ref().is_ok_and(|stored| !stored.repeated) {
            announcement.arrivals.clear();
        }
        stored
    }

    /// One message with all that happened to it.
    pub async fn message(&self, id: MessageId) -> Result<Option<MessageRecord>, StoreError> {
        self.store.message(id).await
    }

    /// Messages, newest first.
    pub async fn messages(&self, filter: Filter, page: Page) -> Result<Vec<MessageSummary>, StoreError> {
        self.store.messages(filter, page).await
    }

    /// Takes in a callback from a provider. When this answers, what it says is on disk.
    pub async fn receive_callback(
        &self,
        provider: &ProviderName,
        callback: CallbackRequest<'_>,
    ) -> Result<(), CallbackRefusal> {
        receipts::receive(&*self.store, &self.router, &self.outcomes, &self.metrics, provider, callback).await
    }

    /// Whether messages can be accepted: the store answers, and a provider is configured.
    pub async fn ready(&self) -> Result<(), NotReady> {
        if self.router.providers().next().is_none() {
            return Err(NotReady::NoProvider);
        }
        Ok(self.store.ping().await?)
    }

    /// Where numbers in national form belong.
    pub fn default_region(&self) -> Country {
        self.settings.default_region
    }

    /// The time by which the service acts.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Messages on their way into the store. Counts them and wakes their dispatchers when it is dropped: a claim that
/// follows stands behind their accept in the store's queue, so it finds them.
struct Announcement<'a> {
    service: &'a SmsService,
    arrivals: Vec<(ProviderName, Arrival)>,
}

impl Drop for Announcement<'_> {
    fn drop(&mut self) {
        for (provider, arrival) in &self.arrivals {
            self.service.metrics.accepted(*arrival);
            self.service.wakeups.wake(provider);
        }
    }
}

/// Why the service can't accept messages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// There is nobody to submit to.
    #[error("no provider is configured")]
    NoProvider,
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

async fn recover_regularly(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    node: NodeId,
    stop: Stop,
) {
    while pause(&*clock, RECOVERY_INTERVAL, &stop).await {
        match store.recover(Recovery { node, now: clock.now(), only_node: false }).await {
            Ok(0) => {}
            Ok(attempts) => {
                metrics.recovered(attempts);
                tracing::warn!(attempts, "leases ran out: nobody knows whether these were sent");
            }
            Err(problem) => tracing::error!(%problem, "open attempts can't be looked for"),
        }
    }
}

async fn measure_depth(store: Arc<dyn Store>, clock: Arc<dyn Clock>, metrics: Arc<Metrics>, stop: Stop) {
    while pause(&*clock, DEPTH_INTERVAL, &stop).await {
        match store.depth().await {
            Ok(depth) => metrics.queue_depth(depth),
            Err(problem) => tracing::warn!(%problem, "the queue can't be measured"),
        }
    }
}

/// Waits; `false` when it is time to end.
async fn pause(clock: &dyn Clock, interval: Duration, stop: &Stop) -> bool {
    let wake = clock.sleep_until(clock.now().plus(interval));
    tokio::select! {
        () = stop.soft.cancelled() => false,
        () = wake => true,
    }
}
