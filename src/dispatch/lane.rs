//! One webhook's lane: the deliveries that wait in memory, those in flight, and all that are leased. Pure bookkeeping.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use super::throttle::Stagger;
use crate::model::WebhookKey;
use crate::store::{Lease, Slot};

/// The lane claims from disk again when fewer than this many times its concurrency wait in memory.
const LOW_WATER: usize = 2;

pub(super) struct Lane {
    key: WebhookKey,
    queue: VecDeque<Lease>,
    /// Requests in flight.
    in_flight: usize,
    /// Everything taken from the store and not settled. What came from disk is still due there.
    leased: HashSet<i64>,
    /// Settled while a claim was running: it may still have read them as due.
    settled_during_claim: Vec<i64>,
    /// Cancelled or changed while a claim was running: it may still have read them as they were.
    cancelled_during_claim: Vec<i64>,
    /// Changed during an attempt: claims pass over them because they are leased, so the lane claims when it is over.
    changed_during_attempt: HashSet<i64>,
    claiming: bool,
    on_disk: bool,
    /// A claim found too little memory for more than what is here: the next one waits until something has been settled.
    is_short: bool,
    is_runnable: bool,
    /// Waits for a permit among all lanes.
    waits_for_permit: bool,
    waits_for_claim: bool,
    /// Its endpoint took its time for the last request.
    is_slow: bool,
    /// Its endpoint has shown that it does not hang.
    is_responsive: bool,
    /// Of those that wait here, how many are due on disk as well.
    reclaimable: usize,
    /// When it may start the next one, once it is slow and has asked.
    turn: Option<Duration>,
    /// When it may go on after an attempt that this machine had no room for.
    paused_until: Option<Duration>,
}

impl Lane {
    pub(super) fn new(key: WebhookKey) -> Self {
        Self {
            key,
            queue: VecDeque::new(),
            in_flight: 0,
            leased: HashSet::new(),
            settled_during_claim: Vec::new(),
            cancelled_during_claim: Vec::new(),
            changed_during_attempt: HashSet::new(),
            claiming: false,
            on_disk: false,
            is_short: false,
            is_runnable: false,
            waits_for_permit: false,
            waits_for_claim: false,
            is_slow: false,
            is_responsive: false,
            reclaimable: 0,
            turn: None,
            paused_until: None,
        }
    }

    pub(super) fn is_slow(&self) -> bool {
        self.is_slow
    }

    pub(super) fn set_slow(&mut self, is_slow: bool) {
        self.is_slow = is_slow;
    }

    pub(super) fn is_responsive(&self) -> bool {
        self.is_responsive
    }

    pub(super) fn set_responsive(&mut self, is_responsive: bool) {
        self.is_responsive = is_responsive;
    }

    /// Until when it may not start anything: after a shortage, and as a slow lane until its turn; `slow` requests of all
    /// slow lanes are in flight, of `slow_max`.
    pub(super) fn not_before(&mut self, stagger: &mut Stagger, now: Duration, slow: usize, slow_max: usize) -> Option<Duration> {
        self.paused_until = self.paused_until.filter(|until| *until > now);
        if self.paused_until.is_some() {
            return self.paused_until;
        }
        if !self.is_slow {
            return None;
        }
        let at = *self.turn.get_or_insert_with(|| stagger.take(now, slow, slow_max));
        (at > now).then_some(at)
    }

    /// How long it has to wait for the turn that it has, or after a shortage.
    pub(super) fn wait(&self, now: Duration) -> Duration {
        self.turn.max(self.paused_until).map_or(Duration::ZERO, |at| at.saturating_sub(now))
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(super) fn push(&mut self, lease: Lease) {
        self.leased.insert(lease.delivery.number);
        self.reclaimable += usize::from(is_on_disk(&lease));
        self.queue.push_back(lease);
    }

    /// The key, when the lane is not among the runnable ones yet.
    pub(super) fn mark_runnable(&mut self) -> Option<WebhookKey> {
        (!std::mem::replace(&mut self.is_runnable, true)).then_some(self.key)
    }

    pub(super) fn unmark_runnable(&mut self) {
        self.is_runnable = false;
    }

    /// Whether it does not wait for one already.
    pub(super) fn wait_for_permit(&mut self) -> bool {
        !std::mem::replace(&mut self.waits_for_permit, true)
    }

    pub(super) fn waits_for_permit(&self) -> bool {
        self.waits_for_permit
    }

    /// There is one: it waits no longer.
    pub(super) fn offer_permit(&mut self) {
        self.waits_for_permit = false;
    }

    /// The key, when it does not wait for one already.
    pub(super) fn wait_for_claim(&mut self) -> Option<WebhookKey> {
        (!std::mem::replace(&mut self.waits_for_claim, true)).then_some(self.key)
    }

    pub(super) fn offer_claim(&mut self) {
        self.waits_for_claim = false;
    }

    #[cfg(test)]
    pub(super) fn has_queue(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether a delivery waits, and one more may be in flight.
    pub(super) fn may_start(&self, allowed: usize) -> bool {
        self.in_flight < allowed && !self.queue.is_empty()
    }

    /// The next delivery to attempt.
    pub(super) fn first(&self) -> Option<&Lease> {
        self.queue.front()
    }

    /// The next delivery to attempt, if one more may be in flight.
    pub(super) fn start(&mut self, allowed: usize) -> Option<Lease> {
        if self.in_flight >= allowed {
            return None;
        }
        let lease = self.queue.pop_front()?;
        self.in_flight += 1;
        self.reclaimable -= usize::from(is_on_disk(&lease));
        self.turn = None;
        Some(lease)
    }

    /// Not to be attempted as it waits here. An attempt in flight goes on; the lane claims from disk when it is over.
    pub(super) fn cancel(&mut self, delivery: i64) {
        if self.claiming {
            self.cancelled_during_claim.push(delivery);
        }
        let at = self.queue.iter().position(|lease| lease.delivery.number == delivery);
        if let Some(lease) = at.and_then(|at| self.queue.remove(at)) {
            self.reclaimable -= usize::from(is_on_disk(&lease));
            self.settled(delivery);
        } else if self.leased.contains(&delivery) {
            self.changed_during_attempt.insert(delivery);
        }
    }

    /// Gives up the leases of deliveries that are due on disk as well: they cannot go for long, and others need the memory.
    pub(super) fn shed(&mut self) {
        // A running claim passes over what is leased here, and takes what it does not read for all there is.
        if self.claiming || self.reclaimable == 0 {
            return;
        }
        let (shed, rest) = std::mem::take(&mut self.queue).into_iter().partition::<VecDeque<_>, _>(is_on_disk);
        (self.queue, self.reclaimable) = (rest, 0);
        for lease in shed {
            self.on_disk = true;
            self.settled(lease.delivery.number);
            lease.slot.into_iter().for_each(Slot::evict);
        }
    }

    /// A request is over: another may start while the attempt is being recorded.
    pub(super) fn sent(&mut self) {
        assert!(self.in_flight > 0, "a request ends that did not start");
        self.in_flight -= 1;
    }

    /// Nothing was sent, for want of something that is ours: the delivery is first in the queue again, from then on.
    pub(super) fn put_back(&mut self, lease: Lease, until: Duration) {
        self.sent();
        self.paused_until = self.paused_until.max(Some(until));
        if self.changed_during_attempt.contains(&lease.delivery.number) {
            // Cancelled or retried by an operator: what is left of it is on disk.
            self.settled(lease.delivery.number);
            return;
        }
        self.reclaimable += usize::from(is_on_disk(&lease));
        self.queue.push_front(lease);
    }

    /// Recorded: the lease is over.
    pub(super) fn settled(&mut self, delivery: i64) {
        assert!(
            self.leased.contains(&delivery) && !self.settled_during_claim.contains(&delivery),
            "the lease of delivery {delivery} is settled twice"
        );
        self.is_short = false;
        self.on_disk |= self.changed_during_attempt.remove(&delivery);
        if self.claiming {
            self.settled_during_claim.push(delivery);
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

    /// The leases that the claim has to pass over.
    pub(super) fn begin_claim(&mut self) -> Vec<i64> {
        self.claiming = true;
        self.on_disk = false;
        self.leased.iter().copied().collect()
    }

    pub(super) fn claimed(&mut self, leases: Vec<Lease>, more: bool, is_short: bool) {
        self.claiming = false;
        self.on_disk |= more;
        self.is_short = is_short && self.settled_during_claim.is_empty() && !self.leased.is_empty();
        let cancelled = std::mem::take(&mut self.cancelled_during_claim);
        for lease in leases {
            if cancelled.contains(&lease.delivery.number) {
                // The next claim tells whether anything is left of it.
                self.on_disk = true;
                continue;
            }
            if self.leased.contains(&lease.delivery.number) {
                // It came through memory during the claim, and was due on disk as well: once is enough.
                self.on_disk = true;
                continue;
            }
            self.push(lease);
        }
        for delivery in self.settled_during_claim.drain(..) {
            self.leased.remove(&delivery);
        }
    }

    /// Nothing to remember: the lane can go.
    pub(super) fn is_idle(&self) -> bool {
        self.leased.is_empty() && self.in_flight == 0 && !self.claiming && !self.on_disk && !self.is_runnable
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
            retry_requests: 0,
            edition: 0,
            made: None,
            slot: None,
        }
    }

    #[test]
    fn no_more_than_allowed_are_in_flight() {
        let mut lane = Lane::new(WebhookKey(1));
        (0..3).for_each(|n| lane.push(lease(n)));
        assert!(lane.start(2).is_some() && lane.start(2).is_some());
        assert!(lane.start(2).is_none());
        lane.sent();
        assert!(lane.start(2).is_some());
    }

    #[test]
    fn what_is_settled_during_a_claim_stays_leased_until_its_end() {
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
    fn what_is_cancelled_during_a_claim_is_not_taken_from_it() {
        let mut lane = Lane::new(WebhookKey(1));
        lane.disk_has_work();
        assert!(lane.begin_claim().is_empty());
        lane.cancel(1);
        lane.claimed(vec![lease(1), lease(2)], false, false);
        assert_eq!(lane.start(9).map(|lease| lease.delivery.number), Some(2));
        assert!(lane.start(9).is_none() && lane.wants_claim(1), "what is left of it is on disk");
        lane.begin_claim();
        lane.claimed(vec![lease(1)], false, false);
        assert!(lane.start(9).is_some(), "a later claim reads it as it is then");
    }

    #[test]
    fn when_memory_is_short_a_lane_claims_once_it_has_settled_something() {
        let mut lane = Lane::new(WebhookKey(1));
        lane.push(lease(1));
        lane.disk_has_work();
        lane.begin_claim();
        lane.claimed(vec![], true, true);
        assert!(!lane.wants_claim(9));
        lane.settled(1);
        assert!(lane.wants_claim(9));
        // Nor is it forgotten when that happened during the claim.
        lane.push(lease(2));
        lane.begin_claim();
        lane.settled(2);
        lane.claimed(vec![], true, true);
        assert!(lane.wants_claim(9));
    }

    #[test]
    fn what_changes_during_its_attempt_is_claimed_when_that_is_over() {
        let mut lane = Lane::new(WebhookKey(1));
        lane.push(lease(1));
        assert!(lane.start(9).is_some());
        // It was recorded and retried by an operator before we hear of the former: this claim passes over it.
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
        let mut stagger = Stagger::default();
        let mut lanes: Vec<Lane> = (0..3).map(|key| Lane::new(WebhookKey(key))).collect();
        for lane in &mut lanes {
            lane.push(lease(1));
            assert_eq!(lane.not_before(&mut stagger, now, 0, 9), None);
            lane.set_slow(true);
        }
        assert_eq!(lanes[0].not_before(&mut stagger, now, 0, 9), None, "the first turn is free");
        let second = lanes[1].not_before(&mut stagger, now, 0, 9).unwrap();
        let third = lanes[2].not_before(&mut stagger, now, 0, 9).unwrap();
        assert!(now < second && second < third);
        assert_eq!(lanes[1].not_before(&mut stagger, now, 0, 9), Some(second), "it keeps the turn that it has");
        assert_eq!(lanes[1].not_before(&mut stagger, second, 0, 9), None);
        assert!(lanes[1].start(9).is_some());
        assert!(lanes[1].not_before(&mut stagger, second, 0, 9) > Some(third), "the next one is behind the others");
    }

    #[test]
    fn what_is_put_back_is_first_again_after_a_pause() {
        let (now, until) = (Duration::from_secs(1), Duration::from_secs(2));
        let mut lane = Lane::new(WebhookKey(1));
        (1..=3).for_each(|n| lane.push(lease(n)));
        let first = lane.start(9).unwrap();
        lane.put_back(first, until);
        assert_eq!((lane.in_flight(), lane.first().map(|lease| lease.delivery.number)), (0, Some(1)));
        let mut stagger = Stagger::default();
        assert_eq!(lane.not_before(&mut stagger, now, 0, 9), Some(until));
        assert_eq!((lane.wait(now), lane.not_before(&mut stagger, until, 0, 9)), (until - now, None));
        // An operator cancels the second during its attempt: it is not attempted as it was.
        lane.start(9).unwrap();
        let second = lane.start(9).unwrap();
        lane.cancel(2);
        lane.put_back(second, until);
        assert_eq!(lane.first().map(|lease| lease.delivery.number), Some(3));
        assert!(lane.wants_claim(9), "what is left of it is on disk");
    }

    #[test]
    #[should_panic(expected = "the lease of delivery 1 is settled twice")]
    fn a_lease_settles_once() {
        let mut lane = Lane::new(WebhookKey(1));
        lane.push(lease(1));
        lane.settled(1);
        lane.settled(1);
    }

    #[test]
    fn a_lane_is_runnable_once() {
        let mut lane = Lane::new(WebhookKey(1));
        assert_eq!(lane.mark_runnable(), Some(WebhookKey(1)));
        assert_eq!(lane.mark_runnable(), None);
        lane.unmark_runnable();
        assert_eq!(lane.mark_runnable(), Some(WebhookKey(1)));
    }
}
