//! As whom requests from the broker are made: one API key, which the settings name.
//!
//! Who may publish to the subjects is the broker's to know. To us they are one caller, whose key can be revoked like any
//! other.

use std::sync::Arc;

use domain::secret::SecretString;
use gateway::Caller;
use store::StoreError;

use crate::auth::Authenticator;
use crate::config::Broker;
use crate::keys::Scope;

/// What to do where there is none.
pub(crate) const NO_KEY: &str = "broker.api_key is not set, and requests from the broker need a caller: make a key with \
     tuma keys create, or set broker.consume = false";

/// The caller behind all requests from the broker.
#[derive(Debug)]
pub(super) struct StandingCaller {
    authenticator: Arc<Authenticator>,
    key: SecretString,
}

impl StandingCaller {
    /// Refuses a key that may not send: better at the start than request by request.
    pub(super) async fn new(settings: &Broker, authenticator: Arc<Authenticator>) -> anyhow::Result<Self> {
        // Not a matter of the settings alone: the key is made by a verb that reads the same ones.
        let Some(key) = settings.api_key.get().cloned() else { anyhow::bail!(NO_KEY) };
        let caller = Self { authenticator, key };
        anyhow::ensure!(
            caller.identify().await?.is_some(),
            "broker.api_key is not valid, or lacks the scope sms:send: make one with tuma keys create"
        );
        Ok(caller)
    }

    /// The caller, as long as its key may send. Asked for each request: a key can be revoked.
    pub(super) async fn identify(&self) -> Result<Option<Caller>, StoreError> {
        let identity = self.authenticator.identify(&self.key).await?;
        Ok(identity.filter(|identity| identity.may(Scope::Send)).map(|identity| identity.caller()))
    }
}
