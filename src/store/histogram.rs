//! Durations in buckets that grow by a quarter: percentiles within 12 %, in 256 bytes.

use std::time::Duration;

const BUCKETS: usize = 64;
const FIRST_US: f64 = 50.0;
const GROWTH: f64 = 1.25;

/// Counts of durations from 50 µs to 63 s.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram([u32; BUCKETS]);

impl Default for Histogram {
    fn default() -> Self {
        Self([0; BUCKETS])
    }
}

impl Histogram {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the number of buckets first")]
    pub fn record(&mut self, duration: Duration) {
        let micros = duration.as_secs_f64() * 1e6;
        let bucket = if micros <= FIRST_US { 0.0 } else { ((micros / FIRST_US).ln() / GROWTH.ln()).ceil() };
        let bucket = bucket.clamp(0.0, (BUCKETS - 1) as f64) as usize;
        self.0[bucket] = self.0[bucket].saturating_add(1);
    }

    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = mine.saturating_add(theirs);
        }
    }

    pub fn count(&self) -> u64 {
        self.0.iter().map(|n| u64::from(*n)).sum()
    }

    /// `share` from 0 to 1; `None` when nothing was recorded. The middle of the bucket that holds it.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count is within it")]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let count = self.count();
        let rank = ((count as f64 * share).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0;
        let bucket = self.0.iter().position(|n| {
            seen += u64::from(*n);
            seen >= rank
        })?;
        let exponent = i32::try_from(bucket).unwrap_or(0);
        let upper = FIRST_US * GROWTH.powi(exponent);
        let middle = if bucket == 0 { upper } else { upper / GROWTH.sqrt() };
        Some(Duration::from_secs_f64(middle / 1e6))
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|n| n.to_le_bytes()).collect()
    }

    /// What is too short reads as zeros.
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let mut counts = [0; BUCKETS];
        for (count, chunk) in counts.iter_mut().zip(bytes.chunks_exact(4)) {
            *count = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
        }
        Self(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_recorded_has_no_quantile() {
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    proptest! {
        #[test]
        fn a_quantile_is_within_an_eighth_of_the_true_one(mut micros in prop::collection::vec(50..60_000_000_u64, 1..200), share in 0.0..=1.0_f64) {
            let mut histogram = Histogram::default();
            micros.iter().for_each(|us| histogram.record(Duration::from_micros(*us)));
            micros.sort_unstable();
            let rank = ((micros.len() as f64 * share).ceil() as usize).clamp(1, micros.len());
            let truth = micros[rank - 1] as f64;
            let found = histogram.quantile(share).unwrap().as_secs_f64() * 1e6;
            prop_assert!((found / truth - 1.0).abs() <= 0.13, "{found} for {truth}");
            prop_assert_eq!(Histogram::from_bytes(&histogram.to_bytes()), histogram);
        }
    }
}
