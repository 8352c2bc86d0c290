//! `tuma opt-out`: who does not want what, from lists and into lists.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use domain::audit::Actor;
use domain::consent::{Change, Direction, Extent, Source};
use domain::phone::{Country, Msisdn, SenderId};
use domain::time::{Clock as _, Timestamp};
use gateway::{SystemClock, consent_id};
use store::Store;
use store::port::consent::{ChangeConsent, Changed, OptOutFilter};

use super::{print, say};
use crate::config::Config;

/// Lines that are entered together. Whoever accepts messages for one of these people waits for the commit of all of them.
const TOGETHER: usize = 20;

/// Opt-outs of a page that is printed.
const PAGE: u32 = 500;

/// Import a list of people who opted out, or print who has.
#[derive(Debug, Args)]
pub(super) struct OptOut {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Enter everybody on a list. It may be run again: who is entered already stays as he is.
    Import(Import),
    /// Print all opt-outs that hold, as a list that can be imported.
    Export,
}

#[derive(Debug, Args)]
struct Import {
    /// A file with one person a line: number, sender, extent, separated by commas. The sender may be empty for all
    /// senders; the extent is `promotional` or `all`. A first line with these names is left out. `-` reads standard input.
    file: PathBuf,
    /// The sender where a line names none; all senders unless given.
    #[arg(long)]
    sender: Option<SenderId>,
    /// How far, where a line does not say.
    #[arg(long, default_value = "all")]
    extent: Extent,
    /// Only say what is wrong with the list.
    #[arg(long)]
    dry_run: bool,
}

impl OptOut {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let store = store::open(config.database_url.expose(), config.store_options(false, false))
            .await
            .context("the store can't be opened")?;
        let done = match &self.verb {
            Verb::Import(import) => import.run(&*store, config.messages.default_region).await,
            Verb::Export => export(&*store).await,
        };
        store.close().await;
        done
    }
}

/// What a line says.
struct Line {
    number: Msisdn,
    sender: Option<SenderId>,
    extent: Extent,
}

/// What was done.
#[derive(Default)]
struct Counts {
    lines: usize,
    wrong: usize,
    entered: usize,
    stopped: u64,
}

impl Import {
    async fn run(&self, store: &dyn Store, region: Country) -> anyhow::Result<()> {
        let source: Box<dyn std::io::BufRead> = if self.file.as_os_str() == "-" {
            Box::new(std::io::stdin().lock())
        } else {
            Box::new(BufReader::new(File::open(&self.file).context("the list can't be opened")?))
        };
        let (mut counts, mut waiting) = (Counts::default(), Vec::new());
        for (at, text) in source.lines().enumerate() {
            let text = text.with_context(|| format!("line {} can't be read", at + 1))?;
            let text = text.trim_start_matches('\u{feff}').trim();
            if text.is_empty() || text.starts_with('#') || (at == 0 && is_header(text)) {
                continue;
            }
            counts.lines += 1;
            match self.read(text, region) {
                Ok(line) => waiting.push(line),
                Err(problem) => {
                    counts.wrong += 1;
                    // The line itself holds a number.
                    say(format_args!("line {}: {problem}", at + 1));
                }
            }
            if waiting.len() >= TOGETHER {
                self.enter(store, std::mem::take(&mut waiting), &mut counts).await?;
            }
        }
        self.enter(store, waiting, &mut counts).await?;
        let right = counts.lines - counts.wrong;
        if self.dry_run {
            print(format_args!("{right} of {} lines are right; nothing was entered", counts.lines));
        } else {
            let Counts { entered, stopped, .. } = counts;
            let before = right - entered;
            print(format_args!(
                "{entered} entered, {before} were so before, {stopped} messages that waited are stopped"
            ));
        }
        anyhow::ensure!(counts.wrong == 0, "{} lines are wrong, and were left out", counts.wrong);
        Ok(())
    }

    fn read(&self, text: &str, region: Country) -> Result<Line, String> {
        let mut fields = text.split(',').map(|field| field.trim().trim_matches('"'));
        let number = Msisdn::parse(fields.next().unwrap_or_default(), region)
            .map_err(|problem| format!("the number {problem}"))?;
        let sender = match fields.next().filter(|sender| !sender.is_empty()) {
            Some(sender) => Some(SenderId::parse(sender).map_err(|problem| format!("the sender {problem}"))?),
            None => self.sender.clone(),
        };
        let extent = match fields.next().filter(|extent| !extent.is_empty()) {
            Some(extent) => {
                extent.parse().map_err(|_unknown| "the extent is promotional or all".to_owned())?
            }
            None => self.extent,
        };
        match fields.next() {
            Some(_) => Err("has more than three fields".into()),
            None => Ok(Line { number, sender, extent }),
        }
    }

    async fn enter(&self, store: &dyn Store, lines: Vec<Line>, counts: &mut Counts) -> anyhow::Result<()> {
        if self.dry_run || lines.is_empty() {
            return Ok(());
        }
        let at = SystemClock::new().now();
        let changes = lines.into_iter().map(|line| change(line, at)).collect();
        for changed in store.change_consent(ChangeConsent { changes, by: Actor::Operator }).await? {
            if let Changed::Entered { stopped } = changed {
                counts.entered += 1;
                counts.stopped += stopped;
            }
        }
        Ok(())
    }
}

fn change(line: Line, at: Timestamp) -> Change {
    Change {
        id: consent_id(at),
        number: line.number,
        sender: line.sender,
        direction: Direction::OptOut,
        extent: line.extent,
        source: Source::Import,
        provider: None,
        inbound_id: None,
        detail: None,
        at,
    }
}

/// A line that names the columns: its first field has no digit.
fn is_header(text: &str) -> bool {
    let first = text.split(',').next().unwrap_or_default();
    !first.bytes().any(|byte| byte.is_ascii_digit())
}

/// Numbers in full: whoever is at the database has them anyway. Those of people who were forgotten are not known: whoever
/// takes the list elsewhere must hear that it does not hold them.
async fn export(store: &dyn Store) -> anyhow::Result<()> {
    print("number,sender,extent");
    let mut filter = OptOutFilter { limit: PAGE, ..OptOutFilter::default() };
    let mut forgotten = 0_usize;
    loop {
        let page = store.opt_outs(filter.clone()).await?;
        for record in &page {
            if let Some(number) = record.number {
                let sender = record.sender.as_ref().map_or("", SenderId::as_str);
                print(format_args!("{},{sender},{}", number.to_e164(), record.extent));
            } else {
                forgotten += 1;
            }
        }
        match page.last() {
            Some(last) if page.len() == PAGE as usize => filter.after = Some(last.id),
            _ => break,
        }
    }
    if forgotten > 0 {
        say(format_args!(
            "{forgotten} more hold of people who were forgotten: their numbers are not known. `tuma move` takes them along"
        ));
    }
    Ok(())
}
