//! When failed attempts are retried: an exponential curve or a list of delays, and the jitter on each of them. Values
//! that the arithmetic cannot hold (NaN, a multiplier below 1) are refused when they are made, not when they are used.

use std::num::NonZeroU32;
use std::time::Duration;

use rand::{Rng, RngExt};

#[derive(Debug, Clone, PartialEq)]
pub enum Schedule {
    Curve(Curve),
    /// One retry after each of these delays.
    List(Vec<Duration>),
}

/// `initial_delay × multiplier^n`, at most `max_delay`, `max_retries` times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Curve {
    max_retries: u32,
    initial_delay: Duration,
    multiplier: f64,
    max_delay: Duration,
}

/// Each delay is drawn from ± this share of itself, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Jitter(f64);

#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum InvalidSchedule {
    #[error("the jitter must be 0 to 1, found {0}")]
    Jitter(f64),
    #[error("the multiplier must be a finite number from 1 on, found {0}")]
    Multiplier(f64),
    #[error("the longest delay, {max:?}, is shorter than the first, {initial:?}")]
    Delays { initial: Duration, max: Duration },
}

impl Jitter {
    pub fn new(share: f64) -> Result<Self, InvalidSchedule> {
        if (0.0..=1.0).contains(&share) { Ok(Self(share)) } else { Err(InvalidSchedule::Jitter(share)) }
    }

    pub fn share(self) -> f64 {
        self.0
    }

    pub(super) fn draw(self, delay: Duration, rng: &mut impl Rng) -> Duration {
        let factor = if self.0 > 0.0 { rng.random_range(1.0 - self.0..=1.0 + self.0) } else { 1.0 };
        Duration::try_from_secs_f64(delay.as_secs_f64() * factor).unwrap_or(delay)
    }

    /// The longest that [`Self::draw`] makes of it.
    fn longest(self, delay: Duration) -> Duration {
        Duration::try_from_secs_f64(delay.as_secs_f64() * (1.0 + self.0)).unwrap_or(delay)
    }
}

impl Curve {
    pub fn new(max_retries: u32, initial_delay: Duration, multiplier: f64, max_delay: Duration) -> Result<Self, InvalidSchedule> {
        if !(multiplier.is_finite() && multiplier >= 1.0) {
            return Err(InvalidSchedule::Multiplier(multiplier));
        }
        if max_delay < initial_delay {
            return Err(InvalidSchedule::Delays { initial: initial_delay, max: max_delay });
        }
        Ok(Self { max_retries, initial_delay, multiplier, max_delay })
    }

    pub fn max_retries(&self) -> u32 {
        self.max_retries
    }

    pub fn initial_delay(&self) -> Duration {
        self.initial_delay
    }

    pub fn multiplier(&self) -> f64 {
        self.multiplier
    }

    pub fn max_delay(&self) -> Duration {
        self.max_delay
    }

    fn delay(&self, attempt: NonZeroU32) -> Option<Duration> {
        let retries_made = attempt.get() - 1;
        if retries_made >= self.max_retries {
            return None;
        }
        let exponent = i32::try_from(retries_made).unwrap_or(i32::MAX);
        let seconds = self.initial_delay.as_secs_f64() * self.multiplier.powi(exponent);
        // 0 s × ∞ is NaN, and anything × ∞ is more than a duration holds: both mean the longest delay.
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(self.max_delay).min(self.max_delay))
    }
}

impl Default for Curve {
    /// Product contract §2: three retries after 1, 2 and 4 s.
    fn default() -> Self {
        let hour = Duration::from_secs(60 * 60);
        Self { max_retries: 3, initial_delay: Duration::from_secs(1), multiplier: 2.0, max_delay: hour }
    }
}

/// Schedules that have a name: of another system's documentation, or of a standard.
const NAMED: [(&str, &[u64]); 2] = [
    // FluxGate: 15 s, 2 m, 10 m, 1 h.
    ("fluxgate", &[15, 120, 600, 3_600]),
    // Standard Webhooks' example: 5 s, 5 m, 30 m, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h.
    ("standard-webhooks", &[5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]),
];

impl Schedule {
    /// The names that [`Self::named`] knows.
    pub const NAMES: [&str; NAMED.len()] = [NAMED[0].0, NAMED[1].0];

    pub fn named(name: &str) -> Option<Self> {
        let (_, seconds) = NAMED.iter().find(|(known, _)| *known == name)?;
        Some(Self::List(seconds.iter().copied().map(Duration::from_secs).collect()))
    }

    /// The delay after scheduled attempt number `attempt`; `None` when the budget is spent.
    pub(super) fn delay(&self, attempt: NonZeroU32) -> Option<Duration> {
        match self {
            Self::Curve(curve) => curve.delay(attempt),
            Self::List(delays) => delays.get(usize::try_from(attempt.get() - 1).unwrap_or(usize::MAX)).copied(),
        }
    }

    /// The longest delay that it can lead to.
    pub(super) fn longest(&self, jitter: Jitter) -> Duration {
        let delay = match self {
            Self::Curve(curve) if curve.max_retries == 0 => Duration::ZERO,
            Self::Curve(curve) => curve.max_delay,
            Self::List(delays) => delays.iter().max().copied().unwrap_or_default(),
        };
        jitter.longest(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_arithmetic_cannot_hold_are_refused() {
        for share in [f64::NAN, -0.1, 1.1, f64::INFINITY] {
            assert!(Jitter::new(share).is_err(), "{share}");
        }
        assert_eq!(Jitter::new(0.2).map(Jitter::share), Ok(0.2));
        let curve = |multiplier, initial, max| Curve::new(3, Duration::from_secs(initial), multiplier, Duration::from_secs(max));
        for multiplier in [f64::NAN, f64::INFINITY, 0.5, -2.0] {
            assert!(matches!(curve(multiplier, 1, 10), Err(InvalidSchedule::Multiplier(_))), "{multiplier}");
        }
        let error = curve(2.0, 10, 1).unwrap_err().to_string();
        assert_eq!(error, "the longest delay, 1s, is shorter than the first, 10s");
        assert!(curve(1.0, 10, 10).is_ok());
    }

    #[test]
    fn no_delay_is_longer_than_the_longest() {
        let second = Duration::from_secs(1);
        let curve = Curve::new(200, Duration::ZERO, 1e300, second).unwrap();
        assert!((1..=200).filter_map(NonZeroU32::new).filter_map(|n| curve.delay(n)).all(|delay| delay <= second));
        let jitter = Jitter::new(0.5).unwrap();
        assert_eq!(Schedule::Curve(curve).longest(jitter), second * 3 / 2);
        assert_eq!(Schedule::List(vec![second, second * 4, second]).longest(Jitter::default()), second * 4);
        assert_eq!(Schedule::Curve(Curve::new(0, second, 2.0, second).unwrap()).longest(jitter), Duration::ZERO);
    }

    #[test]
    fn named_schedules_are_what_their_documents_say() {
        let delays = |name: &str| match Schedule::named(name) {
            Some(Schedule::List(delays)) => delays.iter().map(Duration::as_secs).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        assert_eq!(delays("fluxgate"), [15, 120, 600, 3600]);
        // "Time since start" of the specification's last line: 75:35:05.
        assert_eq!(delays("standard-webhooks").iter().sum::<u64>(), 75 * 3600 + 35 * 60 + 5);
        assert_eq!(Schedule::named("nonsense"), None);
    }
}
