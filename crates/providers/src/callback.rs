//! What the adapters share in reading callbacks.

use std::borrow::Cow;

use domain::attempt::ProviderMessageId;
use domain::inbound::Origin;
use domain::phone::Msisdn;
use domain::secret::Body;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::provider::{CallbackError, INTERNATIONAL};

/// The longest word of a provider that is kept.
const LONGEST_WORD: usize = 64;

/// The parameters of a form or a query, decoded, in the order in which they came.
pub(crate) struct Params<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Params<'a> {
    /// Reads `application/x-www-form-urlencoded`. There is nothing that this can't read.
    pub(crate) fn parse(form: &'a [u8]) -> Self {
        Self(form_urlencoded::parse(form).collect())
    }

    /// The first value of that name, unless it is empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(other, _)| other == name)?;
        Some(value.as_ref()).filter(|value| !value.is_empty())
    }

    /// All of them.
    pub(crate) fn pairs(&self) -> &[(Cow<'a, str>, Cow<'a, str>)] {
        &self.0
    }
}

/// What stands behind the question mark of a URL, without a fragment.
pub(crate) fn query(url: &str) -> &str {
    let without_fragment = url.split_once('#').map_or(url, |(url, _)| url);
    without_fragment.split_once('?').map_or("", |(_, query)| query)
}

/// Whether the headers announce a form.
pub(crate) fn is_form(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// A provider's word as it is kept: at most 64 characters.
pub(crate) fn word(text: &str) -> String {
    text.chars().take(LONGEST_WORD).collect()
}

/// A provider's code, if the text is one: a number or a name, not a sentence, which may quote a phone number.
pub(crate) fn code(text: &str) -> Option<&str> {
    let is_code = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    (!text.is_empty() && text.len() <= LONGEST_WORD && digits < 7 && text.bytes().all(is_code))
        .then_some(text)
}

/// A provider's id of a message from a phone. It is looked for as it is, so it has no character that a database can't keep.
pub(crate) fn message_id(text: &str) -> Result<ProviderMessageId, CallbackError> {
    ProviderMessageId::new(text)
        .filter(|id| !id.as_str().chars().any(char::is_control))
        .ok_or(CallbackError::Malformed("the message id is none"))
}

/// Who wrote: a phone, if it is a number in international form, with or without its plus.
pub(crate) fn origin(text: &str) -> Origin {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // A space is what is left of a plus that was not encoded.
    let digits = text.strip_prefix('+').or_else(|| text.strip_prefix(' '));
    let international = match digits {
        Some(digits) => format!("+{digits}"),
        // Short codes have no more than eight digits.
        None if is_digits && text.len() > 8 => format!("+{text}"),
        None => return Origin::Other(Body::new(text)),
    };
    match Msisdn::parse(&international, INTERNATIONAL) {
        Ok(number) => Origin::Phone(number),
        Err(_no_number) => Origin::Other(Body::new(text)),
    }
}

/// The number or short code of ours that was written to.
pub(crate) fn address(text: &str) -> String {
    let text: String = text.chars().filter(|character| !character.is_control()).collect();
    let text = text.strip_prefix(' ').map_or_else(|| text.clone(), |digits| format!("+{digits}"));
    word(&text)
}
