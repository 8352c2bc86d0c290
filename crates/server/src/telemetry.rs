//! Logs to standard error, figures to whoever asks for them.

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry_otlp::{MetricExporter, Protocol, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use prometheus::{Encoder as _, Registry, TextEncoder};
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{LogFormat, Metrics};

/// Starts the log. Its level is `RUST_LOG`, `info` if that is not set.
pub fn start_log(format: LogFormat, directives: Option<&str>) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter(directives.unwrap_or("info")))
        .context("RUST_LOG is not a list of log levels")?;
    let colors = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colors)
        // A line that can't be written is lost. To say so on standard error would fail too, and panic.
        .log_internal_errors(false);
    let started = match format {
        LogFormat::Pretty => log.finish().with(filter_fn(is_discreet)).try_init(),
        LogFormat::Json => log.json().flatten_event(true).finish().with(filter_fn(is_discreet)).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("the log can't be started: {error}"))
}

/// The broker's client tells of each try to connect. What operators need of it we say once: it speaks only when it is
/// named.
fn filter(directives: &str) -> String {
    if directives.contains(BROKER_CLIENT) {
        directives.into()
    } else {
        format!("{directives},{BROKER_CLIENT}=off")
    }
}

const BROKER_CLIENT: &str = "async_nats";

/// Below this the broker's client writes whole messages into the log, texts and numbers with them: nobody may ask for
/// that.
fn is_discreet(about: &Metadata<'_>) -> bool {
    !about.target().starts_with(BROKER_CLIENT) || *about.level() <= Level::INFO
}

/// Where figures are gathered.
#[derive(Debug, Clone)]
pub struct Figures {
    provider: SdkMeterProvider,
    registry: Registry,
}

impl Figures {
    /// Gathers figures for `/metrics`, and pushes them by OTLP where an address is set.
    pub fn start(settings: &Metrics) -> anyhow::Result<Self> {
        let registry = Registry::new();
        let scraped = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .build()
            .context("metrics can't be gathered for /metrics")?;
        let resource = Resource::builder().with_service_name("tuma").build();
        let mut provider = SdkMeterProvider::builder().with_resource(resource).with_reader(scraped);
        if let Some(endpoint) = &settings.otlp_endpoint {
            // The exporter's client takes the process's provider of cryptography. If one was set before: that one.
            let _ = rustls::crypto::ring::default_provider().install_default();
            let exporter = MetricExporter::builder()
                .with_http()
                .with_protocol(Protocol::HttpBinary)
                .with_endpoint(endpoint.as_str())
                .build()
                .context("metrics can't be pushed to metrics.otlp_endpoint")?;
            let interval = Duration::from_secs(settings.otlp_interval_s.max(1));
            provider =
                provider.with_reader(PeriodicReader::builder(exporter).with_interval(interval).build());
        }
        Ok(Self { provider: provider.build(), registry })
    }

    /// Where instruments are made.
    pub fn meter(&self) -> Meter {
        self.provider.meter("tuma")
    }

    /// All figures in Prometheus' text form.
    pub fn text(&self) -> anyhow::Result<Vec<u8>> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    /// Pushes what is left, where figures are pushed. Blocks: call it from a thread that may.
    pub fn stop(&self) {
        if let Err(problem) = self.provider.shutdown() {
            tracing::warn!(%problem, "the last metrics may not have been pushed");
        }
    }
}
