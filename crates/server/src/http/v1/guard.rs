//! What the guard against SMS pumping decided.

use axum::Json;
use axum::extract::{RawQuery, State as Shared};
use domain::guard::{Mode, Reason};
use domain::phone::NumberPrefix;
use serde::Serialize;
use store::port::guard::{Decision, DecisionFilter};
use utoipa::ToSchema;

use super::query;
use crate::http::extract::Authenticated;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::state::State;
use crate::keys::Scope;

/// A page of decisions, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct DecisionPage {
    /// The decisions.
    decisions: Vec<ShownDecision>,
    /// Where the next page begins: give it as `cursor`. Not there on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// What the guard thought of messages of one caller to one block of numbers within a minute.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownDecision {
    /// Its id.
    #[schema(example = "dec_019ab0c4e1f27d3c8a5b6f7081920a3b")]
    id: String,
    /// When the first of them was asked for.
    at: String,
    /// When the last of them was.
    last_at: String,
    /// `refused`, or `suspected` where nothing is refused.
    #[schema(example = "suspected")]
    verdict: &'static str,
    /// `shadow` or `enforce`.
    #[schema(example = "shadow")]
    mode: &'static str,
    /// ISO 3166-1 code of the country.
    #[schema(example = "KE")]
    country: String,
    /// What their numbers begin with; `null` where there were too many blocks to tell apart.
    #[schema(example = "+2547123")]
    prefix: Option<String>,
    /// The API key of the caller.
    #[schema(example = "key_019ab0c4e1f27d3c8a5b6f7081920a3b")]
    caller: String,
    /// What they were for.
    #[schema(example = "otp")]
    scenario: &'static str,
    /// Why, as it was with the first of them.
    reasons: Vec<ShownReason>,
    /// How many messages.
    #[schema(example = 37)]
    messages: i64,
    /// How many of them were sent all the same and are looked at again, ten at most.
    #[schema(example = 10)]
    sampled: i64,
    /// How many of these were confirmed: about them the guard was wrong.
    #[schema(example = 0)]
    confirmed: i64,
}

/// Why something is suspicious.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownReason {
    /// `prefix_velocity`, `caller_velocity`, `prefix_unverified` or `newcomers_unverified`.
    #[schema(example = "prefix_unverified")]
    rule: &'static str,
    /// Over a minute, an hour or a day.
    #[schema(example = "day")]
    window: &'static str,
    /// What was counted.
    #[schema(example = 21)]
    figure: i64,
    /// More than this is suspicious.
    #[schema(example = 20)]
    threshold: i64,
}

impl From<&Reason> for ShownReason {
    fn from(reason: &Reason) -> Self {
        let Reason { rule, window, figure, threshold } = *reason;
        Self { rule: rule.as_str(), window: window.as_str(), figure, threshold }
    }
}

impl From<&Decision> for ShownDecision {
    fn from(decision: &Decision) -> Self {
        Self {
            id: decision.id.to_string(),
            at: decision.at.to_string(),
            last_at: decision.last_at.to_string(),
            verdict: if decision.mode == Mode::Enforce { "refused" } else { "suspected" },
            mode: decision.mode.as_str(),
            country: decision.country.to_string(),
            prefix: decision.prefix.map(|prefix| prefix.to_string()),
            caller: decision.caller.to_string(),
            scenario: decision.scenario.as_str(),
            reasons: decision.reasons.iter().map(ShownReason::from).collect(),
            messages: decision.messages,
            sampled: decision.sampled,
            confirmed: decision.confirmed,
        }
    }
}

/// Lists what the guard against SMS pumping found suspicious, newest first.
#[utoipa::path(
    get, path = "/guard/decisions", tag = "operators",
    params(
        ("since" = Option<String>, Query, description = "made at or after this time (RFC 3339)"),
        ("until" = Option<String>, Query, description = "made before this time (RFC 3339)"),
        ("mode" = Option<String>, Query, description = "only in this mode: shadow or enforce"),
        ("country" = Option<String>, Query, description = "only about this country (ISO 3166-1)"),
        ("prefix" = Option<String>, Query, description = "only about this block of numbers; a + is written %2B"),
        ("caller" = Option<String>, Query, description = "only about this API key"),
        ("rule" = Option<String>, Query, description = "only for this reason, maybe beside others"),
        ("limit" = Option<u32>, Query, description = "1 to 200 decisions, 50 unless given"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses(
        (status = 200, body = DecisionPage),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "wrong parameters", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be read", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn decisions(
    Shared(state): Shared<State>,
    caller: Authenticated,
    RawQuery(query): RawQuery,
) -> Result<Json<DecisionPage>, Problem> {
    caller.with_any(&[Scope::Admin])?;
    let filter = read(query.as_deref())?;
    let limit = filter.limit;
    // One more than asked for tells whether there is a next page.
    let filter = DecisionFilter { limit: limit + 1, ..filter };
    let decisions = state.service.guard_decisions(filter).await?;
    let (decisions, next_cursor) = query::page(decisions, limit, |last| last.id.to_string());
    Ok(Json(DecisionPage { decisions: decisions.iter().map(ShownDecision::from).collect(), next_cursor }))
}

/// Reads all parameters and names every wrong one.
fn read(query: Option<&str>) -> Result<DecisionFilter, Problem> {
    let mut filter = DecisionFilter { limit: query::DEFAULT_LIMIT, ..DecisionFilter::default() };
    query::read(query, |name, text| match name {
        "since" => query::value(text, &mut filter.since, "wrong_type"),
        "until" => query::value(text, &mut filter.until, "wrong_type"),
        "mode" => query::value(text, &mut filter.mode, "wrong_type"),
        "country" => query::value(text, &mut filter.country, "wrong_type"),
        "caller" => query::value(text, &mut filter.caller, "wrong_type"),
        "rule" => query::value(text, &mut filter.rule, "wrong_type"),
        "cursor" => query::value(text, &mut filter.after, "invalid_cursor"),
        "prefix" => {
            let digits = NumberPrefix::digits_of(text);
            filter.prefix = Some(digits.map_err(|problem| ("wrong_type", problem.to_string()))?);
            Ok(())
        }
        "limit" => query::limit(text, &mut filter.limit),
        _ => query::unknown(),
    })?;
    Ok(filter)
}
