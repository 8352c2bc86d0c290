//! The JSON of the messaging and user endpoints, and what it says.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use domain::attempt::{Acceptance, Failure, ProviderMessageId, Reason, Submission, SubmitOutcome};
use domain::money::Money;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::errors::{self, HttpVerdict, Verdict};
use crate::client::Answer;
use crate::provider::ProbeError;

/// What stands where a refused receiver has no message id. A text like any other, and the same for all.
pub(super) const NO_ID: &str = "None";

#[derive(Deserialize)]
struct Sent<'a> {
    #[serde(borrow, rename = "SMSMessageData")]
    data: Data<'a>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow, default, rename = "Message")]
    message: Cow<'a, str>,
    #[serde(borrow, rename = "Recipients")]
    recipients: Vec<Recipient<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recipient<'a> {
    #[serde(borrow)]
    number: Cow<'a, str>,
    status_code: u16,
    #[serde(borrow)]
    message_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    cost: Option<&'a RawValue>,
    #[serde(borrow)]
    message_parts: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct User<'a> {
    #[serde(borrow, rename = "UserData")]
    data: UserData<'a>,
}

#[derive(Deserialize)]
struct UserData<'a> {
    #[serde(borrow)]
    balance: Cow<'a, str>,
}

impl Recipient<'_> {
    /// The digits of the number, which the provider may have written in its own way.
    fn digits(&self) -> Option<u64> {
        let mut digits = self.number.chars().filter_map(|character| character.to_digit(10)).map(u64::from);
        digits.try_fold(0_u64, |number, digit| number.checked_mul(10)?.checked_add(digit))
    }

    fn id(&self) -> Option<ProviderMessageId> {
        ProviderMessageId::new(self.message_id.as_deref().filter(|id| *id != NO_ID)?)
    }

    /// What became of the message to this receiver.
    fn outcome(&self, retry_gateway_errors: bool) -> SubmitOutcome {
        let failure = |reason| Failure::with_code(reason, self.status_code);
        match (errors::verdict(self.status_code), self.id()) {
            (Verdict::Taken, Some(provider_message_id)) => SubmitOutcome::Accepted(Acceptance {
                provider_message_id,
                segments: text(self.message_parts).and_then(|parts| parts.parse().ok()),
                cost: text(self.cost).and_then(money),
            }),
            // Said to be taken, but with no id that a receipt could name: an answer that contradicts itself.
            // It is not sent again, and a receipt for this number can still settle it.
            (Verdict::Taken, None) => SubmitOutcome::Ambiguous(failure(Reason::BadAnswer)),
            (Verdict::Refused(reason), _) => SubmitOutcome::Rejected(failure(reason)),
            (Verdict::GatewayFault, None) if retry_gateway_errors => {
                SubmitOutcome::not_submitted(failure(Reason::OperatorDown))
            }
            (Verdict::GatewayFault, _) => SubmitOutcome::Ambiguous(failure(Reason::OperatorDown)),
            (Verdict::Unlisted, None) => SubmitOutcome::Rejected(failure(Reason::Unknown)),
            // A code that we do not know, but an id: it may well be on its way.
            (Verdict::Unlisted, Some(_)) => SubmitOutcome::Ambiguous(failure(Reason::Unknown)),
        }
    }
}

/// A text or a number; nothing for `null`.
fn text(value: Option<&RawValue>) -> Option<&str> {
    let text = value?.get().trim_matches('"');
    (text != "null").then_some(text)
}

/// `KES 0.8000`. Nothing for the bare `0` of a message that was refused.
fn money(text: &str) -> Option<Money> {
    let (currency, amount) = text.trim().split_once(' ')?;
    Money::from_decimal(amount, currency).ok()
}

/// What the answer to a request says of each of the messages in it. No two have the same receiver.
pub(super) fn submitted(
    answer: &Answer,
    submissions: &[&Submission],
    retry_gateway_errors: bool,
) -> Vec<SubmitOutcome> {
    let all = |outcome: SubmitOutcome| vec![outcome; submissions.len()];
    if !answer.status.is_success() {
        return all(match errors::http_verdict(answer.status) {
            HttpVerdict::Refused(failure) => SubmitOutcome::Rejected(failure),
            HttpVerdict::Later(failure) => {
                SubmitOutcome::NotSubmitted { failure, retry_after: answer.retry_after }
            }
            HttpVerdict::Unclear(failure) => SubmitOutcome::Ambiguous(failure),
        });
    }
    let data = match answer.json::<Sent<'_>>() {
        Ok(sent) => sent.data,
        Err(reason) => {
            return all(SubmitOutcome::Ambiguous(Failure::with_code(reason, answer.status.as_u16())));
        }
    };
    if data.recipients.is_empty() {
        return all(refused_whole(&data.message));
    }
    by_receiver(&data.recipients, submissions, retry_gateway_errors)
}

/// An answer without recipients: the request was refused as a whole, and nothing was sent.
fn refused_whole(message: &str) -> SubmitOutcome {
    let (verdict, name) = errors::refusal_of_all(message);
    let failure = |reason| Failure { reason, provider_code: name.map(str::to_owned) };
    match verdict {
        Verdict::Refused(reason) => SubmitOutcome::Rejected(failure(reason)),
        Verdict::GatewayFault => SubmitOutcome::not_submitted(failure(Reason::ProviderDown)),
        Verdict::Taken | Verdict::Unlisted => SubmitOutcome::Rejected(failure(Reason::Unknown)),
    }
}

/// Each receiver has a verdict of its own, in any order, so that the number tells whose it is. To a number that
/// is not listed nothing was sent. That is certain only if every number in the list is one of ours: otherwise
/// the missing one may be there, written in a way that we can't read.
fn by_receiver(
    recipients: &[Recipient<'_>],
    submissions: &[&Submission],
    retry_gateway_errors: bool,
) -> Vec<SubmitOutcome> {
    let numbers: BTreeSet<u64> = submissions.iter().map(|submission| submission.receiver.number()).collect();
    let mut listed: BTreeMap<u64, &Recipient<'_>> = BTreeMap::new();
    let mut missing = SubmitOutcome::not_submitted(Failure::new(Reason::BadAnswer));
    for recipient in recipients {
        match recipient.digits().filter(|number| numbers.contains(number)) {
            Some(number) => {
                let kept = listed.entry(number).or_insert(recipient);
                // Listed twice: what has an id may be on its way.
                if kept.id().is_none() {
                    *kept = recipient;
                }
            }
            None => missing = SubmitOutcome::Ambiguous(Failure::new(Reason::BadAnswer)),
        }
    }
    let outcome = |submission: &&Submission| match listed.get(&submission.receiver.number()) {
        Some(recipient) => recipient.outcome(retry_gateway_errors),
        None => missing.clone(),
    };
    submissions.iter().map(outcome).collect()
}

/// The account's balance: `KES 1785.50`.
pub(super) fn balance(answer: &Answer) -> Result<Money, ProbeError> {
    if !answer.status.is_success() {
        return Err(match errors::http_verdict(answer.status) {
            HttpVerdict::Refused(failure) => ProbeError::Refused(failure),
            HttpVerdict::Later(failure) | HttpVerdict::Unclear(failure) => ProbeError::Unavailable(failure),
        });
    }
    let unreadable = |reason| ProbeError::Unavailable(Failure::new(reason));
    let user: User<'_> = answer.json().map_err(unreadable)?;
    money(&user.data.balance).ok_or_else(|| unreadable(Reason::BadAnswer))
}
