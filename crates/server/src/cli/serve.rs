//! `tuma serve`.

use std::sync::Arc;

use anyhow::Context as _;
use domain::secret::ExposeSecret as _;
use domain::time::Clock as _;
use store::Store;

use super::say;
use crate::assemble::Gateway;
use crate::config::{Config, Role, Roles};
use crate::keys::{self, Scope};
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
        offer_first_key(&*gateway.store).await?;
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

/// Where nobody could call, makes a key that may everything, and shows it this once: to whoever started the program, and
/// not in the log, which is kept and read by many.
async fn offer_first_key(store: &dyn Store) -> anyhow::Result<()> {
    if !store.keys().await?.is_empty() {
        return Ok(());
    }
    let now = SystemClock::new().now();
    let (secret, key) = keys::create("first start", &[Scope::Admin], None, now);
    let id = key.id;
    // Another node may have been faster.
    if store.create_first_key(key).await? {
        tracing::warn!(key = %id, "there was no API key: one was made that may everything, and shown on standard error");
        say(format_args!("\n{id}, for the first start, with the scope admin. It is shown this once:\n"));
        say(secret.expose_secret());
        say("\nMake one for each caller with it (POST /api-keys, or tuma keys create), then revoke it.\n");
    }
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
