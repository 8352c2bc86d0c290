//! What a caller is held to: for which scenarios, to which countries and by which senders it may send.

use domain::message::Message;
use domain::phone::{Country, SenderId};
use domain::scenario::Scenario;

/// What about a message its caller is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowed {
    /// The caller is held to other scenarios.
    #[error("is not among the scenarios that this key may send for")]
    Scenario,
    /// The caller is held to other countries.
    #[error("is not in a country that this key may send to")]
    Country,
    /// The caller is held to other senders, or to some and named none.
    #[error("must be one of the senders that this key may show")]
    Sender,
}

impl NotAllowed {
    /// A stable word for callers to decide on.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Scenario => "scenario_not_allowed",
            Self::Country => "country_not_allowed",
            Self::Sender => "sender_not_allowed",
        }
    }

    /// The field that it is about, as a JSON pointer into a request to send.
    pub const fn pointer(self) -> &'static str {
        match self {
            Self::Scenario => "/scenario",
            Self::Country => "/receiver",
            Self::Sender => "/sender",
        }
    }
}

/// What a caller is held to. `None` holds it to nothing; an empty list lets nothing pass, as where none of the words that
/// were kept means anything to this version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Scenarios that it may send for.
    pub scenarios: Option<Vec<Scenario>>,
    /// Countries that it may send to.
    pub countries: Option<Vec<Country>>,
    /// Senders that it may show.
    pub senders: Option<Vec<SenderId>>,
}

impl Allowed {
    /// Whether it may send for this scenario.
    pub(crate) fn scenario(&self, scenario: Scenario) -> Result<(), NotAllowed> {
        let may = self.scenarios.as_ref().is_none_or(|allowed| allowed.contains(&scenario));
        if may { Ok(()) } else { Err(NotAllowed::Scenario) }
    }

    /// Whether it may send to this country.
    pub(crate) fn country(&self, country: Country) -> Result<(), NotAllowed> {
        let may = self.countries.as_ref().is_none_or(|allowed| allowed.contains(&country));
        if may { Ok(()) } else { Err(NotAllowed::Country) }
    }

    /// Whether it may show this sender. Without one the account's own is shown, whatever that is: whoever is held to
    /// senders must name one.
    pub(crate) fn sender(&self, sender: Option<&SenderId>) -> Result<(), NotAllowed> {
        let is_allowed = |allowed: &Vec<SenderId>| sender.is_some_and(|sender| allowed.contains(sender));
        let may = self.senders.as_ref().is_none_or(is_allowed);
        if may { Ok(()) } else { Err(NotAllowed::Sender) }
    }

    /// Everything about a message that is not allowed.
    pub fn refusals(&self, message: &Message) -> Vec<NotAllowed> {
        let checks = [
            self.country(message.receiver.country()),
            self.scenario(message.scenario),
            self.sender(message.sender.as_ref()),
        ];
        checks.into_iter().filter_map(Result::err).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn senders(names: &[&str]) -> Allowed {
        let senders = names.iter().map(|name| name.parse().unwrap()).collect();
        Allowed { senders: Some(senders), ..Allowed::default() }
    }

    #[test]
    fn who_is_held_to_nothing_may_everything() {
        let free = Allowed::default();
        assert_eq!(free.scenario(Scenario::Otp), Ok(()));
        assert_eq!(free.country(Country::KE), Ok(()));
        assert_eq!(free.sender(None), Ok(()));
    }

    #[test]
    fn an_empty_list_lets_nothing_pass() {
        let none =
            Allowed { scenarios: Some(Vec::new()), countries: Some(Vec::new()), senders: Some(Vec::new()) };
        assert_eq!(none.scenario(Scenario::Otp), Err(NotAllowed::Scenario));
        assert_eq!(none.country(Country::KE), Err(NotAllowed::Country));
        assert_eq!(none.sender(None), Err(NotAllowed::Sender));
    }

    #[test]
    fn who_is_held_to_senders_must_name_one_of_them() {
        let one = senders(&["CHAMA"]);
        assert_eq!(one.sender(Some(&"CHAMA".parse().unwrap())), Ok(()));
        assert_eq!(one.sender(Some(&"chama".parse().unwrap())), Err(NotAllowed::Sender));
        assert_eq!(one.sender(None), Err(NotAllowed::Sender));
    }
}
