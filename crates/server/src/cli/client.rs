//! Verbs that ask a running gateway.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use domain::secret::{ExposeSecret as _, SecretString};
use reqwest::Method;
use serde_json::Value;
use url::Url;

/// How long the gateway may take: longer than the longest wait that it grants.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Which gateway, and who asks.
#[derive(Debug, Args)]
pub(super) struct Client {
    /// The gateway.
    #[arg(long, env = "TUMA_URL", default_value = "http://127.0.0.1:8080")]
    url: Url,
    /// A file that holds the API key; without it, `TUMA_API_KEY` is used.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

impl Client {
    /// Makes a request; answers whether it was granted, and what was answered.
    pub(super) async fn ask(
        &self,
        environment: &[(String, String)],
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(bool, Value)> {
        self.ask_once(environment, method, path, body, None).await
    }

    /// The same with a key that makes it safe to repeat.
    pub(super) async fn ask_once(
        &self,
        environment: &[(String, String)],
        method: Method,
        path: &str,
        body: Option<&Value>,
        idempotency_key: Option<&str>,
    ) -> anyhow::Result<(bool, Value)> {
        let key = self.key(environment)?;
        let client = providers::client::plain(&self.url, TIMEOUT).context("no HTTP client can be made")?;
        let mut request = client.request(method, self.url.join(path)?).bearer_auth(key.expose_secret());
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        if let Some(once) = idempotency_key {
            request = request.header("idempotency-key", once);
        }
        let response = request
            .send()
            .await
            .map_err(reqwest::Error::without_url)
            .context("the gateway can't be reached")?;
        let status = response.status();
        let answer = response.bytes().await.map_err(reqwest::Error::without_url)?;
        let answer = serde_json::from_slice(&answer).context("the answer is not JSON")?;
        Ok((status.is_success(), answer))
    }

    fn key(&self, environment: &[(String, String)]) -> anyhow::Result<SecretString> {
        let text = match &self.key_file {
            Some(path) => {
                std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?
            }
            None => environment
                .iter()
                .rev()
                .find(|(name, _)| name == "TUMA_API_KEY")
                .map(|(_, value)| value.clone())
                .context("set TUMA_API_KEY, or give --key-file")?,
        };
        Ok(text.trim().into())
    }
}
