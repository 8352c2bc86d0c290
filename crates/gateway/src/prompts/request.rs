//! What callers ask of prompts, and what can be wrong with it.

use std::fmt;

use domain::ids::{MessageId, PromptId};
use domain::prompt::{Kind, Policy};
use domain::reply::Reference;
use domain::scenario::{Scenario, UnknownWord};
use domain::template::Variables;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use store::StoreError;

use super::PromptSettings;
use crate::request::{BulkRequest, Content, FieldError, FieldProblem};

/// Reminders of one prompt.
const MAX_REMINDERS: usize = 5;

/// A question to many, as asked for.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PromptRequest {
    /// What is asked, by name.
    pub kind: String,
    /// The receivers in any form that people write phone numbers.
    pub receivers: Vec<String>,
    /// The text; none where it is made of a template.
    pub message: String,
    /// The template that the text is made of, by name.
    pub template: Option<String>,
    /// What stands in the place of the template's variables.
    pub variables: Variables,
    /// The language wanted of the template.
    pub locale: Option<String>,
    /// What replies name it by.
    pub reference: String,
    /// How many must approve.
    pub policy: Option<Policy>,
    /// Whether one who rejects ends it.
    pub veto: bool,
    /// When its time is over.
    pub closes_at: Option<Timestamp>,
    /// When those who are silent are asked again.
    pub reminders: Vec<Timestamp>,
    /// The sender ID asked for.
    pub sender: Option<String>,
    /// The savings group that it belongs to.
    pub group: Option<String>,
    /// What makes the request repeatable.
    pub idempotency_key: Option<String>,
}

impl fmt::Debug for PromptRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PromptRequest({:?}, {} receivers)", self.kind, self.receivers.len())
    }
}

/// A prompt that was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptAnswer {
    /// Its id.
    pub id: PromptId,
    /// What is asked.
    pub kind: Kind,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When its time is over.
    pub closes_at: Timestamp,
    /// The messages, in the order of the receivers.
    pub messages: Vec<MessageId>,
}

/// Why a prompt was not closed.
#[derive(Debug, thiserror::Error)]
pub enum CloseError {
    /// There is none.
    #[error("there is no prompt of that id")]
    NotFound,
    /// It was closed before.
    #[error("the prompt is closed already")]
    Closed,
    /// The store can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A request that is right in itself.
pub(super) struct Checked {
    pub(super) kind: Kind,
    pub(super) reference: Reference,
    pub(super) policy: Policy,
    pub(super) closes_at: Timestamp,
    pub(super) reminders: Vec<Timestamp>,
}

impl PromptRequest {
    /// Everything that can be wrong with it beside the messages. Whoever repeats an earlier request is checked as of then.
    pub(super) fn check(
        &self,
        settings: &PromptSettings,
        now: Timestamp,
    ) -> Result<Checked, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut wrong = |pointer: &str, problem| errors.push(FieldError { pointer: pointer.into(), problem });
        let kind = self.kind.parse::<Kind>();
        match (&kind, self.kind.as_str()) {
            (_, "") => wrong("/kind", FieldProblem::Missing),
            (Err(unknown), _) => wrong("/kind", FieldProblem::UnknownKind(*unknown)),
            (Ok(_), _) => {}
        }
        let reference = self.reference.parse::<Reference>();
        match &reference {
            _ if self.reference.is_empty() => wrong("/reference", FieldProblem::Missing),
            Err(problem) => wrong("/reference", FieldProblem::Reference(*problem)),
            Ok(reference) if kind == Ok(Kind::Approval) && !reference.has_digit() => {
                wrong("/reference", FieldProblem::ReferenceWithoutDigit);
            }
            Ok(_) => {}
        }
        let asked = u32::try_from(self.receivers.len()).unwrap_or(u32::MAX);
        let policy = self.policy.unwrap_or(Policy::All);
        if asked > 0 && !(1..=asked).contains(&policy.needs(asked)) {
            wrong("/policy/n", FieldProblem::PolicyBeyondReceivers { asked });
        }
        let closes_at = self.closes_at.unwrap_or(now.plus(settings.closes_after));
        if closes_at <= now || closes_at > now.plus(settings.longest) {
            wrong("/closes_at", FieldProblem::ClosesAt { days: settings.longest.as_secs() / 86_400 });
        }
        if self.reminders.len() > MAX_REMINDERS {
            wrong("/reminders", FieldProblem::TooManyReminders { max: MAX_REMINDERS });
        }
        for (index, at) in self.reminders.iter().enumerate() {
            if *at <= now || *at >= closes_at {
                wrong(&format!("/reminders/{index}"), FieldProblem::ReminderOutside);
            }
        }
        let mut reminders = self.reminders.clone();
        reminders.sort_unstable();
        reminders.dedup();
        match (kind, reference) {
            (Ok(kind), Ok(reference)) if errors.is_empty() => {
                Ok(Checked { kind, reference, policy, closes_at, reminders })
            }
            _ => Err(errors),
        }
    }

    /// Its messages. The text says how to answer, also where its caller has forgotten it.
    pub(super) fn messages(&self, settings: &PromptSettings, checked: Option<&Checked>) -> BulkRequest {
        let scenario = match checked.map_or_else(|| self.kind.parse::<Kind>(), |checked| Ok(checked.kind)) {
            Ok(kind) => kind.scenario(),
            Err(UnknownWord { .. }) => Scenario::General,
        };
        let message =
            checked.map_or_else(|| self.message.clone(), |it| settings.answerable(&self.message, it));
        BulkRequest {
            receivers: self.receivers.clone(),
            own: Vec::new(),
            content: Content {
                message,
                template: self.template.clone(),
                variables: self.variables.clone(),
                locale: self.locale.clone(),
                scenario: Some(scenario.to_string()),
                sender: self.sender.clone(),
                reference: Some(self.reference.clone()),
                group: self.group.clone(),
                expires_at: checked.map(|checked| checked.closes_at),
                ..Content::default()
            },
            idempotency_key: self.idempotency_key.clone(),
        }
    }

    /// All of it that its messages do not have, as the caller wrote it: for telling it from another request.
    pub(super) fn words(&self) -> String {
        let micros = |at: &Timestamp| at.as_micros().to_string();
        let policy = self.policy.unwrap_or(Policy::All);
        let reminders: Vec<String> = self.reminders.iter().map(micros).collect();
        let closes_at = self.closes_at.as_ref().map(micros).unwrap_or_default();
        format!("prompt {} {policy} {} {closes_at} {}", self.kind, self.veto, reminders.join(","))
    }
}
