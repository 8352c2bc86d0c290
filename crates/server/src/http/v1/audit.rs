//! The audit trail.

use std::str::FromStr;

use axum::Json;
use axum::extract::{RawQuery, State as Shared};
use domain::audit::{Entry, hex};
use domain::phone::{Country, Msisdn};
use domain::time::Timestamp;
use serde::Serialize;
use store::port::audit::{AuditCursor, AuditFilter, AuditPage};
use utoipa::ToSchema;

use crate::http::extract::{Authenticated, is_field_name};
use crate::http::problem::{FieldProblem, Problem, ProblemBody};
use crate::http::state::State;
use crate::keys::Scope;

/// Entries on a page unless asked otherwise.
const DEFAULT_LIMIT: u32 = 50;
/// Entries on a page at most.
const MAX_LIMIT: u32 = 200;

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
    let (filter, page) = read(query.as_deref().unwrap_or_default(), state.service.default_region())?;
    // One more than asked for tells whether there is a next page.
    let mut entries = state.service.audit(filter, AuditPage { limit: page.limit + 1, ..page }).await?;
    let more = entries.len() > page.limit as usize;
    entries.truncate(page.limit as usize);
    let next_cursor = entries.last().filter(|_| more).map(|last| cursor(AuditCursor::from(last)));
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
fn read(query: &str, default_region: Country) -> Result<(AuditFilter, AuditPage), Problem> {
    let (mut filter, mut page) = (AuditFilter::default(), AuditPage { after: None, limit: DEFAULT_LIMIT });
    let mut errors = Vec::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let mistake = match name.as_ref() {
            "receiver" => Msisdn::parse(&value, default_region)
                .map(|receiver| filter.receiver = Some(receiver))
                .map_err(|problem| ("invalid_receiver", problem.to_string())),
            "event" => parse(&value, &mut filter.event),
            "actor" => parse(&value, &mut filter.actor),
            "message_id" => parse(&value, &mut filter.message_id),
            "since" => parse(&value, &mut filter.since),
            "until" => parse(&value, &mut filter.until),
            "cursor" => match read_cursor(&value) {
                Some(cursor) => {
                    page.after = Some(cursor);
                    Ok(())
                }
                None => Err(("invalid_cursor", "is no cursor of a page".into())),
            },
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

fn parse<T: FromStr>(value: &str, to: &mut Option<T>) -> Result<(), (&'static str, String)>
where
    T::Err: std::fmt::Display,
{
    *to = Some(value.parse().map_err(|problem: T::Err| ("wrong_type", problem.to_string()))?);
    Ok(())
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
