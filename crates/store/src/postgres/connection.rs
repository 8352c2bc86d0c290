//! Connections: those that write, one for each writer, and those that read.

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use domain::ids::KeyId;
use domain::route::ProviderName;
use parking_lot::Mutex;
use postgres::{Client, NoTls};
use rustls::ClientConfig;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::errors::error;
use super::listener;
use super::session::Session;
use super::sql::{Prepared, Statements};
use crate::StoreError;
use crate::seal::{Keyring, Vault};

/// Connections that read at once, for each node.
pub(super) const READERS: usize = 4;

/// How long a connection may take to stand, if the address does not say otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an idle connection is good without being asked.
const TRUSTED_FOR: Duration = Duration::from_secs(5);

/// How long a query may take, and how long a transaction may wait for another's lock. And how queries are planned: once, for
/// any values, by indexes. A plan that suits the empty table of a new week would be kept while it grows.
const SESSION: &str = "SET statement_timeout = '8s'; SET lock_timeout = '5s'; \
     SET idle_in_transaction_session_timeout = '30s'; SET synchronous_commit = on; SET timezone = 'UTC'; \
     SET default_transaction_isolation = 'read committed'; \
     SET plan_cache_mode = force_generic_plan; SET jit = off; SET enable_seqscan = off; SET enable_hashjoin = off; \
     SET enable_mergejoin = off";

/// A statement that is sent behind a `BEGIN` that failed would be a transaction of its own: nothing is written but where the
/// `BEGIN` says `READ WRITE`.
const IN_TRANSACTIONS_ONLY: &str = "SET default_transaction_read_only = on";

/// Begins a transaction whose statements all see the same commit.
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Where the database is, and how to get there. Never shown: it may hold a password.
#[derive(Clone)]
pub(super) struct Address {
    config: Config,
    /// Settings of TLS, unless the address says that there shall be none. Made once: reading the authorities that the system
    /// trusts takes longer than all else of a connection.
    tls: Option<ClientConfig>,
}

impl Address {
    /// Reads `postgres://user@host/database?sslmode=require`, in the forms that libpq knows.
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        let mut config = Config::from_str(url).map_err(|_may_quote_it| StoreError::Address)?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_application_name().is_none() {
            config.application_name("tuma");
        }
        // A node that has gone away without a word is noticed.
        config.keepalives_idle(Duration::from_secs(15)).keepalives_interval(Duration::from_secs(5));
        config.keepalives_retries(3).tcp_user_timeout(Duration::from_secs(15));
        let tls = if config.get_ssl_mode() == SslMode::Disable { None } else { Some(tls()?) };
        Ok(Self { config, tls })
    }

    /// What people call it: without user and password.
    pub(super) fn name(&self) -> String {
        let hosts: Vec<_> = self.config.get_hosts().iter().map(host).collect();
        format!("postgres://{}/{}", hosts.join(","), self.config.get_dbname().unwrap_or_default())
    }

    /// A new connection.
    pub(super) fn connect(&self) -> Result<Connection, StoreError> {
        let mut session = Session::connect(&self.config, self.tls.clone())?;
        session.send(SESSION)?;
        session.send(IN_TRANSACTIONS_ONLY)?;
        session.wait()?;
        Ok(Connection { session, prepared: Prepared::default() })
    }

    /// A new connection for what is not done in statements: to listen, to copy, to change the schema.
    pub(super) fn client(&self) -> Result<Client, StoreError> {
        let config = postgres::Config::from(self.config.clone());
        let mut client = match self.tls.clone() {
            None => config.connect(NoTls).map_err(error)?,
            Some(tls) => config.connect(MakeRustlsConnect::new(tls)).map_err(error)?,
        };
        client.batch_execute(SESSION).map_err(error)?;
        Ok(client)
    }
}

fn host(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        Host::Unix(path) => path.display().to_string(),
    }
}

/// Certificates are checked against the authorities that the system trusts.
fn tls() -> Result<ClientConfig, StoreError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let io = |error: rustls::Error| StoreError::Io(error.to_string());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(rustls_platform_verifier::BuilderVerifierExt::with_platform_verifier)
        .map_err(io)?;
    Ok(config.with_no_client_auth())
}

/// A connection with the statements that it has prepared.
pub(super) struct Connection {
    session: Session,
    prepared: Prepared,
}

impl Connection {
    /// Runs statements as one transaction, which is taken back if they fail. `begin` begins it, and may do more on the way:
    /// one way to the server less.
    pub(super) fn transact<T>(
        &mut self,
        begin: &'static str,
        vault: Arc<Vault>,
        run: impl FnOnce(&mut Statements<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut statements = Statements::begin(&mut self.session, begin, &mut self.prepared, vault)?;
        let answer = run(&mut statements)?;
        statements.commit()?;
        Ok(answer)
    }

    /// Runs statements that read, and all see the same commit.
    fn snapshot<T>(
        &mut self,
        vault: Arc<Vault>,
        run: impl FnOnce(&mut Statements<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        run(&mut Statements::begin(&mut self.session, SNAPSHOT, &mut self.prepared, vault)?)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.session.is_closed()
    }
}

/// Connections that only read.
pub(super) struct Readers {
    address: Address,
    keyring: Arc<Keyring>,
    /// `None` after the end.
    idle: Mutex<Option<Vec<(Connection, Instant)>>>,
    turns: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(address: Address, keyring: Arc<Keyring>) -> Self {
        Self {
            address,
            keyring,
            idle: Mutex::new(Some(Vec::new())),
            turns: Arc::new(Semaphore::new(READERS)),
        }
    }

    /// Waits until one of the connections is free.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        Arc::clone(&self.turns).acquire_owned().await.map_err(|_closed| StoreError::Stopped)
    }

    /// Runs a query on an idle connection, or a new one.
    pub(super) fn with<T>(
        &self,
        query: impl FnOnce(&mut Statements<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut connection = match self.take_idle() {
            Some(connection) => connection,
            None => self.address.connect()?,
        };
        let result = connection.snapshot(self.keyring.vault(), query);
        if let Some(idle) = self.idle.lock().as_mut()
            && !connection.is_closed()
        {
            idle.push((connection, Instant::now()));
        }
        result
    }

    /// A connection that is good. Of one that was not used for a while nobody knows: its server may have been away.
    fn take_idle(&self) -> Option<Connection> {
        let (mut connection, since) = self.idle.lock().as_mut().and_then(Vec::pop)?;
        let is_good = since.elapsed() < TRUSTED_FOR || connection.session.is_good(CONNECT_TIMEOUT);
        (is_good && !connection.is_closed()).then_some(connection)
    }

    /// What other nodes tell.
    pub(super) fn wakeups(readers: &Self) -> mpsc::Receiver<ProviderName> {
        listener::listen(readers.address.clone(), &listener::WAKEUPS)
    }

    /// Which keys other nodes say have changed.
    pub(super) fn changed_keys(readers: &Self) -> mpsc::Receiver<KeyId> {
        listener::listen(readers.address.clone(), &listener::KEYS)
    }

    /// Closes the idle connections, and the others when their queries end.
    pub(super) fn close(&self) {
        let idle = self.idle.lock().take();
        // A client ends its connection when it is dropped, and waits for that: not on a thread of the runtime.
        let _ = std::thread::spawn(move || drop(idle)).join();
    }
}
