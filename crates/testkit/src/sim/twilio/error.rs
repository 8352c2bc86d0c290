//! How Twilio words its refusals.
//!
//! Codes and titles are those of Twilio's error dictionary (twilio.com/docs/api/errors); the body is the one of
//! all answers of the API of 2010 that are not 2xx.

use std::fmt::Write;

use hyper::StatusCode;

use crate::serve::Answer;
use crate::sim::form::{HTML, JSON, answer, push_json};

/// What happens to a message that was taken and fails later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Late {
    /// Never left Twilio.
    Failed,
    /// Left, and did not arrive.
    Undelivered,
}

/// An error that refuses a request: code, HTTP status, message.
type Refusal = (u32, u16, &'static str);

const REFUSALS: &[Refusal] = &[
    (10001, 400, "Account is not active"),
    (20001, 400, "Invalid parameter"),
    (20003, 401, "Authentication Error - invalid username"),
    (20004, 405, "Method not allowed"),
    (20005, 403, "Account not active"),
    (20006, 403, "Access Denied"),
    (20008, 403, "Resource not accessible with Test Account Credentials"),
    (20009, 422, "Cannot delete this resource before it is complete"),
    (20403, 403, "Forbidden"),
    (20422, 400, "Invalid Parameter"),
    (20429, 429, "Too Many Requests"),
    (20500, 500, "An internal server error has occurred"),
    (20503, 503, "Service is temporarily unavailable"),
    (21211, 400, "Invalid 'To' Phone Number"),
    (21212, 400, "Invalid 'From' Number"),
    (
        21408,
        400,
        "Permission to send an SMS has not been enabled for the region indicated by the 'To' number",
    ),
    (21421, 400, "PhoneNumber is invalid"),
    (21601, 400, "Phone number is not a valid SMS-capable/MMS-capable inbound phone number"),
    (21602, 400, "Message body is required."),
    (21603, 400, "A 'From' phone number is required."),
    (21604, 400, "A 'To' phone number is required."),
    (21606, 400, "The 'From' phone number provided is not a valid message-capable Twilio phone number"),
    (21607, 400, "The 'From' number is not a valid, SMS-capable Twilio number"),
    (21608, 400, "The number is unverified. Trial accounts cannot send messages to unverified numbers"),
    (21609, 400, "Invalid 'StatusCallback' URL"),
    (21610, 400, "Attempt to send to unsubscribed recipient"),
    (21611, 400, "This 'From' number has exceeded the maximum number of queued messages"),
    (21612, 400, "Message cannot be sent with the current combination of 'To' and/or 'From' parameters"),
    (21614, 400, "'To' number is not a valid mobile number"),
    (21616, 400, "The 'From' number matches multiple numbers for your account"),
    (21617, 400, "The concatenated message body exceeds the 1600 character limit"),
    (21618, 400, "The message body cannot be sent"),
    (21619, 400, "Unable to create record"),
    (21620, 400, "Invalid media URL(s)"),
    (21623, 400, "Number of media files exceeds allowed limit"),
    (21624, 400, "Invalid validity period value"),
    (21701, 400, "The Messaging Service does not exist"),
    (21703, 400, "The Messaging Service does not have a phone number available to send a message"),
    (21709, 400, "Alpha Sender ID is not authorised for this Messaging Service"),
    (30409, 400, "This message cannot be canceled"),
];

const FAILURES: &[(u32, Late)] = &[
    (30001, Late::Failed),
    (30002, Late::Failed),
    (30003, Late::Undelivered),
    (30004, Late::Undelivered),
    (30005, Late::Undelivered),
    (30006, Late::Undelivered),
    (30007, Late::Undelivered),
    (30008, Late::Undelivered),
    (30010, Late::Failed),
    (30017, Late::Undelivered),
    (30018, Late::Undelivered),
    (30019, Late::Undelivered),
    (30020, Late::Failed),
    (30021, Late::Failed),
    (30022, Late::Failed),
    (30023, Late::Failed),
    (30024, Late::Undelivered),
    (30036, Late::Failed),
    (30410, Late::Failed),
];

/// Whether a code is one that refuses a message when it is sent.
pub(crate) fn refuses(code: u32) -> bool {
    code >= 21_000 && REFUSALS.iter().any(|&(known, ..)| known == code)
}

/// How a message with this code fails after it was taken.
pub(crate) fn fails_late(code: u32) -> Option<Late> {
    FAILURES.iter().find(|&&(known, _)| known == code).map(|&(_, late)| late)
}

/// The refusal for `code`, with its usual message.
pub(crate) fn refusal(code: u32) -> Answer {
    let known = REFUSALS.iter().find(|&&(known, ..)| known == code);
    let &(_, status, message) = known.unwrap_or(&(code, 400, "Refused by the simulator"));
    refusal_saying(code, status, message, None)
}

/// The number in `To` is not one.
pub(crate) fn bad_receiver(to: &str) -> Answer {
    refusal_saying(21211, 400, &format!("The 'To' number {to} is not a valid phone number."), None)
}

/// No account has these credentials.
pub(crate) fn unauthorized() -> Answer {
    let detail = "Your AccountSid or AuthToken was incorrect.";
    refusal_saying(20003, 401, "Authentication Error - invalid username", Some(detail))
}

/// There is nothing at this path.
pub(crate) fn not_found(path: &str) -> Answer {
    refusal_saying(20404, 404, &format!("The requested resource {path} was not found"), None)
}

/// Something broke. What stands before Twilio's own servers does not answer in JSON.
pub(crate) fn broken(status: StatusCode) -> Answer {
    match status.as_u16() {
        500 => refusal(20500),
        503 => refusal(20503),
        _ => answer(status, HTML, format!("<html><body><h1>{status}</h1></body></html>")),
    }
}

fn refusal_saying(code: u32, status: u16, message: &str, detail: Option<&str>) -> Answer {
    let mut body = String::with_capacity(256);
    // Writing to a String does not fail.
    let _ = write!(body, "{{\"code\":{code},");
    if let Some(detail) = detail {
        body.push_str("\"detail\":");
        push_json(&mut body, detail);
        body.push(',');
    }
    body.push_str("\"message\":");
    push_json(&mut body, message);
    let _ =
        write!(body, ",\"more_info\":\"https://www.twilio.com/docs/errors/{code}\",\"status\":{status}}}");
    answer(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST), JSON, body)
}
