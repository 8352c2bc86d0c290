//! The driver of all workers: starts them, restarts one that panics, stops them all.

use std::sync::Arc;
use std::time::Duration;

use domain::time::Clock;
use tokio_util::task::TaskTracker;

use crate::metrics::Metrics;
use crate::stop::Stop;

/// How long a worker that panicked stays down.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// All workers of a service.
#[derive(Debug)]
pub(crate) struct Workers {
    tasks: TaskTracker,
    stop: Stop,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

impl Workers {
    pub(crate) fn new(clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        Self { tasks: TaskTracker::new(), stop: Stop::default(), clock, metrics }
    }

    /// Starts a worker: a loop that ends only when it is told to.
    pub(crate) fn start<Work, Run>(&self, name: &'static str, work: Work)
    where
        Work: Fn(Stop) -> Run + Send + 'static,
        Run: Future<Output = ()> + Send + 'static,
    {
        let (stop, clock, metrics) = (self.stop.clone(), Arc::clone(&self.clock), Arc::clone(&self.metrics));
        let tasks = self.tasks.clone();
        self.tasks.spawn(async move {
            while !stop.soft.is_cancelled() {
                if tasks.spawn(work(stop.clone())).await.is_ok() {
                    break;
                }
                tracing::error!(worker = name, "a worker panicked; starting it again");
                metrics.worker_panicked(name);
                clock.sleep_until(clock.now().plus(RESTART_PAUSE)).await;
            }
        });
    }

    /// Tells all workers to finish, and waits; after `limit` they are left where they are.
    pub(crate) async fn stop(&self, limit: Duration) {
        self.stop.soft.cancel();
        self.tasks.close();
        let deadline = self.clock.sleep_until(self.clock.now().plus(limit));
        tokio::select! {
            () = self.tasks.wait() => {}
            () = deadline => {
                tracing::warn!("stopping: submissions under way did not end in time; their attempts stay open");
                self.stop.hard.cancel();
                self.tasks.wait().await;
            }
        }
    }
}
