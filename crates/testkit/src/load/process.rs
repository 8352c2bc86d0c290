//! The processes under load: the simulator and the gateway, on free ports and in a folder of their own.

use crate::database::DATA_KEY;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

use super::connection::{self, Connection};

/// How long a process may take to answer.
const START: Duration = Duration::from_secs(20);

/// A process that ends with this value.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Where it listens.
    pub address: String,
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Processor time in microseconds.
    pub cpu_us: u64,
    /// Resident memory in KiB.
    pub resident_kib: u64,
}

impl Process {
    /// Starts a process that will listen at `address`, and waits until `path` answers 200 there.
    pub async fn start(mut command: Command, address: String, path: &str) -> anyhow::Result<Self> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let mut process =
            Self { child: child.with_context(|| format!("{command:?} can't be started"))?, address };
        tokio::time::timeout(START, process.answers(path))
            .await
            .context("a process did not start in time")??;
        Ok(process)
    }

    async fn answers(&mut self, path: &str) -> anyhow::Result<()> {
        let request = connection::get(path);
        loop {
            if let Some(status) = self.child.try_wait()? {
                anyhow::bail!("a process ended at its start: {status}");
            }
            if let Ok(mut connection) = Connection::open(&self.address).await
                && matches!(connection.exchange(&request).await, Ok((200, _)))
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What it has used so far, from `/proc` (Linux; zero elsewhere).
    pub fn usage(&self) -> Usage {
        let read = |file: &str| {
            std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap_or_default()
        };
        let stat = read("stat");
        // After the name in brackets: user and system time are the 12th and 13th fields, in ticks of 10 ms.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        let resident = read("status")
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().trim_end_matches(" kB").parse().ok());
        Usage { cpu_us: (ticks(11) + ticks(12)) * 10_000, resident_kib: resident.unwrap_or(0) }
    }
}

impl Usage {
    /// What several processes have used together.
    pub fn of_all(processes: &[Process]) -> Self {
        processes.iter().map(Process::usage).fold(Self::default(), |sum, one| Self {
            cpu_us: sum.cpu_us + one.cpu_us,
            resident_kib: sum.resident_kib + one.resident_kib,
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A loopback address whose port is free now.
pub fn free_address() -> anyhow::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// Makes an API key in the gateway's database.
pub fn create_key(tuma: &Path, database: &str) -> anyhow::Result<String> {
    let output = Command::new(tuma)
        .args(["keys", "create", "--name", "load", "--scopes", "admin"])
        .env("TUMA_DATABASE_URL", database)
        .env("TUMA_DATA_KEY", DATA_KEY)
        .stderr(Stdio::null())
        .output()
        .with_context(|| format!("{} can't be started", tuma.display()))?;
    anyhow::ensure!(output.status.success(), "no key could be made");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
