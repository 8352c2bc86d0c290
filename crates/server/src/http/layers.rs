//! What holds for all routes.

use std::any::Any;
use std::time::Duration;

use axum::extract::{Request, State as Shared};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::problem::{Code, Problem};
use super::state::State;
use super::v1::prefer;

pub(super) async fn not_found() -> Problem {
    Problem::new(Code::NotFound, "no such address; see /docs")
}

pub(super) async fn method_not_allowed() -> Problem {
    Problem::new(Code::MethodNotAllowed, "see /docs for the methods of this address")
}

/// Ends a request that takes too long. What it has stored by then stays stored.
pub(super) async fn time_limit(Shared(state): Shared<State>, request: Request, next: Next) -> Response {
    let waits = prefer::wait(request.headers()).ok().flatten().unwrap_or(Duration::ZERO);
    match tokio::time::timeout(state.limits.timeout + waits, next.run(request)).await {
        Ok(response) => response,
        Err(_elapsed) => {
            Problem::new(Code::Timeout, "try again with the same Idempotency-Key").into_response()
        }
    }
}

/// A handler panicked: a mistake of ours, and one that must not end the connection without a word.
#[expect(clippy::needless_pass_by_value, reason = "the layer's signature")]
pub(super) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    // The payload may quote data: only its kind is logged.
    let known = panic.is::<String>() || panic.is::<&str>();
    tracing::error!(known, "a request handler panicked");
    Problem::new(Code::Internal, "the error was logged").into_response()
}
