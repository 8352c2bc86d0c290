//! PostgreSQL: one database that many nodes serve.

mod audit;
mod connection;
mod history;
mod hot;
mod listener;
mod migrate;
mod outbox;
#[path = "shared/read.rs"]
mod read;
#[path = "shared/row.rs"]
mod row;
mod side;
mod sql;
#[path = "shared/store.rs"]
mod store;
#[path = "shared/write.rs"]
mod write;
mod writer;

use std::sync::Arc;

use domain::audit::AuditKeys;

use self::connection::{Address, Readers};
pub(crate) use self::side::PostgresSide;
pub(crate) use self::store::BackendStore;
use self::writer::Writer;
use crate::{Options, StoreError};

/// Any number of nodes serve a database.
const IS_SHARED: bool = true;

/// Connections that write at once, for each node. A commit waits for the disk, and another one can be made meanwhile.
const WRITERS: usize = 2;

/// Opens the database, and brings its schema up to date if asked to.
pub(crate) fn open(url: &str, options: &Options) -> Result<BackendStore, StoreError> {
    let address = Address::parse(url)?;
    migrate::run(&mut address.connect()?, options.migrate)?;
    let readers = Arc::new(Readers::new(address.clone()));
    readers.with(read::check)?;
    readers.with(read::check_whole)?;
    let keys = Arc::new(AuditKeys::new(&options.audit));
    let writers = (0..WRITERS).map(|_| Writer::new(address.clone(), Arc::clone(&keys))).collect();
    BackendStore::start(writers, readers, keys)
}
