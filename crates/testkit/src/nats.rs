//! A NATS server with JetStream for a test: its own port and folder, and it can go away and come back.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::{Child, Command};

use crate::wait::{LONG, wait_for};

/// The program, where it is not on the path.
const PROGRAM: &str = "TUMA_TEST_NATS";

/// What Debian calls it.
const NAME: &str = "nats-server";

/// A server that is killed when it is dropped.
#[derive(Debug)]
pub struct NatsServer {
    folder: TempDir,
    address: SocketAddr,
    arguments: Vec<String>,
    running: Option<Child>,
    /// Keeps the port from others while no server listens there.
    _kept: TcpSocket,
}

type Problem = Box<dyn std::error::Error>;

impl NatsServer {
    /// A server that takes everybody.
    ///
    /// # Panics
    /// Where there is none: a test can't go on then.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// A server with more arguments, such as `--auth` and a token.
    ///
    /// # Panics
    /// Where there is none: a test can't go on then.
    #[expect(clippy::panic, reason = "a test has nothing to fall back to")]
    pub async fn start_with(arguments: &[&str]) -> Self {
        let mut server = Self::new(arguments).unwrap_or_else(|problem| panic!("no NATS server: {problem}"));
        server.run().await;
        server
    }

    fn new(arguments: &[&str]) -> Result<Self, Problem> {
        // Bound and not listening: a server that may share the address, as NATS does, can listen there.
        let kept = TcpSocket::new_v4()?;
        kept.set_reuseaddr(true)?;
        kept.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let (folder, address) = (TempDir::new()?, kept.local_addr()?);
        Ok(Self { folder, address, arguments, running: None, _kept: kept })
    }

    /// Its address, as the settings want it.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Starts it where it was, with what it had.
    ///
    /// # Panics
    /// If it does not come up.
    #[expect(clippy::panic, reason = "a test has nothing to fall back to")]
    pub async fn run(&mut self) {
        let child = self.spawn().unwrap_or_else(|problem| {
            panic!(
                "{NAME} can't be run ({problem}): run `cargo xtask test`, which installs it, or set {PROGRAM}"
            )
        });
        self.running = Some(child);
        let greeted = wait_for(async || greets(self.address).await.ok(), LONG).await;
        greeted.unwrap_or_else(|problem| panic!("{NAME} does not answer: {problem}"));
    }

    fn spawn(&self) -> std::io::Result<Child> {
        let mut command = Command::new(program());
        command.args(["-a", "127.0.0.1", "-p", &self.address.port().to_string(), "-js", "-sd"]);
        command.arg(self.folder.path()).args(&self.arguments).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
    }

    /// Kills it. What it has acknowledged is in its folder.
    pub async fn kill(&mut self) {
        if let Some(mut child) = self.running.take() {
            // One that has ended by itself is as dead.
            let _ = child.kill().await;
        }
    }
}

fn program() -> PathBuf {
    let system = PathBuf::from("/usr/sbin").join(NAME);
    match std::env::var_os(PROGRAM) {
        Some(program) => program.into(),
        // Debian puts it where only administrators look.
        None if system.exists() => system,
        None => NAME.into(),
    }
}

/// Whether a server says who it is: it speaks first.
async fn greets(address: SocketAddr) -> std::io::Result<()> {
    let mut greeting = [0; 4];
    TcpStream::connect(address).await?.read_exact(&mut greeting).await?;
    if &greeting == b"INFO" { Ok(()) } else { Err(std::io::ErrorKind::InvalidData.into()) }
}
