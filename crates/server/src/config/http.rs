//! How requests are taken: what can't be.

use serde::Deserialize;

use super::{Http, SettingsError};

/// hyper takes no smaller buffer for a head (hyper, `http1::Builder::max_buf_size`).
const LEAST_HEADER_BYTES: usize = 8_192;

/// Who keeps what was asked relies on that: `tuma send --csv`, which asks for an answer again that was lost.
const LEAST_IDEMPOTENCY_HOURS: u32 = 24;

/// The header in which proxies say who called them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedHeader {
    /// What most of them write.
    #[default]
    XForwardedFor,
    /// The one that was standardized (RFC 7239).
    Forwarded,
}

pub(super) fn validate(http: &Http) -> Result<(), SettingsError> {
    let wrong =
        |key: &str, problem: String| Err(SettingsError::Value { key: format!("http.{key}"), problem });
    if http.max_body_bytes < 1_024 {
        return wrong("max_body_bytes", "must be at least 1024".into());
    }
    if http.idempotency_hours < LEAST_IDEMPOTENCY_HOURS {
        return wrong("idempotency_hours", format!("must be at least {LEAST_IDEMPOTENCY_HOURS}"));
    }
    if http.tls_certificate_file.is_some() != http.tls_key_file.is_some() {
        return wrong("tls_certificate_file", "and http.tls_key_file must be set together".into());
    }
    let times = [
        ("header_timeout_ms", http.header_timeout_ms),
        ("body_timeout_ms", http.body_timeout_ms),
        ("write_timeout_ms", http.write_timeout_ms),
        ("idle_timeout_ms", http.idle_timeout_ms),
    ];
    if let Some((key, _)) = times.iter().find(|(_, milliseconds)| *milliseconds == 0) {
        return wrong(key, "must be more than 0".into());
    }
    if !(LEAST_HEADER_BYTES..=1_048_576).contains(&http.max_header_bytes) {
        return wrong("max_header_bytes", format!("must be from {LEAST_HEADER_BYTES} to 1048576"));
    }
    if !(16..=1_000).contains(&http.max_headers) {
        return wrong("max_headers", "must be from 16 to 1000".into());
    }
    if http.max_connections == 0 {
        return wrong("max_connections", "must be more than 0".into());
    }
    if !(1..=http.max_connections).contains(&http.max_connections_per_address) {
        return wrong("max_connections_per_address", "must be from 1 to http.max_connections".into());
    }
    Ok(())
}
