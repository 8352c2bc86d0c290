//! Messages from phones: stored, and then done what they ask for, in the order in which they are heard.

use domain::audit::{Actor, Event, NewEntry};
use domain::consent::{Change, Direction, Keyword, Source};
use domain::event::{EventData, EventKind, NewEvent};
use domain::ids::{InboundId, KeyId, MessageId};
use domain::inbound::{Handling, Inbound, Origin};
use domain::phone::Msisdn;
use domain::time::Timestamp;

use super::super::row::{time, word};
use super::super::sql::{Statements, get, params};
use super::consent::{self, OptOuts};
use super::{accept, events, prompts};
use crate::StoreError;
use crate::port::consent::Changed;
use crate::port::inbound::{NewInbound, Received};
use crate::port::messages::{Accept, Accepted, NewMessage};
use crate::port::prompts::{NewReply, ReplyFate};
use crate::seal::Column;

pub(in super::super) const BEFORE: &str =
    "SELECT id, handling, received_at FROM inbound WHERE provider = ?1 AND provider_message_id = ?2";

const KEEP: &str = "INSERT INTO inbound (id, received_at, provider, provider_message_id, from_hash, country, sealed_from, \
     sent_to, sealed_text, sealed_raw, segments, keyword, word, caller, handling) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";

/// A message that came before is known by its provider's id, and changes nothing.
pub(in super::super) fn receive(
    statements: &mut Statements<'_>,
    new: &NewInbound,
) -> Result<Received, StoreError> {
    if let Some((before, received_at)) = before(statements, &new.inbound)? {
        let answered = match (before.handling, new.inbound.from.phone()) {
            (Handling::Answered, Some(number)) => {
                prompts::repeated(statements, &reply_of(new, before.id, number, received_at))?
            }
            _ => None,
        };
        return Ok(Received { answered, ..before });
    }
    let (handling, answered) = handle(statements, new)?;
    keep(statements, new, handling)?;
    let Inbound { provider, received_at, body, segments, from, .. } = &new.inbound;
    statements.tell(NewEntry {
        receiver: from.phone().map(|number| statements.vault().blind(number)),
        provider: Some(provider.clone()),
        length: u32::try_from(body.chars()).ok(),
        segments: *segments,
        outcome: Some(handling.as_str()),
        subject: Some(new.id.to_string()),
        ..NewEntry::new(*received_at, Actor::Provider(provider.clone()), Event::InboundReceived)
    });
    tell_listeners(statements, new, handling)?;
    let reply = answer(statements, new, handling)?;
    Ok(Received { id: new.id, handling, is_repeated: false, reply, answered })
}

/// Who is asked first whether the text is for him: consent, which always works; then open questions; then consent for
/// words that are answers as well; and whoever listens has the rest.
fn handle(
    statements: &mut Statements<'_>,
    new: &NewInbound,
) -> Result<(Handling, Option<ReplyFate>), StoreError> {
    let Some(number) = new.inbound.from.phone() else { return Ok((Handling::PassedOn, None)) };
    let (first, last) = match new.keyword {
        Some(keyword) if keyword.is_heard_first() => (Some(keyword), None),
        keyword => (None, keyword),
    };
    if let Some(keyword) = first
        && let Some(handling) = hear(statements, new, number, keyword)?
    {
        return Ok((handling, None));
    }
    // Asks the prompts that are open for a number, or were a moment ago, whether the text is for one of them.
    let reply = reply_of(new, new.id, number, new.inbound.received_at);
    match prompts::heard(statements, &reply)? {
        ReplyFate::NotOurs => {}
        fate => return Ok((Handling::Answered, Some(fate))),
    }
    if let Some(keyword) = last
        && let Some(handling) = hear(statements, new, number, keyword)?
    {
        return Ok((handling, None));
    }
    Ok((Handling::PassedOn, None))
}

/// A text as a prompt sees it that it may be a reply to.
fn reply_of(new: &NewInbound, id: InboundId, from: Msisdn, received_at: Timestamp) -> NewReply {
    let Inbound { body, provider, received_at: now, .. } = &new.inbound;
    NewReply {
        id,
        from,
        words: body.clone(),
        provider: provider.clone(),
        received_at,
        now: *now,
        doubt: new.doubt,
        ask_again_after: new.ask_again_after,
    }
}

/// Does what a keyword asks for; `None` if there is nothing to do for one that may be an answer.
fn hear(
    statements: &mut Statements<'_>,
    new: &NewInbound,
    number: Msisdn,
    keyword: Keyword,
) -> Result<Option<Handling>, StoreError> {
    let Some((direction, extent)) = keyword.change() else { return Ok(Some(Handling::Helped)) };
    let provider = new.inbound.provider.clone();
    let change = Change {
        id: new.consent_id,
        number,
        sender: new.about.clone(),
        direction,
        extent,
        source: if new.inbound.understood.is_some() { Source::Provider } else { Source::Keyword },
        provider: Some(provider.clone()),
        inbound_id: Some(new.id),
        detail: Some(keyword.as_str().to_owned()),
        at: new.inbound.received_at,
    };
    let changed = consent::enter(statements, &change, &Actor::Provider(provider))?;
    Ok(match (direction, keyword) {
        (Direction::OptOut, _) => Some(Handling::OptedOut),
        (Direction::OptIn, Keyword::Resume) if changed == Changed::AsItWas => None,
        (Direction::OptIn, _) => Some(Handling::OptedIn),
    })
}

/// Raises an event for what is not ours to act on.
fn tell_listeners(
    statements: &mut Statements<'_>,
    new: &NewInbound,
    handling: Handling,
) -> Result<(), StoreError> {
    if handling != Handling::PassedOn {
        return Ok(());
    }
    let Inbound { provider, from, to, body, received_at, .. } = &new.inbound;
    let from = match from {
        Origin::Phone(number) => number.to_e164(),
        Origin::Other(text) => text.expose().to_owned(),
    };
    let data = serde_json::json!({
        "id": new.id,
        "from": from,
        "to": to,
        "message": body.expose(),
        "word": new.word,
        "provider": provider.as_str(),
        "received_at": received_at.to_string(),
    });
    let event = NewEvent {
        kind: EventKind::InboundReceived,
        subject: *new.id.as_bytes(),
        caller: new.caller,
        at: *received_at,
        data: EventData::from_json(data.to_string()),
    };
    events::raise(statements, &[event])
}

/// Stores and queues the reply, if all went as it says. It asks nobody: whoever has just opted out is told so.
fn answer(
    statements: &mut Statements<'_>,
    new: &NewInbound,
    handling: Handling,
) -> Result<Option<MessageId>, StoreError> {
    let Some(reply) = new.reply.as_ref().filter(|reply| reply.when == handling) else { return Ok(None) };
    let messages = vec![NewMessage { consent: None, ..(*reply.message).clone() }];
    let id = reply.message.message.id;
    let accept = Accept { messages, idempotency: None, no_repeats_since: None };
    let accepted = accept::accept(statements, &accept, OptOuts::NOT_ASKED)?;
    Ok(matches!(accepted, Accepted::Stored | Accepted::StoredWithin(_)).then_some(id))
}

/// What became of it the first time, and when that was.
fn before(
    statements: &mut Statements<'_>,
    inbound: &Inbound,
) -> Result<Option<(Received, Timestamp)>, StoreError> {
    let values = params![inbound.provider.as_str(), inbound.provider_message_id.as_str()];
    statements.first(BEFORE, values, |row| {
        let id = InboundId::from_bytes(get(row, 0)?);
        let received =
            Received { id, handling: word(row, 1)?, is_repeated: true, reply: None, answered: None };
        Ok((received, time(row, 2)?))
    })
}

fn keep(statements: &mut Statements<'_>, new: &NewInbound, handling: Handling) -> Result<(), StoreError> {
    let NewInbound { id, inbound, keyword, caller, word, raw, .. } = new;
    let (vault, phone) = (statements.vault(), inbound.from.phone());
    let from = match &inbound.from {
        Origin::Phone(number) => number.to_e164(),
        Origin::Other(text) => text.expose().to_owned(),
    };
    let values = params![
        id.as_bytes(),
        inbound.received_at.as_micros(),
        inbound.provider.as_str(),
        inbound.provider_message_id.as_str(),
        phone.map(|number| vault.blind(number)),
        phone.map(|number| number.country().as_str().to_owned()),
        vault.seal(Column::InboundFrom, id.as_bytes(), from.as_bytes())?,
        inbound.to,
        vault.seal(Column::InboundText, id.as_bytes(), inbound.body.expose().as_bytes())?,
        vault.seal(Column::InboundRaw, id.as_bytes(), raw)?,
        inbound.segments,
        keyword.map(Keyword::as_str),
        word,
        caller.as_ref().map(KeyId::as_bytes),
        handling.as_str(),
    ];
    statements.send(KEEP, values)
}
