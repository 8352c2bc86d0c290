//! `tuma queue`: what waits and what does not move, in the database itself, so that it also tells when no gateway runs.

use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use domain::audit::Actor;
use domain::ids::MessageId;
use domain::message::MessageStatus;
use domain::time::{Clock as _, Timestamp};
use gateway::again::{self, MoveError};
use gateway::{Settings, SystemClock};
use store::Store;
use store::port::messages::Cancel;
use store::port::queue::AGES;

use super::{print, say};
use crate::config::Config;

/// Show what waits, find what does not move, cancel messages or send them again.
#[derive(Debug, Args)]
pub(super) struct Queue {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List messages that have not moved for some time and have not ended, the oldest first.
    Stuck {
        /// For how long, such as 90s, 10m, 2h or 1d.
        #[arg(long, default_value = "10m", value_parser = age)]
        older_than: Duration,
        /// How many at most.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Stop messages that have not left.
    Cancel {
        /// Their ids.
        #[arg(required = true)]
        ids: Vec<MessageId>,
    },
    /// Send messages again that failed, expired or were not delivered, by the provider that they took last. A running
    /// gateway takes them up within seconds.
    Retry {
        /// Their ids.
        #[arg(required = true)]
        ids: Vec<MessageId>,
    },
}

impl Queue {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let store = store::open(config.database_url.expose(), config.store_options(false, false))
            .await
            .context("the store can't be opened")?;
        let now = SystemClock::new().now();
        let done = match self.verb {
            None => show(&*store, now).await,
            Some(Verb::Stuck { older_than, limit }) => stuck(&*store, now, older_than, limit).await,
            Some(Verb::Cancel { ids }) => cancel(&*store, now, ids).await,
            Some(Verb::Retry { ids }) => retry(&*store, &config.gateway(), now, &ids).await,
        };
        store.close().await;
        done
    }
}

async fn show(store: &dyn Store, now: Timestamp) -> anyhow::Result<()> {
    let (lanes, watches) = (store.depth(now).await?, store.watch_counts().await?);
    if lanes.is_empty() {
        say("nothing waits");
    } else {
        let ages = AGES.map(|seconds| format!("> {}", in_words(Duration::from_secs(seconds))));
        let [first, second, third] = &ages;
        print(format_args!(
            "{:<18}{:<10}{:>9}{:>9}{first:>9}{second:>9}{third:>9}  {}",
            "provider", "lane", "messages", "later", "oldest"
        ));
    }
    for lane in &lanes {
        let [first, second, third] = lane.overdue;
        let oldest = if lane.oldest_due_at > now {
            format!("due in {}", in_words(lane.oldest_due_at.since(now)))
        } else {
            format!("due for {}", in_words(now.since(lane.oldest_due_at)))
        };
        print(format_args!(
            "{:<18}{:<10}{:>9}{:>9}{first:>9}{second:>9}{third:>9}  {oldest}",
            lane.provider.as_str(),
            lane.priority.as_str(),
            lane.messages,
            lane.later
        ));
    }
    for watch in watches {
        print(format_args!(
            "watched for {:<12} {:>9}  next look {}, oldest accepted {}",
            watch.kind.as_str(),
            watch.watches,
            watch.next_due_at,
            watch.oldest_accepted_at
        ));
    }
    Ok(())
}

async fn stuck(store: &dyn Store, now: Timestamp, older_than: Duration, limit: u32) -> anyhow::Result<()> {
    let stuck = store.stuck(now.minus(older_than), limit).await?;
    if stuck.is_empty() {
        say(format_args!("nothing is stuck for longer than {}", in_words(older_than)));
    }
    for message in stuck {
        print(format_args!(
            "{}\t{}\t{}\t{}\tsince {} ({})",
            message.message_id,
            message.provider,
            message.priority,
            message.cause.as_str(),
            message.since,
            in_words(now.since(message.since))
        ));
    }
    Ok(())
}

async fn cancel(store: &dyn Store, now: Timestamp, ids: Vec<MessageId>) -> anyhow::Result<()> {
    let moved = store.cancel(Cancel { messages: ids.clone(), by: Actor::Operator, now }).await?;
    let mut refused = 0;
    for (id, moved) in ids.iter().zip(moved) {
        let is_canceled = moved.is_some_and(|moved| moved.to == MessageStatus::Canceled);
        refused += usize::from(!is_canceled);
        match moved {
            None => print(format_args!("{id}\tno such message")),
            Some(_) if is_canceled => print(format_args!("{id}\tcanceled")),
            Some(moved) => print(format_args!("{id}\ttoo late: it is {}", moved.to)),
        }
    }
    anyhow::ensure!(refused == 0, "{refused} of {} were not canceled", ids.len());
    Ok(())
}

async fn retry(
    store: &dyn Store,
    settings: &Settings,
    now: Timestamp,
    ids: &[MessageId],
) -> anyhow::Result<()> {
    let mut refused = 0;
    for id in ids {
        match again::by_operator(store, settings, *id, now).await {
            Ok(provider) => print(format_args!("{id}\tqueued again, by {provider}")),
            Err(MoveError::Store(problem)) => return Err(problem.into()),
            Err(refusal) => {
                refused += 1;
                match refusal {
                    MoveError::NotFound => print(format_args!("{id}\tno such message")),
                    MoveError::Stands(status) => print(format_args!("{id}\tnot sent again: it is {status}")),
                    other => print(format_args!("{id}\tnot sent again: {other}")),
                }
            }
        }
    }
    anyhow::ensure!(refused == 0, "{refused} of {} were not queued again", ids.len());
    Ok(())
}

/// A number and its unit: `90s`, `10m`, `2h`, `1d`.
fn age(text: &str) -> Result<Duration, String> {
    let wrong = || "write a number and its unit, such as 90s, 10m, 2h or 1d".to_owned();
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text.trim_end_matches(unit).parse().map_err(|_no_number| wrong())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

/// A length of time as people say it, in its largest unit.
fn in_words(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_a_number_and_its_unit() {
        for (text, seconds) in [("90s", 90), ("10m", 600), ("2h", 7_200), ("1d", 86_400), ("0s", 0)] {
            assert_eq!(age(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for wrong in ["", "10", "m", "10 m", "-1m", "1w", "99999999999999999999d", "9999999999999999999d"] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }
}
