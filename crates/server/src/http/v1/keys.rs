//! API keys: who may call.

use std::str::FromStr;
use std::time::Duration;

use axum::Json;
use axum::extract::State as Shared;
use axum::response::{IntoResponse as _, Response};
use domain::audit::Act;
use domain::ids::KeyId;
use domain::phone::{Country, CountryError, SenderError, SenderId};
use domain::scenario::{Scenario, UnknownWord};
use domain::secret::{ExposeSecret as _, SecretString};
use domain::time::Timestamp;
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use store::StoreError;
use store::port::keys::{ApiKey, Only, Rotation};
use utoipa::ToSchema;

use crate::http::extract::{Authenticated, Body, OptionalBody, PathParts};
use crate::http::problem::{Code, FieldProblem, Problem, ProblemBody};
use crate::http::state::State;
use crate::keys::{self, LONGEST_OVERLAP, OVERLAP, Scope, UnknownScope};

/// Characters that a name may have.
const MAX_NAME: usize = 128;

/// Entries that each list may have.
const MAX_ENTRIES: usize = 300;

/// A key to be made.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CreateBody {
    /// What you call the caller.
    #[schema(required = true, example = "wallet")]
    name: Option<String>,
    /// What it may do: `sms:send`, `sms:read`, `verify`, `prompts`, `consent`, `templates`, `webhooks`, `admin`.
    #[schema(required = true, example = json!(["sms:send"]))]
    scopes: Option<Vec<String>>,
    /// Scenarios that it may send for; all if there is none.
    scenarios: Option<Vec<String>>,
    /// Countries that it may send to, by their ISO 3166-1 codes; all if there is none.
    countries: Option<Vec<String>>,
    /// Senders that it may show; all, and the account's own, if there is none.
    senders: Option<Vec<String>>,
    /// When it ends by itself (RFC 3339).
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// How a key is rotated.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RotateBody {
    /// Seconds for which the secrets of before are still taken: 0 to 7776000, 604800 (a week) unless given.
    overlap_s: Option<u64>,
}

/// All keys.
#[derive(Serialize, ToSchema)]
pub(super) struct KeyList {
    /// The keys, the oldest first.
    keys: Vec<ShownKey>,
}

/// A key. Its secret is not shown: only a hash of it is kept.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownKey {
    /// Its id, which names the caller.
    #[schema(example = "key_019ab0c4e1f27d3c8a5b6f7081920a3b")]
    id: String,
    /// What it is called.
    #[schema(example = "wallet")]
    name: String,
    /// What it may do.
    scopes: Vec<String>,
    /// Scenarios that it may send for; all if there is none.
    scenarios: Vec<String>,
    /// Countries that it may send to; all if there is none.
    countries: Vec<String>,
    /// Senders that it may show; all if there is none.
    senders: Vec<String>,
    /// When it was made.
    created_at: String,
    /// When it ends by itself, or has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
    /// When it was last used; behind by up to a minute. `null` if never.
    last_used_at: Option<String>,
    /// When the last secret of before a rotation ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    former_secret_ends_at: Option<String>,
}

/// A key with a secret that is shown this once.
#[derive(Serialize, ToSchema)]
pub(super) struct KeyWithSecret {
    /// What the caller sends as `Authorization: Bearer …`.
    #[schema(example = "tuma_…")]
    secret: String,
    /// The key.
    #[serde(flatten)]
    key: ShownKey,
}

impl ShownKey {
    fn new(key: ApiKey, now: Timestamp) -> Self {
        let text = |time: Timestamp| time.to_string();
        Self {
            id: key.id.to_string(),
            name: key.name,
            scopes: key.scopes,
            scenarios: key.only.scenarios,
            countries: key.only.countries,
            senders: key.only.senders,
            created_at: text(key.created_at),
            expires_at: key.expires_at.map(text),
            revoked_at: key.revoked_at.map(text),
            last_used_at: key.last_used_at.map(text),
            former_secret_ends_at: key.former_secret_ends_at.filter(|end| *end > now).map(text),
        }
    }
}

/// Lists all keys, also those that have ended, the oldest first.
#[utoipa::path(
    get, path = "/api-keys", tag = "keys",
    responses(
        (status = 200, body = KeyList),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be read", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    Shared(state): Shared<State>,
    caller: Authenticated,
) -> Result<Json<KeyList>, Problem> {
    caller.with_any(&[Scope::Admin])?;
    let now = state.authenticator.now();
    let keys = state.authenticator.keys().await?;
    Ok(Json(KeyList { keys: keys.into_iter().map(|key| ShownKey::new(key, now)).collect() }))
}

/// Makes a key. Its secret is shown this once.
#[utoipa::path(
    post, path = "/api-keys", tag = "keys", request_body = CreateBody,
    responses(
        (status = 201, description = "made", body = KeyWithSecret),
        (status = 400, description = "not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "not application/json", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "wrong fields", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "nothing was stored: try again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    Shared(state): Shared<State>,
    caller: Authenticated,
    Body(body): Body<CreateBody>,
) -> Result<Response, Problem> {
    let by = caller.with_any(&[Scope::Admin])?.actor();
    let now = state.authenticator.now();
    let wanted = body.read(now).map_err(Problem::of_fields)?;
    let (secret, kept) = keys::create(&wanted.name, &wanted.scopes, None, now);
    let key = ApiKey { only: wanted.only, expires_at: wanted.expires_at, ..kept };
    state.authenticator.create(key.clone(), Act { by, at: now }).await?;
    tracing::warn!(key = %key.id, "an API key was made");
    Ok(with_secret(StatusCode::CREATED, &secret, ShownKey::new(key, now)))
}

/// Ends a key, on all nodes. One that has ended already stays so.
#[utoipa::path(
    delete, path = "/api-keys/{id}", tag = "keys",
    params(("id" = String, Path, description = "the key's id")),
    responses(
        (status = 200, description = "revoked", body = ShownKey),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "no such key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "nothing was changed: try again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn revoke(
    Shared(state): Shared<State>,
    caller: Authenticated,
    PathParts(id): PathParts<String>,
) -> Result<Json<ShownKey>, Problem> {
    let by = caller.with_any(&[Scope::Admin])?.actor();
    let id = parse(&id)?;
    if !state.authenticator.revoke(id, by).await? {
        return Err(unknown());
    }
    tracing::warn!(key = %id, "an API key was revoked");
    let key = find(&state, id).await?.ok_or_else(unknown)?;
    Ok(Json(ShownKey::new(key, state.authenticator.now())))
}

/// Gives a key another secret, which is shown this once.
///
/// The new secret is taken at once, and those of before for a while: the caller changes over meanwhile.
#[utoipa::path(
    post, path = "/api-keys/{id}/rotate", tag = "keys", request_body = Option<RotateBody>,
    params(("id" = String, Path, description = "the key's id")),
    responses(
        (status = 200, description = "rotated", body = KeyWithSecret),
        (status = 400, description = "not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "no such key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "it has ended", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "not application/json", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "wrong fields", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "nothing was changed: try again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn rotate(
    Shared(state): Shared<State>,
    caller: Authenticated,
    PathParts(id): PathParts<String>,
    OptionalBody(body): OptionalBody<RotateBody>,
) -> Result<Response, Problem> {
    let by = caller.with_any(&[Scope::Admin])?.actor();
    let id = parse(&id)?;
    let overlap = body.overlap()?;
    let (secret, hash) = keys::secret();
    let now = state.authenticator.now();
    let rotation = Rotation { id, hash, others_end_at: now.plus(overlap), by, now };
    let rotated = state.authenticator.rotate(rotation).await?;
    let key = find(&state, id).await?.ok_or_else(unknown)?;
    if !rotated {
        return Err(Problem::new(Code::KeyEnded, "it was revoked or has expired: make another one"));
    }
    tracing::warn!(key = %id, "an API key was rotated");
    Ok(with_secret(StatusCode::OK, &secret, ShownKey::new(key, now)))
}

impl RotateBody {
    fn overlap(self) -> Result<Duration, Problem> {
        let overlap = self.overlap_s.map_or(OVERLAP, Duration::from_secs);
        if overlap <= LONGEST_OVERLAP {
            return Ok(overlap);
        }
        let detail = format!("must be from 0 to {}", LONGEST_OVERLAP.as_secs());
        Err(Problem::of_fields(vec![FieldProblem {
            pointer: "/overlap_s".into(),
            code: "wrong_type",
            detail,
        }]))
    }
}

/// A key to be made, as it was understood.
struct Wanted {
    name: String,
    scopes: Vec<Scope>,
    only: Only,
    expires_at: Option<Timestamp>,
}

impl CreateBody {
    /// Reads every field, and notes every mistake, not only the first.
    fn read(self, now: Timestamp) -> Result<Wanted, Vec<FieldProblem>> {
        let mut mistakes = Mistakes(Vec::new());
        let name = self.name.unwrap_or_default();
        if name.trim().is_empty() {
            mistakes.note("/name", "required", "is required");
        } else if name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
            let detail = format!("must have at most {MAX_NAME} characters, and no control characters");
            mistakes.note("/name", "invalid_name", &detail);
        }
        let scopes: Vec<Scope> = mistakes.words("scopes", self.scopes);
        if scopes.is_empty() && mistakes.0.iter().all(|mistake| !mistake.pointer.starts_with("/scopes")) {
            mistakes.note("/scopes", "required", "is required");
        }
        let scenarios: Vec<Scenario> = mistakes.words("scenarios", self.scenarios);
        let countries: Vec<Reached> = mistakes.words("countries", self.countries);
        let countries: Vec<Country> = countries.into_iter().map(|Reached(country)| country).collect();
        let senders: Vec<SenderId> = mistakes.words("senders", self.senders);
        if self.expires_at.is_some_and(|end| end <= now) {
            mistakes.note("/expires_at", "expires_too_soon", "must lie ahead");
        }
        if !mistakes.0.is_empty() {
            return Err(mistakes.0);
        }
        let only = keys::only(&scenarios, &countries, &senders);
        Ok(Wanted { name, scopes, only, expires_at: self.expires_at })
    }
}

/// A country that has phones.
struct Reached(Country);

impl FromStr for Reached {
    type Err = CountryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse()
            .ok()
            .filter(|country: &Country| country.calling_code().is_some())
            .map(Self)
            .ok_or(CountryError)
    }
}

/// What is wrong, field by field.
struct Mistakes(Vec<FieldProblem>);

impl Mistakes {
    fn note(&mut self, pointer: &str, code: &'static str, detail: &str) {
        self.0.push(FieldProblem { pointer: pointer.into(), code, detail: detail.into() });
    }

    /// Reads a list of words, and notes those that mean nothing.
    fn words<T: FromStr>(&mut self, field: &str, words: Option<Vec<String>>) -> Vec<T>
    where
        T::Err: Meaningless,
    {
        let words = words.unwrap_or_default();
        if words.len() > MAX_ENTRIES {
            self.note(&format!("/{field}"), "too_long", &format!("may have {MAX_ENTRIES} entries"));
            return Vec::new();
        }
        let read = words.iter().enumerate().filter_map(|(index, word)| {
            let unknown = |problem: T::Err| {
                self.note(&format!("/{field}/{index}"), T::Err::CODE, &problem.to_string());
            };
            word.parse().map_err(unknown).ok()
        });
        read.collect()
    }
}

/// Why a word means nothing.
trait Meaningless: std::fmt::Display {
    const CODE: &'static str;
}

impl Meaningless for UnknownScope {
    const CODE: &'static str = "unknown_scope";
}

impl Meaningless for UnknownWord {
    const CODE: &'static str = "unknown_scenario";
}

impl Meaningless for CountryError {
    const CODE: &'static str = "unknown_country";
}

impl Meaningless for SenderError {
    const CODE: &'static str = "invalid_sender";
}

/// No cache may keep it.
fn with_secret(status: StatusCode, secret: &SecretString, key: ShownKey) -> Response {
    let body = KeyWithSecret { secret: secret.expose_secret().to_owned(), key };
    let mut response = (status, Json(body)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn find(state: &State, id: KeyId) -> Result<Option<ApiKey>, StoreError> {
    Ok(state.authenticator.keys().await?.into_iter().find(|key| key.id == id))
}

fn parse(id: &str) -> Result<KeyId, Problem> {
    id.parse().map_err(|_no_id| unknown())
}

fn unknown() -> Problem {
    Problem::new(Code::NotFound, "there is no key of that id")
}
