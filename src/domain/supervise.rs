//! What must live as long as the server: the connection to Redis, signs of life, deadlines,
//! accepting. A task of these that panics is told, counted, and started again after a pause, and
//! meanwhile the server is not ready: nothing is dead while everybody is told that all is well.
//!
//! Tasks that end by themselves, those of a connection or a room, are only tracked; what their
//! panics cost is said in decision 26 (`docs/decisions`).
use std::{
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::time::{Instant, sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::metrics::Metrics;

/// First and longest pause before a task starts again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// A task that went well for so long begins with the first pause again.
const CALM: Duration = Duration::from_secs(60);

/// Keeps tasks alive. Clones are the same.
#[derive(Clone, Default)]
pub struct Supervisor {
    /// Where all tasks of a server are spawned.
    pub tasks: TaskTracker,
    metrics: Arc<Metrics>,
    down: Arc<Mutex<Vec<&'static str>>>,
}

impl Supervisor {
    /// Restarts are counted in `metrics`.
    pub fn new(tasks: TaskTracker, metrics: Arc<Metrics>) -> Self {
        Supervisor { tasks, metrics, down: Arc::default() }
    }

    /// Where restarts are counted, and what else its tasks count.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Runs what `work` gives until `stop`, and again what it gives when that panics. `task` is a
    /// name for logs and metrics. Work that ends is not started again.
    ///
    /// `work` is called again after a panic, so what it gives must not rely on how the one before
    /// left things.
    pub fn keep<F>(
        &self,
        task: &'static str,
        stop: &CancellationToken,
        work: impl FnMut() -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(stop.clone().run_until_cancelled_owned(self.clone().run(task, work)));
    }

    async fn run<F: Future<Output = ()>>(self, task: &'static str, mut work: impl FnMut() -> F) {
        let mut pause = PAUSES.0;
        loop {
            let begun = Instant::now();
            // Making the work may panic as well as doing it.
            let done = AssertUnwindSafe(async { work().await }).catch_unwind().await;
            if done.is_ok() {
                return;
            }
            if begun.elapsed() > CALM {
                pause = PAUSES.0;
            }
            let _down = Down::new(&self, task);
            self.metrics.restarted(task);
            tracing::error!(task, ?pause, "a task that must live panicked; it starts again");
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// A task that panicked and has not started again, if there is one.
    pub fn down(&self) -> Option<&'static str> {
        self.names().first().copied()
    }

    fn names(&self) -> MutexGuard<'_, Vec<&'static str>> {
        self.down.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task is down, until this is dropped.
struct Down<'a>(&'a Supervisor, &'static str);

impl<'a> Down<'a> {
    fn new(supervisor: &'a Supervisor, task: &'static str) -> Self {
        supervisor.names().push(task);
        Down(supervisor, task)
    }
}

impl Drop for Down<'_> {
    fn drop(&mut self) {
        let mut names = self.0.names();
        if let Some(at) = names.iter().position(|name| *name == self.1) {
            names.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_twice_is_started_twice_and_the_server_is_not_ready_meanwhile() {
        let (metrics, stop) = (Arc::new(Metrics::default()), CancellationToken::new());
        let supervisor = Supervisor::new(TaskTracker::new(), metrics.clone());
        let (started, mut starts) = mpsc::unbounded_channel();
        let begin = Instant::now();
        let attempts = AtomicU32::new(0);
        supervisor.keep("heart", &stop, move || {
            let (attempt, started) = (attempts.fetch_add(1, SeqCst), started.clone());
            assert!(attempt != 1, "cannot even begin");
            async move {
                started.send((attempt, begin.elapsed())).unwrap();
                assert!(attempt > 1, "breaks");
                std::future::pending().await
            }
        });
        assert_eq!(supervisor.down(), None);
        assert_eq!(starts.recv().await, Some((0, Duration::ZERO)));
        tokio::time::advance(Duration::from_millis(50)).await;
        assert_eq!(supervisor.down(), Some("heart"));
        assert_eq!(
            starts.recv().await,
            Some((2, 3 * PAUSES.0)),
            "after a pause and one of twice its length"
        );
        assert_eq!(supervisor.down(), None);
        let text = metrics.text();
        assert!(text.contains(r#"always_online_task_restarts_total{task="heart"} 2"#), "{text}");

        stop.cancel();
        supervisor.tasks.close();
        supervisor.tasks.wait().await;
        assert_eq!(starts.recv().await, None, "it is gone");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ends_is_not_started_again_and_one_that_is_stopped_while_it_is_down_is_down_no_more()
     {
        let (supervisor, stop) = (Supervisor::default(), CancellationToken::new());
        supervisor.keep("short", &stop, || async {});
        supervisor.keep("broken", &stop, || async { panic!("always") });
        tokio::time::advance(Duration::from_millis(50)).await;
        assert_eq!(supervisor.down(), Some("broken"));
        stop.cancel();
        supervisor.tasks.close();
        supervisor.tasks.wait().await;
        assert_eq!(supervisor.down(), None);
    }
}
