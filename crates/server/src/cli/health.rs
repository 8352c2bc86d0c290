//! `tuma health`: for images without a shell, whose only program is this one.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use url::Url;

use super::print;

/// How long the gateway may take. Shorter than the time-outs that service managers give such a question, so that it is
/// this program that says what is wrong.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Ask a running gateway whether it can accept messages.
#[derive(Debug, Args)]
pub(super) struct Health {
    /// The gateway, by the address of `operations_listen` where one is set.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: Url,
}

impl Health {
    /// Fails unless the gateway is ready.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let client = providers::client::plain(&self.url, TIMEOUT).context("no HTTP client can be made")?;
        let response = client
            .get(self.url.join("/health/ready")?)
            .send()
            .await
            .map_err(reqwest::Error::without_url)
            .context("the gateway can't be reached")?;
        let status = response.status();
        anyhow::ensure!(status.is_success(), "not ready: {status}");
        print("ready");
        Ok(())
    }
}
