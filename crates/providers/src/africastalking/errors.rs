//! Africa's Talking's codes and names, and what each one means for a message.

use domain::attempt::{Failure, Reason};
use http::StatusCode;

/// What a verdict does to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Taken.
    Taken,
    /// Refused: not sent, and the same request would be refused again.
    Refused(Reason),
    /// A fault on the way to the operator.
    GatewayFault,
    /// Not in the table.
    Unlisted,
}

use Verdict::{GatewayFault, Refused, Taken};

/// Verdicts on one receiver, as code and name (Africa's Talking, "Sending SMS", status codes). They are not
/// HTTP statuses: the HTTP status is 201 with each of them. The code decides, as the names are not spelled alike
/// everywhere; the names are for a request that is refused as a whole, which has no code.
const VERDICTS: &[(u16, &str, Verdict)] = &[
    (100, "Processed", Taken),
    (101, "Sent", Taken),
    (102, "Queued", Taken),
    (401, "RiskHold", Refused(Reason::RiskHold)),
    (402, "InvalidSenderId", Refused(Reason::SenderNotAllowed)),
    (403, "InvalidPhoneNumber", Refused(Reason::InvalidRecipient)),
    (404, "UnsupportedNumberType", Refused(Reason::InvalidRecipient)),
    (405, "InsufficientBalance", Refused(Reason::Balance)),
    // Wrote STOP, or blocks all promotional messages at the operator.
    (406, "UserInBlacklist", Refused(Reason::OptedOut)),
    (407, "CouldNotRoute", Refused(Reason::DestinationNotServed)),
    (409, "DoNotDisturbRejection", Refused(Reason::OptedOut)),
    (500, "InternalServerError", GatewayFault),
    (501, "GatewayError", GatewayFault),
    (502, "RejectedByGateway", GatewayFault),
];

/// Why a message was not delivered, as a report says it (Africa's Talking, "Delivery reports", failure reasons;
/// both spellings of the subscriber are about). Compared without regard to case: it is `UserInBlackList` here
/// and `UserInBlacklist` in the answer to a request.
const FAILURE_REASONS: &[(&str, Reason)] = &[
    ("UserInBlackList", Reason::OptedOut),
    ("DoNotDisturbRejection", Reason::OptedOut),
    ("UserDoesNotExist", Reason::InvalidRecipient),
    ("NotNetworkSubcriber", Reason::InvalidRecipient),
    ("NotNetworkSubscriber", Reason::InvalidRecipient),
    ("UserIsInactive", Reason::InvalidRecipient),
    ("UserAccountSuspended", Reason::InvalidRecipient),
    ("DeliveryFailure", Reason::Unreachable),
    // Of premium messages, for which the receiver pays.
    ("InsufficientCredit", Reason::Config),
    ("InvalidLinkId", Reason::Config),
    ("UserNotSubscribedToProduct", Reason::Config),
];

/// What the code of a receiver says.
pub(super) fn verdict(code: u16) -> Verdict {
    VERDICTS.iter().find(|(known, ..)| *known == code).map_or(Verdict::Unlisted, |(.., verdict)| *verdict)
}

/// What the name says by which a request was refused as a whole: nothing was sent to anybody.
///
/// A text that is no name of the table is not kept: it may be a sentence.
pub(super) fn refusal_of_all(name: &str) -> (Verdict, Option<&'static str>) {
    let known = VERDICTS.iter().find(|(_, known, _)| known.eq_ignore_ascii_case(name.trim()));
    known.map_or((Verdict::Unlisted, None), |(_, name, verdict)| (*verdict, Some(*name)))
}

/// What the failure reason of a report says; `None` for one that is not in the table.
pub(super) fn failure_reason(name: &str) -> Option<Reason> {
    FAILURE_REASONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, reason)| *reason)
}

/// What an HTTP status other than 2xx says of a request.
pub(super) enum HttpVerdict {
    /// Refused: not sent.
    Refused(Failure),
    /// Not sent, to be tried again.
    Later(Failure),
    /// Perhaps sent.
    Unclear(Failure),
}

/// Errors of HTTP come as plain text, of which only the status is used.
pub(super) fn http_verdict(status: StatusCode) -> HttpVerdict {
    let failure = |reason| Failure::with_code(reason, status.as_u16());
    match status.as_u16() {
        401 | 403 => HttpVerdict::Refused(failure(Reason::Credential)),
        400 | 404 | 405 | 413 | 415 => HttpVerdict::Refused(failure(Reason::Config)),
        408 | 425 => HttpVerdict::Unclear(failure(Reason::Timeout)),
        // The documentation describes this verdict as a status of HTTP and shows it as a code in the body.
        409 => HttpVerdict::Refused(failure(Reason::OptedOut)),
        429 => HttpVerdict::Later(failure(Reason::RateLimited)),
        // From the load balancer, which found nobody to pass the request to.
        503 => HttpVerdict::Later(failure(Reason::ProviderDown)),
        400..=499 => HttpVerdict::Refused(failure(Reason::Unknown)),
        500..=599 => HttpVerdict::Unclear(failure(Reason::ProviderDown)),
        _ => HttpVerdict::Unclear(failure(Reason::BadAnswer)),
    }
}
