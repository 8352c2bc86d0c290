//! A question to many whose replies are counted: an invitation, or a withdrawal that must be approved.
//!
//! A prompt is open until its policy is met or can't be met, its time is over, or somebody closes it; then it has one outcome,
//! for ever. [`binding`] says which prompt a reply is about, [`Tally`] what the replies make of it.

pub mod binding;

use std::fmt;
use std::str::FromStr;

use crate::reply::{Answer, Fits};
use crate::scenario::{Scenario, closed_set};

closed_set! {
    /// What is asked.
    Kind ("kind") {
        /// To join: answered by yes or no.
        Invite => "invite",
        /// To let something happen, such as a withdrawal: answered by approve or reject.
        Approval => "approval",
    }
}

impl Kind {
    /// What its messages are for.
    pub const fn scenario(self) -> Scenario {
        match self {
            Self::Invite => Scenario::ChamaInvite,
            Self::Approval => Scenario::ChamaWithdrawal,
        }
    }

    /// Whether a word is one that people are asked to answer this by.
    pub const fn is_answered_by(self, fits: Fits) -> bool {
        match self {
            Self::Invite => fits.invite,
            Self::Approval => fits.approval,
        }
    }
}

closed_set! {
    /// How a prompt ended.
    Outcome ("outcome") {
        /// Its policy was met.
        Approved => "approved",
        /// Somebody vetoed it, or its policy could not be met any more.
        Rejected => "rejected",
        /// Its time was over first.
        Expired => "expired",
        /// Somebody closed it.
        Canceled => "canceled",
    }
}

closed_set! {
    /// What became of a reply.
    Fate ("fate") {
        /// It is its sender's answer, as long as no later one is.
        Counted => "counted",
        /// It came when the prompt was closed, or its time was over.
        Late => "late",
        /// It does not plainly say yes or no.
        Unclear => "unclear",
    }
}

/// How many must approve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// One of them.
    Any,
    /// Each of them.
    All,
    /// So many.
    AtLeast(u32),
}

impl Policy {
    /// How many must approve if so many are asked.
    pub const fn needs(self, asked: u32) -> u32 {
        match self {
            Self::Any => 1,
            Self::All => asked,
            Self::AtLeast(number) => number,
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::All => f.write_str("all"),
            Self::AtLeast(number) => fmt::Display::fmt(number, f),
        }
    }
}

/// A text that is no policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a policy is any, all or a number from 1 on")]
pub struct PolicyError;

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "any" => Ok(Self::Any),
            "all" => Ok(Self::All),
            number => match number.parse() {
                Ok(number) if number > 0 => Ok(Self::AtLeast(number)),
                _ => Err(PolicyError),
            },
        }
    }
}

/// Where the answers stand. Each person counts once, by the last answer that came before the prompt was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// How many are asked.
    pub asked: u32,
    /// How many must approve.
    pub needed: u32,
    /// How many approve.
    pub approved: u32,
    /// How many reject.
    pub rejected: u32,
}

impl Tally {
    /// Counts the standing answers of those who gave one.
    pub fn of(policy: Policy, asked: u32, answers: impl IntoIterator<Item = Answer>) -> Self {
        let mut tally = Self { asked, needed: policy.needs(asked), approved: 0, rejected: 0 };
        for answer in answers {
            match answer {
                Answer::Approve => tally.approved += 1,
                Answer::Reject => tally.rejected += 1,
            }
        }
        tally
    }

    /// How many have not answered.
    pub const fn silent(self) -> u32 {
        self.asked.saturating_sub(self.approved).saturating_sub(self.rejected)
    }

    /// How the prompt ends by these answers; `None` as long as it stays open.
    ///
    /// With a veto, one who rejects ends it, whatever others say. Without, it is rejected when so many reject that too few are
    /// left to approve. Where all must approve that would be a veto by another name: such a prompt waits until
    /// everybody has answered, and till then whoever rejects may think again.
    pub const fn outcome(self, policy: Policy, veto: bool) -> Option<Outcome> {
        if veto && self.rejected > 0 {
            return Some(Outcome::Rejected);
        }
        if self.approved >= self.needed {
            return Some(Outcome::Approved);
        }
        let is_hopeless = match policy {
            Policy::All => self.silent() == 0,
            Policy::Any | Policy::AtLeast(_) => self.approved + self.silent() < self.needed,
        };
        if is_hopeless { Some(Outcome::Rejected) } else { None }
    }
}

#[cfg(test)]
mod tests;
