//! The crash test at length: the same test as in the gate, on the optimized build, with more deaths and messages.

use std::ffi::OsString;

use anyhow::Result;
use clap::Args;

use crate::postgres::{self, Server};
use crate::{shell, tools};

/// The module of the server's tests that dies.
const MODULE: &str = "program_crash::";

/// How much.
#[derive(Args)]
pub(crate) struct Extent {
    /// How often the program is killed at any moment; it dies at the named points besides
    #[arg(long, default_value_t = 200)]
    kills: u32,
    /// Requests to send, of which one in forty has ten receivers
    #[arg(long, default_value_t = 200_000)]
    messages: u32,
    /// What decides when it dies
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Passed to the test program
    #[arg(last = true)]
    args: Vec<OsString>,
}

/// Not by cargo-nextest, which ends tests that take minutes.
pub(crate) fn run(extent: &Extent) -> Result<()> {
    tools::compiler()?;
    let server = Server::start(&tools::postgres()?)?;
    let mut test = shell::cargo("test");
    test.args([
        "--release",
        "--package",
        "server",
        "--features",
        "fault-points",
        "--test",
        "it",
        "--",
        MODULE,
    ]);
    test.args(["--nocapture", "--test-threads", "1"]).args(&extent.args);
    test.env("TUMA_TEST_CRASH_KILLS", extent.kills.to_string());
    test.env("TUMA_TEST_CRASH_MESSAGES", extent.messages.to_string());
    test.env(postgres::VARIABLE, server.url());
    test.env("TUMA_TEST_CRASH_SEED", extent.seed.to_string());
    shell::run(&mut test)
}
