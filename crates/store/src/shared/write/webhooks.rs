//! Endpoints are made and changed; events are handed out to them, posted and told again.
//!
//! What changes endpoints runs alone. The rest is done by one node for all, side by side with other writers.

use std::collections::{BTreeMap, HashMap};

use domain::audit::{Act, Actor, Event, NewEntry};
use domain::event::{EventData, EventKind, NewEvent};
use domain::ids::{EndpointId, KeyId};
use domain::secret::ExposeSecret as _;
use domain::time::Timestamp;
use domain::webhook::{Wanted, hears};

use super::super::data_keys;
use super::super::deliveries;
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

/// What was found out about another address counts no more.
const SET_URL: &str = "UPDATE webhook_endpoints SET sealed_url = ?2, failures = 0, failing_since = NULL, \
     rests_until = NULL WHERE id = ?1";
const SET_DESCRIPTION: &str = "UPDATE webhook_endpoints SET description = ?2 WHERE id = ?1";
const SET_EVENTS: &str = "UPDATE webhook_endpoints SET events = ?2 WHERE id = ?1";

/// What was found out about it before counts no more.
const ENABLE: &str = "UPDATE webhook_endpoints SET disabled_at = NULL, disabled_reason = NULL, failures = 0, \
     failing_since = NULL, rests_until = NULL WHERE id = ?1";

/// What has been posted in vain gets its three days again. What has not begins them with its first post.
pub(in super::super) const BEGIN_ANEW: &str = "UPDATE deliveries SET since = ?2, due_at = ?2, posts_before = posts \
     WHERE endpoint_id = ?1 AND state = 'pending' AND posts > posts_before";

/// One that is disabled already stays so for the reason that it has.
const DISABLE: &str = "UPDATE webhook_endpoints SET disabled_at = ?2, disabled_reason = ?3 WHERE id = ?1 AND disabled_at IS NULL";

/// Of an earlier rotation that still lasts the oldest secret goes: two sign.
const ROTATE: &str = "UPDATE webhook_endpoints SET sealed_former = ?3, former_ends_at = ?4, sealed_secret = ?2 \
     WHERE id = ?1";

/// Nobody needs it any more.
const FORGET_FORMER: &str = "UPDATE webhook_endpoints SET sealed_former = NULL, former_ends_at = NULL \
     WHERE id = ?1 AND former_ends_at <= ?2";

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

/// What can't be read will never be posted, and must not keep those behind it waiting.
pub(in super::super) const IS_SPOILED: &str =
    "UPDATE deliveries SET state = 'failed' WHERE number = ?1 AND endpoint_id = ?2";

const HEARS: &str = "UPDATE webhook_endpoints SET failures = 0, failing_since = NULL, rests_until = NULL \
     WHERE id = ?1 AND failures > 0";

const FAILS: &str = "UPDATE webhook_endpoints SET failures = failures + ?5, \
     failing_since = coalesce(failing_since, ?2), \
     rests_until = CASE WHEN failures + ?5 >= ?4 THEN ?3 ELSE rests_until END WHERE id = ?1";

/// Not by time alone: somebody who stood still for days, or whose clock was set, has tried nothing meanwhile.
const HAS_FAILED_SINCE: &str =
    "SELECT 1 FROM webhook_endpoints WHERE id = ?1 AND failing_since <= ?2 AND failures >= ?3";

/// Whether it has taken nothing since an event was first posted to it. If that event was the only one, nothing would ever
/// show that it has failed for too long.
const HAS_FAILED_ALL_ALONG: &str = "SELECT 1 FROM webhook_endpoints w JOIN deliveries d ON d.endpoint_id = w.id \
     WHERE w.id = ?1 AND d.number = ?2 AND w.failures >= ?3 \
     AND w.failing_since <= (SELECT min(p.at) FROM delivery_posts p \
     WHERE p.number = d.number AND p.endpoint_id = w.id AND p.post > d.posts_before)";

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
        statements.execute(BEGIN_ANEW, params![bytes, now.as_micros()])?;
    }
    if let Some(description) = description {
        let description = Some(description).filter(|text| !text.is_empty());
        statements.execute(SET_DESCRIPTION, params![bytes, description])?;
    }
    if let Some(events) = events {
        statements.execute(SET_EVENTS, params![bytes, events.join(",")])?;
    }
    match enabled {
        Some(true) => {
            statements.execute(ENABLE, params![bytes])?;
            statements.execute(BEGIN_ANEW, params![bytes, now.as_micros()])?;
        }
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
    // One that is damaged signs no more.
    let former = read::unless_damaged(vault.open_text(Column::EndpointSecret, bytes, &former))?;
    let former =
        former.map(|former| vault.seal_text(Column::EndpointFormer, bytes, former.expose())).transpose()?;
    let former_ends_at = former.is_some().then_some(former_ends_at.as_micros());
    let values =
        params![bytes, vault.seal_text(Column::EndpointSecret, bytes, secret)?, former, former_ends_at,];
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
    let known = read::known(statements)?;
    for endpoint in known.iter().filter(|endpoint| endpoint.has_ended_secret(take.now)) {
        statements.execute(FORGET_FORMER, params![endpoint.id.as_bytes(), take.now.as_micros()])?;
    }
    let with_due = read::with_due(statements, take.now)?;
    let endpoints: Vec<_> = known.into_iter().filter(|endpoint| with_due.contains(&endpoint.id)).collect();
    let mut taken = Vec::new();
    for (endpoint, room) in endpoints.iter().zip(rooms(&endpoints, take)).filter(|(_, room)| *room > 0) {
        let Some(address) = endpoint.address(&statements.vault(), take.now)? else {
            disable(statements, endpoint.id, "unreadable", take.now)?;
            tracing::error!(endpoint = %endpoint.id, "a webhook endpoint was disabled: its row is damaged");
            continue;
        };
        let (due, damaged) = read::due(statements, endpoint, &address, take.now, room)?;
        taken.extend(due);
        for number in damaged {
            statements.execute(IS_SPOILED, params![number, endpoint.id.as_bytes()])?;
            tracing::error!(endpoint = %endpoint.id, number, "an event can't be posted: its row is damaged");
        }
    }
    deliveries::are_taken(statements, take, &taken)?;
    Ok(taken)
}

/// How many each may be given: one after the other to whoever has the fewest under way. Those that are slow keep what they
/// have, and nobody else out.
fn rooms(endpoints: &[Known], take: &TakeDeliveries) -> Vec<u32> {
    let under_way: HashMap<EndpointId, u32> = take.under_way.iter().copied().collect();
    let mut places: Vec<_> = endpoints
        .iter()
        .map(|endpoint| {
            // One that fails is tried with one event.
            let most = if endpoint.rests_until.is_some() { 1 } else { take.each };
            (under_way.get(&endpoint.id).copied().unwrap_or(0), most, 0)
        })
        .collect();
    for _ in 0..take.limit {
        let free = places.iter_mut().filter(|(used, most, _)| used < most);
        let Some((used, _, given)) = free.min_by_key(|(used, ..)| *used) else { break };
        (*used, *given) = (*used + 1, *given + 1);
    }
    places.into_iter().map(|(_, _, given)| given).collect()
}

pub(in super::super) fn end(
    statements: &mut Statements<'_>,
    end: &EndDeliveries,
) -> Result<Vec<EndpointId>, StoreError> {
    let mut by_endpoint: BTreeMap<EndpointId, Vec<DeliveryEnd>> = BTreeMap::new();
    for post in deliveries::note(statements, end)? {
        by_endpoint.entry(post.endpoint).or_default().push(post);
    }
    let mut disabled = Vec::new();
    for (endpoint, posts) in by_endpoint {
        // What failed before something was taken shows nothing.
        let failed_behind = posts.iter().rposition(|post| post.error.is_none()).map_or(0, |at| at + 1);
        let failed = posts.get(failed_behind..).unwrap_or_default();
        if failed_behind > 0 {
            statements.execute(HEARS, params![endpoint.as_bytes()])?;
        }
        fails(statements, endpoint, failed, end.rests_after)?;
        let reason = if posts.iter().any(|post| post.is_gone) {
            "gone"
        } else if has_failed_too_long(statements, endpoint, failed, end)? {
            "failed_too_long"
        } else {
            continue;
        };
        if disable(statements, endpoint, reason, end.now)? {
            disabled.push(endpoint);
        }
    }
    Ok(disabled)
}

fn fails(
    statements: &mut Statements<'_>,
    endpoint: EndpointId,
    failed: &[DeliveryEnd],
    rests_after: u32,
) -> Result<(), StoreError> {
    let since = failed.iter().map(|post| post.at).min();
    let rests_until = failed.last().map(|post| post.rests_until);
    let Some((since, rests_until)) = since.zip(rests_until) else { return Ok(()) };
    let (since, rests_until) = (since.as_micros(), rests_until.as_micros());
    let values = params![endpoint.as_bytes(), since, rests_until, rests_after, failed.len()];
    statements.execute(FAILS, values).map(|_failed| ())
}

fn has_failed_too_long(
    statements: &mut Statements<'_>,
    endpoint: EndpointId,
    failed: &[DeliveryEnd],
    end: &EndDeliveries,
) -> Result<bool, StoreError> {
    if failed.is_empty() {
        return Ok(false);
    }
    let (id, least) = (endpoint.as_bytes(), end.rests_after);
    let values = params![id, end.failing_since.as_micros(), least];
    if statements.first(HAS_FAILED_SINCE, values, |_row| Ok(()))?.is_some() {
        return Ok(true);
    }
    for given_up in failed.iter().filter(|post| post.again_at.is_none()) {
        let values = params![id, given_up.number, least];
        if statements.first(HAS_FAILED_ALL_ALONG, values, |_row| Ok(()))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Answers `false` if it was disabled already.
fn disable(
    statements: &mut Statements<'_>,
    endpoint: EndpointId,
    reason: &'static str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let is_new = statements.execute(DISABLE, params![endpoint.as_bytes(), now.as_micros(), reason])? > 0;
    if is_new {
        tell_disabled(statements, endpoint, reason, now)?;
    }
    Ok(is_new)
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
    let events = read::to_replay(statements, replay, &endpoint)?;
    let mut replayed = Replayed::default();
    if let (Replayable::Range { .. }, Some(last)) = (replay.which, events.last())
        && events.len() >= replay.limit as usize
    {
        replayed.behind = Some((last.at, last.number));
    }
    let is_named = matches!(replay.which, Replayable::One(..));
    let id = *endpoint.id.as_bytes();
    let is_heard = |event: &read::Replayed| {
        let is_of_another = event.kind == EventKind::EndpointTest.as_str() && event.subject != id;
        endpoint.may_hear(event.caller) && !is_of_another && (is_named || endpoint.wants(&event.kind))
    };
    let heard = events.into_iter().filter(is_heard);
    let again: Vec<_> = heard
        .map(|read::Replayed { number, subject, kind, .. }| NewDelivery {
            number,
            endpoint: id,
            subject,
            kind,
        })
        .collect();
    replayed.events = deliveries::deliver_again(statements, replay.now, &again)?;
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
    deliveries::forget_told(statements, &numbers)?;
    Ok(numbers.len() < limit as usize)
}

impl Known {
    fn is_posted_to(&self, now: Timestamp) -> bool {
        !self.is_disabled && self.key_ends_at.is_none_or(|end| end > now)
    }
}
