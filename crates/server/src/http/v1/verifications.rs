//! One-time codes: sending and checking them.

use std::fmt;
use std::net::IpAddr;

use axum::Json;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use domain::ids::{KeyId, VerificationId};
use domain::secret::Zeroizing;
use domain::verification::{Code as OneTimeCode, Examined};
use gateway::verify::VerificationRequest;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use store::port::verifications::Verification;
use utoipa::ToSchema;

use super::messages::{idempotency_key, with_limits};
use crate::http::extract::{Authenticated, Body, PathParts};
use crate::http::problem::{Code, FieldProblem, Problem, ProblemBody};
use crate::http::state::State;
use crate::keys::{Identity, Scope};

/// A code that is asked for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub(super) struct VerificationBody {
    /// The phone number: in international form, or in the default country's national form.
    #[schema(required = true, example = "0712345678")]
    receiver: Option<String>,
    /// The language wanted of the template `otp`. One that it has not falls back to its default.
    #[schema(example = "sw")]
    locale: Option<String>,
    /// The sender ID to show; the account's own if not given.
    sender: Option<String>,
    /// The address of the end user who asked for it: limits by `client_ip` count it. Not kept.
    #[schema(value_type = Option<String>, example = "197.232.1.7")]
    client_ip: Option<IpAddr>,
    /// For how many seconds the code is good.
    #[schema(example = 600)]
    ttl: Option<u64>,
    /// How many digits it has, from 4 to 10.
    #[schema(example = 6)]
    length: Option<u64>,
    /// The site for which browsers fill in the code.
    #[schema(example = "example.com")]
    web_otp_domain: Option<String>,
}

/// A verification that has begun.
#[derive(Serialize, ToSchema)]
pub(super) struct BegunVerification {
    /// Its id.
    #[schema(example = "ver_019ab0c4e1f27d3c8a5b6f7081920a3b")]
    id: String,
    /// Where it stands: pending.
    #[schema(example = "pending")]
    status: &'static str,
    /// Until when the code is good.
    expires_at: String,
    /// The message that carries the code.
    #[schema(example = "msg_019ab0c4e1f27d3c8a5b6f7081920a3b")]
    message_id: String,
}

/// A code that somebody typed in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckBody {
    /// The code. Spaces and dashes in it do not matter.
    #[schema(required = true, value_type = String, example = "482913")]
    code: Option<Typed>,
}

/// What was typed in: zeroed when dropped, and shown nowhere.
#[derive(Deserialize)]
#[serde(from = "String")]
struct Typed(Zeroizing<String>);

impl From<String> for Typed {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Typed")
    }
}

/// What a code came to.
#[derive(Serialize, ToSchema)]
pub(super) struct CheckedCode {
    /// Whether it was the right code. True once of a verification.
    valid: bool,
    /// Where the verification stands: pending, approved, expired, failed, canceled or superseded.
    #[schema(example = "approved")]
    status: &'static str,
    /// How many more codes are examined.
    #[schema(example = 4)]
    checks_left: u16,
}

/// A verification.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownVerification {
    /// Its id.
    #[schema(example = "ver_019ab0c4e1f27d3c8a5b6f7081920a3b")]
    id: String,
    /// Where it stands: pending, approved, expired, failed, canceled or superseded.
    #[schema(example = "pending")]
    status: &'static str,
    /// How many more codes are examined.
    #[schema(example = 5)]
    checks_left: u16,
    /// ISO 3166-1 code of the receiver's country.
    #[schema(example = "KE")]
    country: String,
    /// When it began.
    created_at: String,
    /// Until when the code is good.
    expires_at: String,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<String>,
    /// The message that carries the code.
    #[schema(example = "msg_019ab0c4e1f27d3c8a5b6f7081920a3b")]
    message_id: String,
}

impl From<Verification> for ShownVerification {
    fn from(found: Verification) -> Self {
        let Verification { id, country, progress, created_at, ended_at, .. } = found;
        Self {
            id: id.to_string(),
            status: progress.status.as_str(),
            checks_left: progress.checks_left,
            country: country.to_string(),
            created_at: created_at.to_string(),
            expires_at: progress.expires_at.to_string(),
            ended_at: ended_at.map(|at| at.to_string()),
            message_id: id.message().to_string(),
        }
    }
}

/// Makes a code and sends it.
///
/// 202 means that both are on disk. A code that is still good for the same receiver ends, if the same key asked for it.
#[utoipa::path(
    post, path = "/verifications", tag = "verifications", request_body = VerificationBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "makes the request repeatable: the same key and request get the same answer, and no other code")),
    responses(
        (status = 202, description = "the code is made and its message is queued", body = BegunVerification),
        (status = 400, description = "not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope, or refused by the guard", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "the body did not come in time", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "not application/json", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "wrong fields", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "a limit is reached, or too many failures came from this address", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "nothing was stored: try again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn begin(
    Shared(state): Shared<State>,
    caller: Authenticated,
    headers: HeaderMap,
    Body(body): Body<VerificationBody>,
) -> Result<Response, Problem> {
    let identity = caller.with_any(&[Scope::Verify])?;
    let request = VerificationRequest {
        receiver: body.receiver.unwrap_or_default(),
        locale: body.locale,
        sender: body.sender,
        client_ip: body.client_ip,
        ttl: body.ttl,
        length: body.length,
        web_otp_domain: body.web_otp_domain,
        idempotency_key: idempotency_key(&headers)?,
    };
    let begun = state.service.begin_verification(identity.caller(), request).await?;
    let answer = BegunVerification {
        id: begun.id.to_string(),
        status: domain::verification::VerificationStatus::Pending.as_str(),
        expires_at: begun.expires_at.to_string(),
        message_id: begun.message_id.to_string(),
    };
    let response = (StatusCode::ACCEPTED, Json(answer)).into_response();
    Ok(with_limits(response, begun.remaining.as_ref()))
}

/// Checks a code that somebody typed in.
///
/// Each code that is examined uses up a check, and so does one with another number of digits. What can't be any code is
/// answered 422 and uses up none. When the verification has ended, nothing is examined: `valid` is false, also for the right
/// code.
#[utoipa::path(
    post, path = "/verifications/{id}/check", tag = "verifications", request_body = CheckBody,
    params(("id" = String, Path, description = "the verification's id")),
    responses(
        (status = 200, description = "what the code came to", body = CheckedCode),
        (status = 400, description = "not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "no such verification, or another key's", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "the body did not come in time", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "not application/json", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "can't be any code: no check was used up", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be used now: try again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn check(
    Shared(state): Shared<State>,
    caller: Authenticated,
    PathParts(id): PathParts<String>,
    Body(body): Body<CheckBody>,
) -> Result<Json<CheckedCode>, Problem> {
    let identity = caller.with_any(&[Scope::Verify])?;
    let id = id_of(&id)?;
    let code = read(body.code)?;
    let seen = state.service.check_code(id, code, owner(&identity), identity.actor()).await?;
    let seen = seen.ok_or_else(unknown)?;
    let progress = seen.verification.progress;
    Ok(Json(CheckedCode {
        valid: seen.examined == Examined::Right,
        status: progress.status.as_str(),
        checks_left: progress.checks_left,
    }))
}

/// Shows a verification. The code is not in it.
#[utoipa::path(
    get, path = "/verifications/{id}", tag = "verifications",
    params(("id" = String, Path, description = "the verification's id")),
    responses(
        (status = 200, body = ShownVerification),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "no such verification, or another key's", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be read", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(
    Shared(state): Shared<State>,
    caller: Authenticated,
    PathParts(id): PathParts<String>,
) -> Result<Json<ShownVerification>, Problem> {
    let identity = caller.with_any(&[Scope::Verify])?;
    let found = state.service.verification(id_of(&id)?, owner(&identity)).await?;
    found.map(|found| Json(found.into())).ok_or_else(unknown)
}

/// Ends a verification: its code is not right any more.
///
/// One that has ended stays as it ended, and that is no error. Its message is `canceled` if it has not left.
#[utoipa::path(
    post, path = "/verifications/{id}/cancel", tag = "verifications",
    params(("id" = String, Path, description = "the verification's id")),
    responses(
        (status = 200, description = "it has ended: `status` says how", body = ShownVerification),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "no such verification, or another key's", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "nothing was changed: try again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn cancel(
    Shared(state): Shared<State>,
    caller: Authenticated,
    PathParts(id): PathParts<String>,
) -> Result<Json<ShownVerification>, Problem> {
    let identity = caller.with_any(&[Scope::Verify])?;
    let ended = state.service.cancel_verification(id_of(&id)?, owner(&identity), identity.actor()).await?;
    ended.map(|seen| Json(seen.verification.into())).ok_or_else(unknown)
}

/// Whose verifications a caller may see and check: its own, and an administrator all.
fn owner(identity: &Identity) -> Option<KeyId> {
    (!identity.may(Scope::Admin)).then_some(identity.key)
}

fn id_of(text: &str) -> Result<VerificationId, Problem> {
    text.parse().map_err(|_no_id| unknown())
}

fn unknown() -> Problem {
    Problem::new(Code::NotFound, "there is no verification of that id")
}

fn read(typed: Option<Typed>) -> Result<OneTimeCode, Problem> {
    let wrong = |code: &'static str, detail: String| {
        Problem::of_fields(vec![FieldProblem { pointer: "/code".into(), code, detail }])
    };
    let typed = typed.ok_or_else(|| wrong("required", "is required".into()))?;
    OneTimeCode::read(&typed.0).map_err(|_unreadable| {
        wrong("invalid_code", "must be 4 to 10 digits, with spaces and dashes between them at most".into())
    })
}
