//! A fresh database for a test: a SQLite file, or one on the PostgreSQL server that `cargo xtask test` starts.

use std::net::SocketAddr;

use store::MasterKeys;
use tempfile::TempDir;

/// Says which backend tests take where both would do: `postgres`, or else SQLite.
const BACKEND: &str = "TUMA_TEST_BACKEND";

/// Where the server is: an address to which a database's name is added.
const SERVER: &str = "TUMA_TEST_POSTGRES";

/// The master key of databases that tests make, as `TUMA_DATA_KEY` has it.
pub const DATA_KEY: &str = "dGVzdHMgb25seTogdGhpcyBpcyBubyBzZWNyZXQga2U=";

/// The same, for whoever opens a store.
///
/// # Panics
/// Never: it is a key.
pub fn data_key() -> MasterKeys {
    made(MasterKeys::read(DATA_KEY).map_err(Into::into))
}

/// A database with nothing in it, gone when it is dropped.
#[derive(Debug)]
pub struct Database {
    url: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Folder { _kept: TempDir },
    Server { address: String, name: String },
}

impl Database {
    /// A fresh one, of the backend that the environment asks for.
    ///
    /// # Panics
    /// Without a folder or a server to put it in: a test can't go on then.
    pub fn fresh() -> Self {
        match variable(BACKEND).as_deref() {
            Some("postgres") => Self::on_postgres(),
            _ => Self::in_a_file(),
        }
    }

    /// A fresh SQLite file, whatever the environment asks for.
    ///
    /// # Panics
    /// Without a folder to put it in.
    pub fn in_a_file() -> Self {
        made(in_folder())
    }

    /// A fresh one on the PostgreSQL server, for tests of several nodes.
    ///
    /// # Panics
    /// Without a server.
    pub fn on_postgres() -> Self {
        made(
            variable(SERVER)
                .ok_or_else(|| "run `cargo xtask test`, which starts a server".into())
                .and_then(on_server),
        )
    }

    /// Where its server listens.
    ///
    /// # Panics
    /// If it is a file.
    pub fn server(&self) -> SocketAddr {
        let listens = self.url.rsplit('@').next().and_then(|rest| rest.split('/').next()).map(str::parse);
        made(listens.ok_or_else(|| "a file is served by nobody".into()).and_then(|parsed| Ok(parsed?)))
    }

    /// Its address by another way to its server.
    pub fn url_by(&self, way: SocketAddr) -> String {
        self.url.replace(&self.server().to_string(), &way.to_string())
    }

    /// Its address, as the settings want it.
    pub fn url(&self) -> &str {
        &self.url
    }
}

type Problem = Box<dyn std::error::Error>;

#[expect(clippy::disallowed_methods, reason = "a test's own environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[expect(clippy::panic, reason = "a test has nothing to fall back to")]
fn made<T>(made: Result<T, Problem>) -> T {
    made.unwrap_or_else(|problem| panic!("no database for this test: {problem}"))
}

fn in_folder() -> Result<Database, Problem> {
    let folder = TempDir::new()?;
    let url = format!("sqlite:{}", folder.path().join("tuma.db").display());
    Ok(Database { url, place: Place::Folder { _kept: folder } })
}

fn on_server(address: String) -> Result<Database, Problem> {
    let name = format!("tuma_{:032x}", rand::random::<u128>());
    administer(&address, format!("CREATE DATABASE {name}"))?;
    Ok(Database { url: format!("{address}/{name}"), place: Place::Server { address, name } })
}

/// Runs a statement on the server's own database, on a thread of its own: the client waits by a runtime of its own.
fn administer(address: &str, sql: String) -> Result<(), Problem> {
    let url = format!("{address}/postgres");
    let run = move || postgres::Client::connect(&url, postgres::NoTls)?.batch_execute(&sql);
    std::thread::spawn(run).join().map_err(|_panic| "the client panicked")?.map_err(Into::into)
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Place::Server { address, name } = &self.place {
            // What is left goes with the server.
            let _ = administer(address, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        }
    }
}
