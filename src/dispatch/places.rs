//! Places over all lanes: how many attempts are under way, how many of them one lane may have, and who waits for one.
//! Whoever waits is asked when a place is free and not before, so that ten thousand that wait cost nothing meanwhile.

use std::collections::VecDeque;

use crate::model::WebhookKey;

/// Attempts under way or being recorded, over all webhooks: 16 KiB of kept response each is 64 MiB at the most.
pub(super) const ATTEMPTS_MAX: usize = 4096;

/// Above this many, a lane whose endpoint has not answered yet gets few: endpoints that hang show it only when they time
/// out, and however many begin to do so at once, the rest of the places is for those that answer.
const UNPROVEN_FROM: usize = ATTEMPTS_MAX / 4;
const UNPROVEN_MAX: usize = 2;

/// Above this many, each lane gets only its share of the rest.
const SHARED_FROM: usize = ATTEMPTS_MAX / 2;

/// Of what is free then, one lane may have one part in so many: 8 places at first, the last ones singly.
const PARTS: usize = 256;

/// Requests under way to endpoints that took their time before: however many of them hang, the rest of the places is for
/// those that do not.
pub(super) const SLOW_MAX: usize = ATTEMPTS_MAX / 4 * 3;

/// Of the places that become free while fast and slow lanes wait, slow ones get one in so many.
const SLOW_EVERY: usize = 8;

#[derive(Default)]
pub(super) struct Places {
    taken: usize,
    /// Requests under way in slow lanes.
    slow: usize,
    waiting: VecDeque<WebhookKey>,
    waiting_slow: VecDeque<WebhookKey>,
    /// Places offered since a slow lane had one.
    since_slow: usize,
}

impl Places {
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    pub(super) fn slow(&self) -> usize {
        self.slow
    }

    pub(super) fn is_free(&self, slow: bool) -> bool {
        self.taken < ATTEMPTS_MAX && !(slow && self.slow >= SLOW_MAX)
    }

    pub(super) fn take(&mut self, slow: bool) {
        self.taken += 1;
        self.slow += usize::from(slow);
    }

    /// The request is over, its place still taken.
    pub(super) fn sent(&mut self, slow: bool) {
        self.slow -= usize::from(slow);
    }

    /// Recorded: the place is free.
    pub(super) fn leave(&mut self) {
        self.taken -= 1;
    }

    /// A lane with so many requests under way has become slow, or is so no longer.
    pub(super) fn turned(&mut self, slow: bool, in_flight: usize) {
        self.slow = if slow { self.slow + in_flight } else { self.slow - in_flight };
    }

    /// How many attempts one of `lanes` may have: all it wants while there is plenty of room.
    pub(super) fn allowance(&self, lanes: usize, proven: bool) -> usize {
        if self.taken < UNPROVEN_FROM || (proven && self.taken < SHARED_FROM) {
            ATTEMPTS_MAX
        } else if self.taken < SHARED_FROM {
            UNPROVEN_MAX
        } else if proven {
            let even = (ATTEMPTS_MAX - SHARED_FROM) / lanes.max(1);
            even.min(ATTEMPTS_MAX.saturating_sub(self.taken) / PARTS).max(1)
        } else {
            1
        }
    }

    /// It is told by [`Places::next`] when there is one.
    pub(super) fn wait(&mut self, webhook: WebhookKey, slow: bool) {
        if slow { &mut self.waiting_slow } else { &mut self.waiting }.push_back(webhook);
    }

    /// Who waited longest for a place that is free now; of those with slow endpoints, while others wait, one in some.
    pub(super) fn next(&mut self) -> Option<WebhookKey> {
        if !self.is_free(false) {
            return None;
        }
        let is_turn = self.since_slow >= SLOW_EVERY || self.waiting.is_empty();
        if is_turn
            && self.slow < SLOW_MAX
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

    fn places(taken: usize) -> Places {
        Places { taken, ..Places::default() }
    }

    #[test]
    fn lanes_share_what_is_left_once_half_of_the_places_are_taken() {
        assert_eq!(places(0).allowance(100_000, false), ATTEMPTS_MAX);
        assert_eq!(places(SHARED_FROM - 1).allowance(100, true), ATTEMPTS_MAX);
        assert_eq!(places(SHARED_FROM).allowance(100, true), 8);
        assert_eq!(places(SHARED_FROM).allowance(1000, true), 2);
        assert_eq!(places(ATTEMPTS_MAX).allowance(100_000, true), 1, "and each may have one");
    }

    /// Lanes that fill one after another, each with as many as it may, and never give back.
    fn filled(lanes: usize, concurrency: usize, proven: bool) -> usize {
        let mut places = Places::default();
        for lane in 1..=lanes {
            for under_way in 0..concurrency {
                if under_way < places.allowance(lane, proven) && places.is_free(false) {
                    places.take(false);
                }
            }
        }
        places.taken
    }

    #[test]
    fn however_lanes_that_hang_fill_up_others_find_places() {
        for (lanes, concurrency) in [(400, 50), (1000, 10), (100, 100), (2000, 1000)] {
            assert!(filled(lanes, concurrency, false) < ATTEMPTS_MAX - 100, "{lanes} of {concurrency}");
        }
        assert!(filled(800, 10, true) < ATTEMPTS_MAX - 100, "that answered before");
    }

    #[test]
    fn slow_lanes_get_places_also_while_fast_ones_wait_all_the_time() {
        let mut places = places(ATTEMPTS_MAX - 1);
        places.wait(WebhookKey(0), true);
        let offered = (1..100).map(|n| {
            places.wait(WebhookKey(n), false);
            places.next().unwrap()
        });
        assert_eq!(offered.take_while(|key| *key != WebhookKey(0)).count(), SLOW_EVERY);
    }

    #[test]
    fn who_waits_is_asked_in_turn_when_there_is_a_place_for_it() {
        let mut places = places(ATTEMPTS_MAX);
        (1..=2).for_each(|n| places.wait(WebhookKey(n), false));
        places.wait(WebhookKey(3), true);
        assert_eq!(places.next(), None);
        places.leave();
        assert_eq!(places.next(), Some(WebhookKey(1)));
        places.take(false);
        assert_eq!(places.next(), None);
        places.leave();
        assert_eq!(places.next(), Some(WebhookKey(2)));
        places.slow = SLOW_MAX;
        assert_eq!(places.next(), None, "the third is slow");
        places.sent(true);
        assert_eq!(places.next(), Some(WebhookKey(3)));
    }
}
