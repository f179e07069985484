//! Threads for slow calls. A formatter takes microseconds and runs where its delivery is made. A call that is still busy
//! when the engine's clock ticks is offloaded to threads of its own, so the runtime that serves everyone else never waits
//! for it.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;
use tokio::time::Sleep;

/// A runtime for slow calls, started by the first of them.
#[derive(Debug, Default)]
pub(super) struct SlowPool(Mutex<Option<Runtime>>);

/// The call used up its limit of time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Late;

/// What a call came to, and how long it took; waiting for its turn on a thread does not count.
pub(super) type Ran<T> = (Result<T, Late>, Duration);

impl SlowPool {
    /// Runs `call` to its end, or until it has used `limit`: CPU time, and time in which it waits for something of its
    /// own (it sleeps). Neither waiting for its turn on a thread nor preemption by the operating system counts. Dropping
    /// the future ends the call at the next tick.
    pub(super) async fn run<T: Send + 'static>(&self, limit: Duration, call: impl Future<Output = T> + Send + 'static) -> Ran<T> {
        let mut metered = Metered::new(Box::pin(call), limit);
        if let Some(ran) = poll_once(Pin::new(&mut metered)).await {
            return ran;
        }
        let Some(handle) = self.handle() else {
            // No threads are to be had: the call goes on here.
            return metered.await;
        };
        // On the clock of the pool's runtime: the call goes on also while the other runtime ends.
        let mut task = AbortOnDrop(handle.spawn(metered));
        match pin!(&mut task.0).await {
            Ok(ended) => ended,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Only the end of the process cancels the task, and then nothing polls this future any more.
                Err(_) => std::future::pending().await,
            },
        }
    }

    fn handle(&self) -> Option<Handle> {
        let mut runtime = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if runtime.is_none() {
            // Half of the cores at most: the other half stays with calls that behave.
            let threads = (thread::available_parallelism().map_or(1, std::num::NonZero::get) / 2).max(1);
            let built = Builder::new_multi_thread().worker_threads(threads).thread_name("transform-slow").enable_all().build();
            *runtime = built.inspect_err(|error| tracing::warn!(%error, "slow transformers get no threads of their own")).ok();
        }
        runtime.as_ref().map(|runtime| runtime.handle().clone())
    }
}

impl Drop for SlowPool {
    fn drop(&mut self) {
        let runtime = self.0.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // The pool may be dropped on a runtime, which must not block on another.
        runtime.into_iter().for_each(Runtime::shutdown_background);
    }
}

/// Time on a thread, by two clocks.
struct Stopwatch {
    wall: Instant,
    cpu: Option<Duration>,
}

impl Stopwatch {
    fn start() -> Self {
        Self { wall: Instant::now(), cpu: cpu_time() }
    }

    /// Wall time, and the part of it in which the thread ran; all of it where the system does not say.
    fn elapsed(&self) -> (Duration, Duration) {
        let wall = self.wall.elapsed();
        let cpu = self.cpu.zip(cpu_time()).map(|(start, now)| now.saturating_sub(start));
        (wall, cpu.unwrap_or(wall).min(wall))
    }
}

/// CPU time of the calling thread since it started.
#[cfg(any(target_os = "linux", target_os = "macos"))]
fn cpu_time() -> Option<Duration> {
    use rustix::time::{ClockId, clock_gettime};

    let time = clock_gettime(ClockId::ThreadCPUTime);
    Some(Duration::new(time.tv_sec.try_into().ok()?, time.tv_nsec.try_into().ok()?))
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn cpu_time() -> Option<Duration> {
    None
}

/// A call with its own time counted. One that yields at a tick has woken itself by then: until the next poll it waits for
/// its turn, which does not count. One that sleeps is woken later: until then it waits for something of its own, which
/// counts.
struct Metered<F> {
    call: Pin<Box<F>>,
    limit: Duration,
    /// CPU time and its own waiting: what the limit is about.
    used: Duration,
    /// Wall time and its own waiting: what people are shown.
    took: Duration,
    /// Since when it has not been polled.
    idle: Option<Instant>,
    woken: Arc<Woken>,
    /// Set while the call waits for something that may never come.
    alarm: Option<Pin<Box<Sleep>>>,
}

/// When the call was woken, and which task that wakes.
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

impl<F: Future> Metered<F> {
    fn new(call: Pin<Box<F>>, limit: Duration) -> Self {
        Self { call, limit, used: Duration::ZERO, took: Duration::ZERO, idle: None, woken: Arc::default(), alarm: None }
    }

    fn is_over(&self) -> bool {
        self.used >= self.limit
    }
}

impl<F: Future> Future for Metered<F> {
    type Output = Ran<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let stopwatch = Stopwatch::start();
        let woken = std::mem::replace(&mut *this.woken.lock(), (None, Some(context.waker().clone()))).0;
        if let Some(idle) = this.idle.take() {
            let waited = woken.unwrap_or(stopwatch.wall).saturating_duration_since(idle);
            this.used += waited;
            this.took += waited;
        }
        if this.is_over() {
            return Poll::Ready((Err(Late), this.took));
        }
        let waker = Waker::from(Arc::clone(&this.woken));
        let polled = this.call.as_mut().poll(&mut Context::from_waker(&waker));
        let (wall, cpu) = stopwatch.elapsed();
        this.used += cpu;
        this.took += wall;
        if let Poll::Ready(done) = polled {
            return Poll::Ready((Ok(done), this.took));
        }
        if this.is_over() {
            return Poll::Ready((Err(Late), this.took));
        }
        // Without a gap: a sleep that the poll began counts from there on, wherever the call goes on.
        this.idle = Some(stopwatch.wall + wall);
        let waits = this.woken.lock().0.is_none();
        if waits {
            let rest = this.limit - this.used;
            let mut alarm = Box::pin(tokio::time::sleep(rest));
            if alarm.as_mut().poll(context).is_ready() {
                return Poll::Ready((Err(Late), this.took + rest));
            }
            this.alarm = Some(alarm);
        } else {
            this.alarm = None;
        }
        Poll::Pending
    }
}

/// A task that is aborted when nothing waits for it any more.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn poll_once<T>(mut call: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Option<T> {
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
    async fn a_quick_call_stays_and_a_slow_one_is_offloaded() {
        let pool = SlowPool::default();
        let here = thread::current().id();
        let at_once = pool.run(Duration::from_secs(1), async { thread::current().id() }).await.0.unwrap();
        assert_eq!(at_once, here);
        assert!(pool.0.lock().unwrap().is_none(), "no thread was made for it");
        let later = pool.run(Duration::from_secs(20), async {
            tokio::task::yield_now().await;
            thread::current().name().map(str::to_owned)
        });
        assert_eq!(later.await.0.unwrap().as_deref(), Some("transform-slow"));
    }

    #[tokio::test]
    async fn the_limit_ends_it_and_so_does_dropping_it() {
        let pool = SlowPool::default();
        let held = Arc::new(());
        let forever = |held: Arc<()>| async move {
            loop {
                let _ = &held;
                tokio::task::yield_now().await;
            }
        };
        assert_eq!(pool.run(Duration::from_millis(20), forever(Arc::clone(&held))).await.0, Err::<(), _>(Late));
        let (asleep, took) = pool.run(Duration::from_millis(20), tokio::time::sleep(Duration::from_secs(600))).await;
        assert_eq!(asleep, Err(Late));
        assert!(took >= Duration::from_millis(20), "a sleep is its own time: {took:?}");
        {
            let mut dropped = Box::pin(pool.run::<()>(Duration::from_secs(600), forever(Arc::clone(&held))));
            assert!(poll_once(dropped.as_mut()).await.is_none());
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
        let pool = Arc::new(SlowPool::default());
        let limit = Duration::from_millis(250);
        // On so few threads that each has to wait far longer than its limit for its 25 ms.
        let calls = 20 * thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let started = Instant::now();
        let mut running = tokio::task::JoinSet::new();
        for _ in 0..calls {
            let pool = Arc::clone(&pool);
            running.spawn(async move { pool.run(limit, busy(25)).await });
        }
        let ran = running.join_all().await;
        assert!(started.elapsed() > limit, "the machine has more threads than this test knows of");
        assert!(ran.iter().all(|(ended, _)| ended.is_ok()), "{ran:?}");
        let (late, took) = pool.run(Duration::from_millis(10), busy(10_000)).await;
        assert!(late.is_err() && took >= Duration::from_millis(10) && took < limit, "and its own time is: {took:?}");
    }

    #[tokio::test]
    async fn a_sleep_counts_from_the_moment_it_begins() {
        let pool = SlowPool::default();
        // Keeps all of the pool's threads busy while the sleeping call is on its way there.
        let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (release, released) = std::sync::mpsc::sync_channel::<()>(1);
        let released = Arc::new(Mutex::new(released));
        let handle = pool.handle().unwrap();
        let blockers: Vec<_> = (0..threads)
            .map(|_| {
                let released = Arc::clone(&released);
                handle.spawn(async move {
                    let _ = released.lock().unwrap_or_else(PoisonError::into_inner).recv();
                })
            })
            .collect();
        let nap = Duration::from_millis(200);
        let freed = async {
            tokio::time::sleep(nap / 2).await;
            drop(release);
        };
        let ((ended, took), ()) = tokio::join!(pool.run(nap * 10, tokio::time::sleep(nap)), freed);
        assert!(ended.is_ok() && took >= nap, "{took:?}");
        for blocker in blockers {
            blocker.await.unwrap();
        }
    }

    #[cfg(any(target_os = "linux", target_os = "macos"))]
    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "a thread that does not run, as one that is preempted")]
    async fn time_in_which_the_thread_does_not_run_is_not_used() {
        let (pause, limit) = (Duration::from_millis(100), Duration::from_millis(50));
        let pool = SlowPool::default();
        let (ended, took) = pool.run(limit, async move { thread::sleep(pause) }).await;
        assert!(ended.is_ok() && took >= pause, "{took:?}");
        let offloaded = async move {
            tokio::task::yield_now().await;
            thread::sleep(pause);
            tokio::task::yield_now().await;
        };
        assert_eq!(pool.run(limit, offloaded).await.0, Ok(()));
    }

    #[tokio::test]
    #[should_panic(expected = "from the pool")]
    async fn a_panic_there_is_one_here() {
        let pool = SlowPool::default();
        let call = async {
            tokio::task::yield_now().await;
            panic!("from the pool");
        };
        let _ = pool.run::<()>(Duration::from_secs(1), call).await;
    }
}
