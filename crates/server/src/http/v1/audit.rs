//! The audit trail.

use axum::Json;
use axum::extract::{RawQuery, State as Shared};
use domain::audit::{Entry, hex};
use domain::phone::Country;
use domain::time::Timestamp;
use serde::Serialize;
use store::port::audit::{AuditCursor, AuditFilter, AuditPage};
use utoipa::ToSchema;

use super::query;
use crate::http::extract::Authenticated;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::state::State;
use crate::keys::Scope;

/// A page of entries, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct AuditEntries {
    /// The entries.
    entries: Vec<ShownEntry>,
    /// Where the next page begins: give it as `cursor`. Not there on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// An entry. What it does not tell of is left out.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownEntry {
    /// The chain that it stands in.
    #[schema(example = 1)]
    chain: i64,
    /// Its place there.
    #[schema(example = 4711)]
    seq: i64,
    /// When.
    #[schema(example = "2026-11-27T08:30:00.000Z")]
    at: String,
    /// Who: a key's id, `system`, `operator` for the command line, or `provider:` and a provider's name.
    #[schema(example = "key_019ab0c4e1f27d3c8a5b6f7081920a3b")]
    actor: String,
    /// What.
    #[schema(example = "sms.accepted")]
    event: String,
    /// To which message.
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    /// A keyed hash of its receiver: the same for the same number.
    #[serde(skip_serializing_if = "Option::is_none")]
    receiver_hash: Option<String>,
    /// By which provider, or to which one.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    /// How many characters the text has.
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<u32>,
    /// How many SMS it takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<u16>,
    /// A status, a reason or a code.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<String>,
    /// What else was acted on: a key's id, a worker's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    /// SHA-256 over all that and the hash before it.
    hash: String,
}

impl From<Entry> for ShownEntry {
    fn from(entry: Entry) -> Self {
        Self {
            chain: entry.chain,
            seq: entry.seq,
            at: entry.at.to_string(),
            actor: entry.actor,
            event: entry.event.into_owned(),
            message_id: entry.message_id.map(|id| id.to_string()),
            receiver_hash: entry.receiver.map(|hash| hex(&hash.to_be_bytes())),
            provider: entry.provider,
            length: entry.length,
            segments: entry.segments,
            outcome: entry.outcome.map(Into::into),
            subject: entry.subject,
            hash: hex(&entry.hash),
        }
    }
}

/// Lists entries of the audit trail, newest first.
#[utoipa::path(
    get, path = "/audit", tag = "operators",
    params(
        ("event" = Option<String>, Query, description = "only of this event"),
        ("actor" = Option<String>, Query, description = "only by this actor: a key's id, system, operator, or provider: and a provider's name"),
        ("message_id" = Option<String>, Query, description = "only of this message"),
        ("receiver" = Option<String>, Query, description = "only of messages to this number; a + is written %2B"),
        ("since" = Option<String>, Query, description = "at or after this time (RFC 3339)"),
        ("until" = Option<String>, Query, description = "before this time (RFC 3339)"),
        ("limit" = Option<u32>, Query, description = "1 to 200 entries, 50 unless given"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses(
        (status = 200, body = AuditEntries),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "wrong parameters", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be read, or takes too long: ask for less time", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    Shared(state): Shared<State>,
    caller: Authenticated,
    RawQuery(query): RawQuery,
) -> Result<Json<AuditEntries>, Problem> {
    caller.with_any(&[Scope::Admin])?;
    let (filter, page) = read(query.as_deref(), state.service.default_region())?;
    // One more than asked for tells whether there is a next page.
    let entries = state.service.audit(filter, AuditPage { limit: page.limit + 1, ..page }).await?;
    let (entries, next_cursor) = query::page(entries, page.limit, |last| cursor(AuditCursor::from(last)));
    Ok(Json(AuditEntries { entries: entries.into_iter().map(ShownEntry::from).collect(), next_cursor }))
}

fn cursor(AuditCursor { at, chain, seq }: AuditCursor) -> String {
    format!("{}-{chain}-{seq}", at.as_micros())
}

fn read_cursor(text: &str) -> Option<AuditCursor> {
    let mut parts = text.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let mut next = || parts.next().flatten();
    Some(AuditCursor { at: Timestamp::from_micros(next()?), chain: next()?, seq: next()? })
}

/// Reads all parameters and names every wrong one.
fn read(query: Option<&str>, region: Country) -> Result<(AuditFilter, AuditPage), Problem> {
    let (mut filter, mut page) =
        (AuditFilter::default(), AuditPage { after: None, limit: query::DEFAULT_LIMIT });
    query::read(query, |name, text| match name {
        "receiver" => query::number(text, region, &mut filter.receiver),
        "event" => query::value(text, &mut filter.event, "wrong_type"),
        "actor" => query::value(text, &mut filter.actor, "wrong_type"),
        "message_id" => query::value(text, &mut filter.message_id, "wrong_type"),
        "since" => query::value(text, &mut filter.since, "wrong_type"),
        "until" => query::value(text, &mut filter.until, "wrong_type"),
        "cursor" => {
            page.after = Some(read_cursor(text).ok_or(("invalid_cursor", "is no cursor of a page".into()))?);
            Ok(())
        }
        "limit" => query::limit(text, &mut page.limit),
        _ => query::unknown(),
    })?;
    Ok((filter, page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_reads_back_and_nothing_else_does() {
        let here = AuditCursor { at: Timestamp::from_micros(1_795_422_600_123_456), chain: 2, seq: 4_711 };
        assert_eq!(read_cursor(&cursor(here)), Some(here));
        for wrong in ["", "1", "1-2", "1-2-x", "a-1-2"] {
            assert_eq!(read_cursor(wrong), None, "{wrong}");
        }
    }
}
