//! Persistence, and the only crate with SQL.
//!
//! [`Store`] is what the gateway sees: a family of traits in [`port`], one for each room, each method one use
//! case and one transaction. Behind it a group-commit layer gathers concurrent writes into one commit and
//! answers each caller after it; below that stands a backend.

#![expect(
    clippy::duplicate_mod,
    reason = "the rooms in shared/ are compiled for each backend: docs/adr/0013"
)]

pub mod error;

pub mod port;

pub mod seal;

mod quotas;

mod answering;

mod group;

mod tables;

mod side;

mod sqlite;

mod postgres;

pub mod transfer;

use std::path::Path;
use std::sync::Arc;

pub use error::StoreError;
pub use port::Store;
pub use seal::MasterKeys;

/// How to open a store.
#[derive(Debug, Clone)]
pub struct Options {
    /// Bring the schema up to date. Without it, an older schema is an error.
    pub migrate: bool,
    /// Refuse to open what another `tuma serve` has open. Of use only for SQLite, which one process serves.
    pub exclusive: bool,
    /// What opens the data keys. Without it, that in the file beside an SQLite database, which is made with a new one; a
    /// database of PostgreSQL does not open without it.
    pub keys: Option<MasterKeys>,
}

/// Opens the store at a URL: `sqlite:<path>`, or `postgres://user@host/database`.
///
/// # Errors
/// An address that is not a store's, a file that can't be opened or is not Tuma's, a schema of a newer
/// version, or a store that is served by another process.
pub async fn open(url: &str, options: Options) -> Result<Arc<dyn Store>, StoreError> {
    let address = url.to_owned();
    let opened = tokio::task::spawn_blocking(move || open_blocking(&address, &options)).await;
    opened.map_err(|_panic| StoreError::Stopped)?
}

fn open_blocking(url: &str, options: &Options) -> Result<Arc<dyn Store>, StoreError> {
    match address(url)? {
        Address::Sqlite(path) => Ok(Arc::new(sqlite::open(Path::new(path), options)?)),
        Address::Postgres(url) => Ok(Arc::new(postgres::open(url, options)?)),
    }
}

/// Where a store is.
enum Address<'url> {
    /// A file.
    Sqlite(&'url str),
    /// The whole address.
    Postgres(&'url str),
}

fn address(url: &str) -> Result<Address<'_>, StoreError> {
    match url.split_once(':') {
        Some(("sqlite", path)) if !path.is_empty() => {
            Ok(Address::Sqlite(path.strip_prefix("//").unwrap_or(path)))
        }
        Some(("postgres" | "postgresql", _)) => Ok(Address::Postgres(url)),
        _ => Err(StoreError::Address),
    }
}
