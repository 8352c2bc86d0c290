//! What is counted of callers.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};

/// Why nobody could be found behind a request. The caller is told none of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// It shows no key and no token.
    Missing,
    /// What it shows is neither.
    Malformed,
    /// There is no such key.
    UnknownKey,
    /// The key, or this secret of it, has ended by itself.
    ExpiredKey,
    /// The key was revoked.
    RevokedKey,
    /// The token is not valid: its signature, its issuer, its audience or its claims.
    BadToken,
    /// The token has expired.
    ExpiredToken,
}

impl Failure {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::UnknownKey => "unknown_key",
            Self::ExpiredKey => "expired_key",
            Self::RevokedKey => "revoked_key",
            Self::BadToken => "bad_token",
            Self::ExpiredToken => "expired_token",
        }
    }
}

/// All instruments.
#[derive(Debug)]
pub(super) struct Figures {
    failures: Counter<u64>,
    refused: Counter<u64>,
}

impl Figures {
    pub(super) fn new(meter: &Meter) -> Self {
        let counter =
            |name: &'static str, help: &'static str| meter.u64_counter(name).with_description(help).build();
        Self {
            failures: counter(
                "tuma.auth.failures",
                "Requests whose caller could not be found out, by reason.",
            ),
            refused: counter("tuma.auth.refused", "Those of them whose address had failed too often."),
        }
    }

    pub(super) fn failed(&self, failure: Failure) {
        self.failures.add(1, &[KeyValue::new("reason", failure.as_str())]);
    }

    pub(super) fn refused(&self) {
        self.refused.add(1, &[]);
    }
}
