//! What SQLite's file adds: whose it is, who holds it, and what happens when the disk is full or damaged.

mod damage;
mod full;
mod open;
mod room;
mod wait;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rusqlite::Connection;
use store::{Options, Store, StoreError};

use crate::support::{keys, url};

/// As a gateway opens it.
fn serve() -> Options {
    Options { migrate: true, exclusive: true, keys: Some(keys()) }
}

/// Another program's connection to the same file.
fn raw(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
    connection
}

async fn open(path: &Path) -> Result<Arc<dyn Store>, StoreError> {
    store::open(&url(path), serve()).await
}

/// The error of an open that must fail.
async fn refusal(path: &Path) -> StoreError {
    match open(path).await {
        Ok(_) => panic!("the store was opened"),
        Err(error) => error,
    }
}

/// Runs one of the ignored tests below in a process of its own, started by `command` where there is one, and
/// gives back what it printed.
fn in_child(name: &str, folder: &Path, command: &[&str], adapt: impl FnOnce(&mut Command)) -> String {
    let this = std::env::current_exe().unwrap();
    let mut child = match command {
        [] => Command::new(&this),
        [program, arguments @ ..] => {
            let mut child = Command::new(program);
            child.args(arguments).arg(&this);
            child
        }
    };
    child.args(["--exact", name, "--ignored", "--nocapture"]).env(FOLDER, folder);
    adapt(&mut child);
    let output = child.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
    stdout.into_owned()
}

/// Where a child process finds the folder that it is to use.
const FOLDER: &str = "STORE_TEST_FOLDER";

/// The folder of a child process.
fn folder_of_child() -> std::path::PathBuf {
    std::env::var_os(FOLDER).unwrap().into()
}
