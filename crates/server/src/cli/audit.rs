//! `tuma audit`: the trail of who did what, in the database itself.

mod export;
mod file;
mod tail;
mod verify;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use domain::audit::AuditKeys;
use domain::time::Timestamp;

use super::print;
use crate::config::Config;

/// Prove that the audit trail is whole, bring it elsewhere, or watch it.
#[derive(Debug, Args)]
pub(super) struct Audit {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Find the first entry that was changed, moved or taken out. Fails if there is one.
    Verify {
        /// The hash of a checkpoint that you have kept, as the log tells it: it must still be there.
        #[arg(long, value_name = "HASH")]
        checkpoint: Option<String>,
        /// An export to look at, in JSON lines, instead of the database.
        #[arg(long, value_name = "FILE", conflicts_with = "checkpoint")]
        file: Option<PathBuf>,
        /// The key that the export's checkpoints must be signed with, 64 hexadecimal digits, if you have it from
        /// elsewhere [default: that of the database of the settings]
        #[arg(long, value_name = "KEY", requires = "file")]
        public_key: Option<String>,
    },
    /// Print entries and checkpoints, chain by chain, with all that is needed to verify them.
    Export {
        /// From this time on, such as 2026-11-01T00:00:00Z.
        #[arg(long, value_name = "TIME")]
        since: Option<Timestamp>,
        /// Up to this time.
        #[arg(long, value_name = "TIME")]
        until: Option<Timestamp>,
        /// How.
        #[arg(long, value_enum, default_value = "jsonl")]
        format: Format,
    },
    /// Print the newest entries.
    Tail {
        /// How many.
        #[arg(long, short = 'n', default_value_t = 20)]
        lines: u32,
        /// Go on with those to come, until Ctrl-C.
        #[arg(long, short)]
        follow: bool,
    },
}

/// Forms of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A JSON object a line.
    Jsonl,
    /// Comma-separated, with a line of names.
    Csv,
}

impl Audit {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        // Whoever has an export and a key needs no database.
        if let Verb::Verify { file: Some(file), public_key: Some(key), .. } = &self.verb {
            return file::verify(file, &file::public_key(key)?);
        }
        let store = store::open(config.database_url.expose(), config.store_options(false, false))
            .await
            .context("the store can't be opened")?;
        let keys = AuditKeys::new(&store.derive_key(AuditKeys::PURPOSE));
        let done = match self.verb {
            Verb::Verify { file: Some(file), .. } => file::verify(&file, keys.public_key()),
            Verb::Verify { checkpoint, .. } => verify::run(&*store, &keys, checkpoint.as_deref()).await,
            Verb::Export { since, until, format } => {
                export::Export { store: &*store, keys: &keys, since, until }.run(format).await
            }
            Verb::Tail { lines, follow } => tail::run(&*store, lines, follow).await,
        };
        store.close().await;
        done
    }
}
