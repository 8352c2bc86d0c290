//! What is answered to keywords.
//!
//! A confirmation is no message of a caller's: it counts for no limit, and no opt-out holds it back, its own least of all.

use domain::consent::Keyword;
use domain::encoding;
use domain::ids::KeyId;
use domain::inbound::Handling;
use domain::message::Message;
use domain::scenario::Scenario;
use domain::secret::Body;
use store::port::inbound::{NewInbound, Reply};
use store::port::messages::NewMessage;

use crate::fresh;
use crate::listening::InboundSettings;
use crate::shared::Shared;

/// Who sends what the gateway answers of its own accord: no caller.
pub const GATEWAY: KeyId = KeyId::from_bytes([0; 16]);

/// The text that answers a message if it is handled as its keyword asks; `None` if the provider has answered it, or there
/// is nobody to answer.
pub(super) fn text(settings: &InboundSettings, new: &NewInbound) -> Option<Body> {
    if new.inbound.understood.is_some() || new.inbound.from.phone().is_none() {
        return None;
    }
    let replies = &settings.replies;
    let text = match handling(new.keyword?) {
        Handling::OptedOut => &replies.opted_out,
        Handling::OptedIn => &replies.opted_in,
        Handling::Helped => &replies.help,
        Handling::Answered | Handling::PassedOn => &None,
    };
    text.as_ref().map(|text| Body::new(encoding::to_nfc(text).as_ref()))
}

/// How a keyword is handled, if it is.
const fn handling(keyword: Keyword) -> Handling {
    match keyword.change() {
        Some((domain::consent::Direction::OptOut, _)) => Handling::OptedOut,
        Some((domain::consent::Direction::OptIn, _)) => Handling::OptedIn,
        None => Handling::Helped,
    }
}

/// Whether a message that was handled so was handled as its keyword asks.
pub(super) fn is_due(keyword: Option<Keyword>, handled: Handling) -> bool {
    keyword.is_some_and(|keyword| handling(keyword) == handled)
}

/// The reply as a message of its own, by the provider that brought the message, from what was written to.
pub(super) fn message(shared: &Shared, new: &NewInbound, body: Body) -> Option<Reply> {
    let (receiver, now) = (new.inbound.from.phone()?, new.inbound.received_at);
    let measured = encoding::measure(body.expose());
    let scenario = Scenario::General;
    let expires_after = shared.settings.policy(scenario).expires_after;
    let message = Message {
        id: fresh::message_id(now),
        bulk_id: None,
        caller: GATEWAY,
        receiver,
        sender: new.inbound.sender(),
        scenario,
        priority: scenario.priority(),
        body,
        encoding: measured.encoding,
        segments: u16::try_from(measured.segments).unwrap_or(u16::MAX),
        reference: Some(new.id.to_string()),
        group: None,
        metadata: std::collections::BTreeMap::new(),
        template: None,
        scheduled_at: None,
        expires_at: expires_after.map(|after| now.plus(after)),
        created_at: now,
    };
    let provider = new.inbound.provider.clone();
    let message = NewMessage {
        message,
        provider,
        held_until: None,
        draws: Vec::new(),
        consent: None,
        verification: None,
    };
    Some(Reply { when: handling(new.keyword?), message: Box::new(message) })
}
