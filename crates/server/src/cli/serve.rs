//! `tuma serve`.

use std::sync::Arc;

use anyhow::Context as _;

use crate::assemble::Gateway;
use crate::config::{Config, Roles};
use crate::listen;
use gateway::SystemClock;

/// What `tuma serve` may be told.
#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    /// What this node does: some of api, dispatch, callbacks, chores [default: the setting `roles`, else all]
    #[arg(long, value_name = "ROLES")]
    roles: Option<Roles>,
}

impl Serve {
    pub(super) async fn run(self, mut config: Config) -> anyhow::Result<()> {
        if let Some(roles) = self.roles {
            config.roles = roles;
            config.validate()?;
        }
        run(&config).await
    }
}

async fn run(config: &Config) -> anyhow::Result<()> {
    listen::take_descriptors(config.http.max_connections);
    let gateway = Gateway::start(config, Arc::new(SystemClock::new())).await?;
    tracing::info!(address = %gateway.address, "listening");
    if let Some(address) = gateway.operations_address {
        tracing::info!(%address, "health and metrics");
    }
    if gateway.store.keys().await?.is_empty() {
        tracing::warn!(
            "there is no API key yet: make one with tuma keys create --name NAME --scopes sms:send,sms:read"
        );
    }
    stop_asked().await?;
    tracing::info!("stopping");
    tokio::select! {
        () = gateway.stop() => {}
        again = stop_asked() => {
            again?;
            tracing::warn!("stopping at once; submissions under way stay open and are closed at the next start");
            return Ok(());
        }
    }
    tracing::info!("stopped");
    Ok(())
}

/// Returns when the process is asked to stop: Ctrl-C, or what service managers send.
pub(super) async fn stop_asked() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("can't wait for SIGTERM")?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.context("can't wait for Ctrl-C"),
        _ = terminate.recv() => Ok(()),
    }
}
