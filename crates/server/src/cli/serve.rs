//! `tuma serve`.

mod first_key;

use std::sync::Arc;

use anyhow::Context as _;

use crate::assemble::Gateway;
use crate::config::{Config, Role, Roles};
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
    // Heard from here on: whoever reads the next line may ask at once.
    let asked = stop_asked();
    tracing::info!(address = %gateway.address, "listening");
    if let Some(address) = gateway.operations_address {
        tracing::info!(%address, "health and metrics");
    }
    if config.roles.has(Role::Api) {
        first_key::offer(&*gateway.store, config).await?;
    }
    asked.await?;
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
/// It is heard from the call on, not only from when it is waited for.
pub(super) fn stop_asked() -> impl Future<Output = anyhow::Result<()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = [SignalKind::terminate(), SignalKind::interrupt()].map(signal);
    async move {
        let [terminate, interrupt] = signals;
        let mut terminate = terminate.context("can't wait for SIGTERM")?;
        let mut interrupt = interrupt.context("can't wait for Ctrl-C")?;
        tokio::select! {
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
        }
    }
}
