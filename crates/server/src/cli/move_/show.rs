//! How far a move has come, for whoever waits for it: bars on a terminal, else a line now and then.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use store::transfer::{Progress, Stage, Tally};
use tokio::time::Instant;

use super::super::say;

/// From one line to the next, where there is no terminal.
const TURN: Duration = Duration::from_secs(5);

const BAR: &str = "{prefix:<24} {bar:24} {human_pos:>12} of {human_len} rows, {rate} rows/s, {eta} left";

/// Settling does not go by rows.
const BAR_OF_TABLES: &str = "{prefix:<24} {bar:24} {human_pos:>12} of {human_len} tables";

/// Shows it.
pub(super) enum Show {
    Bars(Bars),
    Lines(Lines),
}

impl Show {
    pub(super) fn new() -> Self {
        if std::io::stderr().is_terminal() {
            Self::Bars(Bars { bars: MultiProgress::new(), now: None })
        } else {
            Self::Lines(Lines { begun: None, said: Instant::now(), ended: None })
        }
    }

    pub(super) fn see(&mut self, progress: Progress) {
        match self {
            Self::Bars(bars) => bars.see(progress),
            Self::Lines(lines) => lines.see(progress),
        }
    }
}

fn word(stage: Stage) -> &'static str {
    match stage {
        Stage::Reading => "reading",
        Stage::Copying => "copying",
        Stage::Settling => "settling",
        Stage::Comparing => "comparing",
    }
}

/// One bar for the table, one below it for all of them.
pub(super) struct Bars {
    bars: MultiProgress,
    now: Option<Now>,
}

/// What the bars are about.
struct Now {
    stage: Stage,
    table: &'static str,
    of_table: ProgressBar,
    of_all: ProgressBar,
}

impl Bars {
    fn see(&mut self, progress: Progress) {
        let Progress { stage, table, rows, all } = progress;
        if let Some(earlier) = self.now.take_if(|now| now.stage != stage) {
            earlier.clear();
        }
        let mut now = self.now.take().unwrap_or_else(|| {
            let of_all = self.bars.add(bar(stage, all, format!("{}, all tables", word(stage))));
            Now { stage, table: "", of_table: ProgressBar::hidden(), of_all }
        });
        if now.table != table {
            now.of_table.finish_and_clear();
            let of_table = bar(stage, rows, format!("{} {table}", word(stage)));
            now = Now { table, of_table: self.bars.insert_before(&now.of_all, of_table), ..now };
        }
        now.of_table.set_position(rows.done);
        now.of_all.set_position(all.done);
        self.now = Some(now);
    }
}

impl Now {
    fn clear(&self) {
        self.of_table.finish_and_clear();
        self.of_all.finish_and_clear();
    }
}

/// Leaves the terminal as it was for what is said next.
impl Drop for Bars {
    fn drop(&mut self) {
        if let Some(now) = &self.now {
            now.clear();
        }
    }
}

fn bar(stage: Stage, tally: Tally, prefix: String) -> ProgressBar {
    let template = if stage == Stage::Settling { BAR_OF_TABLES } else { BAR };
    // A template that can't be read is a mistake of this file, which a test finds: then the bar is a plain one.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_wrong| ProgressStyle::default_bar());
    // What an earlier run did says nothing about how fast this one is.
    let style = style.with_key("rate", |state: &ProgressState, to: &mut dyn std::fmt::Write| {
        // Where it can't be written, nobody reads it.
        let _ = write!(to, "{:.0}", state.per_sec());
    });
    let bar = ProgressBar::no_length().with_style(style).with_prefix(prefix).with_position(tally.done);
    bar.set_length(tally.of);
    bar.reset_eta();
    bar
}

/// A line at the end of each table, and every few seconds.
pub(super) struct Lines {
    /// The stage, when it began, and what was done by then.
    begun: Option<(Stage, Instant, u64)>,
    said: Instant,
    /// The table whose end was told.
    ended: Option<(Stage, &'static str)>,
}

impl Lines {
    fn see(&mut self, progress: Progress) {
        let now = Instant::now();
        let Progress { stage, table, rows, all } = progress;
        let (began, before) = match self.begun {
            Some((of, began, before)) if of == stage => (began, before),
            _ => {
                self.begun = Some((stage, now, all.done));
                (now, all.done)
            }
        };
        let is_end = rows.done >= rows.of && self.ended != Some((stage, table));
        if !is_end && now.duration_since(self.said) < TURN {
            return;
        }
        self.said = now;
        if is_end {
            self.ended = Some((stage, table));
        }
        let pace = pace(all, all.done.saturating_sub(before), now.duration_since(began));
        say(format_args!("{} {table}: {} of {} ({pace})", word(stage), rows.done, rows.of));
    }
}

/// How fast it is, and what is left.
fn pace(all: Tally, done: u64, took: Duration) -> String {
    let percent = (all.done * 100).checked_div(all.of).unwrap_or(100);
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let left = all.of.saturating_sub(all.done);
    match (done * 1_000).checked_div(millis) {
        Some(rate @ 1..) => format!("{percent} % of all, {rate} a second, {} s left", left.div_ceil(rate)),
        _ => format!("{percent} % of all"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_of_the_bars_can_be_read() {
        for template in [BAR, BAR_OF_TABLES] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn pace_says_how_much_is_done_how_fast_and_what_is_left() {
        let all = Tally { done: 600, of: 1_000 };
        assert_eq!(pace(all, 400, Duration::from_secs(2)), "60 % of all, 200 a second, 2 s left");
        assert_eq!(pace(all, 0, Duration::from_secs(2)), "60 % of all");
        assert_eq!(pace(Tally::default(), 0, Duration::ZERO), "100 % of all");
    }
}
