//! `tuma move`: carries a whole database into another one, from SQLite to PostgreSQL or the other way.
//!
//! The settings are not read: two addresses are all that it needs, and it must not take the one that a gateway serves
//! for one of them by mistake.

mod show;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use domain::time::Clock as _;
use gateway::SystemClock;
use store::transfer::{BATCH, Compared, Outcome, Report, Transfer, TransferError, transfer};

use self::show::Show;
use super::{print, say, serve};
use crate::config::DatabaseUrl;

/// A node says each second that it lives, and is forgotten after ten: whoever said so within this time may serve.
const MAY_SERVE: Duration = Duration::from_secs(15);

/// Carry all of a database into an empty one, and compare the two.
#[derive(Debug, Args)]
pub(super) struct Move {
    /// The database to read, such as sqlite:tuma.db. Nobody may serve it. It is left as it is.
    #[arg(long, env = "TUMA_MOVE_FROM", hide_env_values = true, value_name = "ADDRESS")]
    from: DatabaseUrl,
    /// The empty database to write to, such as postgres:... An address with a password belongs into the environment:
    /// everybody on this machine can read command lines.
    #[arg(long, env = "TUMA_MOVE_TO", hide_env_values = true, value_name = "ADDRESS")]
    to: DatabaseUrl,
}

impl Move {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let what = Transfer {
            from: self.from.expose().to_owned(),
            to: self.to.expose().to_owned(),
            served_since: SystemClock::new().now().minus(MAY_SERVE),
            batch: BATCH,
        };
        let stop = Arc::new(AtomicBool::new(false));
        let report = until_stopped(what, &stop).await?;
        if report.outcome == Outcome::MovedBefore {
            say("this source was moved into this target before, and was compared then: nothing is done");
            return Ok(());
        }
        show_report(&report);
        anyhow::ensure!(
            report.outcome == Outcome::Moved,
            "source and target are NOT the same: tuma will not open this target. Move into a new, empty one"
        );
        say(
            "everything is in the target, and the same. Set TUMA_DATABASE_URL to it before you start the gateway",
        );
        say(
            "the data keys were carried too: TUMA_DATA_KEY must open them. Of an SQLite file without it, the key is in <file>.key",
        );
        say("let nothing serve the source any more: what waits in it would be sent a second time");
        Ok(())
    }
}

/// Carries, until it is done or somebody asks to stop, which takes as long as the transaction under way; the second time it
/// ends at once.
async fn until_stopped(what: Transfer, stop: &Arc<AtomicBool>) -> Result<Report, anyhow::Error> {
    let (mut show, stopping) = (Show::new(), Arc::clone(stop));
    let carry = transfer(what, move |progress| {
        show.see(progress);
        if stopping.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let mut carry = std::pin::pin!(carry);
    let carried: Result<Report, TransferError> = tokio::select! {
        carried = &mut carry => carried,
        asked = serve::stop_asked() => {
            asked?;
            stop.store(true, Ordering::Relaxed);
            say("stopping after the transaction under way");
            tokio::select! {
                carried = &mut carry => carried,
                again = serve::stop_asked() => {
                    again?;
                    // The databases take back what is not committed; the next run goes on from there.
                    std::process::exit(1);
                }
            }
        }
    };
    Ok(carried?)
}

fn show_report(report: &Report) {
    let line = |table: &str, rows: [&str; 2], hashes: [&str; 2], verdict: &str| {
        print(format_args!(
            "{table:<12} {:>12} {:>12}  {:<32}  {:<32}  {verdict}",
            rows[0], rows[1], hashes[0], hashes[1]
        ));
    };
    line("table", ["source", "target"], ["sha-256 of the source's rows", "of the target's rows"], "");
    for Compared { table, source, target } in &report.tables {
        let rows = [source.rows.to_string(), target.rows.to_string()];
        let hashes = [source.to_string(), target.to_string()];
        let verdict = if source == target { "same" } else { "DIFFERS" };
        line(table, rows.each_ref().map(String::as_str), hashes.each_ref().map(String::as_str), verdict);
    }
}
