//! What Africa's Talking says: the status codes of receivers, the words of delivery reports, and the plain
//! texts of its HTTP errors (those of the akka-http server behind it).

use hyper::StatusCode;
use hyper::header::{HeaderValue, WWW_AUTHENTICATE};

use crate::serve::Answer;
use crate::sim::form::{HTML, TEXT, answer};

/// A status code of one receiver, which is not an HTTP status.
pub(crate) type Code = u32;

pub(crate) const PROCESSED: Code = 100;
pub(crate) const SENT: Code = 101;
pub(crate) const QUEUED: Code = 102;
pub(crate) const INVALID_PHONE_NUMBER: Code = 403;
pub(crate) const INSUFFICIENT_BALANCE: Code = 405;

/// The codes that refuse a receiver, with their names (page "SMS sending").
const REFUSALS: &[(Code, &str)] = &[
    (401, "RiskHold"),
    (402, "InvalidSenderId"),
    (403, "InvalidPhoneNumber"),
    (404, "UnsupportedNumberType"),
    (405, "InsufficientBalance"),
    (406, "UserInBlacklist"),
    (407, "CouldNotRoute"),
    (409, "DoNotDisturbRejection"),
    (500, "InternalServerError"),
    (501, "GatewayError"),
    (502, "RejectedByGateway"),
];

/// Whether a code is one that refuses a receiver.
pub(crate) fn refuses(code: Code) -> bool {
    REFUSALS.iter().any(|&(known, _)| known == code)
}

/// The word beside a code: `Success` for all that accept.
pub(crate) fn name(code: Code) -> &'static str {
    if matches!(code, PROCESSED | SENT | QUEUED) {
        return "Success";
    }
    REFUSALS.iter().find(|&&(known, _)| known == code).map_or("Unknown", |&(_, name)| name)
}

/// How a message ends: a status word of the delivery report, and a reason (page "delivery reports").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) status: &'static str,
    pub(crate) failure_reason: Option<&'static str>,
}

pub(crate) const DELIVERED: Ending = Ending { status: "Success", failure_reason: None };

/// How a message ends whose number ends in these six digits.
pub(crate) fn ending(last_six: u32) -> Ending {
    let (status, failure_reason) = match last_six {
        921 => ("Failed", Some("DeliveryFailure")),
        922 => ("Failed", Some("UserInBlackList")),
        923 => ("Failed", Some("DoNotDisturbRejection")),
        924 => ("Failed", Some("UserDoesNotExist")),
        925 => ("Failed", Some("NotNetworkSubcriber")),
        926 => ("Failed", Some("UserIsInactive")),
        927 => ("Failed", Some("UserAccountSuspended")),
        931 => ("Rejected", Some("DeliveryFailure")),
        932 => ("Expired", None),
        933 => ("AbsentSubscriber", None),
        _ => return DELIVERED,
    };
    Ending { status, failure_reason }
}

/// The network that a number most likely belongs to. The real one knows better: numbers move.
pub(crate) fn network_code(number: &str) -> &'static str {
    const NETWORKS: [(&str, &str); 6] = [
        ("+254", "63902"),
        ("+256", "64110"),
        ("+255", "64004"),
        ("+234", "62130"),
        ("+250", "63510"),
        ("+27", "65501"),
    ];
    // 99999 is Athena, the network of the sandbox.
    NETWORKS.iter().find(|(prefix, _)| number.starts_with(prefix)).map_or("99999", |&(_, code)| code)
}

/// The key is wrong, or not the user's.
pub(crate) fn unauthorized() -> Answer {
    challenge("The supplied authentication is invalid")
}

/// There is no key.
pub(crate) fn keyless() -> Answer {
    challenge("The request requires authentication, which was not supplied with the request")
}

fn challenge(text: &'static str) -> Answer {
    let mut answer = plain(StatusCode::UNAUTHORIZED, text);
    let realm = HeaderValue::from_static("Basic realm=\"api\",charset=UTF-8");
    answer.headers_mut().insert(WWW_AUTHENTICATE, realm);
    answer
}

pub(crate) fn missing_field(name: &str) -> Answer {
    plain(StatusCode::BAD_REQUEST, format!("Request is missing required form field '{name}'"))
}

pub(crate) fn missing_parameter(name: &str) -> Answer {
    plain(StatusCode::NOT_FOUND, format!("Request is missing required query parameter '{name}'"))
}

pub(crate) fn malformed(detail: &str) -> Answer {
    plain(StatusCode::BAD_REQUEST, format!("The request content was malformed:\n{detail}"))
}

pub(crate) fn unsupported_type(expected: &str) -> Answer {
    let text = format!("The request's Content-Type is not supported. Expected:\n{expected}");
    plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, text)
}

pub(crate) fn not_found() -> Answer {
    plain(StatusCode::NOT_FOUND, "The requested resource could not be found.")
}

pub(crate) fn method_not_allowed(supported: &str) -> Answer {
    let text = format!("HTTP method not allowed, supported methods: {supported}");
    plain(StatusCode::METHOD_NOT_ALLOWED, text)
}

/// It is not known what Africa's Talking says when it is asked too often.
pub(crate) fn too_many_requests() -> Answer {
    plain(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests")
}

/// Something broke. What stands before its servers answers in HTML.
pub(crate) fn broken(status: StatusCode) -> Answer {
    match status {
        StatusCode::INTERNAL_SERVER_ERROR => plain(status, "There was an internal server error."),
        _ => answer(status, HTML, format!("<html><body><h1>{status}</h1></body></html>")),
    }
}

fn plain(status: StatusCode, text: impl Into<bytes::Bytes>) -> Answer {
    answer(status, TEXT, text)
}
