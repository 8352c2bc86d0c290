//! Messages from phones (Twilio, "Twilio's request to your webhook URL" and "`TwiML` for Programmable Messaging").

use domain::consent::Keyword;
use domain::inbound::Inbound;
use domain::route::ProviderName;
use domain::secret::Body;

use crate::callback::{self, Params};
use crate::provider::{CallbackAnswer, CallbackError, CallbackRequest};

/// The answer to a callback without a reply. Twilio would send a text that is no `TwiML` to the phone.
const EMPTY: &str = r#"<?xml version="1.0" encoding="UTF-8"?><Response/>"#;

pub(super) fn read(
    provider: &ProviderName,
    account_sid: &str,
    params: &Params<'_>,
    request: &CallbackRequest<'_>,
) -> Result<Inbound, CallbackError> {
    let field = |name, missing| params.get(name).ok_or(CallbackError::Malformed(missing));
    if field("AccountSid", "no AccountSid")? != account_sid {
        return Err(CallbackError::Forged("for another account"));
    }
    Ok(Inbound {
        provider: provider.clone(),
        provider_message_id: callback::message_id(field("MessageSid", "no MessageSid")?)?,
        from: callback::origin(field("From", "no From")?),
        to: callback::address(field("To", "no To")?),
        // A message of pictures alone has none.
        body: Body::new(params.get("Body").unwrap_or_default()),
        segments: params.get("NumSegments").and_then(|number| number.parse().ok()),
        understood: params.get("OptOutType").and_then(understood),
        received_at: request.received_at,
    })
}

/// What an account with Advanced Opt-Out took the text for, and has answered.
fn understood(word: &str) -> Option<Keyword> {
    match word {
        "STOP" => Some(Keyword::Stop),
        "START" => Some(Keyword::Start),
        "HELP" => Some(Keyword::Help),
        _ => None,
    }
}

/// `TwiML`: nothing, or one message to whoever wrote.
pub(super) fn answer(reply: Option<&Body>) -> CallbackAnswer {
    let body = match reply {
        None => EMPTY.to_owned(),
        Some(reply) => format!(
            r#"<?xml version="1.0" encoding="UTF-8"?><Response><Message>{}</Message></Response>"#,
            escaped(reply.expose())
        ),
    };
    CallbackAnswer { content_type: "text/xml; charset=utf-8", body }
}

/// A text as it stands in XML 1.0, which has no way to write most control characters: these are left out.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // As it is, a parser would make a line feed of it.
            '\r' => escaped.push_str("&#13;"),
            '\n' | '\t' => escaped.push(character),
            '\u{fffe}' | '\u{ffff}' => {}
            character if character.is_ascii_control() => {}
            character => escaped.push(character),
        }
    }
    escaped
}
