//! How many of the codes that a route was given were typed in again: what no provider can say of itself.
//!
//! A provider may report codes as delivered that nobody ever reads. So verifications are counted by route and country,
//! and a route whose codes are verified far less often than they should be stands behind others for codes.

use std::fmt;

/// Codes that a route was given, once it is known what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Conversion {
    /// How many.
    pub sent: u64,
    /// How many of these were typed in again.
    pub verified: u64,
}

impl Conversion {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            sent: self.sent.saturating_add(other.sent),
            verified: self.verified.saturating_add(other.verified),
        }
    }

    /// The share that was verified, of as many as tell anything.
    pub fn share(self, at_least: u64) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a share of counts far below 2^52")]
        (self.sent >= at_least.max(1)).then(|| self.verified as f64 / self.sent as f64)
    }
}

impl fmt::Display for Conversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} codes verified lately", self.verified, self.sent)
    }
}

/// When a route lags behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConversionPolicy {
    /// How many codes a route must have been given lately before they tell anything.
    pub at_least: u64,
    /// Percent of the share that is expected, below which a route lags; 0 for never.
    pub lags_below_percent: u32,
}

/// What is known of a route into a country.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Expectation {
    /// What came of its codes lately.
    pub lately: Conversion,
    /// The share that the best of the other routes reaches there lately, if any has enough to tell.
    pub others: Option<f64>,
    /// The share that is usual in that country, over days and all routes.
    pub usual: Option<f64>,
}

impl ConversionPolicy {
    /// Whether a route's codes are verified far less often than they should be.
    pub fn lags(self, known: &Expectation) -> bool {
        let Some(share) = known.lately.share(self.at_least) else { return false };
        let expected = known.others.unwrap_or(0.0).max(known.usual.unwrap_or(0.0));
        share < expected * f64::from(self.lags_below_percent) / 100.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: ConversionPolicy = ConversionPolicy { at_least: 50, lags_below_percent: 50 };

    fn known(sent: u64, verified: u64) -> Expectation {
        Expectation { lately: Conversion { sent, verified }, others: None, usual: Some(0.8) }
    }

    #[test]
    fn a_route_lags_when_half_of_the_usual_share_is_missing() {
        assert!(POLICY.lags(&known(100, 39)));
        assert!(!POLICY.lags(&known(100, 40)));
    }

    #[test]
    fn a_few_codes_tell_nothing() {
        assert!(!POLICY.lags(&known(49, 0)));
        assert!(POLICY.lags(&known(50, 0)));
        assert!(!POLICY.lags(&Expectation { usual: None, ..known(50, 0) }), "nothing is expected");
    }

    #[test]
    fn what_others_reach_counts_where_it_is_better_than_usual() {
        let better = Expectation { others: Some(0.9), ..known(100, 44) };
        assert!(POLICY.lags(&better));
        assert!(!POLICY.lags(&Expectation { others: Some(0.1), ..known(100, 44) }));
    }

    #[test]
    fn nothing_lags_where_it_is_switched_off() {
        assert!(!ConversionPolicy { lags_below_percent: 0, ..POLICY }.lags(&known(100, 0)));
    }
}
