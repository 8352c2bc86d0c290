//! Workers: the loops that submit, look after and tidy up.

use axum::Json;
use axum::extract::State as Shared;
use domain::audit::Actor;
use gateway::operate::PauseError;
use gateway::workers::WorkerStatus;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::extract::{Authenticated, PathParts};
use crate::http::problem::{Problem, ProblemBody};
use crate::http::state::State;
use crate::keys::Scope;

/// All workers.
#[derive(Serialize, ToSchema)]
pub(super) struct WorkerList {
    /// The workers, by name.
    workers: Vec<ShownWorker>,
}

/// A worker.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownWorker {
    /// Its name.
    #[schema(example = "reconcile")]
    name: String,
    /// running, paused, stalled (no sign of life) or stopped.
    #[schema(example = "running")]
    state: &'static str,
    /// Its last sign of life.
    last_beat: String,
    /// How often it panicked and was started again.
    #[schema(example = 0)]
    restarts: u64,
}

impl From<WorkerStatus> for ShownWorker {
    fn from(worker: WorkerStatus) -> Self {
        Self {
            name: worker.name,
            state: worker.state.as_str(),
            last_beat: worker.last_beat.to_string(),
            restarts: worker.restarts,
        }
    }
}

/// Shows all workers.
#[utoipa::path(
    get, path = "/workers", tag = "operators",
    responses(
        (status = 200, body = WorkerList),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    Shared(state): Shared<State>,
    caller: Authenticated,
) -> Result<Json<WorkerList>, Problem> {
    caller.with_any(&[Scope::Admin])?;
    let workers = state.service.workers().into_iter().map(ShownWorker::from).collect();
    Ok(Json(WorkerList { workers }))
}

/// Lets a worker rest.
///
/// It finishes what it has begun. It works again when it is activated, or when the gateway is started again.
#[utoipa::path(
    post, path = "/workers/{name}/pause", tag = "operators",
    params(("name" = String, Path, description = "the worker's name")),
    responses(
        (status = 200, description = "resting", body = ShownWorker),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "no such worker", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "the gateway can't do without it", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "nothing was changed: try again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn pause(
    Shared(state): Shared<State>,
    caller: Authenticated,
    PathParts(name): PathParts<String>,
) -> Result<Json<ShownWorker>, Problem> {
    let operator = caller.with_any(&[Scope::Admin])?;
    set_paused(&state, &name, true, operator.actor()).await
}

/// Lets a worker work again.
#[utoipa::path(
    post, path = "/workers/{name}/activate", tag = "operators",
    params(("name" = String, Path, description = "the worker's name")),
    responses(
        (status = 200, description = "working", body = ShownWorker),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "no such worker", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "nothing was changed: try again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn activate(
    Shared(state): Shared<State>,
    caller: Authenticated,
    PathParts(name): PathParts<String>,
) -> Result<Json<ShownWorker>, Problem> {
    let operator = caller.with_any(&[Scope::Admin])?;
    set_paused(&state, &name, false, operator.actor()).await
}

async fn set_paused(
    state: &State,
    name: &str,
    paused: bool,
    by: Actor,
) -> Result<Json<ShownWorker>, Problem> {
    state.service.set_worker_paused(name, paused, by).await?;
    let worker = state.service.workers().into_iter().find(|worker| worker.name == name);
    Ok(Json(worker.ok_or(PauseError::Unknown)?.into()))
}
