//! The gate, and then what the dependencies are held to (deny.toml).

use anyhow::Result;

use crate::report::Report;
use crate::{shell, test, tools};

pub(crate) fn run() -> Result<()> {
    let mut report = Report::default();
    test::steps(&mut report, &[]);
    deny_steps(&mut report);
    report.finish()
}

/// The dependencies alone.
pub(crate) fn deny() -> Result<()> {
    let mut report = Report::default();
    deny_steps(&mut report);
    report.finish()
}

fn deny_steps(report: &mut Report) {
    if report.step("cargo-deny", tools::deny).is_some() {
        report.step("bans, licenses, sources", || deny_check(&["bans", "licenses", "sources"]));
        advisories(report);
    }
}

/// Known holes change without us, so a machine that cannot fetch them still gets its answer on the rest.
fn advisories(report: &mut Report) {
    if shell::run(shell::cargo("deny").args(["fetch", "db"])).is_ok() {
        report.step("advisories", || deny_check(&["advisories"]));
    } else {
        report.skip("advisories", "the advisory database could not be fetched, so nothing was looked up");
    }
}

fn deny_check(what: &[&str]) -> Result<()> {
    shell::run(shell::cargo("deny").args(["check", "--hide-inclusion-graph"]).args(what))
}
