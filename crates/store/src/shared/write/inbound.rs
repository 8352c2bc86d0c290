//! Messages from phones: stored, and then done what they ask for, in the order in which they are heard.

use domain::audit::{Actor, Event, NewEntry};
use domain::consent::{Change, Direction, Keyword, Source};
use domain::event::{EventData, EventKind, NewEvent};
use domain::ids::{InboundId, KeyId};
use domain::inbound::{Handling, Inbound, Origin};
use domain::message::Message;
use domain::phone::Msisdn;

use super::super::row::word;
use super::super::sql::{Statements, get, params};
use super::consent::{self, OptOuts};
use super::{accept, events, prompts, quotas};
use crate::StoreError;
use crate::port::consent::Changed;
use crate::port::inbound::{Became, NewInbound, Received, Reply};
use crate::port::messages::{Accept, Accepted, NewMessage};
use crate::port::prompts::ReplyFate;
use crate::seal::Column;

pub(in super::super) const BEFORE: &str =
    "SELECT id, handling, replied FROM inbound WHERE provider = ?1 AND provider_message_id = ?2";

const KEEP: &str = "INSERT INTO inbound (id, received_at, provider, provider_message_id, from_hash, country, sealed_from, \
     sent_to, sealed_text, sealed_raw, segments, keyword, word, caller, handling, replied) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";

/// A message that came before is known by its provider's id, and changes nothing.
pub(in super::super) fn receive(
    statements: &mut Statements<'_>,
    new: &NewInbound,
) -> Result<Received, StoreError> {
    if let Some(before) = before(statements, &new.inbound)? {
        return Ok(before);
    }
    let heard = handle(statements, new)?;
    let Answered { is_answered, reply } = answer(statements, new, &heard)?;
    let Heard { handling, fate, .. } = heard;
    keep(statements, new, handling, is_answered)?;
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
    Ok(Received { id: new.id, handling, is_repeated: false, is_answered, reply, fate })
}

/// What a text was taken for, and what it did.
struct Heard {
    handling: Handling,
    has_changed: bool,
    fate: Option<ReplyFate>,
}

impl Heard {
    const fn as_keyword(handling: Handling, has_changed: bool) -> Self {
        Self { handling, has_changed, fate: None }
    }

    const PASSED_ON: Self = Self::as_keyword(Handling::PassedOn, false);
}

/// Who is asked first whether the text is for him: consent, which always works; then open questions; then consent for
/// words that are answers as well; and whoever listens has the rest.
fn handle(statements: &mut Statements<'_>, new: &NewInbound) -> Result<Heard, StoreError> {
    let Some(number) = new.inbound.from.phone() else { return Ok(Heard::PASSED_ON) };
    let (first, last) = match new.keyword {
        Some(keyword) if keyword.is_heard_first() => (Some(keyword), None),
        keyword => (None, keyword),
    };
    if let Some(keyword) = first
        && let Some(heard) = hear(statements, new, number, keyword)?
    {
        return Ok(heard);
    }
    let fate = prompts::heard(statements, new, number)?;
    if !matches!(fate, ReplyFate::NotOurs) {
        // The provider has let its messages pass again.
        if let Some(keyword) = last.filter(|_| new.inbound.understood.is_some()) {
            hear(statements, new, number, keyword)?;
        }
        return Ok(Heard { handling: Handling::Answered, has_changed: false, fate: Some(fate) });
    }
    if let Some(keyword) = last
        && let Some(heard) = hear(statements, new, number, keyword)?
    {
        return Ok(heard);
    }
    Ok(Heard::PASSED_ON)
}

/// Does what a keyword asks for; `None` if there is nothing to do for one that may be an answer.
fn hear(
    statements: &mut Statements<'_>,
    new: &NewInbound,
    number: Msisdn,
    keyword: Keyword,
) -> Result<Option<Heard>, StoreError> {
    let Some((direction, extent)) = keyword.change() else {
        return Ok(Some(Heard::as_keyword(Handling::Helped, false)));
    };
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
    let has_changed = consent::enter(statements, &change, &Actor::Provider(provider))? != Changed::AsItWas;
    let handling = match (direction, keyword) {
        (Direction::OptOut, _) => Handling::OptedOut,
        // Of a provider that took it for one, it is one.
        (Direction::OptIn, Keyword::Resume) if !has_changed && new.inbound.understood.is_none() => {
            return Ok(None);
        }
        (Direction::OptIn, _) => Handling::OptedIn,
    };
    Ok(Some(Heard::as_keyword(handling, has_changed)))
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

/// What was answered.
#[derive(Default)]
struct Answered {
    is_answered: bool,
    /// The message, if it is one of its own.
    reply: Option<Box<Message>>,
}

/// Answers, if there is something to say and room for it. Who could not be asked which prompt was meant may be asked the next
/// time.
fn answer(statements: &mut Statements<'_>, new: &NewInbound, heard: &Heard) -> Result<Answered, StoreError> {
    let became =
        Became { handling: heard.handling, has_changed: heard.has_changed, fate: heard.fate.as_ref() };
    let reply = new.answers.as_ref().and_then(|answers| answers.to(&became));
    let answered = reply.map(|reply| say(statements, &reply)).transpose()?.unwrap_or_default();
    if !answered.is_answered && heard.fate.is_some() {
        prompts::was_not_asked(statements, new)?;
    }
    Ok(answered)
}

fn say(statements: &mut Statements<'_>, reply: &Reply) -> Result<Answered, StoreError> {
    for draws in &reply.draws {
        let message = NewMessage { draws: draws.clone(), ..(*reply.message).clone() };
        if reply.is_carried {
            if quotas::draw(statements, [&message])?.is_ok() {
                return Ok(Answered { is_answered: true, reply: None });
            }
            continue;
        }
        let opt_outs = OptOuts::of(statements, std::iter::once(&message))?;
        let said = Box::new(message.message.clone());
        let accept = Accept { messages: vec![message], idempotency: None, no_repeats_since: None };
        match accept::accept(statements, &accept, opt_outs)? {
            Accepted::Stored | Accepted::StoredWithin(_) => {
                return Ok(Answered { is_answered: true, reply: Some(said) });
            }
            Accepted::Limited(_) => {}
            _ => break,
        }
    }
    Ok(Answered::default())
}

/// What became of it the first time.
fn before(statements: &mut Statements<'_>, inbound: &Inbound) -> Result<Option<Received>, StoreError> {
    let values = params![inbound.provider.as_str(), inbound.provider_message_id.as_str()];
    statements.first(BEFORE, values, |row| {
        let id = InboundId::from_bytes(get(row, 0)?);
        let (handling, is_answered) = (word(row, 1)?, get::<i64>(row, 2)? != 0);
        Ok(Received { id, handling, is_repeated: true, is_answered, reply: None, fate: None })
    })
}

fn keep(
    statements: &mut Statements<'_>,
    new: &NewInbound,
    handling: Handling,
    is_answered: bool,
) -> Result<(), StoreError> {
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
        i64::from(is_answered),
    ];
    statements.send(KEEP, values)
}
