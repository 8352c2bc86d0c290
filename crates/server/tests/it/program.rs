//! The program `tuma`, run in a folder and an environment of its own.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::Method;
use tempfile::TempDir;
use testkit::wait::{LONG, wait_for};
use tokio::process::{Child, Command};

use crate::app::environment;
use crate::http::{Client, Request};

/// What an operator has: a working directory, with the database in it, and an environment.
pub(crate) struct Site {
    folder: TempDir,
    environment: Vec<(String, String)>,
    largest_file: Option<u32>,
    runs: AtomicUsize,
}

/// A run that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A running `tuma serve`. It is killed when it is dropped.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    child: Child,
    output: Output,
    client: Client,
}

/// Where a run's standard output and standard error go.
struct Output {
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Site {
    /// Both providers at a simulator; `info` is logged.
    pub(crate) fn new(simulator: &str) -> Self {
        let mut environment = environment(simulator, "sqlite:tuma.db");
        environment.push(("RUST_LOG".into(), "info".into()));
        Self { environment, ..Self::bare() }
    }

    /// Nothing is set.
    pub(crate) fn bare() -> Self {
        let folder = TempDir::new().unwrap();
        Self { folder, environment: Vec::new(), largest_file: None, runs: AtomicUsize::new(0) }
    }

    /// Sets a variable of the environment; the last one counts.
    pub(crate) fn set(mut self, variable: &str, value: &str) -> Self {
        self.environment.push((variable.to_owned(), value.to_owned()));
        self
    }

    /// Lets no file that the program writes grow beyond so many blocks of 512 bytes; `None` lets all.
    pub(crate) fn largest_file(self, blocks: Option<u32>) -> Self {
        Self { largest_file: blocks, ..self }
    }

    /// A file in the working directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The names of the files in the working directory.
    pub(crate) fn files(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = match self.largest_file {
            None => Command::new(env!("CARGO_BIN_EXE_tuma")),
            Some(blocks) => limited(blocks),
        };
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null()).kill_on_drop(true);
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs it to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Finished {
        let output = self.command(arguments).output().await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Finished { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Makes a key.
    pub(crate) async fn key(&self, scopes: &str) -> String {
        let made = self.run(&["keys", "create", "--name", "test", "--scopes", scopes]).await;
        assert_eq!(made.code, Some(0), "{}", made.stderr);
        made.stdout.trim_end().to_owned()
    }

    /// Runs a verb that goes on until it is told to stop.
    pub(crate) fn start(&self, arguments: &[&str]) -> (Child, impl Fn() -> String + use<>) {
        let output = self.output();
        let child = self.spawn(arguments, &output);
        (child, move || output.stdout() + &output.log())
    }

    fn spawn(&self, arguments: &[&str], output: &Output) -> Child {
        let mut command = self.command(arguments);
        let to = |path: &Path| File::create(path).unwrap();
        command.stdout(to(&output.stdout)).stderr(to(&output.stderr)).spawn().unwrap()
    }

    fn output(&self) -> Output {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        let path = |name: &str| self.folder.path().join(format!(".{name}.{run}"));
        Output { stdout: path("stdout"), stderr: path("stderr") }
    }

    /// Starts `tuma serve`, and returns when it listens.
    pub(crate) async fn serve(&self) -> Served {
        let output = self.output();
        let mut child = self.spawn(&["serve"], &output);
        let listens = async || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("tuma serve ended with {status}: {}", output.log());
            }
            output.address()
        };
        let address = wait_for(listens, LONG).await;
        let address = address.unwrap_or_else(|problem| panic!("{problem}: {}", output.log()));
        Served { address, child, output, client: Client::new() }
    }
}

impl Output {
    fn log(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap()
    }

    fn stdout(&self) -> String {
        std::fs::read_to_string(&self.stdout).unwrap()
    }

    /// What the log says it listens at, whatever the form of the log.
    fn address(&self) -> Option<SocketAddr> {
        let log = self.log();
        let line = log.lines().find(|line| line.contains("listening") && line.contains("address"))?;
        let (_, after) = line.split_once("127.0.0.1:")?;
        let port: String = after.chars().take_while(char::is_ascii_digit).collect();
        Some((std::net::Ipv4Addr::LOCALHOST, port.parse().ok()?).into())
    }
}

impl Served {
    pub(crate) fn request(&self, method: Method, path: &str) -> Request {
        self.client.request(method, &format!("http://{}{path}", self.address))
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.output.log()
    }

    /// What it has printed so far.
    pub(crate) fn stdout(&self) -> String {
        self.output.stdout()
    }

    /// Ends it as `kill -9` does.
    pub(crate) async fn kill(&self) {
        signal(&self.child, "KILL").await;
    }

    /// Tells it to stop, as a service manager does.
    pub(crate) async fn terminate(&self) {
        signal(&self.child, "TERM").await;
    }

    /// The limits that the system holds it to, as Linux shows them.
    pub(crate) fn limits(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/limits", self.child.id().unwrap())).unwrap()
    }

    /// Tells it to look at its files again.
    pub(crate) async fn hang_up(&self) {
        signal(&self.child, "HUP").await;
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(mut self) -> Finished {
        let status = tokio::time::timeout(LONG, self.child.wait()).await;
        let status = status.unwrap_or_else(|_late| panic!("it does not end: {}", self.log())).unwrap();
        Finished { code: status.code(), stdout: self.stdout(), stderr: self.log() }
    }
}

/// Sends a signal by its name, by the shell's own `kill`: signals from Rust need unsafe code.
pub(crate) async fn signal(child: &Child, name: &str) {
    let process = child.id().unwrap().to_string();
    let sent =
        Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &process]).status().await.unwrap();
    assert!(sent.success());
}

/// The program with a limit on the size of files, which does to it what a full disk does: writing fails.
fn limited(blocks: u32) -> Command {
    let mut command = Command::new("sh");
    // Without the trap, the system ends who writes too much.
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_tuma")]);
    command
}
