//! The JSON of the Messages, Balance and Account resources, and what it says.
//!
//! Only what decides is read strictly. Counts and prices come as texts, numbers or `null` depending on the
//! message's age, and one that can't be read must not turn an accepted message into a doubtful one.

use std::borrow::Cow;

use domain::attempt::{Acceptance, Failure, ProviderMessageId, Reason, SubmitOutcome};
use domain::money::Money;
use domain::receipt::ReceiptStatus;
use domain::time::Timestamp;
use jiff::fmt::rfc2822;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::errors;
use crate::client::Answer;
use crate::provider::ProbeError;

/// A message as Twilio shows it (Messages resource).
#[derive(Deserialize)]
pub(super) struct Shown<'a> {
    #[serde(borrow)]
    pub(super) sid: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) status: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) to: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) body: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) direction: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) date_created: Option<Cow<'a, str>>,
    #[serde(borrow)]
    num_segments: Option<&'a RawValue>,
    #[serde(borrow)]
    price: Option<&'a RawValue>,
    #[serde(borrow)]
    price_unit: Option<&'a RawValue>,
    #[serde(borrow)]
    error_code: Option<&'a RawValue>,
}

/// A page of a list of messages.
#[derive(Deserialize)]
pub(super) struct Page<'a> {
    #[serde(borrow)]
    pub(super) messages: Vec<Shown<'a>>,
    #[serde(borrow)]
    pub(super) next_page_uri: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Balance<'a> {
    #[serde(borrow)]
    balance: Cow<'a, str>,
    #[serde(borrow)]
    currency: Cow<'a, str>,
}

/// The account, without the auth token that this resource also holds.
#[derive(Deserialize)]
pub(super) struct Account<'a> {
    #[serde(borrow)]
    pub(super) status: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Problem<'a> {
    #[serde(borrow)]
    code: Option<&'a RawValue>,
}

impl Shown<'_> {
    /// The price, once it is known: a negative amount, since it is taken from the account.
    pub(super) fn cost(&self) -> Option<Money> {
        Money::from_decimal(text(self.price)?, text(self.price_unit)?).ok().map(Money::abs)
    }

    /// When Twilio took it (RFC 2822, to the second).
    pub(super) fn created_at(&self) -> Option<Timestamp> {
        let time = rfc2822::parse(self.date_created.as_deref()?).ok()?.timestamp();
        Some(Timestamp::from_micros(time.as_microsecond()))
    }

    /// A count of zero means that a Messaging Service has not chosen the sender yet.
    fn segments(&self) -> Option<u16> {
        text(self.num_segments)?.parse().ok().filter(|segments| *segments > 0)
    }
}

/// A text or a number; nothing for `null`.
fn text(value: Option<&RawValue>) -> Option<&str> {
    let text = value?.get().trim_matches('"');
    (text != "null" && !text.is_empty()).then_some(text)
}

/// What the answer to a request to send says.
pub(super) fn submitted(answer: &Answer) -> SubmitOutcome {
    if !answer.status.is_success() {
        return errors::refusal(answer, code(answer));
    }
    let unclear = |reason| SubmitOutcome::Ambiguous(Failure::with_code(reason, answer.status.as_u16()));
    let message: Shown<'_> = match answer.json() {
        Ok(message) => message,
        Err(reason) => return unclear(reason),
    };
    // No callback is sent for the first status, so a message that failed at once says so only here.
    if message.status.as_deref() == Some("failed") {
        return errors::failed_at_once(text(message.error_code));
    }
    match ProviderMessageId::new(message.sid.as_ref()) {
        Some(provider_message_id) => SubmitOutcome::Accepted(Acceptance {
            provider_message_id,
            segments: message.segments(),
            cost: message.cost(),
        }),
        None => unclear(Reason::BadAnswer),
    }
}

/// The account's balance.
pub(super) fn balance(answer: &Answer) -> Result<Money, ProbeError> {
    let unreadable = |reason| ProbeError::Unavailable(Failure::new(reason));
    let balance: Balance<'_> = shown(answer)?;
    Money::from_decimal(&balance.balance, &balance.currency).or(Err(unreadable(Reason::BadAnswer)))
}

/// What a resource shows, or why it does not.
pub(super) fn shown<'a, T: Deserialize<'a>>(answer: &'a Answer) -> Result<T, ProbeError> {
    if answer.status.is_success() {
        return answer.json().map_err(|reason| ProbeError::Unavailable(Failure::new(reason)));
    }
    Err(match errors::refusal(answer, code(answer)) {
        SubmitOutcome::Rejected(failure) => ProbeError::Refused(failure),
        SubmitOutcome::NotSubmitted { failure, .. } | SubmitOutcome::Ambiguous(failure) => {
            ProbeError::Unavailable(failure)
        }
        SubmitOutcome::Accepted(_) => ProbeError::Unavailable(Failure::new(Reason::BadAnswer)),
    })
}

fn code(answer: &Answer) -> Option<u32> {
    let problem: Problem<'_> = answer.json().ok()?;
    text(problem.code)?.parse().ok()
}

/// What a status says of the way to the phone. `None` for a word that is not of an outbound SMS, or that
/// Twilio lists without saying what it means (`partially_delivered`).
pub(super) fn receipt_status(word: &str) -> Option<ReceiptStatus> {
    match word {
        "accepted" | "scheduled" | "queued" | "sending" | "sent" => Some(ReceiptStatus::Sent),
        "delivered" | "read" => Some(ReceiptStatus::Delivered),
        "undelivered" => Some(ReceiptStatus::Undelivered),
        "failed" | "canceled" => Some(ReceiptStatus::Failed),
        _ => None,
    }
}
