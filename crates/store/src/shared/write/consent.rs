//! The consent ledger: entering changes, and holding back what somebody does not want.

use domain::attempt::{Failure, Reason};
use domain::audit::{Actor, Event, NewEntry};
use domain::consent::{Change, Class, Direction, Extent, Question};
use domain::event::{EventData, EventKind, NewEvent};
use domain::ids::MessageId;
use domain::phone::{Country, Msisdn, SenderId};
use domain::scenario::{Priority, Scenario};
use domain::time::Timestamp;

use super::super::people;
use super::super::read::{HOUR, first_id};
use super::super::row::{optional_word, time, word};
use super::super::sql::{Row, Statements, get, params, text};
use super::{cancel, events};
use crate::StoreError;
use crate::group::Pending;
use crate::port::consent::{ChangeConsent, Changed, HeldBack, OptedOut};
use crate::port::messages::{Accept, Accepted, NewMessage};
use crate::seal::Column;

/// Whether anybody has opted out of anything.
const ANY: &str = "SELECT 1 FROM opt_outs LIMIT 1";

/// What one person does not want.
pub(in super::super) const OF_NUMBER: &str =
    "SELECT sender, extent, source, since FROM opt_outs WHERE number_hash = ?1";

const ENTER: &str = "INSERT INTO consents (id, at, number_hash, country, sealed_number, sender, direction, extent, \
     source, provider, inbound_id, detail, actor) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";

/// One that stands already stays as it is.
const HOLD: &str = "INSERT INTO opt_outs (number_hash, sender, extent, consent_id, source, since) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";

/// Of all senders, or of one and of what was about all. An opt-in to everything ends both extents.
const END_ALL: &str = "DELETE FROM opt_outs WHERE number_hash = ?1 AND (?2 = 'all' OR extent = ?2)";
const END: &str =
    "DELETE FROM opt_outs WHERE number_hash = ?1 AND sender IN (?3, '') AND (?2 = 'all' OR extent = ?2)";

/// How far ahead messages may be scheduled at most, whatever the settings say.
const HOURS_AHEAD: i64 = 400 * 24;

/// How long ago the time of a scheduled message may be that waits still: for the end of quiet hours, and then as long as one that was
/// not scheduled.
const HOURS_BEHIND: i64 = 48;

/// A day of hours, and the next one: nearly all that waits was accepted in one of them, unless it was scheduled. What waits longer,
/// because its provider is drained, is not found (docs/consent.md says so).
macro_rules! hours {
    ($($back:literal)+) => {
        concat!("(CAST(?1 AS BIGINT) + 1, ?1", $(", CAST(?1 AS BIGINT) - ", $back),+, ")")
    };
}

/// What waits for a person and was accepted lately: a search for each hour, in one question.
pub(in super::super) const ACCEPTED: &str = concat!(
    "SELECT m.id, m.scenario, m.priority, m.sender FROM messages m JOIN states s ON s.message_id = m.id \
     WHERE m.created_at / 3600000000 IN ",
    hours!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24),
    " AND m.receiver_hash = ?2 AND m.id >= ?3 AND s.status IN ('queued', 'scheduled')"
);

/// What waits for a person until a time to come. Repeats the condition of the partial index.
pub(in super::super) const SCHEDULED: &str = "SELECT m.id, m.scenario, m.priority, m.sender FROM messages m \
     JOIN states s ON s.message_id = m.id WHERE m.scheduled_at IS NOT NULL \
     AND m.scheduled_at / 3600000000 BETWEEN ?1 AND ?2 AND m.receiver_hash = ?3 \
     AND s.status IN ('queued', 'scheduled')";

/// What of a batch is held back, as far as it was looked for at all.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct OptOuts {
    /// Nobody has opted out, or nobody asks.
    are_none: bool,
}

impl OptOuts {
    /// One question for the whole batch, and none for one in which no message could be held back.
    pub(super) fn look(
        statements: &mut Statements<'_>,
        accepts: &[Pending<Accept, Accepted>],
    ) -> Result<Self, StoreError> {
        Self::of(statements, accepts.iter().flat_map(|pending| &pending.question.messages))
    }

    /// The same for messages that are accepted in another way.
    pub(super) fn of<'a>(
        statements: &mut Statements<'_>,
        mut messages: impl Iterator<Item = &'a NewMessage>,
    ) -> Result<Self, StoreError> {
        let is_asked = messages.any(|new| new.consent.is_some());
        let are_none = !is_asked || statements.first(ANY, params![], |_row| Ok(()))?.is_none();
        Ok(Self { are_none })
    }

    /// Those of the messages that their receivers do not want.
    pub(super) fn held_back(
        self,
        statements: &mut Statements<'_>,
        messages: &[NewMessage],
    ) -> Result<Vec<OptedOut>, StoreError> {
        let asked = messages.iter().filter(|_| !self.are_none);
        let asked: Vec<_> = asked.filter_map(|new| Some((new, new.consent.as_ref()?))).collect();
        let vault = statements.vault();
        let hashes: Vec<i64> = asked.iter().map(|(new, _)| vault.blind(new.message.receiver)).collect();
        let opt_outs = people::opt_outs(statements, &hashes)?;
        let held_back = asked.into_iter().zip(hashes).filter_map(|((new, question), hash)| {
            let by = first(opt_outs.get(&hash)?.clone(), question)?;
            Some(OptedOut { message_id: new.message.id, by })
        });
        Ok(held_back.collect())
    }
}

/// The opt-out that holds back a message to this number: the first, where there are several.
pub(in super::super) fn held_back(
    statements: &mut Statements<'_>,
    number: Msisdn,
    question: &Question,
) -> Result<Option<HeldBack>, StoreError> {
    let hash = statements.vault().blind(number);
    let found = statements.collect(OF_NUMBER, params![hash], |row| opt_out(row, 0))?;
    Ok(first(found, question))
}

/// Of the opt-outs of one person, the first that holds back what is asked about.
pub(in super::super) fn first(found: Vec<HeldBack>, question: &Question) -> Option<HeldBack> {
    let holding = found.into_iter().filter(|it| question.is_held_back_by(it.sender.as_ref(), it.extent));
    holding.min_by_key(|it| it.since)
}

/// Reads `sender, extent, source, since`.
pub(in super::super) fn opt_out(row: &Row<'_>, at: usize) -> Result<HeldBack, StoreError> {
    Ok(HeldBack {
        sender: sender(row, at)?,
        extent: word(row, at + 1)?,
        source: word(row, at + 2)?,
        since: time(row, at + 3)?,
    })
}

/// A column that holds a sender, or nothing for all of them.
pub(in super::super) fn sender(row: &Row<'_>, at: usize) -> Result<Option<SenderId>, StoreError> {
    match text(row, at)? {
        "" => Ok(None),
        sender => sender.parse().map(Some).map_err(|_unreadable| StoreError::Corrupt),
    }
}

pub(in super::super) fn change(
    statements: &mut Statements<'_>,
    change: &ChangeConsent,
) -> Result<Vec<Changed>, StoreError> {
    change.changes.iter().map(|it| enter(statements, it, &change.by)).collect()
}

/// Makes a change, and enters it if it is one.
pub(super) fn enter(
    statements: &mut Statements<'_>,
    change: &Change,
    by: &Actor,
) -> Result<Changed, StoreError> {
    let hash = statements.vault().blind(change.number);
    let has_changed = match change.direction {
        Direction::OptOut => opt_out_of(statements, change, hash)?,
        Direction::OptIn => opt_in_to(statements, change, hash)?,
    };
    if !has_changed {
        return Ok(Changed::AsItWas);
    }
    keep(statements, change, hash, by)?;
    let event = match change.direction {
        Direction::OptOut => Event::ConsentOptedOut,
        Direction::OptIn => Event::ConsentOptedIn,
    };
    statements.tell(NewEntry {
        receiver: Some(hash),
        provider: change.provider.clone(),
        outcome: Some(change.extent.as_str()),
        subject: Some(change.id.to_string()),
        ..NewEntry::new(change.at, by.clone(), event)
    });
    tell_listeners(statements, change)?;
    let stopped = match change.direction {
        Direction::OptOut => stop_what_waits(statements, change, hash, by)?,
        Direction::OptIn => 0,
    };
    Ok(Changed::Entered { stopped })
}

/// Raises an event: whoever keeps a list of his own hears of it.
fn tell_listeners(statements: &mut Statements<'_>, change: &Change) -> Result<(), StoreError> {
    let data = serde_json::json!({
        "id": change.id,
        "receiver": change.number.to_e164(),
        "sender": change.sender,
        "direction": change.direction,
        "extent": change.extent,
        "source": change.source,
        "at": change.at.to_string(),
    });
    let event = NewEvent {
        kind: EventKind::ConsentChanged,
        subject: *change.id.as_bytes(),
        caller: None,
        at: change.at,
        data: EventData::from_json(data.to_string()),
    };
    events::raise(statements, &[event])
}

fn name(sender: Option<&SenderId>) -> &str {
    sender.map_or("", SenderId::as_str)
}

fn opt_out_of(statements: &mut Statements<'_>, change: &Change, hash: i64) -> Result<bool, StoreError> {
    let (sender, extent) = (name(change.sender.as_ref()), change.extent.as_str());
    let (id, source) = (change.id.as_bytes(), change.source.as_str());
    let held = statements.execute(HOLD, params![hash, sender, extent, id, source, change.at.as_micros()])?;
    Ok(held > 0)
}

fn opt_in_to(statements: &mut Statements<'_>, change: &Change, hash: i64) -> Result<bool, StoreError> {
    let extent = change.extent.as_str();
    let ended = match &change.sender {
        None => statements.execute(END_ALL, params![hash, extent])?,
        Some(sender) => statements.execute(END, params![hash, extent, sender.as_str()])?,
    };
    Ok(ended > 0)
}

fn keep(statements: &mut Statements<'_>, change: &Change, hash: i64, by: &Actor) -> Result<(), StoreError> {
    let number = change.number.to_e164();
    let sealed = statements.vault().seal(Column::ConsentNumber, change.id.as_bytes(), number.as_bytes())?;
    let values = params![
        change.id.as_bytes(),
        change.at.as_micros(),
        hash,
        change.number.country().as_str().to_owned(),
        sealed,
        name(change.sender.as_ref()),
        change.direction.as_str(),
        change.extent.as_str(),
        change.source.as_str(),
        change.provider.as_ref().map(domain::route::ProviderName::as_str),
        change.inbound_id.as_ref().map(domain::ids::InboundId::as_bytes),
        change.detail,
        by.to_string(),
    ];
    statements.send(ENTER, values)
}

/// A message that waits, as far as it has to be known to say whether it is wanted.
pub(super) struct Waiting {
    id: MessageId,
    scenario: Scenario,
    lane: Priority,
    sender: Option<SenderId>,
}

pub(super) fn waiting(row: &Row<'_>) -> Result<Waiting, StoreError> {
    Ok(Waiting {
        id: MessageId::from_bytes(get(row, 0)?),
        scenario: word(row, 1)?,
        lane: word(row, 2)?,
        sender: optional_word(row, 3)?,
    })
}

impl Waiting {
    /// One that names no sender may show any: it stops for whichever sender was opted out of.
    pub(super) fn is_held_back(&self, sender: Option<&SenderId>, extent: Extent) -> bool {
        let is_meant = match (sender, &self.sender) {
            (None, _) | (_, None) => true,
            (Some(meant), Some(shown)) => meant == shown,
        };
        is_meant && extent.holds_back(Class::of(self.scenario, self.lane))
    }
}

/// Stops the messages that wait for somebody who does not want them any more: so that none of them need be looked at
/// again at its turn. What is with a provider at this moment is not stopped.
fn stop_what_waits(
    statements: &mut Statements<'_>,
    change: &Change,
    hash: i64,
    by: &Actor,
) -> Result<u64, StoreError> {
    let this_hour = change.at.as_micros() / HOUR;
    // A bound on the ids, by which PostgreSQL leaves old weeks out.
    let oldest = first_id(Timestamp::from_micros((this_hour - 24) * HOUR));
    let mut found = statements.collect(
        SCHEDULED,
        params![this_hour - HOURS_BEHIND, this_hour + HOURS_AHEAD, hash],
        waiting,
    )?;
    found.extend(statements.collect(ACCEPTED, params![this_hour, hash, oldest], waiting)?);
    let failure = Failure::new(Reason::OptedOut);
    let mut stopped = 0;
    for message in found.iter().filter(|it| it.is_held_back(change.sender.as_ref(), change.extent)) {
        let moved = cancel::stop_one(statements, message.id, Some(&failure), by, change.at)?;
        stopped += u64::from(moved.is_some_and(|moved| moved.has_moved()));
    }
    Ok(stopped)
}

/// The number of an entry of this country; `None` if the person was forgotten.
pub(in super::super) fn number(plain: Option<&[u8]>, country: Country) -> Result<Option<Msisdn>, StoreError> {
    let Some(plain) = plain else { return Ok(None) };
    let digits = std::str::from_utf8(plain).ok().and_then(|text| text.strip_prefix('+')?.parse().ok());
    let number = Msisdn::from_parts(digits.ok_or(StoreError::Corrupt)?, country);
    number.map(Some).map_err(|_impossible| StoreError::Corrupt)
}
