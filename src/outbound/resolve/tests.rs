//! Lookups that hang, and those beside them.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, mpsc};

#[tokio::test]
async fn one_name_is_looked_up_once_at_a_time_and_again_later() {
    let calls = Arc::new(AtomicUsize::new(0));
    let (release, gate) = mpsc::sync_channel::<()>(1);
    let gate = Mutex::new(gate);
    let counted = calls.clone();
    let lookups = Lookups::new(Resolver::Custom(Arc::new(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        gate.lock().unwrap().recv().unwrap();
        Ok(vec![[192, 0, 2, 1].into()])
    })));
    let (one, other) = tokio::join!(lookups.addresses("a.test"), async {
        let answer = lookups.join_or_start("a.test");
        release.send(()).unwrap();
        drop(answer);
        lookups.addresses("a.test").await
    });
    assert_eq!(one.unwrap().len(), 1);
    assert_eq!(other.unwrap().len(), 1);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    release.send(()).unwrap();
    lookups.addresses("a.test").await.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_panicking_resolver_is_an_error_and_not_a_hang() {
    let lookups = Lookups::new(Resolver::Custom(Arc::new(|_| panic!("boom"))));
    for _ in 0..2 {
        let error = lookups.addresses("a.test").await.unwrap_err();
        assert!(matches!(&error, LookupError::Failed(words) if &**words == "the resolver panicked"), "{error:?}");
    }
}

/// Holds up the lookups of names that begin with `hang` until it is dropped.
struct Gate {
    open: Arc<(Mutex<bool>, Condvar)>,
    running: watch::Sender<usize>,
}

impl Gate {
    fn new() -> (Self, Lookups) {
        let gate = Self { open: Arc::default(), running: watch::channel(0).0 };
        let (open, running) = (gate.open.clone(), gate.running.clone());
        let resolver = move |name: &str| {
            if name.starts_with("hang") {
                running.send_modify(|running| *running += 1);
                let shut = open.0.lock().unwrap();
                drop(open.1.wait_while(shut, |open| !*open).unwrap());
                running.send_modify(|running| *running -= 1);
            }
            Ok(vec![[192, 0, 2, 1].into()])
        };
        (gate, Lookups::new(Resolver::Custom(Arc::new(resolver))))
    }

    fn set(&self, open: bool) {
        *self.open.0.lock().unwrap() = open;
        self.open.1.notify_all();
    }

    async fn until_running(&self, count: usize) {
        self.running.subscribe().wait_for(|running| *running == count).await.unwrap();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.set(true);
    }
}

/// At once: while lookups hang, the paused clock stands still, so that nothing here can wait for others to be late.
async fn resolves(lookups: &Lookups, name: &str) {
    assert!(lookups.addresses(name).await.is_ok());
}

/// Lookups that are in flight by now are late.
async fn some_are_late() {
    tokio::time::advance(LATE_AFTER + Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn two_hundred_names_that_hang_leave_places_to_those_that_answer() {
    let (gate, lookups) = Gate::new();
    resolves(&lookups, "known.test").await;
    let hanging: Vec<_> = (0..200).map(|n| lookups.join_or_start(&format!("hang-{n}.test"))).collect();
    gate.until_running(NEW_PERMITS).await;
    // What is known to be quick does not even wait for the others to be late.
    resolves(&lookups, "known.test").await;
    for running in (2 * NEW_PERMITS..200).step_by(NEW_PERMITS).chain([200]) {
        some_are_late().await;
        gate.until_running(running).await;
    }
    for n in 0..100 {
        resolves(&lookups, "known.test").await;
        resolves(&lookups, &format!("never-asked-for-{n}.test")).await;
    }
    drop((gate, hanging));
}

#[tokio::test(start_paused = true)]
async fn quick_names_that_begin_to_hang_leave_their_permits() {
    let (gate, lookups) = Gate::new();
    gate.set(true);
    let names: Vec<String> = (0..100).map(|n| format!("hang-{n}.test")).collect();
    for name in names.iter().map(String::as_str).chain(["known.test"]) {
        resolves(&lookups, name).await;
    }
    gate.set(false);
    let ask = || names.iter().map(|name| lookups.join_or_start(name)).collect::<Vec<_>>();
    let asked = ask();
    gate.until_running(QUICK_PERMITS).await;
    some_are_late().await;
    gate.until_running(names.len()).await;
    resolves(&lookups, "known.test").await;
    tokio::time::advance(QUICK_WITHIN + Duration::from_millis(1)).await;
    gate.set(true);
    for mut answer in asked {
        answer.wait_for(Option::is_some).await.unwrap();
    }
    gate.set(false);
    // They were slow, and wait for each other from now on.
    let asked = ask();
    gate.until_running(SLOW_PERMITS).await;
    for _ in 0..10 {
        resolves(&lookups, "known.test").await;
        resolves(&lookups, "unknown.test").await;
    }
    some_are_late().await;
    resolves(&lookups, "known.test").await;
    assert_eq!(*gate.running.borrow(), SLOW_PERMITS);
    // Nobody waits for them any longer, so those that have no place yet are not looked up at all.
    drop(asked);
    gate.set(true);
    gate.until_running(0).await;
    resolves(&lookups, "hang-99.test").await;
}

#[test]
fn slowness_and_unused_names_are_forgotten_after_a_while() {
    let mut state = State::default();
    let (now, name) = (Instant::now(), |n: usize| Arc::<str>::from(format!("{n}.test")));
    state.remember(name(0), Speed::Slow { until: now + SLOW_REMEMBERED });
    assert!(matches!(state.speed("0.test"), Some(Speed::Slow { .. })));
    state.remember(name(0), Speed::Slow { until: now });
    assert_eq!(state.speed("0.test"), None);
    for n in 0..3 * NAMES_MAX {
        state.remember(name(n), Speed::Quick);
    }
    assert!(state.recent.len() + state.older.len() <= 2 * NAMES_MAX);
    assert_eq!((state.speed("0.test"), state.speed(&name(3 * NAMES_MAX - 1))), (None, Some(Speed::Quick)));
}

#[test]
fn a_lookup_that_ended_with_its_runtime_is_repeated() {
    let lookups = Lookups::new(Resolver::Custom(Arc::new(|_| Ok(vec![[192, 0, 2, 1].into()]))));
    for asks in [false, true] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            // Its task has no turn before the first runtime ends.
            let answer = lookups.join_or_start("a.test");
            if asks {
                resolves(&lookups, "a.test").await;
            }
            drop(answer);
        });
    }
}

#[tokio::test]
async fn the_operating_system_knows_localhost() {
    let addresses = Lookups::new(Resolver::System).addresses("localhost").await.unwrap();
    assert!(addresses.iter().all(IpAddr::is_loopback) && !addresses.is_empty());
}
