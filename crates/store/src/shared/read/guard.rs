//! What the guard counted and decided.

use std::fmt::Write as _;

use domain::guard::ledger::Entered;
use domain::guard::{Bucket, Count, Grain, Subject};
use domain::ids::{DecisionId, KeyId};
use domain::phone::{Country, NumberPrefix};
use domain::time::Timestamp;

use super::super::row::{time, word};
use super::super::sql::{self, Row, Statements, Value, get, params};
use super::first_id;
use crate::StoreError;
use crate::port::guard::{AskedCounts, AskedSubjects, Days, Decision, DecisionFilter};

pub(in super::super) const ALL: &str = "SELECT grain, bucket, subject, sent, expected, verified, suspected \
     FROM guard_counts WHERE grain = ?1 AND bucket = ?2";

pub(in super::super) const ONE: &str = "SELECT grain, bucket, subject, sent, expected, verified, suspected \
     FROM guard_counts WHERE grain = ?1 AND bucket = ?2 AND subject = ?3";

/// Whoever was counted at all has a row of this minute or the one before.
pub(in super::super) const CHANGED: &str = "SELECT c.grain, c.bucket, c.subject, c.sent, c.expected, c.verified, \
     c.suspected FROM guard_counts m CROSS JOIN guard_counts c \
     ON c.grain = ?1 AND c.bucket = ?2 AND c.subject = m.subject \
     WHERE m.grain = 'minute' AND m.bucket = ?3 AND m.changed_at >= ?4";

pub(in super::super) const DAYS: &str = "SELECT subject, CAST(sum(sent) AS BIGINT), CAST(sum(expected) AS BIGINT), \
     CAST(sum(verified) AS BIGINT), CAST(sum(suspected) AS BIGINT) FROM guard_counts \
     WHERE grain = 'day' AND bucket >= ?1 AND bucket <= ?2 GROUP BY subject";

/// Without the word SQLite reads a fortnight of everybody.
pub(in super::super) const DAYS_OF_ONE: &str = "SELECT subject, CAST(sum(sent) AS BIGINT), \
     CAST(sum(expected) AS BIGINT), CAST(sum(verified) AS BIGINT), CAST(sum(suspected) AS BIGINT) FROM guard_counts \
     INDEXED BY guard_days WHERE grain = 'day' AND subject = ?1 AND bucket >= ?2 AND bucket <= ?3 GROUP BY subject";

const DECISION: &str = "SELECT id, at, last_at, mode, country, prefix, caller, scenario, reasons, messages, sampled, \
     confirmed FROM guard_decisions";

/// The stretches of time that run, and those before them.
fn buckets(now: Timestamp) -> impl Iterator<Item = Bucket> {
    Grain::ALL.iter().flat_map(move |grain| {
        let running = grain.at(now);
        [running.number, running.number - 1].map(|number| Bucket { number, ..running })
    })
}

pub(in super::super) fn counts(
    statements: &mut Statements<'_>,
    asked: &AskedCounts,
) -> Result<Vec<Entered>, StoreError> {
    let mut found = Vec::new();
    for bucket in buckets(asked.now) {
        let (grain, number) = (bucket.grain.as_str(), bucket.number);
        match &asked.of {
            AskedSubjects::All => {
                found.extend(statements.collect(ALL, params![grain, number], entered)?.into_iter().flatten());
            }
            AskedSubjects::These(subjects) => {
                for subject in subjects {
                    let values = params![grain, number, subject.to_string()];
                    found.extend(statements.collect(ONE, values, entered)?.into_iter().flatten());
                }
            }
            AskedSubjects::ChangedSince(since) => {
                let minute = Grain::Minute.at(asked.now).number;
                for minute in [minute, minute - 1] {
                    let values = params![grain, number, minute, since.as_micros()];
                    found.extend(statements.collect(CHANGED, values, entered)?.into_iter().flatten());
                }
            }
        }
    }
    Ok(found)
}

/// A row, if it can be read. The guard decides by what is left: one that is damaged must not keep a gateway from starting.
fn readable<T>(row: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match row {
        Err(StoreError::Corrupt) => {
            tracing::error!("a count of the guard can't be read, and is left out");
            Ok(None)
        }
        row => row.map(Some),
    }
}

fn entered(row: &Row<'_>) -> Result<Option<Entered>, StoreError> {
    let read = || {
        let bucket = Bucket { grain: word(row, 0)?, number: get(row, 1)? };
        Ok(Entered { bucket, subject: word(row, 2)?, count: count(row, 3)? })
    };
    readable(read())
}

fn count(row: &Row<'_>, at: usize) -> Result<Count, StoreError> {
    Ok(Count {
        sent: get(row, at)?,
        expected: get(row, at + 1)?,
        verified: get(row, at + 2)?,
        suspected: get(row, at + 3)?,
    })
}

pub(in super::super) fn days(
    statements: &mut Statements<'_>,
    days: Days,
    of: &[Subject],
) -> Result<Vec<(Subject, Count)>, StoreError> {
    let read = |row: &Row<'_>| readable(word(row, 0).and_then(|subject| Ok((subject, count(row, 1)?))));
    if of.is_empty() {
        let all = statements.collect(DAYS, params![days.first, days.last], read)?;
        return Ok(all.into_iter().flatten().collect());
    }
    let mut found = Vec::new();
    for subject in of {
        let values = params![subject.to_string(), days.first, days.last];
        found.extend(statements.collect(DAYS_OF_ONE, values, read)?.into_iter().flatten());
    }
    Ok(found)
}

pub(in super::super) fn decisions(
    statements: &mut Statements<'_>,
    filter: &DecisionFilter,
) -> Result<Vec<Decision>, StoreError> {
    let (sql, values) = decisions_sql(filter);
    statements.collect_of(&sql, sql::list(values), decision)
}

/// Ids begin with the time: a bound on the id keeps the scan short, the exact one follows.
pub(in super::super) fn decisions_sql(filter: &DecisionFilter) -> (String, Vec<Value>) {
    let (mut sql, mut values) = (format!("{DECISION} WHERE true"), Vec::new());
    let mut condition = |text: &str, value: Value| {
        values.push(value);
        let _ = write!(sql, " AND {}", text.replace('?', &format!("?{}", values.len())));
    };
    if let Some(since) = filter.since {
        condition("id >= ?", Value::Blob(first_id(since).to_vec()));
        condition("at >= ?", Value::Integer(since.as_micros()));
    }
    if let Some(until) = filter.until {
        condition("id <= ?", Value::Blob(DecisionId::new(until, [255; 10]).as_bytes().to_vec()));
        condition("at < ?", Value::Integer(until.as_micros()));
    }
    if let Some(after) = filter.after {
        condition("id < ?", Value::Blob(after.as_bytes().to_vec()));
    }
    if let Some(mode) = filter.mode {
        condition("mode = ?", Value::Text(mode.as_str().into()));
    }
    if let Some(country) = filter.country {
        condition("country = ?", Value::Text(country.as_str().into()));
    }
    if let Some(prefix) = filter.prefix {
        condition("prefix = ?", Value::Integer(prefix.cast_signed()));
    }
    if let Some(caller) = filter.caller {
        condition("caller = ?", Value::Blob(caller.as_bytes().to_vec()));
    }
    if let Some(rule) = filter.rule {
        // Reasons are kept as JSON that this program writes, without spaces.
        condition("reasons LIKE ?", Value::Text(format!("%\"rule\":\"{rule}\"%")));
    }
    values.push(Value::Integer(filter.limit.into()));
    let _ = write!(sql, " ORDER BY id DESC LIMIT ?{}", values.len());
    (sql, values)
}

fn decision(row: &Row<'_>) -> Result<Decision, StoreError> {
    let country: Country = word(row, 4)?;
    let prefix = get::<Option<u64>>(row, 5)?;
    Ok(Decision {
        id: DecisionId::from_bytes(get(row, 0)?),
        at: time(row, 1)?,
        last_at: time(row, 2)?,
        mode: word(row, 3)?,
        country,
        prefix: prefix.map(|digits| NumberPrefix::from_parts(digits, country)),
        caller: KeyId::from_bytes(get(row, 6)?),
        scenario: word(row, 7)?,
        reasons: serde_json::from_str(&get::<String>(row, 8)?).or(Err(StoreError::Corrupt))?,
        messages: get(row, 9)?,
        sampled: get(row, 10)?,
        confirmed: get(row, 11)?,
    })
}
