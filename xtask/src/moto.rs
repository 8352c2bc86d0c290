//! Moto plays AWS Secrets Manager in the tests. Its version and every package under it are pinned by
//! `xtask/moto/requirements.txt`, which names no registry: pip asks the one it is set to.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell;

/// Tells the tests where the server is: the absolute path of a program.
pub(crate) const VARIABLE: &str = "TUMA_TEST_MOTO";

/// Puts Moto into a virtual environment under `target/moto`, unless it stands there already, and gives the path of its
/// server.
pub(crate) fn install() -> Result<PathBuf> {
    if let Some(program) = installed() {
        shell::say(format_args!("{} is up to date", program.display()));
        return Ok(program);
    }
    let (python, list) = (home().join("bin/python"), list());
    shell::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(home()))?;
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--requirement"]).arg(&list);
    shell::run(&mut pip)?;
    if !program().exists() {
        bail!("pip left no {}", program().display());
    }
    fs::copy(list, stamp()).context("could not write the stamp")?;
    Ok(program())
}

/// Moto's server, if what stands under `target/moto` was made from the list as it is now.
fn installed() -> Option<PathBuf> {
    let wanted = fs::read(list()).ok()?;
    let made_from = fs::read(stamp()).ok()?;
    (made_from == wanted && program().exists()).then(program)
}

fn list() -> PathBuf {
    shell::root().join("xtask/moto/requirements.txt")
}

fn home() -> PathBuf {
    shell::root().join("target/moto")
}

fn program() -> PathBuf {
    home().join("bin/moto_server")
}

/// A copy of the list, written last: it says that the install came to its end.
fn stamp() -> PathBuf {
    home().join("installed.txt")
}
