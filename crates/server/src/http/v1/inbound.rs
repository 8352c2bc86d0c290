//! Messages from phones.

use axum::Json;
use axum::extract::{RawQuery, State as Shared};
use domain::inbound::Origin;
use domain::phone::Country;
use serde::Serialize;
use store::port::inbound::{InboundFilter, InboundRecord};
use utoipa::ToSchema;

use super::query;
use crate::http::extract::Authenticated;
use crate::http::mask;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::state::State;
use crate::keys::{Identity, Scope};

/// A page of messages from phones, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct InboundPage {
    /// The messages.
    messages: Vec<ShownInbound>,
    /// Where the next page begins: give it as `cursor`. Not there on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// A message from a phone.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownInbound {
    /// Its id.
    #[schema(example = "inb_019ab0c4e1f27d3c8a5b6f7081920a3b")]
    id: String,
    /// Who wrote: a number in E.164 form, masked unless the key has the scope `sms:read`, or a network's own name.
    #[schema(example = "+254712345678")]
    from: String,
    /// What was written to: a number or short code of ours.
    #[schema(example = "21512")]
    to: String,
    /// The text as it came; `null` once it was erased.
    #[schema(example = "NDIO")]
    message: Option<String>,
    /// How many SMS it took; `null` where the provider does not say.
    segments: Option<u16>,
    /// Who brought it.
    provider: String,
    /// Their name for it.
    provider_message_id: String,
    /// What it asked for, if it was a keyword: `stop_all`, `stop`, `unsubscribe`, `start`, `resume` or `help`.
    keyword: Option<&'static str>,
    /// The word of `inbound.rules` that it begins with.
    word: Option<String>,
    /// What became of it: `opted_out`, `opted_in`, `helped`, `answered` (a question) or `passed_on`.
    #[schema(example = "passed_on")]
    handling: &'static str,
    /// When it came.
    received_at: String,
}

impl ShownInbound {
    fn new(record: InboundRecord, viewer: &Identity) -> Self {
        let from = match &record.from {
            Origin::Phone(number) => mask::number(*number, viewer),
            Origin::Other(text) => mask::as_given(text.expose(), viewer),
        };
        Self {
            id: record.id.to_string(),
            from,
            to: record.to,
            message: record.body.map(|body| body.expose().to_owned()),
            segments: record.segments,
            provider: record.provider.to_string(),
            provider_message_id: record.provider_message_id,
            keyword: record.keyword.map(domain::consent::Keyword::as_str),
            word: record.word,
            handling: record.handling.as_str(),
            received_at: record.received_at.to_string(),
        }
    }
}

/// Lists messages from phones, newest first.
///
/// A key with `sms:send` alone sees those that the settings give to it, with masked numbers.
#[utoipa::path(
    get, path = "/inbound", tag = "messages",
    params(
        ("from" = Option<String>, Query, description = "only from this number; a + is written %2B"),
        ("to" = Option<String>, Query, description = "only to this number or short code"),
        ("handling" = Option<String>, Query, description = "only those of which this became"),
        ("since" = Option<String>, Query, format = DateTime, description = "came at or after this time (RFC 3339)"),
        ("until" = Option<String>, Query, format = DateTime, description = "came before this time (RFC 3339)"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "1 to 200 messages, 50 unless given"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses(
        (status = 200, body = InboundPage),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "wrong parameters", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    Shared(state): Shared<State>,
    caller: Authenticated,
    RawQuery(query): RawQuery,
) -> Result<Json<InboundPage>, Problem> {
    let identity = caller.with_any(&[Scope::Send, Scope::Read])?;
    let mut filter = read(query.as_deref(), state.service.default_region())?;
    if !identity.may(Scope::Read) {
        filter.caller = Some(identity.key);
    }
    let limit = filter.limit;
    // One more than asked for tells whether there is a next page.
    filter.limit += 1;
    let messages = state.service.inbound(filter).await?;
    let (messages, next_cursor) = query::page(messages, limit, |last| last.id.to_string());
    let messages = messages.into_iter().map(|record| ShownInbound::new(record, &identity)).collect();
    Ok(Json(InboundPage { messages, next_cursor }))
}

/// Reads all parameters and names every wrong one.
fn read(query: Option<&str>, region: Country) -> Result<InboundFilter, Problem> {
    let mut filter = InboundFilter { limit: query::DEFAULT_LIMIT, ..InboundFilter::default() };
    query::read(query, |name, text| match name {
        "from" => query::number(text, region, &mut filter.from),
        // Nothing that has a NUL in it is kept.
        "to" if text.contains('\0') => Err(("nul_character", "has the character U+0000".into())),
        "to" => {
            filter.to = Some(text.to_owned());
            Ok(())
        }
        "handling" => query::value(text, &mut filter.handling, "wrong_type"),
        "since" => query::value(text, &mut filter.since, "wrong_type"),
        "until" => query::value(text, &mut filter.until, "wrong_type"),
        "cursor" => query::value(text, &mut filter.after, "invalid_cursor"),
        "limit" => query::limit(text, &mut filter.limit),
        _ => query::unknown(),
    })?;
    Ok(filter)
}
