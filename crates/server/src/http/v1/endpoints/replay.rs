//! Posting events again.

use axum::Json;
use axum::extract::State as Shared;
use domain::time::Timestamp;
use gateway::endpoints::{MOST_REPLAYED, ReplayRange};
use http::StatusCode;
use serde::Deserialize;
use store::port::events::read_event_id;
use utoipa::ToSchema;

use super::view::Replayed;
use super::{enabled, field, find_to_use, parse};
use crate::http::extract::{Authenticated, Body, PathParts};
use crate::http::problem::{Code, FieldProblem, Problem, ProblemBody};
use crate::http::state::State;
use crate::keys::Scope;

/// What is to be posted again: an event, or all of a time.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(in super::super) struct ReplayEvents {
    /// This event, also if the endpoint did not ask for its kind.
    event_id: Option<String>,
    /// Those that happened at or after this time (RFC 3339), and that the endpoint asked for.
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Before this time; the present unless given.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// The rest of a time: `next_cursor` of the answer before. It stands for `since` and `until`.
    cursor: Option<String>,
    /// How many events to look at: 1 to 100000, and so many unless given.
    limit: Option<u32>,
}

/// What a request asks for.
enum Wanted {
    One((i64, [u8; 16])),
    Range(ReplayRange),
}

/// Posts an event, or the events of a time, again: also those that arrived or were given up. What is still on its way is not.
#[utoipa::path(
    post, path = "/webhook-endpoints/{id}/replay", tag = "webhooks", request_body = ReplayEvents,
    params(("id" = String, Path, description = "the endpoint's id")),
    responses(
        (status = 202, description = "on their way", body = Replayed),
        (status = 400, description = "not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "no such endpoint or event", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "it is disabled", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "not application/json", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "wrong fields", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "not all may be on their way: try again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(in super::super) async fn replay(
    Shared(state): Shared<State>,
    caller: Authenticated,
    PathParts(id): PathParts<String>,
    Body(body): Body<ReplayEvents>,
) -> Result<(StatusCode, Json<Replayed>), Problem> {
    let identity = caller.with_any(&[Scope::Webhooks])?;
    let (endpoint, now) = (find_to_use(&state, &identity, parse(&id)?).await?, state.service.now());
    let wanted = wanted(&body, now).map_err(|mistake| Problem::of_fields(vec![mistake]))?;
    enabled(&endpoint, now)?;
    let (service, by) = (&state.service, identity.actor());
    let replayed = match wanted {
        Wanted::One(event) => {
            if !service.replay_event(endpoint.id, event, by).await? {
                let detail = "no event of that id is kept for this endpoint, or it is still on its way";
                return Err(Problem::new(Code::NotFound, detail));
            }
            Replayed { events: 1, complete: true, next_cursor: None }
        }
        Wanted::Range(range) => {
            let replayed = service.replay_range(endpoint.id, range, by).await?;
            let next_cursor = replayed.behind.map(|behind| cursor(behind, range.until));
            Replayed { events: replayed.events, complete: next_cursor.is_none(), next_cursor }
        }
    };
    Ok((StatusCode::ACCEPTED, Json(replayed)))
}

fn wanted(body: &ReplayEvents, now: Timestamp) -> Result<Wanted, FieldProblem> {
    let ReplayEvents { event_id, since, until, cursor, limit } = body;
    let has_range = since.is_some() || until.is_some();
    if let Some(event) = event_id {
        if has_range || cursor.is_some() || limit.is_some() {
            return Err(field(
                "/event_id",
                "wrong_type",
                "stands alone: without since, until, cursor and limit",
            ));
        }
        let event =
            read_event_id(event).ok_or_else(|| field("/event_id", "wrong_type", "is no event's id"))?;
        return Ok(Wanted::One(event));
    }
    let limit = limit.unwrap_or(MOST_REPLAYED);
    if !(1..=MOST_REPLAYED).contains(&limit) {
        return Err(field("/limit", "wrong_type", &format!("must be from 1 to {MOST_REPLAYED}")));
    }
    if let Some(cursor) = cursor {
        if has_range {
            return Err(field("/cursor", "wrong_type", "stands for since and until"));
        }
        let (behind, until) = read_cursor(cursor)
            .ok_or_else(|| field("/cursor", "invalid_cursor", "is no cursor of this address"))?;
        return Ok(Wanted::Range(ReplayRange { since: behind.0, until, behind: Some(behind), limit }));
    }
    let since = since.ok_or_else(|| field("/since", "required", "is required, or event_id, or cursor"))?;
    Ok(Wanted::Range(ReplayRange { since, until: until.unwrap_or(now), behind: None, limit }))
}

/// The last event that was looked at, and where the time ends.
fn cursor((at, number): (Timestamp, i64), until: Timestamp) -> String {
    format!("{}_{number}_{}", at.as_micros(), until.as_micros())
}

fn read_cursor(text: &str) -> Option<((Timestamp, i64), Timestamp)> {
    let (at, rest) = text.split_once('_')?;
    let (number, until) = rest.split_once('_')?;
    let time = |text: &str| text.parse().ok().map(Timestamp::from_micros);
    Some(((time(at)?, number.parse().ok()?), time(until)?))
}
