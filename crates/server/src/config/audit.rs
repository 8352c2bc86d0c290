//! The audit trail: how long it is kept, and how often it is signed.

use serde::Deserialize;

use super::SettingsError;

/// The fewest days that entries are kept, whatever anybody sets.
const LEAST_DAYS: u32 = 90;

/// The audit trail.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each key means")]
pub struct Audit {
    pub keep_days: u32,
    pub checkpoint_minutes: u32,
}

impl Audit {
    pub(super) fn validate(&self) -> Result<(), SettingsError> {
        let wrong = |key: &str, problem: String| Err(SettingsError::Value { key: key.into(), problem });
        if self.keep_days < LEAST_DAYS {
            return wrong("audit.keep_days", format!("must be at least {LEAST_DAYS}"));
        }
        if !(1..=1_440).contains(&self.checkpoint_minutes) {
            return wrong("audit.checkpoint_minutes", "must be from 1 to 1440".into());
        }
        Ok(())
    }
}
