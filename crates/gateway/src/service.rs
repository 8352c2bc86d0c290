//! The facade: everything that the gateway does for its callers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use domain::guard::Mode;
use domain::ids::{MessageId, NodeId};
use domain::phone::Country;
use domain::route::{ProviderName, RoutingTable};
use domain::time::{Clock, Timestamp};
use opentelemetry::metrics::Meter;
use parking_lot::Mutex;
use providers::SmsProvider;
use store::port::messages::{Filter, MessageRecord, MessageSummary, Page};
use store::port::nodes::Leave;
use store::{Store, StoreError};
use tokio::sync::Notify;

use crate::answers::AnswerBook;
use crate::arrivals::{Outcomes, Wakeups};
use crate::conversions::Conversions;
use crate::dispatch::{self, Dispatcher};
use crate::guard::Guard;
use crate::health::Health;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::reconcile::{self, Reconciler, ReconcilerReport};
use crate::refused::Refusals;
use crate::request_key::RequestKey;
use crate::routing::Router;
use crate::settings::{Roles, Settings};
use crate::share::Nodes;
use crate::shared::Shared;
use crate::silence::Silence;
use crate::spending::Tariff;
use crate::stop::Stop;
use crate::templates::Templates;
use crate::workers::Workers;
use crate::{audit, bookkeeping, divert, fresh, nodes, overdue, prompt_chores, settle, sweep};

/// How often workers are looked at that may be stuck.
const WATCHDOG_TURN: Duration = Duration::from_secs(5);

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

/// Sends messages, and knows what became of them. A clone is the same service.
#[derive(Debug, Clone)]
pub struct SmsService {
    pub(crate) shared: Arc<Shared>,
    pub(crate) workers: Arc<Workers>,
    pub(crate) reconcile: Arc<Notify>,
    pub(crate) report: Arc<Mutex<ReconcilerReport>>,
}

impl SmsService {
    /// A service that accepts and shows messages. Nothing is submitted before [`start`](Self::start).
    pub fn new(parts: Parts) -> Self {
        let Parts { store, providers, default_provider, clock, settings, meter } = parts;
        let names = providers.iter().map(|provider| provider.provider_name().clone()).collect::<Vec<_>>();
        let table = RoutingTable {
            rules: settings.rules.clone(),
            default: default_provider,
            prices: settings.prices.clone(),
        };
        let health = Health::new(settings.breaker);
        let conversions = Conversions::new(settings.verifications.conversion);
        let router = Router::new(table, providers, health, conversions, settings.bulk_patience);
        let tariff = Tariff::new(settings.prices.clone(), settings.spending.clone());
        let limits = Arc::new(Limits::new(settings.limits.clone(), tariff, &*store));
        let requests = RequestKey::of(&*store);
        let shared = Shared {
            store,
            requests,
            answers: AnswerBook::new(&settings, &limits, router.default_senders()),
            limits,
            node: fresh::node_id(clock.now()),
            router,
            wakeups: Wakeups::new(names.iter().cloned(), settings.roles.dispatch),
            outcomes: Outcomes::default(),
            silence: Silence::new(settings.silence_cap_percent),
            guard: Guard::new(&settings),
            templates: Templates::new(),
            nodes: Nodes::default(),
            refusals: Refusals::default(),
            metrics: Metrics::new(&meter, &names, Arc::clone(&clock)),
            settings,
            clock: Arc::clone(&clock),
        };
        Self {
            shared: Arc::new(shared),
            workers: Arc::new(Workers::new(clock)),
            reconcile: Arc::new(Notify::new()),
            report: Arc::default(),
        }
    }

    /// Closes what an earlier process left open, and starts what this node is for.
    pub async fn start(&self) -> Result<(), StoreError> {
        let shared = &self.shared;
        // Before anything is accepted: a message must find its week.
        if let Err(problem) = sweep::keep_history(shared).await {
            // Nearly always it has one: they are made weeks ahead. A backup that reads all tables must not stop a start.
            tracing::error!(%problem, "room for the weeks to come can't be made; trying again within the hour");
        }
        let Roles { dispatch, chores } = shared.settings.roles;
        if shared.store.is_shared() {
            self.join_nodes(dispatch).await?;
        } else {
            shared.nodes.stay_alone();
        }
        for (provider, since) in shared.store.drained().await? {
            tracing::warn!(%provider, "the provider is drained: it gets no messages until it is resumed");
            shared.router.health().set_drained(&provider, Some(since));
        }
        shared.templates.renew(&*shared.store).await?;
        if shared.store.is_shared() {
            self.start_worker("templates", sweep::TEMPLATES_TURN, sweep::renew_templates_regularly);
        }
        bookkeeping::open(shared).await?;
        if shared.guard.mode() != Mode::Off {
            self.start_worker("guard", bookkeeping::TURN, bookkeeping::keep_regularly);
        }
        overdue::learn(shared).await?;
        self.start_worker("verifications", overdue::TURN, overdue::keep_regularly);
        if chores {
            let closed = sweep::recover(shared, !shared.store.is_shared()).await?;
            if closed > 0 {
                tracing::warn!(
                    attempts = closed,
                    "attempts were left open by a process that stopped: the reconciler finds out whether they were sent"
                );
            }
            self.rescue_stranded().await?;
            self.start_chores();
        }
        if dispatch {
            self.start_dispatchers();
            // By what this node has learned of routes while it dispatched.
            self.start_worker("divert", divert::TURN, divert::run);
        }
        self.start_worker("refusals", audit::REFUSALS_TURN, audit::note_gathered_regularly);
        self.start_worker(sweep::DATA_KEYS, sweep::DATA_KEYS_TURN, sweep::renew_data_keys_regularly);
        let workers = Arc::clone(&self.workers);
        self.start_worker("watchdog", WATCHDOG_TURN, move |shared, stop| {
            watch_workers(shared, Arc::clone(&workers), stop)
        });
        Ok(())
    }

    /// What a node of several must hear and say.
    async fn join_nodes(&self, dispatches: bool) -> Result<(), StoreError> {
        if dispatches {
            // Nothing is claimed before this node has said that it lives.
            nodes::beat(&self.shared).await?;
            self.start_worker("wakeups", nodes::TURN, nodes::hear_wakeups);
        } else {
            self.start_worker("wakeups", nodes::TURN, nodes::wake_others);
        }
        self.start_worker("nodes", nodes::TURN, nodes::keep_in_touch);
        self.start_worker("outcomes", nodes::TURN, nodes::look_for_outcomes);
        Ok(())
    }

    fn start_chores(&self) {
        self.start_reconciler();
        self.start_worker("recovery", sweep::RECOVERY_TURN, sweep::recover_regularly);
        self.start_worker("sweep", sweep::SWEEP_TURN, sweep::sweep_regularly);
        self.start_worker("history", sweep::HISTORY_TURN, sweep::keep_history_regularly);
        self.start_worker("audit", self.shared.settings.audit_checkpoint_every, audit::checkpoint_regularly);
        self.start_worker("spending", settle::TURN, settle::settle_regularly);
        self.start_worker("erase", sweep::ERASE_TURN, sweep::erase_regularly);
        self.start_worker("prompts", prompt_chores::TURN, prompt_chores::look_after_regularly);
        self.start_worker("depth", sweep::DEPTH_TURN, sweep::measure_depth);
    }

    fn start_dispatchers(&self) {
        for provider in self.shared.router.providers() {
            let name = provider.provider_name();
            let (provider, wake) = (Arc::clone(provider), self.shared.wakeups.of(name));
            self.start_worker(&format!("dispatch.{name}"), dispatch::LONGEST_REST, move |shared, stop| {
                let (provider, wake) = (Arc::clone(&provider), Arc::clone(&wake));
                Arc::new(Dispatcher { provider, shared, wake }).run(stop)
            });
        }
    }

    fn start_reconciler(&self) {
        let (wake, report) = (Arc::clone(&self.reconcile), Arc::clone(&self.report));
        self.start_worker("reconcile", reconcile::TURN, move |shared, stop| {
            let (wake, report) = (Arc::clone(&wake), Arc::clone(&report));
            Arc::new(Reconciler { shared, wake, report }).run(stop)
        });
    }

    fn start_worker<Run>(
        &self,
        name: &str,
        turn: Duration,
        work: impl Fn(Arc<Shared>, Stop) -> Run + Send + 'static,
    ) where
        Run: Future<Output = ()> + Send + 'static,
    {
        let (shared, counting) = (Arc::clone(&self.shared), Arc::clone(&self.shared));
        let panicked = move |name: &str| counting.metrics.worker_panicked(name);
        self.workers.start(name, turn, panicked, move |stop| work(Arc::clone(&shared), stop));
    }

    /// Starts a worker of somebody who brings requests or carries news: restarted, watched, shown, paused and stopped like
    /// those of the service. It takes no longer than `turn` from one sign of life to the next.
    pub fn add_worker<Run>(&self, name: &str, turn: Duration, work: impl Fn(Stop) -> Run + Send + 'static)
    where
        Run: Future<Output = ()> + Send + 'static,
    {
        self.start_worker(name, turn, move |_shared, stop| work(stop));
    }

    /// Stops submitting: nothing more is claimed, what is under way is finished and recorded up to a limit, the
    /// rest stays queued. Then the store is closed.
    pub async fn stop(&self) {
        self.stop_submitting().await;
        self.workers.requests_end().await;
        audit::note_gathered(&self.shared).await;
        audit::checkpoint(&self.shared).await;
        self.shared.store.close().await;
    }

    /// Stops submitting, and goes on accepting: what is accepted from now on stays queued.
    pub async fn stop_submitting(&self) {
        self.workers.stop(self.shared.settings.soft_stop).await;
        if self.shared.store.is_shared()
            && let Err(problem) =
                self.shared.store.leave(Leave { node: self.shared.node, now: self.shared.clock.now() }).await
        {
            // The others miss it after a while.
            tracing::debug!(%problem, "the other nodes could not be told that this one stops");
        }
    }

    /// What waits for a provider that is not configured any more takes another route, if it has one.
    async fn rescue_stranded(&self) -> Result<(), StoreError> {
        let (shared, now) = (&self.shared, self.shared.clock.now());
        let depth = shared.store.depth(now).await?;
        let waited_for: BTreeSet<_> = depth.into_iter().map(|lane| lane.provider).collect();
        for provider in waited_for.iter().filter(|name| shared.router.provider(name).is_none()) {
            divert::divert(shared, provider, Timestamp::from_micros(i64::MAX), now).await?;
        }
        for lane in shared.store.depth(now).await? {
            if shared.router.provider(&lane.provider).is_none() {
                tracing::error!(
                    provider = %lane.provider,
                    lane = %lane.priority,
                    messages = lane.messages,
                    "messages wait for a provider that is not configured and have no other route: they stay queued"
                );
            }
        }
        Ok(())
    }

    /// One message with all that happened to it.
    pub async fn message(&self, id: MessageId) -> Result<Option<MessageRecord>, StoreError> {
        self.shared.store.message(id).await
    }

    /// Messages, newest first.
    pub async fn messages(&self, filter: Filter, page: Page) -> Result<Vec<MessageSummary>, StoreError> {
        self.shared.store.messages(filter, page).await
    }

    /// Whether messages can be accepted: the store answers, and a provider is configured.
    pub async fn ready(&self) -> Result<(), NotReady> {
        if self.shared.router.providers().next().is_none() {
            return Err(NotReady::NoProvider);
        }
        Ok(self.shared.store.ping().await?)
    }

    /// This process, as an owner of leases.
    pub fn node(&self) -> NodeId {
        self.shared.node
    }

    /// Where numbers in national form belong.
    pub fn default_region(&self) -> Country {
        self.shared.settings.default_region
    }

    /// The time by which the service acts.
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
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

async fn watch_workers(shared: Arc<Shared>, workers: Arc<Workers>, stop: Stop) {
    while sweep::pause(&*shared.clock, WATCHDOG_TURN, &stop).await {
        shared.metrics.stalled_workers(workers.watch());
    }
}
