//! What is said both ways: texts that are written once, messages from phones, what people want, questions and their answers.

use async_trait::async_trait;
use domain::audit::Act;
use domain::consent::Question;
use domain::ids::{MessageId, PromptId};
use domain::phone::Msisdn;
use domain::time::Timestamp;

use super::super::read;
use super::BackendStore;
use crate::StoreError;
use crate::group::{Operation, TemplateChange};
use crate::port::consent::{ChangeConsent, Changed, ConsentRecord, Consents, HeldBack, OptOutFilter};
use crate::port::inbound::{InboundFilter, InboundMessages, InboundRecord, NewInbound, Received};
use crate::port::prompts::{
    DueReminder, ForgetPrompts, OpenPrompt, PromptFilter, PromptOpened, PromptRecord, PromptSummary, Prompts,
    Remind,
};
use crate::port::templates::{Draft, InForce, KeptTemplate, Publish, Templates};

#[async_trait]
impl Templates for BackendStore {
    async fn draft_template(&self, draft: Draft) -> Result<u32, StoreError> {
        self.group()?.ask(TemplateChange::Draft(draft), Operation::Template).await
    }

    async fn publish_template(&self, publish: Publish) -> Result<Option<u32>, StoreError> {
        let version = self.group()?.ask(TemplateChange::Publish(publish), Operation::Template).await?;
        Ok((version > 0).then_some(version))
    }

    async fn retire_template(&self, name: String, act: Act) -> Result<bool, StoreError> {
        Ok(self.group()?.ask(TemplateChange::Retire(name, act), Operation::Template).await? > 0)
    }

    async fn templates(&self) -> Result<Vec<KeptTemplate>, StoreError> {
        self.read(read::templates::all).await
    }

    async fn template(&self, name: String) -> Result<Vec<KeptTemplate>, StoreError> {
        self.read(move |statements| read::templates::of_name(statements, &name)).await
    }

    async fn templates_in_force(&self) -> Result<Vec<InForce>, StoreError> {
        self.read(read::templates::in_force).await
    }
}

#[async_trait]
impl InboundMessages for BackendStore {
    async fn receive_inbound(&self, new: NewInbound) -> Result<Received, StoreError> {
        self.group()?.ask(new, Operation::Inbound).await
    }

    async fn inbound(&self, filter: InboundFilter) -> Result<Vec<InboundRecord>, StoreError> {
        self.read(move |statements| read::inbound::inbound(statements, &filter)).await
    }
}

#[async_trait]
impl Consents for BackendStore {
    async fn change_consent(&self, change: ChangeConsent) -> Result<Vec<Changed>, StoreError> {
        self.group()?.ask(change, Operation::Consent).await
    }

    async fn held_back(&self, number: Msisdn, question: Question) -> Result<Option<HeldBack>, StoreError> {
        self.read(move |statements| read::consent::held_back(statements, number, &question)).await
    }

    async fn opt_outs(&self, filter: OptOutFilter) -> Result<Vec<ConsentRecord>, StoreError> {
        self.read(move |statements| read::consent::opt_outs(statements, &filter)).await
    }

    async fn consent_history(&self, number: Msisdn, limit: u32) -> Result<Vec<ConsentRecord>, StoreError> {
        self.read(move |statements| read::consent::history(statements, number, limit)).await
    }
}

#[async_trait]
impl Prompts for BackendStore {
    async fn open_prompt(&self, open: OpenPrompt) -> Result<PromptOpened, StoreError> {
        self.group()?.open_prompt(open).await
    }

    async fn close_prompt(&self, id: PromptId, act: Act) -> Result<Option<bool>, StoreError> {
        self.group()?.ask((id, act), Operation::ClosePrompt).await
    }

    async fn expire_prompts(&self, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
        // Nearly always there is none: the writer, who would have to be alone, is not asked.
        if self.read(move |statements| read::prompts::is_any_overdue(statements, now)).await? {
            self.group()?.ask((now, limit), Operation::ExpirePrompts).await
        } else {
            Ok(0)
        }
    }

    async fn due_reminders(&self, now: Timestamp, limit: u32) -> Result<Vec<DueReminder>, StoreError> {
        self.read(move |statements| read::prompts::due(statements, now, limit)).await
    }

    async fn remind(&self, remind: Remind) -> Result<Vec<MessageId>, StoreError> {
        self.group()?.ask(remind, Operation::Remind).await
    }

    async fn prompt(&self, id: PromptId) -> Result<Option<PromptRecord>, StoreError> {
        self.read(move |statements| read::prompts::record(statements, id)).await
    }

    async fn prompts(&self, filter: PromptFilter) -> Result<Vec<PromptSummary>, StoreError> {
        self.read(move |statements| read::prompts::list(statements, &filter)).await
    }

    async fn forget_prompts(&self, forget: ForgetPrompts) -> Result<bool, StoreError> {
        self.group()?.ask(forget, Operation::ForgetPrompts).await
    }
}
