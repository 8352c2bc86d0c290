//! How far a file is sent, kept beside it: batches, ids and reasons, and no number of anybody.
//!
//! A batch is asked for in rounds: all of its rows, and then, a run later, those that were refused for now. Each round has a
//! key of its own under which the gateway knows it again, and which follows from what is kept here.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::batch::Outcome;

/// How long a gateway knows a request again at least, less an hour for clocks that differ.
const KNOWN_AGAIN: Duration = Duration::from_hours(23);

/// What is sent, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run {
    /// The file and the options, as a hash.
    pub(super) rows: String,
    /// Where the gateway answers.
    pub(super) gateway: String,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry {
    /// The first one.
    Of(Run),
    /// A round of a batch is about to be asked for, by the holder of a key, of which this is a hash.
    Begun { batch: usize, round: usize, caller: String, at: Timestamp },
    /// It was refused as a whole: as if it had not begun.
    TakenBack { batch: usize, round: usize },
    /// What each row of it was answered.
    Ended { batch: usize, round: usize, outcomes: Vec<Outcome> },
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Begun {
    caller: String,
    at: Timestamp,
}

/// What is known of a batch.
#[derive(Debug, Default)]
struct Rounds {
    ended: Vec<Vec<Outcome>>,
    /// The round behind those, if it was begun.
    under_way: Option<Begun>,
}

/// What is known of the rows of a batch, and which of them are to be asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) known: Vec<Option<Outcome>>,
    pub(super) wanted: Vec<usize>,
}

/// How far a file is sent.
pub(super) struct Progress {
    file: File,
    run: Run,
    caller: String,
    batches: BTreeMap<usize, Rounds>,
}

impl Progress {
    /// Goes on where an earlier run has stopped, or begins. Only one run at a time.
    pub(super) fn open(path: &Path, run: Run, caller: String) -> anyhow::Result<Self> {
        let shown = path.display();
        let unwritable = || format!("{shown} can't be written");
        let file = OpenOptions::new().create(true).append(true).open(path).with_context(unwritable)?;
        file.try_lock().with_context(|| format!("{shown} is in use: is the file being sent already?"))?;
        let mut progress = Self { file, run, caller, batches: BTreeMap::new() };
        let (mut found, mut whole, mut line) = (None, 0, Vec::new());
        let mut earlier = BufReader::new(File::open(path).with_context(|| format!("{shown} can't be read"))?);
        loop {
            line.clear();
            let length =
                earlier.read_until(b'\n', &mut line).with_context(|| format!("{shown} can't be read"))?;
            // The last line may be a part of one, if the machine stopped, and be it all but its end.
            if !line.ends_with(b"\n") {
                break;
            }
            let entry = serde_json::from_slice(&line).ok();
            let is_next = match entry {
                Some(Entry::Of(run)) => found.replace(run).is_none(),
                Some(entry) => found.is_some() && progress.take(entry),
                None => false,
            };
            anyhow::ensure!(is_next, "{shown} is damaged: nothing is sent");
            whole += length as u64;
        }
        if let Some(found) = &found {
            progress.check(found, path)?;
        }
        progress.file.set_len(whole).with_context(unwritable)?;
        if found.is_none() {
            progress.write(&Entry::Of(progress.run.clone()))?;
        }
        Ok(progress)
    }

    fn check(&self, found: &Run, path: &Path) -> anyhow::Result<()> {
        let shown = path.display();
        anyhow::ensure!(
            found.gateway == self.run.gateway,
            "{shown} says what was sent by {}, and not by {}: nothing is sent. With another --progress it is sent to all \
             rows, also to those that had it from there",
            found.gateway,
            self.run.gateway
        );
        anyhow::ensure!(
            found.rows == self.run.rows,
            "{shown} is of another file, or of other options: nothing is sent. With another --progress it is sent to all \
             rows anew, also to those that have it already"
        );
        Ok(())
    }

    /// Takes note of what an earlier run wrote; `false` if that can't follow on what is known.
    fn take(&mut self, entry: Entry) -> bool {
        match entry {
            Entry::Of(_) => false,
            Entry::Begun { batch, round, caller, at } => {
                let rounds = self.batches.entry(batch).or_default();
                rounds.ended.len() == round && rounds.under_way.replace(Begun { caller, at }).is_none()
            }
            Entry::TakenBack { batch, round } => {
                let rounds = self.batches.entry(batch).or_default();
                rounds.ended.len() == round && rounds.under_way.take().is_some()
            }
            Entry::Ended { batch, round, outcomes } => {
                let rounds = self.batches.entry(batch).or_default();
                let is_next = rounds.ended.len() == round && rounds.under_way.take().is_some();
                rounds.ended.push(outcomes);
                is_next
            }
        }
    }

    /// What is known of a batch of so many rows; `None` if it has others.
    pub(super) fn standing(&self, batch: usize, rows: usize) -> Option<Standing> {
        let mut standing = Standing { known: vec![None; rows], wanted: (0..rows).collect() };
        for outcomes in self.batches.get(&batch).into_iter().flat_map(|rounds| &rounds.ended) {
            standing.learn(outcomes)?;
        }
        Some(standing)
    }

    fn round(&self, batch: usize) -> usize {
        self.batches.get(&batch).map_or(0, |rounds| rounds.ended.len())
    }

    /// What makes a batch's round repeatable.
    pub(super) fn key(&self, batch: usize) -> String {
        let rows = &self.run.rows;
        match self.round(batch) {
            0 => format!("csv-{rows}-{batch}"),
            again => format!("csv-{rows}-{batch}-again-{again}"),
        }
    }

    /// A batch is about to be asked for. Where an earlier run has done so without hearing an answer, it is asked for again only
    /// while the gateway knows it again: for a day, and from the same caller. Answers whether it was not asked for before.
    pub(super) fn begin(&mut self, batch: usize, now: Timestamp) -> anyhow::Result<bool> {
        let (round, first) = (self.round(batch), batch * 100 + 1);
        let rounds = self.batches.entry(batch).or_default();
        if let Some(Begun { caller, at }) = &rounds.under_way {
            anyhow::ensure!(
                *caller == self.caller,
                "rows from number {first} on were sent at {at} with another key and the answer was lost. Go on with that \
                 key: under this one the gateway does not know them again"
            );
            anyhow::ensure!(
                now.since(*at) < KNOWN_AGAIN,
                "rows from number {first} on were sent at {at} and the answer was lost, too long ago for the gateway to know \
                 them again. Look for their messages, and send the rest as another file"
            );
            return Ok(false);
        }
        let caller = self.caller.clone();
        rounds.under_way = Some(Begun { caller: caller.clone(), at: now });
        self.write(&Entry::Begun { batch, round, caller, at: now })?;
        Ok(true)
    }

    /// A batch was refused as a whole, and nothing of it is with the gateway.
    pub(super) fn take_back(&mut self, batch: usize) -> anyhow::Result<()> {
        let round = self.round(batch);
        self.batches.entry(batch).or_default().under_way = None;
        self.write(&Entry::TakenBack { batch, round })
    }

    /// What the rows that were asked for were answered.
    pub(super) fn end(&mut self, batch: usize, outcomes: Vec<Outcome>) -> anyhow::Result<()> {
        let round = self.round(batch);
        self.write(&Entry::Ended { batch, round, outcomes: outcomes.clone() })?;
        let rounds = self.batches.entry(batch).or_default();
        rounds.under_way = None;
        rounds.ended.push(outcomes);
        Ok(())
    }

    fn write(&mut self, entry: &Entry) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        written.context("the progress can't be written")
    }
}

impl Standing {
    /// Whether each row has an answer, if one for now.
    pub(super) fn is_answered(&self) -> bool {
        self.known.iter().all(Option::is_some)
    }

    /// Takes note of a round; `None` if it is of other rows.
    fn learn(&mut self, outcomes: &[Outcome]) -> Option<()> {
        if outcomes.len() != self.wanted.len() {
            return None;
        }
        for (row, outcome) in self.wanted.iter().zip(outcomes) {
            *self.known.get_mut(*row)? = Some(outcome.clone());
        }
        self.wanted.retain(|row| {
            self.known.get(*row).is_some_and(|known| known.as_ref().is_some_and(Outcome::is_for_now))
        });
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const NOON: Timestamp = Timestamp::from_micros(1_795_435_200_000_000);

    fn run() -> Run {
        Run { rows: "7f".into(), gateway: "https://sms.example.com".into() }
    }

    fn open(path: &Path) -> anyhow::Result<Progress> {
        Progress::open(path, run(), "wallet".into())
    }

    fn why(opened: anyhow::Result<Progress>) -> String {
        opened.err().map(|problem| problem.to_string()).unwrap_or_default()
    }

    fn sent(id: &str) -> Outcome {
        Outcome::Accepted(id.into())
    }

    fn refused(code: &str) -> Outcome {
        Outcome::Refused { code: code.into(), why: "is refused".into() }
    }

    #[test]
    fn what_was_answered_is_known_by_the_next_run_also_behind_a_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("members.csv.progress");
        let outcomes = vec![sent("msg_1"), refused("too_long")];
        let known = Standing { known: outcomes.iter().cloned().map(Some).collect(), wanted: vec![] };
        let mut first = open(&path).unwrap();
        assert!(first.begin(0, NOON).unwrap());
        first.end(0, outcomes.clone()).unwrap();
        first.begin(1, NOON).unwrap();
        let key = first.key(1);
        assert!(why(open(&path)).contains("is in use"));
        drop(first);
        let before = fs::read(&path).unwrap();
        let mut all = open(&path).unwrap();
        all.end(1, outcomes.clone()).unwrap();
        drop(all);
        let line = fs::read(&path).unwrap().split_off(before.len());
        // Torn anywhere, also just before its end.
        for torn in [1, line.len() / 2, line.len() - 1] {
            fs::write(&path, [&before, line.get(..torn).unwrap()].concat()).unwrap();
            let mut second = open(&path).unwrap();
            assert_eq!(second.standing(0, 2).as_ref(), Some(&known));
            assert_eq!(second.standing(1, 2).unwrap().wanted, [0, 1]);
            assert_eq!(second.key(1), key);
            assert!(!second.begin(1, NOON).unwrap(), "it was begun");
            second.end(1, outcomes.clone()).unwrap();
            drop(second);
            assert_eq!(open(&path).unwrap().standing(1, 2).as_ref(), Some(&known), "torn behind {torn}");
        }
        assert_eq!(open(&path).unwrap().standing(0, 3), None, "other rows");
    }

    #[test]
    fn damaged_file_is_not_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("progress");
        let mut progress = open(&path).unwrap();
        progress.begin(0, NOON).unwrap();
        progress.end(0, vec![sent("msg_1")]).unwrap();
        drop(progress);
        let whole = fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = whole.lines().collect();
        for damaged in [
            format!("{}\n{{}}\n{}\n", lines[0], lines[1]),
            format!("{}\n{}\n", lines[0], lines[2]),
            format!("{}\n", lines[1]),
        ] {
            fs::write(&path, &damaged).unwrap();
            assert!(why(open(&path)).contains("is damaged"), "{damaged}");
        }
    }

    #[test]
    fn what_is_refused_for_now_is_asked_for_again_by_the_next_run_under_a_key_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("progress");
        let mut first = open(&path).unwrap();
        first.begin(2, NOON).unwrap();
        let all = first.key(2);
        first
            .end(
                2,
                vec![refused("rate_limited"), sent("msg_1"), refused("no_provider"), refused("opted_out")],
            )
            .unwrap();
        drop(first);
        let mut second = open(&path).unwrap();
        assert_eq!(second.standing(2, 4).unwrap().wanted, [0, 2]);
        second.begin(2, NOON).unwrap();
        let again = second.key(2);
        drop(second);
        // The answer was lost: the same is asked for again.
        let mut third = open(&path).unwrap();
        assert_eq!((third.key(2), third.begin(2, NOON).unwrap()), (again.clone(), false));
        third.end(2, vec![sent("msg_2"), refused("rate_limited")]).unwrap();
        drop(third);
        let fourth = open(&path).unwrap();
        let standing = fourth.standing(2, 4).unwrap();
        assert_eq!(standing.wanted, [2]);
        let (first, third) = (standing.known[0].clone(), standing.known[2].clone());
        assert_eq!((first, third), (Some(sent("msg_2")), Some(refused("rate_limited"))));
        let last = fourth.key(2);
        assert!(all != again && again != last && all != last, "{all} {again} {last}");
    }

    #[test]
    fn other_rows_and_other_gateways_are_not_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("progress");
        drop(open(&path).unwrap());
        let other = Run { rows: "8f".into(), ..run() };
        let told = why(Progress::open(&path, other, "wallet".into()));
        assert!(told.contains("is of another file") && told.contains("to all rows anew"), "{told}");
        let staging = Run { gateway: "https://staging.example.com".into(), ..run() };
        let told = why(Progress::open(&path, staging, "wallet".into()));
        assert!(
            told.contains("by https://sms.example.com, and not by https://staging.example.com"),
            "{told}"
        );
    }

    #[test]
    fn batch_whose_answer_was_lost_is_sent_again_only_where_the_gateway_knows_it_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("progress");
        let mut progress = open(&path).unwrap();
        progress.begin(3, NOON).unwrap();
        assert!(!progress.begin(3, NOON.plus(Duration::from_hours(22))).unwrap());
        assert!(progress.begin(3, NOON.plus(Duration::from_hours(23))).is_err(), "too long ago");
        drop(progress);
        let mut other = Progress::open(&path, run(), "another key".into()).unwrap();
        let told = other.begin(3, NOON).unwrap_err().to_string();
        assert!(told.contains("with another key"), "{told}");
        assert!(other.begin(4, NOON).unwrap(), "what nobody asked for is anybody's");
        // What was refused as a whole was not asked for.
        other.take_back(4).unwrap();
        drop(other);
        let mut progress = open(&path).unwrap();
        assert!(progress.begin(4, NOON.plus(Duration::from_hours(48))).unwrap());
    }
}
