//! What grows lies in partitions of a week: those to come are made ahead, and one that is no longer kept is dropped as a
//! whole, which costs nothing however much is in it.
//!
//! A partition is named by where it ends. All four tables have the same weeks. Messages, states and attempts lie by the id
//! of the message, which begins with the time it was accepted; callbacks by when they came, and so in the same week or a
//! later one.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::time::Timestamp;

use super::audit;
use super::read::first_id;
use super::sql::{Statements, get, params, text};
use crate::StoreError;
use crate::port::history::KeepHistory;

const WEEK: Duration = Duration::from_hours(7 * 24);

/// 1970-01-05 was the first Monday.
const MONDAY: Timestamp = Timestamp::from_micros(4 * 86_400_000_000);

/// How far ahead partitions are made.
const AHEAD: Duration = Duration::from_hours(4 * 7 * 24);

/// A table in partitions.
struct Grows {
    table: &'static str,
    key: &'static str,
    options: &'static str,
    /// By the id of a message, or else by time.
    by_id: bool,
}

/// The audit trail, which is kept for a time of its own.
const AUDIT: Grows = Grows { table: "audit", key: "at", options: "", by_id: false };

const GROWS: [Grows; 4] = [
    Grows { table: "messages", key: "id", options: "", by_id: true },
    // Room in each page lets an update stay there, without touching the index.
    Grows { table: "states", key: "message_id", options: "WITH (fillfactor = 60)", by_id: true },
    Grows { table: "attempts", key: "message_id", options: "WITH (fillfactor = 60)", by_id: true },
    Grows { table: "callbacks", key: "received_at", options: "", by_id: false },
];

impl Grows {
    fn partition(&self, ends: Timestamp) -> String {
        // The date of RFC 3339, without its dashes.
        let date: String = ends.to_string().chars().filter(|it| *it != '-').take(8).collect();
        format!("{}_to_{date}", self.table)
    }

    /// The first key at or after a time, as a statement writes it.
    fn bound(&self, at: Timestamp) -> String {
        if self.by_id { format!("'{}'", uuid(first_id(at))) } else { at.as_micros().to_string() }
    }
}

fn uuid(bytes: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(bytes))
}

/// When the week ends in which a time falls.
fn end_of_week(at: Timestamp) -> Timestamp {
    let week = i64::try_from(WEEK.as_micros()).unwrap_or(i64::MAX);
    let into = (at.as_micros() - MONDAY.as_micros()).rem_euclid(week);
    Timestamp::from_micros(at.as_micros() - into).plus(WEEK)
}

const PARTITIONS: &str = "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
     WHERE i.inhparent = CAST($1::text AS regclass)";

/// Where the partitions of a table end, without the default one.
fn ends(statements: &mut Statements<'_>, table: &str) -> Result<BTreeSet<Timestamp>, StoreError> {
    let names = statements.collect(PARTITIONS, params![table], |row| text(row, 0).map(str::to_owned))?;
    Ok(names.iter().filter_map(|name| end_of(name)).collect())
}

/// When the partition of this name ends.
fn end_of(name: &str) -> Option<Timestamp> {
    let (_, date) = name.rsplit_once("_to_")?;
    let (year, rest) = date.split_at_checked(4)?;
    let (month, day) = rest.split_at_checked(2)?;
    format!("{year}-{month}-{day}T00:00:00Z").parse().ok()
}

/// A change of the schema, to be made by itself: whoever reads takes the tables in an order of its own, so that nobody may
/// hold one of them and wait for another.
pub(super) struct Change(String);

impl Change {
    pub(super) fn make(&self, statements: &mut Statements<'_>) -> Result<(), StoreError> {
        statements.define(&self.0)
    }
}

/// What is to be changed, and about how many messages are forgotten by it.
pub(super) fn plan(
    statements: &mut Statements<'_>,
    keep: &KeepHistory,
) -> Result<(Vec<Change>, u64), StoreError> {
    let mut changes = make_room(statements, keep.now)?;
    changes.extend(forget_entries(statements, keep.audit_since)?);
    let mut messages = 0;
    if let Some(since) = keep.messages_since {
        let (dropped, about) = forget(statements, since)?;
        changes.extend(dropped);
        messages = about;
    }
    Ok((changes, messages))
}

/// What the rooms would do within a batch. The writer has taken these questions out of it before: see [`plan`].
pub(super) fn keep(_statements: &mut Statements<'_>, _keep: &KeepHistory) -> Result<(u64, bool), StoreError> {
    Err(StoreError::Internal("a change of the schema does not go with a batch".into()))
}

/// The partitions of the weeks to come that are not there yet.
fn make_room(statements: &mut Statements<'_>, now: Timestamp) -> Result<Vec<Change>, StoreError> {
    let mut changes = Vec::new();
    for grows in GROWS.iter().chain([&AUDIT]) {
        let Some(mut last) = ends(statements, grows.table)?.last().copied() else { continue };
        while last < now.plus(AHEAD) {
            // The time for which the gateway was off is one partition.
            let next = end_of_week(last.max(now));
            changes.extend(add(statements, grows, last, next)?);
            last = next;
        }
    }
    Ok(changes)
}

/// A partition. A week of which rows are in the default partition already stays there: a clock was far ahead.
fn add(
    statements: &mut Statements<'_>,
    grows: &Grows,
    from: Timestamp,
    to: Timestamp,
) -> Result<Option<Change>, StoreError> {
    let Grows { table, key, options, .. } = grows;
    let (first, end) = (grows.bound(from), grows.bound(to));
    let taken =
        format!("SELECT EXISTS (SELECT 1 FROM {table}_default WHERE {key} >= {first} AND {key} < {end})");
    if statements.collect_of(&taken, params![], |row| get::<bool>(row, 0))? == [true] {
        tracing::warn!(table, %from, "rows of this week lie in the default partition: they will not be forgotten");
        return Ok(None);
    }
    let name = grows.partition(to);
    Ok(Some(Change(format!(
        "CREATE TABLE IF NOT EXISTS {name} PARTITION OF {table} FOR VALUES FROM ({first}) TO ({end}) {options}"
    ))))
}

/// Whether a message accepted before a time has not ended: it waits, somebody sends it, or somebody looks after it. Asked
/// of the small tables: a week of states would take seconds to read.
const UNENDED: &str = "SELECT EXISTS (SELECT 1 FROM queue WHERE message_id < $1) \
     OR EXISTS (SELECT 1 FROM watches WHERE message_id < $1) \
     OR EXISTS (SELECT 1 FROM attempts WHERE outcome IS NULL AND message_id < $1)";

const ABOUT: &str = "SELECT coalesce(sum(greatest(reltuples, 0)), 0)::bigint FROM pg_class WHERE relname = $1::text \
     AND relnamespace = current_schema()::regnamespace";

/// Drops the weeks that end before `since`, messages last: what is left of a week, if something goes wrong between, is found
/// again. Answers about how many messages are in them.
fn forget(statements: &mut Statements<'_>, since: Timestamp) -> Result<(Vec<Change>, u64), StoreError> {
    let (mut changes, mut messages) = (Vec::new(), 0);
    let [of_messages, ..] = &GROWS;
    for end in ends(statements, of_messages.table)?.into_iter().take_while(|end| *end <= since) {
        let unended = statements.first(UNENDED, params![first_id(end)], |row| get::<bool>(row, 0))?;
        if unended == Some(true) {
            tracing::warn!(%end, "messages of a week that is no longer kept have not ended: it stays");
            break;
        }
        let about = statements.first(ABOUT, params![of_messages.partition(end)], |row| get::<u64>(row, 0))?;
        messages += about.unwrap_or(0);
        let rounds = format!("DELETE FROM rounds WHERE message_id < '{}'", uuid(first_id(end)));
        let drop = |grows: &Grows| Change(format!("DROP TABLE IF EXISTS {}", grows.partition(end)));
        changes.push(Change(rounds));
        changes.extend(GROWS.iter().rev().map(drop));
        tracing::info!(%end, "a week that is no longer kept is dropped");
    }
    Ok((changes, messages))
}

/// Drops the weeks of the audit trail that end before `since`, which its heads say first.
fn forget_entries(statements: &mut Statements<'_>, since: Timestamp) -> Result<Vec<Change>, StoreError> {
    let over: Vec<_> = ends(statements, AUDIT.table)?.into_iter().take_while(|end| *end <= since).collect();
    let Some(last) = over.last() else { return Ok(Vec::new()) };
    audit::forget(statements, *last)?;
    tracing::info!(end = %last, "entries of the audit trail that are no longer kept are dropped");
    let drop = |end: &Timestamp| Change(format!("DROP TABLE IF EXISTS {}", AUDIT.partition(*end)));
    // What a clock that was far ahead has left there.
    let rest = format!("DELETE FROM audit_default WHERE at < {}", last.as_micros());
    Ok(over.iter().map(drop).chain([Change(rest)]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_week_ends_on_monday_at_midnight() {
        let monday = at("2026-11-30T00:00:00Z");
        assert_eq!(end_of_week(at("2026-11-27T12:00:00Z")), monday);
        assert_eq!(end_of_week(at("2026-11-29T23:59:59.999Z")), monday);
        assert_eq!(end_of_week(monday), at("2026-12-07T00:00:00Z"));
    }

    #[test]
    fn the_name_of_a_partition_says_where_it_ends() {
        let monday = at("2026-11-30T00:00:00Z");
        let name = GROWS[0].partition(monday);
        assert_eq!((name.as_str(), end_of(&name)), ("messages_to_20261130", Some(monday)));
        assert_eq!(end_of("messages_default"), None);
    }
}
