//! `tuma send`.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use domain::secret::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use url::Url;

use super::print;

/// How long the gateway may take: longer than the longest wait that it grants.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Send a message through a running gateway.
#[derive(Debug, Args)]
pub(super) struct Send {
    /// The receiver; give it several times to send to many.
    #[arg(long, required = true, value_name = "NUMBER")]
    to: Vec<String>,
    /// The text.
    #[arg(long, short)]
    message: String,
    /// What it is for: otp, transaction, `chama_invite`, `chama_withdrawal`, alert or general.
    #[arg(long)]
    scenario: Option<String>,
    /// The sender ID to show.
    #[arg(long)]
    sender: Option<String>,
    /// Your own name for the message.
    #[arg(long)]
    reference: Option<String>,
    /// Wait up to this many seconds for the provider's answer.
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u8>,
    /// The gateway.
    #[arg(long, env = "TUMA_URL", default_value = "http://127.0.0.1:8080")]
    url: Url,
    /// A file that holds the API key; without it, `TUMA_API_KEY` is used.
    #[arg(long, value_name = "FILE")]
    key_file: Option<std::path::PathBuf>,
}

impl Send {
    /// Prints the gateway's answer; fails if it refused.
    pub(super) async fn run(self, environment: &[(String, String)]) -> anyhow::Result<()> {
        let key = self.key(environment)?;
        let (path, body) = self.request();
        let client = providers::client::plain(&self.url, TIMEOUT).context("no HTTP client can be made")?;
        let mut request = client
            .post(self.url.join(path)?)
            .bearer_auth(key.expose_secret())
            .header("content-type", "application/json")
            .body(body.to_string());
        if let Some(seconds) = self.wait {
            request = request.header("prefer", format!("wait={seconds}"));
        }
        let response = request
            .send()
            .await
            .map_err(reqwest::Error::without_url)
            .context("the gateway can't be reached")?;
        let status = response.status();
        let answer = response.bytes().await.map_err(reqwest::Error::without_url)?;
        let answer: Value = serde_json::from_slice(&answer).context("the answer is not JSON")?;
        print(serde_json::to_string_pretty(&answer)?);
        anyhow::ensure!(status.is_success(), "refused: {status}");
        Ok(())
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

    fn request(&self) -> (&'static str, Value) {
        let mut body = Map::new();
        body.insert("message".into(), self.message.clone().into());
        let optional =
            [("scenario", &self.scenario), ("sender", &self.sender), ("reference", &self.reference)];
        for (name, value) in optional {
            if let Some(value) = value {
                body.insert(name.into(), value.clone().into());
            }
        }
        let path = match self.to.as_slice() {
            [single] => {
                body.insert("receiver".into(), single.clone().into());
                "/sms"
            }
            many => {
                body.insert("receivers".into(), many.into());
                "/sms/bulk"
            }
        };
        (path, body.into())
    }
}
