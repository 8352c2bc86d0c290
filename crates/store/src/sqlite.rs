//! SQLite: one file, one writer, and readers beside it (WAL mode).

mod audit;
mod checkpoint;
mod connection;
#[path = "shared/data_keys.rs"]
mod data_keys;
mod deliveries;
#[cfg(test)]
mod erasing;
mod history;
mod listener;
mod migrate;
mod outbox;
mod people;
#[cfg(test)]
mod plans;
mod quotas;
#[path = "shared/read.rs"]
mod read;
#[path = "shared/row.rs"]
mod row;
mod sealed;
#[path = "shared/sealed_tables.rs"]
mod sealed_tables;
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
use self::sql::{Statements, params};
pub(crate) use self::store::BackendStore;
use self::writer::Writer;
use crate::port::sealing::SealedRow;
use crate::seal::{Keyring, MasterKeys, Vault};
use crate::{Options, StoreError};

use rusqlite::Connection;

/// The file is to be written anew: told in the commit that seals the last of what was there before.
const MUST_REWRITE: &str =
    "INSERT INTO progress (chore, mark) VALUES ('rewrite', x'') ON CONFLICT DO NOTHING";

const IS_TO_REWRITE: &str = "SELECT 1 FROM progress WHERE chore = 'rewrite'";

const REWRITTEN: &str = "DELETE FROM progress WHERE chore = 'rewrite'";

/// One process serves a file.
const IS_SHARED: bool = false;

/// Opens or creates the file, and brings its schema up to date if asked to.
pub(crate) fn open(path: &Path, options: &Options) -> Result<BackendStore, StoreError> {
    if !options.migrate && !path.exists() {
        return Err(StoreError::Missing);
    }
    let lock = if options.exclusive { Some(Lock::take(path)?) } else { None };
    let mut connection = connection::open_writer(path)?;
    if !options.exclusive {
        connection::wait_as_guest(&mut connection)?;
    }
    // Looks before it touches anything: the file may be another program's.
    migrate::check(&connection, options.migrate)?;
    connection::prepare_writer(&connection)?;
    migrate::run(&mut connection)?;
    let checkpointer = Checkpointer::start(path)?;
    let keyring = Arc::new(open_keyring(&mut connection, path, options.keys.as_ref())?);
    let readers = Arc::new(Readers::new(path, Arc::clone(&keyring)));
    // A first reader shows at once whether the file can be read.
    readers.with(read::check)?;
    readers.with(read::check_whole)?;
    let writer = Writer::new(connection, Arc::clone(&keyring), checkpointer, lock);
    BackendStore::start(vec![writer], readers, keyring)
}

/// The keys of the file, by the master key that was given, or else by that in the file beside it.
fn open_keyring(
    connection: &mut Connection,
    path: &Path,
    given: Option<&MasterKeys>,
) -> Result<Keyring, StoreError> {
    let master = |may_create| match given {
        Some(keys) => Ok(keys.clone()),
        None => MasterKeys::beside(path, may_create)?.ok_or(StoreError::NoKey),
    };
    let closed = Arc::new(Vault::closed());
    // Whoever opens a file that is served need not wait for its writer, for there is nothing to write.
    let unwrapped = connection::snapshot(connection, Arc::clone(&closed), |statements| {
        data_keys::unwrap(statements, master)
    })?;
    let keyring = match unwrapped {
        Some(keyring) => keyring,
        None => connection::transact(connection, closed, |statements| data_keys::open(statements, master))?,
    };
    if connection::snapshot(connection, keyring.vault(), data_keys::is_plain)? {
        tracing::info!("numbers and texts of before are being sealed");
        let mut behind = Some(SealedRow::FIRST);
        while let Some(row) = behind {
            behind = connection::transact(connection, keyring.vault(), |statements| {
                let behind = data_keys::seal_plain(statements, row)?;
                if behind.is_none() {
                    statements.execute(MUST_REWRITE, params![])?;
                }
                Ok(behind)
            })?;
        }
    }
    rewrite(connection, &keyring)?;
    Ok(keyring)
}

/// What was there before values were sealed stands in free pages, and in the log, until the file has been written anew. If
/// that fails or is cut short, such as by a full disk, the next start does it.
fn rewrite(connection: &mut Connection, keyring: &Keyring) -> Result<(), StoreError> {
    let must = |statements: &mut Statements<'_>| statements.first(IS_TO_REWRITE, params![], |_row| Ok(()));
    if connection::snapshot(connection, keyring.vault(), must)?.is_none() {
        return Ok(());
    }
    tracing::info!("the database file is being written anew");
    connection::rewrite(connection)?;
    let done = |statements: &mut Statements<'_>| statements.execute(REWRITTEN, params![]).map(|_done| ());
    connection::transact(connection, keyring.vault(), done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_opens_a_file_whose_writer_is_busy_all_the_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tuma.db");
        let keys = Some(MasterKeys::generate().0);
        drop(open(&path, &Options { migrate: true, exclusive: false, keys: keys.clone() }).unwrap());
        let busy = connection::open_writer(&path).unwrap();
        busy.execute_batch("BEGIN IMMEDIATE").unwrap();
        open(&path, &Options { migrate: false, exclusive: false, keys }).unwrap();
        busy.execute_batch("ROLLBACK").unwrap();
    }

    #[test]
    fn file_that_could_not_be_written_anew_after_sealing_stays_marked_until_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tuma.db");
        let keys = MasterKeys::generate().0;
        let mut connection = connection::open_writer(&path).unwrap();
        connection::prepare_writer(&connection).unwrap();
        migrate::run(&mut connection).unwrap();
        open_keyring(&mut connection, &path, Some(&keys)).unwrap();
        connection.execute("INSERT INTO progress (chore, mark) VALUES ('seal', x'')", []).unwrap();
        // As many databases as a connection may have: writing anew needs one more.
        for number in 0..10 {
            connection.execute(&format!("ATTACH ':memory:' AS other{number}"), []).unwrap();
        }
        open_keyring(&mut connection, &path, Some(&keys)).unwrap_err();
        let mut next_start = connection::open_writer(&path).unwrap();
        let chores =
            "SELECT coalesce(group_concat(chore), '') FROM progress WHERE chore IN ('seal', 'rewrite')";
        let left = |connection: &Connection| -> String {
            connection.query_row(chores, [], |row| row.get(0)).unwrap()
        };
        assert_eq!(left(&next_start), "rewrite");
        drop(connection);
        open_keyring(&mut next_start, &path, Some(&keys)).unwrap();
        assert_eq!(left(&next_start), "");
    }
}
