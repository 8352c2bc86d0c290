//! What would become of a message, without sending it.

use axum::Json;
use axum::extract::{RawQuery, State as Shared};
use domain::route::Route;
use gateway::explain::{Explanation, Offender, Way};
use gateway::request::Reached;
use serde::Serialize;
use utoipa::ToSchema;

use super::messages::SendBody;
use super::query;
use super::view::Cost;
use crate::http::extract::{Authenticated, Body};
use crate::http::limits::whole_seconds;
use crate::http::mask;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::state::State;
use crate::keys::{Identity, Scope};

/// What would become of a message.
#[derive(Serialize, ToSchema)]
pub(super) struct ExplainedMessage {
    /// Where it would go, in E.164 form; masked unless the key has the scope `sms:read`.
    #[schema(example = "+254712345678")]
    receiver: String,
    /// ISO 3166-1 code of the receiver's country.
    #[schema(example = "KE")]
    country: String,
    /// What it is for.
    #[schema(example = "otp")]
    scenario: &'static str,
    /// Its lane.
    #[schema(example = "high")]
    priority: &'static str,
    /// `gsm7` or `ucs2`.
    #[schema(example = "ucs2")]
    encoding: &'static str,
    /// The text's length.
    #[schema(example = 74)]
    characters: usize,
    /// How many SMS the text takes.
    #[schema(example = 2)]
    segments: u16,
    /// The characters that make the text travel as `ucs2`, each where it is first.
    offenders: Vec<ShownOffender>,
    /// When it would leave at the earliest.
    leaves_at: String,
    /// Whether quiet hours hold it back until then.
    held_by_quiet_hours: bool,
    /// After when it would not be submitted any more; `null` for never.
    expires_at: Option<String>,
    /// What it would cost by the route that it would take; `null` where no price is set.
    price: Option<Cost>,
    /// The opt-out that would hold it back, in a line for people; `null` if the receiver wants it.
    #[schema(
        example = "has opted out of promotions from SAFESHOP, by a message, since 2026-11-28T08:00:00Z"
    )]
    opted_out: Option<String>,
    /// The limits that would refuse it now.
    limits: Vec<ShownLimit>,
    /// Every route, best first. The first one that is usable is taken.
    routes: Vec<ShownRoute>,
}

/// A limit that is reached.
#[derive(Serialize, ToSchema)]
struct ShownLimit {
    /// Its name.
    #[schema(example = "otp_per_receiver")]
    name: String,
    /// What it counts by: receiver, group, caller, `client_ip`, country or all.
    #[schema(example = "receiver")]
    by: &'static str,
    /// In how many seconds there may be room again.
    #[schema(example = 720)]
    again_in_s: u64,
    /// All of it in a line for people.
    explanation: String,
}

/// A character that is not in the plain alphabet.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownOffender {
    /// The character.
    #[schema(example = "’")]
    character: char,
    /// Its place in the text, counted in characters from 0.
    #[schema(example = 3)]
    position: usize,
}

/// A route.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownRoute {
    /// Its place, counted from 1.
    #[schema(example = 1)]
    rank: usize,
    /// The provider.
    provider: String,
    /// Whether it can take the message now.
    usable: bool,
    /// Why it is considered.
    #[schema(example = "rule 1 matches")]
    reason: String,
    /// Whether it can be used, in a word: usable, probing, `breaker_open`, drained, refused or `not_configured`.
    #[schema(example = "usable")]
    standing: &'static str,
    /// What the message would cost by it; `null` where no price is set.
    price: Option<Cost>,
    /// All of it in a line for people.
    explanation: String,
}

impl ExplainedMessage {
    fn new(explanation: &Explanation, viewer: &Identity) -> Self {
        let taken = explanation.routes.iter().find(|route| route.is_usable());
        Self {
            receiver: mask::number(explanation.receiver, viewer),
            country: explanation.receiver.country().to_string(),
            scenario: explanation.scenario.as_str(),
            priority: explanation.priority.as_str(),
            encoding: explanation.encoding.as_str(),
            characters: explanation.characters,
            segments: explanation.segments,
            offenders: explanation.offenders.iter().map(ShownOffender::from).collect(),
            leaves_at: explanation.leaves_at.to_string(),
            held_by_quiet_hours: explanation.is_held,
            expires_at: explanation.expires_at.map(|at| at.to_string()),
            price: taken.and_then(|route| route.price).map(Cost::from),
            opted_out: explanation.opted_out.as_ref().map(ToString::to_string),
            limits: explanation.reached.iter().map(ShownLimit::from).collect(),
            routes: explanation.routes.iter().enumerate().map(ShownRoute::from).collect(),
        }
    }
}

impl From<&Offender> for ShownOffender {
    fn from(offender: &Offender) -> Self {
        Self { character: offender.character, position: offender.position }
    }
}

impl From<&Reached> for ShownLimit {
    fn from(reached: &Reached) -> Self {
        Self {
            name: reached.limit.name.clone(),
            by: reached.limit.by.as_str(),
            again_in_s: whole_seconds(reached.again_in),
            explanation: reached.to_string(),
        }
    }
}

impl From<(usize, &Route)> for ShownRoute {
    fn from((index, route): (usize, &Route)) -> Self {
        Self {
            rank: index + 1,
            provider: route.provider.to_string(),
            usable: route.is_usable(),
            reason: route.reason.to_string(),
            standing: route.standing.as_str(),
            price: route.price.map(Cost::from),
            explanation: route.explain(),
        }
    }
}

/// Says what would become of a message, and sends nothing.
///
/// The body is that of `POST /sms`, and it is checked by the same code.
#[utoipa::path(
    post, path = "/sms/explain", tag = "messages", request_body = SendBody,
    params(
        ("bulk" = Option<bool>, Query, description = "as one of the receivers of `POST /sms/bulk`, whose lanes are others [default: false]"),
    ),
    responses(
        (status = 200, body = ExplainedMessage),
        (status = 400, description = "not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "the body did not come in time", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "not application/json", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "wrong fields", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be used now", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn explain(
    Shared(state): Shared<State>,
    caller: Authenticated,
    RawQuery(query): RawQuery,
    Body(body): Body<SendBody>,
) -> Result<Json<ExplainedMessage>, Problem> {
    let identity = caller.with_any(&[Scope::Send])?;
    let (by, way) = (identity.caller(), read(query.as_deref())?);
    let explanation = state.service.explain(&by, &body.into_request(None), way).await?;
    Ok(Json(ExplainedMessage::new(&explanation, &identity)))
}

fn read(query: Option<&str>) -> Result<Way, Problem> {
    let mut bulk = None;
    query::read(query, |name, text| match name {
        "bulk" => query::value(text, &mut bulk, "wrong_type"),
        _ => query::unknown(),
    })?;
    Ok(if bulk == Some(true) { Way::Bulk } else { Way::Alone })
}
