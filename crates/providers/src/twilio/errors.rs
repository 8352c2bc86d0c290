//! Twilio's error codes and what each one means for a message.

use domain::attempt::{Failure, Reason, SubmitOutcome};
use http::StatusCode;

use crate::client::Answer;

/// What an error code says when it answers a request to send.
#[derive(Clone, Copy)]
enum End {
    /// Refused: not sent, and the same request would be refused again.
    Refused,
    /// Not taken for now: not sent, to be tried again.
    Later,
    /// Perhaps taken.
    Unclear,
}

use End::{Later, Refused, Unclear};

/// Every code that we know, by number. Each has a page, `https://www.twilio.com/docs/api/errors/<code>`, whose
/// advice is what stands here.
///
/// The codes from 30001 on, and those of channels (63xxx), usually come in a status callback, where only the
/// reason counts. A code that is not here, and there are new ones every year, is `unknown` and not tried again.
#[rustfmt::skip]
const CODES: &[(u32, Reason, End)] = &[
    // Accounts, callbacks and requests at large.
    (10001, Reason::Balance, Refused),              // account is not active: balance at or below zero
    (11200, Reason::Config, Refused),               // our callback URL failed
    (11205, Reason::Config, Refused),               // our callback URL did not answer
    (14107, Reason::RateLimited, Later),            // send rate limit exceeded
    (20001, Reason::Config, Refused),               // unknown or invalid parameter
    (20003, Reason::Credential, Refused),           // permission denied
    (20005, Reason::Balance, Refused),              // account not active
    (20006, Reason::Credential, Refused),           // access denied
    (20008, Reason::Config, Refused),               // test credentials
    (20403, Reason::Credential, Refused),           // forbidden
    (20404, Reason::Config, Refused),               // not found: another account's SID in the path
    (20422, Reason::Config, Refused),               // invalid parameter
    (20429, Reason::RateLimited, Later),            // too many requests: never processed
    (20500, Reason::ProviderDown, Unclear),         // internal server error
    (20503, Reason::ProviderDown, Unclear),         // service unavailable
    // Creating a message.
    (21211, Reason::InvalidRecipient, Refused),     // invalid To
    (21212, Reason::SenderNotAllowed, Refused),     // invalid From
    (21401, Reason::Config, Refused),               // invalid phone number
    (21402, Reason::Config, Refused),               // invalid URL
    (21403, Reason::Config, Refused),               // invalid method
    (21408, Reason::DestinationNotServed, Refused), // geo permission is off for the country
    (21421, Reason::SenderNotAllowed, Refused),     // From is invalid
    (21601, Reason::SenderNotAllowed, Refused),     // From can't send SMS
    (21602, Reason::Config, Refused),               // no body
    (21603, Reason::Config, Refused),               // no sender
    (21604, Reason::Config, Refused),               // no To
    (21606, Reason::SenderNotAllowed, Refused),     // From is not ours, or can't send SMS there
    (21607, Reason::SenderNotAllowed, Refused),     // From is not of this sandbox
    (21608, Reason::DestinationNotServed, Refused), // a trial account sends to verified numbers only
    (21609, Reason::Config, Refused),               // invalid StatusCallback
    (21610, Reason::OptedOut, Refused),             // the receiver wrote STOP
    (21611, Reason::RateLimited, Later),            // the sender's queue is full, although HTTP says 400
    (21612, Reason::DestinationNotServed, Refused), // To can't be reached from this From
    (21614, Reason::InvalidRecipient, Refused),     // To is no mobile number
    (21616, Reason::Config, Refused),               // From matches several numbers
    (21617, Reason::Content, Refused),              // body over 1600 characters
    (21618, Reason::Content, Refused),              // body can't be sent
    (21619, Reason::ProviderDown, Unclear),         // could not create the record
    (21620, Reason::Content, Refused),              // invalid media URL
    (21621, Reason::Content, Refused),              // media not allowed
    (21623, Reason::Content, Refused),              // too many media
    (21624, Reason::Config, Refused),               // invalid validity period
    (21626, Reason::Config, Refused),               // invalid StatusCallback
    (21627, Reason::Config, Refused),               // invalid MaxPrice
    (21654, Reason::Config, Refused),               // invalid ContentSid
    (21655, Reason::Config, Refused),               // invalid ContentSid
    (21656, Reason::Config, Refused),               // invalid ContentVariables
    (21701, Reason::Config, Refused),               // no such Messaging Service
    (21702, Reason::Config, Refused),               // the Messaging Service can't be used
    (21703, Reason::Config, Refused),               // the Messaging Service has no sender
    (21704, Reason::Config, Refused),               // the Messaging Service has no sender
    (21705, Reason::Config, Refused),               // invalid Messaging Service
    (21709, Reason::SenderNotAllowed, Refused),     // this name is not of the Messaging Service
    (21900, Reason::Config, Refused),               // registration of templates (India)
    (21901, Reason::Config, Refused),               // registration of templates (India)
    (21902, Reason::Config, Refused),               // invoice tag
    // Its way through the network.
    (30001, Reason::RateLimited, Later),            // queue overflow
    (30002, Reason::Balance, Refused),              // account suspended
    (30003, Reason::Unreachable, Refused),          // phone off or out of reach
    (30004, Reason::InvalidRecipient, Refused),     // barred at the receiver's side
    (30005, Reason::InvalidRecipient, Refused),     // unknown number
    (30006, Reason::InvalidRecipient, Refused),     // landline, or a carrier that can't be reached
    (30007, Reason::Content, Refused),              // filtered: the same text would be again
    (30008, Reason::Unknown, Refused),              // the carrier does not say
    (30010, Reason::Config, Refused),               // over MaxPrice
    (30012, Reason::Config, Refused),               // validity too short
    (30013, Reason::Config, Refused),               // validity too long
    (30017, Reason::ProviderDown, Refused),         // carrier congested
    (30018, Reason::SenderNotAllowed, Refused),     // sender has to be registered in the country
    (30019, Reason::Content, Refused),              // too large for the carrier
    (30020, Reason::ProviderDown, Unclear),         // internal failure: scheduling
    (30021, Reason::ProviderDown, Unclear),         // internal failure: Messaging Service
    (30022, Reason::RateLimited, Later),            // limits of the United States' 10DLC
    (30023, Reason::RateLimited, Later),            // limits of the United States' 10DLC
    (30024, Reason::SenderNotAllowed, Refused),     // numeric sender not provisioned in the country
    (30027, Reason::RateLimited, Later),            // limits of the United States' 10DLC
    (30032, Reason::SenderNotAllowed, Refused),     // toll-free number not verified
    (30036, Reason::Expired, Refused),              // validity period ran out
    (30409, Reason::Config, Refused),               // can't be canceled any more
    (30410, Reason::Timeout, Unclear),              // Twilio's own provider did not answer
    // Channels, and an account's end.
    (63017, Reason::RateLimited, Later),            // rate limit of a channel
    (63018, Reason::RateLimited, Later),            // rate limit of a channel
    (90010, Reason::Balance, Refused),              // account is not active
];

fn known(code: u32) -> Option<(Reason, End)> {
    let index = CODES.binary_search_by_key(&code, |(known, ..)| *known).ok()?;
    CODES.get(index).map(|(_, reason, end)| (*reason, *end))
}

/// What the error code of a callback, or of a message that was looked up, says.
pub(super) fn delivery_failure(code: Option<&str>) -> Failure {
    match code {
        Some(code) => {
            let reason = code.parse().ok().and_then(known).map_or(Reason::Unknown, |(reason, _)| reason);
            Failure::with_code(reason, code)
        }
        None => Failure::new(Reason::Unknown),
    }
}

/// What an answer other than 2xx to a request to send says.
///
/// Error bodies have a `code`; the HTTP status stands in for it where there is none. The status decides where
/// it is one of those that do not depend on the code: 5xx may come after the message was stored, whatever the
/// body says, while 429 is answered before anything is processed (Twilio, error 20429).
pub(super) fn refusal(answer: &Answer, code: Option<u32>) -> SubmitOutcome {
    let known = code.and_then(known);
    let (reason, end) = match answer.status {
        StatusCode::TOO_MANY_REQUESTS => (Reason::RateLimited, Later),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => (Reason::Timeout, Unclear),
        status if status.is_server_error() => {
            (known.map_or(Reason::ProviderDown, |(reason, _)| reason), Unclear)
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => known.unwrap_or((Reason::Credential, Refused)),
        StatusCode::NOT_FOUND => known.unwrap_or((Reason::Config, Refused)),
        status if status.is_client_error() => known.unwrap_or((Reason::Unknown, Refused)),
        // A redirect, which Twilio does not send: a proxy that may have passed the request on.
        _ => (Reason::BadAnswer, Unclear),
    };
    let failure = Failure::with_code(reason, code.unwrap_or_else(|| u32::from(answer.status.as_u16())));
    match end {
        Refused => SubmitOutcome::Rejected(failure),
        Later => SubmitOutcome::NotSubmitted { failure, retry_after: answer.retry_after },
        Unclear => SubmitOutcome::Ambiguous(failure),
    }
}

/// What a message says that Twilio took and gave up at once.
pub(super) fn failed_at_once(code: Option<&str>) -> SubmitOutcome {
    let failure = delivery_failure(code);
    match code.and_then(|code| known(code.parse().ok()?)) {
        Some((_, Later)) => SubmitOutcome::not_submitted(failure),
        Some((_, Unclear)) => SubmitOutcome::Ambiguous(failure),
        Some((_, Refused)) | None => SubmitOutcome::Rejected(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_in_order_so_that_they_are_found() {
        assert!(CODES.is_sorted_by(|(a, ..), (b, ..)| a < b));
    }

    #[test]
    fn a_code_that_nobody_knows_is_unknown_and_kept() {
        assert_eq!(delivery_failure(Some("30999")), Failure::with_code(Reason::Unknown, "30999"));
        assert_eq!(delivery_failure(None), Failure::new(Reason::Unknown));
    }
}
