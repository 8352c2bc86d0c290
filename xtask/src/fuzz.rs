//! Fuzzing: random inputs for every reader that faces outside, guided by what they reach in the code.
//!
//! The targets have the layout of cargo-fuzz, which needs a nightly compiler, or a flag, and has to be installed. What it
//! does for us is little: it sets flags, and starts programs that libFuzzer is linked into. So this does it, with the
//! compiler that is there. No sanitizer: there is no unsafe code of ours for it to look at.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::report::Report;
use crate::{shell, tools};

/// What cargo-fuzz 0.13 sets without a sanitizer: LLVM counts the edges that are taken, and shows what is compared.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
                     -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0";

/// Bytes of an input. Longer ones take long and find nothing else.
const LONGEST: &str = "-max_len=2048";

/// What is fuzzed, and for how long.
#[derive(Args)]
pub(crate) struct Extent {
    /// Seconds for each target
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// One target; all of them, one after the other, where none is named
    target: Option<String>,
}

pub(crate) fn run(extent: &Extent) -> Result<()> {
    let all = targets()?;
    let chosen: Vec<&String> =
        all.iter().filter(|name| extent.target.as_ref().is_none_or(|wanted| wanted == *name)).collect();
    if chosen.is_empty() {
        bail!("no such target; there are {}", all.into_iter().collect::<Vec<_>>().join(", "));
    }
    tools::compiler()?;
    let mut report = Report::default();
    if let Some(programs) = report.step("build", build) {
        for target in chosen {
            report.step(target, || {
                search(&programs, target, extent.seconds)?;
                keep(&programs, target)
            });
        }
    }
    report.finish()
}

fn home() -> PathBuf {
    shell::root().join("fuzz")
}

fn work() -> PathBuf {
    shell::target().join("fuzz")
}

fn targets() -> Result<BTreeSet<String>> {
    let files = fs::read_dir(home().join("fuzz_targets")).context("there is no folder fuzz/fuzz_targets")?;
    let name = |file: fs::DirEntry| Some(file.path().file_stem()?.to_str()?.to_owned());
    Ok(files.flatten().filter_map(name).collect())
}

/// Builds all targets with the versions that the program is built with; gives the folder of the programs.
fn build() -> Result<PathBuf> {
    fs::copy(shell::root().join("Cargo.lock"), home().join("Cargo.lock"))
        .context("could not copy Cargo.lock")?;
    let about = shell::answer(Command::new("rustc").arg("-vV")).context("rustc does not answer")?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let mut command = shell::cargo("build");
    // With a target named, the flags are not for build scripts.
    command.args(["--manifest-path", "fuzz/Cargo.toml", "--bins", "--target", host]);
    shell::run(command.env("RUSTFLAGS", FLAGS).env("CARGO_TARGET_DIR", work()))?;
    Ok(work().join(host).join("debug"))
}

/// Looks for an input for which the property does not hold. New inputs gather in the target's folder of work.
fn search(programs: &Path, target: &str, seconds: u32) -> Result<()> {
    let found = work().join("found");
    let gathered = work().join("corpus").join(target);
    fs::create_dir_all(&found)?;
    fs::create_dir_all(&gathered)?;
    let mut command = Command::new(programs.join(target));
    command.arg(&gathered).arg(home().join("corpus").join(target));
    command.args([&format!("-max_total_time={seconds}"), LONGEST, "-timeout=10", "-rss_limit_mb=2048"]);
    command.args(["-print_final_stats=1", &format!("-artifact_prefix={}/{target}-", found.display())]);
    shell::run(&mut command).with_context(|| {
        format!("{target}: the input is in {}; once mended, keep it in fuzz/corpus/{target}", found.display())
    })
}

/// Keeps of all inputs the fewest that reach all that any of them reaches, beside those that people have named.
fn keep(programs: &Path, target: &str) -> Result<()> {
    let (kept, gathered) = (home().join("corpus").join(target), work().join("corpus").join(target));
    let fewest = work().join("fewest").join(target);
    let _ = fs::remove_dir_all(&fewest);
    fs::create_dir_all(&fewest)?;
    let mut command = Command::new(programs.join(target));
    command.args(["-set_cover_merge=1", "-use_counters=0", LONGEST]).args([&fewest, &kept, &gathered]);
    shell::run(&mut command)?;
    let mut named = BTreeSet::new();
    for file in fs::read_dir(&kept)?.flatten() {
        if is_hash(&file.file_name().to_string_lossy()) {
            fs::remove_file(file.path())?;
        } else {
            named.insert(fs::read(file.path())?);
        }
    }
    for file in fs::read_dir(&fewest)?.flatten() {
        if !named.contains(&fs::read(file.path())?) {
            fs::copy(file.path(), kept.join(file.file_name()))?;
        }
    }
    Ok(())
}

/// libFuzzer names inputs by their SHA-1.
fn is_hash(name: &str) -> bool {
    name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_have_named_is_told_from_what_the_fuzzer_has() {
        assert!(is_hash("da39a3ee5e6b4b0d3255bfef95601890afd80709"));
        assert!(!is_hash("kenya_national"));
    }

    #[test]
    fn every_program_under_fuzz_is_a_target() {
        assert!(targets().unwrap().contains("phone"));
    }
}
