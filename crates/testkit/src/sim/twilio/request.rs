//! The parameters of a new message, and what is wrong with them.

use std::borrow::Cow;

use super::error::{bad_receiver, fails_late, refusal, refuses};
use super::store::Ending;
use crate::serve::Answer;
use crate::sim::magic;

/// What a request asks to send. Of the many parameters, those that change what comes of it.
#[derive(Debug, Default)]
pub(crate) struct Wanted<'a> {
    pub(crate) to: Cow<'a, str>,
    pub(crate) from: Cow<'a, str>,
    pub(crate) service: Cow<'a, str>,
    pub(crate) body: Cow<'a, str>,
    pub(crate) media: u32,
    pub(crate) status_callback: Cow<'a, str>,
    pub(crate) send_at: Cow<'a, str>,
    content: bool,
    validity: Option<Cow<'a, str>>,
    schedule: bool,
}

impl<'a> Wanted<'a> {
    pub(crate) fn read(form: &'a [u8]) -> Self {
        let mut wanted = Self::default();
        for (name, value) in form_urlencoded::parse(form) {
            match &*name {
                "To" => wanted.to = value,
                "From" => wanted.from = value,
                "MessagingServiceSid" => wanted.service = value,
                "Body" => wanted.body = value,
                "MediaUrl" => wanted.media += 1,
                "ContentSid" => wanted.content = !value.is_empty(),
                "StatusCallback" => wanted.status_callback = value,
                "ValidityPeriod" => wanted.validity = Some(value),
                "ScheduleType" => wanted.schedule = value == "fixed",
                "SendAt" => wanted.send_at = value,
                // Twilio takes parameters that it does not know in silence.
                _ => {}
            }
        }
        wanted
    }

    /// The first thing that is wrong with it. `magic` is whether numbers mean something.
    pub(crate) fn refusal(&self, magic: bool) -> Option<Answer> {
        if self.to.is_empty() {
            return Some(refusal(21604));
        }
        if self.from.is_empty() && self.service.is_empty() {
            return Some(refusal(21603));
        }
        if self.body.is_empty() && self.media == 0 && !self.content {
            return Some(refusal(21602));
        }
        if let Some(code) = magic_refusal(&self.to, &self.from, magic) {
            return Some(if code == 21211 { bad_receiver(&self.to) } else { refusal(code) });
        }
        if !is_e164(&self.to) {
            return Some(bad_receiver(&self.to));
        }
        self.refused_parameter().map(refusal)
    }

    fn refused_parameter(&self) -> Option<u32> {
        if !self.from.is_empty() && !is_sender(&self.from) {
            return Some(21212);
        }
        if !self.service.is_empty() && !is_sid("MG", &self.service) {
            return Some(21701);
        }
        if self.body.len() > 1600 && self.body.chars().count() > 1600 {
            return Some(21617);
        }
        if self.media > 10 {
            return Some(21623);
        }
        if !self.status_callback.is_empty() && !is_callback_url(&self.status_callback) {
            return Some(21609);
        }
        let valid = |period: &str| period.parse::<u32>().is_ok_and(|seconds| (1..=36_000).contains(&seconds));
        if self.validity.as_deref().is_some_and(|period| !valid(period)) {
            return Some(21624);
        }
        let schedulable = !self.service.is_empty() && !self.send_at.is_empty();
        (self.schedule && !schedulable).then_some(20422)
    }

    /// Our reference: the parameter `m` of the callback URL, the only thing of ours that comes back from Twilio.
    pub(crate) fn reference(&self) -> Option<Cow<'_, str>> {
        let (_, query) = without_fragment(&self.status_callback).split_once('?')?;
        form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "m").map(|(_, value)| value)
    }

    pub(crate) fn is_scheduled(&self) -> bool {
        self.schedule
    }
}

/// How a message to this number ends.
pub(crate) fn ending(to: &str) -> Ending {
    let code = magic::last_six(to).unwrap_or_default();
    fails_late(code).map_or(Ending::Delivered, |late| Ending::NotDelivered(late, code))
}

/// The URL without its fragment, which Twilio reads as options and neither sends nor signs.
pub(crate) fn without_fragment(url: &str) -> &str {
    url.split_once('#').map_or(url, |(url, _)| url)
}

/// Twilio's test numbers (its page on test credentials), and our own that end in a code.
fn magic_refusal(to: &str, from: &str, magic: bool) -> Option<u32> {
    let by_sender = match from {
        "+15005550001" => Some(21212),
        "+15005550007" => Some(21606),
        "+15005550008" => Some(21611),
        _ => None,
    };
    let by_receiver = match to {
        "+15005550001" => Some(21211),
        "+15005550002" => Some(21612),
        "+15005550003" => Some(21408),
        "+15005550004" => Some(21610),
        "+15005550009" => Some(21614),
        _ if magic => magic::last_six(to).filter(|&code| refuses(code)),
        _ => None,
    };
    by_sender.or(by_receiver)
}

/// A number in international form: a plus, and at most 15 digits, of which the first is not 0 (ITU-T E.164).
fn is_e164(number: &str) -> bool {
    match number.as_bytes() {
        [b'+', first, rest @ ..] => {
            (b'1'..=b'9').contains(first)
                && (6..15).contains(&rest.len())
                && rest.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    }
}

/// A number, a short code, or an alphanumeric sender ID: 1 to 11 ASCII letters, digits and spaces, at least one
/// letter among them (Twilio's glossary).
fn is_sender(sender: &str) -> bool {
    let all_digits = sender.bytes().all(|byte| byte.is_ascii_digit());
    let alphanumeric = sender.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b' ');
    let letters = sender.bytes().any(|byte| byte.is_ascii_alphabetic());
    is_e164(sender)
        || (all_digits && (3..=8).contains(&sender.len()))
        || (alphanumeric && letters && sender.len() <= 11)
}

/// `prefix` and 32 hexadecimal digits.
pub(crate) fn is_sid(prefix: &str, sid: &str) -> bool {
    sid.strip_prefix(prefix)
        .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// An absolute URL of HTTP whose host Twilio would call: one with an underscore it refuses.
fn is_callback_url(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")) else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']');
    !host.is_empty() && !host.starts_with(':') && host.bytes().all(allowed) && !url.contains(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callback_urls_need_a_host_without_underscore() {
        for url in ["http://127.0.0.1:8080/hooks?m=1", "https://sms.example.co.ke", "http://u:p@host/x#rc=2"]
        {
            assert!(is_callback_url(url), "{url}");
        }
        for url in [
            "sms.example.co.ke/x",
            "ftp://host/",
            "http://",
            "http://my_host/x",
            "http://:80/",
            "http://a b/",
        ] {
            assert!(!is_callback_url(url), "{url}");
        }
    }

    #[test]
    fn senders_are_numbers_short_codes_or_words() {
        for sender in ["+15017122661", "20414", "TUMA", "My Shop 24"] {
            assert!(is_sender(sender), "{sender}");
        }
        for sender in ["", "+0712", "12", "TwelveLetter", "Shop!", "254712345678"] {
            assert!(!is_sender(sender), "{sender}");
        }
    }

    #[test]
    fn the_reference_is_the_parameter_m_of_the_callback_url() {
        let read = |form: &str| Wanted::read(form.as_bytes()).reference().map(Cow::into_owned);
        assert_eq!(
            read("StatusCallback=http%3A%2F%2Fh%2Fx%3Fk%3D1%26m%3Da%252Fb%23rc%3D2").as_deref(),
            Some("a/b")
        );
        assert_eq!(read("StatusCallback=http%3A%2F%2Fh%2Fx"), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn numbers_end_as_their_last_digits_say() {
        use crate::sim::twilio::error::Late;
        assert_eq!(ending("+254712030003"), Ending::NotDelivered(Late::Undelivered, 30003));
        assert_eq!(ending("+254712030036"), Ending::NotDelivered(Late::Failed, 30036));
        assert_eq!(ending("+254712345678"), Ending::Delivered);
    }
}
