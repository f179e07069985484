//! The queue between a program and the store: bounded in events and in bytes, in order, emptied by one task that stores
//! what waits in as few commits as it can. While the store takes nothing, what nobody waits for is kept and tried
//! again; who waits for an answer gets it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::error::{DurableError, EmitError};
use crate::model::EventId;
use crate::publish::{self, Draft};
use crate::snapshot::Live;
use crate::store::{Accepted, Store, StoreError};
use crate::telemetry::{EventOutcome, Metrics};

/// Events that go into one commit: a group commit is some milliseconds, and more would make each of them wait longer.
const EVENTS_PER_COMMIT: usize = 256;

/// Bytes of events that wait, whatever their number; one of them may be as large as all.
const BYTES_MAX: usize = 64 << 20;
const UNIT: usize = 1 << 10;

/// After the store took nothing: a full disk is not mended faster than that.
const PAUSE: Duration = Duration::from_millis(500);

/// What became of emitted events, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EmitStats {
    /// Taken by `emit`, and not stored yet.
    pub queued: usize,
    pub stored: u64,
    /// Emitted before with the same id and content: nothing was stored again.
    pub duplicates: u64,
    /// Emitted before with the same id and other content: not stored.
    pub conflicts: u64,
    /// Refused by `emit` because the queue was full.
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

/// Where a program puts events.
pub(super) struct Queue {
    items: mpsc::Sender<Item>,
    places: Arc<Semaphore>,
    units: Arc<Semaphore>,
    counters: Arc<Counters>,
}

struct Item {
    draft: Draft,
    reply: Reply,
}

enum Reply {
    /// With its place in the queue, kept until it is stored.
    Nobody(#[expect(dead_code, reason = "given back when dropped")] Places),
    Waiting(oneshot::Sender<Result<Accepted, StoreError>>),
}

struct Places {
    counters: Arc<Counters>,
    _place: OwnedSemaphorePermit,
    _units: OwnedSemaphorePermit,
}

impl Drop for Places {
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
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| full())?;
        let units = Arc::clone(&self.units).try_acquire_many_owned(units(draft.event.size())).map_err(|_| full())?;
        self.counters.queued.fetch_add(1, Ordering::AcqRel);
        let places = Places { counters: Arc::clone(&self.counters), _place: place, _units: units };
        let id = draft.event.id.clone();
        match self.items.try_send(Item { draft, reply: Reply::Nobody(places) }) {
            Ok(()) => Ok(id),
            Err(mpsc::error::TrySendError::Full(_)) => Err(full()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(EmitError::Closed),
        }
    }

    pub(super) async fn emit_durable(&self, draft: Draft) -> Result<Accepted, DurableError> {
        let (reply, answer) = oneshot::channel();
        let item = Item { draft, reply: Reply::Waiting(reply) };
        self.items.send(item).await.map_err(|_| DurableError::Closed)?;
        answer.await.map_err(|_| DurableError::Closed)?.map_err(DurableError::Store)
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
    store: Store,
    live: Arc<Live>,
    metrics: Arc<Metrics>,
    closing: CancellationToken,
}

/// `closing`: from then on nothing is taken, and the worker ends when all that was taken is stored.
pub(super) fn queue(
    length: usize,
    (store, live, metrics): (Store, Arc<Live>, Arc<Metrics>),
    closing: CancellationToken,
) -> (Queue, Worker) {
    let (sender, items) = mpsc::channel(length);
    let counters = Arc::new(Counters::default());
    let (places, units) = (Arc::new(Semaphore::new(length)), Arc::new(Semaphore::new(BYTES_MAX / UNIT)));
    let queue = Queue { items: sender, places, units, counters: Arc::clone(&counters) };
    (queue, Worker { items, waiting: VecDeque::new(), counters, store, live, metrics, closing })
}

impl Worker {
    /// Until it is closed and empty.
    pub(super) async fn run(&mut self) {
        let mut failing = false;
        while self.gather().await {
            match self.store_some().await {
                Ok(()) if failing => {
                    failing = false;
                    tracing::info!("the store takes emitted events again");
                }
                Ok(()) => {}
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, "emitted events cannot be stored: they wait, and are tried again");
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
        let drafts = self.waiting.iter().take(count).map(|item| item.draft.clone()).collect();
        let snapshot = self.live.snapshot();
        let events = publish::all_routed(&snapshot, drafts).await;
        let answers = publish::append_each(&self.store, &self.metrics, events).await;
        let mut failure = None;
        let mut kept = Vec::new();
        for (item, answer) in self.waiting.drain(..count).zip(answers) {
            match (answer, item.reply) {
                (Ok(accepted), reply) => settle(&self.counters, &item.draft, accepted, reply),
                (Err(error), Reply::Waiting(reply)) => {
                    failure = Some(error.clone());
                    self.metrics.event(EventOutcome::Unavailable);
                    let _ = reply.send(Err(error));
                }
                (Err(error), reply @ Reply::Nobody(_)) => {
                    failure = Some(error);
                    kept.push(Item { draft: item.draft, reply });
                }
            }
        }
        for item in kept.into_iter().rev() {
            self.waiting.push_front(item);
        }
        failure.map_or(Ok(()), Err)
    }

    /// Until it is time to try again. Who waits for an answer gets this one; the others have places, which bound them.
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
                        self.metrics.event(EventOutcome::Unavailable);
                        let _ = reply.send(Err(error.clone()));
                    }
                    Some(item) => self.waiting.push_back(item),
                    None => return tokio::time::sleep_until(until).await,
                },
            }
        }
    }
}

fn settle(counters: &Counters, draft: &Draft, accepted: Accepted, reply: Reply) {
    let counter = match accepted {
        Accepted::New { .. } => &counters.stored,
        Accepted::Duplicate { .. } => &counters.duplicates,
        Accepted::Conflict => &counters.conflicts,
    };
    counter.fetch_add(1, Ordering::Relaxed);
    match reply {
        Reply::Waiting(reply) => {
            // Who gave up waiting does not want to know.
            let _ = reply.send(Ok(accepted));
        }
        Reply::Nobody(_) if accepted == Accepted::Conflict => {
            let event = draft.event.id.as_str();
            tracing::warn!(event, "an emitted event was not stored: its id was published before with other content");
        }
        Reply::Nobody(_) => {}
    }
}
