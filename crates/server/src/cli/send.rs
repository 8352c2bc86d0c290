//! `tuma send`.

mod batch;
mod members;
mod progress;
mod rows;

use std::path::PathBuf;
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
    #[arg(long, required_unless_present = "csv", value_name = "NUMBER")]
    to: Vec<String>,
    /// The text.
    #[arg(long, short, required_unless_present = "template", conflicts_with = "template")]
    message: Option<String>,
    /// The template that the text is made of, by name.
    #[arg(long, value_name = "NAME")]
    template: Option<String>,
    /// A value for a variable of the template; give it for each.
    #[arg(long = "var", value_name = "NAME=VALUE", requires = "template", value_parser = variable)]
    variables: Vec<(String, String)>,
    /// The language wanted of the template.
    #[arg(long, requires = "template")]
    locale: Option<String>,
    /// Send to each row of this file. The column `receiver` is the number, `locale` the language where it is there, and all
    /// others are variables of the template.
    #[arg(long, value_name = "FILE", requires = "template", conflicts_with_all = ["to", "wait"])]
    csv: Option<PathBuf>,
    /// Where it is kept how far the file is sent: running it again goes on there [default: FILE.progress]
    #[arg(long, value_name = "FILE", requires = "csv")]
    progress: Option<PathBuf>,
    /// Ask the gateway about each row, and send nothing.
    #[arg(long, requires = "csv")]
    dry_run: bool,
    /// What it is for: otp, transaction, `chama_invite`, `chama_withdrawal`, alert or general.
    #[arg(long)]
    scenario: Option<String>,
    /// The sender ID to show.
    #[arg(long)]
    sender: Option<String>,
    /// Your own name for the message.
    #[arg(long)]
    reference: Option<String>,
    /// The savings group or campaign that it belongs to.
    #[arg(long)]
    group: Option<String>,
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
        let client = providers::client::plain(&self.url, TIMEOUT).context("no HTTP client can be made")?;
        if let Some(file) = &self.csv {
            let gateway = batch::Gateway { client, url: self.url.clone(), key };
            return members::send(file, self.progress.as_deref(), self.dry_run, self.common(), &gateway)
                .await;
        }
        let (path, body) = self.request();
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

    /// The fields that all receivers have in common.
    fn common(&self) -> Map<String, Value> {
        let mut body = Map::new();
        let optional = [
            ("message", &self.message),
            ("template", &self.template),
            ("locale", &self.locale),
            ("scenario", &self.scenario),
            ("sender", &self.sender),
            ("reference", &self.reference),
            ("group", &self.group),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                body.insert(name.into(), value.clone().into());
            }
        }
        if !self.variables.is_empty() {
            let variables = self.variables.iter().map(|(name, value)| (name.clone(), value.clone().into()));
            body.insert("variables".into(), Value::Object(variables.collect()));
        }
        body
    }

    fn request(&self) -> (&'static str, Value) {
        let mut body = self.common();
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

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.into(), value.into()))
}
