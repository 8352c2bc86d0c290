//! Callbacks of all providers, by one generic route: the provider's adapter checks and reads them.

use axum::extract::{Request, State as Shared};
use axum::response::{IntoResponse as _, Response};
use domain::route::ProviderName;
use http::{StatusCode, header};
use providers::provider::{CallbackAnswer, CallbackKind, CallbackRequest};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::client_address;
use super::extract::{self, PathParts};
use super::problem::{Code, Problem, ProblemBody};
use super::state::State;

/// Bytes of a callback's body: providers send a few hundred.
const MAX_BODY: usize = 64 * 1024;

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(callback)).routes(routes!(callback_with_token))
}

/// Takes in a provider's callback.
///
/// The provider's signature is checked. 200 means that it is stored. A message from a phone is answered as the provider
/// expects: some read a reply in it.
#[utoipa::path(
    post, path = "/webhooks/{provider}/{kind}", tag = "callbacks", security(()),
    params(("provider" = String, Path, description = "a provider's name"), ("kind" = String, Path, description = "status, incoming or opt-out")),
    responses(
        (status = 200, description = "stored"),
        (status = 400, description = "can't be read", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "not from the provider", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "no such callback", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "the body did not come in time", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "not stored: try again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn callback(
    Shared(state): Shared<State>,
    PathParts((provider, kind)): PathParts<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    take(&state, &provider, &kind, None, request).await
}

/// Takes in a callback of a provider that does not sign: the last part of the address is a shared secret.
#[utoipa::path(
    post, path = "/webhooks/{provider}/{kind}/{token}", tag = "callbacks", security(()),
    params(
        ("provider" = String, Path, description = "a provider's name"),
        ("kind" = String, Path, description = "status, incoming or opt-out"),
        ("token" = String, Path, description = "the provider's callback_secret"),
    ),
    responses(
        (status = 200, description = "stored"),
        (status = 400, description = "can't be read", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "not from the provider", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "no such callback", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "the body did not come in time", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "not stored: try again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn callback_with_token(
    Shared(state): Shared<State>,
    PathParts((provider, kind, token)): PathParts<(String, String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    take(&state, &provider, &kind, Some(&token), request).await
}

async fn take(
    state: &State,
    provider: &str,
    kind: &str,
    token: Option<&str>,
    request: Request,
) -> Result<Response, Problem> {
    let unknown = || Problem::new(Code::NotFound, "no such callback");
    let provider: ProviderName = provider.parse().map_err(|_no_name| unknown())?;
    let kind = match kind {
        "status" => CallbackKind::Status,
        "incoming" => CallbackKind::Incoming,
        "opt-out" => CallbackKind::OptOut,
        _ => return Err(unknown()),
    };
    let (parts, body) = request.into_parts();
    let body = extract::whole(body, MAX_BODY, state).await?;
    // The provider signs the address that it called: ours as it sees it, never what a header claims.
    let base = state.public_url.as_ref().map_or("", |url| url.as_str()).trim_end_matches('/');
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let url = format!("{base}{path}");
    let callback = CallbackRequest {
        kind,
        url: &url,
        token,
        caller: client_address::of(&parts, state),
        headers: &parts.headers,
        body: &body,
        received_at: state.service.now(),
    };
    let answer = state.service.receive_callback(&provider, callback).await?;
    Ok(match answer {
        Some(CallbackAnswer { content_type, body }) => {
            ([(header::CONTENT_TYPE, content_type)], body).into_response()
        }
        None => StatusCode::OK.into_response(),
    })
}
