//! Where calls go on that are not done at once. A formatter takes microseconds and is called where its delivery is made;
//! a guest that is still busy when the engine's clock ticks moves to threads of its own: whatever it does there, the
//! runtime that serves everyone else never waits for it.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Threads for slow guests, made when the first of them comes.
#[derive(Debug, Default)]
pub(super) struct Aside(Mutex<Option<Runtime>>);

/// The call was not done in time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Late;

impl Aside {
    /// Runs `call` to its end, or until `limit` has passed since now. To drop this ends the call at the next tick.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        limit: Duration,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Late> {
        let started = Instant::now();
        let mut call = Box::pin(call);
        if let Some(done) = poll_once(&mut call).await {
            return Ok(done);
        }
        let Some(handle) = self.handle() else {
            // No threads to be had: here, then.
            return timeout(limit, call).await.map_err(|_| Late);
        };
        // On its runtime's own clock: it goes on also while the other one ends.
        let rest = async move { timeout(limit.saturating_sub(started.elapsed()), call).await.map_err(|_| Late) };
        let mut task = Ended(handle.spawn(rest));
        match pin!(&mut task.0).await {
            Ok(ended) => ended,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Only the end of the process cancels it, and then nobody polls this any more.
                Err(_) => std::future::pending().await,
            },
        }
    }

    fn handle(&self) -> Option<Handle> {
        let mut runtime = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if runtime.is_none() {
            // Half of the cores at most: the other half stays with those who behave.
            let threads = (thread::available_parallelism().map_or(1, std::num::NonZero::get) / 2).max(1);
            let built = Builder::new_multi_thread().worker_threads(threads).thread_name("transform-slow").enable_all().build();
            *runtime = built.inspect_err(|error| tracing::warn!(%error, "slow transformers get no threads of their own")).ok();
        }
        runtime.as_ref().map(|runtime| runtime.handle().clone())
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        let runtime = self.0.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // May be dropped on a runtime, which must not wait for another.
        runtime.into_iter().for_each(Runtime::shutdown_background);
    }
}

/// A task that ends with who waits for it.
struct Ended<T>(JoinHandle<T>);

impl<T> Drop for Ended<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn poll_once<T>(call: &mut std::pin::Pin<Box<impl Future<Output = T> + ?Sized>>) -> Option<T> {
    poll_fn(|context| {
        Poll::Ready(match call.as_mut().poll(context) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => None,
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn what_is_done_at_once_stays_and_what_is_not_moves() {
        let aside = Aside::default();
        let here = thread::current().id();
        let at_once = aside.run(Duration::from_secs(1), async { thread::current().id() }).await.unwrap();
        assert_eq!(at_once, here);
        assert!(aside.0.lock().unwrap().is_none(), "no thread was made for it");
        let later = aside.run(Duration::from_secs(20), async {
            tokio::task::yield_now().await;
            thread::current().name().map(str::to_owned)
        });
        assert_eq!(later.await.unwrap().as_deref(), Some("transform-slow"));
    }

    #[tokio::test]
    async fn the_limit_ends_it_and_so_does_dropping_it() {
        let aside = Aside::default();
        let held = Arc::new(());
        let forever = |held: Arc<()>| async move {
            loop {
                let _ = &held;
                tokio::task::yield_now().await;
            }
        };
        assert_eq!(aside.run(Duration::from_millis(20), forever(Arc::clone(&held))).await, Err::<(), _>(Late));
        {
            let mut dropped = Box::pin(aside.run::<()>(Duration::from_secs(600), forever(Arc::clone(&held))));
            assert!(poll_once(&mut dropped).await.is_none());
        }
        while Arc::strong_count(&held) > 1 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    #[should_panic(expected = "from aside")]
    async fn a_panic_there_is_one_here() {
        let aside = Aside::default();
        let call = async {
            tokio::task::yield_now().await;
            panic!("from aside");
        };
        let _ = aside.run::<()>(Duration::from_secs(1), call).await;
    }
}
