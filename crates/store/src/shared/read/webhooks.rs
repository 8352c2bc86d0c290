//! Endpoints, what is due to them, and what they got.

use std::collections::HashMap;

use domain::ids::{BulkId, EndpointId, KeyId};
use domain::secret::SecretString;
use domain::time::Timestamp;

use super::super::outbox;
use super::super::row::{optional_time, time};
use super::super::sql::{Row, Statements, get, params};
use super::events;
use crate::StoreError;
use crate::port::events::About;
use crate::port::webhooks::{
    Backlog, Delivery, Endpoint, Post, Replay, Replayable, TakenDelivery, Tells, ToldEvent,
};
use crate::seal::{Column, Vault};

const ENDPOINTS: &str = "SELECT w.id, w.caller, w.hears_all, w.sealed_url, w.description, w.events, w.sealed_secret, \
     w.sealed_former, w.former_ends_at, w.disabled_at, w.disabled_reason, w.failures, w.failing_since, w.rests_until, \
     w.created_at, k.revoked_at, k.expires_at \
     FROM webhook_endpoints w LEFT JOIN api_keys k ON k.id = w.caller ORDER BY w.id";

/// Whose a change of status is, its message knows.
pub(in super::super) const TO_HAND_OUT: &str = "SELECT e.number, e.kind, e.subject, coalesce(e.caller, m.caller) \
     FROM events e LEFT JOIN messages m ON m.id = e.subject \
     WHERE e.stage = 1 ORDER BY e.number LIMIT ?1";

/// Of each subject the earliest alone.
pub(in super::super) const DUE: &str = "SELECT d.number, e.kind, e.subject, e.at, e.sealed_data, e.provider, e.reason, \
     e.provider_code, m.scenario, m.bulk_id, m.reference, m.group_name, m.metadata, d.posts - d.posts_before, d.since \
     FROM deliveries d JOIN events e ON e.number = d.number LEFT JOIN messages m ON m.id = e.subject \
     WHERE d.endpoint_id = ?1 AND d.state = 'pending' AND d.due_at <= ?2 AND NOT EXISTS ( \
       SELECT 1 FROM deliveries f WHERE f.endpoint_id = d.endpoint_id AND f.subject = d.subject \
       AND f.state = 'pending' AND f.number < d.number) \
     ORDER BY d.due_at, d.number LIMIT ?3";

pub(in super::super) const DELIVERIES: &str = "SELECT number, kind, subject, state, due_at, since FROM deliveries \
     WHERE endpoint_id = ?1 AND number < ?2 ORDER BY number DESC LIMIT ?3";

pub(in super::super) const POSTS: &str = "SELECT number, at, took_ms, status, error FROM delivery_posts \
     WHERE number BETWEEN ?2 AND ?3 AND endpoint_id = ?1 ORDER BY number, post";

pub(in super::super) const ONE: &str = "SELECT number, at, kind, subject, caller FROM events \
     WHERE number = ?1 AND subject = ?2 AND stage = 2";

pub(in super::super) const RANGE: &str = "SELECT number, at, kind, subject, caller FROM events \
     WHERE stage = 2 AND (at, number) > (?1, ?2) AND at < ?3 ORDER BY at, number LIMIT ?4";

pub(in super::super) const TOLD_BEFORE: &str =
    "SELECT number FROM events WHERE stage = 2 AND at < ?1 ORDER BY at, number LIMIT ?2";

/// Of endpoints that are posted to: what others were to get waits for nothing.
const PENDING: &str = "SELECT count(*), min(d.since) FROM deliveries d \
     JOIN webhook_endpoints w ON w.id = d.endpoint_id WHERE d.state = 'pending' AND w.disabled_at IS NULL";
const OLDEST_TO_HAND_OUT: &str = "SELECT at FROM events WHERE stage = 1 ORDER BY number LIMIT 1";

/// An endpoint, with its secrets.
pub(in super::super) struct Known {
    pub(in super::super) id: EndpointId,
    pub(in super::super) caller: KeyId,
    pub(in super::super) hears_all: bool,
    pub(in super::super) url: SecretString,
    pub(in super::super) description: Option<String>,
    pub(in super::super) events: Vec<String>,
    secret: SecretString,
    former: Option<(SecretString, Timestamp)>,
    pub(in super::super) is_disabled: bool,
    disabled: Option<(Timestamp, String)>,
    pub(in super::super) failures: u32,
    failing_since: Option<Timestamp>,
    pub(in super::super) rests_until: Option<Timestamp>,
    created_at: Timestamp,
    pub(in super::super) key_ends_at: Option<Timestamp>,
}

pub(in super::super) fn known(statements: &mut Statements<'_>) -> Result<Vec<Known>, StoreError> {
    let vault = statements.vault();
    statements.collect(ENDPOINTS, params![], |row| known_of(&vault, row))
}

fn known_of(vault: &Vault, row: &Row<'_>) -> Result<Known, StoreError> {
    let id: [u8; 16] = get(row, 0)?;
    let open = |column, sealed: &[u8]| {
        vault.open_text(column, &id, sealed).map(|text| SecretString::from(text.expose()))
    };
    let former = match (get::<Option<Vec<u8>>>(row, 7)?, optional_time(row, 8)?) {
        (Some(sealed), Some(end)) => Some((open(Column::EndpointFormer, &sealed)?, end)),
        _ => None,
    };
    let disabled = match (optional_time(row, 9)?, get::<Option<String>>(row, 10)?) {
        (Some(at), Some(reason)) => Some((at, reason)),
        _ => None,
    };
    let words = get::<String>(row, 5)?;
    let ends = optional_time(row, 15)?.into_iter().chain(optional_time(row, 16)?);
    Ok(Known {
        id: EndpointId::from_bytes(id),
        caller: KeyId::from_bytes(get(row, 1)?),
        hears_all: get::<i64>(row, 2)? != 0,
        url: open(Column::EndpointUrl, &get::<Vec<u8>>(row, 3)?)?,
        description: get(row, 4)?,
        events: words.split(',').filter(|word| !word.is_empty()).map(Into::into).collect(),
        secret: open(Column::EndpointSecret, &get::<Vec<u8>>(row, 6)?)?,
        former,
        is_disabled: disabled.is_some(),
        disabled,
        failures: get(row, 11)?,
        failing_since: optional_time(row, 12)?,
        rests_until: optional_time(row, 13)?,
        created_at: time(row, 14)?,
        key_ends_at: ends.min(),
    })
}

pub(in super::super) fn endpoints(statements: &mut Statements<'_>) -> Result<Vec<Endpoint>, StoreError> {
    let known = known(statements)?.into_iter();
    Ok(known
        .map(|known| Endpoint {
            id: known.id,
            caller: known.caller,
            hears_all: known.hears_all,
            url: known.url,
            description: known.description,
            events: known.events,
            former_ends_at: known.former.map(|(_, end)| end),
            disabled: known.disabled,
            failing_since: known.failing_since,
            created_at: known.created_at,
            key_ends_at: known.key_ends_at,
        })
        .collect())
}

/// What is due to an endpoint.
pub(in super::super) fn due(
    statements: &mut Statements<'_>,
    endpoint: &Known,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<TakenDelivery>, StoreError> {
    let vault = statements.vault();
    let former = endpoint.former.iter().filter(|(_, end)| *end > now).map(|(secret, _)| secret.clone());
    let secrets: Vec<_> = std::iter::once(endpoint.secret.clone()).chain(former).collect();
    statements.collect(DUE, params![endpoint.id.as_bytes(), now.as_micros(), limit], |row| {
        Ok(TakenDelivery {
            endpoint: endpoint.id,
            url: endpoint.url.clone(),
            secrets: secrets.clone(),
            number: get(row, 0)?,
            event: told(&vault, row)?,
            tries: get::<u32>(row, 13)? + 1,
            since: time(row, 14)?,
            failures: endpoint.failures,
        })
    })
}

fn told(vault: &Vault, row: &Row<'_>) -> Result<ToldEvent, StoreError> {
    let subject: [u8; 16] = get(row, 2)?;
    let tells = match get::<Option<Vec<u8>>>(row, 4)? {
        Some(sealed) => Tells::Data(events::data(vault, &subject, Some(&sealed))?),
        None => Tells::Status {
            provider: get(row, 5)?,
            reason: get(row, 6)?,
            provider_code: get(row, 7)?,
            about: about(row)?,
        },
    };
    Ok(ToldEvent { kind: get(row, 1)?, subject, at: time(row, 3)?, tells })
}

fn about(row: &Row<'_>) -> Result<Option<About>, StoreError> {
    let Some(scenario) = get::<Option<String>>(row, 8)? else { return Ok(None) };
    Ok(Some(About {
        scenario,
        bulk_id: get::<Option<[u8; 16]>>(row, 9)?.map(BulkId::from_bytes),
        reference: get(row, 10)?,
        group: get(row, 11)?,
        metadata: get(row, 12)?,
    }))
}

pub(in super::super) fn deliveries(
    statements: &mut Statements<'_>,
    endpoint: EndpointId,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<Delivery>, StoreError> {
    let id = endpoint.as_bytes();
    let mut deliveries =
        statements.collect(DELIVERIES, params![id, before.unwrap_or(i64::MAX), limit], |row| {
            Ok(Delivery {
                number: get(row, 0)?,
                kind: get(row, 1)?,
                subject: get(row, 2)?,
                state: get(row, 3)?,
                due_at: time(row, 4)?,
                since: time(row, 5)?,
                posts: Vec::new(),
            })
        })?;
    let (Some(newest), Some(oldest)) = (deliveries.first(), deliveries.last()) else { return Ok(deliveries) };
    let (newest, oldest) = (newest.number, oldest.number);
    let mut posts: HashMap<i64, Vec<Post>> = HashMap::new();
    for (number, post) in statements.collect(POSTS, params![id, oldest, newest], |row| {
        let post =
            Post { at: time(row, 1)?, took_ms: get(row, 2)?, status: get(row, 3)?, error: get(row, 4)? };
        Ok((get::<i64>(row, 0)?, post))
    })? {
        posts.entry(number).or_default().push(post);
    }
    for delivery in &mut deliveries {
        delivery.posts = posts.remove(&delivery.number).unwrap_or_default();
    }
    Ok(deliveries)
}

/// An event that may be posted again.
pub(in super::super) struct Replayed {
    pub(in super::super) number: i64,
    pub(in super::super) at: Timestamp,
    pub(in super::super) kind: String,
    pub(in super::super) subject: [u8; 16],
    pub(in super::super) caller: Option<[u8; 16]>,
}

pub(in super::super) fn to_replay(
    statements: &mut Statements<'_>,
    replay: &Replay,
) -> Result<Vec<Replayed>, StoreError> {
    let read = |row: &Row<'_>| {
        Ok(Replayed {
            number: get(row, 0)?,
            at: time(row, 1)?,
            kind: get(row, 2)?,
            subject: get(row, 3)?,
            caller: get(row, 4)?,
        })
    };
    match replay.which {
        Replayable::One(number, subject) => statements.collect(ONE, params![number, subject], read),
        Replayable::Range { since, until, behind } => {
            let (at, number) = behind.max((since, i64::MIN));
            let values = params![at.as_micros(), number, until.as_micros(), replay.limit];
            statements.collect(RANGE, values, read)
        }
    }
}

pub(in super::super) fn backlog(statements: &mut Statements<'_>) -> Result<Backlog, StoreError> {
    let pending = |row: &Row<'_>| Ok((get::<i64>(row, 0)?, optional_time(row, 1)?));
    let (deliveries, oldest) = statements.first(PENDING, params![], pending)?.unwrap_or_default();
    let told = statements.first(OLDEST_TO_HAND_OUT, params![], |row| time(row, 0))?;
    Ok(Backlog { deliveries: deliveries.unsigned_abs(), oldest: oldest.into_iter().chain(told).min() })
}

const IS_TOLD: &str = "SELECT 1 FROM event_takers WHERE stage = 1";
const IS_THERE: &str = "SELECT 1 FROM webhook_endpoints LIMIT 1";

/// Whether events are kept if there is an endpoint, and none if there is none.
pub(in super::super) fn is_settled(statements: &mut Statements<'_>) -> Result<bool, StoreError> {
    let is_there = statements.first(IS_THERE, params![], |_row| Ok(()))?.is_some();
    let is_told = statements.first(IS_TOLD, params![], |_row| Ok(()))?.is_some();
    Ok(is_there == is_told && is_there == outbox::are_told(statements)?)
}

pub(in super::super) const ANY_TO_HAND_OUT: &str = "SELECT 1 FROM events WHERE stage = 1 LIMIT 1";
pub(in super::super) const ANY_DUE: &str =
    "SELECT 1 FROM deliveries WHERE endpoint_id = ?1 AND state = 'pending' AND due_at <= ?2 LIMIT 1";
/// Those that are posted to now.
const IDS: &str = "SELECT w.id FROM webhook_endpoints w LEFT JOIN api_keys k ON k.id = w.caller \
     WHERE w.disabled_at IS NULL AND (w.rests_until IS NULL OR w.rests_until <= ?1) \
     AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > ?1)";

pub(in super::super) fn is_anything_due(
    statements: &mut Statements<'_>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    if statements.first(ANY_TO_HAND_OUT, params![], |_row| Ok(()))?.is_some() {
        return Ok(true);
    }
    for id in statements.collect(IDS, params![now.as_micros()], |row| get::<[u8; 16]>(row, 0))? {
        if statements.first(ANY_DUE, params![id, now.as_micros()], |_row| Ok(()))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
