//! Errors as callers see them: RFC 9457 problem details with a stable code.
//!
//! The one map from errors to HTTP. The text of a server error is fixed; what really happened goes to the log.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};

use domain::ids::DecisionId;
use gateway::again::MoveError;
use gateway::allowed::NotAllowed;
use gateway::operate::PauseError;
use gateway::receipts::CallbackRefusal;
use gateway::request::{OptedOut, Reached, Remaining};
use gateway::service::NotReady;
use gateway::{FieldError, SendError};
use http::{HeaderValue, StatusCode, header};
use providers::provider::CallbackError;
use serde::Serialize;
use store::StoreError;
use utoipa::ToSchema;

use super::limits;
use crate::auth::Denied;

/// Seconds after which a caller should try again when the store can't take its request.
pub(super) const RETRY_AFTER_S: u32 = 2;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident => $status:ident, $code:literal, $title:literal;)+) => {
        /// What can go wrong, for callers to decide on. Each code has a section in docs/api.md.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code { $($(#[$doc])* $variant,)+ }

        impl Code {
            /// All codes.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The stable word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }

            /// The HTTP status that it comes with.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status),+ }
            }

            const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }
        }
    };
}

codes! {
    /// The body is not JSON.
    MalformedJson => BAD_REQUEST, "malformed_json", "The body is not JSON";
    /// The body is of another media type.
    UnsupportedMediaType => UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "The body must be application/json";
    /// A header can't be read.
    InvalidHeader => BAD_REQUEST, "invalid_header", "A header can't be read";
    /// Fields are wrong.
    ValidationFailed => UNPROCESSABLE_ENTITY, "validation_failed", "The request has wrong fields";
    /// The idempotency key was used with another request.
    IdempotencyKeyReused => UNPROCESSABLE_ENTITY, "idempotency_key_reused", "The idempotency key was used with another request";
    /// The same text went to the same number a moment ago.
    RepeatedMessage => CONFLICT, "repeated_message", "The same text was sent to the same number a moment ago";
    /// The message has left, or come to its end.
    MessageNotCancelable => CONFLICT, "message_not_cancelable", "The message can't be canceled";
    /// The message is on its way, or has arrived.
    MessageNotRetriable => CONFLICT, "message_not_retriable", "The message can't be sent again";
    /// The prompt has an outcome.
    PromptClosed => CONFLICT, "prompt_closed", "The prompt is closed";
    /// The gateway can't do without the worker.
    WorkerNeeded => CONFLICT, "worker_needed", "The worker can't rest";
    /// No provider could carry the message.
    NoProvider => UNPROCESSABLE_ENTITY, "no_provider", "No provider is configured for this receiver";
    /// A limit is reached.
    RateLimited => TOO_MANY_REQUESTS, "rate_limited", "A limit is reached";
    /// The receiver does not want such messages.
    OptedOut => FORBIDDEN, "opted_out", "The receiver has opted out of such messages";
    /// The guard against SMS pumping found it suspicious.
    GuardRefused => FORBIDDEN, "guard_refused", "The guard against SMS pumping refused the message";
    /// No key, or none that is valid.
    Unauthenticated => UNAUTHORIZED, "unauthenticated", "A valid API key is needed";
    /// Too many callers at this address showed nothing valid.
    TooManyFailures => TOO_MANY_REQUESTS, "too_many_failures", "Too many requests from this address had no valid key";
    /// The issuer of the caller's token has never answered.
    IssuerUnavailable => SERVICE_UNAVAILABLE, "issuer_unavailable", "The issuer of the token can't be asked for its keys";
    /// The key may not do that.
    MissingScope => FORBIDDEN, "missing_scope", "The API key lacks a scope";
    /// The key has ended.
    KeyEnded => CONFLICT, "key_ended", "The API key has ended";
    /// The caller has as many webhook endpoints as it may.
    TooManyEndpoints => CONFLICT, "too_many_endpoints", "The API key has too many webhook endpoints";
    /// Nothing is posted to the webhook endpoint.
    EndpointDisabled => CONFLICT, "endpoint_disabled", "The webhook endpoint is disabled";
    /// A callback that is not from the provider.
    CallbackRefused => FORBIDDEN, "callback_refused", "The callback is not from the provider";
    /// A callback that can't be read.
    CallbackMalformed => BAD_REQUEST, "callback_malformed", "The callback can't be read";
    /// Nothing there.
    NotFound => NOT_FOUND, "not_found", "There is no such thing";
    /// Another method.
    MethodNotAllowed => METHOD_NOT_ALLOWED, "method_not_allowed", "The method is not allowed here";
    /// The body is too large.
    TooLarge => PAYLOAD_TOO_LARGE, "too_large", "The body is too large";
    /// The body did not come in time.
    BodyTimeout => REQUEST_TIMEOUT, "body_timeout", "The body did not come in time";
    /// Too many connections are open.
    TooManyConnections => SERVICE_UNAVAILABLE, "too_many_connections", "Too many connections are open";
    /// It took too long.
    Timeout => SERVICE_UNAVAILABLE, "timeout", "The request took too long";
    /// The store can't be used now.
    StoreUnavailable => SERVICE_UNAVAILABLE, "store_unavailable", "The store can't be used now";
    /// Not ready to take requests.
    NotReady => SERVICE_UNAVAILABLE, "not_ready", "The gateway is not ready";
    /// A mistake of ours.
    Internal => INTERNAL_SERVER_ERROR, "internal", "Something went wrong on our side";
}

/// A problem on its way to the caller.
#[derive(Debug)]
pub struct Problem {
    code: Code,
    detail: String,
    errors: Vec<FieldProblem>,
    retry_after: Option<Duration>,
    decision: Option<DecisionId>,
    remaining: Option<Box<Remaining>>,
}

/// The body of an error answer (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// Names the kind of problem: the code's section in the documentation.
    #[serde(rename = "type")]
    kind: String,
    /// The kind of problem in words; always the same for a code.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// A stable word to decide on.
    code: &'static str,
    /// What went wrong this time. Holds no number and no text of a message.
    detail: String,
    /// The fields that are wrong; none if it is not about fields.
    errors: Vec<FieldProblem>,
    /// The decision of the guard that refused the message; only with `guard_refused`.
    #[serde(skip_serializing_if = "Option::is_none")]
    decision_id: Option<String>,
}

/// A field that is wrong.
#[derive(Debug, Serialize, ToSchema)]
pub struct FieldProblem {
    /// Where: a JSON pointer (RFC 6901) into the request's body, or the name of a query parameter.
    pub pointer: String,
    /// A stable word to decide on.
    pub code: &'static str,
    /// What is wrong, in words.
    pub detail: String,
}

impl Problem {
    /// Where the mistakes are.
    #[cfg(test)]
    pub(super) fn pointers(&self) -> Vec<&str> {
        self.errors.iter().map(|error| error.pointer.as_str()).collect()
    }

    /// A problem without fields.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
            decision: None,
            remaining: None,
        }
    }

    /// A problem of fields.
    pub fn of_fields(errors: Vec<FieldProblem>) -> Self {
        let detail = match errors.as_slice() {
            [single] if single.pointer.is_empty() => format!("the request {}", single.detail),
            [single] => format!("{} {}", single.pointer, single.detail),
            several => format!("{} fields are wrong", several.len()),
        };
        Self {
            code: Code::ValidationFailed,
            detail,
            errors,
            retry_after: None,
            decision: None,
            remaining: None,
        }
    }

    /// Why a message was not moved as asked; `code` is for one that stands where it can't be.
    pub fn of_move(error: MoveError, code: Code) -> Self {
        match error {
            MoveError::NotFound => Self::new(Code::NotFound, "there is no message of that id"),
            MoveError::Stands(_)
            | MoveError::TooOld
            | MoveError::Erased
            | MoveError::CodeEnded
            | MoveError::Decided => Self::new(code, error.to_string()),
            MoveError::OptedOut(by) => Self::opted_out(&by),
            MoveError::Limited(reached) => Self::limited(&reached),
            MoveError::GuardRefused { decision } => {
                Self { decision: Some(decision), ..Self::new(Code::GuardRefused, error.to_string()) }
            }
            MoveError::NoProvider => Self::new(Code::NoProvider, error.to_string()),
            MoveError::Store(error) => error.into(),
        }
    }

    /// An opt-out that holds, with the field that it is about.
    fn opted_out(by: &OptedOut) -> Self {
        let field = FieldProblem {
            pointer: "/receiver".into(),
            code: Code::OptedOut.as_str(),
            detail: by.to_string(),
        };
        Self { errors: vec![field], ..Self::new(Code::OptedOut, format!("the receiver {by}")) }
    }

    /// A limit that is reached, with the field that it is about.
    fn limited(reached: &Reached) -> Self {
        let Reached { limit, again_in } = reached;
        let pointer = limit.by.pointer();
        let field = FieldProblem {
            pointer: pointer.into(),
            code: Code::RateLimited.as_str(),
            detail: reached.to_string(),
        };
        let remaining = Remaining { limit: std::sync::Arc::clone(limit), remaining: 0, whole_in: *again_in };
        Self {
            errors: if pointer.is_empty() { Vec::new() } else { vec![field] },
            retry_after: Some(*again_in),
            remaining: Some(Box::new(remaining)),
            ..Self::new(Code::RateLimited, reached.to_string())
        }
    }

    /// A mistake of ours: the cause is logged, not shown.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "request failed");
        Self::new(Code::Internal, "the error was logged")
    }
}

impl From<Problem> for ProblemBody {
    fn from(problem: Problem) -> Self {
        Self {
            kind: format!("urn:tuma:problem:{}", problem.code.as_str()),
            title: problem.code.title(),
            status: problem.code.status().as_u16(),
            code: problem.code.as_str(),
            detail: problem.detail,
            errors: problem.errors,
            decision_id: problem.decision.map(|id| id.to_string()),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, retry_after) = (self.code.status(), self.retry_after);
        let remaining = self.remaining.as_deref().map(limits::headers);
        let mut response = (status, Json(ProblemBody::from(self))).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(wait) = retry_after {
            headers.insert(header::RETRY_AFTER, limits::whole_seconds(wait).into());
        } else if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER_S.into());
        }
        headers.extend(remaining.into_iter().flatten());
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        match denied {
            // One answer for all that can be wrong with a key or a token.
            Denied::Unauthenticated => Self::new(Code::Unauthenticated, "the key is not valid"),
            Denied::TooManyFailures { retry_after } => Self {
                retry_after: Some(retry_after),
                ..Self::new(Code::TooManyFailures, "the key is not valid; a valid one is taken at any time")
            },
            Denied::IssuerUnavailable => Self::new(Code::IssuerUnavailable, "try again later"),
            Denied::Store(problem) => problem.into(),
        }
    }
}

impl From<FieldError> for FieldProblem {
    fn from(error: FieldError) -> Self {
        Self { pointer: error.pointer, code: error.problem.code(), detail: error.problem.to_string() }
    }
}

impl From<NotAllowed> for FieldProblem {
    fn from(what: NotAllowed) -> Self {
        Self { pointer: what.pointer().into(), code: what.code(), detail: what.to_string() }
    }
}

impl From<SendError> for Problem {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Invalid(errors) => Self::of_fields(errors.into_iter().map(Into::into).collect()),
            SendError::KeyReused => Self::new(Code::IdempotencyKeyReused, error.to_string()),
            SendError::Repeated => Self::new(Code::RepeatedMessage, error.to_string()),
            SendError::NoProvider => Self::new(Code::NoProvider, error.to_string()),
            SendError::Limited(reached) => Self::limited(&reached),
            SendError::LimitedReceivers { longest, refusals } => {
                Self { errors: refusals.into_iter().map(Into::into).collect(), ..Self::limited(&longest) }
            }
            SendError::GuardRefused { decision } => {
                Self { decision: Some(decision), ..Self::new(Code::GuardRefused, error.to_string()) }
            }
            SendError::OptedOut(by) => Self::opted_out(&by),
            SendError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if matches!(error, StoreError::Internal(_)) {
            return Self::internal(&error);
        }
        // There would be a line for each request.
        if !matches!(error, StoreError::Overloaded | StoreError::NoAnswer) {
            tracing::error!(%error, "the store can't be used");
        }
        Self::new(
            Code::StoreUnavailable,
            "the store can't be used now; try again later with the same Idempotency-Key",
        )
    }
}

impl From<PauseError> for Problem {
    fn from(error: PauseError) -> Self {
        match error {
            PauseError::Unknown => Self::new(Code::NotFound, error.to_string()),
            PauseError::Needed => Self::new(Code::WorkerNeeded, error.to_string()),
            PauseError::Store(error) => error.into(),
        }
    }
}

impl From<NotReady> for Problem {
    fn from(error: NotReady) -> Self {
        match error {
            NotReady::NoProvider => Self::new(Code::NotReady, error.to_string()),
            NotReady::Store(error) => error.into(),
        }
    }
}

impl From<CallbackRefusal> for Problem {
    fn from(refusal: CallbackRefusal) -> Self {
        match refusal {
            CallbackRefusal::UnknownProvider | CallbackRefusal::Refused(CallbackError::Unsupported) => {
                Self::new(Code::NotFound, refusal.to_string())
            }
            CallbackRefusal::Refused(CallbackError::Forged(_)) => {
                // Whoever forges learns nothing of why it was noticed.
                Self::new(Code::CallbackRefused, "the callback was not taken")
            }
            CallbackRefusal::Refused(CallbackError::Malformed(_)) => {
                Self::new(Code::CallbackMalformed, refusal.to_string())
            }
            CallbackRefusal::Store(error) => error.into(),
        }
    }
}
