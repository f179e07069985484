//! Simulation: store, snapshot and dispatcher as they are, endpoints that misbehave as a seed says, hours in seconds.
//! What must hold whatever happens is in `checks.rs`. `SIM_SEEDS=200 cargo test --test sim`; a seed that failed goes into
//! `seeds.txt` with its fix, and is run every time.
#![expect(clippy::disallowed_methods, reason = "a simulation owns its threads and tasks, and real time is only given away")]

mod checks;
mod endpoints;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

/// Seeds that are run when nothing else is said: some seconds.
const SEEDS: u64 = 12;

/// A run waits for the store's threads most of the time.
const THREADS: usize = 4;

#[test]
fn every_promise_holds_whatever_the_endpoints_do() {
    let asked = std::env::var("SIM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS);
    let failed_before = include_str!("seeds.txt").lines().filter_map(|line| line.split('#').next()?.trim().parse().ok());
    let seeds: Vec<u64> = failed_before.chain(1..=asked).collect();
    let next = AtomicU64::new(0);
    let failures = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap()) {
                    let outcome = std::panic::catch_unwind(|| world::run(*seed));
                    if outcome.is_err() {
                        failures.lock().unwrap().push(*seed);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "seeds that failed: {failures:?} (see their panics above)");
}
