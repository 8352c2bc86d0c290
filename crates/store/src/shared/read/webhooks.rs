//! Endpoints, what is due to them, and what they got.

use std::collections::{HashMap, HashSet};

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
    Backlog, Delivery, Due, Endpoint, Post, Replay, Replayable, TakenDelivery, Tells, ToldEvent,
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

pub(in super::super) const DELIVERIES: &str = "SELECT number, kind, subject, state, due_at, since, posts FROM deliveries \
     WHERE endpoint_id = ?1 AND number < ?2 ORDER BY number DESC LIMIT ?3";

/// By the deliveries of the endpoint: between the first and the last of a page there may be posts of everybody. Of each the
/// last posts alone, for one that fails for days has hundreds.
pub(in super::super) const POSTS: &str = "SELECT p.number, p.at, p.took_ms, p.status, p.error FROM deliveries d \
     CROSS JOIN delivery_posts p ON p.number = d.number AND p.endpoint_id = ?1 \
     WHERE d.endpoint_id = ?1 AND d.number >= ?2 AND d.number <= ?3 AND p.post > d.posts - ?4 \
     ORDER BY d.number, p.post";

pub(in super::super) const ONE: &str = "SELECT number, at, kind, subject, caller FROM events \
     WHERE number = ?1 AND subject = ?2 AND stage = 2";

pub(in super::super) const RANGE: &str = "SELECT number, at, kind, subject, caller FROM events \
     WHERE stage = 2 AND (at, number) > (?1, ?2) AND at < ?3 ORDER BY at, number LIMIT ?4";

/// Of one caller: what others have is not gone through.
pub(in super::super) const RANGE_OF: &str = "SELECT number, at, kind, subject, caller FROM events \
     WHERE stage = 2 AND caller = ?5 AND (at, number) > (?1, ?2) AND at < ?3 ORDER BY at, number LIMIT ?4";

pub(in super::super) const TOLD_BEFORE: &str =
    "SELECT number FROM events WHERE stage = 2 AND at < ?1 ORDER BY at, number LIMIT ?2";

/// Of endpoints that are posted to: what others were to get waits for nothing.
const PENDING: &str = "SELECT count(*), min(d.since) FROM deliveries d \
     JOIN webhook_endpoints w ON w.id = d.endpoint_id LEFT JOIN api_keys k ON k.id = w.caller \
     WHERE d.state = 'pending' AND w.disabled_at IS NULL \
     AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > ?1)";
const OLDEST_TO_HAND_OUT: &str = "SELECT at FROM events WHERE stage = 1 ORDER BY number LIMIT 1";

/// How many posts of a delivery are shown.
const POSTS_SHOWN: u32 = 20;

/// An endpoint, with its secrets as they are kept: one that is damaged is nobody else's trouble.
pub(in super::super) struct Known {
    pub(in super::super) id: EndpointId,
    pub(in super::super) caller: KeyId,
    pub(in super::super) hears_all: bool,
    sealed_url: Vec<u8>,
    description: Option<String>,
    pub(in super::super) events: Vec<String>,
    sealed_secret: Vec<u8>,
    former: Option<(Vec<u8>, Timestamp)>,
    pub(in super::super) is_disabled: bool,
    disabled: Option<(Timestamp, String)>,
    failures: u32,
    failing_since: Option<Timestamp>,
    pub(in super::super) rests_until: Option<Timestamp>,
    created_at: Timestamp,
    pub(in super::super) key_ends_at: Option<Timestamp>,
}

pub(in super::super) fn known(statements: &mut Statements<'_>) -> Result<Vec<Known>, StoreError> {
    statements.collect(ENDPOINTS, params![], known_of)
}

fn known_of(row: &Row<'_>) -> Result<Known, StoreError> {
    let disabled = match (optional_time(row, 9)?, get::<Option<String>>(row, 10)?) {
        (Some(at), Some(reason)) => Some((at, reason)),
        _ => None,
    };
    let words = get::<String>(row, 5)?;
    let ends = optional_time(row, 15)?.into_iter().chain(optional_time(row, 16)?);
    Ok(Known {
        id: EndpointId::from_bytes(get(row, 0)?),
        caller: KeyId::from_bytes(get(row, 1)?),
        hears_all: get::<i64>(row, 2)? != 0,
        sealed_url: get(row, 3)?,
        description: get(row, 4)?,
        events: words.split(',').filter(|word| !word.is_empty()).map(Into::into).collect(),
        sealed_secret: get(row, 6)?,
        former: get::<Option<Vec<u8>>>(row, 7)?.zip(optional_time(row, 8)?),
        is_disabled: disabled.is_some(),
        disabled,
        failures: get(row, 11)?,
        failing_since: optional_time(row, 12)?,
        rests_until: optional_time(row, 13)?,
        created_at: time(row, 14)?,
        key_ends_at: ends.min(),
    })
}

/// Where an endpoint is posted to, and what that is signed with.
pub(in super::super) struct Address {
    url: SecretString,
    secrets: Vec<SecretString>,
}

impl Known {
    fn open(&self, vault: &Vault, column: Column, sealed: &[u8]) -> Result<SecretString, StoreError> {
        let text = vault.open_text(column, self.id.as_bytes(), sealed)?;
        Ok(SecretString::from(text.expose()))
    }

    /// `None` if it is damaged.
    fn url(&self, vault: &Vault) -> Result<Option<SecretString>, StoreError> {
        unless_damaged(self.open(vault, Column::EndpointUrl, &self.sealed_url))
    }

    /// `None` if any of it is damaged.
    pub(in super::super) fn address(
        &self,
        vault: &Vault,
        now: Timestamp,
    ) -> Result<Option<Address>, StoreError> {
        let open = || {
            let mut secrets = vec![self.open(vault, Column::EndpointSecret, &self.sealed_secret)?];
            if let Some((former, _)) = self.former.as_ref().filter(|(_, end)| *end > now) {
                secrets.push(self.open(vault, Column::EndpointFormer, former)?);
            }
            Ok(Address { url: self.open(vault, Column::EndpointUrl, &self.sealed_url)?, secrets })
        };
        unless_damaged(open())
    }

    /// Whether it has a secret that signs no more.
    pub(in super::super) fn has_ended_secret(&self, now: Timestamp) -> bool {
        self.former.as_ref().is_some_and(|(_, end)| *end <= now)
    }
}

/// What can't be read because its row is damaged is `None`. Anything else may pass.
pub(in super::super) fn unless_damaged<T>(read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Err(StoreError::Corrupt) => Ok(None),
        read => read.map(Some),
    }
}

pub(in super::super) fn endpoints(statements: &mut Statements<'_>) -> Result<Vec<Endpoint>, StoreError> {
    let vault = statements.vault();
    let shown = |known: Known| {
        Ok(Endpoint {
            id: known.id,
            caller: known.caller,
            hears_all: known.hears_all,
            url: known.url(&vault)?,
            description: known.description,
            events: known.events,
            former_ends_at: known.former.map(|(_, end)| end),
            disabled: known.disabled,
            failing_since: known.failing_since,
            created_at: known.created_at,
            key_ends_at: known.key_ends_at,
        })
    };
    known(statements)?.into_iter().map(shown).collect()
}

/// What is due to an endpoint, and the places of what is and can't be read.
pub(in super::super) fn due(
    statements: &mut Statements<'_>,
    endpoint: &Known,
    address: &Address,
    now: Timestamp,
    limit: u32,
) -> Result<(Vec<TakenDelivery>, Vec<i64>), StoreError> {
    let vault = statements.vault();
    let rows = statements.collect(DUE, params![endpoint.id.as_bytes(), now.as_micros(), limit], |row| {
        let number = get(row, 0)?;
        let Some(event) = unless_damaged(told(&vault, row))? else { return Ok(Err(number)) };
        let posted = get::<u32>(row, 13)?;
        Ok(Ok(TakenDelivery {
            endpoint: endpoint.id,
            url: address.url.clone(),
            secrets: address.secrets.clone(),
            number,
            event,
            tries: posted + 1,
            since: if posted == 0 { now } else { time(row, 14)? },
            failures: endpoint.failures,
        }))
    })?;
    let (mut due, mut damaged) = (Vec::new(), Vec::new());
    for row in rows {
        match row {
            Ok(delivery) => due.push(delivery),
            Err(number) => damaged.push(number),
        }
    }
    Ok((due, damaged))
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
                posts_in_all: get(row, 6)?,
                posts: Vec::new(),
            })
        })?;
    let (Some(newest), Some(oldest)) = (deliveries.first(), deliveries.last()) else { return Ok(deliveries) };
    let (newest, oldest) = (newest.number, oldest.number);
    let mut posts: HashMap<i64, Vec<Post>> = HashMap::new();
    for (number, post) in statements.collect(POSTS, params![id, oldest, newest, POSTS_SHOWN], |row| {
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
    endpoint: &Known,
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
            let (at, until, limit) = (at.as_micros(), until.as_micros(), replay.limit);
            if endpoint.hears_all {
                statements.collect(RANGE, params![at, number, until, limit], read)
            } else {
                let caller = endpoint.caller.as_bytes();
                statements.collect(RANGE_OF, params![at, number, until, limit, caller], read)
            }
        }
    }
}

pub(in super::super) fn backlog(
    statements: &mut Statements<'_>,
    now: Timestamp,
) -> Result<Backlog, StoreError> {
    let pending = |row: &Row<'_>| Ok((get::<i64>(row, 0)?, optional_time(row, 1)?));
    let (deliveries, oldest) =
        statements.first(PENDING, params![now.as_micros()], pending)?.unwrap_or_default();
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

/// Endpoints that are posted to now and have something that is due, and not behind another of its subject.
pub(in super::super) const WITH_DUE: &str = "SELECT w.id FROM webhook_endpoints w \
     LEFT JOIN api_keys k ON k.id = w.caller \
     WHERE w.disabled_at IS NULL AND (w.rests_until IS NULL OR w.rests_until <= ?1) \
     AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > ?1) AND (SELECT 1 FROM deliveries d \
       WHERE d.endpoint_id = w.id AND d.state = 'pending' AND d.due_at <= ?1 AND NOT EXISTS ( \
         SELECT 1 FROM deliveries f WHERE f.endpoint_id = d.endpoint_id AND f.subject = d.subject \
         AND f.state = 'pending' AND f.number < d.number) \
       ORDER BY d.due_at, d.number LIMIT 1) IS NOT NULL";

pub(in super::super) fn with_due(
    statements: &mut Statements<'_>,
    now: Timestamp,
) -> Result<HashSet<EndpointId>, StoreError> {
    let ids = statements.collect(WITH_DUE, params![now.as_micros()], |row| {
        get::<[u8; 16]>(row, 0).map(EndpointId::from_bytes)
    });
    ids.map(|ids| ids.into_iter().collect())
}

pub(in super::super) fn what_is_due(
    statements: &mut Statements<'_>,
    now: Timestamp,
) -> Result<Due, StoreError> {
    Ok(Due {
        to_hand_out: statements.first(ANY_TO_HAND_OUT, params![], |_row| Ok(()))?.is_some(),
        to_post: !with_due(statements, now)?.is_empty(),
    })
}
