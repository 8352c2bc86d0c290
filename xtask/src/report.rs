//! A run of several steps. A failed step does not hide the next: the summary at the end names them all.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::shell::say;

#[derive(Default)]
pub(crate) struct Report {
    lines: Vec<Line>,
}

struct Line {
    step: String,
    end: End,
    took: Duration,
}

enum End {
    Passed,
    Failed(String),
    Skipped(String),
}

impl Report {
    /// Runs one step and notes how it ended; gives its value if it passed.
    #[expect(clippy::disallowed_methods, reason = "times the build, which no test fakes")]
    pub(crate) fn step<T>(&mut self, step: &str, work: impl FnOnce() -> Result<T>) -> Option<T> {
        say(format_args!("\n== {step}"));
        let start = Instant::now();
        let (end, value) = match work() {
            Ok(value) => (End::Passed, Some(value)),
            Err(error) => {
                say(format_args!("{error:#}"));
                (End::Failed(format!("{error:#}")), None)
            }
        };
        self.lines.push(Line { step: step.to_owned(), end, took: start.elapsed() });
        value
    }

    /// Notes, in the summary, a step that was not run and why.
    pub(crate) fn skip(&mut self, step: &str, why: &str) {
        say(format_args!("\n== {step}\nskipped: {why}"));
        let end = End::Skipped(why.to_owned());
        self.lines.push(Line { step: step.to_owned(), end, took: Duration::ZERO });
    }

    /// Prints the summary; an error if any step failed.
    pub(crate) fn finish(self) -> Result<()> {
        say("\n== summary");
        for line in &self.lines {
            say(line);
        }
        let failed = self.lines.iter().filter(|line| matches!(line.end, End::Failed(_))).count();
        if failed > 0 {
            bail!("{failed} of {} steps failed", self.lines.len());
        }
        say("everything passed");
        Ok(())
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, why) = match &self.end {
            End::Passed => ("passed", ""),
            End::Failed(why) => ("FAILED", why.as_str()),
            End::Skipped(why) => ("skipped", why.as_str()),
        };
        // The whole of a long error stands above, where it happened.
        let why = why.lines().next().unwrap_or_default();
        write!(f, "{word:<8}{:<26}{:>5} s", self.step, self.took.as_secs())?;
        if why.is_empty() { Ok(()) } else { write!(f, "  {why}") }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::Report;

    #[test]
    fn a_failed_step_fails_the_run_and_does_not_stop_it() {
        let mut report = Report::default();
        assert!(report.step("first", || -> anyhow::Result<()> { bail!("no") }).is_none());
        assert_eq!(report.step("second", || Ok(7)), Some(7));
        assert!(report.finish().is_err());
    }

    #[test]
    fn a_skipped_step_does_not_fail_the_run() {
        let mut report = Report::default();
        report.skip("first", "not here");
        assert!(report.finish().is_ok());
    }
}
