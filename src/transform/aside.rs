//! Where calls go on that are not done at once. A formatter takes microseconds and is called where its delivery is made;
//! a guest that is still busy when the engine's clock ticks moves to threads of its own: whatever it does there, the
//! runtime that serves everyone else never waits for it.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;
use tokio::time::Sleep;

/// Threads for slow guests, made when the first of them comes.
#[derive(Debug, Default)]
pub(super) struct Aside(Mutex<Option<Runtime>>);

/// The call was not done in time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Late;

/// What came of a call, and the time that it took for itself.
pub(super) type Ran<T> = (Result<T, Late>, Duration);

impl Aside {
    /// Runs `call` to its end, or until it has taken `limit`: while it runs, and while it waits for something of its own;
    /// not while it waits for its turn on a thread. To drop this ends the call at the next tick.
    pub(super) async fn run<T: Send + 'static>(&self, limit: Duration, call: impl Future<Output = T> + Send + 'static) -> Ran<T> {
        let started = Instant::now();
        let mut call = Box::pin(call);
        if let Some(done) = poll_once(&mut call).await {
            return (Ok(done), started.elapsed());
        }
        let rest = Metered { call, limit, spent: started.elapsed(), idle: None, woken: Arc::default(), alarm: None };
        let Some(handle) = self.handle() else {
            // No threads to be had: here, then.
            return rest.await;
        };
        // On its runtime's own clock: it goes on also while the other one ends.
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

/// A call with its own time counted. One that gives way at a tick has woken itself by then: what passes until it is polled
/// again is others' time. One that sleeps is woken later: what passes until then is its own.
struct Metered<F> {
    call: Pin<Box<F>>,
    limit: Duration,
    spent: Duration,
    /// When it last gave way.
    idle: Option<Instant>,
    woken: Arc<Woken>,
    /// Set while it waits for something that may never come.
    alarm: Option<Pin<Box<Sleep>>>,
}

/// When the call was woken, and whom that wakes.
#[derive(Default)]
struct Woken(Mutex<(Option<Instant>, Option<Waker>)>);

impl Woken {
    fn lock(&self) -> std::sync::MutexGuard<'_, (Option<Instant>, Option<Waker>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        let mut woken = self.lock();
        woken.0.get_or_insert_with(Instant::now);
        let waker = woken.1.take();
        drop(woken);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl<F: Future> Future for Metered<F> {
    type Output = Ran<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let begun = Instant::now();
        let woken = std::mem::replace(&mut *this.woken.lock(), (None, Some(context.waker().clone()))).0;
        if let Some(idle) = this.idle.take() {
            this.spent += woken.unwrap_or(begun).saturating_duration_since(idle);
        }
        if this.spent >= this.limit {
            return Poll::Ready((Err(Late), this.spent));
        }
        let waker = Waker::from(Arc::clone(&this.woken));
        let polled = this.call.as_mut().poll(&mut Context::from_waker(&waker));
        let now = Instant::now();
        this.spent += now - begun;
        if let Poll::Ready(done) = polled {
            return Poll::Ready((Ok(done), this.spent));
        }
        if this.spent >= this.limit {
            return Poll::Ready((Err(Late), this.spent));
        }
        this.idle = Some(now);
        let waits = this.woken.lock().0.is_none();
        if waits {
            let mut alarm = Box::pin(tokio::time::sleep(this.limit - this.spent));
            if alarm.as_mut().poll(context).is_ready() {
                return Poll::Ready((Err(Late), this.limit));
            }
            this.alarm = Some(alarm);
        } else {
            this.alarm = None;
        }
        Poll::Pending
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
        let at_once = aside.run(Duration::from_secs(1), async { thread::current().id() }).await.0.unwrap();
        assert_eq!(at_once, here);
        assert!(aside.0.lock().unwrap().is_none(), "no thread was made for it");
        let later = aside.run(Duration::from_secs(20), async {
            tokio::task::yield_now().await;
            thread::current().name().map(str::to_owned)
        });
        assert_eq!(later.await.0.unwrap().as_deref(), Some("transform-slow"));
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
        assert_eq!(aside.run(Duration::from_millis(20), forever(Arc::clone(&held))).await.0, Err::<(), _>(Late));
        let (asleep, took) = aside.run(Duration::from_millis(20), tokio::time::sleep(Duration::from_secs(600))).await;
        assert_eq!(asleep, Err(Late));
        assert!(took >= Duration::from_millis(20), "a sleep is its own time: {took:?}");
        {
            let mut dropped = Box::pin(aside.run::<()>(Duration::from_secs(600), forever(Arc::clone(&held))));
            assert!(poll_once(&mut dropped).await.is_none());
        }
        while Arc::strong_count(&held) > 1 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn waiting_for_a_thread_is_not_the_calls_time() {
        /// Busy for so long, and gives way after each millisecond, as a guest does at a tick.
        async fn busy(millis: u32) {
            for _ in 0..millis {
                let started = Instant::now();
                while started.elapsed() < Duration::from_millis(1) {
                    std::hint::spin_loop();
                }
                let mut gave_way = false;
                poll_fn(|context| {
                    context.waker().wake_by_ref();
                    if std::mem::replace(&mut gave_way, true) { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
            }
        }
        let aside = Arc::new(Aside::default());
        let limit = Duration::from_millis(250);
        // On so few threads that each has to wait far longer than its limit for its 25 ms.
        let calls = 20 * thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let started = Instant::now();
        let mut running = tokio::task::JoinSet::new();
        for _ in 0..calls {
            let aside = Arc::clone(&aside);
            running.spawn(async move { aside.run(limit, busy(25)).await });
        }
        let ran = running.join_all().await;
        assert!(started.elapsed() > limit, "the machine has more threads than this test knows of");
        assert!(ran.iter().all(|(ended, _)| ended.is_ok()), "{ran:?}");
        let (late, took) = aside.run(Duration::from_millis(10), busy(10_000)).await;
        assert!(late.is_err() && took >= Duration::from_millis(10) && took < limit, "and its own time is: {took:?}");
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
