//! Step 1: a request becomes stored, queued messages.
//!
//! Normalize the receiver, measure the text, choose the route, and then one durable call that stores message,
//! queue row and idempotency key together. An answer means that it is on disk.

mod judge;
mod stored;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use domain::encoding;
use domain::ids::{BulkId, MessageId};
use domain::message::Message;
use domain::phone::{Msisdn, SenderId};
use domain::quota::Left;
use domain::route::Route;
use domain::scenario::{Priority, Scenario};
use domain::secret::Body;
use domain::time::Timestamp;
use store::port::messages::{Accept, Accepted, Idempotency, Limited, NewMessage};
use store::{Store, StoreError};

use crate::fresh;
use crate::guard::{Guard, Opinion};
use crate::limits::{Allows, Limits, Weight};
use crate::request::{
    BulkRequest, Caller, Content, FieldError, FieldProblem, Reached, Remaining, Reply, ReplyVerdict,
    SendError, SendRequest,
};
use crate::request_key::RequestKey;
use crate::routing::{Router, Traveler};
use crate::settings::{MAX_RECEIVERS, MAX_SEGMENTS, Settings};

pub(crate) use self::judge::Refused;
pub(crate) use self::stored::Stored;

/// Characters of a caller's own names that are kept.
const MAX_NAME: usize = 128;
/// Entries of metadata that are kept.
const MAX_METADATA: usize = 20;

/// How often a request is looked at again of which a part was refused.
const TRIES: usize = 4;

/// Kinds of requests, kept apart by their fingerprints.
const ONE: &str = "one";
const BULK: &str = "bulk";

/// What accepting needs.
pub(crate) struct Acceptor<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) router: &'a Router,
    pub(crate) settings: &'a Settings,
    pub(crate) requests: &'a RequestKey,
    pub(crate) limits: &'a Limits,
    pub(crate) guard: &'a Guard,
}

/// A request that was checked, on its way into the store.
pub(crate) struct Prepared {
    pub(crate) messages: Vec<NewMessage>,
    verdicts: Vec<Prospect>,
    common: Common,
    bulk_id: Option<BulkId>,
    idempotency: Option<(String, [u8; 32])>,
    /// What the guard thinks of it.
    opinions: Vec<Opinion>,
}

/// A request that may have been made before.
#[derive(Clone, Copy)]
pub(crate) struct Repeatable<'a> {
    kind: &'static str,
    receivers: &'a [String],
    content: &'a Content,
    key: Option<&'a str>,
}

impl<'a> From<&'a SendRequest> for Repeatable<'a> {
    fn from(request: &'a SendRequest) -> Self {
        Self {
            kind: ONE,
            receivers: std::slice::from_ref(&request.receiver),
            content: &request.content,
            key: request.idempotency_key.as_deref(),
        }
    }
}

impl<'a> From<&'a BulkRequest> for Repeatable<'a> {
    fn from(request: &'a BulkRequest) -> Self {
        Self {
            kind: BULK,
            receivers: &request.receivers,
            content: &request.content,
            key: request.idempotency_key.as_deref(),
        }
    }
}

/// What a receiver will be answered if the messages are stored.
enum Prospect {
    Accepted(MessageId, Msisdn),
    Rejected(FieldProblem),
}

/// What a checked request's messages have in common.
pub(crate) struct Common {
    caller: Caller,
    pub(crate) scenario: Scenario,
    pub(crate) priority: Priority,
    sender: Option<SenderId>,
    body: Body,
    pub(crate) encoding: encoding::Encoding,
    pub(crate) segments: u16,
    client: Option<IpAddr>,
    now: Timestamp,
}

/// When a message leaves, and until when it is of use.
pub(crate) struct Plan {
    pub(crate) leaves_at: Timestamp,
    /// Held back by quiet hours until then.
    pub(crate) held_until: Option<Timestamp>,
    pub(crate) expires_at: Option<Timestamp>,
}

impl Common {
    /// What decides the route to a receiver.
    pub(crate) fn traveler(&self, receiver: Msisdn) -> Traveler<'static> {
        let Self { scenario, priority, segments, .. } = *self;
        Traveler { receiver, scenario, priority, segments, refused_by: &[] }
    }

    /// The message to one receiver.
    pub(crate) fn compose(
        &self,
        receiver: Msisdn,
        content: &Content,
        plan: &Plan,
        bulk_id: Option<BulkId>,
    ) -> Message {
        Message {
            id: fresh::message_id(self.now),
            bulk_id,
            caller: self.caller.key,
            receiver,
            sender: self.sender.clone(),
            scenario: self.scenario,
            priority: self.priority,
            body: self.body.clone(),
            encoding: self.encoding,
            segments: self.segments,
            reference: content.reference.clone(),
            group: content.group.clone(),
            metadata: content.metadata.clone(),
            scheduled_at: content.scheduled_at,
            expires_at: plan.expires_at,
            created_at: self.now,
        }
    }
}

impl Acceptor<'_> {
    /// Checks a request for one message.
    pub(crate) fn prepare_one(
        &self,
        caller: &Caller,
        request: &SendRequest,
        now: Timestamp,
    ) -> Result<Prepared, SendError> {
        let (receiver, common) = self.check_one(caller, request, now).map_err(SendError::Invalid)?;
        let receivers = std::slice::from_ref(&request.receiver);
        let idempotency = request
            .idempotency_key
            .as_ref()
            .map(|key| (key.clone(), self.fingerprint(ONE, receivers, &request.content)));
        let message = self.message(receiver, &request.content, &common, None).ok_or(SendError::NoProvider)?;
        let verdicts = vec![Prospect::Accepted(message.message.id, receiver)];
        let messages = vec![message];
        Ok(Prepared { messages, verdicts, common, bulk_id: None, idempotency, opinions: Vec::new() })
    }

    /// Everything that can be wrong with a request for one message.
    pub(crate) fn check_one(
        &self,
        caller: &Caller,
        request: &SendRequest,
        now: Timestamp,
    ) -> Result<(Msisdn, Common), Vec<FieldError>> {
        let mut errors = Vec::new();
        let receiver = self.allowed(&request.receiver).and_then(|receiver| reach(caller, receiver));
        let receiver = receiver.map_err(|problem| errors.push(field("/receiver", problem)));
        let common = self.common(caller, &request.content, Scenario::priority, now, &mut errors);
        match (receiver, common) {
            (Ok(receiver), Some(common)) => Ok((receiver, common)),
            _ => Err(errors),
        }
    }

    /// Checks a request for many. Receivers that can't be sent to are named one by one; the request as a
    /// whole is refused only if the text is wrong, or no receiver is left.
    pub(crate) fn prepare_bulk(
        &self,
        caller: &Caller,
        request: &BulkRequest,
        now: Timestamp,
    ) -> Result<Prepared, SendError> {
        let mut errors = Vec::new();
        let found = request.receivers.len();
        if !(1..=MAX_RECEIVERS).contains(&found) {
            errors.push(field("/receivers", FieldProblem::ReceiverCount { found, max: MAX_RECEIVERS }));
        }
        let common = self.common(caller, &request.content, Scenario::bulk_priority, now, &mut errors);
        let (Some(common), true) = (common, errors.is_empty()) else {
            return Err(SendError::Invalid(errors));
        };
        let bulk_id = fresh::bulk_id(now);
        let mut seen = HashSet::with_capacity(found);
        let mut messages = Vec::with_capacity(found);
        let mut verdicts = Vec::with_capacity(found);
        for text in &request.receivers {
            let checked = self.allowed(text).and_then(|receiver| {
                if !seen.insert(receiver) {
                    return Err(FieldProblem::DuplicateReceiver);
                }
                let receiver = reach(caller, receiver)?;
                self.message(receiver, &request.content, &common, Some(bulk_id))
                    .ok_or(FieldProblem::NoProvider)
            });
            verdicts.push(match checked {
                Ok(message) => {
                    let prospect = Prospect::Accepted(message.message.id, message.message.receiver);
                    messages.push(message);
                    prospect
                }
                Err(problem) => Prospect::Rejected(problem),
            });
        }
        if messages.is_empty() {
            return Err(SendError::Invalid(refusals(verdicts)));
        }
        let idempotency = request
            .idempotency_key
            .as_ref()
            .map(|key| (key.clone(), self.fingerprint(BULK, &request.receivers, &request.content)));
        let opinions = Vec::new();
        Ok(Prepared { messages, verdicts, common, bulk_id: Some(bulk_id), idempotency, opinions })
    }

    /// A number that messages may go to.
    fn allowed(&self, text: &str) -> Result<Msisdn, FieldProblem> {
        let receiver = self.receiver(text)?;
        if self.guard.allows(receiver) { Ok(receiver) } else { Err(FieldProblem::CountryNotAllowed) }
    }

    fn receiver(&self, text: &str) -> Result<Msisdn, FieldProblem> {
        if text.trim().is_empty() {
            return Err(FieldProblem::Missing);
        }
        Msisdn::parse(text, self.settings.default_region).map_err(FieldProblem::Receiver)
    }

    /// Checks what all messages of a request share, and notes every mistake, not only the first.
    fn common(
        &self,
        caller: &Caller,
        content: &Content,
        lane: fn(Scenario) -> Priority,
        now: Timestamp,
        errors: &mut Vec<FieldError>,
    ) -> Option<Common> {
        let before = errors.len();
        let scenario = scenario(caller, content.scenario.as_deref()).unwrap_or_else(|problem| {
            errors.push(field("/scenario", problem));
            Scenario::General
        });
        let text = encoding::to_nfc(&content.message);
        let measured = encoding::measure(&text);
        if let Err(problem) = self.check_text(&text, measured.segments, scenario) {
            errors.push(field("/message", problem));
        }
        let sender = sender(caller, content.sender.as_deref()).unwrap_or_else(|problem| {
            errors.push(field("/sender", problem));
            None
        });
        check_names(content, errors);
        self.check_times(content, now, errors);
        (errors.len() == before).then(|| Common {
            caller: caller.clone(),
            scenario,
            priority: lane(scenario),
            sender,
            body: Body::new(text.as_ref()),
            encoding: measured.encoding,
            segments: u16::try_from(measured.segments).unwrap_or(u16::MAX),
            client: content.client_ip,
            now,
        })
    }

    fn check_text(&self, text: &str, segments: usize, scenario: Scenario) -> Result<(), FieldProblem> {
        if text.is_empty() {
            return Err(FieldProblem::Missing);
        }
        if text.trim().is_empty() {
            return Err(FieldProblem::EmptyMessage);
        }
        // No alphabet of an SMS has it, and PostgreSQL keeps no text with it.
        if text.contains('\0') {
            return Err(FieldProblem::NulCharacter);
        }
        let (found, max) = (text.chars().count(), self.settings.max_characters(scenario));
        if found > max {
            return Err(FieldProblem::MessageTooLong { found, max });
        }
        if segments > MAX_SEGMENTS {
            return Err(FieldProblem::TooManySegments { found: segments, max: MAX_SEGMENTS });
        }
        match self.settings.content.broken_by(text, scenario) {
            Some(rule) => Err(FieldProblem::SensitiveContent { rule: rule.clone() }),
            None => Ok(()),
        }
    }

    fn check_times(&self, content: &Content, now: Timestamp, errors: &mut Vec<FieldError>) {
        let ahead = self.settings.max_schedule_ahead;
        if content.scheduled_at.is_some_and(|at| at > now.plus(ahead)) {
            errors.push(field("/scheduled_at", FieldProblem::TooFarAhead { days: ahead.as_secs() / 86_400 }));
        }
        let leaves_at = content.scheduled_at.unwrap_or(now).max(now);
        if content.expires_at.is_some_and(|at| at <= leaves_at) {
            errors.push(field("/expires_at", FieldProblem::ExpiresTooSoon));
        }
    }

    /// A message with its first route; `None` if there is no route.
    fn message(
        &self,
        receiver: Msisdn,
        content: &Content,
        common: &Common,
        bulk_id: Option<BulkId>,
    ) -> Option<NewMessage> {
        let plan = self.plan(receiver, content, common);
        let leaves_now = plan.leaves_at == common.now;
        let Route { provider, price, .. } =
            self.router.choose(&common.traveler(receiver), leaves_now, common.now)?;
        let message = common.compose(receiver, content, &plan, bulk_id);
        let weight = Weight { client: common.client, price, leaves_at: plan.leaves_at };
        let draws = self.limits.draws(&message, &weight);
        Some(NewMessage { message, provider, held_until: plan.held_until, draws })
    }

    /// When a message leaves, and until when it is of use.
    pub(crate) fn plan(&self, receiver: Msisdn, content: &Content, common: &Common) -> Plan {
        let wanted_at = content.scheduled_at.unwrap_or(common.now).max(common.now);
        let held_until = self.settings.quiet_hours.ends(common.scenario, receiver.country(), wanted_at);
        let leaves_at = held_until.unwrap_or(wanted_at);
        let expires_after = self.settings.policy(common.scenario).expires_after;
        let expires_at = content.expires_at.or(expires_after.map(|after| leaves_at.plus(after)));
        Plan { leaves_at, held_until, expires_at }
    }

    fn fingerprint(&self, kind: &str, receivers: &[String], content: &Content) -> [u8; 32] {
        self.requests.fingerprint(kind, receivers, content)
    }

    fn scoped_key(&self, caller: &Caller, key: &str) -> [u8; 32] {
        self.requests.scoped(caller, key)
    }

    /// What a request that can't be accepted was answered when it was made before, if it was: a repeated request
    /// gets its first answer, also when its time has passed or a setting has changed since.
    pub(crate) async fn earlier(
        &self,
        caller: &Caller,
        request: Repeatable<'_>,
        now: Timestamp,
    ) -> Result<Option<Stored>, SendError> {
        let Some(key) = request.key else { return Ok(None) };
        let asked = Idempotency {
            key: self.scoped_key(caller, key),
            request: self.fingerprint(request.kind, request.receivers, request.content),
            reply: String::new(),
            now,
            since: now.minus(self.settings.idempotency_window),
        };
        let Some(Accepted::Repeated(earlier)) = self.store.earlier(asked).await? else { return Ok(None) };
        let reply = serde_json::from_str(&earlier).map_err(|_unreadable| StoreError::Corrupt)?;
        let prospects = request.receivers.iter().map(|text| match self.receiver(text) {
            Ok(receiver) => Prospect::Accepted(fresh::message_id(now), receiver),
            Err(problem) => Prospect::Rejected(problem),
        });
        let verdicts = prospects.collect();
        Ok(Some(Stored { reply, verdicts, repeated: true, remaining: None, reached: Vec::new() }))
    }

    /// The one durable call. Answers what was stored, or what the same request was answered before. What of a bulk request
    /// repeats earlier messages, or goes beyond a limit, is refused, and the rest is stored by another call.
    pub(crate) async fn store(&self, mut prepared: Prepared) -> Result<Stored, SendError> {
        let mut reached = Vec::new();
        for _ in 0..TRIES {
            let reply = prepared.reply();
            let accept = self.accept(&prepared, &reply)?;
            match self.store.accept(accept).await? {
                Accepted::Stored => return Ok(prepared.stored(reply, None, reached)),
                Accepted::StoredWithin(left) => {
                    let remaining = self.scarcest(&prepared, &left);
                    return Ok(prepared.stored(reply, remaining, reached));
                }
                Accepted::Repeated(earlier) => {
                    let reply = serde_json::from_str(&earlier).map_err(|_unreadable| StoreError::Corrupt)?;
                    return Ok(Stored { repeated: true, ..prepared.stored(reply, None, reached) });
                }
                Accepted::KeyReused => return Err(SendError::KeyReused),
                Accepted::Duplicates(repeated) => {
                    prepared.refuse(|id| repeated.contains(&id).then_some(FieldProblem::RepeatedMessage));
                    if prepared.messages.is_empty() {
                        return Err(SendError::Repeated);
                    }
                }
                Accepted::Limited(limited) => {
                    let limits = self.reached(&prepared, &limited);
                    prepared.refuse(|id| limits.get(&id).cloned().map(FieldProblem::Limited));
                    reached.extend(limits.into_values());
                    if prepared.messages.is_empty() {
                        let longest = reached.into_iter().max_by_key(|reached| reached.again_in);
                        return Err(longest.map_or(StoreError::Corrupt.into(), SendError::Limited));
                    }
                }
            }
        }
        // Others took what was left, again and again.
        Err(StoreError::Overloaded.into())
    }

    fn accept(&self, prepared: &Prepared, reply: &Reply) -> Result<Accept, StoreError> {
        let idempotency = prepared.idempotency.as_ref().map(|(key, request)| -> Result<_, StoreError> {
            Ok(Idempotency {
                key: self.scoped_key(&prepared.common.caller, key),
                request: *request,
                reply: serde_json::to_string(reply)
                    .map_err(|error| StoreError::Internal(error.to_string()))?,
                now: prepared.common.now,
                since: prepared.common.now.minus(self.settings.idempotency_window),
            })
        });
        let guard = self.settings.no_repeats_within.filter(|_| prepared.idempotency.is_none());
        Ok(Accept {
            messages: prepared.messages.clone(),
            idempotency: idempotency.transpose()?,
            no_repeats_since: guard.map(|within| prepared.common.now.minus(within)),
        })
    }

    /// By message, the limit that it would have gone beyond.
    fn reached(&self, prepared: &Prepared, limited: &[Limited]) -> HashMap<MessageId, Reached> {
        let Common { now, client, .. } = prepared.common;
        let of_one = |limited: &Limited| {
            let new = prepared.messages.iter().find(|new| new.message.id == limited.message_id)?;
            let limit = Arc::clone(self.limits.rules_for(&new.message, client).nth(limited.place)?);
            Some((limited.message_id, Reached { limit, again_in: limited.again_at.since(now) }))
        };
        limited.iter().filter_map(of_one).collect()
    }

    /// What is left of the limit of which least is left, for a request of one message.
    fn scarcest(&self, prepared: &Prepared, left: &[Left]) -> Option<Remaining> {
        let Common { now, client, .. } = prepared.common;
        let [new] = prepared.messages.as_slice() else { return None };
        let rules = self.limits.rules_for(&new.message, client).zip(left);
        // What is left of a cap is money, and nobody's business but ours.
        let counted = rules.filter(|(rule, _)| matches!(rule.allows, Allows::Messages { .. }));
        let (limit, left) = counted.min_by_key(|(_, left)| left.remaining)?;
        Some(Remaining {
            limit: Arc::clone(limit),
            remaining: left.remaining,
            whole_in: left.whole_at.since(now),
        })
    }
}

impl Prepared {
    /// Takes messages out that are refused after all.
    fn refuse(&mut self, why: impl Fn(MessageId) -> Option<FieldProblem>) {
        self.messages.retain(|new| why(new.message.id).is_none());
        for verdict in &mut self.verdicts {
            if let Prospect::Accepted(id, _) = verdict
                && let Some(problem) = why(*id)
            {
                *verdict = Prospect::Rejected(problem);
            }
        }
    }

    fn stored(self, reply: Reply, remaining: Option<Remaining>, reached: Vec<Reached>) -> Stored {
        Stored { reply, verdicts: self.verdicts, repeated: false, remaining, reached }
    }

    fn reply(&self) -> Reply {
        Reply {
            bulk_id: self.bulk_id,
            created_at: self.common.now,
            scenario: self.common.scenario,
            priority: self.common.priority,
            encoding: self.common.encoding,
            segments: self.common.segments,
            status: self.messages.first().map_or(domain::message::MessageStatus::Queued, NewMessage::status),
            verdicts: self
                .verdicts
                .iter()
                .map(|verdict| match verdict {
                    Prospect::Accepted(id, _) => ReplyVerdict::Accepted(*id),
                    Prospect::Rejected(problem) => {
                        ReplyVerdict::Rejected { code: problem.code().into(), detail: problem.to_string() }
                    }
                })
                .collect(),
        }
    }
}

/// The receiver, if its country is one that the caller may send to.
fn reach(caller: &Caller, receiver: Msisdn) -> Result<Msisdn, FieldProblem> {
    caller.allowed.country(receiver.country())?;
    Ok(receiver)
}

/// The scenario asked for, if the caller may send for it.
fn scenario(caller: &Caller, text: Option<&str>) -> Result<Scenario, FieldProblem> {
    let scenario = text.map_or(Ok(Scenario::General), str::parse).map_err(FieldProblem::UnknownScenario)?;
    caller.allowed.scenario(scenario)?;
    Ok(scenario)
}

/// The sender asked for, if the caller may show it.
fn sender(caller: &Caller, text: Option<&str>) -> Result<Option<SenderId>, FieldProblem> {
    let sender = text.map(str::parse).transpose().map_err(FieldProblem::Sender)?;
    caller.allowed.sender(sender.as_ref())?;
    Ok(sender)
}

fn check_names(content: &Content, errors: &mut Vec<FieldError>) {
    for (pointer, name) in [("/reference", &content.reference), ("/group", &content.group)] {
        if name.as_ref().is_some_and(|name| name.chars().count() > MAX_NAME) {
            errors.push(field(pointer, FieldProblem::TooLong { max: MAX_NAME }));
        }
        if name.as_ref().is_some_and(|name| name.contains('\0')) {
            errors.push(field(pointer, FieldProblem::NulCharacter));
        }
    }
    let fits = |(name, value): (&String, &String)| name.chars().count() <= 64 && value.chars().count() <= 256;
    if content.metadata.len() > MAX_METADATA || !content.metadata.iter().all(fits) {
        errors.push(field("/metadata", FieldProblem::Metadata { max: MAX_METADATA }));
    }
}

fn field(pointer: &str, problem: FieldProblem) -> FieldError {
    FieldError { pointer: pointer.into(), problem }
}

fn refusals(verdicts: Vec<Prospect>) -> Vec<FieldError> {
    let problems = verdicts.into_iter().enumerate();
    problems
        .filter_map(|(index, verdict)| match verdict {
            Prospect::Rejected(problem) => Some(field(&format!("/receivers/{index}"), problem)),
            Prospect::Accepted(..) => None,
        })
        .collect()
}
