//! SQLite: one file, one writer, and readers beside it (WAL mode).

mod checkpoint;
mod connection;
mod history;
mod listener;
mod migrate;
mod outbox;
#[cfg(test)]
mod plans;
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

use std::path::Path;
use std::sync::Arc;

use self::checkpoint::Checkpointer;
use self::connection::{Lock, Readers};
pub(crate) use self::side::SqliteSide;
pub(crate) use self::store::BackendStore;
use self::writer::Writer;
use crate::{Options, StoreError};

/// One process serves a file.
const IS_SHARED: bool = false;

/// Opens or creates the file, and brings its schema up to date if asked to.
pub(crate) fn open(path: &Path, options: &Options) -> Result<BackendStore, StoreError> {
    if !options.migrate && !path.exists() {
        return Err(StoreError::Missing);
    }
    let lock = if options.exclusive { Some(Lock::take(path)?) } else { None };
    let mut connection = connection::open_writer(path)?;
    // Looks before it touches anything: the file may be another program's.
    migrate::check(&connection, options.migrate)?;
    connection::prepare_writer(&connection)?;
    migrate::run(&mut connection)?;
    let checkpointer = Checkpointer::start(path)?;
    let readers = Arc::new(Readers::new(path));
    // A first reader shows at once whether the file can be read.
    readers.with(read::check)?;
    readers.with(read::check_whole)?;
    BackendStore::start(vec![Writer::new(connection, checkpointer, lock)], readers)
}
