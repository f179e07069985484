//! Tracked, named tasks: everything that is spawned is waited for at the end, and when a core task ends by itself, the
//! process stops instead of running half.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Cheap to clone.
#[derive(Clone)]
pub struct Tasks {
    tracker: TaskTracker,
    cancel: CancellationToken,
    dead: Arc<watch::Sender<Option<&'static str>>>,
}

impl Default for Tasks {
    fn default() -> Self {
        let (dead, _) = watch::channel(None);
        Self { tracker: TaskTracker::new(), cancel: CancellationToken::new(), dead: Arc::new(dead) }
    }
}

/// Reports a core task that ended, also when it panicked.
struct Watch {
    name: &'static str,
    cancel: CancellationToken,
    dead: Arc<watch::Sender<Option<&'static str>>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.cancel.is_cancelled() {
            self.dead.send_replace(Some(self.name));
        }
    }
}

impl Tasks {
    /// Cancelled when the process is to end.
    pub fn cancelled(&self) -> CancellationToken {
        self.cancel.clone()
    }

    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// A task whose end, other than by cancellation, ends the process.
    pub fn spawn_core(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let watch = Watch { name, cancel: self.cancel.clone(), dead: Arc::clone(&self.dead) };
        self.tracker.spawn(async move {
            let _watch = watch;
            work.await;
        });
    }

    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(work);
    }

    /// Resolves with the name of a core task that ended by itself.
    pub async fn core_died(&self) -> &'static str {
        let mut dead = self.dead.subscribe();
        // Read and let go: the guard must not be held across the wait below.
        let name = dead.wait_for(Option::is_some).await.ok().and_then(|name| *name);
        match name {
            Some(name) => name,
            None => std::future::pending().await,
        }
    }

    /// Waits for all tasks. Call after [`Tasks::cancel`].
    pub async fn join(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_core_task_that_panics_is_named() {
        let tasks = Tasks::default();
        tasks.spawn_core("writer", async { panic!("as tested") });
        assert_eq!(tasks.core_died().await, "writer");
    }

    #[tokio::test]
    async fn a_cancelled_core_task_is_no_death_and_all_are_joined() {
        let tasks = Tasks::default();
        let cancelled = tasks.cancelled();
        tasks.spawn_core("loop", async move { cancelled.cancelled().await });
        tasks.cancel();
        tasks.join().await;
        assert!(tasks.dead.borrow().is_none());
    }
}
