//! Settings of one-time codes.

use std::time::Duration;

use domain::conversion::ConversionPolicy;
use domain::template::Locale;
use domain::verification::CodeLength;
use gateway::settings::VerificationSettings;
use serde::Deserialize;

use super::{Config, SettingsError};

/// The longest that a code may be good, whatever the settings say: it is guessed at for as long.
const LONGEST_TTL_S: u64 = 86_400;

/// One-time codes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each key means")]
pub struct Verifications {
    pub length: u64,
    pub ttl_s: u64,
    pub max_ttl_s: u64,
    pub checks: u16,
    pub resend_same_code: bool,
    pub locale: String,
    pub web_otp_domain: String,
    pub conversion_at_least: u64,
    pub conversion_lags_below_percent: u32,
}

impl Verifications {
    /// What the use cases need to be told.
    pub(super) fn settings(&self) -> VerificationSettings {
        VerificationSettings {
            length: CodeLength::try_from(self.length).unwrap_or(CodeLength::USUAL),
            ttl: Duration::from_secs(self.ttl_s),
            longest_ttl: Duration::from_secs(self.max_ttl_s),
            checks: self.checks,
            resend_same_code: self.resend_same_code,
            locale: self.locale.parse().unwrap_or_else(|_| Locale::english()),
            web_otp_domain: Some(self.web_otp_domain.clone()).filter(|domain| !domain.is_empty()),
            conversion: ConversionPolicy {
                at_least: self.conversion_at_least,
                lags_below_percent: self.conversion_lags_below_percent,
            },
        }
    }
}

/// Refuses values that can't be.
pub(super) fn validate(config: &Config) -> Result<(), SettingsError> {
    let codes = &config.verifications;
    let has_site = codes.web_otp_domain.is_empty() || gateway::verify::is_site(&codes.web_otp_domain);
    let checks = [
        (CodeLength::try_from(codes.length).is_ok(), "length", "must be from 4 to 10"),
        ((30..=LONGEST_TTL_S).contains(&codes.max_ttl_s), "max_ttl_s", "must be from 30 to 86400"),
        ((30..=codes.max_ttl_s).contains(&codes.ttl_s), "ttl_s", "must be from 30 to max_ttl_s"),
        ((1..=10).contains(&codes.checks), "checks", "must be from 1 to 10"),
        (codes.locale.parse::<Locale>().is_ok(), "locale", "must be a language tag, such as en or sw"),
        (has_site, "web_otp_domain", "must be a site's name, such as example.com, or empty"),
        (codes.conversion_at_least > 0, "conversion_at_least", "must be at least 1"),
        (
            codes.conversion_lags_below_percent <= 100,
            "conversion_lags_below_percent",
            "must be from 0 to 100",
        ),
    ];
    match checks.into_iter().find(|(is_right, ..)| !is_right) {
        Some((_, key, problem)) => {
            Err(SettingsError::Value { key: format!("verifications.{key}"), problem: problem.into() })
        }
        None => Ok(()),
    }
}
