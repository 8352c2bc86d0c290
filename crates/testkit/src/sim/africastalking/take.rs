//! Each receiver of a request gets a verdict of its own.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyper::StatusCode;

use super::report::ReportJourney;
use super::request::{Wanted, is_number};
use super::words::{
    Code, DELIVERED, INSUFFICIENT_BALANCE, INVALID_PHONE_NUMBER, PROCESSED, QUEUED, SENT, ending, name,
    refuses,
};
use super::{AfricasTalking, CURRENCY};
use crate::serve::Answer;
use crate::sim::form::{JSON, answer, push_amount, push_json};
use crate::sim::ledger::Taken;
use crate::sim::life::{Silence, Stage, steps};
use crate::sim::magic;
use crate::sim::provider::Provider;
use crate::sim::state::{Departure, State, Submitted};

/// What delivery reports tell of, in the order in which it happens.
const STAGES: [Stage; 4] = [Stage::Sent, Stage::Submitted, Stage::Buffered, Stage::Ended];

/// The answer for one receiver. Without an id it was refused.
struct Recipient<'a> {
    number: &'a str,
    code: Code,
    id: Option<String>,
}

impl AfricasTalking {
    /// Takes what can be taken of a request in which nothing is wrong as a whole.
    pub(super) fn take(&self, state: &State, wanted: &Wanted<'_>, batch: u64) -> Submitted {
        let segments = u32::try_from(domain::encoding::measure(&wanted.message).segments).unwrap_or(u32::MAX);
        let cost = self.price_micros.saturating_mul(i64::from(segments));
        let url = state.urls.read().africastalking_delivery.clone();
        let mut recipients = Vec::with_capacity(wanted.to.len());
        let mut departures = Vec::new();
        for number in &wanted.to {
            let code = self.verdict(number, wanted.enqueue, cost, state.config.magic_numbers);
            let id = (!refuses(code)).then(|| state.new_id("ATXid_"));
            if let Some(id) = &id {
                record(state, wanted, number, id, segments, batch);
                departures.extend(url.as_deref().map(|url| departure(state, url, id, number)));
            }
            recipients.push(Recipient { number, code, id });
        }
        Submitted {
            answer: summary(&recipients, cost, segments),
            recipients: recipients.len(),
            accepted: recipients.iter().filter(|recipient| recipient.id.is_some()).count(),
            departures,
        }
    }

    /// Whether a receiver is taken, and charges for it if so.
    fn verdict(&self, number: &str, enqueue: bool, cost: i64, magic: bool) -> Code {
        if !is_number(number) {
            return INVALID_PHONE_NUMBER;
        }
        let chosen = magic::last_six(number).filter(|&code| magic && (refuses(code) || code == PROCESSED));
        if let Some(code) = chosen.filter(|&code| refuses(code)) {
            return code;
        }
        let pay = |balance: i64| balance.checked_sub(cost).filter(|rest| *rest >= 0);
        if self.balance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay).is_err() {
            return INSUFFICIENT_BALANCE;
        }
        chosen.unwrap_or(if enqueue { QUEUED } else { SENT })
    }
}

/// The answer that refuses all receivers for the same reason.
pub(super) fn all_refused(to: &[Cow<'_, str>], code: Code) -> Answer {
    let recipients: Vec<Recipient<'_>> =
        to.iter().map(|number| Recipient { number, code, id: None }).collect();
    summary(&recipients, 0, 1)
}

/// The answer that refuses the whole request: nobody is named in it.
pub(super) fn whole_refused(reason: &str) -> Answer {
    let mut body = String::from("{\"SMSMessageData\":{\"Message\":");
    push_json(&mut body, reason);
    body.push_str(",\"Recipients\":[]}}");
    answer(StatusCode::CREATED, JSON, body)
}

fn record(state: &State, wanted: &Wanted<'_>, number: &str, id: &str, segments: u32, batch: u64) {
    state.ledger.take(Taken {
        provider: Provider::AfricasTalking,
        provider_message_id: id,
        to: number,
        from: Some(&*wanted.from).filter(|from| !from.is_empty()),
        body: &wanted.message,
        segments,
        reference: None,
        batch,
        recipients: wanted.to.len(),
        accepted_at: state.now(),
    });
}

fn departure(state: &State, url: &str, id: &str, number: &str) -> Departure {
    let faults = state.faults.for_receipts(Provider::AfricasTalking);
    let (ended, silence) = if faults.undelivered {
        (ending(921), Silence::None)
    } else if state.config.magic_numbers {
        (magic::last_six(number).map_or(DELIVERED, ending), magic::silence(number))
    } else {
        (DELIVERED, Silence::None)
    };
    let journey =
        ReportJourney { url: url.to_owned(), id: id.to_owned(), number: number.to_owned(), ending: ended };
    let steps = steps(&STAGES, state.pace(), silence, faults);
    Departure { journey: Arc::new(journey), steps, early: faults.early }
}

/// The body of an answer that names receivers. Its first line is for people.
fn summary(recipients: &[Recipient<'_>], cost: i64, segments: u32) -> Answer {
    let taken = recipients.iter().filter(|recipient| recipient.id.is_some()).count();
    let total = cost.saturating_mul(i64::try_from(taken).unwrap_or(i64::MAX));
    let mut body = String::with_capacity(128 + recipients.len() * 160);
    // Writing to a String does not fail.
    let _ = write!(
        body,
        "{{\"SMSMessageData\":{{\"Message\":\"Sent to {taken}/{} Total Cost: ",
        recipients.len()
    );
    push_cost(&mut body, total);
    if taken > 0 {
        let _ = write!(body, " Message parts: {segments}");
    }
    body.push_str("\",\"Recipients\":[");
    for (place, recipient) in recipients.iter().enumerate() {
        if place > 0 {
            body.push(',');
        }
        body.push_str("{\"cost\":\"");
        push_cost(&mut body, if recipient.id.is_some() { cost } else { 0 });
        // The word "None" stands for no id. It is a text, not null, and the same for all.
        let id = recipient.id.as_deref().unwrap_or("None");
        let _ = write!(body, "\",\"messageId\":\"{id}\",\"number\":");
        push_json(&mut body, recipient.number);
        let (status, code) = (name(recipient.code), recipient.code);
        let _ = write!(body, ",\"status\":\"{status}\",\"statusCode\":{code}}}");
    }
    body.push_str("]}}");
    answer(StatusCode::CREATED, JSON, body)
}

/// `KES 0.8000`, or `0` without a currency where nothing is charged.
fn push_cost(out: &mut String, micros: i64) {
    if micros == 0 {
        out.push('0');
    } else {
        let _ = write!(out, "{CURRENCY} ");
        push_amount(out, micros);
    }
}
