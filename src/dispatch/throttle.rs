//! How fast each lane may go: its rate limit, and the slow start of one that comes back. Outlives lanes and reloads; holds
//! only lanes that have something to remember.

use std::collections::HashMap;
use std::time::Duration;

use super::health::SLOW;
use crate::model::{Rate, RateLimiter, SlowStart, WebhookKey};

/// From this many entries on, idle ones are evicted.
const SWEEP_FROM: usize = 1024;

pub(super) struct Throttle {
    limiters: HashMap<WebhookKey, RateLimiter>,
    slow_starts: HashMap<WebhookKey, SlowStart>,
    sweep_at: usize,
}

impl Default for Throttle {
    fn default() -> Self {
        Self { limiters: HashMap::new(), slow_starts: HashMap::new(), sweep_at: SWEEP_FROM }
    }
}

impl Throttle {
    /// The lane comes back: slowly at first.
    pub(super) fn start_slowly(&mut self, webhook: WebhookKey, now: Duration) {
        self.slow_starts.insert(webhook, SlowStart::start(now));
    }

    /// How long the lane has to wait before one may go.
    pub(super) fn wait(&mut self, webhook: WebhookKey, rate: Option<Rate>, now: Duration) -> Duration {
        let mut wait = Duration::ZERO;
        if let (Some(rate), Some(limiter)) = (rate, self.limiters.get_mut(&webhook)) {
            wait = limiter.wait(rate.interval(), now);
        }
        if !self.slow_starts.is_empty()
            && let Some(slow_start) = self.slow_starts.get(&webhook)
        {
            wait = wait.max(slow_start.wait(now));
        }
        wait
    }

    /// Lets one go, or says how long the lane has to wait.
    pub(super) fn take(&mut self, webhook: WebhookKey, rate: Option<Rate>, now: Duration) -> Result<(), Duration> {
        if rate.is_none() && self.slow_starts.is_empty() {
            return Ok(());
        }
        let wait = self.wait(webhook, rate, now);
        if !wait.is_zero() {
            return Err(wait);
        }
        match self.slow_starts.get_mut(&webhook) {
            Some(slow_start) if !slow_start.is_over(now) => slow_start.take(now)?,
            Some(_) => {
                self.slow_starts.remove(&webhook);
            }
            None => {}
        }
        if let Some(rate) = rate {
            self.sweep(now);
            self.limiters.entry(webhook).or_default().take(rate.interval(), now)?;
        }
        Ok(())
    }

    fn sweep(&mut self, now: Duration) {
        if self.limiters.len() >= self.sweep_at {
            self.limiters.retain(|_, limiter| !limiter.is_idle(now));
            self.sweep_at = (self.limiters.len() * 2).max(SWEEP_FROM);
        }
    }
}

/// When slow lanes may start an attempt: one after the other. A hundred endpoints that hang time out together, and all that
/// follows at once (connections, records, retries) would delay what other webhooks' requests need.
#[derive(Default)]
pub(super) struct Stagger {
    next: Duration,
}

/// Turns are made for at least this many slow requests in flight, so that one lane that comes back starts within a few ms.
const STAGGER_MIN: usize = 512;

impl Stagger {
    /// The next free turn. Of `slow` requests in flight, each for a second at least, no more end in a second, so no more
    /// turns are needed for as many to be in flight again: no lane gets less for it.
    pub(super) fn take(&mut self, now: Duration, slow: usize, slow_max: usize) -> Duration {
        let at = self.next.max(now);
        self.next = at + SLOW / u32::try_from(slow.clamp(STAGGER_MIN, slow_max.max(STAGGER_MIN))).unwrap_or(u32::MAX);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: WebhookKey = WebhookKey(1);
    const SLOW_MAX: usize = 3072;

    #[test]
    fn the_slower_of_rate_limit_and_slow_start_counts() {
        let ms = Duration::from_millis;
        let rate = Rate::parse("50/s").ok();
        let mut throttle = Throttle::default();
        assert_eq!(throttle.take(KEY, None, ms(1000)), Ok(()));
        assert_eq!(throttle.take(KEY, rate, ms(1000)), Ok(()));
        assert_eq!(throttle.take(KEY, rate, ms(1000)), Err(ms(10)));
        assert_eq!(throttle.take(WebhookKey(2), rate, ms(1000)), Ok(()), "each has its own");
        throttle.start_slowly(KEY, ms(1100));
        assert_eq!(throttle.take(KEY, rate, ms(1100)), Ok(()));
        assert_eq!(throttle.take(KEY, rate, ms(1150)), Err(ms(50)), "ten a second at first");
        assert_eq!(throttle.take(KEY, rate, ms(20_000)), Ok(()));
        assert!(throttle.slow_starts.is_empty(), "over and forgotten");
    }

    #[test]
    fn a_rate_raised_by_a_reload_counts_at_once() {
        let s = Duration::from_secs;
        let rate = |text| Rate::parse(text).ok();
        let mut throttle = Throttle::default();
        assert_eq!(throttle.take(KEY, rate("1/h"), s(10)), Ok(()));
        assert!(throttle.take(KEY, rate("1/h"), s(20)).is_err_and(|wait| wait > s(3_500)));
        assert_eq!(throttle.take(KEY, rate("1/s"), s(30)), Err(s(1)));
        assert_eq!(throttle.take(KEY, rate("1/s"), s(31)), Ok(()));
    }

    #[test]
    fn turns_come_one_after_the_other_and_are_not_saved_up() {
        let s = Duration::from_secs;
        for slow in [0, 10, STAGGER_MIN, 1_000, SLOW_MAX] {
            let mut stagger = Stagger::default();
            let taken: Vec<Duration> = (0..slow.max(2)).map(|_| stagger.take(s(1), slow, SLOW_MAX)).collect();
            assert!(taken[0] == s(1) && taken.is_sorted_by(|one, next| one < next));
            assert!(*taken.last().unwrap() < s(2), "a second is enough for as many as are in flight");
        }
        let mut stagger = Stagger::default();
        stagger.take(s(1), 0, SLOW_MAX);
        assert_eq!((stagger.take(s(9), 0, SLOW_MAX), stagger.take(s(9), 0, SLOW_MAX)), (s(9), s(9) + SLOW / 512));
    }

    #[test]
    fn idle_limiters_are_evicted() {
        let mut throttle = Throttle::default();
        let rate = Rate::parse("50/s").ok();
        for n in 0..5000 {
            assert_eq!(throttle.take(WebhookKey(n), rate, Duration::from_secs(u64::try_from(n).unwrap())), Ok(()));
        }
        assert!(throttle.limiters.len() <= SWEEP_FROM, "{}", throttle.limiters.len());
    }
}
