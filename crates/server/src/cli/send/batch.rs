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
use super::rows::Member;

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
    /// Refused, and why: the code of the interface, and a line for people.
    Refused { code: String, why: String },
}

impl Outcome {
    fn refused(said: &Value) -> Self {
        Self::Refused { code: word(&said["code"]), why: word(&said["detail"]) }
    }

    /// Whether the same row may be taken at another time: what refuses it is no fault of the row.
    pub(super) fn is_for_now(&self) -> bool {
        matches!(self, Self::Refused { code, .. }
            if matches!(code.as_str(), "rate_limited" | "no_provider" | "guard_refused"))
    }
}

/// A batch that was not answered row by row.
pub(super) struct NotSent {
    /// Why not.
    pub(super) why: anyhow::Error,
    /// Whether nothing of it can have been stored: each time that it was asked for, it was refused.
    pub(super) is_certain: bool,
    /// Whether it was beyond a limit at last.
    pub(super) is_limited: bool,
}

impl From<anyhow::Error> for NotSent {
    fn from(why: anyhow::Error) -> Self {
        Self { why, is_certain: false, is_limited: false }
    }
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
        batch: &[&Member],
        common: &Map<String, Value>,
        key: &str,
    ) -> Result<Vec<Outcome>, NotSent> {
        let mut body = common.clone();
        let receivers = batch.iter().map(|member| Value::Object(member.body.clone())).collect();
        body.insert("receivers".into(), Value::Array(receivers));
        let body = Value::Object(body).to_string();
        let mut wait = Duration::from_secs(1);
        let (mut tried, mut is_certain) = (0, true);
        loop {
            let asked = self.ask("/sms/bulk", body.clone(), Some(key)).await;
            is_certain &= asked.as_ref().is_ok_and(Answer::is_refusal);
            let is_limited = asked.as_ref().is_ok_and(Answer::is_limited);
            let by_row = asked.as_ref().ok().and_then(|answer| by_row(answer, batch.len()));
            let why = match asked {
                Ok(answer) if answer.status == StatusCode::ACCEPTED => {
                    return Ok(accepted(&answer.body, batch.len())?);
                }
                Ok(answer) if answer.is_for_later() => {
                    wait = answer.retry_after.unwrap_or(wait);
                    // Not a hundred times the same.
                    if by_row.is_some() { answer.detail() } else { answer.said() }
                }
                Ok(answer) => {
                    let why = || anyhow::anyhow!("refused: {}", answer.said());
                    return by_row.ok_or_else(|| NotSent { why: why(), is_certain, is_limited });
                }
                Err(problem) => format!("{problem:#}"),
            };
            tried += 1;
            if tried >= TRIES || wait > PATIENCE {
                if let Some(outcomes) = by_row {
                    return Ok(outcomes);
                }
                let why = anyhow::anyhow!("{why}: run the command again later, it goes on from here");
                return Err(NotSent { why, is_certain, is_limited });
            }
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
        let answer = self.ask("/sms/explain?bulk=true", Value::Object(body).to_string(), None).await?;
        match answer.status {
            StatusCode::OK => Ok(held_back(&answer.body)),
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

    /// Whether the gateway says that nothing was stored. Others answer as well: what stands before a gateway may give up on a
    /// request that the gateway has.
    fn is_refusal(&self) -> bool {
        let gave_up = self.status == StatusCode::REQUEST_TIMEOUT;
        self.status.is_client_error() && !gave_up && self.body["code"].is_string()
    }

    /// Whether a limit of messages refused it.
    fn is_limited(&self) -> bool {
        self.status == StatusCode::TOO_MANY_REQUESTS && self.body["code"] == "rate_limited"
    }

    fn detail(&self) -> String {
        word(&self.body["detail"])
    }

    /// The refusal in words.
    fn said(&self) -> String {
        let errors = self.body["errors"].as_array().into_iter().flatten();
        let errors: Vec<_> =
            errors.map(|error| format!("{} {}", word(&error["pointer"]), word(&error["detail"]))).collect();
        if errors.is_empty() { self.detail() } else { errors.join("; ") }
    }
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Why a row that has nothing wrong would be refused none the less.
fn held_back(explained: &Value) -> Option<String> {
    let limits = explained["limits"].as_array().into_iter().flatten();
    let limits = limits.map(|limit| &limit["explanation"]);
    let reasons: Vec<_> =
        [&explained["opted_out"]].into_iter().chain(limits).filter_map(Value::as_str).collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

fn accepted(body: &Value, rows: usize) -> anyhow::Result<Vec<Outcome>> {
    let results = body["results"].as_array().context("the answer has no results")?;
    anyhow::ensure!(results.len() == rows, "the answer is about other rows");
    let outcomes = results.iter().map(|result| match result["id"].as_str() {
        Some(id) => Outcome::Accepted(id.into()),
        None => Outcome::refused(result),
    });
    Ok(outcomes.collect())
}

/// A batch of which no row is left says why for each. Anything else is about the command.
fn by_row(answer: &Answer, rows: usize) -> Option<Vec<Outcome>> {
    let errors = answer.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of_rows: Vec<_> = errors
        .iter()
        .filter(|error| error["pointer"].as_str().is_some_and(|at| at.starts_with("/receivers/")))
        .map(Outcome::refused)
        .collect();
    (of_rows.len() == rows).then_some(of_rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn row_that_an_opt_out_or_a_limit_holds_back_would_not_be_sent() {
        assert_eq!(held_back(&json!({"opted_out": null, "limits": []})), None);
        let told = json!({"opted_out": "has opted out", "limits": [{"explanation": "five an hour"}]});
        assert_eq!(held_back(&told).as_deref(), Some("has opted out; five an hour"));
        let limited = json!({"opted_out": null, "limits": [{"explanation": "five an hour"}]});
        assert_eq!(held_back(&limited).as_deref(), Some("five an hour"));
    }

    #[test]
    fn batch_is_refused_by_row_only_where_each_row_is_named() {
        let answer = |errors: Value| {
            let body =
                json!({"code": "rate_limited", "detail": "the limit daily is reached", "errors": errors});
            Answer { status: StatusCode::TOO_MANY_REQUESTS, retry_after: None, body }
        };
        let row = |at: usize, code: &str| json!({"pointer": format!("/receivers/{at}"), "code": code, "detail": "why"});
        let each = by_row(&answer(json!([row(0, "rate_limited"), row(1, "too_short")])), 2).unwrap();
        assert_eq!(each.iter().map(Outcome::is_for_now).collect::<Vec<_>>(), [true, false]);
        for errors in
            [json!([]), json!(null), json!([{"pointer": "/group"}]), json!([row(0, "rate_limited")])]
        {
            assert_eq!(by_row(&answer(errors.clone()), 2), None, "{errors}");
        }
        let strangers = Answer { body: json!({"code": "too_many_failures"}), ..answer(json!([])) };
        assert!(!strangers.is_limited() && answer(json!([])).is_limited());
    }

    #[test]
    fn what_a_limit_a_route_or_the_guard_refuses_is_refused_for_now() {
        let of = |code: &str| Outcome::refused(&json!({"code": code, "detail": "is refused"}));
        for code in ["rate_limited", "no_provider", "guard_refused"] {
            assert!(of(code).is_for_now(), "{code}");
        }
        for code in ["invalid_receiver", "opted_out", "too_long", ""] {
            assert!(!of(code).is_for_now(), "{code}");
        }
        assert!(!Outcome::Accepted("msg_1".into()).is_for_now());
    }
}
