//! What the writer hands to the dispatcher: freshly appended deliveries in memory, as far as the memory budget
//! allows, and which webhooks have work on disk. Bounded: a delivery over the budget is written as due and claimed from disk later.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::writer::Effects;
use crate::model::WebhookKey;
use crate::store::Ready;

/// Deliveries of one webhook in memory: covers some 50 ms of the fastest lane, so disk reads stay out of the way.
const FRESH_PER_WEBHOOK_MAX: usize = 512;

/// Event bytes in memory over all webhooks (an event counts once per delivery).
const FRESH_BYTES_MAX: usize = 64 << 20;

/// Once half of it is taken, each webhook may have this much: those whose endpoints hang cannot take the rest from those
/// whose work only passes through.
const FRESH_BYTES_SHARE: usize = 64 << 10;

/// What a delivery costs beside its event's bytes.
const LEASE_BYTES: usize = 512;

/// Bytes in memory of what was read back from disk, over all webhooks, from the claim until the attempt is recorded. No
/// bound in practice for events of 1 KiB; 128 at a time of those of 1 MiB, however many webhooks have a backlog. Each claim
/// in flight may add one delivery more.
const READ_BYTES_MAX: usize = 128 << 20;

/// What one webhook has in memory.
#[derive(Default)]
struct MemoryBudget {
    fresh: AtomicUsize,
    /// Counts commits that left work of this webhook due on disk.
    spill_seq: AtomicU64,
    /// `spill_seq` as it was before the last claim that found nothing more due: equal means that nothing waits on disk.
    drained_seq: AtomicU64,
    /// Whether events have been put together into batches since the start.
    batches: AtomicBool,
    /// Event bytes in memory.
    bytes: AtomicUsize,
}

/// Bytes in memory that somebody may wait for.
#[derive(Default)]
struct Total {
    bytes: AtomicUsize,
    freed: Notify,
}

impl Total {
    fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
    }

    fn used(&self) -> usize {
        self.bytes.load(Ordering::Acquire)
    }
}

/// Memory that a delivery takes, given back when dropped.
pub struct Slot {
    budget: Arc<MemoryBudget>,
    total: Arc<Total>,
    bytes: usize,
    tier: Tier,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tier {
    /// Among those of its webhook that never were on disk.
    Fresh,
    /// No longer waiting: it counts in the sum alone.
    Sent,
    /// Read from disk, where it still is.
    Read,
}

impl Slot {
    /// Its attempt begins: another may wait instead, but its bytes stay in memory.
    pub fn begin(&mut self) {
        if self.tier == Tier::Fresh {
            self.leave();
            self.tier = Tier::Sent;
        }
    }

    /// Whether it is on disk as well, and may be forgotten here.
    pub fn is_on_disk(&self) -> bool {
        self.tier == Tier::Read
    }

    /// Drops it from memory; it waits on disk, and nothing later overtakes it in memory.
    pub fn evict(self) {
        self.budget.spill_seq.fetch_add(1, Ordering::AcqRel);
    }

    fn leave(&self) {
        self.budget.fresh.fetch_sub(1, Ordering::AcqRel);
        self.budget.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Slot({} bytes)", self.bytes)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.tier == Tier::Fresh {
            self.leave();
        }
        let before = self.total.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        if self.tier == Tier::Read && before >= READ_BYTES_MAX {
            self.total.freed.notify_waiters();
        }
    }
}

#[derive(Default)]
pub(super) struct Handover {
    budgets: Mutex<HashMap<WebhookKey, Arc<MemoryBudget>>>,
    /// Of what never was on disk.
    total: Arc<Total>,
    /// Of what was read back from there.
    read: Arc<Total>,
    ready: Mutex<Ready>,
    changed: Notify,
    /// Ticks with every commit, for those who follow.
    pub(super) commits: watch::Sender<()>,
}

impl Handover {
    /// Memory for a new delivery, unless older ones of its webhook wait on disk or memory is used up.
    pub(super) fn reserve(&self, webhook: WebhookKey, event_bytes: usize) -> Option<Slot> {
        let budget = self.budget(webhook);
        let behind = budget.spill_seq.load(Ordering::Acquire) != budget.drained_seq.load(Ordering::Acquire);
        let bytes = event_bytes + LEASE_BYTES;
        // Only the writer reserves, so a check before the addition cannot be overtaken by another addition.
        let total = self.total.used();
        let over_budget = total > FRESH_BYTES_MAX / 2 && budget.bytes.load(Ordering::Acquire) >= FRESH_BYTES_SHARE;
        let full =
            budget.fresh.load(Ordering::Acquire) >= FRESH_PER_WEBHOOK_MAX || total + bytes > FRESH_BYTES_MAX || over_budget;
        if behind || full {
            return None;
        }
        budget.fresh.fetch_add(1, Ordering::AcqRel);
        budget.bytes.fetch_add(bytes, Ordering::AcqRel);
        self.total.add(bytes);
        Some(Slot { budget, total: Arc::clone(&self.total), bytes, tier: Tier::Fresh })
    }

    /// Waits until something more may be read from disk. Cancel-safe.
    pub(super) async fn memory_to_read(&self) {
        loop {
            // Armed before the check, so that nothing freed in between is missed.
            let freed = self.read.freed.notified();
            if self.may_read() {
                return;
            }
            freed.await;
        }
    }

    pub(super) fn may_read(&self) -> bool {
        self.read.used() < READ_BYTES_MAX
    }

    /// Whether webhooks have to share: one that has something in memory waits until that is settled.
    pub(super) fn is_short(&self) -> bool {
        self.read.used() >= READ_BYTES_MAX / 2
    }

    /// Memory for a delivery that was read from disk; `None` when there is not enough for it.
    pub(super) fn reserve_read(&self, webhook: WebhookKey, bytes: usize, is_first: bool) -> Option<Slot> {
        let bytes = bytes + LEASE_BYTES;
        // The first one of a claim is taken in any case; more only as long as there is enough for everybody.
        if !is_first && self.read.used() + bytes > READ_BYTES_MAX / 2 {
            return None;
        }
        self.read.add(bytes);
        Some(Slot { budget: self.budget(webhook), total: Arc::clone(&self.read), bytes, tier: Tier::Read })
    }

    /// Called before the commit that leaves due work on disk, so that no later delivery overtakes it in memory.
    pub(super) fn spill(&self, webhook: WebhookKey) {
        self.budget(webhook).spill_seq.fetch_add(1, Ordering::AcqRel);
    }

    /// From now on a claim of this webhook has to ask the writer first, see [`super::batches`].
    pub(super) fn batches(&self, webhook: WebhookKey) {
        self.budget(webhook).batches.store(true, Ordering::Release);
    }

    pub(super) fn has_batches(&self, webhook: WebhookKey) -> bool {
        self.budget(webhook).batches.load(Ordering::Acquire)
    }

    /// To be read before the claim reads the disk, and given to [`Handover::drained`] when nothing more was due.
    pub(super) fn spilled(&self, webhook: WebhookKey) -> u64 {
        self.budget(webhook).spill_seq.load(Ordering::Acquire)
    }

    pub(super) fn drained(&self, webhook: WebhookKey, seen: u64) {
        self.budget(webhook).drained_seq.store(seen, Ordering::Release);
    }

    /// After a commit: what it made ready.
    pub(super) fn publish(&self, effects: &mut Effects) {
        let Effects { fresh, due, cancelled, settled: _ } = effects;
        if fresh.is_empty() && due.is_empty() && cancelled.is_empty() {
            return;
        }
        let mut ready = lock(&self.ready);
        ready.fresh.append(fresh);
        ready.cancelled.append(cancelled);
        for (webhook, at) in due.drain(..) {
            ready.due.entry(webhook).and_modify(|first| *first = at.min(*first)).or_insert(at);
        }
        drop(ready);
        self.changed.notify_one();
    }

    /// Cancel-safe: what is taken is taken in the last poll.
    pub(super) async fn ready(&self) -> Ready {
        loop {
            let changed = self.changed.notified();
            let ready = std::mem::take(&mut *lock(&self.ready));
            if !ready.fresh.is_empty() || !ready.due.is_empty() || !ready.cancelled.is_empty() {
                return ready;
            }
            changed.await;
        }
    }

    fn budget(&self, webhook: WebhookKey) -> Arc<MemoryBudget> {
        Arc::clone(lock(&self.budgets).entry(webhook).or_default())
    }
}

/// Nothing in these sections can panic half-way, so a poisoned lock still holds whole data.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: WebhookKey = WebhookKey(1);

    #[test]
    fn webhooks_that_hang_leave_memory_for_those_that_do_not() {
        let handover = Handover::default();
        let event = 100 << 10;
        let ten = |n: i64| (0..10).map_while(|_| handover.reserve(WebhookKey(n), event)).collect::<Vec<_>>();
        let slots: Vec<Vec<Slot>> = (0..1000).map(ten).collect();
        // As much as they want while there is plenty, then one each as long as there is any.
        let counts: Vec<usize> = slots.iter().map(Vec::len).collect();
        let plenty = FRESH_BYTES_MAX / 2 / (event + LEASE_BYTES) / 10;
        let served = counts.iter().filter(|count| **count > 0).count();
        assert!(counts[..plenty].iter().all(|count| *count == 10), "{counts:?}");
        assert!(counts[plenty + 1..served].iter().all(|count| *count == 1), "{counts:?}");
        assert!(served > 5 * FRESH_BYTES_MAX / (10 * event), "{served}: many more than if each had its ten");
        let used = handover.total.used();
        assert!(used <= FRESH_BYTES_MAX && used + event + LEASE_BYTES > FRESH_BYTES_MAX, "{used}: until all is taken");
        drop(slots);
        assert_eq!(handover.total.used(), 0);
        let hanging: Vec<_> = (0..100).flat_map(|n| (0..512).map_while(move |_| Some(n))).collect();
        let slots: Vec<_> = hanging.into_iter().filter_map(|n| handover.reserve(WebhookKey(n), 2000)).collect();
        assert!(handover.total.used() < FRESH_BYTES_MAX / 4 * 3, "a hundred that hang");
        assert!(handover.reserve(WebhookKey(1000), 2000).is_some());
        drop(slots);
    }

    #[test]
    fn memory_is_bounded_per_webhook_and_given_back() {
        let handover = Handover::default();
        let mut slots: Vec<_> = (0..FRESH_PER_WEBHOOK_MAX).map(|_| handover.reserve(KEY, 10).unwrap()).collect();
        assert!(handover.reserve(KEY, 10).is_none());
        assert!(handover.reserve(WebhookKey(2), 10).is_some());
        slots.pop();
        assert!(handover.reserve(KEY, 10).is_some());
        drop(slots);
        assert_eq!(handover.total.used(), 0);
    }

    #[test]
    fn an_attempt_frees_its_slot_and_holds_its_bytes() {
        let handover = Handover::default();
        let mut slots: Vec<_> = (0..FRESH_PER_WEBHOOK_MAX).map(|_| handover.reserve(KEY, 10).unwrap()).collect();
        let used = handover.total.used();
        slots[0].begin();
        assert_eq!(handover.total.used(), used);
        assert!(handover.reserve(KEY, 10).is_some());
        drop(slots);
        assert_eq!((handover.total.used(), handover.budget(KEY).fresh.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn what_is_evicted_is_not_overtaken() {
        let handover = Handover::default();
        let slot = handover.reserve_read(KEY, 10, true).unwrap();
        assert!(handover.reserve(KEY, 10).is_some());
        slot.evict();
        assert_eq!(handover.read.used(), 0);
        assert!(handover.reserve(KEY, 10).is_none());
    }

    #[test]
    fn memory_is_bounded_in_bytes() {
        let handover = Handover::default();
        let _big = handover.reserve(KEY, FRESH_BYTES_MAX - 2 * LEASE_BYTES).unwrap();
        assert!(handover.reserve(WebhookKey(2), 10_000).is_none());
    }

    #[test]
    fn nothing_overtakes_what_waits_on_disk() {
        let handover = Handover::default();
        handover.spill(KEY);
        assert!(handover.reserve(KEY, 1).is_none());
        let seen = handover.spilled(KEY);
        handover.spill(KEY);
        handover.drained(KEY, seen);
        assert!(handover.reserve(KEY, 1).is_none(), "spilled again after the read");
        handover.drained(KEY, handover.spilled(KEY));
        assert!(handover.reserve(KEY, 1).is_some());
    }
}
