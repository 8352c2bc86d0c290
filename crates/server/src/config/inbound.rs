//! Messages from phones.

use domain::consent::{KeywordError, Keywords, Words};
use domain::ids::KeyId;
use domain::phone::SenderId;
use gateway::listening::{InboundRule, InboundSettings, Replies};
use serde::Deserialize;

/// How messages from phones are handled. The words are made ready when they are read, so that a word for two things stops
/// the start.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Written")]
pub struct Inbound(pub InboundSettings);

/// The section as settings write it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    stop_all: Vec<String>,
    stop: Vec<String>,
    unsubscribe: Vec<String>,
    start: Vec<String>,
    resume: Vec<String>,
    help: Vec<String>,
    reply_opted_out: String,
    reply_opted_in: String,
    reply_help: String,
    senders: Vec<SenderId>,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    word: Option<String>,
    to: Option<String>,
    caller: Option<KeyId>,
}

impl TryFrom<Written> for Inbound {
    type Error = KeywordError;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let Written { stop_all, stop, unsubscribe, start, resume, help, .. } = written;
        let keywords = Keywords::new(&Words { stop_all, stop, unsubscribe, start, resume, help })?;
        let text = |text: String| Some(text).filter(|text| !text.trim().is_empty());
        let replies = Replies {
            opted_out: text(written.reply_opted_out),
            opted_in: text(written.reply_opted_in),
            help: text(written.reply_help),
        };
        let rule = |Rule { word, to, caller }| InboundRule { word, to, caller };
        let rules = written.rules.into_iter().map(rule).collect();
        Ok(Self(InboundSettings { keywords, replies, senders: written.senders, rules }))
    }
}
