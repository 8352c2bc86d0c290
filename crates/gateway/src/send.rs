//! Accepting, as the facade offers it: one message, one that is waited for, many.

use std::sync::Arc;
use std::time::Duration;

use domain::audit::NewEntry;
use domain::ids::MessageId;
use domain::route::ProviderName;
use store::StoreError;
use store::port::messages::{MessageRecord, NewMessage};

use crate::accept::{Acceptor, Prepared, Refused, Repeatable, Stored};
use crate::audit;
use crate::fault::fault_point;
use crate::guard::Opinion;
use crate::metrics::Arrival;
use crate::refused::{Asked, Teller};
use crate::request::{BulkAnswer, BulkRequest, Caller, SendAnswer, SendError, SendRequest};
use crate::service::SmsService;
use crate::shared::Shared;

impl SmsService {
    /// Accepts one message. When this answers, the message is on disk and queued.
    pub async fn send_sms(&self, caller: Caller, request: SendRequest) -> Result<SendAnswer, SendError> {
        let asked = Asked::one(&caller, &request);
        match self.judged(self.acceptor().prepare_one(&caller, &request, self.shared.clock.now())) {
            Ok(prepared) => self.store(asked, prepared).await?.into_answer(),
            Err(refused) => self.earlier(asked, (&request).into(), refused).await?.into_answer(),
        }
    }

    /// Accepts one message and waits up to `limit` until a provider has accepted or refused it. Answers with
    /// where it stands then; a message that takes longer goes its way all the same.
    pub async fn send_sms_and_wait(
        &self,
        caller: Caller,
        request: SendRequest,
        limit: Duration,
    ) -> Result<(SendAnswer, Option<MessageRecord>), SendError> {
        let deadline = self.shared.clock.sleep_until(self.shared.clock.now().plus(limit));
        let asked = Asked::one(&caller, &request);
        let prepared = self.acceptor().prepare_one(&caller, &request, self.shared.clock.now());
        let prepared = match self.judged(prepared) {
            Ok(prepared) => prepared,
            Err(refused) => {
                let answer = self.earlier(asked, (&request).into(), refused).await?.into_answer()?;
                let record = self.shared.store.message(answer.id).await?;
                return Ok((answer, record));
            }
        };
        let ids: Vec<MessageId> = prepared.messages.iter().map(|new| new.message.id).collect();
        let mut ticket = ids.first().map(|id| self.shared.outcomes.expect(*id));
        let answer = self.store(asked, prepared).await?.into_answer()?;
        if !ids.contains(&answer.id) {
            // A repeated request: wait for the message of the first one, unless it is already settled.
            ticket = Some(self.shared.outcomes.expect(answer.id));
            let record = self.shared.store.message(answer.id).await?;
            if record.as_ref().is_some_and(|record| record.summary.status.is_submitted_or_final()) {
                return Ok((answer, record));
            }
        }
        if let Some(ticket) = &mut ticket {
            tokio::select! {
                () = ticket.settled() => {}
                () = deadline => {}
            }
        }
        let record = self.shared.store.message(answer.id).await?;
        Ok((answer, record))
    }

    /// Accepts one text for many receivers. Receivers that can't be sent to are refused one by one; all others
    /// are on disk and queued when this answers.
    pub async fn send_bulk_sms(&self, caller: Caller, request: BulkRequest) -> Result<BulkAnswer, SendError> {
        // What is accepted is sent also if the caller goes away meanwhile. So what is refused is entered, too.
        let service = self.clone();
        let sent = self.workers.to_the_end(async move { service.send_bulk(caller, request).await }).await;
        sent.unwrap_or(Err(StoreError::Stopped.into()))
    }

    async fn send_bulk(&self, caller: Caller, request: BulkRequest) -> Result<BulkAnswer, SendError> {
        let asked = Asked::bulk(&caller, &request);
        match self.judged(self.acceptor().prepare_bulk(&caller, &request, self.shared.clock.now())) {
            Ok(prepared) => {
                let stored = self.store(asked, prepared).await?;
                self.note(asked.refused_receivers(&stored.refused(), self.teller())).await;
                stored.into_bulk_answer()
            }
            Err(refused) => self.earlier(asked, (&request).into(), refused).await?.into_bulk_answer(),
        }
    }

    pub(crate) fn acceptor(&self) -> Acceptor<'_> {
        let Shared { store, router, settings, requests, limits, guard, templates, .. } = &*self.shared;
        Acceptor { store: &**store, router, settings, requests, limits, guard, templates }
    }

    pub(crate) async fn store(&self, asked: Asked<'_>, mut prepared: Prepared) -> Result<Stored, SendError> {
        let opinions = prepared.take_opinions();
        let mut announcement = self.announce(&prepared.messages);
        let stored = self.acceptor().store(prepared).await;
        fault_point("after_accept");
        if let Some(stored) = stored.as_ref().ok().filter(|stored| !stored.repeated) {
            stored.reached.iter().for_each(|reached| self.shared.metrics.limited(reached));
            // Those that the store refused were no messages of their own. What the guard refused was not among them.
            let holds =
                |id| stored.holds(id) || !announcement.arrivals.iter().any(|(asked, ..)| *asked == id);
            let (stand, back): (Vec<_>, Vec<_>) =
                opinions.into_iter().partition(|opinion| holds(opinion.message));
            self.count_opinions(&stand);
            self.shared.guard.take_back(&back);
            announcement.arrivals.retain(|(id, ..)| stored.holds(*id));
        } else {
            announcement.arrivals.clear();
            self.shared.guard.take_back(&opinions);
        }
        match stored {
            Ok(stored) => Ok(stored),
            Err(refusal) => Err(self.refused(asked, refusal).await),
        }
    }

    /// Tells of messages that are about to be stored, also when the caller goes away before the answer: they are stored all the
    /// same.
    pub(crate) fn announce(&self, messages: &[NewMessage]) -> Announcement<'_> {
        let arrive = |new: &NewMessage| (new.message.id, new.provider.clone(), Arrival::from(&new.message));
        Announcement { service: self, arrivals: messages.iter().map(arrive).collect() }
    }

    /// Asks the guard about a request that is right otherwise.
    pub(crate) fn judged(&self, prepared: Result<Prepared, SendError>) -> Result<Prepared, Refused> {
        prepared?.judged(&self.shared.guard)
    }

    /// What the guard thought stands: the messages were stored, or refused because of it.
    pub(crate) fn count_opinions(&self, opinions: &[Opinion]) {
        let mode = self.shared.guard.mode();
        for opinion in opinions {
            self.shared.metrics.guarded(mode, opinion.reasons());
        }
    }

    /// What a repeated request was answered before, or the refusal of one that was not made before.
    pub(crate) async fn earlier(
        &self,
        asked: Asked<'_>,
        request: Repeatable<'_>,
        refused: Refused,
    ) -> Result<Stored, SendError> {
        if let Some(stored) = self.acceptor().earlier(asked.caller, request, self.shared.clock.now()).await? {
            self.shared.guard.take_back(&refused.opinions);
            return Ok(stored);
        }
        self.count_opinions(&refused.opinions);
        Err(self.refused(asked, refused.why).await)
    }

    /// Counts a refusal and enters it into the audit trail.
    pub(crate) async fn refused(&self, asked: Asked<'_>, refusal: SendError) -> SendError {
        self.shared.metrics.refused(&refusal);
        self.note(asked.refused(&refusal, self.teller())).await;
        refusal
    }

    /// Enters refusals, also those of a caller who does not wait for the answer.
    pub(crate) async fn note(&self, refusals: Vec<NewEntry>) {
        if refusals.is_empty() {
            return;
        }
        let shared = Arc::clone(&self.shared);
        self.workers.to_the_end(async move { audit::note_refusals(&shared, refusals).await }).await;
    }

    /// How refusals are told now.
    fn teller(&self) -> Teller<'_> {
        Teller { store: &*self.shared.store, region: self.default_region(), now: self.now() }
    }
}

/// Messages on their way into the store. Counts them and wakes their dispatchers when it is dropped: a claim that
/// follows stands behind their accept in the store's queue, so it finds them.
pub(crate) struct Announcement<'a> {
    service: &'a SmsService,
    arrivals: Vec<(MessageId, ProviderName, Arrival)>,
}

impl Announcement<'_> {
    /// None of them was stored.
    pub(crate) fn nothing_came(mut self) {
        self.arrivals.clear();
    }
}

impl Drop for Announcement<'_> {
    fn drop(&mut self) {
        for (_, provider, arrival) in &self.arrivals {
            self.service.shared.metrics.accepted(*arrival);
            self.service.shared.wakeups.wake(provider);
        }
    }
}
