//! What can be wrong with a request, field by field.

use domain::phone::{Msisdn, SenderId};
use domain::scenario::{Priority, Scenario};
use domain::time::Timestamp;

use super::{Acceptor, Common};
use crate::request::{Caller, Content, FieldError, FieldProblem};
use crate::settings::MAX_SEGMENTS;

/// Characters of a caller's own names that are kept.
const MAX_NAME: usize = 128;
/// Entries of metadata that are kept.
const MAX_METADATA: usize = 20;

impl Acceptor<'_> {
    /// A number that messages may go to.
    pub(super) fn allowed(&self, text: &str) -> Result<Msisdn, FieldProblem> {
        let receiver = self.receiver(text)?;
        if self.guard.allows(receiver) { Ok(receiver) } else { Err(FieldProblem::CountryNotAllowed) }
    }

    pub(super) fn receiver(&self, text: &str) -> Result<Msisdn, FieldProblem> {
        if text.trim().is_empty() {
            return Err(FieldProblem::Missing);
        }
        Msisdn::parse(text, self.settings.default_region).map_err(FieldProblem::Receiver)
    }

    /// Checks what all messages of a request share, and notes every mistake, not only the first.
    pub(super) fn common(
        &self,
        caller: &Caller,
        content: &Content,
        lane: fn(Scenario) -> Priority,
        now: Timestamp,
        errors: &mut Vec<FieldError>,
    ) -> Option<Common> {
        let before = errors.len();
        let template = content.template.as_deref().and_then(|name| self.templates.get(name));
        let said = template.as_ref().and_then(|template| template.scenario()).map(Scenario::as_str);
        let scenario = scenario(caller, content.scenario.as_deref().or(said)).unwrap_or_else(|problem| {
            errors.push(field("/scenario", problem));
            Scenario::General
        });
        let wording = self.wording(content, template, scenario, errors);
        let sender = sender(caller, content.sender.as_deref()).unwrap_or_else(|problem| {
            errors.push(field("/sender", problem));
            None
        });
        check_names(content, errors);
        self.check_times(content, now, errors);
        let wording = wording?;
        (errors.len() == before).then(|| Common {
            caller: caller.clone(),
            scenario,
            priority: lane(scenario),
            sender,
            wording,
            client: content.client_ip,
            now,
        })
    }

    /// What a caller writes is held to a length. What a template makes is held to the template's own promise.
    pub(super) fn check_length(&self, text: &str, scenario: Scenario) -> Result<(), FieldProblem> {
        let (found, max) = (text.chars().count(), self.settings.max_characters(scenario));
        if found > max { Err(FieldProblem::MessageTooLong { found, max }) } else { Ok(()) }
    }

    pub(super) fn check_text(
        &self,
        text: &str,
        segments: usize,
        scenario: Scenario,
    ) -> Result<(), FieldProblem> {
        if text.is_empty() {
            return Err(FieldProblem::Missing);
        }
        if text.trim().is_empty() {
            return Err(FieldProblem::EmptyMessage);
        }
        // No alphabet of an SMS has it, and PostgreSQL keeps no text with it.
        if text.contains('\0') {
            return Err(FieldProblem::NulCharacter);
        }
        if segments > MAX_SEGMENTS {
            return Err(FieldProblem::TooManySegments { found: segments, max: MAX_SEGMENTS });
        }
        match self.settings.content.broken_by(text, scenario) {
            Some(rule) => Err(FieldProblem::SensitiveContent { rule: rule.clone() }),
            None => Ok(()),
        }
    }

    fn check_times(&self, content: &Content, now: Timestamp, errors: &mut Vec<FieldError>) {
        let ahead = self.settings.max_schedule_ahead;
        if content.scheduled_at.is_some_and(|at| at > now.plus(ahead)) {
            errors.push(field("/scheduled_at", FieldProblem::TooFarAhead { days: ahead.as_secs() / 86_400 }));
        }
        let leaves_at = content.scheduled_at.unwrap_or(now).max(now);
        if content.expires_at.is_some_and(|at| at <= leaves_at) {
            errors.push(field("/expires_at", FieldProblem::ExpiresTooSoon));
        }
    }
}

/// The receiver, if its country is one that the caller may send to.
pub(super) fn reach(caller: &Caller, receiver: Msisdn) -> Result<Msisdn, FieldProblem> {
    caller.allowed.country(receiver.country())?;
    Ok(receiver)
}

/// The scenario asked for, if the caller may send for it.
fn scenario(caller: &Caller, text: Option<&str>) -> Result<Scenario, FieldProblem> {
    let scenario = text.map_or(Ok(Scenario::General), str::parse).map_err(FieldProblem::UnknownScenario)?;
    caller.allowed.scenario(scenario)?;
    Ok(scenario)
}

/// The sender asked for, if the caller may show it.
fn sender(caller: &Caller, text: Option<&str>) -> Result<Option<SenderId>, FieldProblem> {
    let sender = text.map(str::parse).transpose().map_err(FieldProblem::Sender)?;
    caller.allowed.sender(sender.as_ref())?;
    Ok(sender)
}

fn check_names(content: &Content, errors: &mut Vec<FieldError>) {
    for (pointer, name) in [("/reference", &content.reference), ("/group", &content.group)] {
        if name.as_ref().is_some_and(|name| name.chars().count() > MAX_NAME) {
            errors.push(field(pointer, FieldProblem::TooLong { max: MAX_NAME }));
        }
        if name.as_ref().is_some_and(|name| name.contains('\0')) {
            errors.push(field(pointer, FieldProblem::NulCharacter));
        }
    }
    let fits = |(name, value): (&String, &String)| name.chars().count() <= 64 && value.chars().count() <= 256;
    if content.metadata.len() > MAX_METADATA || !content.metadata.iter().all(fits) {
        errors.push(field("/metadata", FieldProblem::Metadata { max: MAX_METADATA }));
    }
}

pub(super) fn field(pointer: &str, problem: FieldProblem) -> FieldError {
    FieldError { pointer: pointer.into(), problem }
}
