//! What the audit trail is told of requests that were refused: an entry for each message that was asked for.

use std::slice;

use domain::audit::{Actor, Event, NewEntry};
use domain::phone::{Country, Msisdn};
use domain::time::Timestamp;
use store::Store;

use crate::request::{BulkRequest, Caller, Content, SendError, SendRequest};
use crate::settings::MAX_RECEIVERS;

/// What tells of a refusal: the store hashes numbers.
#[derive(Clone, Copy)]
pub(crate) struct Teller<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) region: Country,
    pub(crate) now: Timestamp,
}

/// A request that was made, as far as its refusal is told by it.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) caller: &'a Caller,
    receivers: &'a [String],
    content: &'a Content,
}

impl<'a> Asked<'a> {
    pub(crate) fn one(caller: &'a Caller, request: &'a SendRequest) -> Self {
        Self { caller, receivers: slice::from_ref(&request.receiver), content: &request.content }
    }

    pub(crate) fn bulk(caller: &'a Caller, request: &'a BulkRequest) -> Self {
        Self { caller, receivers: &request.receivers, content: &request.content }
    }

    /// Entries of a request that was refused as a whole. None if the store could not take it: nobody refused it.
    pub(crate) fn refused(self, refusal: &SendError, teller: Teller<'_>) -> Vec<NewEntry> {
        let of_all = match refusal {
            SendError::Invalid(errors) => errors.first().map_or("invalid", |error| error.problem.code()),
            SendError::KeyReused => "idempotency_key_reused",
            SendError::Repeated => "repeated_message",
            SendError::NoProvider => "no_provider",
            SendError::GuardRefused { .. } => "guard_refused",
            SendError::Limited(_) => "rate_limited",
            SendError::Store(_) => return Vec::new(),
        };
        let code = |index: usize| match refusal {
            SendError::Invalid(errors) => {
                let pointer = format!("/receivers/{index}");
                let own = errors.iter().find(|error| error.pointer == pointer);
                own.map_or(of_all, |error| error.problem.code())
            }
            _ => of_all,
        };
        // A list that is too long, or empty, is one mistake.
        if self.receivers.is_empty() || self.receivers.len() > MAX_RECEIVERS {
            return vec![self.entry(None, of_all, teller)];
        }
        let receivers = self.receivers.iter().enumerate();
        receivers.map(|(index, receiver)| self.entry(Some(receiver), code(index), teller)).collect()
    }

    /// Entries of receivers that were refused while others were accepted: by their positions, with the code of each.
    pub(crate) fn refused_receivers(
        self,
        refused: &[(usize, &'static str)],
        teller: Teller<'_>,
    ) -> Vec<NewEntry> {
        let refused = refused.iter();
        refused.map(|(index, code)| self.entry(self.receivers.get(*index), code, teller)).collect()
    }

    fn entry(self, receiver: Option<&String>, code: &'static str, teller: Teller<'_>) -> NewEntry {
        let receiver = receiver.and_then(|text| Msisdn::parse(text, teller.region).ok());
        NewEntry {
            receiver: receiver.map(|receiver| teller.store.receiver_hash(receiver)),
            length: u32::try_from(self.content.message.chars().count()).ok(),
            outcome: Some(code),
            ..NewEntry::new(teller.now, Actor::Key(self.caller.key), Event::SmsRefused)
        }
    }
}
