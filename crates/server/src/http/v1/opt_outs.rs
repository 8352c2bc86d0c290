//! Opt-outs: who does not want what.

use axum::Json;
use axum::extract::{RawQuery, State as Shared};
use domain::consent::{Direction, Extent};
use domain::phone::{Country, Msisdn, SenderId};
use serde::{Deserialize, Serialize};
use store::port::consent::{Changed, ConsentRecord, OptOutFilter};
use utoipa::ToSchema;

use super::query;
use crate::http::extract::{Authenticated, Body};
use crate::http::mask;
use crate::http::problem::{FieldProblem, Problem, ProblemBody};
use crate::http::state::State;
use crate::keys::{Identity, Scope};

/// Entries of one person's history that are shown.
const HISTORY: u32 = 100;

/// Characters that a note may have.
const MAX_NOTE: usize = 128;

/// So many digits may be a phone number.
const DIGITS_OF_A_NUMBER: usize = 7;

/// Who does not want what, or wants it again.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct OptOutBody {
    /// Whose number, in any form that people write.
    #[schema(required = true, example = "+254712345678")]
    receiver: Option<String>,
    /// From which sender; from all, if there is none.
    #[schema(example = "SAFESHOP")]
    sender: Option<String>,
    /// How far: `promotional`, or `all` unless given: all but codes that were asked for.
    #[schema(example = "promotional")]
    extent: Option<String>,
    /// How it became known, in a few words, for the ledger. Seven digits or more may be a phone number, and are refused.
    #[schema(example = "asked at the counter")]
    note: Option<String>,
}

/// What a change changed.
#[derive(Serialize, ToSchema)]
pub(super) struct ConsentChanged {
    /// Whether anything changed: not if all was so before.
    changed: bool,
    /// How many messages that waited were stopped.
    stopped: u64,
}

/// A page of opt-outs that hold, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct OptOutPage {
    /// The opt-outs.
    opt_outs: Vec<ShownConsent>,
    /// With `receiver`: all that the ledger has of that person, newest first, up to 100 entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<Vec<ShownConsent>>,
    /// Where the next page begins: give it as `cursor`. Not there on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// An entry of the consent ledger.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownConsent {
    /// Its id.
    #[schema(example = "con_019ab0c4e1f27d3c8a5b6f7081920a3b")]
    id: String,
    /// Whose: a number in E.164 form, masked unless the key has the scope `sms:read`; `null` once the person was forgotten.
    #[schema(example = "+254712345678")]
    receiver: Option<String>,
    /// From which sender; `null` for all.
    sender: Option<String>,
    /// `opt_out` or `opt_in`.
    #[schema(example = "opt_out")]
    direction: &'static str,
    /// How far: `promotional` or `all`.
    #[schema(example = "all")]
    extent: &'static str,
    /// How it became known: `keyword`, `provider`, `api` or `import`.
    #[schema(example = "keyword")]
    source: &'static str,
    /// Which provider said so, or carried the keyword.
    provider: Option<String>,
    /// The message by which the person said so.
    inbound_id: Option<String>,
    /// A keyword, a provider's code, or a note.
    detail: Option<String>,
    /// Who entered it: a key's id, `operator`, or a provider.
    by: String,
    /// When.
    at: String,
}

impl ShownConsent {
    fn new(record: ConsentRecord, viewer: &Identity) -> Self {
        Self {
            id: record.id.to_string(),
            receiver: record.number.map(|number| mask::number(number, viewer)),
            sender: record.sender.map(String::from),
            direction: record.direction.as_str(),
            extent: record.extent.as_str(),
            source: record.source.as_str(),
            provider: record.provider.map(|provider| provider.to_string()),
            inbound_id: record.inbound_id.map(|id| id.to_string()),
            detail: record.detail,
            by: record.by.to_string(),
            at: record.at.to_string(),
        }
    }
}

/// Lists opt-outs that hold, newest first.
#[utoipa::path(
    get, path = "/opt-outs", tag = "consent",
    params(
        ("receiver" = Option<String>, Query, description = "only of this number, with its history; a + is written %2B"),
        ("sender" = Option<String>, Query, description = "only from this sender; those from all senders are not among them"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "1 to 200 opt-outs, 50 unless given"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses(
        (status = 200, body = OptOutPage),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "wrong parameters", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    Shared(state): Shared<State>,
    caller: Authenticated,
    RawQuery(query): RawQuery,
) -> Result<Json<OptOutPage>, Problem> {
    let identity = caller.with_any(&[Scope::Consent])?;
    let mut filter = read(query.as_deref(), state.service.default_region())?;
    let (number, limit) = (filter.number, filter.limit);
    // One more than asked for tells whether there is a next page.
    filter.limit += 1;
    let opt_outs = state.service.opt_outs(filter).await?;
    let (opt_outs, next_cursor) = query::page(opt_outs, limit, |last| last.id.to_string());
    let shown = |records: Vec<ConsentRecord>| -> Vec<ShownConsent> {
        records.into_iter().map(|record| ShownConsent::new(record, &identity)).collect()
    };
    let history = match number {
        Some(number) => Some(shown(state.service.consent_history(number, HISTORY).await?)),
        None => None,
    };
    Ok(Json(OptOutPage { opt_outs: shown(opt_outs), history, next_cursor }))
}

/// Reads all parameters and names every wrong one.
fn read(query: Option<&str>, region: Country) -> Result<OptOutFilter, Problem> {
    let mut filter = OptOutFilter { limit: query::DEFAULT_LIMIT, ..OptOutFilter::default() };
    query::read(query, |name, text| match name {
        "receiver" => query::number(text, region, &mut filter.number),
        "sender" => query::value(text, &mut filter.sender, "invalid_sender"),
        "cursor" => query::value(text, &mut filter.after, "invalid_cursor"),
        "limit" => query::limit(text, &mut filter.limit),
        _ => query::unknown(),
    })?;
    Ok(filter)
}

/// Enters an opt-out: from now on, nothing is accepted that it holds back, and what waits is stopped.
#[utoipa::path(
    post, path = "/opt-outs", tag = "consent", request_body = OptOutBody,
    responses(
        (status = 200, description = "on disk", body = ConsentChanged),
        (status = 400, description = "not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "not application/json", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "wrong fields", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "nothing was stored: try again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn opt_out(
    Shared(state): Shared<State>,
    caller: Authenticated,
    Body(body): Body<OptOutBody>,
) -> Result<Json<ConsentChanged>, Problem> {
    change(&state, caller, body, Direction::OptOut).await
}

/// Ends opt-outs: the receiver wants messages again.
///
/// The body is that of `POST /opt-outs`. Without `sender` it ends those from every sender; with one, those from it and
/// those from all senders. `extent` `promotional` ends those from promotions only.
#[utoipa::path(
    delete, path = "/opt-outs", tag = "consent", request_body = OptOutBody,
    responses(
        (status = 200, description = "on disk", body = ConsentChanged),
        (status = 400, description = "not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "not application/json", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "wrong fields", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "nothing was stored: try again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn opt_in(
    Shared(state): Shared<State>,
    caller: Authenticated,
    Body(body): Body<OptOutBody>,
) -> Result<Json<ConsentChanged>, Problem> {
    change(&state, caller, body, Direction::OptIn).await
}

async fn change(
    state: &State,
    caller: Authenticated,
    body: OptOutBody,
    direction: Direction,
) -> Result<Json<ConsentChanged>, Problem> {
    let identity = caller.with_any(&[Scope::Consent])?;
    let (number, sender, extent) = checked(&body, state.service.default_region())?;
    let said = gateway::consent::Said { number, sender, direction, extent, note: body.note };
    let changed = state.service.change_consent(said, identity.actor()).await?;
    Ok(Json(match changed {
        Changed::Entered { stopped } => ConsentChanged { changed: true, stopped },
        Changed::AsItWas => ConsentChanged { changed: false, stopped: 0 },
    }))
}

/// Names every mistake, not only the first.
fn checked(
    body: &OptOutBody,
    default_region: Country,
) -> Result<(Msisdn, Option<SenderId>, Extent), Problem> {
    let mut errors = Vec::new();
    let mut wrong = |pointer: &str, code: &'static str, detail: String| {
        errors.push(FieldProblem { pointer: pointer.into(), code, detail });
    };
    let number = match body.receiver.as_deref().map(|text| Msisdn::parse(text, default_region)) {
        Some(Ok(number)) => Some(number),
        Some(Err(problem)) => {
            wrong("/receiver", "invalid_receiver", problem.to_string());
            None
        }
        None => {
            wrong("/receiver", "required", "is required".into());
            None
        }
    };
    let sender = body.sender.as_deref().map(SenderId::parse).transpose();
    let sender = sender.map_err(|problem| wrong("/sender", "invalid_sender", problem.to_string()));
    let extent = body.extent.as_deref().map_or(Ok(Extent::All), str::parse);
    let extent = extent.map_err(|problem| wrong("/extent", "wrong_type", problem.to_string()));
    if let Some(note) = &body.note {
        if note.chars().count() > MAX_NOTE {
            wrong("/note", "too_long", format!("is longer than {MAX_NOTE} characters"));
        }
        if note.contains('\0') {
            wrong("/note", "nul_character", "has the character U+0000, which no text may have".into());
        }
        // It is kept in the clear.
        if note.chars().filter(|character| character.is_numeric()).count() >= DIGITS_OF_A_NUMBER {
            let detail = format!("has {DIGITS_OF_A_NUMBER} digits or more: it may not hold a phone number");
            wrong("/note", "sensitive_content", detail);
        }
    }
    match (number, sender, extent) {
        (Some(number), Ok(sender), Ok(extent)) if errors.is_empty() => Ok((number, sender, extent)),
        _ => Err(Problem::of_fields(errors)),
    }
}
