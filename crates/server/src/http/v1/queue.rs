//! The queue: what waits, for how long, and what does not move.

use std::time::Duration;

use axum::Json;
use axum::extract::{RawQuery, State as Shared};
use gateway::reconcile::ReconcilerReport;
use serde::Serialize;
use store::port::queue::{AGES, LaneDepth, Stuck};
use store::port::watches::WatchCount;
use utoipa::ToSchema;

use super::query;
use crate::http::extract::Authenticated;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::state::State;
use crate::keys::Scope;

/// After how long a message counts as stuck unless asked otherwise, in seconds.
const DEFAULT_OLDER_THAN_S: u64 = 600;

/// The queue.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownQueue {
    /// When it was so.
    at: String,
    /// What waits, by provider and lane.
    lanes: Vec<ShownLane>,
    /// Messages that the reconciler looks after.
    watches: Vec<ShownWatch>,
    /// What the reconciler has done since the start.
    reconciler: ShownReconciler,
}

/// What waits in one lane for one provider.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownLane {
    /// The provider.
    provider: String,
    /// critical, high, normal or bulk.
    #[schema(example = "high")]
    lane: &'static str,
    /// How many messages in all.
    #[schema(example = 12)]
    messages: u64,
    /// How many of them are not due yet: scheduled, held back by quiet hours, or waiting for another try.
    #[schema(example = 4)]
    later: u64,
    /// How many have been due for longer than some seconds.
    overdue: Vec<Overdue>,
    /// When the first of them was or is due.
    oldest_due_at: String,
}

/// How many messages have been due for longer than so many seconds.
#[derive(Serialize, ToSchema)]
pub(super) struct Overdue {
    /// The seconds.
    #[schema(example = 10)]
    seconds: u64,
    /// The messages.
    #[schema(example = 1)]
    messages: u64,
}

/// Messages that the reconciler looks after, of one kind.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownWatch {
    /// doubt (nobody knows how an attempt ended), silence (no receipt so far) or undelivered (another route may do).
    #[schema(example = "doubt")]
    kind: &'static str,
    /// How many.
    #[schema(example = 2)]
    messages: u64,
    /// When the first of them is looked at next.
    next_look_at: String,
    /// When the oldest of them was accepted.
    oldest_accepted_at: String,
}

/// What the reconciler has done since the start.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownReconciler {
    /// When it last looked; `null` if it has not yet.
    last_look: Option<String>,
    /// Messages looked after.
    looked_after: u64,
    /// Ambiguous attempts that turned out to have arrived.
    found: u64,
    /// Ambiguous attempts that turned out not to have arrived.
    absent: u64,
    /// Messages given up because nobody could find out.
    given_up: u64,
    /// Messages sent again, by policy, for an unclear, missing or bad outcome.
    resent: u64,
    /// Questions that a provider did not answer.
    unanswered: u64,
}

/// Messages that do not move.
#[derive(Serialize, ToSchema)]
pub(super) struct StuckMessages {
    /// The messages, the oldest first.
    messages: Vec<ShownStuck>,
}

/// A message that does not move.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownStuck {
    /// Its id.
    #[schema(example = "msg_019ab0c4e1f27d3c8a5b6f7081920a3b")]
    id: String,
    /// The provider that it waits for, or that was asked.
    provider: String,
    /// Its lane.
    #[schema(example = "normal")]
    lane: &'static str,
    /// `waits_for_turn`, `waits_for_outcome` or `in_doubt`.
    #[schema(example = "in_doubt")]
    cause: &'static str,
    /// Since when.
    since: String,
}

impl From<&LaneDepth> for ShownLane {
    fn from(lane: &LaneDepth) -> Self {
        let overdue = AGES.iter().zip(lane.overdue);
        Self {
            provider: lane.provider.to_string(),
            lane: lane.priority.as_str(),
            messages: lane.messages,
            later: lane.later,
            overdue: overdue.map(|(seconds, messages)| Overdue { seconds: *seconds, messages }).collect(),
            oldest_due_at: lane.oldest_due_at.to_string(),
        }
    }
}

impl From<WatchCount> for ShownWatch {
    fn from(count: WatchCount) -> Self {
        Self {
            kind: count.kind.as_str(),
            messages: count.watches,
            next_look_at: count.next_due_at.to_string(),
            oldest_accepted_at: count.oldest_accepted_at.to_string(),
        }
    }
}

impl From<ReconcilerReport> for ShownReconciler {
    fn from(report: ReconcilerReport) -> Self {
        Self {
            last_look: report.last_look.map(|at| at.to_string()),
            looked_after: report.looked_after,
            found: report.found,
            absent: report.absent,
            given_up: report.given_up,
            resent: report.resent,
            unanswered: report.unanswered,
        }
    }
}

impl From<Stuck> for ShownStuck {
    fn from(stuck: Stuck) -> Self {
        Self {
            id: stuck.message_id.to_string(),
            provider: stuck.provider.to_string(),
            lane: stuck.priority.as_str(),
            cause: stuck.cause.as_str(),
            since: stuck.since.to_string(),
        }
    }
}

/// Shows what waits, by provider and lane, and what is looked after.
#[utoipa::path(
    get, path = "/queue", tag = "operators",
    responses(
        (status = 200, body = ShownQueue),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be read", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(
    Shared(state): Shared<State>,
    caller: Authenticated,
) -> Result<Json<ShownQueue>, Problem> {
    caller.with_any(&[Scope::Admin])?;
    let queue = state.service.queue().await?;
    Ok(Json(ShownQueue {
        at: queue.at.to_string(),
        lanes: queue.lanes.iter().map(ShownLane::from).collect(),
        watches: queue.watches.into_iter().map(ShownWatch::from).collect(),
        reconciler: queue.reconciler.into(),
    }))
}

/// Shows messages that have not moved for some time and have not ended, the oldest first.
#[utoipa::path(
    get, path = "/queue/stuck", tag = "operators",
    params(
        ("older_than_s" = Option<u64>, Query, description = "only those that have not moved for so many seconds, 600 unless given"),
        ("limit" = Option<u32>, Query, description = "1 to 200 messages, 50 unless given"),
    ),
    responses(
        (status = 200, body = StuckMessages),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "wrong parameters", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be read", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn stuck(
    Shared(state): Shared<State>,
    caller: Authenticated,
    RawQuery(query): RawQuery,
) -> Result<Json<StuckMessages>, Problem> {
    caller.with_any(&[Scope::Admin])?;
    let (older_than, limit) = read(query.as_deref())?;
    let stuck = state.service.stuck(state.service.now().minus(older_than), limit).await?;
    Ok(Json(StuckMessages { messages: stuck.into_iter().map(ShownStuck::from).collect() }))
}

/// Reads the parameters and names every wrong one.
fn read(query: Option<&str>) -> Result<(Duration, u32), Problem> {
    let (mut older_than_s, mut limit) = (DEFAULT_OLDER_THAN_S, query::DEFAULT_LIMIT);
    query::read(query, |name, text| match name {
        "older_than_s" => {
            let seconds =
                text.parse().map_err(|_not_a_number| ("wrong_type", "must be a number of seconds".into()))?;
            older_than_s = seconds;
            Ok(())
        }
        "limit" => query::limit(text, &mut limit),
        _ => query::unknown(),
    })?;
    Ok((Duration::from_secs(older_than_s), limit))
}
