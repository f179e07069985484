//! How fast work may go: a rate as users write it, and the pure decision of when the next may go (GCRA). Owns no clock:
//! time is any monotonic span that the caller counts.

use std::fmt;
use std::time::Duration;

/// A number of attempts per time, spread evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    per: Duration,
}

/// Units that a rate is written with, and what they are called in full.
const UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];

/// Rates of services that publish them, by name.
const PRESETS: [(&str, Rate); 1] = [
    // "1 message per second per incoming webhook", more only in short bursts.
    ("slack", Rate { count: 1, per: Duration::from_secs(1) }),
];

/// A lane that starts a hundred thousand requests a second is limited by everything else.
const COUNT_MAX: u32 = 1_000_000;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRate {
    #[error("`{text}` is not a rate: write a number per s, m, h or d, as in \"50/s\" or \"600/m\", or the name \"slack\" (1/s)")]
    Form { text: String },
    #[error("`{text}` is out of range: from 1 to {COUNT_MAX} per s, m, h or d")]
    Range { text: String },
}

impl Rate {
    /// `None` unless something may go at all.
    pub fn new(count: u32, per: Duration) -> Option<Self> {
        (count > 0 && count <= COUNT_MAX && !per.is_zero()).then_some(Self { count, per })
    }

    /// `50/s`, `600/m`, `10/h`, `100/d`, or a preset's name.
    pub fn parse(text: &str) -> Result<Self, InvalidRate> {
        if let Some((_, rate)) = PRESETS.iter().find(|(name, _)| *name == text) {
            return Ok(*rate);
        }
        let shown = || text.chars().take(40).collect();
        let written = || {
            let (count, unit) = text.split_once('/')?;
            let digits = !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit());
            let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
            digits.then_some((count, Duration::from_secs(*seconds)))
        };
        let (count, per) = written().ok_or_else(|| InvalidRate::Form { text: shown() })?;
        // More than fits a number is as much out of range.
        count.parse().ok().and_then(|count| Self::new(count, per)).ok_or_else(|| InvalidRate::Range { text: shown() })
    }

    /// From one to the next.
    pub fn interval(self) -> Duration {
        self.per / self.count
    }
}

/// As [`Rate::parse`] reads it.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(_, seconds)| Duration::from_secs(*seconds) == self.per) {
            Some((unit, _)) => write!(f, "{}/{unit}", self.count),
            None => write!(f, "{} in {:?}", self.count, self.per),
        }
    }
}

/// How far the schedule may lag behind the clock and still be made good: timers wake up to some milliseconds late, and
/// without this every one of them would be lost rate. It is also how many may go at once after a pause, in time.
const LAG_MAX: Duration = Duration::from_millis(10);

/// When the next one may go. 16 bytes, no timer: a refusal says when to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateLimiter {
    next: Duration,
}

impl RateLimiter {
    /// How long until the next may go. `now` never goes back. A rate that was raised counts from now on: nobody waits
    /// longer than its interval.
    pub fn wait(&mut self, interval: Duration, now: Duration) -> Duration {
        self.next = self.next.min(now + interval);
        self.next.saturating_sub(now)
    }

    /// Takes one, or says how long to wait.
    pub fn take(&mut self, interval: Duration, now: Duration) -> Result<(), Duration> {
        let wait = self.wait(interval, now);
        if !wait.is_zero() {
            return Err(wait);
        }
        self.next = self.next.max(now.saturating_sub(LAG_MAX)) + interval;
        Ok(())
    }

    /// Nothing to remember: a new one would say the same.
    pub fn is_idle(self, now: Duration) -> bool {
        self.next <= now.saturating_sub(LAG_MAX)
    }
}

/// What an endpoint that comes back gets at first: 10 a second, twice as many with every second, everything after ten.
/// A backlog of hours must not be the next thing that throws it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlowStart {
    since: Duration,
    pace: RateLimiter,
}

const RAMP_FIRST_INTERVAL: Duration = Duration::from_millis(100);
const RAMP_DOUBLINGS: u32 = 10;
const RAMP_STEP: Duration = Duration::from_secs(1);

impl SlowStart {
    pub fn start(now: Duration) -> Self {
        Self { since: now, pace: RateLimiter { next: now } }
    }

    pub fn is_over(self, now: Duration) -> bool {
        now.saturating_sub(self.since) >= RAMP_STEP * RAMP_DOUBLINGS
    }

    /// As [`RateLimiter::wait`].
    pub fn wait(mut self, now: Duration) -> Duration {
        if self.is_over(now) { Duration::ZERO } else { self.pace.wait(self.interval(now), now) }
    }

    /// As [`RateLimiter::take`].
    pub fn take(&mut self, now: Duration) -> Result<(), Duration> {
        if self.is_over(now) {
            return Ok(());
        }
        self.pace.take(self.interval(now), now)
    }

    fn interval(self, now: Duration) -> Duration {
        let steps = now.saturating_sub(self.since).as_secs().min(u64::from(RAMP_DOUBLINGS));
        RAMP_FIRST_INTERVAL / 2_u32.pow(u32::try_from(steps).unwrap_or(RAMP_DOUBLINGS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rates_are_written_per_second_minute_hour_and_day() {
        for (text, interval_ms) in [("50/s", 20), ("600/m", 100), ("1/h", 3_600_000), ("24/d", 3_600_000), ("slack", 1000)] {
            assert_eq!(Rate::parse(text).unwrap().interval(), Duration::from_millis(interval_ms), "{text}");
        }
        assert_eq!(Rate::parse("600/m").unwrap().to_string(), "600/m");
        assert_eq!(Rate::parse("slack").unwrap().to_string(), "1/s");
        for text in ["", "0/s", "50", "/s", "50/", "50/sec", "-1/s", "+1/s", "1.5/s", "9999999/s", "50 / s", "Slack"] {
            assert!(Rate::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_late_timer_is_made_good_and_a_pause_is_not() {
        let interval = Duration::from_millis(20);
        let ms = Duration::from_millis;
        let mut pace = RateLimiter::default();
        assert_eq!(pace.take(interval, ms(1000)), Ok(()));
        assert_eq!(pace.take(interval, ms(1000)), Err(ms(10)), "once after a pause the lag counts");
        assert_eq!(pace.take(interval, ms(1013)), Ok(()));
        assert_eq!(pace.take(interval, ms(1013)), Err(ms(17)), "three late, so three sooner");
        assert!(!pace.is_idle(ms(1039)) && pace.is_idle(ms(1040)));
    }

    #[test]
    fn a_raised_rate_counts_at_once_and_a_lowered_one_from_the_next_on() {
        let (hour, ms) = (Duration::from_secs(3_600), Duration::from_millis);
        let mut pace = RateLimiter::default();
        assert_eq!(pace.take(hour, ms(1000)), Ok(()));
        assert!(pace.take(hour, ms(2000)).is_err());
        assert_eq!(pace.wait(ms(20), ms(2000)), ms(20), "nobody waits for the pace of before");
        assert_eq!(pace.take(ms(20), ms(2000)), Err(ms(20)));
        assert_eq!(pace.take(ms(20), ms(2010)), Err(ms(10)), "and asking again does not restart it");
        assert_eq!(pace.take(ms(20), ms(2020)), Ok(()));
        assert_eq!(pace.take(hour, ms(2040)), Ok(()));
        assert_eq!(pace.take(hour, ms(2060)), Err(hour - ms(20)));
    }

    #[test]
    fn a_ramp_begins_slowly_and_ends() {
        let ms = Duration::from_millis;
        let mut ramp = SlowStart::start(ms(5000));
        let mut sent = [0; 12];
        for now in 5000..17_000_u64 {
            // Endless work, asked for a thousand times a second.
            if ramp.take(ms(now)).is_ok() {
                sent[usize::try_from((now - 5000) / 1000).unwrap()] += 1;
            }
        }
        assert!((10..=11).contains(&sent[0]), "{sent:?}");
        assert!((19..=21).contains(&sent[1]) && (38..=42).contains(&sent[2]), "{sent:?}");
        assert_eq!(sent[11], 1000, "no longer held back");
    }

    proptest! {
        #[test]
        fn no_window_has_more_than_the_rate_and_nothing_waits_longer_than_it_must(
            interval_us in 50..2_000_000_u64, gaps_us in proptest::collection::vec(0..200_000_u64, 1..300),
        ) {
            let interval = Duration::from_micros(interval_us);
            let mut pace = RateLimiter::default();
            let mut now = Duration::from_secs(10);
            let mut gone: Vec<Duration> = Vec::new();
            for gap in gaps_us {
                now += Duration::from_micros(gap);
                match pace.take(interval, now) {
                    Ok(()) => gone.push(now),
                    Err(wait) => {
                        prop_assert!(wait <= interval, "waits no more than one interval");
                        prop_assert!(pace.clone().take(interval, now + wait).is_ok(), "and may go exactly then");
                    }
                }
            }
            for from in 0..gone.len() {
                for to in from + 1..gone.len() {
                    let window = gone[to] - gone[from] + LAG_MAX;
                    let most = window.as_nanos() / interval.as_nanos() + 1;
                    prop_assert!(u128::try_from(to - from + 1).unwrap() <= most + 1);
                }
            }
        }
    }
}
