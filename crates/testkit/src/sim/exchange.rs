//! One request and its answer, with what goes wrong between them: the part that does not depend on the
//! provider.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Request, StatusCode};
use tokio::time::sleep;

use crate::serve::{Answer, Hangup};
use crate::sim::faults::Fault;
use crate::sim::ledger::SubmitRequest;
use crate::sim::provider::Provider;
use crate::sim::state::{Departure, State, Submitted};

/// How a provider understands requests and words its answers.
pub(crate) trait Wire: Sync {
    const PROVIDER: Provider;

    /// Whether a request sends messages.
    fn submits(&self, head: &Parts) -> bool;

    /// Takes or refuses messages. `batch` is the number of the request.
    fn submit(&self, state: &State, head: &Parts, body: &[u8], batch: u64) -> Submitted;

    /// Answers any other request.
    fn query(&self, state: &State, head: &Parts, body: &[u8]) -> Answer;

    /// What it says when it is asked too often.
    fn too_many_requests(&self) -> Answer;

    /// What it says when it breaks.
    fn broken(&self, status: StatusCode) -> Answer;

    /// What it says to wrong credentials.
    fn unauthorized(&self) -> Answer;

    /// What it says when it refuses a message for `code`.
    fn refused(&self, code: u32, head: &Parts, body: &[u8]) -> Answer;
}

/// Answers a request, or hangs up, as the faults in force will have it.
pub(crate) async fn exchange<W: Wire>(
    wire: &W,
    state: &State,
    request: Request<Incoming>,
) -> Result<Answer, Hangup> {
    let since_start_us = state.ledger.since_start_us();
    let (head, body) = request.into_parts();
    let submits = wire.submits(&head);
    let counters = state.counters(W::PROVIDER);
    counters.requests.fetch_add(1, Ordering::Relaxed);
    counters.submissions.fetch_add(u64::from(submits), Ordering::Relaxed);
    let batch = if submits { state.new_batch() } else { 0 };
    let note = |recipients, accepted| {
        if submits {
            let provider = W::PROVIDER;
            state.ledger.note(SubmitRequest { batch, provider, recipients, accepted, since_start_us });
        }
    };

    let plan = state.faults.for_request(W::PROVIDER, submits);
    if !plan.wait.is_zero() {
        sleep(plan.wait).await;
    }
    counters.faulted.fetch_add(u64::from(plan.fault.is_some()), Ordering::Relaxed);
    if plan.fault == Some(Fault::ResetBeforeRead) {
        note(0, 0);
        return Err(Hangup);
    }
    let Ok(body) = body.collect().await else { return Err(Hangup) };
    let body = body.to_bytes();
    if let Some(instead) = plan.fault.and_then(|fault| instead(wire, fault, &head, &body)) {
        note(0, 0);
        return instead;
    }

    let answer = if submits {
        let submitted = wire.submit(state, &head, &body, batch);
        note(submitted.recipients, submitted.accepted);
        count(state, W::PROVIDER, &submitted);
        depart(state, submitted.departures).await;
        submitted.answer
    } else {
        wire.query(state, &head, &body)
    };
    match plan.fault {
        Some(fault) => spoil(wire, fault, answer).await,
        None => Ok(answer),
    }
}

/// What happens instead of carrying the request out.
fn instead<W: Wire>(wire: &W, fault: Fault, head: &Parts, body: &[u8]) -> Option<Result<Answer, Hangup>> {
    let answer = match fault {
        Fault::TooManyRequests { retry_after_s } => {
            let mut answer = wire.too_many_requests();
            if let Some(seconds) = retry_after_s {
                answer.headers_mut().insert(hyper::header::RETRY_AFTER, seconds.into());
            }
            answer
        }
        Fault::Error { status } => wire.broken(failure(status)),
        Fault::Unauthorized => wire.unauthorized(),
        Fault::Refuse { code } => wire.refused(code, head, body),
        Fault::ResetBeforeAccept => return Some(Err(Hangup)),
        _ => return None,
    };
    Some(Ok(answer))
}

/// What happens to the answer of a request that was carried out.
async fn spoil<W: Wire>(wire: &W, fault: Fault, answer: Answer) -> Result<Answer, Hangup> {
    match fault {
        Fault::AcceptThenReset => Err(Hangup),
        Fault::AcceptThenError { status } => Ok(wire.broken(failure(status))),
        Fault::AcceptThenStall { ms } => {
            sleep(Duration::from_millis(ms)).await;
            Ok(answer)
        }
        Fault::MalformedAnswer => cut(answer).await,
        _ => Ok(answer),
    }
}

/// The first half of a body, sent as if it were the whole.
async fn cut(answer: Answer) -> Result<Answer, Hangup> {
    let (head, body) = answer.into_parts();
    let Ok(body) = body.collect().await;
    let mut body: Bytes = body.to_bytes();
    body.truncate(body.len() / 2);
    Ok(Answer::from_parts(head, Full::new(body)))
}

fn failure(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn count(state: &State, provider: Provider, submitted: &Submitted) {
    let counters = state.counters(provider);
    counters.accepted.fetch_add(submitted.accepted as u64, Ordering::Relaxed);
    let refused = submitted.recipients.max(1) - submitted.accepted;
    counters.refused.fetch_add(refused as u64, Ordering::Relaxed);
}

async fn depart(state: &State, departures: Vec<Departure>) {
    for departure in departures {
        if departure.early {
            state.callbacks.hurry(departure.journey, departure.steps).await;
        } else {
            state.callbacks.begin(departure.journey, departure.steps);
        }
    }
}
