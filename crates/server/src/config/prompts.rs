//! Settings of prompts.

use std::time::Duration;

use gateway::settings::PromptSettings;
use serde::Deserialize;

use super::{Config, SettingsError};

/// Prompts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each key means")]
pub struct Prompts {
    pub closes_after_s: u64,
    pub longest_s: u64,
    pub doubt_s: u64,
    pub ask_again_after_s: u64,
    pub answer_approval: String,
    pub answer_invite: String,
    pub ask: String,
    pub thanks: String,
    pub too_late: String,
}

impl Prompts {
    /// What the use cases need to be told.
    pub(super) fn settings(&self) -> PromptSettings {
        PromptSettings {
            closes_after: Duration::from_secs(self.closes_after_s),
            longest: Duration::from_secs(self.longest_s),
            doubt: Duration::from_secs(self.doubt_s),
            ask_again_after: Duration::from_secs(self.ask_again_after_s),
            answer_approval: self.answer_approval.clone(),
            answer_invite: self.answer_invite.clone(),
            ask: self.ask.clone(),
            thanks: self.thanks.clone(),
            too_late: self.too_late.clone(),
        }
    }
}

/// A reply may be meant for a prompt that was closed so long ago, at the most.
const LONGEST_DOUBT_S: u64 = 86_400;

/// Two machines that answer each other are asked back no more often.
const LEAST_PAUSE_S: u64 = 60;

/// Refuses values that can't be.
pub(super) fn validate(config: &Config) -> Result<(), SettingsError> {
    let (prompts, messages) = (&config.prompts, &config.messages);
    let has = |text: &str, place: &str| text.is_empty() || text.contains(place);
    let longest = Duration::from_secs(prompts.longest_s);
    // That somebody was asked is told by the attempts, and a reminder repeats the first text.
    let outlives = |days: u32, least: Duration| days == 0 || super::days(days) >= least;
    let checks = [
        (
            outlives(messages.keep_days, longest.saturating_add(super::days(1))),
            "messages.keep_days",
            "must be 0, or a day more than prompts.longest_s",
        ),
        (
            outlives(messages.keep_texts_days, longest),
            "messages.keep_texts_days",
            "must be 0, or as long as prompts.longest_s",
        ),
        (prompts.doubt_s <= LONGEST_DOUBT_S, "prompts.doubt_s", "must be at most 86400"),
        (prompts.ask_again_after_s >= LEAST_PAUSE_S, "prompts.ask_again_after_s", "must be at least 60"),
        (prompts.longest_s > 0, "prompts.longest_s", "must be at least 1"),
        (
            (1..=prompts.longest_s).contains(&prompts.closes_after_s),
            "prompts.closes_after_s",
            "must be from 1 to prompts.longest_s",
        ),
        (has(&prompts.ask, "{choices}"), "prompts.ask", "must have {choices} in it, or be empty"),
        (
            has(&prompts.answer_approval, "{reference}"),
            "prompts.answer_approval",
            "must have {reference} in it, or be empty",
        ),
        (
            has(&prompts.answer_invite, "{reference}"),
            "prompts.answer_invite",
            "must have {reference} in it, or be empty",
        ),
    ];
    match checks.into_iter().find(|(is_right, ..)| !is_right) {
        Some((_, key, problem)) => Err(SettingsError::Value { key: key.into(), problem: problem.into() }),
        None => Ok(()),
    }
}
