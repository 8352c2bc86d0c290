//! Webhook endpoints: where callers hear what happened.

pub(super) mod replay;
mod view;

use std::time::Duration;

use axum::Json;
use axum::extract::{RawQuery, State as Shared};
use axum::response::{IntoResponse as _, Response};
use domain::ids::EndpointId;
use domain::secret::{ExposeSecret as _, SecretString};
use domain::time::Timestamp;
use domain::webhook::Wanted;
use gateway::endpoints::{MOST_ENDPOINTS, WantedEndpoint};
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use store::port::events::{event_id, read_event_id};
use store::port::webhooks::{Endpoint, EndpointChange};
use utoipa::ToSchema;

use self::view::{DeliveryPage, EndpointList, EndpointWithSecret, ShownDelivery, ShownEndpoint};
use super::query;
use crate::http::extract::{Authenticated, Body, OptionalBody, PathParts};
use crate::http::problem::{Code, FieldProblem, Problem, ProblemBody};
use crate::http::state::State;
use crate::keys::{self, Identity, LONGEST_OVERLAP, Scope};
use crate::webhooks::read_url;

/// Characters that a description may have.
const MAX_DESCRIPTION: usize = 256;
/// Kinds that may be asked for.
const MAX_EVENTS: usize = 50;
/// How long the secret of before signs too, unless asked otherwise.
const OVERLAP: Duration = Duration::from_hours(24);

/// An endpoint to be made.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CreateEndpoint {
    /// Where events are posted.
    #[schema(required = true, example = "https://example.com/hooks/tuma")]
    url: Option<String>,
    /// Kinds of events that it hears of, such as `message.delivered`, or `prompt.*`; all if there is none.
    events: Option<Vec<String>>,
    /// What you call it.
    description: Option<String>,
    /// `own`: what belongs to this API key, and so unless given; `all`: what belongs to anybody or to nobody, for which
    /// the key needs the scope `admin`.
    #[schema(example = "own")]
    callers: Option<String>,
}

/// What is to be changed of an endpoint. What is not there stays.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ChangeEndpoint {
    /// Where events are posted.
    url: Option<String>,
    /// Kinds of events that it hears of; all if there is none in the list.
    events: Option<Vec<String>>,
    /// What you call it.
    description: Option<String>,
    /// Whether events are posted. What waited goes on when it is enabled; what happened meanwhile can be replayed.
    enabled: Option<bool>,
}

/// How a secret is rotated.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RotateSecret {
    /// Seconds for which the secret of before signs too: 0 to 7776000, 86400 (a day) unless given.
    overlap_s: Option<u64>,
}

/// Lists endpoints, the oldest first. A key with `webhooks` alone sees its own.
#[utoipa::path(
    get, path = "/webhook-endpoints", tag = "webhooks",
    responses(
        (status = 200, body = EndpointList),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be read", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    Shared(state): Shared<State>,
    caller: Authenticated,
) -> Result<Json<EndpointList>, Problem> {
    let identity = caller.with_any(&[Scope::Webhooks])?;
    let (now, own) = (state.service.now(), (!identity.may(Scope::Admin)).then_some(identity.key));
    let endpoints = state.service.endpoints(own).await?.into_iter();
    Ok(Json(EndpointList { webhook_endpoints: endpoints.map(|it| ShownEndpoint::new(it, now)).collect() }))
}

/// Makes an endpoint. Its secret is shown this once.
#[utoipa::path(
    post, path = "/webhook-endpoints", tag = "webhooks", request_body = CreateEndpoint,
    responses(
        (status = 201, description = "made", body = EndpointWithSecret),
        (status = 400, description = "not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "too many endpoints", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "not application/json", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "wrong fields", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "nothing was stored: try again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    Shared(state): Shared<State>,
    caller: Authenticated,
    Body(body): Body<CreateEndpoint>,
) -> Result<Response, Problem> {
    let identity = caller.with_any(&[Scope::Webhooks])?;
    let hears_all = match body.callers.as_deref() {
        None | Some("own") => Ok(false),
        Some("all") if identity.may(Scope::Admin) => Ok(true),
        Some("all") => return Err(Problem::new(Code::MissingScope, "callers \"all\" needs the scope admin")),
        Some(_) => Err(field("/callers", "wrong_type", "must be own or all")),
    };
    let url = match &body.url {
        Some(url) => read(&state, url),
        None => Err(field("/url", "required", "is required")),
    };
    let events = events(body.events.as_deref().unwrap_or_default());
    let description = description(body.description.as_deref());
    let (hears_all, url, events, description) = match (hears_all, url, events, description) {
        (Ok(hears_all), Ok(url), Ok(events), Ok(())) => (hears_all, url, events, body.description),
        (hears_all, url, events, description) => {
            let mut mistakes: Vec<_> =
                [hears_all.err(), url.err(), description.err()].into_iter().flatten().collect();
            mistakes.extend(events.err().unwrap_or_default());
            return Err(Problem::of_fields(mistakes));
        }
    };
    let secret = keys::webhook_secret();
    let description = description.filter(|text| !text.is_empty());
    let wanted = WantedEndpoint { hears_all, url, description, events, secret: secret.clone() };
    let Some(id) = state.service.create_endpoint(identity.key, wanted, identity.actor()).await? else {
        return Err(Problem::new(
            Code::TooManyEndpoints,
            format!("a key may have {MOST_ENDPOINTS}: delete one"),
        ));
    };
    tracing::info!(endpoint = %id, "a webhook endpoint was made");
    let endpoint = find(&state, &identity, id).await?;
    Ok(with_secret(StatusCode::CREATED, &secret, ShownEndpoint::new(endpoint, state.service.now())))
}

/// Shows an endpoint.
#[utoipa::path(
    get, path = "/webhook-endpoints/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "the endpoint's id")),
    responses(
        (status = 200, body = ShownEndpoint),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "no such endpoint", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be read", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(
    Shared(state): Shared<State>,
    caller: Authenticated,
    PathParts(id): PathParts<String>,
) -> Result<Json<ShownEndpoint>, Problem> {
    let identity = caller.with_any(&[Scope::Webhooks])?;
    let endpoint = find(&state, &identity, parse(&id)?).await?;
    Ok(Json(ShownEndpoint::new(endpoint, state.service.now())))
}

/// Changes an endpoint, or enables it again.
#[utoipa::path(
    patch, path = "/webhook-endpoints/{id}", tag = "webhooks", request_body = ChangeEndpoint,
    params(("id" = String, Path, description = "the endpoint's id")),
    responses(
        (status = 200, description = "changed", body = ShownEndpoint),
        (status = 400, description = "not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "no such endpoint", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "not application/json", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "wrong fields", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "nothing was changed: try again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn change(
    Shared(state): Shared<State>,
    caller: Authenticated,
    PathParts(id): PathParts<String>,
    Body(body): Body<ChangeEndpoint>,
) -> Result<Json<ShownEndpoint>, Problem> {
    let identity = caller.with_any(&[Scope::Webhooks])?;
    let id = find_to_use(&state, &identity, parse(&id)?).await?.id;
    let mut mistakes = Vec::new();
    let url = match body.url.as_deref().map(|url| read(&state, url)).transpose() {
        Ok(url) => url,
        Err(mistake) => {
            mistakes.push(mistake);
            None
        }
    };
    let events = match body.events.as_deref().map(events).transpose() {
        Ok(events) => events,
        Err(wrong) => {
            mistakes.extend(wrong);
            None
        }
    };
    mistakes.extend(description(body.description.as_deref()).err());
    if !mistakes.is_empty() {
        return Err(Problem::of_fields(mistakes));
    }
    let change = EndpointChange::Set { url, description: body.description, events, enabled: body.enabled };
    make(&state, &identity, id, change).await?;
    let endpoint = find(&state, &identity, id).await?;
    Ok(Json(ShownEndpoint::new(endpoint, state.service.now())))
}

/// Deletes an endpoint. What it has not got yet it never gets.
#[utoipa::path(
    delete, path = "/webhook-endpoints/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "the endpoint's id")),
    responses(
        (status = 200, description = "deleted: as it was", body = ShownEndpoint),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "no such endpoint", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "nothing was changed: try again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(
    Shared(state): Shared<State>,
    caller: Authenticated,
    PathParts(id): PathParts<String>,
) -> Result<Json<ShownEndpoint>, Problem> {
    let identity = caller.with_any(&[Scope::Webhooks])?;
    let endpoint = find(&state, &identity, parse(&id)?).await?;
    make(&state, &identity, endpoint.id, EndpointChange::Delete).await?;
    Ok(Json(ShownEndpoint::new(endpoint, state.service.now())))
}

/// Gives an endpoint another secret, which is shown this once. For a while posts are signed with both.
#[utoipa::path(
    post, path = "/webhook-endpoints/{id}/rotate-secret", tag = "webhooks", request_body = Option<RotateSecret>,
    params(("id" = String, Path, description = "the endpoint's id")),
    responses(
        (status = 200, description = "rotated", body = EndpointWithSecret),
        (status = 400, description = "not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "no such endpoint", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "not application/json", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "wrong fields", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "nothing was changed: try again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn rotate(
    Shared(state): Shared<State>,
    caller: Authenticated,
    PathParts(id): PathParts<String>,
    OptionalBody(body): OptionalBody<RotateSecret>,
) -> Result<Response, Problem> {
    let identity = caller.with_any(&[Scope::Webhooks])?;
    let id = find_to_use(&state, &identity, parse(&id)?).await?.id;
    let overlap = body.overlap_s.map_or(OVERLAP, Duration::from_secs);
    if overlap > LONGEST_OVERLAP {
        let detail = format!("must be from 0 to {}", LONGEST_OVERLAP.as_secs());
        return Err(Problem::of_fields(vec![field("/overlap_s", "wrong_type", &detail)]));
    }
    let secret = keys::webhook_secret();
    let ends_at = state.service.now().plus(overlap);
    make(&state, &identity, id, EndpointChange::Rotate(secret.clone(), ends_at)).await?;
    tracing::warn!(endpoint = %id, "the secret of a webhook endpoint was rotated");
    let endpoint = find(&state, &identity, id).await?;
    Ok(with_secret(StatusCode::OK, &secret, ShownEndpoint::new(endpoint, state.service.now())))
}

/// Posts an `endpoint.test` to an endpoint, whatever it asked for.
#[utoipa::path(
    post, path = "/webhook-endpoints/{id}/test", tag = "webhooks",
    params(("id" = String, Path, description = "the endpoint's id")),
    responses(
        (status = 202, description = "on its way", body = ShownEndpoint),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "no such endpoint", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "it is disabled", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "nothing was stored: try again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn test(
    Shared(state): Shared<State>,
    caller: Authenticated,
    PathParts(id): PathParts<String>,
) -> Result<(StatusCode, Json<ShownEndpoint>), Problem> {
    let identity = caller.with_any(&[Scope::Webhooks])?;
    let (endpoint, now) = (find_to_use(&state, &identity, parse(&id)?).await?, state.service.now());
    enabled(&endpoint, now)?;
    if !state.service.test_endpoint(endpoint.id, identity.actor()).await? {
        return Err(unknown());
    }
    Ok((StatusCode::ACCEPTED, Json(ShownEndpoint::new(endpoint, now))))
}

/// Lists what an endpoint got and what it is to get, newest first, with every post.
#[utoipa::path(
    get, path = "/webhook-endpoints/{id}/deliveries", tag = "webhooks",
    params(
        ("id" = String, Path, description = "the endpoint's id"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "1 to 200 deliveries, 50 unless given"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses(
        (status = 200, body = DeliveryPage),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "no such endpoint", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "wrong parameters", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be read", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn deliveries(
    Shared(state): Shared<State>,
    caller: Authenticated,
    PathParts(id): PathParts<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<DeliveryPage>, Problem> {
    let identity = caller.with_any(&[Scope::Webhooks])?;
    let id = find_to_use(&state, &identity, parse(&id)?).await?.id;
    let (limit, before) = page(query.as_deref())?;
    // One more than asked for tells whether there is a next page.
    let deliveries = state.service.deliveries(id, before, limit + 1).await?;
    let (deliveries, next_cursor) =
        query::page(deliveries, limit, |last| event_id(last.subject, last.number));
    let deliveries = deliveries.into_iter().map(ShownDelivery::from).collect();
    Ok(Json(DeliveryPage { deliveries, next_cursor }))
}

/// Reads all parameters and names every wrong one.
fn page(query: Option<&str>) -> Result<(u32, Option<i64>), Problem> {
    let (mut limit, mut before) = (query::DEFAULT_LIMIT, None);
    query::read(query, |name, text| match name {
        "limit" => query::limit(text, &mut limit),
        "cursor" => {
            let (number, _) =
                read_event_id(text).ok_or(("invalid_cursor", "is no cursor of this address".into()))?;
            before = Some(number);
            Ok(())
        }
        _ => query::unknown(),
    })?;
    Ok((limit, before))
}

fn field(pointer: &str, code: &'static str, detail: &str) -> FieldProblem {
    FieldProblem { pointer: pointer.into(), code, detail: detail.into() }
}

fn read(state: &State, url: &str) -> Result<SecretString, FieldProblem> {
    let read = read_url(url, &state.webhooks)
        .map_err(|problem| field("/url", "invalid_url", &problem.to_string()))?;
    Ok(String::from(read).into())
}

fn events(words: &[String]) -> Result<Vec<String>, Vec<FieldProblem>> {
    if words.len() > MAX_EVENTS {
        return Err(vec![field("/events", "too_long", &format!("may have {MAX_EVENTS} entries"))]);
    }
    let mistakes: Vec<_> = words
        .iter()
        .enumerate()
        .filter_map(|(index, word)| {
            let problem = word.parse::<Wanted>().err()?;
            Some(field(&format!("/events/{index}"), "unknown_event", &problem.to_string()))
        })
        .collect();
    if mistakes.is_empty() { Ok(words.to_vec()) } else { Err(mistakes) }
}

fn description(text: Option<&str>) -> Result<(), FieldProblem> {
    let text = text.unwrap_or_default();
    if text.chars().count() > MAX_DESCRIPTION || text.chars().any(char::is_control) {
        let detail = format!("may have {MAX_DESCRIPTION} characters, and no control characters");
        return Err(field("/description", "too_long", &detail));
    }
    Ok(())
}

fn enabled(endpoint: &Endpoint, now: Timestamp) -> Result<(), Problem> {
    match endpoint.is_disabled_by(now) {
        Some(_) => Err(Problem::new(Code::EndpointDisabled, "it is disabled: enable it first")),
        None => Ok(()),
    }
}

async fn make(
    state: &State,
    identity: &Identity,
    id: EndpointId,
    change: EndpointChange,
) -> Result<(), Problem> {
    let is_there = state.service.change_endpoint(id, change, identity.actor()).await?;
    if is_there { Ok(()) } else { Err(unknown()) }
}

/// An endpoint that the caller may see. One of somebody else is one that there is not.
async fn find(state: &State, identity: &Identity, id: EndpointId) -> Result<Endpoint, Problem> {
    let own = (!identity.may(Scope::Admin)).then_some(identity.key);
    state.service.endpoints(own).await?.into_iter().find(|endpoint| endpoint.id == id).ok_or_else(unknown)
}

/// The same to do something with it. To hear what others own is for admins, also where the owner was one when it was made:
/// the scopes of tokens come and go. Whoever is none any more may still see that it is there, and delete it.
async fn find_to_use(state: &State, identity: &Identity, id: EndpointId) -> Result<Endpoint, Problem> {
    let endpoint = find(state, identity, id).await?;
    if endpoint.hears_all && !identity.may(Scope::Admin) {
        let detail = "it hears what belongs to others: that needs the scope admin";
        return Err(Problem::new(Code::MissingScope, detail));
    }
    Ok(endpoint)
}

fn parse(id: &str) -> Result<EndpointId, Problem> {
    id.parse().map_err(|_no_id| unknown())
}

fn unknown() -> Problem {
    Problem::new(Code::NotFound, "there is no endpoint of that id")
}

/// No cache may keep it.
fn with_secret(status: StatusCode, secret: &SecretString, endpoint: ShownEndpoint) -> Response {
    let body = EndpointWithSecret { secret: secret.expose_secret().to_owned(), endpoint };
    let mut response = (status, Json(body)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
