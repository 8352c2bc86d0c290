//! `Prefer: wait=N` (RFC 7240, section 4.3).

use std::time::Duration;

use http::HeaderMap;

use crate::http::problem::{Code, Problem};

/// The longest wait that is granted, in seconds.
const MAX_WAIT_S: u64 = 30;

/// How long the caller wants to wait for a result, at most 30 seconds; `None` if it does not say.
pub(in crate::http) fn wait(headers: &HeaderMap) -> Result<Option<Duration>, Problem> {
    let preferences = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    for preference in preferences.flat_map(|value| value.split(',')) {
        // Parameters of a preference follow a semicolon; wait has none.
        let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
        if name.trim().eq_ignore_ascii_case("wait") {
            let seconds = value.split(';').next().unwrap_or_default().trim().trim_matches('"');
            let seconds: u64 = seconds.parse().map_err(|_not_a_number| {
                Problem::new(Code::InvalidHeader, "Prefer: wait must be a whole number of seconds")
            })?;
            return Ok(Some(Duration::from_secs(seconds.min(MAX_WAIT_S))));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait_of(value: &str) -> Result<Option<Duration>, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert("prefer", value.parse().unwrap());
        wait(&headers)
    }

    #[test]
    fn a_wait_is_found_among_other_preferences_and_capped() {
        for (value, seconds) in [("wait=5", 5), ("respond-async, Wait=\"10\"", 10), ("wait=3600", 30)] {
            assert_eq!(wait_of(value).unwrap(), Some(Duration::from_secs(seconds)), "{value}");
        }
        assert_eq!(wait_of("respond-async").unwrap(), None);
        assert!(wait_of("wait=soon").is_err());
    }
}
