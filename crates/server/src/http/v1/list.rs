//! Lists of messages.

use axum::Json;
use axum::extract::{RawQuery, State as Shared};
use domain::phone::Country;
use serde::Serialize;
use store::port::messages::{Filter, Page};
use utoipa::ToSchema;

use super::query;
use super::view::ListedMessage;
use crate::http::extract::Authenticated;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::state::State;
use crate::keys::Scope;

/// A page of messages, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct MessagePage {
    /// The messages.
    messages: Vec<ListedMessage>,
    /// Where the next page begins: give it as `cursor`. Not there on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Lists messages, newest first.
///
/// A key with `sms:send` alone sees its own messages, with masked numbers.
#[utoipa::path(
    get, path = "/sms", tag = "messages",
    params(
        ("receiver" = Option<String>, Query, description = "only to this number; a + is written %2B"),
        ("status" = Option<String>, Query, description = "only standing here"),
        ("scenario" = Option<String>, Query, description = "only for this purpose"),
        ("provider" = Option<String>, Query, description = "only on this provider's route"),
        ("since" = Option<String>, Query, format = DateTime, description = "accepted at or after this time (RFC 3339)"),
        ("until" = Option<String>, Query, format = DateTime, description = "accepted before this time (RFC 3339)"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "1 to 200 messages, 50 unless given"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses(
        (status = 200, body = MessagePage),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "wrong parameters", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    Shared(state): Shared<State>,
    caller: Authenticated,
    RawQuery(query): RawQuery,
) -> Result<Json<MessagePage>, Problem> {
    let identity = caller.with_any(&[Scope::Send, Scope::Read])?;
    let (mut filter, page) = read(query.as_deref(), state.service.default_region())?;
    if !identity.may(Scope::Read) {
        filter.caller = Some(identity.key);
    }
    // One more than asked for tells whether there is a next page.
    let messages = state.service.messages(filter, Page { limit: page.limit + 1, ..page }).await?;
    let (messages, next_cursor) = query::page(messages, page.limit, |last| last.message.id.to_string());
    let messages = messages.into_iter().map(|summary| ListedMessage::new(summary, &identity)).collect();
    Ok(Json(MessagePage { messages, next_cursor }))
}

/// Reads all parameters and names every wrong one.
fn read(query: Option<&str>, region: Country) -> Result<(Filter, Page), Problem> {
    let (mut filter, mut page) = (Filter::default(), Page { after: None, limit: query::DEFAULT_LIMIT });
    query::read(query, |name, text| match name {
        "receiver" => query::number(text, region, &mut filter.receiver),
        "status" => query::value(text, &mut filter.status, "unknown_status"),
        "scenario" => query::value(text, &mut filter.scenario, "unknown_scenario"),
        "provider" => query::value(text, &mut filter.provider, "unknown_provider"),
        "since" => query::value(text, &mut filter.since, "wrong_type"),
        "until" => query::value(text, &mut filter.until, "wrong_type"),
        "cursor" => query::value(text, &mut page.after, "invalid_cursor"),
        "limit" => query::limit(text, &mut page.limit),
        _ => query::unknown(),
    })?;
    Ok((filter, page))
}
