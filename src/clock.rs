//! The wall clock, so that tests and simulations can replace it. Owns no timers: those are tokio's.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::model::Timestamp;

#[derive(Debug, Clone, Default)]
pub enum Clock {
    #[default]
    System,
    /// Moves only by [`Clock::advance`].
    Virtual(Arc<AtomicI64>),
    /// Showed `base` at `since`, and goes with tokio's clock, which stops and leaps while it is paused. It can be set
    /// forward and back by milliseconds, as a machine's clock can.
    Tokio { base: Timestamp, since: tokio::time::Instant, set_by: Arc<AtomicI64> },
}

impl Clock {
    pub fn stopped_at(at: Timestamp) -> Self {
        Self::Virtual(Arc::new(AtomicI64::new(at.as_millis())))
    }

    /// Shows `base` now, and goes with tokio's clock from then on.
    pub fn with_tokio(base: Timestamp) -> Self {
        Self::Tokio { base, since: tokio::time::Instant::now(), set_by: Arc::default() }
    }

    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
                Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
            }
            Self::Virtual(millis) => Timestamp::from_millis(millis.load(Ordering::Acquire)),
            Self::Tokio { base, since, set_by } => {
                let shown = base.after(since.elapsed()).as_millis();
                Timestamp::from_millis(shown.saturating_add(set_by.load(Ordering::Acquire)))
            }
        }
    }

    /// Moves a [`Clock::Virtual`]; no other clock.
    pub fn advance(&self, by: Duration) {
        if let Self::Virtual(millis) = self {
            millis.fetch_add(i64::try_from(by.as_millis()).unwrap_or(0), Ordering::AcqRel);
        }
    }

    /// Sets a clock of [`Clock::with_tokio`] forward, or back by a negative number; all its clones show it.
    pub fn set_by(&self, millis: i64) {
        if let Self::Tokio { set_by, .. } = self {
            set_by.fetch_add(millis, Ordering::AcqRel);
        }
    }
}
