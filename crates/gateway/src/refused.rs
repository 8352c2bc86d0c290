//! What the audit trail is told of requests that were refused: an entry for each message that was asked for, and one for
//! many if a caller is refused again and again. Refusals cost whoever asks nothing, and an entry is a part of a commit that
//! accepted messages wait for.

use std::collections::BTreeMap;
use std::slice;

use domain::audit::{Actor, Event, NewEntry};
use domain::guard::Grain;
use domain::phone::{Country, Msisdn};
use domain::time::Timestamp;
use parking_lot::Mutex;
use store::Store;

use crate::request::{BulkRequest, Caller, Content, SendError, SendRequest};
use crate::settings::MAX_RECEIVERS;

/// Refusals of a caller with the same code that are entered one by one within a minute.
const ONE_BY_ONE: u32 = 20;

/// Callers and codes that are told apart within a minute: there may be as many callers as tokens.
const MOST: usize = 1_000;

/// The refusals of this minute.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<Gathered>);

#[derive(Debug, Default)]
struct Gathered {
    minute: i64,
    by: BTreeMap<(Actor, Event, Option<&'static str>), Many>,
}

/// Refusals of a caller with the same code.
#[derive(Debug)]
struct Many {
    entered: u32,
    /// Those that were not.
    more: u64,
    last_at: Timestamp,
}

impl Refusals {
    /// What was gathered of minutes that are over, and those of these entries that are entered one by one.
    pub(crate) fn gather(&self, entries: Vec<NewEntry>, now: Timestamp) -> Vec<NewEntry> {
        let mut gathered = self.0.lock();
        let over = gathered.begin_minute(now);
        let one_by_one = entries.into_iter().filter(|entry| gathered.is_one_by_one(entry));
        over.into_iter().chain(one_by_one).collect()
    }

    /// What was gathered of minutes that are over.
    pub(crate) fn over(&self, now: Timestamp) -> Vec<NewEntry> {
        self.0.lock().begin_minute(now)
    }

    /// All that was gathered.
    pub(crate) fn all(&self) -> Vec<NewEntry> {
        self.0.lock().take()
    }
}

impl Gathered {
    fn begin_minute(&mut self, now: Timestamp) -> Vec<NewEntry> {
        let minute = Grain::Minute.at(now).number;
        if minute <= self.minute {
            return Vec::new();
        }
        self.minute = minute;
        self.take()
    }

    fn take(&mut self) -> Vec<NewEntry> {
        let many = std::mem::take(&mut self.by).into_iter().filter(|(_, many)| many.more > 0);
        many.map(|((actor, event, outcome), many)| NewEntry {
            outcome,
            subject: Some(format!("{} more", many.more)),
            ..NewEntry::new(many.last_at, actor, event)
        })
        .collect()
    }

    fn is_one_by_one(&mut self, entry: &NewEntry) -> bool {
        let mut about = (entry.actor.clone(), entry.event, entry.outcome);
        if self.by.len() >= MOST && !self.by.contains_key(&about) {
            about.0 = Actor::System;
        }
        let new = || Many { entered: 0, more: 0, last_at: entry.at };
        let many = self.by.entry(about).or_insert_with(new);
        many.last_at = many.last_at.max(entry.at);
        if many.entered < ONE_BY_ONE {
            many.entered += 1;
            return true;
        }
        many.more += 1;
        false
    }
}

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
            SendError::Limited(_) | SendError::LimitedReceivers { .. } => "rate_limited",
            SendError::OptedOut(_) => "opted_out",
            SendError::Store(_) => return Vec::new(),
        };
        let code = |index: usize| match refusal {
            SendError::Invalid(errors) | SendError::LimitedReceivers { refusals: errors, .. } => {
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

    fn length(self) -> Option<u32> {
        let has_text = self.content.template.is_none();
        has_text.then(|| u32::try_from(self.content.message.chars().count()).ok()).flatten()
    }

    fn entry(self, receiver: Option<&String>, code: &'static str, teller: Teller<'_>) -> NewEntry {
        let receiver = receiver.and_then(|text| Msisdn::parse(text, teller.region).ok());
        NewEntry {
            receiver: receiver.map(|receiver| teller.store.receiver_hash(receiver)),
            // Of a template there is no text yet.
            length: self.length(),
            outcome: Some(code),
            ..NewEntry::new(teller.now, Actor::Key(self.caller.key), Event::SmsRefused)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::ids::KeyId;

    use super::*;

    const NOON: Timestamp = Timestamp::from_micros(1_795_435_200_000_000);

    fn refusal(caller: u64, code: &'static str, at: Timestamp) -> NewEntry {
        let caller = KeyId::new(NOON.plus(Duration::from_millis(caller)), [1; 10]);
        NewEntry { outcome: Some(code), ..NewEntry::new(at, Actor::Key(caller), Event::SmsRefused) }
    }

    fn refuse(refusals: &Refusals, caller: u64, code: &'static str, at: Timestamp) -> usize {
        refusals.gather(vec![refusal(caller, code, at)], at).len()
    }

    #[test]
    fn what_is_beyond_twenty_a_minute_is_one_entry_when_the_minute_is_over() {
        let refusals = Refusals::default();
        let entered: usize = (0..57).map(|_| refuse(&refusals, 1, "rate_limited", NOON)).sum();
        assert_eq!(entered, 20);
        assert_eq!(refuse(&refusals, 1, "guard_refused", NOON), 1, "another code has its own twenty");
        assert_eq!(refuse(&refusals, 2, "rate_limited", NOON), 1, "and so has another caller");
        assert_eq!(refusals.over(NOON), []);
        let next = NOON.plus(Duration::from_mins(1));
        let [more] = refusals.over(next).try_into().unwrap();
        let expected = refusal(1, "rate_limited", NOON);
        assert_eq!(more, NewEntry { subject: Some("37 more".into()), ..expected });
        assert_eq!(refuse(&refusals, 1, "rate_limited", next), 1, "a new minute, a new twenty");
        assert_eq!(refusals.all(), []);
    }

    #[test]
    fn callers_without_number_write_a_bounded_number_of_entries() {
        let refusals = Refusals::default();
        let entered: usize = (0..5_000).map(|caller| refuse(&refusals, caller, "rate_limited", NOON)).sum();
        assert_eq!(entered, MOST + ONE_BY_ONE as usize);
        let [more] = refusals.all().try_into().unwrap();
        assert_eq!((more.actor, more.subject), (Actor::System, Some("3980 more".into())));
    }
}
