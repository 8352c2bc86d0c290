//! A provider whose credentials change while it is used.
//!
//! Adapters make URLs, headers and keys of their settings once, and know nothing of this: with new credentials a new one is
//! made, and takes the place of the old one here. What is under way keeps the one that it began with. The road not taken,
//! a credential that each adapter looks up for each request, would be a duty of every adapter to come.
//!
//! Callbacks speak of the past. For a while after a change those that fit the credentials of before are taken too: a
//! provider may have signed them before it changed, or the new address may not have been entered there yet.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use domain::attempt::{Reason, Submission, SubmitOutcome};
use domain::consent::Extent;
use domain::inbound::{Inbound, ListedOptOut};
use domain::money::Money;
use domain::phone::SenderId;
use domain::receipt::Receipt;
use domain::route::ProviderName;
use domain::secret::Body;
use domain::time::Timestamp;
use parking_lot::RwLock;
use tokio::sync::Notify;

use crate::pace::Pace;
use crate::provider::{
    CallbackAnswer, CallbackError, CallbackRequest, Capabilities, Found, ProbeError, SmsProvider,
    SubmissionQuery,
};

/// A place for a provider.
pub struct Renewable {
    name: ProviderName,
    pace: Pace,
    held: RwLock<Held>,
    refused: Arc<Notify>,
}

#[derive(Clone)]
struct Held {
    now: Arc<dyn SmsProvider>,
    /// The one before, and until when callbacks may fit it.
    before: Option<(Arc<dyn SmsProvider>, Timestamp)>,
}

impl fmt::Debug for Renewable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Renewable({})", self.name)
    }
}

impl Renewable {
    /// A place that `provider` has until it is renewed. Whoever waits for `refused` hears that credentials were refused.
    pub fn new(provider: Arc<dyn SmsProvider>, refused: Arc<Notify>) -> Self {
        let (name, pace) = (provider.provider_name().clone(), *provider.pace());
        Self { name, pace, held: RwLock::new(Held { now: provider, before: None }), refused }
    }

    /// From now on `provider` is used. Callbacks that fit the one before are taken until `until`.
    pub fn renew(&self, provider: Arc<dyn SmsProvider>, until: Timestamp) {
        let mut held = self.held.write();
        let before = std::mem::replace(&mut held.now, provider);
        held.before = Some((before, until));
    }

    fn now(&self) -> Arc<dyn SmsProvider> {
        Arc::clone(&self.held.read().now)
    }

    /// Reads a callback by the credentials of now, or for a while by those before.
    fn parse<T>(
        &self,
        request: &CallbackRequest<'_>,
        read: impl Fn(&dyn SmsProvider) -> Result<T, CallbackError>,
    ) -> Result<T, CallbackError> {
        let Held { now, before } = self.held.read().clone();
        let parsed = read(&*now);
        let is_forged = matches!(parsed, Err(CallbackError::Forged(_)));
        match before {
            Some((before, until)) if is_forged && request.received_at <= until => read(&*before).or(parsed),
            _ => parsed,
        }
    }

    fn hear(&self, reason: Option<Reason>) {
        if reason == Some(Reason::Credential) {
            self.refused.notify_one();
        }
    }

    fn hear_probe<T>(&self, answer: Result<T, ProbeError>) -> Result<T, ProbeError> {
        if let Err(ProbeError::Refused(failure)) = &answer {
            self.hear(Some(failure.reason));
        }
        answer
    }
}

#[async_trait]
impl SmsProvider for Renewable {
    fn provider_name(&self) -> &ProviderName {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        self.now().capabilities()
    }

    fn pace(&self) -> &Pace {
        &self.pace
    }

    async fn send_sms(&self, submission: &Submission) -> SubmitOutcome {
        let outcome = self.now().send_sms(submission).await;
        self.hear(outcome.failure().map(|failure| failure.reason));
        outcome
    }

    async fn send_bulk_sms(&self, submissions: &[Submission]) -> Vec<SubmitOutcome> {
        let outcomes = self.now().send_bulk_sms(submissions).await;
        for outcome in &outcomes {
            self.hear(outcome.failure().map(|failure| failure.reason));
        }
        outcomes
    }

    fn parse_callback(&self, request: &CallbackRequest<'_>) -> Result<Vec<Receipt>, CallbackError> {
        self.parse(request, |provider| provider.parse_callback(request))
    }

    fn parse_incoming(&self, request: &CallbackRequest<'_>) -> Result<Inbound, CallbackError> {
        self.parse(request, |provider| provider.parse_incoming(request))
    }

    fn parse_opt_out(&self, request: &CallbackRequest<'_>) -> Result<ListedOptOut, CallbackError> {
        self.parse(request, |provider| provider.parse_opt_out(request))
    }

    fn answers_carry_replies(&self) -> bool {
        self.now().answers_carry_replies()
    }

    fn answer_incoming(&self, reply: Option<&Body>) -> CallbackAnswer {
        self.now().answer_incoming(reply)
    }

    fn default_sender(&self) -> Option<SenderId> {
        self.now().default_sender()
    }

    fn refusal_extent(&self) -> Extent {
        self.now().refusal_extent()
    }

    async fn find_submission(&self, query: &SubmissionQuery) -> Result<Option<Found>, ProbeError> {
        self.hear_probe(self.now().find_submission(query).await)
    }

    async fn balance(&self) -> Result<Money, ProbeError> {
        self.hear_probe(self.now().balance().await)
    }

    async fn check_credentials(&self) -> Result<String, ProbeError> {
        self.hear_probe(self.now().check_credentials().await)
    }
}
