//! A server of Moto for a test, which plays AWS Secrets Manager: its own port, nothing kept.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;

use tokio::net::{TcpSocket, TcpStream};
use tokio::process::{Child, Command};

use crate::wait::{LONG, wait_for};

/// Tells where the program is.
const PROGRAM: &str = "TUMA_TEST_MOTO";

/// A server that is killed when it is dropped.
#[derive(Debug)]
pub struct MotoServer {
    address: SocketAddr,
    _running: Child,
    /// Keeps the port from others while the server does not listen yet.
    _kept: TcpSocket,
}

impl MotoServer {
    /// Starts it, and returns when it answers.
    ///
    /// # Panics
    /// Where there is none: a test can't go on then.
    #[expect(clippy::panic, reason = "a test has nothing to fall back to")]
    pub async fn start() -> Self {
        let program = std::env::var_os(PROGRAM).filter(|program| Path::new(program).exists());
        let Some(program) = program else {
            panic!("there is no Moto server: run `cargo xtask test`, which installs it, or set {PROGRAM}")
        };
        let server = Self::spawn(program).unwrap_or_else(|problem| panic!("Moto can't be run: {problem}"));
        let listens = wait_for(async || TcpStream::connect(server.address).await.ok(), LONG).await;
        listens.unwrap_or_else(|problem| panic!("Moto does not listen: {problem}"));
        server
    }

    fn spawn(program: OsString) -> std::io::Result<Self> {
        // Bound and not listening: a server that may share the address, as Python's does, can listen there.
        let kept = TcpSocket::new_v4()?;
        kept.set_reuseaddr(true)?;
        kept.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = kept.local_addr()?;
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", &address.port().to_string()]).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { address, _running: command.spawn()?, _kept: kept })
    }

    /// Its address, as the settings want it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}
