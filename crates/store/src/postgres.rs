//! PostgreSQL: one database that many nodes serve.

mod audit;
mod connection;
#[path = "shared/data_keys.rs"]
mod data_keys;
mod deliveries;
mod errors;
mod history;
mod hot;
mod listener;
mod migrate;
mod outbox;
mod people;
mod quotas;
#[path = "shared/read.rs"]
mod read;
#[path = "shared/row.rs"]
mod row;
mod sealed;
#[path = "shared/sealed_tables.rs"]
mod sealed_tables;
mod session;
mod side;
mod sql;
#[path = "shared/store.rs"]
mod store;
mod values;
#[path = "shared/write.rs"]
mod write;
mod writer;

use std::sync::Arc;

use self::connection::{Address, Connection, Readers};
pub(crate) use self::side::PostgresSide;
pub(crate) use self::store::BackendStore;
use self::writer::Writer;
use crate::port::sealing::SealedRow;
use crate::seal::{Keyring, MasterKeys, Vault};
use crate::{Options, StoreError};

/// Any number of nodes serve a database.
const IS_SHARED: bool = true;

/// Connections that write at once, for each node. A commit waits for the disk, and another one can be made meanwhile.
const WRITERS: usize = 2;

/// Opens the database, and brings its schema up to date if asked to.
pub(crate) fn open(url: &str, options: &Options) -> Result<BackendStore, StoreError> {
    let address = Address::parse(url)?;
    migrate::run(&mut address.client()?, options.migrate)?;
    let mut connection = address.connect()?;
    let keyring = Arc::new(open_keyring(&mut connection, options.keys.as_ref())?);
    let readers = Arc::new(Readers::new(address.clone(), Arc::clone(&keyring)));
    readers.with(read::check)?;
    readers.with(read::check_whole)?;
    let writers = (0..WRITERS).map(|_| Writer::new(address.clone(), Arc::clone(&keyring))).collect();
    BackendStore::start(writers, readers, keyring)
}

const READ_ONLY: &str = "BEGIN READ ONLY";

/// The keys of the database.
fn open_keyring(connection: &mut Connection, given: Option<&MasterKeys>) -> Result<Keyring, StoreError> {
    let master = |_may_create| given.cloned().ok_or(StoreError::NoKey);
    let closed = Arc::new(Vault::closed());
    // Where nothing is to be written, nodes that serve the database are not stopped for it.
    let unwrapped = connection
        .transact(READ_ONLY, Arc::clone(&closed), |statements| data_keys::unwrap(statements, master))?;
    // Several nodes may start at once: one makes the keys, and the others find them.
    let keyring = match unwrapped {
        Some(keyring) => keyring,
        None => {
            connection.transact(migrate::ALONE, closed, |statements| data_keys::open(statements, master))?
        }
    };
    if !connection.transact(READ_ONLY, keyring.vault(), data_keys::is_plain)? {
        return Ok(keyring);
    }
    tracing::info!("numbers and texts of before are being sealed");
    let mut behind = Some(SealedRow::FIRST);
    while let Some(row) = behind {
        behind = connection
            .transact(migrate::ALONE, keyring.vault(), |statements| data_keys::seal_plain(statements, row))?;
    }
    Ok(keyring)
}
