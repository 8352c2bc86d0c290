//! What a handler takes from a request: the caller, and a body with every mistake named.

use axum::body::HttpBody as _;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use bytes::Bytes;
use domain::secret::SecretString;
use http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::client_address;
use super::problem::{Code, FieldProblem, Problem};
use super::state::State;
use crate::auth::Denied;
use crate::keys::{Identity, Scope};

/// Whoever shows a valid API key or token. What it may do is asked by the handler.
pub(super) struct Authenticated(pub(super) Identity);

impl Authenticated {
    /// The caller, if it holds one of these scopes.
    pub(super) fn with_any(self, scopes: &[Scope]) -> Result<Identity, Problem> {
        if scopes.iter().any(|scope| self.0.may(*scope)) {
            return Ok(self.0);
        }
        let names: Vec<_> = scopes.iter().map(|scope| scope.as_str()).collect();
        Err(Problem::new(Code::MissingScope, format!("this needs the scope {}", names.join(" or "))))
    }
}

impl FromRequestParts<State> for Authenticated {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let shown = shown_key(&parts.headers);
        let address = client_address::counted(parts, state);
        let found = state.authenticator.authenticate(shown.as_ref(), address).await;
        found.map(Self).map_err(|denied| match denied {
            Denied::Unauthenticated if shown.is_none() => {
                Problem::new(Code::Unauthenticated, "send the key as Authorization: Bearer … or X-API-Key: …")
            }
            denied => denied.into(),
        })
    }
}

fn shown_key(headers: &HeaderMap) -> Option<SecretString> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    });
    let key =
        bearer.or_else(|| headers.get("x-api-key").and_then(|value| value.to_str().ok()).map(str::trim))?;
    Some(key.into())
}

/// Parts of the path. One that can't be read is an address that there is not.
pub(super) struct PathParts<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<State> for PathParts<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let read = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        read.map(|axum::extract::Path(read)| Self(read))
            .map_err(|_unreadable| Problem::new(Code::NotFound, "no such address; see /docs"))
    }
}

/// A JSON body. Unknown fields are refused; a mistake is named by its place, and no value is repeated.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<State> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &State) -> Result<Self, Problem> {
        let json = request.headers().get(header::CONTENT_TYPE).is_none_or(is_json);
        if !json {
            return Err(Problem::new(Code::UnsupportedMediaType, "send application/json"));
        }
        let bytes = whole(request.into_body(), state.limits.max_body_bytes, state).await?;
        read(&bytes).map(Self)
    }
}

/// All of a body, if it is no larger than it may be and does not take longer.
pub(super) async fn whole(body: axum::body::Body, max_bytes: usize, state: &State) -> Result<Bytes, Problem> {
    let reading = Limited::new(body, max_bytes).collect();
    match tokio::time::timeout(state.limits.body_timeout, reading).await {
        Ok(Ok(read)) => Ok(read.to_bytes()),
        Ok(Err(problem)) if problem.is::<LengthLimitError>() => Err(too_large(max_bytes)),
        Ok(Err(_broken_off)) => Err(Problem::new(Code::MalformedJson, "the body could not be read")),
        Err(_elapsed) => {
            Err(Problem::new(Code::BodyTimeout, "send the body at once, with the same Idempotency-Key"))
        }
    }
}

/// The same where there may be none, which is an empty object.
pub(super) struct OptionalBody<T>(pub(super) T);

impl<T: DeserializeOwned + Default> FromRequest<State> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &State) -> Result<Self, Problem> {
        if request.body().is_end_stream() {
            return Ok(Self(T::default()));
        }
        Body::from_request(request, state).await.map(|Body(read)| Self(read))
    }
}

/// Reads JSON as a body is read, wherever it comes from.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // serde would read a list as an object whose fields stand in order.
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(no_object(bytes));
    }
    // The quick way first: only a body with a mistake is read again, to find the place.
    serde_json::from_slice(bytes).map_err(|_mistake| mistake::<T>(bytes))
}

/// The refusal of a body beyond this size.
pub(super) fn too_large(max_bytes: usize) -> Problem {
    Problem::new(Code::TooLarge, format!("the body may have {max_bytes} bytes"))
}

/// `curl -d` without a header says that it sends a form: what stands in the body decides then.
fn is_json(value: &http::HeaderValue) -> bool {
    let Ok(text) = value.to_str() else { return false };
    let media_type = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type == "application/json"
        || media_type.ends_with("+json")
        || media_type == "application/x-www-form-urlencoded"
}

fn no_object(bytes: &[u8]) -> Problem {
    match serde_json::from_slice::<serde::de::IgnoredAny>(bytes) {
        Ok(_) => wrong_field(String::new(), "wrong_type", "must be an object"),
        Err(error) => not_json(&error),
    }
}

fn not_json(error: &serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    Problem::new(Code::MalformedJson, format!("not JSON at line {line}, column {column}"))
}

fn wrong_field(pointer: String, code: &'static str, detail: &str) -> Problem {
    Problem::of_fields(vec![FieldProblem { pointer, code, detail: detail.into() }])
}

fn mistake<T: DeserializeOwned>(bytes: &[u8]) -> Problem {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let Err(error) = serde_path_to_error::deserialize::<_, T>(&mut deserializer) else {
        return Problem::new(Code::MalformedJson, "there is something after the JSON value");
    };
    let pointer = pointer(error.path());
    let inner = error.into_inner();
    if inner.classify() != serde_json::error::Category::Data {
        return not_json(&inner);
    }
    // serde's own sentence repeats the value, which may be a number or a text that nobody should see.
    let said = inner.to_string();
    let named = said.split('`').nth(1).unwrap_or_default();
    if said.starts_with("unknown field") && !is_field_name(named) {
        wrong_field(pointer, "unknown_field", "has a field that is not known")
    } else if said.starts_with("unknown field") {
        wrong_field(pointer_below(&pointer, named), "unknown_field", "is no field of this request")
    } else if said.starts_with("missing field") {
        wrong_field(pointer_below(&pointer, named), "required", "is required")
    } else if said.starts_with("duplicate field") {
        wrong_field(pointer_below(&pointer, named), "duplicate_field", "is there twice")
    } else {
        wrong_field(pointer, "wrong_type", "has the wrong type or form")
    }
}

/// A path as a JSON pointer, up to a key that must not be repeated.
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer = format!("{pointer}/{index}"),
            Segment::Map { key } if is_field_name(key) => pointer = pointer_below(&pointer, key),
            Segment::Map { .. } => break,
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

fn pointer_below(pointer: &str, key: &str) -> String {
    if !is_field_name(key) || pointer.ends_with(&format!("/{key}")) {
        return pointer.into();
    }
    format!("{pointer}/{key}")
}

/// Whether a key can be repeated in an answer. Our fields are lower-case words; anything else may be a number or a
/// text that got into the wrong place.
pub(super) fn is_field_name(key: &str) -> bool {
    (1..=32).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}
