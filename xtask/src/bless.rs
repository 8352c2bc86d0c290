//! Takes what the server answers now as what it should answer; read the diff before committing it.

use anyhow::Result;

use crate::{prism, shell, tools};

pub(crate) fn run() -> Result<()> {
    tools::nextest()?;
    let mut command = shell::cargo("nextest");
    command.args(["run", "--package", "server", "--no-fail-fast"]).env("INSTA_UPDATE", "always");
    if let Some(program) = prism::installed() {
        command.env(prism::VARIABLE, program);
    }
    shell::run(&mut command)
}
