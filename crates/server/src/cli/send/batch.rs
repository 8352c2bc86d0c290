//! What a running gateway is asked, batch by batch.

use std::time::Duration;

use anyhow::Context as _;
use domain::secret::{ExposeSecret as _, SecretString};
use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

use super::super::say;
use super::members::Member;

/// Where to ask, and with what key.
pub(super) struct Gateway {
    pub(super) client: reqwest::Client,
    pub(super) url: Url,
    pub(super) key: SecretString,
}

/// What became of a row. Holds no number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// Stored and queued, with this id.
    Accepted(String),
    /// Refused, and why.
    Refused(String),
}

/// How often a batch is tried whose answer did not come, or was "try again".
const TRIES: u32 = 8;

/// The longest time that is waited; beyond it, somebody has to run the command again.
const PATIENCE: Duration = Duration::from_mins(2);

impl Gateway {
    /// Sends a batch; one outcome for each row. The key makes it repeatable, so that an answer that was lost is asked for
    /// again.
    pub(super) async fn send(
        &self,
        batch: &[Member],
        common: &Map<String, Value>,
        key: &str,
    ) -> anyhow::Result<Vec<Outcome>> {
        let mut body = common.clone();
        let receivers = batch.iter().map(|member| Value::Object(member.body.clone())).collect();
        body.insert("receivers".into(), Value::Array(receivers));
        let body = Value::Object(body).to_string();
        let mut wait = Duration::from_secs(1);
        let mut tried = 0;
        loop {
            let why = match self.ask("/sms/bulk", body.clone(), Some(key)).await {
                Ok(answer) if answer.status == StatusCode::ACCEPTED => {
                    return accepted(&answer.body, batch.len());
                }
                Ok(answer) if answer.is_for_later() => {
                    wait = answer.retry_after.unwrap_or(wait);
                    answer.said()
                }
                Ok(answer) => return refused(&answer, batch.len()),
                Err(problem) => format!("{problem:#}"),
            };
            tried += 1;
            anyhow::ensure!(
                tried < TRIES && wait <= PATIENCE,
                "{why}: run the command again later, it goes on from here"
            );
            say(format_args!("{why}: trying again in {} s", wait.as_secs()));
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(PATIENCE);
        }
    }

    /// Asks what would become of a row: why it would be refused, if it would be.
    pub(super) async fn explain(
        &self,
        member: &Member,
        common: &Map<String, Value>,
    ) -> anyhow::Result<Option<String>> {
        let mut body = common.clone();
        for (name, value) in &member.body {
            match (body.get_mut(name), value) {
                // Its own values go before those that all have in common.
                (Some(Value::Object(shared)), Value::Object(own)) => {
                    shared.extend(own.iter().map(|(name, value)| (name.clone(), value.clone())));
                }
                _ => drop(body.insert(name.clone(), value.clone())),
            }
        }
        let answer = self.ask("/sms/explain", Value::Object(body).to_string(), None).await?;
        match answer.status {
            StatusCode::OK => Ok(None),
            StatusCode::UNPROCESSABLE_ENTITY => Ok(Some(answer.said())),
            _ => anyhow::bail!("refused: {}", answer.said()),
        }
    }

    async fn ask(&self, path: &str, body: String, key: Option<&str>) -> anyhow::Result<Answer> {
        let mut request = self
            .client
            .post(self.url.join(path)?)
            .bearer_auth(self.key.expose_secret())
            .header("content-type", "application/json")
            .body(body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let response = request.send().await.map_err(reqwest::Error::without_url);
        let response = response.context("the gateway can't be reached")?;
        let status = response.status();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok());
        let retry_after = retry_after.and_then(|after| after.parse().ok()).map(Duration::from_secs);
        let body = response.bytes().await.map_err(reqwest::Error::without_url)?;
        let body = serde_json::from_slice(&body).context("the answer is not JSON")?;
        Ok(Answer { status, retry_after, body })
    }
}

struct Answer {
    status: StatusCode,
    retry_after: Option<Duration>,
    body: Value,
}

impl Answer {
    /// Whether the same may be asked again.
    fn is_for_later(&self) -> bool {
        matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
    }

    /// The refusal in words.
    fn said(&self) -> String {
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let errors = self.body["errors"].as_array().into_iter().flatten();
        let errors: Vec<_> =
            errors.map(|error| format!("{} {}", word(&error["pointer"]), word(&error["detail"]))).collect();
        if errors.is_empty() { word(&self.body["detail"]) } else { errors.join("; ") }
    }
}

fn accepted(body: &Value, rows: usize) -> anyhow::Result<Vec<Outcome>> {
    let results = body["results"].as_array().context("the answer has no results")?;
    anyhow::ensure!(results.len() == rows, "the answer is about other rows");
    let outcomes = results.iter().map(|result| match result["id"].as_str() {
        Some(id) => Outcome::Accepted(id.into()),
        None => Outcome::Refused(result["detail"].as_str().unwrap_or_default().into()),
    });
    Ok(outcomes.collect())
}

/// A batch of which no row is left says why for each. Anything else is about the command, and stops it.
fn refused(answer: &Answer, rows: usize) -> anyhow::Result<Vec<Outcome>> {
    let errors = answer.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of_rows: Vec<_> = errors
        .iter()
        .filter(|error| error["pointer"].as_str().is_some_and(|at| at.starts_with("/receivers/")))
        .map(|error| Outcome::Refused(error["detail"].as_str().unwrap_or_default().into()))
        .collect();
    anyhow::ensure!(of_rows.len() == rows, "refused: {}", answer.said());
    Ok(of_rows)
}
