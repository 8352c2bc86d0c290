//! What operators decided about routes.

use async_trait::async_trait;
use domain::audit::Act;
use domain::route::ProviderName;
use domain::time::Timestamp;

use crate::StoreError;

/// Routes that operators have taken out of service.
#[async_trait]
pub trait Routes: Send + Sync {
    /// The drained providers, and since when.
    async fn drained(&self) -> Result<Vec<(ProviderName, Timestamp)>, StoreError>;

    /// Takes a provider out of service since a time, or with `None` puts it back. Answers whether that changed
    /// anything.
    async fn set_drained(
        &self,
        provider: ProviderName,
        since: Option<Timestamp>,
        act: Act,
    ) -> Result<bool, StoreError>;
}
