//! The simulator's own paths, for those who can't call it as a library. They need no credentials.
//!
//! | request | answer |
//! |---|---|
//! | `GET /_sim/stats` | [`Stats`](super::Stats) |
//! | `GET /_sim/ledger?provider=&to=&since_seq=&limit=` | `{"entries":[`[`Entry`]`…],"last_seq":n}`; `since_seq` is the last one that was seen |
//! | `GET /_sim/requests?provider=&since_batch=` | `{"requests":[`[`SubmitRequest`]`…]}` |
//! | `GET /_sim/arrivals?since=` | `{"arrivals":[`[`Arrival`](super::Arrival)`…]}` of texts that are watched for, without the first `since` |
//! | `GET /_sim/duplicates` | `{"duplicates":[`[`Duplicate`](super::Duplicate)`…]}` |
//! | `GET /_sim/faults` | `{"faults":[`[`FaultRule`]`…]}` |
//! | `POST /_sim/faults` with `{"faults":[…],"replace":false}` | the same, after |
//! | `DELETE /_sim/faults` | the same, after |
//! | `GET`, `POST /_sim/callback-url` with some of [`CallbackUrls`] | all of them, after |
//! | `POST /_sim/incoming` with `{"provider","from","to","text"}` | 202 `{"id":"…"}`: a message from a phone |
//! | `POST /_sim/opt-out` with `{"sender","number"}` | 202: a receiver wants no more of a sender (Africa's Talking) |
//! | `GET /_sim/texts?number=` | `{"texts":[`[`Text`](super::Text)`…]}` that the phone with this number has |
//! | `POST /_sim/reset` | 204: as after the start, but without faults |
//!
//! What can't be read is answered with 400 and `{"error":"…"}`.

use std::str::FromStr;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::serve::{Answer, Hangup};
use crate::sim::config::CallbackUrls;
use crate::sim::faults::FaultRule;
use crate::sim::form::{JSON, answer};
use crate::sim::handset;
use crate::sim::ledger::{Arrival, Entry, SubmitRequest};
use crate::sim::network::{FromPhone, Network};
use crate::sim::provider::Provider;

/// Where all paths of the simulator itself begin.
pub(crate) const ROOT: &str = "/_sim/";

/// At most so many entries in one answer.
const LIMIT: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewFaults {
    faults: Vec<FaultRule>,
    #[serde(default)]
    replace: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OptOut {
    sender: String,
    number: String,
}

/// What was asked can't be read.
struct Unreadable(String);

/// Answers a request to the simulator itself.
pub(crate) async fn handle(network: &Network, request: Request<Incoming>) -> Result<Answer, Hangup> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Err(Hangup) };
    let body = body.to_bytes();
    let path = head.uri.path().strip_prefix(ROOT).unwrap_or_default();
    let query = head.uri.query().unwrap_or_default();
    let answered = match (&head.method, path) {
        (&Method::GET, _) => read(network, path, query),
        (&Method::POST, "incoming") => incoming(network, &body).await,
        (&Method::POST, "opt-out") => opt_out(network, &body).await,
        _ => change(network, &head.method, path, &body),
    };
    Ok(answered.unwrap_or_else(|Unreadable(error)| say(StatusCode::BAD_REQUEST, &json!({ "error": error }))))
}

fn read(network: &Network, path: &str, query: &str) -> Result<Answer, Unreadable> {
    let state = &network.state;
    let said = match path {
        "stats" => json!(state.stats()),
        "ledger" => ledger(network, query)?,
        "requests" => {
            let provider: Option<Provider> = parameter(query, "provider")?;
            let since: u64 = parameter(query, "since_batch")?.unwrap_or(0);
            let requests: Vec<SubmitRequest> = state
                .ledger
                .requests()
                .into_iter()
                .filter(|request| {
                    request.batch > since && provider.is_none_or(|named| named == request.provider)
                })
                .collect();
            json!({ "requests": requests })
        }
        "arrivals" => {
            let since: usize = parameter(query, "since")?.unwrap_or(0);
            let arrivals: Vec<Arrival> = state.ledger.arrivals().into_iter().skip(since).collect();
            json!({ "arrivals": arrivals })
        }
        "texts" => {
            let number: String = parameter(query, "number")?.unwrap_or_default();
            json!({ "texts": handset::texts(network, &number) })
        }
        "duplicates" => json!({ "duplicates": state.ledger.duplicates() }),
        "faults" => json!({ "faults": state.faults.rules() }),
        "callback-url" => json!(*state.urls.read()),
        _ => return Ok(nowhere()),
    };
    Ok(say(StatusCode::OK, &said))
}

fn ledger(network: &Network, query: &str) -> Result<serde_json::Value, Unreadable> {
    let provider: Option<Provider> = parameter(query, "provider")?;
    let to: Option<String> = parameter(query, "to")?;
    let since: u64 = parameter(query, "since_seq")?.unwrap_or(0);
    let limit: usize = parameter(query, "limit")?.unwrap_or(LIMIT).min(LIMIT);
    let mut left = limit;
    let entries: Vec<Entry> = network.state.ledger.entries_where(|entry| {
        let wanted = entry.seq > since
            && provider.is_none_or(|named| named == entry.provider)
            && to.as_ref().is_none_or(|to| *to == entry.to)
            && left > 0;
        left -= usize::from(wanted);
        wanted
    });
    let last = entries.last().map_or(since, |entry| entry.seq);
    Ok(json!({ "entries": entries, "last_seq": last }))
}

fn change(network: &Network, method: &Method, path: &str, body: &[u8]) -> Result<Answer, Unreadable> {
    let state = &network.state;
    match (method, path) {
        (&Method::POST, "faults") => {
            let new: NewFaults = parse(body)?;
            if new.replace {
                state.faults.clear();
            }
            state.faults.add(&new.faults).map_err(|error| Unreadable(error.to_string()))?;
            read(network, path, "")
        }
        (&Method::DELETE, "faults") => {
            state.faults.clear();
            read(network, path, "")
        }
        (&Method::POST, "callback-url") => {
            let new: CallbackUrls = parse(body)?;
            network.set_callback_urls(new);
            read(network, path, "")
        }
        (&Method::POST, "reset") => {
            network.reset();
            Ok(empty(StatusCode::NO_CONTENT))
        }
        _ => Ok(nowhere()),
    }
}

async fn incoming(network: &Network, body: &[u8]) -> Result<Answer, Unreadable> {
    let message: FromPhone = parse(body)?;
    let id = network.incoming(&message).await;
    Ok(say(StatusCode::ACCEPTED, &json!({ "id": id })))
}

async fn opt_out(network: &Network, body: &[u8]) -> Result<Answer, Unreadable> {
    let OptOut { sender, number } = parse(body)?;
    network.opt_out(&sender, &number).await;
    Ok(empty(StatusCode::ACCEPTED))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Unreadable> {
    serde_json::from_slice(body).map_err(|error| Unreadable(error.to_string()))
}

/// A parameter of the query; an empty one counts as absent.
fn parameter<T: FromStr>(query: &str, name: &str) -> Result<Option<T>, Unreadable> {
    let given = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value);
    let Some(value) = given.filter(|value| !value.is_empty()) else { return Ok(None) };
    value.parse().map(Some).ok().ok_or_else(|| Unreadable(format!("{name} can't be read")))
}

fn say(status: StatusCode, what: &impl Serialize) -> Answer {
    match serde_json::to_vec(what) {
        Ok(body) => answer(status, JSON, body),
        Err(_) => empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn nowhere() -> Answer {
    say(StatusCode::NOT_FOUND, &json!({ "error": "the simulator has no such path" }))
}

fn empty(status: StatusCode) -> Answer {
    let mut answer = Answer::default();
    *answer.status_mut() = status;
    answer
}
