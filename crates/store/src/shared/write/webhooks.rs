//! Endpoints are made and changed; events are handed out to them, posted and told again.
//!
//! What changes endpoints runs alone. The rest is done by one node for all, side by side with other writers.

use std::collections::HashMap;

use domain::audit::{Act, Actor, Event, NewEntry};
use domain::event::{EventData, EventKind, NewEvent};
use domain::ids::{EndpointId, KeyId};
use domain::secret::ExposeSecret as _;
use domain::time::Timestamp;
use domain::webhook::{Wanted, hears};

use super::super::data_keys;
use super::super::outbox::{self, TELL, TELL_NO_MORE};
use super::super::read::webhooks::{self as read, Known};
use super::super::sql::{Statements, get, params};
use super::events;
use crate::StoreError;
use crate::group::EndpointOperation;
use crate::port::webhooks::{
    DeliveryEnd, EndDeliveries, EndpointChange, HandOut, NewEndpoint, Replay, Replayable, Replayed,
    TakeDeliveries, TakenDelivery,
};
use crate::seal::Column;

const CREATE: &str = "INSERT INTO webhook_endpoints (id, caller, hears_all, sealed_url, description, events, \
     sealed_secret, failures, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8)";

const SET_URL: &str = "UPDATE webhook_endpoints SET sealed_url = ?2 WHERE id = ?1";
const SET_DESCRIPTION: &str = "UPDATE webhook_endpoints SET description = ?2 WHERE id = ?1";
const SET_EVENTS: &str = "UPDATE webhook_endpoints SET events = ?2 WHERE id = ?1";

/// What was found out about it before counts no more.
const ENABLE: &str = "UPDATE webhook_endpoints SET disabled_at = NULL, disabled_reason = NULL, failures = 0, \
     failing_since = NULL, rests_until = NULL WHERE id = ?1";

/// One that is disabled already stays so for the reason that it has.
const DISABLE: &str = "UPDATE webhook_endpoints SET disabled_at = ?2, disabled_reason = ?3 WHERE id = ?1 AND disabled_at IS NULL";

/// Of an earlier rotation that still lasts the oldest secret goes: two sign.
const ROTATE: &str = "UPDATE webhook_endpoints SET sealed_former = ?3, former_ends_at = ?4, sealed_secret = ?2 \
     WHERE id = ?1";

const SECRET: &str = "SELECT sealed_secret FROM webhook_endpoints WHERE id = ?1";

/// What it was to get goes with the events.
const DELETE: &str = "DELETE FROM webhook_endpoints WHERE id = ?1";

const EXISTS: &str = "SELECT 1 FROM webhook_endpoints WHERE id = ?1";
const ANY: &str = "SELECT 1 FROM webhook_endpoints LIMIT 1";
const TAKE_FOR_WEBHOOKS: &str = "UPDATE event_takers SET stage = ?1";

pub(in super::super) const TEST: &str = "INSERT INTO events (kind, subject, caller, at, sealed_data, publish, stage) \
     SELECT ?1, w.id, w.caller, ?3, ?4, 0, 2 FROM webhook_endpoints w WHERE w.id = ?2 RETURNING number";

/// Told once for each endpoint: another node may have handed it out at the same time.
pub(in super::super) const DELIVER: &str = "INSERT INTO deliveries (number, endpoint_id, subject, kind, state, due_at, \
     since, posts, posts_before) VALUES (?1, ?2, ?3, ?4, 'pending', ?5, ?5, 0, 0) ON CONFLICT DO NOTHING";

/// One that is under way stays so: it would be posted a second time beside the first.
pub(in super::super) const DELIVER_AGAIN: &str = "INSERT INTO deliveries (number, endpoint_id, subject, kind, state, \
     due_at, since, posts, posts_before) VALUES (?1, ?2, ?3, ?4, 'pending', ?5, ?5, 0, 0) \
     ON CONFLICT (number, endpoint_id) DO UPDATE SET state = 'pending', due_at = excluded.due_at, \
     since = excluded.since, posts_before = deliveries.posts WHERE deliveries.state <> 'pending'";

pub(in super::super) const IS_TAKEN: &str =
    "UPDATE deliveries SET due_at = ?3 WHERE number = ?1 AND endpoint_id = ?2";

pub(in super::super) const POST: &str = "INSERT INTO delivery_posts (number, endpoint_id, post, at, took_ms, status, \
     error) SELECT number, endpoint_id, posts + 1, ?3, ?4, ?5, ?6 FROM deliveries \
     WHERE number = ?1 AND endpoint_id = ?2";

pub(in super::super) const END: &str = "UPDATE deliveries SET state = ?3, due_at = ?4, posts = posts + 1 \
     WHERE number = ?1 AND endpoint_id = ?2";

const HEARS: &str = "UPDATE webhook_endpoints SET failures = 0, failing_since = NULL, rests_until = NULL \
     WHERE id = ?1 AND failures > 0";

const FAILS: &str = "UPDATE webhook_endpoints SET failures = failures + 1, \
     failing_since = coalesce(failing_since, ?2), \
     rests_until = CASE WHEN failures + 1 >= ?4 THEN ?3 ELSE rests_until END WHERE id = ?1";

const HAS_FAILED_SINCE: &str = "SELECT 1 FROM webhook_endpoints WHERE id = ?1 AND failing_since <= ?2";

/// Whether it has taken nothing since an event was first posted to it. If that event was the only one, nothing would ever
/// show that it has failed for too long.
const HAS_FAILED_ALL_ALONG: &str = "SELECT 1 FROM webhook_endpoints w JOIN deliveries d ON d.endpoint_id = w.id \
     WHERE w.id = ?1 AND d.number = ?2 AND w.failing_since <= (SELECT min(p.at) FROM delivery_posts p \
     WHERE p.number = d.number AND p.endpoint_id = w.id AND p.post > d.posts_before)";

pub(in super::super) const FORGET_POSTS: &str = "DELETE FROM delivery_posts WHERE number = ?1";
pub(in super::super) const FORGET_DELIVERIES: &str = "DELETE FROM deliveries WHERE number = ?1";
/// One that the broker has not got yet stays for it.
pub(in super::super) const FORGET_EVENT: &str = "DELETE FROM events WHERE number = ?1 AND publish = 0";
pub(in super::super) const IS_FORGOTTEN: &str = "UPDATE events SET stage = 0 WHERE number = ?1";

pub(super) fn operate(
    statements: &mut Statements<'_>,
    operation: &EndpointOperation,
) -> Result<bool, StoreError> {
    match operation {
        EndpointOperation::Create(endpoint, act) => create(statements, endpoint, act).map(|()| true),
        EndpointOperation::Change(id, change, act) => self::change(statements, *id, change, act),
        EndpointOperation::Settle => settle(statements).map(|()| true),
    }
}

fn entry(act: &Act, event: Event, id: EndpointId) -> NewEntry {
    NewEntry::of_act(act, event, id.to_string())
}

fn create(statements: &mut Statements<'_>, endpoint: &NewEndpoint, act: &Act) -> Result<(), StoreError> {
    data_keys::check(statements)?;
    let (vault, id) = (statements.vault(), endpoint.id);
    let values = params![
        id.as_bytes(),
        endpoint.caller.as_bytes(),
        i64::from(endpoint.hears_all),
        vault.seal_text(Column::EndpointUrl, id.as_bytes(), endpoint.url.expose_secret())?,
        endpoint.description,
        endpoint.events.join(","),
        vault.seal_text(Column::EndpointSecret, id.as_bytes(), endpoint.secret.expose_secret())?,
        act.at.as_micros(),
    ];
    statements.execute(CREATE, values)?;
    statements.tell(entry(act, Event::EndpointCreated, id));
    settle(statements)
}

/// Makes or drops the triggers. Looks first: a change to the schema makes others wait.
fn settle(statements: &mut Statements<'_>) -> Result<(), StoreError> {
    let wanted = statements.first(ANY, params![], |_row| Ok(()))?.is_some();
    statements.execute(TAKE_FOR_WEBHOOKS, params![i64::from(wanted)])?;
    if outbox::are_told(statements)? != wanted {
        for statement in if wanted { TELL } else { TELL_NO_MORE } {
            statements.execute(statement, params![])?;
        }
    }
    Ok(())
}

fn change(
    statements: &mut Statements<'_>,
    id: EndpointId,
    change: &EndpointChange,
    act: &Act,
) -> Result<bool, StoreError> {
    if statements.first(EXISTS, params![id.as_bytes()], |_row| Ok(()))?.is_none() {
        return Ok(false);
    }
    let event = match change {
        EndpointChange::Set { .. } => {
            set(statements, id, change, act.at)?;
            Event::EndpointChanged
        }
        EndpointChange::Rotate(secret, former_ends_at) => {
            rotate(statements, id, secret.expose_secret(), *former_ends_at)?;
            Event::EndpointRotated
        }
        EndpointChange::Test(data) => {
            test(statements, id, data, act.at)?;
            Event::EndpointTested
        }
        EndpointChange::Delete => {
            statements.execute(DELETE, params![id.as_bytes()])?;
            settle(statements)?;
            Event::EndpointDeleted
        }
    };
    statements.tell(entry(act, event, id));
    Ok(true)
}

fn set(
    statements: &mut Statements<'_>,
    id: EndpointId,
    change: &EndpointChange,
    now: Timestamp,
) -> Result<(), StoreError> {
    let EndpointChange::Set { url, description, events, enabled } = change else { return Ok(()) };
    let bytes = id.as_bytes();
    if let Some(url) = url {
        data_keys::check(statements)?;
        let sealed = statements.vault().seal_text(Column::EndpointUrl, bytes, url.expose_secret())?;
        statements.execute(SET_URL, params![bytes, sealed])?;
    }
    if let Some(description) = description {
        let description = Some(description).filter(|text| !text.is_empty());
        statements.execute(SET_DESCRIPTION, params![bytes, description])?;
    }
    if let Some(events) = events {
        statements.execute(SET_EVENTS, params![bytes, events.join(",")])?;
    }
    match enabled {
        Some(true) => _ = statements.execute(ENABLE, params![bytes])?,
        Some(false) => _ = statements.execute(DISABLE, params![bytes, now.as_micros(), "by_its_owner"])?,
        None => {}
    }
    Ok(())
}

fn rotate(
    statements: &mut Statements<'_>,
    id: EndpointId,
    secret: &str,
    former_ends_at: Timestamp,
) -> Result<(), StoreError> {
    data_keys::check(statements)?;
    let (vault, bytes) = (statements.vault(), id.as_bytes());
    let former = statements.first(SECRET, params![bytes], |row| get::<Vec<u8>>(row, 0))?;
    let former = former.ok_or(StoreError::Corrupt)?;
    let former = vault.open_text(Column::EndpointSecret, bytes, &former)?;
    let values = params![
        bytes,
        vault.seal_text(Column::EndpointSecret, bytes, secret)?,
        vault.seal_text(Column::EndpointFormer, bytes, former.expose())?,
        former_ends_at.as_micros(),
    ];
    statements.execute(ROTATE, values).map(|_rotated| ())
}

fn test(
    statements: &mut Statements<'_>,
    id: EndpointId,
    data: &EventData,
    now: Timestamp,
) -> Result<(), StoreError> {
    data_keys::check(statements)?;
    let (bytes, kind) = (id.as_bytes(), EventKind::EndpointTest.as_str());
    let sealed = statements.vault().seal_text(Column::EventData, bytes, data.expose())?;
    let values = params![kind, bytes, now.as_micros(), sealed];
    let number = statements.first(TEST, values, |row| get::<i64>(row, 0))?.ok_or(StoreError::Corrupt)?;
    statements.execute(DELIVER, params![number, bytes, bytes, kind, now.as_micros()]).map(|_delivered| ())
}

/// An event that is about to be handed out.
pub(in super::super) struct HandedOut {
    pub(in super::super) number: i64,
    pub(in super::super) caller: Option<[u8; 16]>,
    /// Whether anybody may ever want it.
    pub(in super::super) is_kept: bool,
}

/// What an endpoint is to get.
pub(in super::super) struct NewDelivery {
    pub(in super::super) number: i64,
    pub(in super::super) endpoint: [u8; 16],
    pub(in super::super) subject: [u8; 16],
    pub(in super::super) kind: String,
}

pub(in super::super) fn hand_out(
    statements: &mut Statements<'_>,
    hand_out: HandOut,
) -> Result<u64, StoreError> {
    let HandOut { now, limit } = hand_out;
    let told = statements.collect(read::TO_HAND_OUT, params![limit], |row| {
        Ok((
            get::<i64>(row, 0)?,
            get::<String>(row, 1)?,
            get::<[u8; 16]>(row, 2)?,
            get::<Option<[u8; 16]>>(row, 3)?,
        ))
    })?;
    if told.is_empty() {
        return Ok(0);
    }
    let endpoints = read::known(statements)?;
    let (mut events, mut deliveries) = (Vec::new(), Vec::new());
    for (number, kind, subject, caller) in told {
        let mut is_kept = false;
        for endpoint in endpoints.iter().filter(|endpoint| endpoint.may_hear(caller) && endpoint.wants(&kind))
        {
            is_kept = true;
            if endpoint.is_posted_to(now) {
                let (endpoint, kind) = (*endpoint.id.as_bytes(), kind.clone());
                deliveries.push(NewDelivery { number, endpoint, subject, kind });
            }
        }
        events.push(HandedOut { number, caller, is_kept });
    }
    outbox::deliver(statements, now, &deliveries)?;
    outbox::are_handed_out(statements, &events)?;
    Ok(events.len() as u64)
}

impl Known {
    fn may_hear(&self, caller: Option<[u8; 16]>) -> bool {
        self.hears_all || caller.is_some_and(|caller| KeyId::from_bytes(caller) == self.caller)
    }

    fn wants(&self, kind: &str) -> bool {
        let wanted: Vec<Wanted> = self.events.iter().filter_map(|word| word.parse().ok()).collect();
        // A word that only a newer version knows is no wish for everything.
        (self.events.is_empty() || !wanted.is_empty()) && hears(&wanted, kind)
    }
}

pub(in super::super) fn take(
    statements: &mut Statements<'_>,
    take: &TakeDeliveries,
) -> Result<Vec<TakenDelivery>, StoreError> {
    let under_way: HashMap<EndpointId, u32> = take.under_way.iter().copied().collect();
    let (mut taken, mut left) = (Vec::new(), take.limit);
    for endpoint in read::known(statements)? {
        if left == 0 {
            break;
        }
        if !endpoint.is_posted_to(take.now) || endpoint.rests_until.is_some_and(|until| until > take.now) {
            continue;
        }
        // One that fails is tried with one event.
        let each = if endpoint.rests_until.is_some() { 1 } else { take.each };
        let room = each.saturating_sub(under_way.get(&endpoint.id).copied().unwrap_or(0)).min(left);
        if room == 0 {
            continue;
        }
        let deliveries = read::due(statements, &endpoint, take.now, room)?;
        left = left.saturating_sub(u32::try_from(deliveries.len()).unwrap_or(u32::MAX));
        taken.extend(deliveries);
    }
    for delivery in &taken {
        let values = params![delivery.number, delivery.endpoint.as_bytes(), take.again_at.as_micros()];
        statements.execute(IS_TAKEN, values)?;
    }
    Ok(taken)
}

pub(in super::super) fn end(
    statements: &mut Statements<'_>,
    end: &EndDeliveries,
) -> Result<Vec<EndpointId>, StoreError> {
    let mut disabled = Vec::new();
    for post in &end.ends {
        let DeliveryEnd { endpoint, number, at, took_ms, status, error, again_at, rests_until, is_gone } =
            *post;
        let bytes = endpoint.as_bytes();
        let values = params![number, bytes, at.as_micros(), took_ms, status, error];
        if statements.execute(POST, values)? == 0 {
            continue;
        }
        let state = match (error, again_at) {
            (None, _) => "delivered",
            (Some(_), Some(_)) => "pending",
            (Some(_), None) => "failed",
        };
        let due_at = again_at.unwrap_or(end.now).as_micros();
        statements.execute(END, params![number, bytes, state, due_at])?;
        if error.is_none() {
            statements.execute(HEARS, params![bytes])?;
            continue;
        }
        let values = params![bytes, at.as_micros(), rests_until.as_micros(), end.rests_after];
        statements.execute(FAILS, values)?;
        let reason = if is_gone {
            "gone"
        } else if has_failed_too_long(statements, post, end.failing_since)? {
            "failed_too_long"
        } else {
            continue;
        };
        if statements.execute(DISABLE, params![bytes, end.now.as_micros(), reason])? > 0 {
            tell_disabled(statements, endpoint, reason, end.now)?;
            disabled.push(endpoint);
        }
    }
    Ok(disabled)
}

fn has_failed_too_long(
    statements: &mut Statements<'_>,
    post: &DeliveryEnd,
    since: Timestamp,
) -> Result<bool, StoreError> {
    let id = post.endpoint.as_bytes();
    let (question, values) = match post.again_at {
        Some(_) => (HAS_FAILED_SINCE, params![id, since.as_micros()]),
        None => (HAS_FAILED_ALL_ALONG, params![id, post.number]),
    };
    Ok(statements.first(question, values, |_row| Ok(()))?.is_some())
}

fn tell_disabled(
    statements: &mut Statements<'_>,
    endpoint: EndpointId,
    reason: &'static str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let act = Act { by: Actor::System, at: now };
    statements.tell(NewEntry { outcome: Some(reason), ..entry(&act, Event::EndpointDisabled, endpoint) });
    let caller = "SELECT caller FROM webhook_endpoints WHERE id = ?1";
    let caller = statements.first(caller, params![endpoint.as_bytes()], |row| get::<[u8; 16]>(row, 0))?;
    let event = NewEvent {
        kind: EventKind::EndpointDisabled,
        subject: *endpoint.as_bytes(),
        caller: caller.map(KeyId::from_bytes),
        at: now,
        data: EventData::from_json(format!(r#"{{"endpoint_id":"{endpoint}","reason":"{reason}"}}"#)),
    };
    events::raise(statements, &[event])
}

pub(in super::super) fn replay(
    statements: &mut Statements<'_>,
    replay: &Replay,
    act: Option<&Act>,
) -> Result<Replayed, StoreError> {
    let endpoint = read::known(statements)?.into_iter().find(|known| known.id == replay.endpoint);
    let Some(endpoint) = endpoint else { return Ok(Replayed::default()) };
    let events = read::to_replay(statements, replay)?;
    let mut replayed = Replayed::default();
    if let (Replayable::Range { .. }, Some(last)) = (replay.which, events.last())
        && events.len() >= replay.limit as usize
    {
        replayed.behind = Some((last.at, last.number));
    }
    let is_named = matches!(replay.which, Replayable::One(..));
    for event in events {
        let is_heard = endpoint.may_hear(event.caller) && (is_named || endpoint.wants(&event.kind));
        if is_heard {
            let id = endpoint.id.as_bytes();
            let values = params![event.number, id, event.subject, event.kind, replay.now.as_micros()];
            replayed.events += statements.execute(DELIVER_AGAIN, values)? as u64;
        }
    }
    if let Some(act) = act {
        statements.tell(entry(act, Event::EndpointReplayed, endpoint.id));
    }
    Ok(replayed)
}

pub(in super::super) fn forget(
    statements: &mut Statements<'_>,
    before: Timestamp,
    limit: u32,
) -> Result<bool, StoreError> {
    let numbers = statements
        .collect(read::TOLD_BEFORE, params![before.as_micros(), limit], |row| get::<i64>(row, 0))?;
    for number in &numbers {
        statements.execute(FORGET_POSTS, params![number])?;
        statements.execute(FORGET_DELIVERIES, params![number])?;
        if statements.execute(FORGET_EVENT, params![number])? == 0 {
            statements.execute(IS_FORGOTTEN, params![number])?;
        }
    }
    Ok(numbers.len() < limit as usize)
}

impl Known {
    fn is_posted_to(&self, now: Timestamp) -> bool {
        !self.is_disabled && self.key_ends_at.is_none_or(|end| end > now)
    }
}
