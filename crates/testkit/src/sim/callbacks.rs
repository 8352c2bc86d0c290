//! When messages enter their stages, and who is told: one task that keeps time, and a bounded number of tasks
//! that post.
//!
//! All receipts of one message are posted by the same task, so they arrive in the order in which they happen
//! unless a fault says otherwise. Nothing is posted twice on failure: Twilio retries only where the URL asks for
//! it, and no schedule of Africa's Talking is known.

mod post;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

pub(crate) use self::post::Post;
use self::post::{PostError, Poster};
use crate::sim::life::{Stage, Step};

/// Receipts that wait for their moment or their turn. More are dropped, and counted.
const MOST_PENDING: u64 = 4_000_000;
/// Posts in line before one poster; then the timekeeper waits.
const LINE: usize = 256;
/// How long a request waits for its early receipts: as long as Twilio waits for an answer.
const EARLY_LIMIT: Duration = Duration::from_secs(15);

/// A message on its way.
pub(crate) trait Journey: Send + Sync {
    /// The message enters the stage. `false` if it no longer can: canceled, or deleted.
    fn enter(&self, stage: Stage) -> bool;

    /// What to post about it, if somebody is to be told.
    fn post(&self, stage: Stage) -> Option<Post>;
}

/// What became of the receipts.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Answered with 2xx.
    pub(crate) sent: AtomicU64,
    /// Answered otherwise, or not at all.
    pub(crate) failed: AtomicU64,
    /// Given up because too many were waiting.
    pub(crate) dropped: AtomicU64,
    /// Waiting for their moment or their turn, or being posted.
    pub(crate) pending: AtomicU64,
    /// Being posted, and not answered yet.
    pub(crate) under_way: AtomicU64,
}

/// The timetable, and the lines before the posters.
pub(crate) struct Callbacks {
    timetable: Mutex<BinaryHeap<Reverse<Stop>>>,
    earlier: Notify,
    lines: Vec<mpsc::Sender<Job>>,
    tally: Arc<Tally>,
    journeys: AtomicU64,
}

/// The tasks behind [`Callbacks`], to be run by its owner.
pub(crate) struct Posters {
    lines: Vec<mpsc::Receiver<Job>>,
    limit: Duration,
    tally: Arc<Tally>,
}

/// A journey that waits for its next step.
struct Stop {
    at: Instant,
    number: u64,
    start: Instant,
    journey: Arc<dyn Journey>,
    steps: std::vec::IntoIter<Step>,
    step: Step,
}

/// Something to post.
enum Job {
    /// The receipts of one step.
    Receipts { journey: Arc<dyn Journey>, step: Step, done: Option<oneshot::Sender<()>> },
    /// Something that belongs to no journey.
    Single { post: Post, heard: Option<oneshot::Sender<Bytes>> },
}

/// How a step went.
enum Made {
    /// Its receipts are in line.
    InLine,
    /// It has none.
    Silent,
    /// The journey was over before it.
    Over,
}

impl Callbacks {
    /// `posters` is how many requests to callback URLs are under way at most, `limit` how long one may take.
    pub(crate) fn new(posters: usize, limit: Duration) -> (Self, Posters) {
        let tally = Arc::new(Tally::default());
        let (senders, receivers) = (0..posters.max(1)).map(|_| mpsc::channel(LINE)).unzip();
        let callbacks = Self {
            timetable: Mutex::default(),
            earlier: Notify::new(),
            lines: senders,
            tally: Arc::clone(&tally),
            journeys: AtomicU64::new(0),
        };
        (callbacks, Posters { lines: receivers, limit, tally })
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Begins a journey: its steps happen in their time.
    pub(crate) fn begin(&self, journey: Arc<dyn Journey>, steps: Vec<Step>) {
        if !self.reserve(&steps) {
            return;
        }
        let mut steps = steps.into_iter();
        let Some(step) = steps.next() else { return };
        let start = Instant::now();
        let number = self.journeys.fetch_add(1, Ordering::Relaxed);
        self.put(Stop { at: start + step.after, number, start, journey, steps, step });
    }

    /// Makes the whole journey now, and waits until its receipts were answered.
    pub(crate) async fn hurry(&self, journey: Arc<dyn Journey>, steps: Vec<Step>) {
        if !self.reserve(&steps) {
            return;
        }
        let number = self.journeys.fetch_add(1, Ordering::Relaxed);
        let mut steps = steps.into_iter();
        while let Some(step) = steps.next() {
            let (done, finished) = oneshot::channel();
            match self.make(&journey, step, number, Some(done)).await {
                // An error means that the posters have stopped, and then nobody waits for the answer either.
                Made::InLine => drop(timeout(EARLY_LIMIT, finished).await),
                Made::Silent => {}
                Made::Over => {
                    return self.tally.release(u64::from(step.receipts) + receipts(steps.as_slice()));
                }
            }
        }
    }

    /// Posts something that belongs to no journey, such as a message from a phone.
    pub(crate) async fn post(&self, post: Post) {
        self.tally.pending.fetch_add(1, Ordering::Relaxed);
        let number = self.journeys.fetch_add(1, Ordering::Relaxed);
        self.line_up(number, Job::Single { post, heard: None }, 1).await;
    }

    /// The same, and waits for what is answered; `None` if it was not taken.
    pub(crate) async fn post_and_hear(&self, post: Post) -> Option<Bytes> {
        self.tally.pending.fetch_add(1, Ordering::Relaxed);
        let number = self.journeys.fetch_add(1, Ordering::Relaxed);
        let (heard, answer) = oneshot::channel();
        self.line_up(number, Job::Single { post, heard: Some(heard) }, 1).await;
        answer.await.ok()
    }

    /// Ends all journeys where they are, and counts from zero.
    pub(crate) fn clear(&self) {
        let stopped = std::mem::take(&mut *self.timetable.lock());
        for Reverse(stop) in stopped {
            self.tally.release(stop.receipts_left());
        }
        self.tally.sent.store(0, Ordering::Relaxed);
        self.tally.failed.store(0, Ordering::Relaxed);
        self.tally.dropped.store(0, Ordering::Relaxed);
    }

    /// Keeps time, for as long as it is polled.
    pub(crate) async fn keep_time(&self) {
        let mut due = Vec::new();
        loop {
            let next = self.take_due(&mut due);
            for stop in due.drain(..) {
                self.pass(stop).await;
            }
            match next {
                Some(next) => tokio::select! {
                    () = sleep_until(next) => {}
                    () = self.earlier.notified() => {}
                },
                None => self.earlier.notified().await,
            }
        }
    }

    /// Takes what is due, and tells when the next is.
    fn take_due(&self, due: &mut Vec<Stop>) -> Option<Instant> {
        let now = Instant::now();
        let mut timetable = self.timetable.lock();
        while let Some(Reverse(stop)) = timetable.peek() {
            if stop.at > now {
                return Some(stop.at);
            }
            due.extend(timetable.pop().map(|Reverse(stop)| stop));
        }
        None
    }

    async fn pass(&self, mut stop: Stop) {
        if let Made::Over = self.make(&stop.journey, stop.step, stop.number, None).await {
            self.tally.release(stop.receipts_left());
        } else if let Some(step) = stop.steps.next() {
            self.put(Stop { at: stop.start + step.after, step, ..stop });
        }
    }

    async fn make(
        &self,
        journey: &Arc<dyn Journey>,
        step: Step,
        number: u64,
        done: Option<oneshot::Sender<()>>,
    ) -> Made {
        if step.enters && !journey.enter(step.stage) {
            return Made::Over;
        }
        if step.receipts == 0 {
            return Made::Silent;
        }
        let job = Job::Receipts { journey: Arc::clone(journey), step, done };
        self.line_up(number, job, u64::from(step.receipts)).await;
        Made::InLine
    }

    async fn line_up(&self, number: u64, job: Job, count: u64) {
        let line = usize::try_from(number).unwrap_or_default() % self.lines.len();
        let Some(line) = self.lines.get(line) else { return };
        if line.send(job).await.is_err() {
            self.tally.release(count);
        }
    }

    fn put(&self, stop: Stop) {
        let mut timetable = self.timetable.lock();
        let earlier = timetable.peek().is_none_or(|Reverse(first)| stop.at < first.at);
        timetable.push(Reverse(stop));
        drop(timetable);
        if earlier {
            self.earlier.notify_one();
        }
    }

    /// Counts the receipts of `steps` as pending, unless there are too many.
    fn reserve(&self, steps: &[Step]) -> bool {
        let count = receipts(steps);
        if self.tally.pending.load(Ordering::Relaxed) + count > MOST_PENDING {
            self.tally.dropped.fetch_add(count, Ordering::Relaxed);
            return false;
        }
        self.tally.pending.fetch_add(count, Ordering::Relaxed);
        true
    }
}

impl Posters {
    /// Posts what comes into the lines, until all of them are closed. Dropped, it ends at once.
    pub(crate) async fn run(self) {
        let mut tasks = JoinSet::new();
        for line in self.lines {
            tasks.spawn(post_line(line, Poster::new(self.limit), Arc::clone(&self.tally)));
        }
        while tasks.join_next().await.is_some() {}
    }
}

async fn post_line(mut line: mpsc::Receiver<Job>, mut poster: Poster, tally: Arc<Tally>) {
    while let Some(job) = line.recv().await {
        match job {
            Job::Single { post, heard } => {
                if let (Some(answer), Some(heard)) = (tally.send(&mut poster, &post).await, heard) {
                    // Whoever waited may have given up.
                    let _ = heard.send(answer);
                }
            }
            Job::Receipts { journey, step, done } => {
                let post = journey.post(step.stage);
                for _ in 0..step.receipts {
                    match &post {
                        Some(post) => drop(tally.send(&mut poster, post).await),
                        None => tally.release(1),
                    }
                }
                if let Some(done) = done {
                    // Whoever waited may have given up.
                    let _ = done.send(());
                }
            }
        }
    }
}

impl Tally {
    async fn send(&self, poster: &mut Poster, post: &Post) -> Option<Bytes> {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let outcome = poster.send(post).await;
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        self.count(&outcome);
        outcome.ok()
    }

    fn count(&self, outcome: &Result<Bytes, PostError>) {
        match outcome {
            Ok(_answer) => &self.sent,
            Err(error) => {
                tracing::debug!(%error, "callback failed");
                &self.failed
            }
        }
        .fetch_add(1, Ordering::Relaxed);
        self.release(1);
    }

    fn release(&self, count: u64) {
        self.pending.fetch_sub(count, Ordering::Relaxed);
    }
}

fn receipts(steps: &[Step]) -> u64 {
    steps.iter().map(|step| u64::from(step.receipts)).sum()
}

impl Stop {
    fn receipts_left(&self) -> u64 {
        u64::from(self.step.receipts) + receipts(self.steps.as_slice())
    }
}

impl Ord for Stop {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl PartialOrd for Stop {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Stop {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Stop {}
