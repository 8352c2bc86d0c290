//! What happened, in words that can be read aloud to somebody who has never seen this program.

use domain::attempt::{Failure, Reason};
use domain::receipt::ReceiptStatus;

/// Why something did not go as hoped, with the provider's code if there is one.
pub(super) fn failure(failure: &Failure) -> String {
    let words = reason(failure.reason);
    match &failure.provider_code {
        Some(code) => format!("{words} (code {code})"),
        None => words.into(),
    }
}

const fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::InvalidRecipient => "the number can't receive an SMS",
        Reason::Unreachable => "the phone is off or out of reach",
        Reason::OptedOut => "the receiver does not want messages from this sender",
        Reason::SenderNotAllowed => "the sender ID is not registered or not allowed there",
        Reason::DestinationNotServed => "the provider does not serve the destination from this account",
        Reason::Content => "the text was refused or filtered",
        Reason::Config => "the request was wrong: a setting, or our mistake",
        Reason::Credential => "the provider refused the credentials",
        Reason::Balance => "the account has no money left or is suspended",
        Reason::RiskHold => "the provider's risk control holds it",
        Reason::RateLimited => "there were too many requests",
        Reason::ProviderDown => "the provider can't be reached or is out of order",
        Reason::OperatorDown => "the mobile network can't take it now",
        Reason::Timeout => "no answer came in time",
        Reason::ConnectionLost => "the connection broke before the answer",
        Reason::BadAnswer => "the answer could not be understood",
        Reason::Crashed => "the gateway stopped before the answer was recorded",
        Reason::Expired => "its time ran out",
        Reason::OutcomeUnknown => "nobody could find out whether the provider has it",
        Reason::NoReceipt => "no delivery receipt came",
        Reason::TextErased => "the text was erased before the message left: send a new one",
        Reason::Unknown => "the provider gave no reason that we know",
    }
}

/// What a provider's word means.
pub(super) const fn receipt(status: Option<ReceiptStatus>) -> &'static str {
    match status {
        Some(ReceiptStatus::Sent) => "it is on its way",
        Some(ReceiptStatus::Delivered) => "the phone has it",
        Some(ReceiptStatus::Undelivered) => "it could not be delivered",
        Some(ReceiptStatus::Failed) => "it was refused after it had been taken",
        None => "a word that we don't know, which changes nothing",
    }
}
