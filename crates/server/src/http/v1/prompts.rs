//! Questions to many, whose replies are counted.

mod view;

use axum::Json;
use axum::extract::{RawQuery, State as Shared};
use domain::ids::PromptId;
use domain::prompt::Policy;
use domain::template::Variables;
use domain::time::Timestamp;
use gateway::prompts::{CloseError, PromptRequest};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use store::port::prompts::{PromptFilter, PromptRecord};
use utoipa::ToSchema;

use self::view::{ListedPrompt, OpenedPrompt, ShownPrompt};
use super::messages::idempotency_key;
use super::query;
use crate::http::extract::{Authenticated, Body, PathParts};
use crate::http::problem::{Code, Problem, ProblemBody};
use crate::http::state::State;
use crate::keys::{Identity, Scope};

/// A question to many.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PromptBody {
    /// What is asked: invite, answered by YES or NO; or approval, answered by APPROVE or REJECT.
    #[schema(required = true, example = "approval")]
    kind: Option<String>,
    /// 1 to 100 phone numbers. All of them are asked, or none.
    #[schema(required = true, min_items = 1, max_items = 100)]
    receivers: Option<Vec<String>>,
    /// The text. Where it does not show the reference, a line that says how to answer is added.
    #[schema(example = "Withdraw KES 5,000 from Umoja? Reply APPROVE WR-12345 or REJECT WR-12345.")]
    message: Option<String>,
    /// The template that the text is made of, by name, in the place of `message`. What it makes for an approval shows the
    /// reference.
    #[schema(example = "withdrawal_request")]
    template: Option<String>,
    /// Values of the template's variables, by name.
    #[schema(value_type = Option<Object>)]
    variables: Option<Variables>,
    /// The language wanted of the template.
    locale: Option<String>,
    /// What replies name it by: letters and digits, with hyphens, underscores or slashes between them. That of an approval has a
    /// digit.
    #[schema(required = true, example = "WR-12345")]
    reference: Option<String>,
    /// How many must approve: any, all, or a number. All unless given.
    policy: Option<PolicyBody>,
    /// Whether one who rejects ends it.
    veto: bool,
    /// When its time is over (RFC 3339).
    #[schema(value_type = Option<String>, format = DateTime)]
    closes_at: Option<Timestamp>,
    /// When those who have not answered are asked again (RFC 3339): up to 5 times.
    #[schema(value_type = Option<Vec<String>>, max_items = 5)]
    reminders: Option<Vec<Timestamp>>,
    /// The sender ID to show. Replies must be able to reach it.
    sender: Option<String>,
    /// The savings group that it belongs to.
    group: Option<String>,
}

/// How many must approve.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub(super) enum PolicyBody {
    /// One of them, or all.
    Word(PolicyWord),
    /// So many.
    AtLeast(AtLeast),
}

/// One of them, or all.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum PolicyWord {
    /// One of them.
    Any,
    /// All.
    All,
}

/// So many.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AtLeast {
    /// How many.
    #[schema(minimum = 1, example = 2)]
    n: u32,
}

impl From<PolicyBody> for Policy {
    fn from(body: PolicyBody) -> Self {
        match body {
            PolicyBody::Word(PolicyWord::Any) => Self::Any,
            PolicyBody::Word(PolicyWord::All) => Self::All,
            PolicyBody::AtLeast(AtLeast { n }) => Self::AtLeast(n),
        }
    }
}

impl PromptBody {
    fn into_request(self, idempotency_key: Option<String>) -> PromptRequest {
        PromptRequest {
            kind: self.kind.unwrap_or_default(),
            receivers: self.receivers.unwrap_or_default(),
            message: self.message.unwrap_or_default(),
            template: self.template,
            variables: self.variables.unwrap_or_default(),
            locale: self.locale,
            reference: self.reference.unwrap_or_default(),
            policy: self.policy.map(Policy::from),
            veto: self.veto,
            closes_at: self.closes_at,
            reminders: self.reminders.unwrap_or_default(),
            sender: self.sender,
            group: self.group,
            idempotency_key,
        }
    }
}

/// Puts a question to many.
///
/// 202 means that it is on disk with all of its messages, which are queued. It is closed when its policy is met or can't be met,
/// when its time is over, or by a call.
#[utoipa::path(
    post, path = "/prompts", tag = "prompts", request_body = PromptBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "makes the request repeatable")),
    responses(
        (status = 202, description = "open, and its messages queued", body = OpenedPrompt),
        (status = 400, description = "not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "the same text went to the same number a moment ago", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "the body did not come in time", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "not application/json", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "wrong fields: nobody was asked", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "a limit is reached, or too many failures came from this address", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "nothing was stored: try again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn open(
    Shared(state): Shared<State>,
    caller: Authenticated,
    headers: HeaderMap,
    Body(body): Body<PromptBody>,
) -> Result<(StatusCode, Json<OpenedPrompt>), Problem> {
    let identity = caller.with_any(&[Scope::Prompts])?;
    let request = body.into_request(idempotency_key(&headers)?);
    let (reference, receivers) = (request.reference.clone(), request.receivers.clone());
    let answer = state.service.open_prompt(identity.caller(), request).await?;
    Ok((StatusCode::ACCEPTED, Json(OpenedPrompt::new(&answer, reference, &receivers, &identity))))
}

/// Shows a prompt with all replies.
///
/// A key with `prompts` alone sees its own prompts, with masked numbers.
#[utoipa::path(
    get, path = "/prompts/{id}", tag = "prompts",
    params(("id" = String, Path, description = "the prompt's id")),
    responses(
        (status = 200, body = ShownPrompt),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "no such prompt", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(
    Shared(state): Shared<State>,
    caller: Authenticated,
    PathParts(id): PathParts<String>,
) -> Result<Json<ShownPrompt>, Problem> {
    let identity = caller.with_any(&[Scope::Prompts, Scope::Read])?;
    let record = own(&state, &identity, &id).await?;
    Ok(Json(ShownPrompt::new(&record, &identity)))
}

/// Closes a prompt, whatever was answered.
///
/// Only by the key that opened it, or by one with the scope `admin`. Its outcome is canceled, nothing counts any more, and what has
/// not left is not sent. One that was canceled before stays so, and that is no error.
#[utoipa::path(
    post, path = "/prompts/{id}/close", tag = "prompts",
    params(("id" = String, Path, description = "the prompt's id")),
    responses(
        (status = 200, description = "closed", body = ShownPrompt),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "no such prompt", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "it has another outcome", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "nothing was changed: try again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn close(
    Shared(state): Shared<State>,
    caller: Authenticated,
    PathParts(id): PathParts<String>,
) -> Result<Json<ShownPrompt>, Problem> {
    let identity = caller.with_any(&[Scope::Prompts])?;
    let found = own(&state, &identity, &id).await?.summary.prompt;
    // Who may see it may not end it.
    if !(identity.may(Scope::Admin) || found.caller == identity.key) {
        return Err(unknown());
    }
    let closed = state.service.close_prompt(found.id, identity.actor()).await;
    closed.map(|record| Json(ShownPrompt::new(&record, &identity))).map_err(|refusal| match refusal {
        CloseError::NotFound => unknown(),
        CloseError::Closed => Problem::new(Code::PromptClosed, refusal.to_string()),
        CloseError::Store(problem) => problem.into(),
    })
}

/// A prompt that the caller may see.
async fn own(state: &State, identity: &Identity, id: &str) -> Result<PromptRecord, Problem> {
    let id: PromptId = id.parse().map_err(|_no_id| unknown())?;
    let record = state.service.prompt(id).await?.ok_or_else(unknown)?;
    if identity.may(Scope::Read) || record.summary.prompt.caller == identity.key {
        Ok(record)
    } else {
        Err(unknown())
    }
}

fn unknown() -> Problem {
    Problem::new(Code::NotFound, "there is no prompt of that id")
}

/// A page of prompts, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct PromptPage {
    /// The prompts.
    prompts: Vec<ListedPrompt>,
    /// Where the next page begins: give it as `cursor`. Not there on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Lists prompts, newest first.
///
/// A key with `prompts` alone sees its own.
#[utoipa::path(
    get, path = "/prompts", tag = "prompts",
    params(
        ("status" = Option<String>, Query, description = "only those that are open, or closed"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "1 to 200 prompts, 50 unless given"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses(
        (status = 200, body = PromptPage),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "wrong parameters", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    Shared(state): Shared<State>,
    caller: Authenticated,
    RawQuery(query): RawQuery,
) -> Result<Json<PromptPage>, Problem> {
    let identity = caller.with_any(&[Scope::Prompts, Scope::Read])?;
    let mut filter = read(query.as_deref())?;
    if !identity.may(Scope::Read) {
        filter.caller = Some(identity.key);
    }
    // One more than asked for tells whether there is a next page.
    let limit = filter.limit;
    let prompts = state.service.prompts(PromptFilter { limit: limit + 1, ..filter }).await?;
    let (prompts, next_cursor) = query::page(prompts, limit, |last| last.prompt.id.to_string());
    Ok(Json(PromptPage { prompts: prompts.iter().map(ListedPrompt::from).collect(), next_cursor }))
}

/// Reads all parameters and names every wrong one.
fn read(query: Option<&str>) -> Result<PromptFilter, Problem> {
    let mut filter = PromptFilter { limit: query::DEFAULT_LIMIT, ..PromptFilter::default() };
    query::read(query, |name, text| match name {
        "status" => {
            filter.is_open = Some(match text {
                "open" => true,
                "closed" => false,
                _ => return Err(("unknown_status", "must be open or closed".into())),
            });
            Ok(())
        }
        "cursor" => query::value(text, &mut filter.after, "invalid_cursor"),
        "limit" => query::limit(text, &mut filter.limit),
        _ => query::unknown(),
    })?;
    Ok(filter)
}
