//! The clock of the guests: a thread of its own, so that the epoch advances while every worker is busy with guests. It
//! sleeps while none runs, because an idle server should be idle.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use wasmtime::Engine;

use super::HostError;

/// How often a running guest gives way to the other tasks of its thread, and how far beyond its limit it can run.
const TICK: Duration = Duration::from_millis(10);

/// Ticks without a guest after which it goes to sleep: under load nobody pays for waking it.
const LINGER: u32 = 20;

/// Ends its thread when it is dropped.
pub(super) struct Ticker(Arc<Beat>);

#[derive(Default)]
struct Beat {
    /// Guests that run, or are about to.
    calls: AtomicUsize,
    over: Mutex<bool>,
    news: Condvar,
}

/// The epoch advances for as long as this lives.
pub(super) struct Ticking(Arc<Beat>);

impl Ticker {
    #[expect(clippy::disallowed_methods, reason = "the thread is its own, not the runtime's")]
    pub(super) fn start(engine: &Engine) -> Result<Self, HostError> {
        let beat = Arc::new(Beat::default());
        let (engine, of_thread) = (engine.weak(), Arc::clone(&beat));
        let tick = move || {
            let mut quiet = 0;
            while of_thread.rest(&mut quiet) {
                thread::sleep(TICK);
                match engine.upgrade() {
                    Some(engine) => engine.increment_epoch(),
                    None => return,
                }
            }
        };
        thread::Builder::new().name("transform-ticker".to_owned()).spawn(tick).map_err(HostError::Ticker)?;
        Ok(Self(beat))
    }

    pub(super) fn begin(&self) -> Ticking {
        if self.0.calls.fetch_add(1, Ordering::SeqCst) == 0 {
            // Under the lock, so that the thread is either still looking or already waiting.
            let _looking = self.0.over.lock().unwrap_or_else(PoisonError::into_inner);
            self.0.news.notify_one();
        }
        Ticking(Arc::clone(&self.0))
    }
}

impl Beat {
    /// Sleeps while nothing runs; `false` at the end.
    fn rest(&self, quiet: &mut u32) -> bool {
        *quiet = if self.calls.load(Ordering::SeqCst) == 0 { *quiet + 1 } else { 0 };
        let mut over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        while *quiet > LINGER && !*over {
            if self.calls.load(Ordering::SeqCst) > 0 {
                *quiet = 0;
                break;
            }
            over = self.news.wait(over).unwrap_or_else(PoisonError::into_inner);
        }
        !*over
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        *self.0.over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.news.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_with_its_engine() {
        let engine = Engine::default();
        let (weak, ticker) = (engine.weak(), Ticker::start(&engine).unwrap());
        drop(engine);
        drop(ticker);
        // The thread holds it for an instant per tick at most.
        while weak.upgrade().is_some() {
            thread::yield_now();
        }
    }

    #[test]
    fn it_rests_while_nothing_runs_and_beats_again_when_something_does() {
        let beat = Arc::new(Beat::default());
        let ticker = Ticker(Arc::clone(&beat));
        let mut quiet = LINGER;
        let waiting = Arc::clone(&beat);
        let thread = thread::spawn(move || {
            let mut quiet = LINGER;
            let goes_on = waiting.rest(&mut quiet);
            (goes_on, quiet)
        });
        let call = ticker.begin();
        assert_eq!(thread.join().unwrap(), (true, 0), "woken by the call, or never asleep");
        assert!(beat.rest(&mut quiet) && quiet == 0, "no rest while it runs");
        drop(call);
        assert_eq!(beat.calls.load(Ordering::SeqCst), 0);
        drop(ticker);
        assert!(!beat.rest(&mut { LINGER }), "over");
    }
}
