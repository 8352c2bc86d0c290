//! Step 1: a request becomes stored, queued messages.
//!
//! Normalize the receiver, measure the text, choose the route, and then one durable call that stores message,
//! queue row and idempotency key together. An answer means that it is on disk.

mod check;
mod commit;
mod judge;
mod question;
mod stored;
mod text;

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use domain::consent::{Class, Question};
use domain::encoding;
use domain::ids::{BulkId, MessageId};
use domain::message::Message;
use domain::phone::{Msisdn, SenderId};
use domain::route::Route;
use domain::scenario::{Priority, Scenario};
use domain::secret::Body;
use domain::template::{Locale, Used};
use domain::time::Timestamp;
use store::Store;
use store::port::messages::NewMessage;
use store::port::verifications::NewVerification;

use crate::fresh;
use crate::guard::{Guard, Opinion};
use crate::limits::{Limits, Weight};
use crate::request::{BulkRequest, Caller, Content, FieldError, FieldProblem, Own, SendError, SendRequest};
use crate::request_key::RequestKey;
use crate::routing::{Router, Traveler};
use crate::settings::{MAX_RECEIVERS, Settings};
use crate::templates::{Ready, Templates};

use self::check::{field, reach};
pub(crate) use self::judge::Refused;
pub(crate) use self::stored::Stored;

/// Kinds of requests, kept apart by their fingerprints.
const ONE: &str = "one";
const BULK: &str = "bulk";
const VERIFICATION: &str = "verification";

/// What accepting needs.
pub(crate) struct Acceptor<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) router: &'a Router,
    pub(crate) settings: &'a Settings,
    pub(crate) requests: &'a RequestKey,
    pub(crate) limits: &'a Limits,
    pub(crate) guard: &'a Guard,
    pub(crate) templates: &'a Templates,
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
    own: &'a [Own],
    content: &'a Content,
    key: Option<&'a str>,
}

impl<'a> From<&'a SendRequest> for Repeatable<'a> {
    fn from(request: &'a SendRequest) -> Self {
        Self {
            kind: ONE,
            receivers: std::slice::from_ref(&request.receiver),
            own: &[],
            content: &request.content,
            key: request.idempotency_key.as_deref(),
        }
    }
}

impl<'a> Repeatable<'a> {
    /// A request for a code: known by what was asked, and not by the text, which has another code each time.
    pub(crate) fn verification(receiver: &'a String, asked: &'a Content, key: Option<&'a str>) -> Self {
        Self { kind: VERIFICATION, receivers: std::slice::from_ref(receiver), content: asked, own: &[], key }
    }
}

impl<'a> From<&'a BulkRequest> for Repeatable<'a> {
    fn from(request: &'a BulkRequest) -> Self {
        Self {
            kind: BULK,
            receivers: &request.receivers,
            own: &request.own,
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
    wording: Wording,
    client: Option<IpAddr>,
    now: Timestamp,
}

/// Where the texts come from.
enum Wording {
    /// All have the same.
    Same(Text),
    /// Each has its own, made of a template.
    Own(Arc<Ready>, Option<Locale>),
}

/// A text that was checked and measured.
#[derive(Clone)]
pub(crate) struct Text {
    pub(crate) body: Body,
    pub(crate) encoding: encoding::Encoding,
    pub(crate) segments: u16,
    pub(crate) template: Option<Used>,
}

/// A message on its way to one receiver.
pub(crate) struct Letter {
    pub(crate) id: MessageId,
    pub(crate) receiver: Msisdn,
    pub(crate) text: Text,
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
    pub(crate) fn traveler(&self, letter: &Letter) -> Traveler<'static> {
        let Self { scenario, priority, .. } = *self;
        let (receiver, segments) = (letter.receiver, letter.text.segments);
        Traveler { receiver, scenario, priority, segments, refused_by: &[] }
    }

    /// The message to one receiver.
    pub(crate) fn compose(
        &self,
        letter: Letter,
        content: &Content,
        plan: &Plan,
        bulk_id: Option<BulkId>,
    ) -> Message {
        let Letter { id, receiver, text } = letter;
        Message {
            id,
            bulk_id,
            caller: self.caller.key,
            receiver,
            sender: self.sender.clone(),
            scenario: self.scenario,
            priority: self.priority,
            body: text.body,
            encoding: text.encoding,
            segments: text.segments,
            reference: content.reference.clone(),
            group: content.group.clone(),
            metadata: content.metadata.clone(),
            scheduled_at: content.scheduled_at,
            expires_at: plan.expires_at,
            created_at: self.now,
            template: text.template,
        }
    }
}

impl Prepared {
    /// Lets the message carry a code.
    pub(crate) fn carrying(mut self, begins: &NewVerification) -> Self {
        for new in &mut self.messages {
            new.verification = Some(Box::new(begins.clone()));
        }
        self
    }
}

impl Acceptor<'_> {
    /// Checks a request for a message that carries a code. `asked` is what it is known by when it is made again.
    pub(crate) fn prepare_code(
        &self,
        caller: &Caller,
        request: &SendRequest,
        used: Used,
        asked: Repeatable<'_>,
        now: Timestamp,
    ) -> Result<Prepared, SendError> {
        let mut prepared = self.prepare_one(caller, request, now)?;
        if let Some(message) = prepared.messages.first_mut() {
            message.message.template = Some(used);
        }
        if let Some((_, fingerprint)) = &mut prepared.idempotency {
            *fingerprint = self.fingerprint(asked.kind, asked.receivers, asked.own, asked.content);
        }
        Ok(prepared)
    }

    /// Checks a request for one message.
    pub(crate) fn prepare_one(
        &self,
        caller: &Caller,
        request: &SendRequest,
        now: Timestamp,
    ) -> Result<Prepared, SendError> {
        let checked = self.check_one(caller, request, Scenario::priority, now);
        let (letter, common) = checked.map_err(SendError::Invalid)?;
        let receiver = letter.receiver;
        let receivers = std::slice::from_ref(&request.receiver);
        let idempotency = request
            .idempotency_key
            .as_ref()
            .map(|key| (key.clone(), self.fingerprint(ONE, receivers, &[], &request.content)));
        let message = self.message(letter, &request.content, &common, None).ok_or(SendError::NoProvider)?;
        let verdicts = vec![Prospect::Accepted(message.message.id, receiver)];
        let messages = vec![message];
        Ok(Prepared { messages, verdicts, common, bulk_id: None, idempotency, opinions: Vec::new() })
    }

    /// Everything that can be wrong with a request for one message, which goes by this lane.
    pub(crate) fn check_one(
        &self,
        caller: &Caller,
        request: &SendRequest,
        lane: fn(Scenario) -> Priority,
        now: Timestamp,
    ) -> Result<(Letter, Common), Vec<FieldError>> {
        let mut errors = Vec::new();
        let receiver = self.allowed(&request.receiver).and_then(|receiver| reach(caller, receiver));
        let receiver = receiver.map_err(|problem| errors.push(field("/receiver", problem)));
        let common = self.common(caller, &request.content, lane, now, &mut errors);
        let id = fresh::message_id(now);
        let text = common.as_ref().map(|common| self.text(common, &request.content, None, id));
        match (receiver, common, text) {
            (Ok(receiver), Some(common), Some(Ok(text))) => Ok((Letter { id, receiver, text }, common)),
            (_, _, text) => {
                errors.extend(text.and_then(Result::err).into_iter().flatten());
                Err(errors)
            }
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
        if !request.own.is_empty() && request.content.template.is_none() {
            errors.push(field("/receivers", FieldProblem::WithoutTemplate));
        }
        let common = self.common(caller, &request.content, Scenario::bulk_priority, now, &mut errors);
        let (Some(common), true) = (common, errors.is_empty()) else {
            return Err(SendError::Invalid(errors));
        };
        let bulk_id = fresh::bulk_id(now);
        let mut seen = HashSet::with_capacity(found);
        let mut messages = Vec::with_capacity(found);
        let mut verdicts = Vec::with_capacity(found);
        for (index, text) in request.receivers.iter().enumerate() {
            let checked = self.allowed(text).and_then(|receiver| {
                if !seen.insert(receiver) {
                    return Err(FieldProblem::DuplicateReceiver);
                }
                let receiver = reach(caller, receiver)?;
                let id = fresh::message_id(now);
                let text = self.text(&common, &request.content, request.own.get(index), id);
                let text = text.map_err(first)?;
                self.message(Letter { id, receiver, text }, &request.content, &common, Some(bulk_id))
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
        let idempotency = request.idempotency_key.as_ref().map(|key| {
            (key.clone(), self.fingerprint(BULK, &request.receivers, &request.own, &request.content))
        });
        let opinions = Vec::new();
        Ok(Prepared { messages, verdicts, common, bulk_id: Some(bulk_id), idempotency, opinions })
    }

    /// A message with its first route; `None` if there is no route.
    fn message(
        &self,
        letter: Letter,
        content: &Content,
        common: &Common,
        bulk_id: Option<BulkId>,
    ) -> Option<NewMessage> {
        let plan = self.plan(letter.receiver, content, common);
        let leaves_now = plan.leaves_at == common.now;
        let Route { provider, price, .. } =
            self.router.choose(&common.traveler(&letter), leaves_now, common.now)?;
        let message = common.compose(letter, content, &plan, bulk_id);
        let weight = Weight { client: common.client, price, leaves_at: plan.leaves_at };
        let draws = self.limits.draws(&message, &weight);
        let held_until = plan.held_until;
        let asked = self.question(common);
        Some(NewMessage { message, provider, held_until, draws, consent: asked, verification: None })
    }

    /// What is asked of the consent ledger about each message of a request.
    pub(crate) fn question(&self, common: &Common) -> Option<Question> {
        let class = Class::of(common.scenario, common.priority);
        Question::of(class, common.sender.as_ref(), self.router.default_senders())
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

    fn fingerprint(&self, kind: &str, receivers: &[String], own: &[Own], content: &Content) -> [u8; 32] {
        self.requests.fingerprint(kind, receivers, own, content)
    }

    fn scoped_key(&self, caller: &Caller, key: &str) -> [u8; 32] {
        self.requests.scoped(caller, key)
    }
}

/// Of all that is wrong with a receiver's text, what its verdict says.
fn first(errors: Vec<FieldError>) -> FieldProblem {
    errors.into_iter().next().map_or(FieldProblem::EmptyMessage, |error| error.problem)
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
