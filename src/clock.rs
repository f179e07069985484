//! The wall clock, so that tests and simulations can stand in for it. Owns no timers: those are tokio's.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::model::Timestamp;

#[derive(Debug, Clone, Default)]
pub enum Clock {
    #[default]
    System,
    /// Moves only when it is told to.
    Virtual(Arc<AtomicI64>),
    /// Showed `base` at `since`, and goes with tokio's clock, which stands still and leaps when it is paused.
    Tokio { base: Timestamp, since: tokio::time::Instant },
}

impl Clock {
    pub fn stopped_at(at: Timestamp) -> Self {
        Self::Virtual(Arc::new(AtomicI64::new(at.as_millis())))
    }

    /// Shows `base` now, and goes with tokio's clock from then on.
    pub fn with_tokio(base: Timestamp) -> Self {
        Self::Tokio { base, since: tokio::time::Instant::now() }
    }

    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
                Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
            }
            Self::Virtual(millis) => Timestamp::from_millis(millis.load(Ordering::Acquire)),
            Self::Tokio { base, since } => base.after(since.elapsed()),
        }
    }

    /// Moves only a clock that moves when it is told to.
    pub fn advance(&self, by: Duration) {
        if let Self::Virtual(millis) = self {
            millis.fetch_add(i64::try_from(by.as_millis()).unwrap_or(0), Ordering::AcqRel);
        }
    }
}
