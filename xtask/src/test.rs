//! The full gate: what a change must pass before it is merged.

use std::ffi::OsString;

use anyhow::Result;

use crate::report::Report;
use crate::{postgres, prism, shell, tidy, tools};

/// Tests kill the program at its named points, which only a build with this feature has.
const FEATURES: [&str; 2] = ["--features", "server/fault-points"];

pub(crate) fn run(nextest: &[OsString]) -> Result<()> {
    let mut report = Report::default();
    steps(&mut report, nextest);
    report.finish()
}

/// Every step of the gate, the quick ones first.
pub(crate) fn steps(report: &mut Report, nextest: &[OsString]) {
    report.step("fmt", || shell::run(shell::cargo("fmt").args(["--all", "--check"])));
    report.step("tidy", tidy::run);
    report.step("C compiler", tools::compiler);
    report.step("clippy", clippy);
    report.step("cargo-nextest", tools::nextest);
    let prism = report.step("prism", || tools::node().and_then(|()| prism::install()));
    let server = report.step("postgres", || postgres::Server::start(&tools::postgres()?));
    report.step("tests", || {
        let mut command = shell::cargo("nextest");
        command.args(["run", "--workspace", "--all-targets"]).args(FEATURES);
        if shell::in_ci() {
            command.args(["--profile", "ci"]);
        }
        if let Some(program) = &prism {
            command.env(prism::VARIABLE, program);
        }
        if let Some(server) = &server {
            command.env(postgres::VARIABLE, server.url());
        }
        shell::run(command.args(nextest))
    });
    report
        .step("doc tests", || shell::run(shell::cargo("test").args(["--doc", "--workspace"]).args(FEATURES)));
}

fn clippy() -> Result<()> {
    let mut command = shell::cargo("clippy");
    command.args(["--all-targets", "--workspace"]).args(FEATURES).args(["--", "-D", "warnings"]);
    shell::run(&mut command)
}
