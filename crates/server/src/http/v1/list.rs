//! Lists of messages.

use std::str::FromStr;

use axum::Json;
use axum::extract::{RawQuery, State as Shared};
use domain::ids::MessageId;
use domain::phone::{Country, Msisdn};
use serde::Serialize;
use store::port::messages::{Filter, Page};
use utoipa::ToSchema;

use super::view::ListedMessage;
use crate::http::extract::{Authenticated, is_field_name};
use crate::http::problem::{FieldProblem, Problem, ProblemBody};
use crate::http::state::State;
use crate::keys::Scope;

/// Messages on a page unless asked otherwise.
const DEFAULT_LIMIT: u32 = 50;
/// Messages on a page at most.
const MAX_LIMIT: u32 = 200;

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
    let (mut filter, page) = read(query.as_deref().unwrap_or_default(), state.service.default_region())?;
    if !identity.may(Scope::Read) {
        filter.caller = Some(identity.key);
    }
    // One more than asked for tells whether there is a next page.
    let mut messages = state.service.messages(filter, Page { limit: page.limit + 1, ..page }).await?;
    let more = messages.len() > page.limit as usize;
    messages.truncate(page.limit as usize);
    let next_cursor = messages.last().filter(|_| more).map(|last| last.message.id.to_string());
    let messages = messages.into_iter().map(|summary| ListedMessage::new(summary, &identity)).collect();
    Ok(Json(MessagePage { messages, next_cursor }))
}

/// Reads all parameters and names every wrong one.
fn read(query: &str, default_region: Country) -> Result<(Filter, Page), Problem> {
    let (mut filter, mut page) = (Filter::default(), Page { after: None, limit: DEFAULT_LIMIT });
    let mut errors = Vec::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let mistake = match name.as_ref() {
            "receiver" => Msisdn::parse(&value, default_region)
                .map(|receiver| filter.receiver = Some(receiver))
                .map_err(|problem| ("invalid_receiver", problem.to_string())),
            "status" => parse(&value, &mut filter.status).map_err(|problem| ("unknown_status", problem)),
            "scenario" => {
                parse(&value, &mut filter.scenario).map_err(|problem| ("unknown_scenario", problem))
            }
            "provider" => {
                parse(&value, &mut filter.provider).map_err(|problem| ("unknown_provider", problem))
            }
            "since" => parse(&value, &mut filter.since).map_err(|problem| ("wrong_type", problem)),
            "until" => parse(&value, &mut filter.until).map_err(|problem| ("wrong_type", problem)),
            "cursor" => {
                parse::<MessageId>(&value, &mut page.after).map_err(|problem| ("invalid_cursor", problem))
            }
            "limit" => match value.parse() {
                Ok(limit) if (1..=MAX_LIMIT).contains(&limit) => {
                    page.limit = limit;
                    Ok(())
                }
                _ => Err(("wrong_type", format!("must be a number from 1 to {MAX_LIMIT}"))),
            },
            _ => Err(("unknown_parameter", "is no parameter of this address".into())),
        };
        if let Err((code, detail)) = mistake {
            // An unknown name may be a number that got into the wrong place.
            let pointer = if is_field_name(&name) { name.into_owned() } else { String::new() };
            errors.push(FieldProblem { pointer, code, detail });
        }
    }
    if errors.is_empty() { Ok((filter, page)) } else { Err(Problem::of_fields(errors)) }
}

fn parse<T: FromStr>(value: &str, into: &mut Option<T>) -> Result<(), String>
where
    T::Err: std::fmt::Display,
{
    *into = Some(value.parse().map_err(|problem: T::Err| problem.to_string())?);
    Ok(())
}
