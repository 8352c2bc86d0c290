//! A message is taken, and sets out.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::StatusCode;

use super::Twilio;
use super::error::Late;
use super::journey::MessageJourney;
use super::message::{Message, Status};
use super::request::{Wanted, ending, without_fragment};
use super::store::{Ending, Facts};
use crate::sim::config::TWILIO_PHONE_NUMBER;
use crate::sim::faults::ReceiptPlan;
use crate::sim::ledger::Taken;
use crate::sim::life::{Silence, Stage, Step, steps};
use crate::sim::magic;
use crate::sim::provider::Provider;
use crate::sim::state::{Departure, State, Submitted};

impl Twilio {
    /// Takes a message in which nothing is wrong.
    pub(super) fn take(&self, state: &State, wanted: &Wanted<'_>, batch: u64) -> Submitted {
        let now = state.now();
        let segments = u32::try_from(domain::encoding::measure(&wanted.body).segments).unwrap_or(u32::MAX);
        let by_service = !wanted.service.is_empty();
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let message = Message {
            sid: state.new_id(if wanted.media > 0 { "MM" } else { "SM" }),
            to: wanted.to.clone().into_owned(),
            from: text(&wanted.from),
            service: text(&wanted.service),
            body: wanted.body.clone().into_owned(),
            status: match (wanted.is_scheduled(), by_service) {
                (true, _) => Status::Scheduled,
                (false, true) => Status::Accepted,
                (false, false) => Status::Queued,
            },
            error_code: None,
            segments: if by_service { 0 } else { segments },
            media: wanted.media,
            price_micros: None,
            created: now,
            updated: now,
            sent: None,
            callback: without_fragment(&wanted.status_callback).to_owned(),
        };
        let price_micros = self.price_micros.saturating_mul(i64::from(segments));
        self.balance.fetch_sub(price_micros, Ordering::Relaxed);
        state.ledger.take(Taken {
            provider: Provider::Twilio,
            provider_message_id: &message.sid,
            to: &message.to,
            from: message.from.as_deref().or(message.service.as_deref()),
            body: &message.body,
            segments,
            reference: wanted.reference().as_deref(),
            batch,
            recipients: 1,
            accepted_at: now,
        });
        let answer = self.message_json(StatusCode::CREATED, &message);
        let departures = self.departure(state, wanted, message, segments, price_micros);
        Submitted { answer, recipients: 1, accepted: 1, departures: departures.into_iter().collect() }
    }

    /// The journey of a message, if anybody will know of it: someone who is told, or the store.
    fn departure(
        &self,
        state: &State,
        wanted: &Wanted<'_>,
        message: Message,
        segments: u32,
        price_micros: i64,
    ) -> Option<Departure> {
        let told = !message.callback.is_empty();
        if !told && self.roads.store.is_none() {
            return None;
        }
        let faults = state.faults.for_receipts(Provider::Twilio);
        let (ending, silence) = fate(&message.to, state.config.magic_numbers, faults);
        let mut steps = steps(stages(ending, message.service.is_some()), state.pace(), silence, faults);
        if let Ok(send_at) = wanted.send_at.parse::<domain::time::Timestamp>()
            && wanted.is_scheduled()
        {
            let wait = send_at.since(message.created);
            for step in &mut steps {
                step.after += wait;
            }
        }
        if !told {
            for step in &mut steps {
                step.receipts = 0;
            }
        }
        let facts = Facts { ending, segments, price_micros, pool_sender: TWILIO_PHONE_NUMBER };
        let journey = self.journey(&message, facts);
        if let Some(store) = &self.roads.store {
            store.insert(message);
        }
        Some(Departure { journey: Arc::new(journey), steps, early: faults.early })
    }

    /// Tells that a message was canceled, where somebody is to be told.
    pub(super) fn tell_canceled(&self, state: &State, message: &Message) {
        let step = Step { after: Duration::ZERO, stage: Stage::Canceled, enters: false, receipts: 1 };
        let facts = Facts {
            ending: Ending::Delivered,
            segments: message.segments,
            price_micros: 0,
            pool_sender: TWILIO_PHONE_NUMBER,
        };
        state.callbacks.begin(Arc::new(self.journey(message, facts)), vec![step]);
    }

    fn journey(&self, message: &Message, facts: Facts) -> MessageJourney {
        MessageJourney {
            roads: Arc::clone(&self.roads),
            sid: message.sid.clone(),
            to: message.to.clone(),
            from: message.from.clone(),
            service: message.service.clone(),
            callback: message.callback.clone(),
            facts,
        }
    }
}

/// How a message ends, and how much of it is told.
fn fate(to: &str, magic: bool, faults: ReceiptPlan) -> (Ending, Silence) {
    let (ending, silence) =
        if magic { (ending(to), magic::silence(to)) } else { (Ending::Delivered, Silence::None) };
    let undelivered = Ending::NotDelivered(Late::Undelivered, 30008);
    (if faults.undelivered { undelivered } else { ending }, silence)
}

/// What a message goes through. The first status is never told; `queued` is, where a messaging service has to
/// choose a sender first (Twilio's page on outbound message status in status callbacks).
fn stages(ending: Ending, by_service: bool) -> &'static [Stage] {
    match (ending, by_service) {
        (Ending::NotDelivered(Late::Failed, _), false) => &[Stage::Ended],
        (Ending::NotDelivered(Late::Failed, _), true) => &[Stage::Queued, Stage::Ended],
        (_, false) => &[Stage::Sent, Stage::Ended],
        (_, true) => &[Stage::Queued, Stage::Sent, Stage::Ended],
    }
}
