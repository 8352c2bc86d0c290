//! Prism plays Twilio from Twilio's own OpenAPI document. Its version and every package under it are pinned
//! by `xtask/prism/package-lock.json`, which names no registry: npm asks the one it is set to.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell;

/// Tells the tests where Prism is: the absolute path of a program that takes `mock`.
pub(crate) const VARIABLE: &str = "PRISM_CLI";

const LOCK: &str = "package-lock.json";

/// Puts Prism under `target/prism`, unless it stands there already, and gives the path of its program.
pub(crate) fn install() -> Result<PathBuf> {
    if let Some(program) = installed() {
        shell::say(format_args!("{} is up to date", program.display()));
        return Ok(program);
    }
    let (source, home) = (source(), home());
    fs::create_dir_all(&home).with_context(|| format!("could not create {}", home.display()))?;
    for file in ["package.json", LOCK] {
        fs::copy(source.join(file), home.join(file)).with_context(|| format!("could not copy {file}"))?;
    }
    // No package here needs an install script, so none gets to run one.
    shell::run(
        Command::new("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&home),
    )?;
    if !program().exists() {
        bail!("npm left no {}", program().display());
    }
    fs::copy(source.join(LOCK), stamp()).context("could not write the stamp")?;
    Ok(program())
}

/// Prism's program, if what stands under `target/prism` was made from the lock as it is now.
pub(crate) fn installed() -> Option<PathBuf> {
    let wanted = fs::read(source().join(LOCK)).ok()?;
    let made_from = fs::read(stamp()).ok()?;
    (made_from == wanted && program().exists()).then(program)
}

fn source() -> PathBuf {
    shell::root().join("xtask/prism")
}

fn home() -> PathBuf {
    shell::root().join("target/prism")
}

fn program() -> PathBuf {
    home().join("node_modules/.bin/prism")
}

/// A copy of the lock, written last: it says that the install came to its end.
fn stamp() -> PathBuf {
    home().join("installed-lock.json")
}
