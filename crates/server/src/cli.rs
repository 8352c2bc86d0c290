//! The command line: a file for each verb.

mod audit;
mod check;
mod client;
mod demo;
mod explain;
mod forget;
mod guard;
mod health;
mod keys;
mod migrate;
mod move_;
mod opt_out;
mod prompt;
mod queue;
mod send;
mod serve;
mod template;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use gateway::SystemClock;

use crate::config::Config;
use crate::{secrets, telemetry};

/// A self-hosted SMS gateway for transactional messages.
#[derive(Debug, Parser)]
#[command(name = "tuma", version)]
pub struct Arguments {
    /// The settings file [default: tuma.toml, if it is there]
    #[arg(long, global = true, env = "TUMA_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the gateway.
    Serve(serve::Serve),
    /// Run the gateway against simulated networks, with nothing configured.
    Demo(demo::Demo),
    /// Send a message through a running gateway.
    Send(Box<send::Send>),
    /// Ask many through a running gateway, and count what they answer.
    Prompt(prompt::Prompt),
    /// Send one-time codes through a running gateway, and check them.
    Verify(verify::Verify),
    /// Ask a running gateway whether it can accept messages.
    Health(health::Health),
    /// Say what is wrong with the settings, where secrets come from, and whether each provider's credentials work.
    Check(check::Check),
    /// Show what waits, find what does not move, cancel messages or send them again.
    Queue(queue::Queue),
    /// Say what would become of a message, and send nothing.
    Explain(explain::Explain),
    /// Show what the guard against SMS pumping counted and decided.
    Guard(guard::Guard),
    /// Look for mistakes in templates, and say what their texts take to send at most.
    Template(template::Template),
    /// Make, list, rotate and end API keys.
    Keys(keys::Keys),
    /// Import a list of people who opted out, or print who has.
    OptOut(opt_out::OptOut),
    /// Erase what is known of a person.
    Forget(forget::Forget),
    /// Prove that the audit trail is whole, bring it elsewhere, or watch it.
    Audit(audit::Audit),
    /// Bring the database's schema up to date.
    Migrate,
    /// Carry all of a database into an empty one, such as from SQLite to PostgreSQL, and compare the two.
    Move(move_::Move),
}

/// Runs what the command line asks for.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let environment = environment()?;
    let load = || Config::load(arguments.config.as_deref().or(default_file()), environment.clone());
    let level = environment.iter().find(|(name, _)| name == "RUST_LOG").map(|(_, value)| value.clone());
    match arguments.verb {
        Verb::Demo(demo) => {
            telemetry::start_log(crate::config::LogFormat::Pretty, Some(level.as_deref().unwrap_or("warn")))?;
            demo.run().await
        }
        Verb::Send(send) => send.run(&environment).await,
        Verb::Prompt(prompt) => prompt.run(&environment).await,
        Verb::Verify(verify) => verify.run(&environment).await,
        Verb::Health(health) => health.run().await,
        Verb::Template(template) => template.run(),
        Verb::Move(move_) => {
            telemetry::start_log(crate::config::LogFormat::Pretty, Some(level.as_deref().unwrap_or("warn")))?;
            move_.run().await
        }
        verb => {
            let config = load()?;
            let quiet = !matches!(verb, Verb::Serve(_));
            let level = level.as_deref().or(quiet.then_some("warn"));
            telemetry::start_log(config.log.format, level)?;
            // `check` tells of each secret that can't be had; everything else needs them.
            let config = match &verb {
                Verb::Check(_) => config,
                _ => secrets::fetch(config, Arc::new(SystemClock::new())).await?,
            };
            match verb {
                // The largest of them, by what it holds while it waits.
                Verb::Serve(serve) => Box::pin(serve.run(config)).await,
                Verb::Check(check) => check.run(config).await,
                Verb::Queue(queue) => queue.run(&config).await,
                Verb::Explain(explain) => explain.run(&config).await,
                Verb::Guard(guard) => guard.run(&config).await,
                Verb::Keys(keys) => keys.run(&config).await,
                Verb::Audit(audit) => audit.run(&config).await,
                Verb::OptOut(opt_out) => opt_out.run(&config).await,
                Verb::Forget(forget) => forget.run(&config).await,
                Verb::Migrate => migrate::run(&config).await,
                Verb::Demo(_)
                | Verb::Send(_)
                | Verb::Prompt(_)
                | Verb::Verify(_)
                | Verb::Health(_)
                | Verb::Template(_)
                | Verb::Move(_) => Ok(()),
            }
        }
    }
}

fn default_file() -> Option<&'static Path> {
    let path = Path::new("tuma.toml");
    path.exists().then_some(path)
}

/// The environment, over what a `.env` file in the working directory says.
fn environment() -> anyhow::Result<Vec<(String, String)>> {
    let mut variables = Vec::new();
    if Path::new(".env").exists() {
        for variable in dotenvy::from_path_iter(".env").context(".env can't be read")? {
            // The error of a wrong line quotes the line.
            variables
                .push(variable.map_err(|_wrong| anyhow::anyhow!(".env has a line that is not NAME=value"))?);
        }
    }
    // Later ones win.
    variables.extend(
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
    );
    Ok(variables)
}

/// Says something to the person at the terminal, beside what a command prints as its result.
#[expect(clippy::print_stderr, reason = "this is the one place that talks to the terminal")]
fn say(line: impl std::fmt::Display) {
    eprintln!("{line}");
}

/// Prints a command's result.
#[expect(clippy::print_stdout, reason = "this is the one place that prints results")]
fn print(line: impl std::fmt::Display) {
    println!("{line}");
}
