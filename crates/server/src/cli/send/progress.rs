//! How far a file is sent, kept beside it: batches, ids and reasons, and no number of anybody.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use domain::time::{Clock as _, Timestamp};
use gateway::SystemClock;
use serde::{Deserialize, Serialize};

use super::batch::Outcome;

/// How long a gateway knows a request again unless its settings say otherwise, less an hour for clocks that differ.
const KNOWN_AGAIN: Duration = Duration::from_hours(23);

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry {
    /// The first one: what is sent, as a hash.
    Of(String),
    /// A batch is about to be sent.
    Begun { batch: usize, at: Timestamp },
    /// What a batch was answered.
    Ended { batch: usize, outcomes: Vec<Outcome> },
}

/// How far a file is sent.
pub(super) struct Progress {
    file: File,
    digest: String,
    begun: BTreeMap<usize, Timestamp>,
    ended: BTreeMap<usize, Vec<Outcome>>,
}

impl Progress {
    /// Goes on where an earlier run has stopped, or begins. Only one run at a time.
    pub(super) fn open(path: &Path, digest: &str) -> anyhow::Result<Self> {
        let shown = path.display();
        let unwritable = || format!("{shown} can't be written");
        let file = OpenOptions::new().create(true).append(true).open(path).with_context(unwritable)?;
        file.try_lock().with_context(|| format!("{shown} is in use: is the file being sent already?"))?;
        let (mut begun, mut ended, mut found) = (BTreeMap::new(), BTreeMap::new(), None);
        let mut whole = 0;
        let earlier = File::open(path).with_context(|| format!("{shown} can't be read"))?;
        let mut is_torn = false;
        for line in BufReader::new(earlier).split(b'\n') {
            let line = line.with_context(|| format!("{shown} can't be read"))?;
            anyhow::ensure!(!is_torn, "{shown} is damaged: nothing is sent");
            let Ok(entry) = serde_json::from_slice(&line) else {
                // The last one may be a part of a line, if the machine stopped.
                is_torn = true;
                continue;
            };
            whole += line.len() as u64 + 1;
            match entry {
                Entry::Of(digest) => found = Some(digest),
                Entry::Begun { batch, at } => {
                    begun.entry(batch).or_insert(at);
                }
                Entry::Ended { batch, outcomes } => drop(ended.insert(batch, outcomes)),
            }
        }
        anyhow::ensure!(
            found.as_deref().is_none_or(|found| found == digest),
            "{shown} is of another file, or of other options: nothing is sent. Name another --progress to begin anew"
        );
        file.set_len(whole).with_context(unwritable)?;
        let mut progress = Self { file, digest: digest.into(), begun, ended };
        if found.is_none() {
            progress.write(&Entry::Of(digest.into()))?;
        }
        Ok(progress)
    }

    /// What a batch was answered, if it was.
    pub(super) fn outcomes(&self, batch: usize) -> Option<Vec<Outcome>> {
        self.ended.get(&batch).cloned()
    }

    /// What makes a batch repeatable.
    pub(super) fn key(&self, batch: usize) -> String {
        format!("csv-{}-{batch}", self.digest)
    }

    /// A batch is about to be sent. One that an earlier run has sent without hearing an answer is sent again only while the
    /// gateway knows it again.
    pub(super) fn begin(&mut self, batch: usize) -> anyhow::Result<()> {
        let now = SystemClock::new().now();
        if let Some(at) = self.begun.get(&batch) {
            anyhow::ensure!(
                now.since(*at) < KNOWN_AGAIN,
                "rows from number {} on were sent at {at} and the answer was lost, too long ago for the gateway to know \
                 them again. Look for their messages, and send the rest as another file",
                batch * 100 + 1
            );
            return Ok(());
        }
        self.begun.insert(batch, now);
        self.write(&Entry::Begun { batch, at: now })
    }

    /// What a batch was answered.
    pub(super) fn end(&mut self, batch: usize, outcomes: &[Outcome]) -> anyhow::Result<()> {
        self.write(&Entry::Ended { batch, outcomes: outcomes.to_vec() })
    }

    fn write(&mut self, entry: &Entry) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        written.context("the progress can't be written")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_answered_is_known_by_the_next_run_also_behind_a_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("members.csv.progress");
        let outcomes = vec![Outcome::Accepted("msg_1".into()), Outcome::Refused("is too short".into())];
        let mut first = Progress::open(&path, "7f").unwrap();
        first.begin(0).unwrap();
        first.end(0, &outcomes).unwrap();
        first.begin(1).unwrap();
        let key = first.key(1);
        assert!(Progress::open(&path, "7f").is_err(), "two at once");
        drop(first);
        let mut torn = OpenOptions::new().append(true).open(&path).unwrap();
        torn.write_all(b"{\"ended\":{\"batch\":1,\"outc").unwrap();
        drop(torn);
        let mut second = Progress::open(&path, "7f").unwrap();
        assert_eq!((second.outcomes(0), second.outcomes(1)), (Some(outcomes.clone()), None));
        assert_eq!(second.key(1), key);
        second.begin(1).unwrap();
        second.end(1, &outcomes).unwrap();
        drop(second);
        assert_eq!(Progress::open(&path, "7f").unwrap().outcomes(1), Some(outcomes));
        assert!(Progress::open(&path, "8f").is_err());
    }

    #[test]
    fn batch_whose_answer_was_lost_long_ago_is_not_sent_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut progress = Progress::open(&folder.path().join("progress"), "7f").unwrap();
        let now = SystemClock::new().now();
        progress.begun.insert(3, now.minus(Duration::from_hours(24)));
        assert!(progress.begin(3).is_err());
        progress.begun.insert(4, now.minus(Duration::from_hours(2)));
        assert!(progress.begin(4).is_ok());
    }
}
