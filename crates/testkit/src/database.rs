//! A fresh database for a test: a SQLite file, or one on the PostgreSQL server that `cargo xtask test` starts.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::path::PathBuf;

use postgres::error::SqlState;
use store::{MasterKeys, StoreError};
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

    /// A fresh one on the PostgreSQL server, for tests of several nodes: with the tables of this program, and nothing in them.
    ///
    /// # Panics
    /// Without a server.
    pub fn on_postgres() -> Self {
        made(server().and_then(|address| copied(&address)))
    }

    /// One on the PostgreSQL server without any tables, for tests of the schema.
    ///
    /// # Panics
    /// Without a server.
    pub fn empty_on_postgres() -> Self {
        made(server().and_then(|address| on_server(&address, "template0")))
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

type Problem = Box<dyn std::error::Error + Send + Sync>;

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

/// Where the server is.
fn server() -> Result<String, Problem> {
    variable(SERVER)
        .ok_or_else(|| "run `cargo xtask test`, which starts a PostgreSQL server for the tests".into())
}

fn on_server(address: &str, template: &str) -> Result<Database, Problem> {
    let name = format!("tuma_{:032x}", rand::random::<u128>());
    administer(address, format!("CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY"))?;
    Ok(Database {
        url: format!("{address}/{name}"),
        place: Place::Server { address: address.to_owned(), name },
    })
}

/// Makes a database of a template, and the template too where there is none.
fn copied(address: &str) -> Result<Database, Problem> {
    let template = template()?;
    match on_server(address, &template) {
        Err(problem) if is(&*problem, &SqlState::UNDEFINED_DATABASE) => {
            make_template(address, &template)?;
            on_server(address, &template)
        }
        made => made,
    }
}

/// The database from which others are copied, which takes a fraction of the time of all migrations. Its name goes by what is
/// in them, so that a server may outlive a change of them.
fn template() -> Result<String, Problem> {
    let mut hasher = DefaultHasher::new();
    for file in migrations()? {
        std::fs::read(file)?.hash(&mut hasher);
    }
    Ok(format!("tuma_template_{:016x}", hasher.finish()))
}

/// Under another name until it is whole. Of several tests that come first, each makes one, and one of them is taken.
fn make_template(address: &str, template: &str) -> Result<(), Problem> {
    let made = on_server(address, "template0")?;
    migrate(&made.url)?;
    let Place::Server { name, .. } = &made.place else { return Ok(()) };
    match administer(address, format!("ALTER DATABASE {name} RENAME TO {template}")) {
        Err(problem) if is(&*problem, &SqlState::DUPLICATE_DATABASE) => Ok(()),
        renamed => renamed,
    }
}

fn is(problem: &(dyn std::error::Error + 'static), state: &SqlState) -> bool {
    problem.downcast_ref::<postgres::Error>().and_then(postgres::Error::code) == Some(state)
}

/// The migrations of PostgreSQL, in order.
fn migrations() -> Result<Vec<PathBuf>, Problem> {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../store/migrations/postgres"))?;
    let mut files = folder.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, Problem>>()?;
    files.sort();
    Ok(files)
}

/// Makes the tables alone: without a master key, a store has no data keys made, and does not open.
fn migrate(url: &str) -> Result<(), Problem> {
    let url = url.to_owned();
    let migrating = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let options = store::Options { migrate: true, exclusive: false, keys: None };
        match runtime.block_on(store::open(&url, options)) {
            Err(StoreError::NoKey) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(_) => Err("a store opens without its key".into()),
        }
    };
    on_a_thread(migrating)
}

/// Runs a statement on the server's own database.
fn administer(address: &str, sql: String) -> Result<(), Problem> {
    let url = format!("{address}/postgres");
    on_a_thread(move || Ok(postgres::Client::connect(&url, postgres::NoTls)?.batch_execute(&sql)?))
}

/// On a thread of its own: what waits there has a runtime of its own.
fn on_a_thread(job: impl FnOnce() -> Result<(), Problem> + Send + 'static) -> Result<(), Problem> {
    std::thread::spawn(job).join().map_err(|_panic| "a thread panicked")?
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Place::Server { address, name } = &self.place {
            // What is left goes with the server.
            let _ = administer(address, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        }
    }
}
