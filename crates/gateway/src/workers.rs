//! The driver of all workers: starts, shows, pauses, activates and stops them, restarts one that panics, and tells
//! of one that is stuck.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::time::{Clock, Timestamp};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::stop::{Pulse, Stop};

/// How long a worker that panicked stays down.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// How long a worker may give no sign of life, beside the time from one turn of its loop to the next.
const PATIENCE: Duration = Duration::from_secs(30);

/// All workers of a service.
#[derive(Debug)]
pub(crate) struct Workers {
    tasks: TaskTracker,
    /// Requests that are finished although nobody may wait for their answers.
    requests: TaskTracker,
    soft: CancellationToken,
    hard: CancellationToken,
    clock: Arc<dyn Clock>,
    by_name: Mutex<BTreeMap<String, Worker>>,
}

#[derive(Debug)]
struct Worker {
    pulse: Arc<Pulse>,
    /// From one turn of its loop to the next, at the longest.
    turn: Duration,
    /// Told of already.
    was_stalled: bool,
}

/// What a worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerState {
    /// Its loop turns.
    Running,
    /// An operator told it to rest.
    Paused,
    /// It has given no sign of life for too long.
    Stalled,
    /// The service is stopping.
    Stopped,
}

impl WorkerState {
    /// The state in a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stalled => "stalled",
            Self::Stopped => "stopped",
        }
    }
}

/// A worker as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerStatus {
    /// Its name.
    pub name: String,
    /// What it does.
    pub state: WorkerState,
    /// Its last sign of life.
    pub last_beat: Timestamp,
    /// How often it panicked and was started again.
    pub restarts: u64,
}

impl Workers {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            tasks: TaskTracker::new(),
            requests: TaskTracker::new(),
            soft: CancellationToken::new(),
            hard: CancellationToken::new(),
            clock,
            by_name: Mutex::default(),
        }
    }

    /// Starts a worker: a loop that ends only when it is told to, and takes no longer than `turn` from one turn to
    /// the next. `panicked` is called when it has panicked and is to be started again.
    pub(crate) fn start<Work, Run>(
        &self,
        name: impl Into<String>,
        turn: Duration,
        panicked: impl Fn(&str) + Send + 'static,
        work: Work,
    ) where
        Work: Fn(Stop) -> Run + Send + 'static,
        Run: Future<Output = ()> + Send + 'static,
    {
        let name = name.into();
        let pulse = Arc::new(Pulse::default());
        pulse.beat(self.clock.now());
        let stop = Stop { soft: self.soft.clone(), hard: self.hard.clone(), pulse: Arc::clone(&pulse) };
        self.by_name.lock().insert(name.clone(), Worker { pulse, turn, was_stalled: false });
        let (clock, tasks) = (Arc::clone(&self.clock), self.tasks.clone());
        self.tasks.spawn(async move {
            while !stop.soft.is_cancelled() {
                if tasks.spawn(work(stop.clone())).await.is_ok() {
                    break;
                }
                tracing::error!(worker = name, "a worker panicked; starting it again");
                stop.pulse.restarts.fetch_add(1, Ordering::Relaxed);
                panicked(&name);
                clock.sleep_until(clock.now().plus(RESTART_PAUSE)).await;
            }
        });
    }

    /// Does something to its end, also if whoever asks for it goes away meanwhile; `None` if it could not be finished.
    pub(crate) async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        match self.requests.spawn(work).await {
            Ok(done) => Some(done),
            Err(problem) => match problem.try_into_panic() {
                // It is one of whoever asked.
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_canceled) => None,
            },
        }
    }

    /// Waits for what is done to its end.
    pub(crate) async fn requests_end(&self) {
        self.requests.close();
        self.requests.wait().await;
    }

    /// All workers, by name.
    pub(crate) fn show(&self) -> Vec<WorkerStatus> {
        let now = self.clock.now();
        let workers = self.by_name.lock();
        let shown = workers.iter().map(|(name, worker)| WorkerStatus {
            name: name.clone(),
            state: self.state(worker, now),
            last_beat: worker.pulse.last_beat(),
            restarts: worker.pulse.restarts.load(Ordering::Relaxed),
        });
        shown.collect()
    }

    fn state(&self, worker: &Worker, now: Timestamp) -> WorkerState {
        if self.soft.is_cancelled() {
            WorkerState::Stopped
        } else if now.since(worker.pulse.last_beat()) > worker.turn + PATIENCE {
            WorkerState::Stalled
        } else if worker.pulse.is_paused() {
            WorkerState::Paused
        } else {
            WorkerState::Running
        }
    }

    /// Lets a worker rest, or work again; `false` if there is none of this name.
    pub(crate) fn set_paused(&self, name: &str, paused: bool) -> bool {
        let workers = self.by_name.lock();
        let worker = workers.get(name);
        worker.inspect(|worker| worker.pulse.set_paused(paused)).is_some()
    }

    /// Tells of workers that are stuck, once each time. Answers how many are.
    pub(crate) fn watch(&self) -> u64 {
        let now = self.clock.now();
        let mut stalled = 0;
        for (name, worker) in self.by_name.lock().iter_mut() {
            let is_stalled = self.state(worker, now) == WorkerState::Stalled;
            let silent_for = now.since(worker.pulse.last_beat());
            match (worker.was_stalled, is_stalled) {
                (false, true) => tracing::error!(
                    worker = name,
                    seconds = silent_for.as_secs(),
                    "a worker gives no sign of life: what it does has stopped"
                ),
                (true, false) => tracing::info!(worker = name, "a worker that was stuck works again"),
                _ => {}
            }
            worker.was_stalled = is_stalled;
            stalled += u64::from(is_stalled);
        }
        stalled
    }

    /// Tells all workers to finish, and waits; after `limit` they are left where they are.
    pub(crate) async fn stop(&self, limit: Duration) {
        self.soft.cancel();
        self.tasks.close();
        let deadline = self.clock.sleep_until(self.clock.now().plus(limit));
        tokio::select! {
            () = self.tasks.wait() => {}
            () = deadline => {
                tracing::warn!("stopping: submissions under way did not end in time; their attempts stay open");
                self.hard.cancel();
                self.tasks.wait().await;
            }
        }
    }
}
