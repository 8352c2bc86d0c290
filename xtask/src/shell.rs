//! Running other programs and talking to the terminal; every verb goes through here.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The folder of the workspace's Cargo.toml.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    root().join(variable("CARGO_TARGET_DIR").unwrap_or_else(|| "target".to_owned()))
}

#[expect(clippy::print_stdout, reason = "talking to the person at the terminal is the job")]
pub(crate) fn say(line: impl Display) {
    println!("{line}");
}

/// An environment variable that is set and not empty.
#[expect(
    clippy::disallowed_methods,
    reason = "a chore has no settings file; CI speaks through the environment"
)]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// CI systems set CI=true.
pub(crate) fn in_ci() -> bool {
    variable("CI").is_some_and(|value| value != "false" && value != "0")
}

/// Where chores put the programs that they bring along, so that the home folder stays as it was.
pub(crate) fn tools() -> PathBuf {
    root().join("target/tools")
}

/// `cargo` in the workspace, which finds our tools after those the person has.
pub(crate) fn cargo(verb: &str) -> Command {
    let mut command = Command::new("cargo");
    command.arg(verb).current_dir(root());
    let mut folders: Vec<PathBuf> =
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    folders.push(tools().join("bin"));
    if let Ok(path) = std::env::join_paths(folders) {
        command.env("PATH", path);
    }
    // What is built once is not built in parts, and nobody takes a debugger to it.
    if in_ci() {
        command.env("CARGO_INCREMENTAL", "0").env("CARGO_PROFILE_DEV_DEBUG", "0");
    }
    command
}

/// Shows the command, runs it without input, and fails if it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = line_of(command);
    say(format_args!("$ {line}"));
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("could not start: {line}"))?;
    if !status.success() {
        bail!("failed ({status}): {line}");
    }
    Ok(())
}

/// What the command writes to its standard output, or nothing if it cannot start or fails.
pub(crate) fn answer(command: &mut Command) -> Option<String> {
    let output = command.current_dir(root()).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then_some(text)
}

/// Becomes the command, so that Ctrl-C and the exit code are its own; returns only on failure.
#[cfg(unix)]
pub(crate) fn become_program(command: &mut Command) -> Result<()> {
    use std::os::unix::process::CommandExt as _;

    let line = line_of(command);
    say(format_args!("$ {line}"));
    Err(command.exec()).with_context(|| format!("could not start: {line}"))
}

#[cfg(not(unix))]
pub(crate) fn become_program(command: &mut Command) -> Result<()> {
    let line = line_of(command);
    say(format_args!("$ {line}"));
    let status = command.status().with_context(|| format!("could not start: {line}"))?;
    std::process::exit(status.code().unwrap_or(1));
}

fn line_of(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
