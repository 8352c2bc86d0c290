//! Who does not want what: opt-outs, opt-ins, and which messages they hold back.
//!
//! An opt-out is one person's, about one sender or all of them, and of one extent. A person who is tired of
//! invitations still wants to hear that money left the account, and whoever asks for a code gets it, whatever was said
//! before. So each message has a class, which follows from what it is for, and not from what its caller says.

mod keyword;

use std::sync::Arc;

use crate::ids::{ConsentId, InboundId};
use crate::phone::{Msisdn, SenderId};
use crate::route::ProviderName;
use crate::scenario::{Priority, Scenario, closed_set};
use crate::time::Timestamp;

pub use self::keyword::{Keyword, KeywordError, Keywords, Words, folded};

closed_set! {
    /// What a message is to somebody who may have opted out.
    Class ("class of consent") {
        /// An invitation, or a text to many: nobody waits for it.
        Promotional => "promotional",
        /// It tells of the receiver's own affairs: money that moved, a decision that is asked for, an alert.
        Service => "service",
        /// A code that the receiver has just asked for.
        Code => "code",
    }
}

impl Class {
    /// The class of a message. Whatever goes to many is promotional unless its scenario says more: a group's members are
    /// asked about a withdrawal all at once, and each of them is concerned.
    pub const fn of(scenario: Scenario, lane: Priority) -> Self {
        match (scenario, lane) {
            (Scenario::Otp, _) => Self::Code,
            (Scenario::ChamaInvite, _) | (Scenario::General, Priority::Bulk) => Self::Promotional,
            _ => Self::Service,
        }
    }
}

closed_set! {
    /// How far an opt-out goes.
    Extent ("extent of an opt-out") {
        /// No invitations, and nothing that goes to many.
        Promotional => "promotional",
        /// Nothing but codes that were asked for.
        All => "all",
    }
}

impl Extent {
    /// Whether messages of this class are held back.
    pub const fn holds_back(self, class: Class) -> bool {
        match (self, class) {
            (_, Class::Code) | (Self::Promotional, Class::Service) => false,
            (_, Class::Promotional) | (Self::All, Class::Service) => true,
        }
    }
}

closed_set! {
    /// How it became known.
    Source ("source of consent") {
        /// The person sent a keyword.
        Keyword => "keyword",
        /// A provider said so: by a callback of its own, or by refusing a message.
        Provider => "provider",
        /// A caller said so.
        Api => "api",
        /// It was imported from a list.
        Import => "import",
    }
}

closed_set! {
    /// Which way a person's consent changed.
    Direction ("change of consent") {
        /// No more of it.
        OptOut => "opt_out",
        /// Again, please.
        OptIn => "opt_in",
    }
}

/// A change of what somebody wants: an entry of the ledger, before it has been made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its id.
    pub id: ConsentId,
    /// Whose.
    pub number: Msisdn,
    /// About this sender; `None` for all of them.
    pub sender: Option<SenderId>,
    /// Which way.
    pub direction: Direction,
    /// How far. An opt-in ends opt-outs of this extent and below.
    pub extent: Extent,
    /// How it became known.
    pub source: Source,
    /// Which provider said so, or carried the keyword.
    pub provider: Option<ProviderName>,
    /// The message by which the person said so.
    pub inbound_id: Option<InboundId>,
    /// What else is known: a provider's code, a caller's note. No number, no text of a message.
    pub detail: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// What has to be known of a message to say whether an opt-out holds it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Its class.
    pub class: Class,
    /// The senders that it may show: the one that was asked for, or those of all routes that it may take.
    pub senders: Arc<[SenderId]>,
}

impl Question {
    /// The question about a message; `None` where no opt-out could hold it back.
    pub fn about(class: Class, senders: impl IntoIterator<Item = SenderId>) -> Option<Self> {
        (class != Class::Code).then(|| Self { class, senders: senders.into_iter().collect() })
    }

    /// The same with senders that many messages share.
    pub fn among(class: Class, senders: &Arc<[SenderId]>) -> Option<Self> {
        (class != Class::Code).then(|| Self { class, senders: Arc::clone(senders) })
    }

    /// The question about a message that shows this sender; or, where nobody asked for one, any of those that all share.
    pub fn of(class: Class, sender: Option<&SenderId>, defaults: &Arc<[SenderId]>) -> Option<Self> {
        match sender {
            Some(sender) => Self::about(class, [sender.clone()]),
            None => Self::among(class, defaults),
        }
    }

    /// Whether this opt-out of the receiver holds the message back.
    pub fn is_held_back_by(&self, sender: Option<&SenderId>, extent: Extent) -> bool {
        extent.holds_back(self.class) && sender.is_none_or(|sender| self.senders.contains(sender))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(scenario: Scenario) -> Class {
        Class::of(scenario, scenario.priority())
    }

    #[test]
    fn opt_out_from_promotions_never_holds_back_a_code_an_alert_or_a_notice() {
        for scenario in Scenario::ALL {
            let is_invitation = *scenario == Scenario::ChamaInvite;
            assert_eq!(Extent::Promotional.holds_back(class(*scenario)), is_invitation, "{scenario}");
        }
    }

    #[test]
    fn full_stop_holds_back_all_but_codes() {
        for scenario in Scenario::ALL {
            for lane in [scenario.priority(), scenario.bulk_priority()] {
                let is_code = *scenario == Scenario::Otp;
                assert_eq!(Extent::All.holds_back(Class::of(*scenario, lane)), !is_code, "{scenario}");
            }
        }
    }

    #[test]
    fn text_to_many_is_promotional_unless_it_concerns_each_of_them() {
        assert_eq!(Class::of(Scenario::General, Priority::Bulk), Class::Promotional);
        assert_eq!(Class::of(Scenario::General, Priority::Normal), Class::Service);
        assert_eq!(Class::of(Scenario::ChamaWithdrawal, Priority::Bulk), Class::Service);
    }

    #[test]
    fn opt_out_is_about_its_sender_or_about_all() {
        let [shop, bank]: [SenderId; 2] = ["SHOP", "BANK"].map(|name| name.parse().unwrap());
        let question = Question::about(Class::Promotional, [shop.clone()]).unwrap();
        assert!(question.is_held_back_by(Some(&shop), Extent::Promotional));
        assert!(!question.is_held_back_by(Some(&bank), Extent::All));
        assert!(question.is_held_back_by(None, Extent::All));
        assert_eq!(Question::about(Class::Code, [shop]), None);
    }
}
