//! One webhook's lane: what waits in memory, what is under way, what is leased. Pure bookkeeping.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use super::throttle::Turns;
use crate::model::WebhookKey;
use crate::store::{Lease, Slot};

/// The lane looks at the disk again when fewer than this many times its concurrency wait in memory.
const LOW_WATER: usize = 2;

pub(super) struct Lane {
    key: WebhookKey,
    queue: VecDeque<Lease>,
    /// Requests under way.
    in_flight: usize,
    /// Everything taken from the store and not settled. What came from disk is still due there.
    leased: HashSet<i64>,
    /// Settled while a look at the disk was under way: it may still have seen them as due.
    settled_meanwhile: Vec<i64>,
    /// Cancelled or changed while a look was under way: it may still have read them as they were.
    cancelled_meanwhile: Vec<i64>,
    /// Changed while an attempt was under way: looks pass over them as ours, so they are looked for when that is over.
    changed_meanwhile: HashSet<i64>,
    claiming: bool,
    on_disk: bool,
    /// A look found too little memory for more than what is here: the next one waits until something has been settled.
    is_short: bool,
    queued: bool,
    /// Waits for a place among all.
    waits_for_place: bool,
    waits_for_look: bool,
    /// Its endpoint took its time the last time it was asked.
    slow: bool,
    /// Its endpoint has shown that it does not hang.
    proven: bool,
    /// What waits here and on disk as well.
    on_disk_too: usize,
    /// When it may start the next one, once it is slow and has asked.
    turn: Option<Duration>,
}

impl Lane {
    pub(super) fn new(key: WebhookKey) -> Self {
        Self {
            key,
            queue: VecDeque::new(),
            in_flight: 0,
            leased: HashSet::new(),
            settled_meanwhile: Vec::new(),
            cancelled_meanwhile: Vec::new(),
            changed_meanwhile: HashSet::new(),
            claiming: false,
            on_disk: false,
            is_short: false,
            queued: false,
            waits_for_place: false,
            waits_for_look: false,
            slow: false,
            proven: false,
            on_disk_too: 0,
            turn: None,
        }
    }

    pub(super) fn is_slow(&self) -> bool {
        self.slow
    }

    pub(super) fn set_slow(&mut self, slow: bool) {
        self.slow = slow;
    }

    pub(super) fn is_proven(&self) -> bool {
        self.proven
    }

    pub(super) fn set_proven(&mut self, proven: bool) {
        self.proven = proven;
    }

    /// Until when a slow lane has to wait for its turn, while so many slow requests are under way.
    pub(super) fn awaits_turn(&mut self, turns: &mut Turns, now: Duration, slow: usize) -> Option<Duration> {
        if !self.slow {
            return None;
        }
        let at = *self.turn.get_or_insert_with(|| turns.take(now, slow));
        (at > now).then_some(at)
    }

    /// How long it has to wait for the turn that it has.
    pub(super) fn wait(&self, now: Duration) -> Duration {
        self.turn.map_or(Duration::ZERO, |at| at.saturating_sub(now))
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(super) fn push(&mut self, lease: Lease) {
        self.leased.insert(lease.delivery.number);
        self.on_disk_too += usize::from(is_on_disk(&lease));
        self.queue.push_back(lease);
    }

    /// The key, when the lane is not among the runnable ones yet.
    pub(super) fn queue_up(&mut self) -> Option<WebhookKey> {
        (!std::mem::replace(&mut self.queued, true)).then_some(self.key)
    }

    pub(super) fn unqueue(&mut self) {
        self.queued = false;
    }

    /// Whether it does not wait for one already.
    pub(super) fn wait_for_place(&mut self) -> bool {
        !std::mem::replace(&mut self.waits_for_place, true)
    }

    pub(super) fn waits_for_place(&self) -> bool {
        self.waits_for_place
    }

    /// There is one: it waits no longer.
    pub(super) fn offer_place(&mut self) {
        self.waits_for_place = false;
    }

    /// The key, when it does not wait for one already.
    pub(super) fn wait_for_look(&mut self) -> Option<WebhookKey> {
        (!std::mem::replace(&mut self.waits_for_look, true)).then_some(self.key)
    }

    pub(super) fn offer_look(&mut self) {
        self.waits_for_look = false;
    }

    #[cfg(test)]
    pub(super) fn has_queue(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether something waits, and one more may be under way.
    pub(super) fn may_start(&self, allowed: usize) -> bool {
        self.in_flight < allowed && !self.queue.is_empty()
    }

    /// The next delivery to attempt.
    pub(super) fn first(&self) -> Option<&Lease> {
        self.queue.front()
    }

    /// The next delivery to attempt, if one more may be under way.
    pub(super) fn start(&mut self, allowed: usize) -> Option<Lease> {
        if self.in_flight >= allowed {
            return None;
        }
        let lease = self.queue.pop_front()?;
        self.in_flight += 1;
        self.on_disk_too -= usize::from(is_on_disk(&lease));
        self.turn = None;
        Some(lease)
    }

    /// Not to be attempted as it waits here. No effect on what is under way, but that the disk is looked at when it is over.
    pub(super) fn cancel(&mut self, delivery: i64) {
        if self.claiming {
            self.cancelled_meanwhile.push(delivery);
        }
        let at = self.queue.iter().position(|lease| lease.delivery.number == delivery);
        if let Some(lease) = at.and_then(|at| self.queue.remove(at)) {
            self.on_disk_too -= usize::from(is_on_disk(&lease));
            self.settled(delivery);
        } else if self.leased.contains(&delivery) {
            self.changed_meanwhile.insert(delivery);
        }
    }

    /// What waits here and cannot go for long is forgotten, as far as it waits on disk as well: others need the memory.
    pub(super) fn shed(&mut self) {
        // A look under way passes over what is leased here, and takes what it does not see for all there is.
        if self.claiming || self.on_disk_too == 0 {
            return;
        }
        let (shed, kept) = std::mem::take(&mut self.queue).into_iter().partition::<VecDeque<_>, _>(is_on_disk);
        (self.queue, self.on_disk_too) = (kept, 0);
        for lease in shed {
            self.on_disk = true;
            self.settled(lease.delivery.number);
            lease.slot.into_iter().for_each(Slot::put_back);
        }
    }

    /// A request is over; its place is free while the attempt is being recorded.
    pub(super) fn sent(&mut self) {
        self.in_flight -= 1;
    }

    /// Recorded: the delivery is no longer ours.
    pub(super) fn settled(&mut self, delivery: i64) {
        self.is_short = false;
        self.on_disk |= self.changed_meanwhile.remove(&delivery);
        if self.claiming {
            self.settled_meanwhile.push(delivery);
        } else {
            self.leased.remove(&delivery);
        }
    }

    pub(super) fn disk_has_work(&mut self) {
        self.on_disk = true;
    }

    pub(super) fn wants_claim(&self, allowed: usize) -> bool {
        self.on_disk && !self.claiming && !self.is_short && self.queue.len() < LOW_WATER * allowed.min(64)
    }

    /// What the look has to pass over.
    pub(super) fn begin_claim(&mut self) -> Vec<i64> {
        self.claiming = true;
        self.on_disk = false;
        self.leased.iter().copied().collect()
    }

    pub(super) fn claimed(&mut self, leases: Vec<Lease>, more: bool, is_short: bool) {
        self.claiming = false;
        self.on_disk |= more;
        self.is_short = is_short && self.settled_meanwhile.is_empty() && !self.leased.is_empty();
        let cancelled = std::mem::take(&mut self.cancelled_meanwhile);
        for lease in leases {
            if cancelled.contains(&lease.delivery.number) {
                // The next look tells whether anything is left of it.
                self.on_disk = true;
                continue;
            }
            if self.leased.contains(&lease.delivery.number) {
                // Came through memory while the look was under way, and was due on disk as well: once is enough.
                self.on_disk = true;
                continue;
            }
            self.push(lease);
        }
        for delivery in self.settled_meanwhile.drain(..) {
            self.leased.remove(&delivery);
        }
    }

    /// Nothing to remember: the lane can go.
    pub(super) fn is_idle(&self) -> bool {
        self.leased.is_empty() && self.in_flight == 0 && !self.claiming && !self.on_disk && !self.queued
    }
}

fn is_on_disk(lease: &Lease) -> bool {
    lease.slot.as_ref().is_some_and(Slot::is_on_disk)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::model::{DeliveryId, Event, EventId, EventType, Timestamp, Trigger};

    fn lease(number: i64) -> Lease {
        Lease {
            delivery: DeliveryId { created: Timestamp::default(), number },
            webhook: WebhookKey(1),
            event: Arc::new(Event {
                id: EventId::parse("e").unwrap(),
                kind: EventType::parse("t").unwrap(),
                timestamp: Timestamp::default(),
                received: Timestamp::default(),
                data: Bytes::new(),
                metadata: None,
                tenant: None,
            }),
            batch: None,
            attempts_spent: 0,
            attempt_count: 0,
            trigger: Trigger::Scheduled,
            asks: 0,
            edition: 0,
            made: None,
            slot: None,
        }
    }

    #[test]
    fn no_more_than_allowed_are_under_way() {
        let mut lane = Lane::new(WebhookKey(1));
        (0..3).for_each(|n| lane.push(lease(n)));
        assert!(lane.start(2).is_some() && lane.start(2).is_some());
        assert!(lane.start(2).is_none());
        lane.sent();
        assert!(lane.start(2).is_some());
    }

    #[test]
    fn what_is_settled_during_a_look_is_passed_over_until_the_look_is_over() {
        let mut lane = Lane::new(WebhookKey(1));
        lane.push(lease(1));
        lane.disk_has_work();
        assert!(lane.wants_claim(1));
        assert_eq!(lane.begin_claim(), [1]);
        assert!(!lane.wants_claim(1));
        lane.settled(1);
        assert!(!lane.is_idle());
        lane.claimed(vec![], false, false);
        assert!(lane.is_idle());
    }

    #[test]
    fn what_is_cancelled_during_a_look_is_not_taken_from_it() {
        let mut lane = Lane::new(WebhookKey(1));
        lane.disk_has_work();
        assert!(lane.begin_claim().is_empty());
        lane.cancel(1);
        lane.claimed(vec![lease(1), lease(2)], false, false);
        assert_eq!(lane.start(9).map(|lease| lease.delivery.number), Some(2));
        assert!(lane.start(9).is_none() && lane.wants_claim(1), "what is left of it is on disk");
        lane.begin_claim();
        lane.claimed(vec![lease(1)], false, false);
        assert!(lane.start(9).is_some(), "a later look reads it as it is then");
    }

    #[test]
    fn when_memory_is_short_a_lane_looks_again_once_it_has_settled_something() {
        let mut lane = Lane::new(WebhookKey(1));
        lane.push(lease(1));
        lane.disk_has_work();
        lane.begin_claim();
        lane.claimed(vec![], true, true);
        assert!(!lane.wants_claim(9));
        lane.settled(1);
        assert!(lane.wants_claim(9));
        // Nor is it forgotten when that happened during the look.
        lane.push(lease(2));
        lane.begin_claim();
        lane.settled(2);
        lane.claimed(vec![], true, true);
        assert!(lane.wants_claim(9));
    }

    #[test]
    fn what_changes_while_it_is_under_way_is_looked_for_when_it_is_over() {
        let mut lane = Lane::new(WebhookKey(1));
        lane.push(lease(1));
        assert!(lane.start(9).is_some());
        // It was recorded and asked for again before we hear of the former: this look passes over it.
        lane.disk_has_work();
        lane.cancel(1);
        assert_eq!(lane.begin_claim(), [1]);
        lane.claimed(vec![], false, false);
        assert!(!lane.wants_claim(9));
        lane.sent();
        lane.settled(1);
        assert!(lane.wants_claim(9) && !lane.is_idle());
        assert!(lane.begin_claim().is_empty());
    }

    #[test]
    fn slow_lanes_start_in_turn_and_others_at_once() {
        let now = Duration::from_secs(1);
        let mut turns = Turns::default();
        let mut lanes: Vec<Lane> = (0..3).map(|key| Lane::new(WebhookKey(key))).collect();
        for lane in &mut lanes {
            lane.push(lease(1));
            assert_eq!(lane.awaits_turn(&mut turns, now, 0), None);
            lane.set_slow(true);
        }
        assert_eq!(lanes[0].awaits_turn(&mut turns, now, 0), None, "the first turn is free");
        let second = lanes[1].awaits_turn(&mut turns, now, 0).unwrap();
        let third = lanes[2].awaits_turn(&mut turns, now, 0).unwrap();
        assert!(now < second && second < third);
        assert_eq!(lanes[1].awaits_turn(&mut turns, now, 0), Some(second), "it keeps the turn that it has");
        assert_eq!(lanes[1].awaits_turn(&mut turns, second, 0), None);
        assert!(lanes[1].start(9).is_some());
        assert!(lanes[1].awaits_turn(&mut turns, second, 0) > Some(third), "the next one is behind the others");
    }

    #[test]
    fn a_lane_is_among_the_runnable_ones_once() {
        let mut lane = Lane::new(WebhookKey(1));
        assert_eq!(lane.queue_up(), Some(WebhookKey(1)));
        assert_eq!(lane.queue_up(), None);
        lane.unqueue();
        assert_eq!(lane.queue_up(), Some(WebhookKey(1)));
    }
}
