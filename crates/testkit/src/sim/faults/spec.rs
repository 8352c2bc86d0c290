//! Faults as options of a command line: `[provider:]kind[=value][@when]`.

use std::str::FromStr;

use super::{Fault, FaultRule, RuleError, Scope, Trigger};
use crate::sim::provider::{Provider, ProviderError};

/// Why a text is not a [`FaultRule`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// What stands before the colon is no provider.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// No fault has this name.
    #[error("unknown fault \"{0}\"")]
    Kind(String),
    /// What stands after `=` is missing, not a number, or too many.
    #[error("\"{0}\" is not a value of this fault")]
    Value(String),
    /// What stands after `@` is neither a rate nor a count.
    #[error("\"{0}\" is neither a rate such as 0.1 nor a count such as x3")]
    Trigger(String),
    /// It reads well, and makes no sense.
    #[error(transparent)]
    Rule(#[from] RuleError),
}

impl FromStr for FaultRule {
    type Err = SpecError;

    /// Reads `slow=200@0.1` (one request in ten waits 200 ms), `twilio:accept-then-reset@x3` (the next three),
    /// `429=5` (always, with `Retry-After: 5`).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (provider, rest) = match text.split_once(':') {
            Some((provider, rest)) => (Some(provider.parse::<Provider>()?), rest),
            None => (None, text),
        };
        let (fault, trigger) = rest.split_once('@').unwrap_or((rest, "1"));
        let (kind, value) = match fault.split_once('=') {
            Some((kind, value)) => (kind, Some(value)),
            None => (fault, None),
        };
        let rule = Self {
            fault: read_fault(kind, value)?,
            trigger: read_trigger(trigger)?,
            provider,
            scope: Scope::Submit,
        };
        rule.check()?;
        Ok(rule)
    }
}

fn read_fault(kind: &str, value: Option<&str>) -> Result<Fault, SpecError> {
    let fault = match kind {
        "slow" => Fault::Slow { ms: needed(value)? },
        "429" => Fault::TooManyRequests { retry_after_s: value.map(|_| needed(value)).transpose()? },
        "error" => Fault::Error { status: needed(value)? },
        "refuse" => Fault::Refuse { code: needed(value)? },
        "accept-then-error" => Fault::AcceptThenError { status: needed(value)? },
        "accept-then-stall" => Fault::AcceptThenStall { ms: needed(value)? },
        "receipt-late" => Fault::ReceiptLate { ms: needed(value)? },
        "receipt-duplicate" => Fault::ReceiptDuplicate { copies: needed(value.or(Some("1")))? },
        _ => return read_plain_fault(kind, value),
    };
    Ok(fault)
}

fn read_plain_fault(kind: &str, value: Option<&str>) -> Result<Fault, SpecError> {
    let fault = match kind {
        "500" => Fault::Error { status: 500 },
        "502" => Fault::Error { status: 502 },
        "503" => Fault::Error { status: 503 },
        "unauthorized" => Fault::Unauthorized,
        "reset-before-read" => Fault::ResetBeforeRead,
        "reset-before-accept" => Fault::ResetBeforeAccept,
        "accept-then-reset" => Fault::AcceptThenReset,
        "malformed-answer" => Fault::MalformedAnswer,
        "receipt-early" => Fault::ReceiptEarly,
        "receipt-out-of-order" => Fault::ReceiptOutOfOrder,
        "receipt-never" => Fault::ReceiptNever,
        "receipt-unknown-word" => Fault::ReceiptUnknownWord,
        "undelivered" => Fault::Undelivered,
        _ => return Err(SpecError::Kind(kind.to_owned())),
    };
    match value {
        None => Ok(fault),
        Some(value) => Err(SpecError::Value(value.to_owned())),
    }
}

fn needed<T: FromStr>(value: Option<&str>) -> Result<T, SpecError> {
    let value = value.unwrap_or_default();
    value.parse().ok().ok_or_else(|| SpecError::Value(value.to_owned()))
}

fn read_trigger(text: &str) -> Result<Trigger, SpecError> {
    let read = match text.strip_prefix('x') {
        Some(count) => count.parse().map(Trigger::Next).ok(),
        None => text.parse().map(Trigger::Rate).ok(),
    };
    read.ok_or_else(|| SpecError::Trigger(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_provider_fault_value_and_trigger() {
        for (text, rule) in [
            ("slow=200@0.1", FaultRule::at_rate(0.1, Fault::Slow { ms: 200 })),
            ("twilio:accept-then-reset@x3", FaultRule::next(3, Fault::AcceptThenReset).on(Provider::Twilio)),
            ("429", FaultRule::always(Fault::TooManyRequests { retry_after_s: None })),
            ("429=5@0", FaultRule::at_rate(0.0, Fault::TooManyRequests { retry_after_s: Some(5) })),
            (
                "africastalking:503",
                FaultRule::always(Fault::Error { status: 503 }).on(Provider::AfricasTalking),
            ),
            ("receipt-duplicate", FaultRule::always(Fault::ReceiptDuplicate { copies: 1 })),
        ] {
            assert_eq!(text.parse(), Ok(rule), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_fault() {
        let error = |text: &str| text.parse::<FaultRule>().unwrap_err().to_string();
        assert_eq!(error("vonage:slow=1"), "unknown provider; known are twilio, africastalking");
        assert_eq!(error("sloow=1"), "unknown fault \"sloow\"");
        assert_eq!(error("slow=soon"), "\"soon\" is not a value of this fault");
        assert_eq!(error("502=1"), "\"1\" is not a value of this fault");
        assert_eq!(error("502@often"), "\"often\" is neither a rate such as 0.1 nor a count such as x3");
        assert_eq!(error("502@2"), "a rate is a number from 0 to 1");
        assert_eq!(error("error=404"), "a status is a number from 500 to 599");
    }
}
