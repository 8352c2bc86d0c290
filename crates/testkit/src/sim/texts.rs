//! Texts on phones, and those that come in the answer to what a phone wrote.

use domain::time::Timestamp;
use serde::Serialize;

use crate::sim::provider::Provider;

/// A text on a phone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Text {
    /// The network that brought it.
    pub provider: Provider,
    /// The sender that the phone shows; `None` for the account's own.
    pub from: Option<String>,
    /// The text.
    pub body: String,
    /// When it was taken, by the simulator's clock.
    pub at: Timestamp,
}

/// A reply that a gateway gave in its answer to a message from a phone.
#[derive(Debug, Clone)]
pub(crate) struct InAnswer {
    pub(crate) to: String,
    pub(crate) text: Text,
}

/// The messages in an answer that is `TwiML`.
pub(crate) fn messages_of(answer: &[u8]) -> Vec<String> {
    let answer = String::from_utf8_lossy(answer);
    let parts = answer.split("<Message>").skip(1);
    parts.filter_map(|part| part.split_once("</Message>")).map(|(text, _)| unescaped(text)).collect()
}

fn unescaped(text: &str) -> String {
    let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    plain.replace("&apos;", "'").replace("&#13;", "\r").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_twiml_are_read_and_nothing_else() {
        let head = r#"<?xml version="1.0" encoding="UTF-8"?>"#;
        assert_eq!(messages_of(format!("{head}<Response/>").as_bytes()), [""; 0]);
        let two =
            format!("{head}<Response><Message>A &amp;lt; B 👍</Message><Message>2</Message></Response>");
        assert_eq!(messages_of(two.as_bytes()), ["A &lt; B 👍", "2"]);
        assert_eq!(messages_of(b"OK"), [""; 0]);
    }
}
