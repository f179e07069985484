//! How fast each lane may go: its rate limit, and the ramp of one that comes back. Outlives lanes and reloads; holds only
//! lanes that have something to remember.

use std::collections::HashMap;
use std::time::Duration;

use super::health::SLOW;
use super::places::SLOW_MAX;
use crate::model::{Pace, Ramp, Rate, WebhookKey};

/// Entries that are looked through for some to forget, at least.
const SWEEP_FROM: usize = 1024;

pub(super) struct Throttle {
    paces: HashMap<WebhookKey, Pace>,
    ramps: HashMap<WebhookKey, Ramp>,
    sweep_at: usize,
}

impl Default for Throttle {
    fn default() -> Self {
        Self { paces: HashMap::new(), ramps: HashMap::new(), sweep_at: SWEEP_FROM }
    }
}

impl Throttle {
    /// It comes back: slowly at first.
    pub(super) fn ramp(&mut self, webhook: WebhookKey, now: Duration) {
        self.ramps.insert(webhook, Ramp::start(now));
    }

    /// How long the lane has to wait before one may go.
    pub(super) fn wait(&mut self, webhook: WebhookKey, rate: Option<Rate>, now: Duration) -> Duration {
        let mut wait = Duration::ZERO;
        if let (Some(rate), Some(pace)) = (rate, self.paces.get_mut(&webhook)) {
            wait = pace.wait(rate.interval(), now);
        }
        if !self.ramps.is_empty()
            && let Some(ramp) = self.ramps.get(&webhook)
        {
            wait = wait.max(ramp.wait(now));
        }
        wait
    }

    /// Lets one go, or says how long the lane has to wait.
    pub(super) fn take(&mut self, webhook: WebhookKey, rate: Option<Rate>, now: Duration) -> Result<(), Duration> {
        if rate.is_none() && self.ramps.is_empty() {
            return Ok(());
        }
        let wait = self.wait(webhook, rate, now);
        if !wait.is_zero() {
            return Err(wait);
        }
        match self.ramps.get_mut(&webhook) {
            Some(ramp) if !ramp.is_over(now) => ramp.take(now)?,
            Some(_) => {
                self.ramps.remove(&webhook);
            }
            None => {}
        }
        if let Some(rate) = rate {
            self.sweep(now);
            self.paces.entry(webhook).or_default().take(rate.interval(), now)?;
        }
        Ok(())
    }

    fn sweep(&mut self, now: Duration) {
        if self.paces.len() >= self.sweep_at {
            self.paces.retain(|_, pace| !pace.is_rested(now));
            self.sweep_at = (self.paces.len() * 2).max(SWEEP_FROM);
        }
    }
}

/// When slow lanes may start something: one after the other. A hundred endpoints that hang time out together, and all that
/// is made new then, connections, records, retries, would stand before what others' requests need.
#[derive(Default)]
pub(super) struct Turns {
    next: Duration,
}

/// Slow requests under way that turns are at least made for: one lane that comes back has its places within a few ms.
const TURNS_MIN: usize = 512;

impl Turns {
    /// The next one that nobody has. Of `slow` requests under way, each for a second at least, no more end in a second, so
    /// no more turns are needed for as many to be under way again: nobody gets less for it.
    pub(super) fn take(&mut self, now: Duration, slow: usize) -> Duration {
        let at = self.next.max(now);
        self.next = at + SLOW / u32::try_from(slow.clamp(TURNS_MIN, SLOW_MAX)).unwrap_or(u32::MAX);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: WebhookKey = WebhookKey(1);

    #[test]
    fn the_slower_of_rate_and_ramp_counts() {
        let ms = Duration::from_millis;
        let rate = Rate::parse("50/s").ok();
        let mut throttle = Throttle::default();
        assert_eq!(throttle.take(KEY, None, ms(1000)), Ok(()));
        assert_eq!(throttle.take(KEY, rate, ms(1000)), Ok(()));
        assert_eq!(throttle.take(KEY, rate, ms(1000)), Err(ms(10)));
        assert_eq!(throttle.take(WebhookKey(2), rate, ms(1000)), Ok(()), "each has its own");
        throttle.ramp(KEY, ms(1100));
        assert_eq!(throttle.take(KEY, rate, ms(1100)), Ok(()));
        assert_eq!(throttle.take(KEY, rate, ms(1150)), Err(ms(50)), "ten a second at first");
        assert_eq!(throttle.take(KEY, rate, ms(20_000)), Ok(()));
        assert!(throttle.ramps.is_empty(), "over and forgotten");
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
        for slow in [0, 10, TURNS_MIN, 1_000, SLOW_MAX] {
            let mut turns = Turns::default();
            let taken: Vec<Duration> = (0..slow.max(2)).map(|_| turns.take(s(1), slow)).collect();
            assert!(taken[0] == s(1) && taken.is_sorted_by(|one, next| one < next));
            assert!(*taken.last().unwrap() < s(2), "a second is enough for as many as are under way");
        }
        let mut turns = Turns::default();
        turns.take(s(1), 0);
        assert_eq!((turns.take(s(9), 0), turns.take(s(9), 0)), (s(9), s(9) + SLOW / 512));
    }

    #[test]
    fn what_is_rested_is_forgotten() {
        let mut throttle = Throttle::default();
        let rate = Rate::parse("50/s").ok();
        for n in 0..5000 {
            assert_eq!(throttle.take(WebhookKey(n), rate, Duration::from_secs(u64::try_from(n).unwrap())), Ok(()));
        }
        assert!(throttle.paces.len() <= SWEEP_FROM, "{}", throttle.paces.len());
    }
}
