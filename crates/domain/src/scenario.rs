//! What a message is for, and which lane of the queue that puts it in.

macro_rules! closed_set {
    ($(#[$doc:meta])* $name:ident ($what:literal) { $($(#[$variant_doc:meta])* $variant:ident => $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
        )]
        pub enum $name { $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)+ }

        impl $name {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word used in the API, the store, metrics and logs.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::scenario::UnknownWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text).ok_or(
                    $crate::scenario::UnknownWord { what: $what, known: &[$($text),+] })
            }
        }
    };
}
pub(crate) use closed_set;

/// A word that is not one of a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what}; known are {}", known.join(", "))]
pub struct UnknownWord {
    /// What kind of word was expected.
    pub what: &'static str,
    /// The words that would have done.
    pub known: &'static [&'static str],
}

closed_set! {
    /// The purpose that a caller declares. It picks the lane, and later the limits, the consent class and the
    /// deadline.
    Scenario ("scenario") {
        /// A one-time code: worthless in minutes, never logged.
        Otp => "otp",
        /// Money moved: a deposit, a contribution, a withdrawal.
        Transaction => "transaction",
        /// An invitation to join a savings group, usually to many at once.
        ChamaInvite => "chama_invite",
        /// A group member is asked to approve or reject a withdrawal.
        ChamaWithdrawal => "chama_withdrawal",
        /// Something is wrong with the member's account: no delay at all.
        Alert => "alert",
        /// Anything else.
        General => "general",
    }
}

closed_set! {
    /// A lane of the queue. Lanes in front go first; the order of the variants is the order of service.
    Priority ("priority") {
        /// Security alerts.
        Critical => "critical",
        /// One-time codes.
        High => "high",
        /// Single messages that a person waits for.
        Normal => "normal",
        /// Invitations, and everything sent in bulk.
        Bulk => "bulk",
    }
}

impl Scenario {
    /// The lane of a message sent by itself.
    pub const fn priority(self) -> Priority {
        match self {
            Self::Alert => Priority::Critical,
            Self::Otp => Priority::High,
            Self::Transaction | Self::ChamaWithdrawal | Self::General => Priority::Normal,
            Self::ChamaInvite => Priority::Bulk,
        }
    }

    /// The lane of a message sent to many at once: bulk, unless the scenario can't wait. An alert to all
    /// members of a group is still an alert.
    pub const fn bulk_priority(self) -> Priority {
        match self.priority() {
            Priority::Normal => Priority::Bulk,
            urgent_or_bulk => urgent_or_bulk,
        }
    }
}

impl Priority {
    /// Position of the lane: 0 is served first.
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scenario_has_the_lane_of_the_plan() {
        let lanes = Scenario::ALL.iter().map(|scenario| (scenario.as_str(), scenario.priority().as_str()));
        assert_eq!(
            lanes.collect::<Vec<_>>(),
            [
                ("otp", "high"),
                ("transaction", "normal"),
                ("chama_invite", "bulk"),
                ("chama_withdrawal", "normal"),
                ("alert", "critical"),
                ("general", "normal"),
            ]
        );
    }

    #[test]
    fn an_alert_to_a_whole_group_keeps_its_lane() {
        assert_eq!(Scenario::Alert.bulk_priority(), Priority::Critical);
        assert_eq!(Scenario::Transaction.bulk_priority(), Priority::Bulk);
    }

    #[test]
    fn an_unknown_word_names_the_known_ones() {
        let error = "marketing".parse::<Scenario>().unwrap_err().to_string();
        assert!(error.contains("chama_invite"), "{error}");
    }
}
