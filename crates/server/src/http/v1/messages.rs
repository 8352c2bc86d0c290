//! Sending, and showing one message.

use std::collections::BTreeMap;
use std::net::IpAddr;

use axum::Json;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use domain::ids::MessageId;
use domain::template::Variables;
use domain::time::Timestamp;
use gateway::request::{Content, Own, Remaining};
use gateway::{BulkRequest, SendRequest, Verdict};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::prefer;
use super::view::{AcceptedMessage, ShownMessage};
use crate::http::extract::{self, Authenticated, Body, PathParts};
use crate::http::problem::{Code, Problem, ProblemBody};
use crate::http::state::State;
use crate::http::{limits, mask};
use crate::keys::{Identity, Scope};

/// Characters that an idempotency key may have.
const MAX_IDEMPOTENCY_KEY: usize = 255;

/// One text to one receiver.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub(super) struct SendBody {
    /// The receiver's phone number: in international form, or in the default country's national form.
    #[schema(required = true, example = "0712345678")]
    receiver: Option<String>,
    /// The text, unless it is made of a template.
    #[schema(example = "Habari")]
    message: Option<String>,
    /// The template that the text is made of, by name, in the place of `message`.
    #[schema(example = "otp")]
    template: Option<String>,
    /// Values of the template's variables, by name.
    #[schema(value_type = Option<Object>)]
    variables: Option<Variables>,
    /// The language wanted of the template, such as `sw`: it may fall back to another.
    locale: Option<String>,
    /// What it is for: otp, transaction, `chama_invite`, `chama_withdrawal`, alert or general. What the template says, or
    /// general, if not given.
    #[schema(example = "general")]
    scenario: Option<String>,
    /// The sender ID to show; the account's own if not given.
    sender: Option<String>,
    /// Your own name for the message.
    reference: Option<String>,
    /// The savings group or campaign that it belongs to.
    group: Option<String>,
    /// The address of the end user who asked for it: limits by `client_ip` count it. Not kept.
    #[schema(value_type = Option<String>, example = "197.232.1.7")]
    client_ip: Option<IpAddr>,
    /// Not to be submitted before this time (RFC 3339).
    #[schema(value_type = Option<String>, format = DateTime)]
    scheduled_at: Option<Timestamp>,
    /// Not to be submitted after this time (RFC 3339).
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// Your own data, returned as given: up to 20 entries.
    metadata: Option<BTreeMap<String, String>>,
}

impl SendBody {
    pub(super) fn into_request(self, idempotency_key: Option<String>) -> SendRequest {
        SendRequest {
            receiver: self.receiver.unwrap_or_default(),
            content: Content {
                message: self.message.unwrap_or_default(),
                template: self.template,
                variables: self.variables.unwrap_or_default(),
                locale: self.locale,
                scenario: self.scenario,
                sender: self.sender,
                reference: self.reference,
                group: self.group,
                client_ip: self.client_ip,
                scheduled_at: self.scheduled_at,
                expires_at: self.expires_at,
                metadata: self.metadata.unwrap_or_default(),
            },
            idempotency_key,
        }
    }
}

/// Reads what stands in the body of `POST /sms`, for who takes it from elsewhere. `key` makes it repeatable.
pub fn read(body: &[u8], key: &str, max_bytes: usize) -> Result<SendRequest, Problem> {
    if body.len() > max_bytes {
        return Err(extract::too_large(max_bytes));
    }
    let key = checked_key(Some(key))?;
    Ok(extract::read::<SendBody>(body)?.into_request(key))
}

/// A receiver of many.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub(super) enum BulkReceiver {
    /// A phone number.
    Number(String),
    /// A phone number with what is its own.
    Own(OwnReceiver),
}

/// A phone number, and what a template makes of it alone.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OwnReceiver {
    /// The phone number.
    receiver: String,
    /// Values of the template's variables, before those that all have in common.
    #[schema(value_type = Option<Object>)]
    variables: Option<Variables>,
    /// The language of this receiver.
    locale: Option<String>,
}

/// The numbers, and what each has of its own if any has.
fn parted(receivers: Vec<BulkReceiver>) -> (Vec<String>, Vec<Own>) {
    let is_own = receivers.iter().any(|receiver| matches!(receiver, BulkReceiver::Own(_)));
    let (mut numbers, mut own) = (Vec::with_capacity(receivers.len()), Vec::new());
    for receiver in receivers {
        let (number, of_its_own) = match receiver {
            BulkReceiver::Number(number) => (number, Own::default()),
            BulkReceiver::Own(OwnReceiver { receiver, variables, locale }) => {
                (receiver, Own { variables: variables.unwrap_or_default(), locale })
            }
        };
        numbers.push(number);
        if is_own {
            own.push(of_its_own);
        }
    }
    (numbers, own)
}

/// One text, or one template, to many receivers.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub(super) struct BulkBody {
    /// 1 to 100 phone numbers; for a template, each may be an object with values of its own.
    #[schema(required = true, min_items = 1, max_items = 100)]
    receivers: Option<Vec<BulkReceiver>>,
    /// The text, unless it is made of a template.
    #[schema(example = "Karibu chama chetu")]
    message: Option<String>,
    /// The template that the texts are made of, by name, in the place of `message`.
    template: Option<String>,
    /// Values of the template's variables that all have in common.
    #[schema(value_type = Option<Object>)]
    variables: Option<Variables>,
    /// The language wanted of the template, for all that name no other.
    locale: Option<String>,
    /// What it is for.
    scenario: Option<String>,
    /// The sender ID to show.
    sender: Option<String>,
    /// Your own name for the messages.
    reference: Option<String>,
    /// The savings group or campaign that they belong to.
    group: Option<String>,
    /// The address of the end user who asked for them.
    #[schema(value_type = Option<String>)]
    client_ip: Option<IpAddr>,
    /// Not to be submitted before this time (RFC 3339).
    #[schema(value_type = Option<String>, format = DateTime)]
    scheduled_at: Option<Timestamp>,
    /// Not to be submitted after this time (RFC 3339).
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// Your own data, returned as given.
    metadata: Option<BTreeMap<String, String>>,
}

impl BulkBody {
    fn into_request(self, idempotency_key: Option<String>) -> BulkRequest {
        let (receivers, own) = parted(self.receivers.unwrap_or_default());
        BulkRequest {
            receivers,
            own,
            content: Content {
                message: self.message.unwrap_or_default(),
                template: self.template,
                variables: self.variables.unwrap_or_default(),
                locale: self.locale,
                scenario: self.scenario,
                sender: self.sender,
                reference: self.reference,
                group: self.group,
                client_ip: self.client_ip,
                scheduled_at: self.scheduled_at,
                expires_at: self.expires_at,
                metadata: self.metadata.unwrap_or_default(),
            },
            idempotency_key,
        }
    }
}

/// Reads what stands in the body of `POST /sms/bulk`, as [`read`] does for one message.
pub fn read_bulk(body: &[u8], key: &str, max_bytes: usize) -> Result<BulkRequest, Problem> {
    if body.len() > max_bytes {
        return Err(extract::too_large(max_bytes));
    }
    let key = checked_key(Some(key))?;
    Ok(extract::read::<BulkBody>(body)?.into_request(key))
}

/// What became of a bulk request.
#[derive(Serialize, ToSchema)]
pub(super) struct BulkResult {
    /// Names the request.
    #[schema(example = "blk_019ab0c4e1f27d3c8a5b6f7081920a3b")]
    bulk_id: String,
    /// How many messages were accepted.
    accepted: usize,
    /// How many receivers were refused.
    rejected: usize,
    /// One verdict for each receiver, in the order asked.
    results: Vec<BulkVerdict>,
}

/// What became of one receiver.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum BulkVerdict {
    /// Accepted.
    Accepted {
        /// Where it goes; masked unless the key has the scope `sms:read`.
        receiver: String,
        /// The message's id.
        id: String,
        /// Where it stands.
        status: &'static str,
    },
    /// Refused.
    Rejected {
        /// The receiver as given; digits masked unless the key has the scope `sms:read`.
        receiver: String,
        /// A stable word for the reason.
        code: String,
        /// The reason in words.
        detail: String,
    },
}

/// Sends one message.
///
/// 202 means that it is on disk and queued. With `Prefer: wait=N` the answer comes when a provider has accepted
/// or refused it, or after N seconds.
#[utoipa::path(
    post, path = "/sms", tag = "messages", request_body = SendBody,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "makes the request repeatable: the same key and request get the same answer, for 24 hours unless set otherwise"),
        ("Prefer" = Option<String>, Header, description = "wait=N: wait up to N seconds, at most 30, for a provider's answer"),
    ),
    responses(
        (status = 202, description = "stored and queued", body = AcceptedMessage),
        (status = 200, description = "accepted or refused by a provider, with Prefer: wait", body = AcceptedMessage),
        (status = 400, description = "not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope, or refused by the guard", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "the same text went to the same number a moment ago", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "the body did not come in time", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "not application/json", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "wrong fields", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "a limit is reached, or too many failures came from this address", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "nothing was stored: try again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn send(
    Shared(state): Shared<State>,
    caller: Authenticated,
    headers: HeaderMap,
    Body(body): Body<SendBody>,
) -> Result<Response, Problem> {
    let identity = caller.with_any(&[Scope::Send])?;
    let wait = prefer::wait(&headers)?;
    let request = body.into_request(idempotency_key(&headers)?);
    let by = identity.caller();
    let Some(limit) = wait else {
        let answer = state.service.send_sms(by, request).await?;
        let accepted = Json(AcceptedMessage::new(&answer, &identity));
        return Ok(with_limits((StatusCode::ACCEPTED, accepted).into_response(), answer.remaining.as_ref()));
    };
    let (answer, record) = state.service.send_sms_and_wait(by, request, limit).await?;
    let accepted = AcceptedMessage::new(&answer, &identity);
    let mut response = match record {
        Some(record) if record.summary.status.is_submitted_or_final() => {
            (StatusCode::OK, Json(accepted.at(&record))).into_response()
        }
        Some(record) => (StatusCode::ACCEPTED, Json(accepted.at(&record))).into_response(),
        None => (StatusCode::ACCEPTED, Json(accepted)).into_response(),
    };
    let applied = format!("wait={}", limit.as_secs());
    if let Ok(applied) = HeaderValue::from_str(&applied) {
        response.headers_mut().insert("preference-applied", applied);
    }
    Ok(with_limits(response, answer.remaining.as_ref()))
}

/// Says what is left of the scarcest limit.
pub(super) fn with_limits(mut response: Response, remaining: Option<&Remaining>) -> Response {
    response.headers_mut().extend(remaining.into_iter().flat_map(limits::headers));
    response
}

/// Sends one text to up to 100 receivers.
///
/// Receivers that can't be sent to are refused one by one; the others are on disk and queued.
#[utoipa::path(
    post, path = "/sms/bulk", tag = "messages", request_body = BulkBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "makes the request repeatable")),
    responses(
        (status = 202, description = "at least one receiver was accepted", body = BulkResult),
        (status = 400, description = "not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "the same text went to the same number a moment ago", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "the body did not come in time", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "not application/json", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "wrong fields, or no receiver accepted", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "all receivers are beyond a limit, or too many failures came from this address", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "nothing was stored: try again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn send_bulk(
    Shared(state): Shared<State>,
    caller: Authenticated,
    headers: HeaderMap,
    Body(body): Body<BulkBody>,
) -> Result<Response, Problem> {
    let identity = caller.with_any(&[Scope::Send])?;
    let request = body.into_request(idempotency_key(&headers)?);
    let receivers = request.receivers.clone();
    let answer = state.service.send_bulk_sms(identity.caller(), request).await?;
    let results: Vec<BulkVerdict> = receivers
        .iter()
        .zip(answer.verdicts)
        .map(|(given, verdict)| BulkVerdict::new(given, verdict, &identity))
        .collect();
    let accepted = results.iter().filter(|result| matches!(result, BulkVerdict::Accepted { .. })).count();
    let result = BulkResult {
        bulk_id: answer.bulk_id.to_string(),
        accepted,
        rejected: results.len() - accepted,
        results,
    };
    Ok((StatusCode::ACCEPTED, Json(result)).into_response())
}

impl BulkVerdict {
    fn new(given: &str, verdict: Verdict, viewer: &Identity) -> Self {
        match verdict {
            Verdict::Accepted(answer) => Self::Accepted {
                receiver: mask::number(answer.receiver, viewer),
                id: answer.id.to_string(),
                status: answer.status.as_str(),
            },
            Verdict::AcceptedBefore { id, status } => Self::Accepted {
                receiver: mask::as_given(given, viewer),
                id: id.to_string(),
                status: status.as_str(),
            },
            Verdict::Rejected { code, detail } => {
                Self::Rejected { receiver: mask::as_given(given, viewer), code, detail }
            }
        }
    }
}

/// Shows one message with all that happened to it.
///
/// A key with `sms:send` alone sees its own messages, with masked numbers.
#[utoipa::path(
    get, path = "/sms/{id}", tag = "messages",
    params(("id" = String, Path, description = "the message's id")),
    responses(
        (status = 200, body = ShownMessage),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "no such message", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(
    Shared(state): Shared<State>,
    caller: Authenticated,
    PathParts(id): PathParts<String>,
) -> Result<Json<ShownMessage>, Problem> {
    let identity = caller.with_any(&[Scope::Send, Scope::Read])?;
    let unknown = || Problem::new(Code::NotFound, "there is no message of that id");
    let id: MessageId = id.parse().map_err(|_no_id| unknown())?;
    let record = state.service.message(id).await?.ok_or_else(unknown)?;
    if !identity.may(Scope::Read) && record.summary.message.caller != identity.key {
        return Err(unknown());
    }
    Ok(Json(ShownMessage::new(record, &state.quiet_hours, &identity)))
}

pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    checked_key(value.to_str().ok())
}

fn checked_key(key: Option<&str>) -> Result<Option<String>, Problem> {
    let is_allowed = |key: &&str| {
        (1..=MAX_IDEMPOTENCY_KEY).contains(&key.len())
            && key.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
    };
    let key = key.filter(is_allowed);
    key.map(|key| Some(key.to_owned())).ok_or_else(|| {
        let detail =
            format!("Idempotency-Key must have 1 to {MAX_IDEMPOTENCY_KEY} printable ASCII characters");
        Problem::new(Code::InvalidHeader, detail)
    })
}
