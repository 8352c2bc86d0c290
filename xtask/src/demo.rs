//! The dev profile, so that it starts soon.

use std::ffi::OsString;

use anyhow::Result;

use crate::{shell, tools};

pub(crate) fn run(args: &[OsString]) -> Result<()> {
    tools::compiler()?;
    let mut command = shell::cargo("run");
    command.args(["--package", "server", "--bin", "tuma", "--", "demo"]).args(args);
    shell::become_program(&mut command)
}
