//! A throw-away PostgreSQL server for the tests: its own folder, its own port, nothing left behind.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::scratch::Scratch;
use crate::shell;

/// Where tests find it: an address to which they add a database's name.
pub(crate) const VARIABLE: &str = "TUMA_TEST_POSTGRES";

/// Says which backend tests take where both would do.
pub(crate) const BACKEND: &str = "TUMA_TEST_BACKEND";

/// What `initdb` and the server don't do as root; Debian's package makes this user.
const USER: &str = "postgres";

/// A server that ends when it is dropped.
pub(crate) struct Server {
    programs: PathBuf,
    scratch: Scratch,
    port: u16,
}

impl Server {
    /// Makes a cluster and starts a server on it.
    pub(crate) fn start(programs: &Path) -> Result<Self> {
        let scratch = Scratch::new("pg")?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let server = Self { programs: programs.into(), scratch, port };
        if is_root() {
            shell::run(Command::new("chown").arg(USER).arg(server.folder()))?;
        }
        let data = server.data();
        let mut initdb = server.program("initdb");
        initdb.args([
            "--auth=trust",
            "--username=postgres",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
            "-D",
        ]);
        quietly(initdb.arg(&data), server.folder())?;
        let options = format!(
            "-p {port} -h 127.0.0.1 -k {} -c fsync=off -c max_connections=300 -c shared_buffers=128MB \
             -c max_wal_size=512MB -c deadlock_timeout=100ms",
            server.folder().display()
        );
        let mut start = server.program("pg_ctl");
        start
            .args(["-w", "-t", "60", "-o", &options, "-l"])
            .arg(server.folder().join("log"))
            .arg("-D")
            .arg(&data);
        quietly(start.arg("start"), server.folder())?;
        Ok(server)
    }

    /// Its address, without a database.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}", self.port)
    }

    fn folder(&self) -> &Path {
        self.scratch.path()
    }

    fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// One of its programs, run by a user that may.
    fn program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command
                .args([&format!("--reuid={USER}"), &format!("--regid={USER}"), "--clear-groups"])
                .arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(self.folder());
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.data();
        let mut stop = self.program("pg_ctl");
        stop.args(["-m", "immediate", "-D"]).arg(data).arg("stop");
        let _ = quietly(&mut stop, self.folder());
    }
}

fn is_root() -> bool {
    shell::answer(Command::new("id").arg("-u")).is_some_and(|id| id.trim() == "0")
}

/// Runs a command; what it says is told only if it fails. Not by pipes: a server that is left running would hold them
/// open.
fn quietly(command: &mut Command, folder: &Path) -> Result<()> {
    let line = format!("{command:?}");
    let said = folder.join("said");
    let file = File::create(&said)?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let status = command.status().with_context(|| format!("{line} can't be run"))?;
    let text = std::fs::read_to_string(&said).unwrap_or_default();
    anyhow::ensure!(status.success(), "{line} failed: {text}");
    Ok(())
}
