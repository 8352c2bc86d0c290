//! Load is measured on the optimized build only.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;

use crate::{shell, tools};

pub(crate) fn run(args: &[OsString]) -> Result<()> {
    tools::compiler()?;
    let mut build = shell::cargo("build");
    build.args([
        "--release",
        "--package",
        "server",
        "--bin",
        "tuma",
        "--package",
        "testkit",
        "--bin",
        "tuma-load",
        "--bin",
        "provider-sim",
    ]);
    shell::run(&mut build)?;
    let folder = shell::target().join("release");
    let mut load = Command::new(folder.join("tuma-load"));
    load.arg("--tuma").arg(folder.join("tuma")).args(args);
    shell::become_program(&mut load)
}
