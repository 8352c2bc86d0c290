//! Where messages are kept, and the key that they are kept under.

use domain::secret::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer};
use store::MasterKeys;
use url::Url;

/// An address that may hold a password: it can't be printed.
#[derive(Clone)]
pub struct DatabaseUrl(SecretString);

impl<'de> Deserialize<'de> for DatabaseUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into()))
    }
}

impl DatabaseUrl {
    /// The address as it is, for whoever opens it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether there is a password in it.
    pub fn has_password(&self) -> bool {
        let url = Url::parse(self.expose()).ok();
        let in_query = |url: &Url| url.query_pairs().any(|(name, _)| name == "password");
        self.is_shared() && url.is_none_or(|url| url.password().is_some() || in_query(&url))
    }

    /// Whether several nodes may serve what is there.
    pub fn is_shared(&self) -> bool {
        !self.expose().starts_with("sqlite:")
    }
}

/// From the command line. Whether it is an address is found out when it is opened, which quotes nothing.
impl std::str::FromStr for DatabaseUrl {
    type Err = std::convert::Infallible;

    fn from_str(address: &str) -> Result<Self, Self::Err> {
        Ok(Self(address.into()))
    }
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_shared() { "…" } else { "sqlite:…" })
    }
}

/// Master keys, or none. Shows neither.
#[derive(Debug, Clone)]
pub struct DataKey(pub(super) Option<MasterKeys>);

impl<'de> Deserialize<'de> for DataKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = SecretString::from(String::deserialize(deserializer)?);
        match text.expose_secret() {
            "" => Ok(Self(None)),
            text => MasterKeys::read(text).map(|keys| Self(Some(keys))).map_err(serde::de::Error::custom),
        }
    }
}
