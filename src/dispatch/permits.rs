//! Permits for attempts, over all lanes: how many are in use, how many of them one lane may have, and which lanes wait
//! for one. A lane that waits is woken when a permit is free and not before, so ten thousand waiting lanes cost nothing.
//! After a shortage of the machine's own (descriptors, memory) fewer permits are given out until attempts succeed again.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::WebhookKey;

/// Attempts in flight or being recorded, over all webhooks: with 16 KiB of stored response each at most 64 MiB. A low
/// limit on open files means fewer.
pub(super) const ATTEMPTS_MAX: usize = 4096;

/// Above one part in four, a lane whose endpoint has not answered yet gets few permits: endpoints that hang show it only
/// when they time out, and however many begin to do so at once, the rest of the permits is for those that answer.
const UNRESPONSIVE_PART: usize = 4;
const UNRESPONSIVE_MAX: usize = 2;

/// Above one part in two, each lane gets only its share of the rest.
const SHARED_PART: usize = 2;

/// Of the permits that are free then, one lane may have one part in 256: 8 permits at first, the last ones singly.
const PARTS: usize = 256;

/// Of the permits that become free while fast and slow lanes wait, slow lanes get one in eight.
const SLOW_EVERY: usize = 8;

/// After a shortage no attempt begins for this long, and then more of them in steps of this: a socket that closes gives
/// its descriptor back within milliseconds, and four tries a second cost nothing.
const RECOVERY_STEP: Duration = Duration::from_millis(250);

pub(super) struct AttemptPermits {
    /// More are never in use.
    max: usize,
    /// More are not given out at present: below `max` after a shortage.
    ceiling: usize,
    /// When the ceiling rises next; `None`: it is at `max`.
    rises_at: Option<Duration>,
    /// Nothing begins before the ceiling has risen once.
    is_closed: bool,
    in_use: usize,
    /// Requests in flight in slow lanes.
    slow: usize,
    waiting: VecDeque<WebhookKey>,
    waiting_slow: VecDeque<WebhookKey>,
    /// Permits offered since a slow lane had one.
    since_slow: usize,
}

impl AttemptPermits {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            ceiling: max,
            rises_at: None,
            is_closed: false,
            in_use: 0,
            slow: 0,
            waiting: VecDeque::new(),
            waiting_slow: VecDeque::new(),
            since_slow: 0,
        }
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    pub(super) fn in_use(&self) -> usize {
        self.in_use
    }

    /// Requests in flight to endpoints that took their time before.
    pub(super) fn slow(&self) -> usize {
        self.slow
    }

    /// However many slow endpoints hang, the rest of the permits is for the others.
    pub(super) fn slow_max(&self) -> usize {
        self.max - self.max / 4
    }

    pub(super) fn is_free(&self, is_slow: bool) -> bool {
        !self.is_closed && self.in_use < self.ceiling && !(is_slow && self.slow >= self.slow_max())
    }

    pub(super) fn acquire(&mut self, is_slow: bool) {
        assert!(self.in_use < self.max, "{} of {} permits are in use, and one more is taken", self.in_use, self.max);
        self.in_use += 1;
        self.slow += usize::from(is_slow);
    }

    /// The request is over; the permit is in use until the attempt is recorded.
    pub(super) fn sent(&mut self, is_slow: bool) {
        assert!(!is_slow || self.slow > 0, "a slow request ends that nobody counted");
        self.slow -= usize::from(is_slow);
    }

    /// The attempt is recorded: its permit is free.
    pub(super) fn release(&mut self) {
        assert!(self.in_use > 0, "a permit is given back that was not in use");
        assert!(self.slow < self.in_use, "{} slow requests hold {} permits", self.slow, self.in_use);
        self.in_use -= 1;
    }

    /// A lane with this many requests in flight has become slow, or is so no longer.
    pub(super) fn reclassify(&mut self, is_slow: bool, in_flight: usize) {
        assert!(is_slow || self.slow >= in_flight, "{in_flight} slow requests of {} are slow no longer", self.slow);
        self.slow = if is_slow { self.slow + in_flight } else { self.slow - in_flight };
    }

    /// The machine had no room for one of the attempts that hold a permit: fewer may be in flight for a while.
    pub(super) fn lower(&mut self, now: Duration) {
        self.ceiling = self.ceiling.min(self.in_use / 2).max(1);
        self.rises_at = Some(now + RECOVERY_STEP);
        self.is_closed = true;
    }

    /// When [`Self::rise`] has something to do.
    pub(super) fn rises_at(&self) -> Option<Duration> {
        self.rises_at
    }

    /// A quarter more, if it is time.
    pub(super) fn rise(&mut self, now: Duration) {
        if self.rises_at.is_none_or(|at| at > now) {
            return;
        }
        self.is_closed = false;
        self.ceiling = (self.ceiling + self.ceiling / 4 + 1).min(self.max);
        self.rises_at = (self.ceiling < self.max).then(|| now + RECOVERY_STEP);
    }

    /// How many attempts one of `lanes` may have: all it wants while there is plenty of room.
    pub(super) fn allowance(&self, lanes: usize, is_responsive: bool) -> usize {
        let shared_from = self.max / SHARED_PART;
        if self.in_use < self.max / UNRESPONSIVE_PART || (is_responsive && self.in_use < shared_from) {
            self.max
        } else if self.in_use < shared_from {
            UNRESPONSIVE_MAX
        } else if is_responsive {
            let even = (self.max - shared_from) / lanes.max(1);
            even.min(self.max.saturating_sub(self.in_use) / PARTS).max(1)
        } else {
            1
        }
    }

    /// To be called once for each wait.
    pub(super) fn wait(&mut self, webhook: WebhookKey, is_slow: bool) {
        if is_slow { &mut self.waiting_slow } else { &mut self.waiting }.push_back(webhook);
    }

    /// The lane that waited longest for a permit that is free now; while fast lanes wait, one slow lane in some.
    pub(super) fn next(&mut self) -> Option<WebhookKey> {
        if !self.is_free(false) {
            return None;
        }
        let is_turn = self.since_slow >= SLOW_EVERY || self.waiting.is_empty();
        if is_turn
            && self.is_free(true)
            && let Some(slow) = self.waiting_slow.pop_front()
        {
            self.since_slow = 0;
            return Some(slow);
        }
        self.since_slow += 1;
        self.waiting.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED_FROM: usize = ATTEMPTS_MAX / SHARED_PART;

    fn permits(in_use: usize) -> AttemptPermits {
        AttemptPermits { in_use, ..AttemptPermits::new(ATTEMPTS_MAX) }
    }

    #[test]
    fn lanes_share_what_is_left_once_half_of_the_permits_are_in_use() {
        assert_eq!(permits(0).allowance(100_000, false), ATTEMPTS_MAX);
        assert_eq!(permits(SHARED_FROM - 1).allowance(100, true), ATTEMPTS_MAX);
        assert_eq!(permits(SHARED_FROM).allowance(100, true), 8);
        assert_eq!(permits(SHARED_FROM).allowance(1000, true), 2);
        assert_eq!(permits(ATTEMPTS_MAX).allowance(100_000, true), 1, "and each may have one");
    }

    /// Lanes that fill one after another, each with as many as it may, and never give back.
    fn filled(max: usize, lanes: usize, concurrency: usize, is_responsive: bool) -> usize {
        let mut permits = AttemptPermits::new(max);
        for lane in 1..=lanes {
            for in_flight in 0..concurrency {
                if in_flight < permits.allowance(lane, is_responsive) && permits.is_free(false) {
                    permits.acquire(false);
                }
            }
        }
        permits.in_use()
    }

    #[test]
    fn however_lanes_that_hang_fill_up_others_find_permits() {
        for (lanes, concurrency) in [(400, 50), (1000, 10), (100, 100), (2000, 1000)] {
            assert!(filled(ATTEMPTS_MAX, lanes, concurrency, false) < ATTEMPTS_MAX - 100, "{lanes} of {concurrency}");
        }
        assert!(filled(ATTEMPTS_MAX, 800, 10, true) < ATTEMPTS_MAX - 100, "that answered before");
        assert!(filled(120, 40, 50, false) < 120, "nor with few permits");
    }

    #[test]
    fn slow_lanes_get_permits_while_fast_lanes_wait() {
        let mut permits = permits(ATTEMPTS_MAX - 1);
        permits.wait(WebhookKey(0), true);
        let offered = (1..100).map(|n| {
            permits.wait(WebhookKey(n), false);
            permits.next().unwrap()
        });
        assert_eq!(offered.take_while(|key| *key != WebhookKey(0)).count(), SLOW_EVERY);
    }

    #[test]
    fn waiting_lanes_are_woken_in_fifo_order_when_a_permit_is_free() {
        let mut permits = permits(ATTEMPTS_MAX);
        (1..=2).for_each(|n| permits.wait(WebhookKey(n), false));
        permits.wait(WebhookKey(3), true);
        assert_eq!(permits.next(), None);
        permits.release();
        assert_eq!(permits.next(), Some(WebhookKey(1)));
        permits.acquire(false);
        assert_eq!(permits.next(), None);
        permits.release();
        assert_eq!(permits.next(), Some(WebhookKey(2)));
        permits.slow = permits.slow_max();
        assert_eq!(permits.next(), None, "the third is slow");
        permits.sent(true);
        assert_eq!(permits.next(), Some(WebhookKey(3)));
    }

    #[test]
    fn after_a_shortage_nothing_begins_for_a_while_and_then_a_few_at_a_time() {
        let s = Duration::from_secs;
        let mut permits = permits(100);
        permits.lower(s(1));
        assert!(!permits.is_free(false));
        (0..60).for_each(|_| permits.release());
        assert!(!permits.is_free(false), "not yet, however few are left");
        permits.rise(s(1));
        assert!(!permits.is_free(false), "it is not time");
        permits.rise(permits.rises_at().unwrap());
        assert!(permits.is_free(false) && permits.ceiling < 100, "{}", permits.ceiling);
        let mut steps = 0;
        while let Some(at) = permits.rises_at() {
            permits.rise(at);
            steps += 1;
        }
        assert_eq!(permits.ceiling, ATTEMPTS_MAX);
        assert!((10..40).contains(&steps), "all of them again within seconds: {steps}");
    }

    #[test]
    fn a_shortage_that_lasts_leaves_one_try_at_a_time() {
        let mut permits = permits(3);
        for _ in 0..10 {
            permits.lower(Duration::ZERO);
            (0..permits.in_use()).for_each(|_| permits.release());
            permits.rise(RECOVERY_STEP);
            while permits.is_free(false) {
                permits.acquire(false);
            }
        }
        assert_eq!(permits.in_use(), 2, "{}", permits.ceiling);
    }

    #[test]
    #[should_panic(expected = "a permit is given back that was not in use")]
    fn a_permit_is_given_back_once() {
        let mut permits = AttemptPermits::new(1);
        permits.acquire(false);
        permits.release();
        permits.release();
    }

    #[test]
    #[should_panic(expected = "1 of 1 permits are in use")]
    fn no_more_permits_than_there_are_can_be_acquired() {
        let mut permits = AttemptPermits::new(1);
        permits.acquire(false);
        permits.acquire(false);
    }
}
