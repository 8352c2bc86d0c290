//! What must stand on the machine besides Rust; put there if it is missing and we may.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell;

/// The oldest Node that the pinned Prism runs on.
const NODE_MAJOR: u32 = 18;

/// The oldest Python 3 that the pinned Moto runs on.
const PYTHON_MINOR: u32 = 10;

/// The bundled SQLite is C.
pub(crate) fn compiler() -> Result<()> {
    if shell::variable("CC").is_some() || version("cc").is_some() {
        return Ok(());
    }
    install_packages(&["build-essential"])
}

/// Without the updater, which would bring a second TLS stack to build.
pub(crate) fn nextest() -> Result<()> {
    cargo_tool("nextest", &["cargo-nextest", "--no-default-features", "--features", "default-no-update"])
}

pub(crate) fn deny() -> Result<()> {
    cargo_tool("deny", &["cargo-deny"])
}

/// Prism, the mock server of the tests, runs on Node.
pub(crate) fn node() -> Result<()> {
    if version("node").is_none() || version("npm").is_none() {
        install_packages(&["nodejs", "npm"])?;
    }
    let version = version("node").context("node does not answer")?;
    match major(&version) {
        Some(found) if found >= NODE_MAJOR => Ok(()),
        _ => bail!("node {} is too old: {NODE_MAJOR} or newer is needed", version.trim()),
    }
}

/// Moto, which plays a store of secrets in the tests, runs on Python, in an environment of its own. Debian has what makes
/// those in a package apart.
pub(crate) fn python() -> Result<()> {
    let makes_environments = || {
        shell::answer(
            Command::new("python3").args(["-c", "import ensurepip, venv, sys; print(sys.version_info[1])"]),
        )
    };
    if makes_environments().is_none() {
        install_packages(&["python3", "python3-venv"])?;
    }
    let minor = makes_environments().context("python3 has no ensurepip or venv")?;
    match minor.trim().parse::<u32>() {
        Ok(found) if found >= PYTHON_MINOR => Ok(()),
        _ => bail!("Python 3.{} is too old: 3.{PYTHON_MINOR} or newer is needed", minor.trim()),
    }
}

/// Builds the tool if `cargo <verb>` does not answer. The dev profile: it takes a third of the time, and what the
/// tool does itself is little.
fn cargo_tool(verb: &str, install: &[&str]) -> Result<()> {
    if shell::answer(shell::cargo(verb).arg("--version")).is_some() {
        return Ok(());
    }
    let mut command = shell::cargo("install");
    command.args(["--locked", "--debug", "--root"]).arg(shell::tools()).args(install);
    shell::run(command.env("CARGO_PROFILE_DEV_DEBUG", "0"))
}

/// The folder of PostgreSQL's server programs, which Debian keeps off the path.
pub(crate) fn postgres() -> Result<PathBuf> {
    if find_postgres().is_none() {
        install_packages(&["postgresql"])?;
    }
    find_postgres().context("no PostgreSQL server is installed: initdb is not found")
}

fn find_postgres() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort();
    let path = shell::variable("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).collect::<Vec<_>>();
    let all = folders.into_iter().rev().chain(on_path);
    all.into_iter().find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists())
}

/// The message broker of the tests.
pub(crate) fn nats() -> Result<()> {
    if shell::variable("TUMA_TEST_NATS").is_some() || version("nats-server").is_some() {
        return Ok(());
    }
    install_packages(&["nats-server"])
}

fn install_packages(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    let is_root = shell::answer(Command::new("id").arg("-u")).is_some_and(|id| id.trim() == "0");
    if !is_root || !Path::new("/usr/bin/apt-get").exists() {
        bail!(
            "missing: {list}. Install it (on Debian and Ubuntu: sudo apt-get install {list}) and run this again"
        );
    }
    shell::run(apt_get().arg("update"))?;
    shell::run(apt_get().args(["install", "-y", "--no-install-recommends"]).args(packages))
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn version(program: &str) -> Option<String> {
    shell::answer(Command::new(program).arg("--version"))
}

fn major(version: &str) -> Option<u32> {
    version.trim().trim_start_matches('v').split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn major_is_read_from_what_node_prints() {
        assert_eq!(major("v20.20.2\n"), Some(20));
        assert_eq!(major("nothing"), None);
    }
}
