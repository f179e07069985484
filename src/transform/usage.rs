//! What a module's calls came to, since it was loaded: how many, how many failed, how long they took.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Powers of two of a microsecond: the last is everything over half a minute.
const BUCKETS: usize = 26;

/// Counters that every call adds to.
#[derive(Debug, Default)]
pub(super) struct Counters {
    errors: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
}

/// A copy of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    pub calls: u64,
    pub errors: u64,
    /// Of a call, to a factor of two; `None` before the first one.
    pub p50: Option<Duration>,
    pub p99: Option<Duration>,
}

impl Counters {
    pub(super) fn add(&self, duration: Duration, failed: bool) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - micros.leading_zeros()) as usize;
        self.buckets[bucket.min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
        if failed {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn look(&self) -> Usage {
        let counts: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        let calls: u64 = counts.iter().sum();
        Usage {
            calls,
            errors: self.errors.load(Ordering::Relaxed),
            p50: quantile(&counts, calls, 50),
            p99: quantile(&counts, calls, 99),
        }
    }
}

/// The upper end of the bucket that this percentage of the calls does not exceed.
fn quantile(counts: &[u64], calls: u64, percent: u64) -> Option<Duration> {
    let wanted = (calls * percent).div_ceil(100);
    let mut seen = 0;
    let bucket = counts.iter().position(|count| {
        seen += count;
        seen >= wanted && wanted > 0
    })?;
    Some(Duration::from_micros(1 << bucket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_a_factor_of_two() {
        let counters = Counters::default();
        assert_eq!(counters.look(), Usage { calls: 0, errors: 0, p50: None, p99: None });
        for micros in 0..100 {
            counters.add(Duration::from_micros(30 + micros / 98 * 5_000), micros == 0);
        }
        counters.add(Duration::from_secs(1_000), true);
        let usage = counters.look();
        assert_eq!((usage.calls, usage.errors, usage.p50), (101, 2, Some(Duration::from_micros(32))));
        assert_eq!(usage.p99, Some(Duration::from_micros(8_192)));
    }
}
