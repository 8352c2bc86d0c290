//! Messages from phones.

use std::time::Duration;

use domain::consent::{KeywordError, Keywords, Words};
use domain::ids::KeyId;
use domain::phone::SenderId;
use gateway::listening::{AnswerBounds, InboundRule, InboundSettings, Replies};
use serde::Deserialize;

use super::{Config, SettingsError};

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
    answers_per_hour: u32,
    answers_per_day: u32,
    confirm_again_after_s: u64,
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
        let bounds = AnswerBounds {
            per_hour: written.answers_per_hour,
            per_day: written.answers_per_day,
            confirm_again_after: Duration::from_secs(written.confirm_again_after_s),
        };
        let rule = |Rule { word, to, caller }| InboundRule { word, to, caller };
        let rules = written.rules.into_iter().map(rule).collect();
        Ok(Self(InboundSettings { keywords, replies, bounds, senders: written.senders, rules }))
    }
}

/// Refuses values that can't be.
pub(super) fn validate(config: &Config) -> Result<(), SettingsError> {
    // Two machines that answer each other hear no more from this one than that.
    let pause = config.inbound.0.bounds.confirm_again_after;
    if (Duration::from_mins(1)..=Duration::from_hours(24)).contains(&pause) {
        return Ok(());
    }
    let problem = "must be from 60 to 86400".into();
    Err(SettingsError::Value { key: "inbound.confirm_again_after_s".into(), problem })
}
