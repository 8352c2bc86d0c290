//! Providers: how they fare, and whether they are in service.

use axum::Json;
use axum::extract::State as Shared;
use domain::breaker::BreakerState;
use domain::route::ProviderName;
use domain::time::Timestamp;
use gateway::conversions::CountryConversion;
use gateway::operate::ProviderStatus;
use serde::Serialize;
use store::StoreError;
use store::port::queue::LaneDepth;
use utoipa::ToSchema;

use super::queue::ShownLane;
use crate::http::extract::{Authenticated, PathParts};
use crate::http::problem::{Code, Problem, ProblemBody};
use crate::http::state::State;
use crate::keys::Scope;

/// Every configured provider.
#[derive(Serialize, ToSchema)]
pub(super) struct ProviderList {
    /// The providers, by name.
    providers: Vec<ShownProvider>,
}

/// A provider and how it fares.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownProvider {
    /// Its name.
    name: String,
    /// Whether it takes what no routing rule claims.
    is_default: bool,
    /// Whether messages are sent by it; `false` while it is drained.
    in_service: bool,
    /// Since when it is drained.
    #[serde(skip_serializing_if = "Option::is_none")]
    drained_since: Option<String>,
    /// Its breaker.
    breaker: ShownBreaker,
    /// Breakers of its routes into single countries, where they are not closed.
    countries: Vec<ShownCountry>,
    /// What came of the one-time codes of the last hour, by country: those that have ended.
    conversions: Vec<ShownConversion>,
    /// What it can do.
    capabilities: ShownCapabilities,
    /// How fast its account may be used.
    pace: ShownPace,
    /// What waits for it, by lane.
    waiting: Vec<ShownLane>,
}

/// Whether a route fails.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownBreaker {
    /// closed (it works), open (it fails and gets nothing) or `half_open` (single messages find out).
    #[schema(example = "closed")]
    state: &'static str,
    /// Since when it fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// When it may be probed.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

/// A route into one country.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownCountry {
    /// ISO 3166-1 code.
    #[schema(example = "KE")]
    country: String,
    /// Its breaker.
    breaker: ShownBreaker,
}

/// What came of one-time codes on a route into one country.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownConversion {
    /// ISO 3166-1 code.
    #[schema(example = "KE")]
    country: String,
    /// How many were sent and have ended.
    #[schema(example = 412)]
    sent: u64,
    /// How many of these were typed in again.
    #[schema(example = 377)]
    verified: u64,
    /// Whether that is far less than it should be: other routes come before this one, for codes.
    lags: bool,
}

impl From<CountryConversion> for ShownConversion {
    fn from(route: CountryConversion) -> Self {
        let (sent, verified) = (route.lately.sent, route.lately.verified);
        Self { country: route.country.to_string(), sent, verified, lags: route.lags }
    }
}

/// What a provider can do, with the settings at hand.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownCapabilities {
    /// Whether it posts delivery receipts.
    reports_delivery: bool,
    /// Whether it can be asked what became of a message.
    finds_submissions: bool,
}

/// How fast an account may be used.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownPace {
    /// Messages per second; 0 for no limit.
    #[schema(example = 100)]
    messages_per_second: u32,
    /// Requests under way at once.
    #[schema(example = 32)]
    max_in_flight: u32,
}

impl From<ProviderStatus> for ShownProvider {
    fn from(status: ProviderStatus) -> Self {
        let country = |health: gateway::health::RouteHealth| {
            Some(ShownCountry { country: health.country?.to_string(), breaker: health.state.into() })
        };
        Self {
            name: status.name.to_string(),
            is_default: status.is_default,
            in_service: status.drained_since.is_none(),
            drained_since: status.drained_since.map(|since| since.to_string()),
            breaker: status.breaker.into(),
            countries: status.countries.into_iter().filter_map(country).collect(),
            conversions: status.conversions.into_iter().map(Into::into).collect(),
            capabilities: ShownCapabilities {
                reports_delivery: status.capabilities.reports_delivery,
                finds_submissions: status.capabilities.finds_submissions,
            },
            pace: ShownPace {
                messages_per_second: status.pace.messages_per_second,
                max_in_flight: status.pace.max_in_flight,
            },
            waiting: status.waiting.iter().map(|lane: &LaneDepth| lane.into()).collect(),
        }
    }
}

impl From<BreakerState> for ShownBreaker {
    fn from(state: BreakerState) -> Self {
        let (since, until) = match state {
            BreakerState::Closed => (None, None),
            BreakerState::Open { since, until } => (Some(since), Some(until)),
            BreakerState::HalfOpen { since, from: _ } => (Some(since), None),
        };
        let text = |time: Option<Timestamp>| time.map(|time| time.to_string());
        Self { state: state.as_str(), since: text(since), until: text(until) }
    }
}

/// Shows every configured provider: its breakers, its pace, and what waits for it.
#[utoipa::path(
    get, path = "/providers", tag = "operators",
    responses(
        (status = 200, body = ProviderList),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be read", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    Shared(state): Shared<State>,
    caller: Authenticated,
) -> Result<Json<ProviderList>, Problem> {
    caller.with_any(&[Scope::Admin])?;
    let providers = state.service.providers().await?;
    Ok(Json(ProviderList { providers: providers.into_iter().map(ShownProvider::from).collect() }))
}

/// Takes a provider out of service.
///
/// What is under way is finished; what waits takes other routes where there are any; nothing new comes. It stays so
/// over a restart. A provider that is drained already stays so.
#[utoipa::path(
    post, path = "/providers/{name}/drain", tag = "operators",
    params(("name" = String, Path, description = "the provider's name")),
    responses(
        (status = 200, description = "out of service", body = ShownProvider),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "no such provider", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "nothing was changed: try again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn drain(
    Shared(state): Shared<State>,
    caller: Authenticated,
    PathParts(name): PathParts<String>,
) -> Result<Json<ShownProvider>, Problem> {
    let operator = caller.with_any(&[Scope::Admin])?;
    let name = parse(&name)?;
    let changed = state.service.drain(&name, operator.actor()).await;
    shown(&state, &name, changed).await
}

/// Puts a provider back into service.
#[utoipa::path(
    post, path = "/providers/{name}/resume", tag = "operators",
    params(("name" = String, Path, description = "the provider's name")),
    responses(
        (status = 200, description = "in service", body = ShownProvider),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "no such provider", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "nothing was changed: try again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn resume(
    Shared(state): Shared<State>,
    caller: Authenticated,
    PathParts(name): PathParts<String>,
) -> Result<Json<ShownProvider>, Problem> {
    let operator = caller.with_any(&[Scope::Admin])?;
    let name = parse(&name)?;
    let changed = state.service.resume(&name, operator.actor()).await;
    shown(&state, &name, changed).await
}

/// The provider after a change that answered `None` if there is no such provider.
async fn shown(
    state: &State,
    name: &ProviderName,
    changed: Result<Option<bool>, StoreError>,
) -> Result<Json<ShownProvider>, Problem> {
    changed?.ok_or_else(unknown)?;
    let providers = state.service.providers().await?;
    let status = providers.into_iter().find(|status| status.name == *name).ok_or_else(unknown)?;
    Ok(Json(status.into()))
}

fn parse(name: &str) -> Result<ProviderName, Problem> {
    name.parse().map_err(|_no_name| unknown())
}

fn unknown() -> Problem {
    Problem::new(Code::NotFound, "no provider of that name is configured")
}
