//! The one wiring: settings into a running gateway. The program and the tests use the same.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::serve::ListenerExt as _;
use domain::time::Clock;
use gateway::{Parts, Settings, SmsService};
use store::{Options, Store};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::Authenticator;
use crate::broker;
use crate::config::{Config, Role};
use crate::http::{self, Limits, State};
use crate::telemetry::Figures;

/// A gateway that is accepting and submitting.
#[derive(Debug)]
pub struct Gateway {
    /// Where the API listens: the address that was asked for, with the port that was free.
    pub address: SocketAddr,
    /// Where health and metrics listen, if that is elsewhere.
    pub operations_address: Option<SocketAddr>,
    /// The use cases.
    pub service: Arc<SmsService>,
    /// The store, which [`stop`](Self::stop) closes.
    pub store: Arc<dyn Store>,
    figures: Figures,
    listeners: TaskTracker,
    stopping: CancellationToken,
    soft_stop: Duration,
}

impl Gateway {
    /// Opens the store, makes the providers, and starts listening and submitting.
    pub async fn start(config: &Config, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let store = store::open(config.database_url.expose(), Options { migrate: true, exclusive: true })
            .await
            .context("the store can't be opened")?;
        let figures = Figures::start(&config.metrics)?;
        let service = Arc::new(service(config, &store, &figures, &clock)?);
        let authenticator = Authenticator::new(
            Arc::clone(&store),
            Arc::clone(&clock),
            (&config.http, &config.jwt),
            &figures.meter(),
        )?;
        let state = State {
            service: Arc::clone(&service),
            authenticator: Arc::new(authenticator),
            figures: figures.clone(),
            public_url: config.public_url.clone(),
            trusted_proxies: config.http.trusted_proxies.clone(),
            quiet_hours: config.quiet_hours(),
            limits: Limits {
                max_body_bytes: config.http.max_body_bytes,
                timeout: Duration::from_millis(config.http.request_timeout_ms),
            },
        };
        let api = bind(config.listen).await?;
        let operations = match config.operations_listen {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let address = api.local_addr()?;
        let operations_address = operations.as_ref().map(TcpListener::local_addr).transpose()?;
        let parts = broker::Parts {
            store: Arc::clone(&store),
            service: Arc::clone(&service),
            authenticator: Arc::clone(&state.authenticator),
            clock,
            meter: figures.meter(),
        };
        let edge = broker::Edge::prepare(config, parts).await?;
        // Before anything happens that events could tell of.
        broker::settle_events(config, &*store).await?;
        service.start().await.context("submitting can't be started")?;
        if config.roles.has(Role::Api) {
            state.authenticator.start(&service);
        }
        let gateway = Self {
            address,
            operations_address,
            service,
            store,
            figures,
            listeners: TaskTracker::new(),
            stopping: CancellationToken::new(),
            soft_stop: Duration::from_secs(config.dispatch.soft_stop_s),
        };
        gateway.listen(api, http::router(state.clone(), &config.roles, operations.is_none()));
        if let Some(operations) = operations {
            gateway.listen(operations, http::operations_router(state));
        }
        if let Some(edge) = edge {
            edge.start(&gateway.service);
        }
        Ok(gateway)
    }

    fn listen(&self, listener: TcpListener, router: Router) {
        let stopping = self.stopping.clone();
        // Small answers leave at once.
        let listener = listener.tap_io(|connection| {
            let _ = connection.set_nodelay(true);
        });
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let serving = axum::serve(listener, service).with_graceful_shutdown(stopping.cancelled_owned());
        self.listeners.spawn(async move {
            if let Err(problem) = serving.await {
                tracing::error!(%problem, "a listener failed");
            }
        });
    }

    /// Stops, within `dispatch.soft_stop_s` in all: no new requests, requests under way are answered, submissions
    /// under way are finished and recorded, what is left stays queued.
    pub async fn stop(self) {
        self.stopping.cancel();
        self.listeners.close();
        let listening = async {
            if tokio::time::timeout(self.soft_stop, self.listeners.wait()).await.is_err() {
                tracing::warn!("requests under way did not end in time");
            }
        };
        // Side by side: what is accepted meanwhile stays queued.
        tokio::join!(listening, self.service.stop_submitting());
        self.service.stop().await;
        let figures = self.figures.clone();
        let _ = tokio::task::spawn_blocking(move || figures.stop()).await;
    }
}

/// The use cases over the configured providers. Nothing is submitted before it is started.
pub fn service(
    config: &Config,
    store: &Arc<dyn Store>,
    figures: &Figures,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<SmsService> {
    let factory = config.factory()?;
    let providers = factory.create_configured()?;
    anyhow::ensure!(
        !providers.is_empty(),
        "no provider is configured: tuma check says which credentials are missing, and tuma demo needs none"
    );
    Ok(SmsService::new(Parts {
        store: Arc::clone(store),
        providers,
        default_provider: factory.default_provider().clone(),
        clock: Arc::clone(clock),
        settings: Settings { only_node: !store.is_shared(), ..config.gateway() },
        meter: figures.meter(),
    }))
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("can't listen on {address}"))
}
