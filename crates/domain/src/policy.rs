//! What a scenario asks of the gateway: how long it may take, and what to do when nobody knows.

use std::time::Duration;

use crate::retry::RetryPolicy;
use crate::scenario::{Scenario, closed_set};

closed_set! {
    /// What to do with a message when nobody can find out whether its last attempt left.
    OnAmbiguous ("policy") {
        /// Leave it: it is `failed` with the reason `outcome_unknown`, for a person to decide. The receiver gets
        /// it at most once.
        AtMostOnce => "at_most_once",
        /// Send it again, by another route where there is one. The receiver gets it at least once.
        Resend => "resend",
    }
}

closed_set! {
    /// What to do when a provider has a message and no receipt comes.
    OnSilence ("policy") {
        /// Wait: most of what is silent is delivered.
        Wait => "wait",
        /// Send it by another route, if this one normally reports in time.
        Failover => "failover",
    }
}

/// How messages of one scenario are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScenarioPolicy {
    /// After how long a message that its sender gave no `expires_at` is not submitted any more, counted from when
    /// it was due. `None` for never.
    pub expires_after: Option<Duration>,
    /// How a submission that certainly did not leave is tried again.
    pub retry: RetryPolicy,
    /// What to do when nobody knows.
    pub on_ambiguous: OnAmbiguous,
    /// How long after an ambiguous attempt that is decided, if nothing was found out before.
    pub decide_after: Duration,
    /// What to do when no receipt comes.
    pub on_silence: OnSilence,
    /// How long after a provider took it a message should be delivered.
    pub deliver_within: Duration,
}

impl ScenarioPolicy {
    /// The policy of a scenario unless settings say otherwise.
    pub fn of(scenario: Scenario) -> Self {
        let usual = Self {
            expires_after: None,
            retry: RetryPolicy::default(),
            on_ambiguous: OnAmbiguous::AtMostOnce,
            decide_after: Duration::from_hours(1),
            on_silence: OnSilence::Wait,
            deliver_within: Duration::from_mins(5),
        };
        match scenario {
            // A code that comes late only confuses: its reader has asked for another one by then.
            Scenario::Otp => Self {
                expires_after: Some(Duration::from_secs(30)),
                decide_after: Duration::from_mins(10),
                deliver_within: Duration::from_secs(30),
                ..usual
            },
            Scenario::Transaction => Self {
                expires_after: Some(Duration::from_mins(1)),
                deliver_within: Duration::from_mins(1),
                ..usual
            },
            // A second copy does less harm than none.
            Scenario::Alert => Self {
                on_ambiguous: OnAmbiguous::Resend,
                decide_after: Duration::from_secs(20),
                on_silence: OnSilence::Failover,
                deliver_within: Duration::from_mins(1),
                ..usual
            },
            Scenario::ChamaInvite => {
                Self { on_ambiguous: OnAmbiguous::Resend, deliver_within: Duration::from_mins(30), ..usual }
            }
            Scenario::ChamaWithdrawal | Scenario::General => usual,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_and_codes_are_sent_at_most_once_while_alerts_and_invitations_rather_arrive_twice_than_never() {
        let resent = Scenario::ALL
            .iter()
            .filter(|scenario| ScenarioPolicy::of(**scenario).on_ambiguous == OnAmbiguous::Resend);
        assert_eq!(resent.collect::<Vec<_>>(), [&Scenario::ChamaInvite, &Scenario::Alert]);
    }

    #[test]
    fn only_alerts_fail_over_on_silence() {
        for scenario in Scenario::ALL {
            let fails_over = ScenarioPolicy::of(*scenario).on_silence == OnSilence::Failover;
            assert_eq!(fails_over, *scenario == Scenario::Alert, "{scenario}");
        }
    }
}
