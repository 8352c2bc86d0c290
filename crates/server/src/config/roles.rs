//! What a node does: all, or a part, so that each part can have as many nodes as it needs.

use std::collections::BTreeSet;
use std::str::FromStr;

use serde::Deserialize;

/// A part of what a gateway does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Serves callers and operators.
    Api,
    /// Submits messages to providers.
    Dispatch,
    /// Takes in what providers report.
    Callbacks,
    /// Looks after messages in doubt, and keeps house.
    Chores,
}

impl Role {
    const ALL: [Self; 4] = [Self::Api, Self::Dispatch, Self::Callbacks, Self::Chores];

    /// The role in a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Dispatch => "dispatch",
            Self::Callbacks => "callbacks",
            Self::Chores => "chores",
        }
    }
}

/// The parts that one node has; at least one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Roles(BTreeSet<Role>);

/// Why a text names no roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be some of api, dispatch, callbacks, chores, separated by commas")]
pub struct RolesError;

impl Roles {
    /// Whether the node has this one.
    pub fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// What the use cases need to be told.
    pub fn of_gateway(&self) -> gateway::settings::Roles {
        gateway::settings::Roles { dispatch: self.has(Role::Dispatch), chores: self.has(Role::Chores) }
    }
}

impl Default for Roles {
    fn default() -> Self {
        Self(Role::ALL.into())
    }
}

impl FromStr for Roles {
    type Err = RolesError;

    fn from_str(text: &str) -> Result<Self, RolesError> {
        let role = |word: &str| Role::ALL.into_iter().find(|role| role.as_str() == word.trim());
        let roles: Option<BTreeSet<Role>> = text.split(',').map(role).collect();
        roles.map(Self).ok_or(RolesError)
    }
}

impl TryFrom<String> for Roles {
    type Error = RolesError;

    fn try_from(text: String) -> Result<Self, RolesError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_read_in_any_order_and_nothing_else_is() {
        let roles: Roles = "chores, api".parse().unwrap();
        let has = Role::ALL.map(|role| roles.has(role));
        assert_eq!(has, [true, false, false, true]);
        assert_eq!("api,dispatch,callbacks,chores".parse(), Ok(Roles::default()));
        for wrong in ["", "api,", "everything", "API"] {
            assert_eq!(wrong.parse::<Roles>(), Err(RolesError), "{wrong}");
        }
    }
}
