//! Notices that the wall clock was set back. Due times on disk are wall-clock times, because they outlive the process;
//! while it runs, what is due in four seconds is due in four seconds whatever the clock shows.

use std::time::Duration;

use crate::model::Timestamp;

/// Smaller steps are what an adjustment of the clock does all the time, and delay nothing by more than this.
const STEP_MIN: Duration = Duration::from_secs(1);

pub(super) struct ClockWatch {
    wall: Timestamp,
    /// On the monotonic clock.
    at: Duration,
}

impl ClockWatch {
    pub(super) fn new(wall: Timestamp, at: Duration) -> Self {
        Self { wall, at }
    }

    /// By how much the clock was set back since the last call, if it was.
    pub(super) fn step_back(&mut self, wall: Timestamp, at: Duration) -> Option<Duration> {
        let expected = self.wall.after(at.saturating_sub(self.at));
        *self = Self { wall, at };
        behind(expected, wall)
    }
}

/// By how much `now` is before a time that the clock has shown already.
pub(super) fn behind(shown: Timestamp, now: Timestamp) -> Option<Duration> {
    Some(now.until(shown)).filter(|step| *step >= STEP_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_is_noticed_once_and_no_other_is() {
        let (start, s) = (Timestamp::from_millis(1_700_000_000_000), Duration::from_secs);
        let mut watch = ClockWatch::new(start, s(10));
        assert_eq!(watch.step_back(start.after(s(5)), s(15)), None);
        assert_eq!(watch.step_back(start.after(s(9)), s(20)), Some(s(1)));
        assert_eq!(watch.step_back(start.before(s(3600)), s(21)), Some(s(3610)));
        assert_eq!(watch.step_back(start.before(s(3599)), s(22)), None, "it goes on from there");
        assert_eq!(watch.step_back(start, s(23)), None, "forward is no step back");
        assert_eq!(watch.step_back(start.after(Duration::from_millis(500)), s(24)), None, "half a second late");
    }
}
