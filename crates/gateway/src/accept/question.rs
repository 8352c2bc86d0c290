//! A question to many: all of its messages are accepted, or none.

use std::collections::{HashMap, HashSet};

use domain::ids::MessageId;
use domain::message::Message;
use domain::scenario::Scenario;
use domain::time::Timestamp;
use store::port::messages::{Accept, Idempotency, Limited, NewMessage};

use super::check::{field, reach};
use super::{Acceptor, Common, Letter, Prepared, Prospect, Text, Wording, first, refusals};
use crate::fresh;
use crate::request::{BulkRequest, Caller, Content, FieldProblem, OptedOut, Reached, SendError};
use crate::settings::MAX_RECEIVERS;

impl Prepared {
    /// The refusal of a question that some of its receivers do not want to be asked.
    pub(crate) fn not_wanted(mut self, unwanted: Vec<store::port::consent::OptedOut>) -> SendError {
        let by: HashMap<MessageId, OptedOut> =
            unwanted.into_iter().map(|it| (it.message_id, OptedOut(it.by))).collect();
        self.refuse(|id| by.get(&id).cloned().map(FieldProblem::OptedOut));
        self.into_refusal()
    }
}

impl Acceptor<'_> {
    /// Checks a question. Whoever waits for an answer to it waits for each: it goes in the lane of a single message.
    pub(crate) fn prepare_question(
        &self,
        caller: &Caller,
        request: &BulkRequest,
        now: Timestamp,
    ) -> Result<Prepared, SendError> {
        let mut errors = Vec::new();
        let found = request.receivers.len();
        let is_in_bounds = (1..=MAX_RECEIVERS).contains(&found);
        if !is_in_bounds {
            errors.push(field("/receivers", FieldProblem::ReceiverCount { found, max: MAX_RECEIVERS }));
        }
        let common = self.common(caller, &request.content, Scenario::priority, now, &mut errors);
        let (mut seen, mut messages, mut verdicts) = (HashSet::new(), Vec::new(), Vec::new());
        for text in request.receivers.iter().filter(|_| is_in_bounds) {
            let receiver = self.allowed(text).and_then(|receiver| {
                let is_new = seen.insert(receiver);
                if is_new { reach(caller, receiver) } else { Err(FieldProblem::DuplicateReceiver) }
            });
            // Also where no text can be made of the rest: every mistake is named.
            let checked = receiver.and_then(|receiver| {
                let id = fresh::message_id(now);
                if let Some(common) = &common {
                    let text = self.text(common, &request.content, None, id).map_err(first)?;
                    let message = self.message(Letter { id, receiver, text }, &request.content, common, None);
                    messages.push(message.ok_or(FieldProblem::NoProvider)?);
                }
                Ok(Prospect::Accepted(id, receiver))
            });
            verdicts.push(checked.unwrap_or_else(Prospect::Rejected));
        }
        match common {
            Some(common) if errors.is_empty() && messages.len() == found => {
                let opinions = Vec::new();
                Ok(Prepared { messages, verdicts, common, bulk_id: None, idempotency: None, opinions })
            }
            // One who is not asked would change what `all` means.
            _ => {
                errors.extend(refusals(verdicts));
                Err(SendError::Invalid(errors))
            }
        }
    }

    /// What makes a question repeatable; `kind` says all of it that is not in the messages.
    pub(crate) fn question_key(
        &self,
        caller: &Caller,
        request: &BulkRequest,
        kind: &str,
        now: Timestamp,
    ) -> Option<Idempotency> {
        let key = request.idempotency_key.as_deref()?;
        Some(Idempotency {
            key: self.scoped_key(caller, key),
            request: self.fingerprint(kind, &request.receivers, &request.own, &request.content),
            reply: String::new(),
            now,
            since: now.minus(self.settings.idempotency_window),
        })
    }

    /// What the store is asked.
    pub(crate) fn accept_question(&self, prepared: &Prepared, idempotency: Option<Idempotency>) -> Accept {
        let within = self.settings.no_repeats_within.filter(|_| idempotency.is_none());
        Accept {
            messages: prepared.messages.clone(),
            no_repeats_since: within.map(|within| prepared.common.now.minus(within)),
            idempotency,
        }
    }

    /// Of the limits that a question would have gone beyond, the one that is longest in the way.
    pub(crate) fn longest(&self, prepared: &Prepared, limited: &[Limited]) -> Option<Reached> {
        self.reached(prepared, limited).into_values().max_by_key(|reached| reached.again_in)
    }

    /// The same message again, to whoever has not answered; `None` if no route leads there any more.
    pub(crate) fn again(&self, message: &Message, until: Timestamp, now: Timestamp) -> Option<NewMessage> {
        let text = Text {
            body: message.body.clone(),
            encoding: message.encoding,
            segments: message.segments,
            template: message.template.clone(),
        };
        let common = Common {
            caller: Caller::of(message.caller),
            scenario: message.scenario,
            priority: message.priority,
            sender: message.sender.clone(),
            wording: Wording::Same(text.clone()),
            client: None,
            now,
        };
        let content = Content {
            reference: message.reference.clone(),
            group: message.group.clone(),
            metadata: message.metadata.clone(),
            expires_at: Some(until),
            ..Content::default()
        };
        let letter = Letter { id: fresh::message_id(now), receiver: message.receiver, text };
        self.message(letter, &content, &common, None)
    }
}
