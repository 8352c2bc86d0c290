//! The project's chores, one verb each: `cargo xtask <verb>`.
//!
//! Modules are listed so that each one imports only those above it.

mod shell;

mod scratch;

mod report;

mod tools;

mod prism;

mod moto;

mod postgres;

mod tidy;

mod test;

mod ci;

mod bless;

mod demo;

mod load;

mod crash;

mod fuzz;

mod schemathesis;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's chores", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Set up what the tests need, then run every check and every test
    Test {
        /// Passed to `cargo nextest run`
        #[arg(last = true)]
        nextest: Vec<OsString>,
    },
    /// All of `test`, then the licenses, bans, sources and advisories of the dependencies
    Ci,
    /// Hold the dependencies to deny.toml: licenses, bans, sources and advisories
    Deny,
    /// Look for inputs that break what is read from outside
    Fuzz(fuzz::Extent),
    /// Ask a running gateway all that its description allows, and hold its answers to it
    Schemathesis(schemathesis::Extent),
    /// Check the rules of the house that the compiler and Clippy do not know
    Tidy,
    /// Run the server's tests and rewrite every snapshot that differs
    Bless,
    /// Run the gateway with a simulated provider, to look around
    Demo {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Kill the optimized gateway again and again, and look for what is lost or sent twice
    Crash(crash::Extent),
    /// Build the optimized gateway and put it under load
    Load {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Test { nextest } => test::run(&nextest),
        Verb::Ci => ci::run(),
        Verb::Deny => ci::deny(),
        Verb::Fuzz(extent) => fuzz::run(&extent),
        Verb::Schemathesis(extent) => schemathesis::run(&extent),
        Verb::Tidy => tidy::run(),
        Verb::Bless => bless::run(),
        Verb::Demo { args } => demo::run(&args),
        Verb::Crash(extent) => crash::run(&extent),
        Verb::Load { args } => load::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            shell::say(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
