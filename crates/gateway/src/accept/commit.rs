//! The one durable call: what it stores, what it refuses, and what it answered before.

use std::collections::HashMap;
use std::sync::Arc;

use domain::encoding::Encoding;
use domain::ids::MessageId;
use domain::message::MessageStatus;
use domain::quota::Left;
use domain::time::Timestamp;
use store::StoreError;
use store::port::messages::{Accept, Accepted, Idempotency, Limited, NewMessage};

use super::{Acceptor, Common, Prepared, Prospect, Repeatable, Stored, refusals};
use crate::fresh;
use crate::limits::Allows;
use crate::request::{Caller, FieldProblem, OptedOut, Reached, Remaining, Reply, ReplyVerdict, SendError};

/// How often a request is looked at again of which a part was refused.
const TRIES: usize = 4;

impl Acceptor<'_> {
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
            request: self.fingerprint(request.kind, request.receivers, request.own, request.content),
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
                // Whoever asks makes another code.
                Accepted::CodeEnded => return Err(StoreError::Conflict.into()),
                Accepted::Duplicates(repeated) => {
                    prepared.refuse(|id| repeated.contains(&id).then_some(FieldProblem::RepeatedMessage));
                    if prepared.messages.is_empty() {
                        return Err(SendError::Repeated);
                    }
                }
                Accepted::OptedOut(opted_out) => {
                    let mut by: HashMap<_, _> =
                        opted_out.into_iter().map(|it| (it.message_id, OptedOut(it.by))).collect();
                    prepared.refuse(|id| by.get(&id).cloned().map(FieldProblem::OptedOut));
                    if prepared.messages.is_empty() && prepared.bulk_id.is_none() {
                        let only = by.drain().next().ok_or(StoreError::Corrupt)?;
                        return Err(SendError::OptedOut(only.1));
                    }
                    if prepared.messages.is_empty() {
                        return Err(SendError::Invalid(refusals(prepared.verdicts)));
                    }
                }
                Accepted::Limited(limited) => {
                    let limits = self.reached(&prepared, &limited);
                    prepared.refuse(|id| limits.get(&id).cloned().map(FieldProblem::Limited));
                    reached.extend(limits.into_values());
                    if prepared.messages.is_empty() {
                        return Err(limited_as_a_whole(prepared, reached));
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
        // The same code again has the same text: what is a repetition there is told by the code.
        let has_text = prepared.messages.iter().all(|new| new.verification.is_none());
        let guard = self.settings.no_repeats_within.filter(|_| prepared.idempotency.is_none() && has_text);
        Ok(Accept {
            messages: prepared.messages.clone(),
            idempotency: idempotency.transpose()?,
            no_repeats_since: guard.map(|within| prepared.common.now.minus(within)),
        })
    }

    /// By message, the limit that it would have gone beyond.
    pub(super) fn reached(&self, prepared: &Prepared, limited: &[Limited]) -> HashMap<MessageId, Reached> {
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
    pub(super) fn refuse(&mut self, why: impl Fn(MessageId) -> Option<FieldProblem>) {
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
        let messages = || self.messages.iter().map(|new| &new.message);
        Reply {
            bulk_id: self.bulk_id,
            created_at: self.common.now,
            scenario: self.common.scenario,
            priority: self.common.priority,
            // Texts of a template differ: what is said of all is the most.
            encoding: messages().map(|message| message.encoding).max().unwrap_or(Encoding::Gsm7),
            segments: messages().map(|message| message.segments).max().unwrap_or(1),
            status: self.messages.first().map_or(MessageStatus::Queued, NewMessage::status),
            verdicts: self
                .verdicts
                .iter()
                .map(|verdict| match verdict {
                    Prospect::Accepted(id, _) => ReplyVerdict::Accepted(*id),
                    Prospect::Rejected(problem) => {
                        ReplyVerdict::Rejected { code: problem.code().into(), detail: problem.in_words() }
                    }
                })
                .collect(),
        }
    }
}

/// Why nothing is left of a request of which limits refused something. A limit that is not about receivers refuses all that
/// comes after it, too.
fn limited_as_a_whole(prepared: Prepared, reached: Vec<Reached>) -> SendError {
    let (theirs, others): (Vec<_>, Vec<_>) =
        reached.into_iter().partition(|reached| reached.limit.by.is_of_receivers());
    let longest = |reached: Vec<Reached>| reached.into_iter().max_by_key(|reached| reached.again_in);
    match (longest(others), longest(theirs)) {
        (Some(other), _) => SendError::Limited(other),
        (None, Some(longest)) if prepared.bulk_id.is_some() => {
            SendError::LimitedReceivers { longest, refusals: refusals(prepared.verdicts) }
        }
        (None, longest) => longest.map_or(StoreError::Corrupt.into(), SendError::Limited),
    }
}
