//! What the writer hands to the dispatcher: freshly appended deliveries in memory, as far as there is room, and the
//! news that a webhook has work on disk. Bounded: a delivery that finds no room is written as due and read later.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::writer::Effects;
use crate::model::WebhookKey;
use crate::store::Ready;

/// Deliveries of one webhook in memory: covers some 50 ms of the fastest lane, so disk reads stay out of the way.
const FRESH_PER_WEBHOOK_MAX: usize = 512;

/// Event bytes in memory over all webhooks (an event counts once per delivery).
const FRESH_BYTES_MAX: usize = 64 << 20;

/// What a delivery costs beside its event's bytes.
const LEASE_BYTES: usize = 512;

#[derive(Default)]
struct Room {
    fresh: AtomicUsize,
    /// Counts commits that left work of this webhook due on disk.
    spilled: AtomicU64,
    /// `spilled` as it was before the last look that found nothing due: equal means that the disk has none.
    drained: AtomicU64,
}

/// A place in memory, given back when dropped.
pub struct Slot {
    room: Arc<Room>,
    total: Arc<AtomicUsize>,
    bytes: usize,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Slot({} bytes)", self.bytes)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.room.fresh.fetch_sub(1, Ordering::AcqRel);
        self.total.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[derive(Default)]
pub(super) struct Handover {
    rooms: Mutex<HashMap<WebhookKey, Arc<Room>>>,
    total: Arc<AtomicUsize>,
    ready: Mutex<Ready>,
    news: Notify,
    /// Ticks with every commit, for those who follow.
    pub(super) commits: watch::Sender<()>,
}

impl Handover {
    /// A place for a new delivery, unless older ones of its webhook wait on disk or memory is used up.
    pub(super) fn reserve(&self, webhook: WebhookKey, event_bytes: usize) -> Option<Slot> {
        let room = self.room(webhook);
        let behind = room.spilled.load(Ordering::Acquire) != room.drained.load(Ordering::Acquire);
        let bytes = event_bytes + LEASE_BYTES;
        // Only the writer reserves, so a check before the addition cannot be overtaken by another addition.
        let full = room.fresh.load(Ordering::Acquire) >= FRESH_PER_WEBHOOK_MAX
            || self.total.load(Ordering::Acquire) + bytes > FRESH_BYTES_MAX;
        if behind || full {
            return None;
        }
        room.fresh.fetch_add(1, Ordering::AcqRel);
        self.total.fetch_add(bytes, Ordering::AcqRel);
        Some(Slot { room, total: Arc::clone(&self.total), bytes })
    }

    /// Called before the commit that leaves due work on disk, so that no later delivery overtakes it in memory.
    pub(super) fn spill(&self, webhook: WebhookKey) {
        self.room(webhook).spilled.fetch_add(1, Ordering::AcqRel);
    }

    /// To be read before looking at the disk, and given to [`Handover::drained`] when nothing more was due.
    pub(super) fn spilled(&self, webhook: WebhookKey) -> u64 {
        self.room(webhook).spilled.load(Ordering::Acquire)
    }

    pub(super) fn drained(&self, webhook: WebhookKey, seen: u64) {
        self.room(webhook).drained.store(seen, Ordering::Release);
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
        self.news.notify_one();
    }

    /// Cancel-safe: what is taken is taken in the last poll.
    pub(super) async fn ready(&self) -> Ready {
        loop {
            let news = self.news.notified();
            let ready = std::mem::take(&mut *lock(&self.ready));
            if !ready.fresh.is_empty() || !ready.due.is_empty() || !ready.cancelled.is_empty() {
                return ready;
            }
            news.await;
        }
    }

    fn room(&self, webhook: WebhookKey) -> Arc<Room> {
        Arc::clone(lock(&self.rooms).entry(webhook).or_default())
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
    fn memory_is_bounded_per_webhook_and_given_back() {
        let handover = Handover::default();
        let mut slots: Vec<_> = (0..FRESH_PER_WEBHOOK_MAX).map(|_| handover.reserve(KEY, 10).unwrap()).collect();
        assert!(handover.reserve(KEY, 10).is_none());
        assert!(handover.reserve(WebhookKey(2), 10).is_some());
        slots.pop();
        assert!(handover.reserve(KEY, 10).is_some());
        drop(slots);
        assert_eq!(handover.total.load(Ordering::Relaxed), 0);
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
        assert!(handover.reserve(KEY, 1).is_none(), "spilled again after the look");
        handover.drained(KEY, handover.spilled(KEY));
        assert!(handover.reserve(KEY, 1).is_some());
    }
}
