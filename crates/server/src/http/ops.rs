//! For operators: is it alive, is it ready, what does it count.

use axum::Json;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use http::header;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{Problem, ProblemBody};
use super::state::State;

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(live)).routes(routes!(ready)).routes(routes!(metrics))
}

/// The state of the process.
#[derive(Debug, Serialize, ToSchema)]
struct Health {
    /// `live` or `ready`.
    status: &'static str,
}

/// Whether the process runs.
#[utoipa::path(get, path = "/health/live", tag = "operations", security(()), responses((status = 200, body = Health)))]
async fn live() -> Json<Health> {
    Json(Health { status: "live" })
}

/// Whether messages can be accepted: the store writes, and a provider is configured.
#[utoipa::path(
    get, path = "/health/ready", tag = "operations", security(()),
    responses(
        (status = 200, body = Health),
        (status = 503, description = "not ready", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn ready(Shared(state): Shared<State>) -> Result<Json<Health>, Problem> {
    state.service.ready().await?;
    Ok(Json(Health { status: "ready" }))
}

/// All figures in Prometheus' text form.
#[utoipa::path(
    get, path = "/metrics", tag = "operations", security(()),
    responses((status = 200, body = String, content_type = "text/plain"))
)]
async fn metrics(Shared(state): Shared<State>) -> Result<Response, Problem> {
    let text = state.figures.text().map_err(|problem| Problem::internal(&problem))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}
