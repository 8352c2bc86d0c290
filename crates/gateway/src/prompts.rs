//! Questions to many: opening, showing and closing them.
//!
//! What counts is decided in the store, by the rules of `domain::prompt`. Here a question becomes messages.

mod request;

use domain::audit::{Act, Actor};
use domain::encoding;
use domain::ids::PromptId;
use domain::prompt::{Kind, Outcome};
use domain::time::Timestamp;
use store::StoreError;
use store::port::messages::{Accepted, NewMessage};
use store::port::prompts::{NewPrompt, OpenPrompt, PromptFilter, PromptOpened, PromptRecord, PromptSummary};

use self::request::Checked;
pub use self::request::{CloseError, PromptAnswer, PromptRequest};
use crate::accept::Prepared;
use crate::fresh;
use crate::refused::Asked;
use crate::request::{BulkRequest, Caller, FieldError, FieldProblem, SendError};
use crate::service::SmsService;
pub use crate::settings::PromptSettings;

impl SmsService {
    /// Opens a prompt. When this answers, it is on disk with all of its messages, which are queued.
    pub async fn open_prompt(
        &self,
        caller: Caller,
        request: PromptRequest,
    ) -> Result<PromptAnswer, SendError> {
        // What is accepted is sent also if the caller goes away meanwhile.
        let service = self.clone();
        let opened = self.workers.to_the_end(async move { service.open(&caller, &request).await }).await;
        opened.unwrap_or(Err(StoreError::Stopped.into()))
    }

    async fn open(&self, caller: &Caller, request: &PromptRequest) -> Result<PromptAnswer, SendError> {
        let as_written = request.messages(&self.shared.settings.prompts, None);
        match self.open_checked(caller, request, &as_written).await {
            Err(SendError::Store(problem)) => Err(problem.into()),
            Err(refusal) => {
                // What is wrong now may have been right when the same was asked before.
                match self.opened_before(caller, request, &as_written).await? {
                    Some(answer) => Ok(answer),
                    None => Err(self.refused(Asked::bulk(caller, &as_written), refusal).await),
                }
            }
            opened => opened,
        }
    }

    async fn open_checked(
        &self,
        caller: &Caller,
        request: &PromptRequest,
        as_written: &BulkRequest,
    ) -> Result<PromptAnswer, SendError> {
        let (now, acceptor) = (self.shared.clock.now(), self.acceptor());
        let (checked, prepared) = self.prepare(caller, request, as_written, now)?;
        let mut prepared = prepared.judged(&self.shared.guard).map_err(|refused| refused.why)?;
        let opinions = prepared.take_opinions();
        if prepared.messages.len() < request.receivers.len() {
            self.count_opinions(&opinions);
            return Err(prepared.into_refusal());
        }
        let Checked { kind, reference, policy, closes_at, reminders } = checked;
        let answer = PromptAnswer {
            id: fresh::prompt_id(now),
            kind,
            created_at: now,
            closes_at,
            messages: prepared.messages.iter().map(|new| new.message.id).collect(),
        };
        let mut idempotency = acceptor.question_key(caller, as_written, &request.words(), now);
        if let Some(idempotency) = &mut idempotency {
            idempotency.reply =
                serde_json::to_string(&answer).map_err(|error| StoreError::Internal(error.to_string()))?;
        }
        let prompt = NewPrompt {
            id: answer.id,
            caller: caller.key,
            kind,
            reference,
            policy,
            veto: request.veto,
            created_at: now,
            closes_at,
            reminders,
        };
        let open = OpenPrompt { prompt, accept: acceptor.accept_question(&prepared, idempotency) };
        let announcement = self.announce(&prepared.messages);
        let opened = self.shared.store.open_prompt(open).await;
        let stored =
            matches!(opened, Ok(PromptOpened::Accepted(Accepted::Stored | Accepted::StoredWithin(_))));
        if stored {
            self.count_opinions(&opinions);
        } else {
            announcement.nothing_came();
            self.shared.guard.take_back(&opinions);
        }
        match opened? {
            PromptOpened::Accepted(Accepted::Stored | Accepted::StoredWithin(_)) => Ok(answer),
            PromptOpened::Accepted(Accepted::Repeated(earlier)) => read(&earlier),
            PromptOpened::Accepted(Accepted::KeyReused) => Err(SendError::KeyReused),
            PromptOpened::Accepted(Accepted::Duplicates(_)) => Err(SendError::Repeated),
            // No question carries a code.
            PromptOpened::Accepted(Accepted::CodeEnded) => Err(StoreError::Conflict.into()),
            PromptOpened::Accepted(Accepted::OptedOut(unwanted)) => Err(prepared.not_wanted(unwanted)),
            PromptOpened::Accepted(Accepted::Limited(limited)) => {
                let reached = acceptor.longest(&prepared, &limited);
                Err(reached.map_or(StoreError::Corrupt.into(), SendError::Limited))
            }
            PromptOpened::ReferenceTaken(_) => {
                let problem = FieldProblem::ReferenceTaken;
                Err(SendError::Invalid(vec![FieldError { pointer: "/reference".into(), problem }]))
            }
        }
    }

    /// The question and its messages, or everything that is wrong with it.
    fn prepare(
        &self,
        caller: &Caller,
        request: &PromptRequest,
        as_written: &BulkRequest,
        now: Timestamp,
    ) -> Result<(Checked, Prepared), SendError> {
        let (settings, acceptor) = (&self.shared.settings.prompts, self.acceptor());
        let checked = match request.check(settings, now) {
            Ok(checked) => checked,
            Err(errors) => {
                return Err(with_those_of(errors, acceptor.prepare_question(caller, as_written, now)));
            }
        };
        let messages = request.messages(settings, Some(&checked));
        let prepared = acceptor.prepare_question(caller, &messages, now)?;
        let shows = |new: &NewMessage| checked.reference.is_in(new.message.body.expose());
        if request.template.is_some()
            && checked.kind == Kind::Approval
            && !prepared.messages.iter().all(shows)
        {
            let problem = FieldProblem::ReferenceNotShown;
            return Err(SendError::Invalid(vec![FieldError { pointer: "/template".into(), problem }]));
        }
        Ok((checked, prepared))
    }

    /// What the same request was answered when it was made before.
    async fn opened_before(
        &self,
        caller: &Caller,
        request: &PromptRequest,
        as_written: &BulkRequest,
    ) -> Result<Option<PromptAnswer>, SendError> {
        let now = self.shared.clock.now();
        let Some(asked) = self.acceptor().question_key(caller, as_written, &request.words(), now) else {
            return Ok(None);
        };
        match self.shared.store.earlier(asked).await? {
            Some(Accepted::Repeated(earlier)) => read(&earlier).map(Some),
            _ => Ok(None),
        }
    }

    /// One prompt with all that happened to it.
    pub async fn prompt(&self, id: PromptId) -> Result<Option<PromptRecord>, StoreError> {
        self.shared.store.prompt(id).await
    }

    /// Prompts, newest first.
    pub async fn prompts(&self, filter: PromptFilter) -> Result<Vec<PromptSummary>, StoreError> {
        self.shared.store.prompts(filter).await
    }

    /// Closes a prompt whatever was answered: nobody is asked any more, and nothing counts.
    pub async fn close_prompt(&self, id: PromptId, by: Actor) -> Result<PromptRecord, CloseError> {
        let act = Act { by, at: self.shared.clock.now() };
        self.shared.store.close_prompt(id, act).await?.ok_or(CloseError::NotFound)?;
        let record = self.shared.store.prompt(id).await?.ok_or(CloseError::NotFound)?;
        // Whoever asks again has what was asked for.
        match record.summary.closed {
            Some((_, Outcome::Canceled, _)) => Ok(record),
            _ => Err(CloseError::Closed),
        }
    }
}

/// All that is wrong with a request, also with its messages. Those were made as for a message: what a prompt has no field for,
/// or has named already, is not said again.
fn with_those_of<T>(mut errors: Vec<FieldError>, messages: Result<T, SendError>) -> SendError {
    if let Err(SendError::Invalid(more)) = messages {
        let is_new = |error: &FieldError| {
            error.pointer != "/scenario" && errors.iter().all(|one| one.pointer != error.pointer)
        };
        let more: Vec<FieldError> = more.into_iter().filter(is_new).collect();
        errors.extend(more);
    }
    SendError::Invalid(errors)
}

fn read(earlier: &str) -> Result<PromptAnswer, SendError> {
    serde_json::from_str(earlier).map_err(|_unreadable| StoreError::Corrupt.into())
}

impl PromptSettings {
    /// A text that says how to answer with the reference: if it does not, a line that does is added. To an invitation only if
    /// that costs nothing, for a lone `YES` will do nearly always.
    fn answerable(&self, message: &str, checked: &Checked) -> String {
        let line = match checked.kind {
            Kind::Invite => &self.answer_invite,
            Kind::Approval => &self.answer_approval,
        };
        if line.is_empty() || message.trim().is_empty() || checked.reference.is_in(message) {
            return message.to_owned();
        }
        let line = line.replace("{reference}", checked.reference.as_str());
        let longer = format!("{}\n{line}", message.trim_end());
        let segments = |text: &str| encoding::measure(&encoding::to_nfc(text)).segments;
        let is_free = segments(&longer) == segments(message);
        if checked.kind == Kind::Approval || is_free { longer } else { message.to_owned() }
    }
}
