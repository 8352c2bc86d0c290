//! What callers say of their messages afterwards.

use axum::Json;
use axum::extract::State as Shared;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::moves::own_message;
use crate::http::extract::{Authenticated, Body, PathParts};
use crate::http::problem::{Problem, ProblemBody};
use crate::http::state::State;
use crate::keys::Scope;

/// What is said of a message.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FeedbackBody {
    /// What the receiver did with it.
    outcome: Outcome,
}

/// What a receiver can have done with a message.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// The receiver has shown that it arrived: typed in the code, or followed the link.
    Confirmed,
}

/// What was said of a message.
#[derive(Serialize, ToSchema)]
pub(super) struct GivenFeedback {
    /// The message.
    #[schema(example = "msg_019ab0c4e1f27d3c8a5b6f7081920a3b")]
    id: String,
    /// What the receiver did with it.
    outcome: Outcome,
}

/// Says that the receiver of a message has shown that it arrived.
///
/// Say so of every code that is verified: by that the guard tells people from SMS pumping. Said twice, it counts once.
#[utoipa::path(
    post, path = "/sms/{id}/feedback", tag = "messages", request_body = FeedbackBody,
    params(("id" = String, Path, description = "the message's id")),
    responses(
        (status = 200, description = "on disk", body = GivenFeedback),
        (status = 400, description = "not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "no such message", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "not application/json", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "wrong fields", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "nothing was stored: try again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn give(
    Shared(state): Shared<State>,
    caller: Authenticated,
    PathParts(id): PathParts<String>,
    Body(body): Body<FeedbackBody>,
) -> Result<Json<GivenFeedback>, Problem> {
    let identity = caller.with_any(&[Scope::Send])?;
    let message = own_message(&state, &identity, &id).await?.summary.message;
    state.service.confirm(&message, identity.actor()).await?;
    Ok(Json(GivenFeedback { id: message.id.to_string(), outcome: body.outcome }))
}
