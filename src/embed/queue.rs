//! The queue between a program and the store: bounded in events and in bytes, in order, emptied by one task that stores
//! what waits in as few commits as it can. While the store takes nothing, events that nobody awaits stay queued and are
//! retried; a caller that awaits the answer gets the error.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::error::{DurableError, EmitError};
use crate::model::EventId;
use crate::publish::{Draft, Mode, Outcome, Publisher};
use crate::snapshot::Live;
use crate::store::StoreError;
use crate::telemetry::EventOutcome;

/// Events that go into one commit: a group commit is some milliseconds, and more would make each of them wait longer.
const EVENTS_PER_COMMIT: usize = 256;

/// Bytes of all waiting events together; a single one may be as large.
const BYTES_MAX: usize = 64 << 20;
const UNIT: usize = 1 << 10;

/// After the store took nothing: nobody frees a full disk faster than that.
const PAUSE: Duration = Duration::from_millis(500);

/// Counts of emitted events since the start.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EmitStats {
    /// Accepted by `emit`, and not stored yet.
    pub queued: usize,
    pub stored: u64,
    /// Emitted before with the same id and content: nothing was stored again.
    pub duplicates: u64,
    /// Emitted before with the same id and other content: not stored.
    pub conflicts: u64,
    /// Rejected by `emit` because the queue was full.
    pub full: u64,
}

#[derive(Default)]
struct Counters {
    queued: AtomicUsize,
    stored: AtomicU64,
    duplicates: AtomicU64,
    conflicts: AtomicU64,
    full: AtomicU64,
}

/// The program's end of the queue.
pub(super) struct Queue {
    items: mpsc::Sender<Item>,
    permits: Arc<Semaphore>,
    units: Arc<Semaphore>,
    counters: Arc<Counters>,
}

struct Item {
    draft: Draft,
    reply: Reply,
}

enum Reply {
    /// With its permits, which are released when it is stored.
    Nobody(#[expect(dead_code, reason = "given back when dropped")] Permits),
    Waiting(oneshot::Sender<Outcome>),
}

struct Permits {
    counters: Arc<Counters>,
    _event: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl Drop for Permits {
    fn drop(&mut self) {
        self.counters.queued.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Queue {
    pub(super) fn emit(&self, draft: Draft) -> Result<EventId, EmitError> {
        let full = || {
            self.counters.full.fetch_add(1, Ordering::Relaxed);
            EmitError::Full { events: self.counters.queued.load(Ordering::Acquire) }
        };
        if self.items.is_closed() {
            return Err(EmitError::Closed);
        }
        let event = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| full())?;
        let bytes = Arc::clone(&self.units).try_acquire_many_owned(units(draft.event.size())).map_err(|_| full())?;
        self.counters.queued.fetch_add(1, Ordering::AcqRel);
        let permits = Permits { counters: Arc::clone(&self.counters), _event: event, _bytes: bytes };
        let id = draft.event.id.clone();
        match self.items.try_send(Item { draft, reply: Reply::Nobody(permits) }) {
            Ok(()) => Ok(id),
            Err(mpsc::error::TrySendError::Full(_)) => Err(full()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(EmitError::Closed),
        }
    }

    pub(super) async fn emit_durable(&self, draft: Draft) -> Result<Outcome, DurableError> {
        let (reply, answer) = oneshot::channel();
        let item = Item { draft, reply: Reply::Waiting(reply) };
        self.items.send(item).await.map_err(|_| DurableError::Closed)?;
        answer.await.map_err(|_| DurableError::Closed)
    }

    pub(super) fn stats(&self) -> EmitStats {
        let Counters { queued, stored, duplicates, conflicts, full } = &*self.counters;
        let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        EmitStats {
            queued: queued.load(Ordering::Acquire),
            stored: number(stored),
            duplicates: number(duplicates),
            conflicts: number(conflicts),
            full: number(full),
        }
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT).clamp(1, BYTES_MAX / UNIT)).unwrap_or(u32::MAX)
}

/// Empties the queue.
pub(super) struct Worker {
    items: mpsc::Receiver<Item>,
    waiting: VecDeque<Item>,
    counters: Arc<Counters>,
    publisher: Publisher,
    live: Arc<Live>,
    closing: CancellationToken,
}

/// `closing`: from then on nothing is accepted, and the worker ends when everything that was accepted is stored.
pub(super) fn queue(length: usize, (publisher, live): (Publisher, Arc<Live>), closing: CancellationToken) -> (Queue, Worker) {
    let (sender, items) = mpsc::channel(length);
    let counters = Arc::new(Counters::default());
    let (permits, units) = (Arc::new(Semaphore::new(length)), Arc::new(Semaphore::new(BYTES_MAX / UNIT)));
    let queue = Queue { items: sender, permits, units, counters: Arc::clone(&counters) };
    (queue, Worker { items, waiting: VecDeque::new(), counters, publisher, live, closing })
}

impl Worker {
    /// Until it is closed and empty.
    pub(super) async fn run(&mut self) {
        let mut failing = false;
        while self.gather().await {
            match self.store_some().await {
                Ok(()) if failing => {
                    failing = false;
                    tracing::info!("emitted events are stored again");
                }
                Ok(()) => {}
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, "emitted events cannot be stored: retrying");
                    }
                    failing = true;
                    self.pause(&error).await;
                }
            }
        }
    }

    /// Emitted, and not stored.
    pub(super) fn left(&self) -> usize {
        self.counters.queued.load(Ordering::Acquire)
    }

    /// As many as go into one commit, at least one; `false` at the end.
    async fn gather(&mut self) -> bool {
        if self.waiting.is_empty() {
            match self.next().await {
                Some(item) => self.waiting.push_back(item),
                None => return false,
            }
        }
        while self.waiting.len() < EVENTS_PER_COMMIT
            && let Ok(item) = self.items.try_recv()
        {
            self.waiting.push_back(item);
        }
        true
    }

    /// Cancel-safe.
    async fn next(&mut self) -> Option<Item> {
        loop {
            tokio::select! {
                item = self.items.recv() => return item,
                () = self.closing.cancelled(), if !self.items.is_closed() => self.items.close(),
            }
        }
    }

    /// Stores the first that wait; those that could not be and that nobody waits for are put back.
    async fn store_some(&mut self) -> Result<(), StoreError> {
        let count = self.waiting.len().min(EVENTS_PER_COMMIT);
        // Clones of an event share its bytes.
        let drafts = self.waiting.iter().take(count).map(|item| Ok(item.draft.clone())).collect();
        let outcomes = self.publisher.accept(&self.live.snapshot(), drafts, Mode::EachRetried).await;
        let mut failure = None;
        let mut retried = Vec::new();
        for (item, outcome) in self.waiting.drain(..count).zip(outcomes) {
            match (outcome, item.reply) {
                (Outcome::Failed(error), Reply::Waiting(reply)) => {
                    failure = Some(error.clone());
                    self.publisher.count(EventOutcome::Unavailable);
                    let _ = reply.send(Outcome::Failed(error));
                }
                (Outcome::Failed(error), reply @ Reply::Nobody(_)) => {
                    failure = Some(error);
                    retried.push(Item { draft: item.draft, reply });
                }
                (outcome, reply) => settle(&self.counters, outcome, reply),
            }
        }
        for item in retried.into_iter().rev() {
            self.waiting.push_front(item);
        }
        failure.map_or(Ok(()), Err)
    }

    /// Until it is time to try again. Who waits for an answer gets this one; the others have permits, which bound them.
    async fn pause(&mut self, error: &StoreError) {
        if self.waiting.is_empty() {
            return;
        }
        let until = Instant::now() + PAUSE;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                item = self.next() => match item {
                    Some(Item { reply: Reply::Waiting(reply), .. }) => {
                        self.publisher.count(EventOutcome::Unavailable);
                        let _ = reply.send(Outcome::Failed(error.clone()));
                    }
                    Some(item) => self.waiting.push_back(item),
                    None => return tokio::time::sleep_until(until).await,
                },
            }
        }
    }
}

/// Of an outcome that is final.
fn settle(counters: &Counters, outcome: Outcome, reply: Reply) {
    let counter = match &outcome {
        Outcome::New { .. } => Some(&counters.stored),
        Outcome::Duplicate { .. } => Some(&counters.duplicates),
        Outcome::Conflict { .. } => Some(&counters.conflicts),
        Outcome::Refused(_) | Outcome::Failed(_) | Outcome::Withheld { .. } => None,
    };
    if let Some(counter) = counter {
        counter.fetch_add(1, Ordering::Relaxed);
    }
    match reply {
        Reply::Waiting(reply) => {
            // A caller that dropped its future does not want to know.
            let _ = reply.send(outcome);
        }
        Reply::Nobody(_) => {
            if let Outcome::Conflict { id } = outcome {
                let event = id.as_str();
                tracing::warn!(event, "an emitted event was not stored: its id was published before with other content");
            }
        }
    }
}
