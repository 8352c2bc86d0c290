//! Opening the database of the settings, with the key of its audit trail.

use std::sync::Arc;

use store::{Options, Store, StoreError};

use crate::audit_key::{KeyError, audit_key};
use crate::config::Config;

/// What for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Beside whoever serves it, as it is.
    Beside,
    /// The same, after its schema was brought up to date.
    Migrating,
    /// To serve it.
    Serving,
}

/// Why it can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no key for its audit trail.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The store says why.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Opens the database of the settings.
pub async fn open(config: &Config, access: Access) -> Result<Arc<dyn Store>, OpenError> {
    // Nothing is made beside a file that is not there and is not to be made.
    if access == Access::Beside && config.database_url.file().is_some_and(|file| !file.exists()) {
        return Err(StoreError::Missing.into());
    }
    let options = Options {
        migrate: access != Access::Beside,
        exclusive: access == Access::Serving,
        audit: audit_key(config)?,
    };
    Ok(store::open(config.database_url.expose(), options).await?)
}
