//! The full gate: what a change must pass before it is merged.

use std::ffi::OsString;

use anyhow::Result;

use crate::report::Report;
use crate::scratch::Scratch;
use crate::{moto, postgres, prism, shell, tidy, tools};

/// Tests kill the program at its named points, which only a build with this feature has.
const FEATURES: [&str; 2] = ["--features", "server/fault-points"];

/// What runs once more with a PostgreSQL database: the use cases and the HTTP API. Not the tests of the program, which
/// bring their own database, nor those that have none, nor the matrix of the networks' faults, which starts hundreds of
/// gateways at once.
const ON_POSTGRES: &str = "(package(gateway) | package(server)) & kind(test) \
    & not test(/^(program|config|deploy|fuzz_corpus|secrets_read|secrets_vault|fault_matrix|audited::every_verb)/)";

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
    let moto = report.step("moto", || tools::python().and_then(|()| moto::install()));
    report.step("nats-server", tools::nats);
    let server = report.step("postgres", || postgres::Server::start(&tools::postgres()?));
    let scratch = Scratch::new("tests").ok();
    let tests = || {
        let mut command = shell::cargo("nextest");
        command.args(["run", "--workspace", "--all-targets"]).args(FEATURES);
        command.args(["--test-threads", &test_threads().to_string()]);
        if shell::in_ci() {
            command.args(["--profile", "ci"]);
        }
        if let Some(program) = &prism {
            command.env(prism::VARIABLE, program);
        }
        if let Some(program) = &moto {
            command.env(moto::VARIABLE, program);
        }
        if let Some(server) = &server {
            command.env(postgres::VARIABLE, server.url());
        }
        if let Some(scratch) = &scratch {
            command.env("TMPDIR", scratch.path());
        }
        command
    };
    report.step("tests", || shell::run(tests().args(nextest)));
    report.step("tests, on PostgreSQL", || {
        let mut command = tests();
        shell::run(command.args(["-E", ON_POSTGRES]).env(postgres::BACKEND, "postgres").args(nextest))
    });
    report
        .step("doc tests", || shell::run(shell::cargo("test").args(["--doc", "--workspace"]).args(FEATURES)));
}

/// Two more than there are processors: many tests wait for the program, for leases and for networks.
fn test_threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from) + 2
}

fn clippy() -> Result<()> {
    let mut command = shell::cargo("clippy");
    command.args(["--all-targets", "--workspace"]).args(FEATURES).args(["--", "-D", "warnings"]);
    shell::run(&mut command)
}
