//! The one wiring: settings into a running gateway. The program and the tests use the same.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use domain::route::ProviderName;
use domain::time::Clock;
use gateway::{Parts, SmsService};
use providers::{Renewable, SmsProvider};
use store::Store;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::auth::Authenticator;
use crate::broker;
use crate::config::{Config, Role};
use crate::http::{self, Context as HttpContext, Limits, State};
use crate::listen::{self, Listeners};
use crate::secrets::{self, Keeper};
use crate::telemetry::Figures;
use crate::webhooks::HttpPoster;

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
    listeners: Listeners,
    soft_stop: Duration,
}

impl Gateway {
    /// Opens the store, makes the providers, and starts listening and submitting.
    pub async fn start(config: &Config, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        if let Some(setting) = config.held.first_not_fetched() {
            anyhow::bail!("the secret {setting} has not been fetched from its store");
        }
        let store = store::open(config.database_url.expose(), config.store_options(true, true))
            .await
            .context("the store can't be opened")?;
        let figures = Figures::start(&config.metrics)?;
        let carriers = Carriers::of(config)?;
        let service = Arc::new(service(config, &carriers, &store, &figures, &clock));
        let authenticator = Authenticator::new(
            Arc::clone(&store),
            Arc::clone(&clock),
            (&config.http, &config.jwt),
            &figures.meter(),
        )?;
        let state = State::from(HttpContext {
            service: Arc::clone(&service),
            authenticator: Arc::new(authenticator),
            figures: figures.clone(),
            public_url: config.public_url.clone(),
            trusted_proxies: config.http.trusted_proxies.clone(),
            forwarded_header: config.http.forwarded_header,
            quiet_hours: config.quiet_hours(),
            webhooks: config.webhooks.clone(),
            limits: Limits {
                max_body_bytes: config.http.max_body_bytes,
                timeout: Duration::from_millis(config.http.request_timeout_ms),
                body_timeout: Duration::from_millis(config.http.body_timeout_ms),
            },
        });
        let listeners = Listeners::new(config.http.clone(), figures.meter(), Arc::clone(&clock));
        let certificate = listeners.certificate()?;
        let api = listen::bind(config.listen).await?;
        let operations = match config.operations_listen {
            Some(address) => Some(listen::bind(address).await?),
            None => None,
        };
        let address = api.local_addr()?;
        let operations_address = operations.as_ref().map(TcpListener::local_addr).transpose()?;
        let parts = broker::Parts {
            store: Arc::clone(&store),
            service: Arc::clone(&service),
            authenticator: Arc::clone(&state.authenticator),
            clock: Arc::clone(&clock),
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
            listeners,
            soft_stop: Duration::from_secs(config.dispatch.soft_stop_s),
        };
        let routes = http::routes(state.clone(), &config.roles, operations.is_none());
        gateway.listeners.serve(api, routes, certificate)?;
        if let Some(operations) = operations {
            gateway.listeners.serve_operations(operations, http::operations_routes(state));
        }
        if config.roles.has(Role::Chores) {
            let poster = Arc::new(HttpPoster::new(&config.webhooks)?);
            gateway.service.start_webhooks(poster).await.context("webhooks can't be started")?;
        }
        if let Some(edge) = edge {
            edge.start(&gateway.service);
        }
        if let Some(keeper) = carriers.keeper(config, clock, &gateway.figures) {
            let keeper = Arc::new(keeper);
            gateway.service.add_worker("secrets", secrets::TURN, move |stop| Arc::clone(&keeper).run(stop));
        }
        Ok(gateway)
    }

    /// Stops, within `dispatch.soft_stop_s` in all: no new requests, requests under way are answered, submissions
    /// under way are finished and recorded, what is left stays queued.
    pub async fn stop(self) {
        self.listeners.stop();
        let listening = async {
            if tokio::time::timeout(self.soft_stop, self.listeners.stopped()).await.is_err() {
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

/// The configured providers, each in a place where it can be renewed.
#[derive(Debug)]
pub struct Carriers {
    providers: Vec<Arc<Renewable>>,
    default: ProviderName,
    /// Who hears that a provider refused its credentials.
    refused: Arc<Notify>,
}

impl Carriers {
    /// Makes all that have an account.
    pub fn of(config: &Config) -> anyhow::Result<Self> {
        let (factory, refused) = (config.factory()?, Arc::new(Notify::new()));
        let made = factory.create_configured()?.into_iter();
        let providers: Vec<_> =
            made.map(|provider| Arc::new(Renewable::new(provider, Arc::clone(&refused)))).collect();
        anyhow::ensure!(
            !providers.is_empty(),
            "no provider is configured: tuma check says which credentials are missing, and tuma demo needs none"
        );
        Ok(Self { providers, default: factory.default_provider().clone(), refused })
    }

    fn keeper(self, config: &Config, clock: Arc<dyn Clock>, figures: &Figures) -> Option<Keeper> {
        Keeper::new(config, self.providers, self.refused, clock, &figures.meter())
    }
}

/// The use cases over the providers. Nothing is submitted before it is started.
pub fn service(
    config: &Config,
    carriers: &Carriers,
    store: &Arc<dyn Store>,
    figures: &Figures,
    clock: &Arc<dyn Clock>,
) -> SmsService {
    let providers = carriers.providers.iter().map(|provider| Arc::clone(provider) as Arc<dyn SmsProvider>);
    SmsService::new(Parts {
        store: Arc::clone(store),
        providers: providers.collect(),
        default_provider: carriers.default.clone(),
        clock: Arc::clone(clock),
        settings: config.gateway(),
        meter: figures.meter(),
    })
}
