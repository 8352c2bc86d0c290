//! What callers are told of limits, in headers (draft-ietf-httpapi-ratelimit-headers-10).

use std::time::Duration;

use gateway::limits::Allows;
use gateway::request::Remaining;
use http::{HeaderName, HeaderValue};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");

/// `RateLimit-Policy` and `RateLimit` of the scarcest limit: its quota and window, what is left of it, and in how many
/// seconds it changes.
pub(super) fn headers(remaining: &Remaining) -> Vec<(HeaderName, HeaderValue)> {
    let Remaining { limit, remaining, whole_in } = remaining;
    // A cap counts money: what is left of it is nobody's business but ours.
    let Allows::Messages { limit: quota, period } = limit.allows else { return Vec::new() };
    let policy = format!("\"{}\";q={quota};w={}", limit.name, period.as_secs());
    let state = format!("\"{}\";r={remaining};t={}", limit.name, whole_seconds(*whole_in));
    let values = [(POLICY, policy), (STATE, state)]
        .map(|(name, text)| HeaderValue::try_from(text).map(|value| (name, value)));
    values.into_iter().flatten().collect()
}

/// Rounded up: whoever comes then is not too early.
pub(super) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}
