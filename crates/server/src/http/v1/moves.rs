//! Stopping messages that have not left, and sending again what did not arrive.

use axum::Json;
use axum::extract::State as Shared;
use domain::ids::{BulkId, MessageId};
use domain::message::{Message, MessageStatus};
use serde::Serialize;
use store::port::messages::MessageRecord;
use utoipa::ToSchema;

use super::view::ShownMessage;
use crate::http::extract::{Authenticated, PathParts};
use crate::http::problem::{Code, FieldProblem, Problem, ProblemBody};
use crate::http::state::State;
use crate::keys::{Identity, Scope};

/// What became of the messages of a bulk request.
#[derive(Serialize, ToSchema)]
pub(super) struct BulkCanceled {
    /// Names the request.
    #[schema(example = "blk_019ab0c4e1f27d3c8a5b6f7081920a3b")]
    bulk_id: String,
    /// How many of its messages are canceled now.
    #[schema(example = 97)]
    canceled: usize,
    /// How many had left, or had come to their end.
    #[schema(example = 3)]
    too_late: usize,
    /// All of them, in the order in which they were accepted.
    messages: Vec<CanceledMessage>,
}

/// A message and where it stands.
#[derive(Serialize, ToSchema)]
pub(super) struct CanceledMessage {
    /// Its id.
    #[schema(example = "msg_019ab0c4e1f27d3c8a5b6f7081920a3b")]
    id: String,
    /// Where it stands.
    #[schema(example = "canceled")]
    status: &'static str,
}

/// Stops a message that has not left.
///
/// A message that is canceled already stays so, and that is no error. One that a provider was asked to carry can't be
/// called back.
#[utoipa::path(
    post, path = "/sms/{id}/cancel", tag = "messages",
    params(("id" = String, Path, description = "the message's id")),
    responses(
        (status = 200, description = "canceled", body = ShownMessage),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "no such message", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "too late", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "nothing was changed: try again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn cancel(
    Shared(state): Shared<State>,
    caller: Authenticated,
    PathParts(id): PathParts<String>,
) -> Result<Json<ShownMessage>, Problem> {
    let identity = caller.with_any(&[Scope::Send])?;
    let id = own(&state, &identity, &id).await?.id;
    let canceled = state.service.cancel(id, identity.actor()).await;
    canceled.map_err(|refusal| Problem::of_move(refusal, Code::MessageNotCancelable))?;
    shown(&state, &identity, id).await
}

/// Sends a message again that failed, expired or was not delivered.
///
/// It takes the best route of now, and counts for limits like a new message. A time of expiry that is over does not count
/// any more.
#[utoipa::path(
    post, path = "/sms/{id}/retry", tag = "messages",
    params(("id" = String, Path, description = "the message's id")),
    responses(
        (status = 200, description = "queued again", body = ShownMessage),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope, refused by the guard, or opted out", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "no such message", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "it is on its way, or has arrived", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "no provider for its receiver, or the key may not send it", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "a limit is reached, or too many failures came from this address", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "nothing was changed: try again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn retry(
    Shared(state): Shared<State>,
    caller: Authenticated,
    PathParts(id): PathParts<String>,
) -> Result<Json<ShownMessage>, Problem> {
    let identity = caller.with_any(&[Scope::Send])?;
    let message = own(&state, &identity, &id).await?;
    let refused: Vec<FieldProblem> =
        identity.allowed().refusals(&message).into_iter().map(Into::into).collect();
    if !refused.is_empty() {
        return Err(Problem::of_fields(refused));
    }
    let id = message.id;
    let retried = state.service.retry(id, identity.actor()).await;
    retried.map_err(|refusal| Problem::of_move(refusal, Code::MessageNotRetriable))?;
    shown(&state, &identity, id).await
}

/// Stops what has not left of a bulk request.
///
/// Answers for each of its messages: those that are too late go their way.
#[utoipa::path(
    post, path = "/sms/bulk/{bulk_id}/cancel", tag = "messages",
    params(("bulk_id" = String, Path, description = "the bulk request's id")),
    responses(
        (status = 200, description = "each message is canceled, or it is too late for it", body = BulkCanceled),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "no such bulk request", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "nothing was changed: try again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn cancel_bulk(
    Shared(state): Shared<State>,
    caller: Authenticated,
    PathParts(bulk_id): PathParts<String>,
) -> Result<Json<BulkCanceled>, Problem> {
    let identity = caller.with_any(&[Scope::Send])?;
    let unknown = || Problem::new(Code::NotFound, "there is no bulk request of that id");
    let bulk_id: BulkId = bulk_id.parse().map_err(|_no_id| unknown())?;
    let messages = state.service.messages_of_bulk(bulk_id).await?.into_iter();
    let mut own: Vec<MessageId> = messages
        .filter(|summary| may_move(&identity, summary.message.caller))
        .map(|summary| summary.message.id)
        .collect();
    if own.is_empty() {
        return Err(unknown());
    }
    own.sort_unstable();
    let moved = state.service.cancel_messages(own, identity.actor()).await?;
    let canceled = moved.iter().filter(|moved| moved.to == MessageStatus::Canceled).count();
    Ok(Json(BulkCanceled {
        bulk_id: bulk_id.to_string(),
        canceled,
        too_late: moved.len() - canceled,
        messages: moved
            .iter()
            .map(|moved| CanceledMessage { id: moved.message_id.to_string(), status: moved.to.as_str() })
            .collect(),
    }))
}

/// A message that the caller may move. One of another caller is one that there is not, whoever may read it.
async fn own(state: &State, identity: &Identity, id: &str) -> Result<Message, Problem> {
    own_message(state, identity, id).await.map(|record| record.summary.message)
}

/// The same with all that happened to it.
pub(super) async fn own_message(
    state: &State,
    identity: &Identity,
    id: &str,
) -> Result<MessageRecord, Problem> {
    let id: MessageId = id.parse().map_err(|_no_id| unknown())?;
    let record = record(state, id).await?;
    if may_move(identity, record.summary.message.caller) { Ok(record) } else { Err(unknown()) }
}

fn may_move(identity: &Identity, caller: domain::ids::KeyId) -> bool {
    identity.may(Scope::Admin) || caller == identity.key
}

async fn shown(state: &State, identity: &Identity, id: MessageId) -> Result<Json<ShownMessage>, Problem> {
    Ok(Json(ShownMessage::new(record(state, id).await?, &state.quiet_hours, identity)))
}

async fn record(state: &State, id: MessageId) -> Result<MessageRecord, Problem> {
    state.service.message(id).await?.ok_or_else(unknown)
}

fn unknown() -> Problem {
    Problem::new(Code::NotFound, "there is no message of that id")
}
