//! The embedded store: SQLite in one file, one writer thread with group commit, readers in a pool of their own.

mod api_webhooks;
mod append;
mod audit;
mod backup;
mod batches;
mod check;
mod claim;
mod clock_step;
mod command;
mod erase;
mod failures;
mod files;
mod handover;
mod idempotency;
mod inbox;
mod jobs;
mod json;
mod list;
mod operate;
mod ordered;
mod prune;
mod read;
mod recover;
mod removed;
mod reserve;
mod rows;
mod schema;
mod secrets;
mod seen;
mod settle;
mod simulated;
mod spill;
mod states;
mod tail;
mod tally;
mod vacuum;
mod wal;
mod watch;
mod webhook_status;
mod work;
mod workers;
mod writer;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{Semaphore, watch as tokio_watch};
use tokio::time::Instant;
use zeroize::Zeroizing;

use self::command::{Call, Command, Prune, Rotation};
use self::files::{DirectoryLock, FILE_NAME};
use self::handover::Handover;
pub use self::handover::Slot;
use self::prune::PruneAt;
use self::settle::EncodedSettle;
use self::simulated::Simulated;
pub use self::simulated::{Access, Disk, Served};
use self::workers::{Workers, blocking};
use self::writer::Writer;
use super::{
    Accepted, Backlog, Claimed, Cursor, DeliveryDetail, DeliveryFilter, DeliveryRecord, EventFilter, EventRecord, KnownWebhook,
    NewEvent, Page, Ready, Settle, Settled, Stats, StatusChange, StoreCheck, StoreError, StoreOptions, StoredSecret, Sweep,
};
use crate::clock::Clock;
use crate::model::{DeliveryId, DeliveryState, EventId, StorageKeys, Timestamp, WebhookId, WebhookKey, WebhookStatus};

/// Readers that work at a time: lists, claims and scrapes together; more would only compete for two cores.
const READERS_MAX: usize = 4;

/// How often a long sweep reports its progress to the log: a million deliveries take a minute.
const SWEEP_REPORT: Duration = Duration::from_secs(5);

/// Cheap to clone.
#[derive(Clone)]
pub struct Embedded {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    clock: Clock,
    workers: Workers,
    handover: Arc<Handover>,
    watch: Arc<watch::Watch>,
    readers: Mutex<Vec<Connection>>,
    reading: Semaphore,
    failed: tokio_watch::Receiver<Option<StoreError>>,
    /// Held for as long as the store is open: one process per data directory.
    lock: Mutex<Option<DirectoryLock>>,
}

impl Embedded {
    pub(super) async fn open(options: StoreOptions) -> Result<Self, StoreError> {
        blocking(move || Self::open_with(options, Workers::start)).await
    }

    /// As [`Embedded::open`], with no threads.
    pub(super) fn simulated(options: StoreOptions, disk: Disk) -> Result<Self, StoreError> {
        Self::open_with(options, move |writer, _| Ok(Workers::Simulated(Simulated::start(writer, disk))))
    }

    pub(super) async fn check(directory: PathBuf, now: Timestamp) -> Result<StoreCheck, StoreError> {
        let path = directory.join(FILE_NAME);
        if let Err(reason) = files::check_wal_has_database(&path) {
            // Not even for reading: SQLite deletes the WAL of an empty database.
            return Ok(StoreCheck { problems: vec![reason], ..StoreCheck::default() });
        }
        if !path.exists() {
            let reason = format!("there is no {}: has a server run on this data directory?", path.display());
            return Err(StoreError::Unavailable { reason });
        }
        blocking(move || check::check(&path, now).map_err(|e| writer::explain(&e, &path))).await
    }

    fn open_with(
        options: StoreOptions,
        start: impl FnOnce(Writer, Connection) -> std::io::Result<Workers>,
    ) -> Result<Self, StoreError> {
        let directory = options.path;
        let unavailable = |reason: String| StoreError::Unavailable { reason };
        files::make_directory(&directory)
            .map_err(|e| unavailable(format!("cannot make the data directory {}: {e}", directory.display())))?;
        let lock = DirectoryLock::take(&directory).map_err(unavailable)?;
        let path = directory.join(FILE_NAME);
        files::check_wal_has_database(&path).map_err(unavailable)?;
        files::warn_of_missing_wal(&path);
        files::keep_private(&path).map_err(|e| unavailable(format!("cannot make {}: {e}", path.display())))?;
        let failed_to_open = |e: rusqlite::Error| unavailable(format!("cannot open {}: {e}", path.display()));
        let writer_connection = schema::open_writer(&path).map_err(failed_to_open)?;
        let checkpointer = schema::open_checkpointer(&path).map_err(failed_to_open)?;
        let readers = (0..READERS_MAX).map(|_| schema::open_reader(&path)).collect::<Result<_, _>>().map_err(failed_to_open)?;
        files::mark_open(&path);
        files::sync_directory(&directory);

        let handover = Arc::new(Handover::default());
        let settled = Arc::new(watch::Watch::default());
        let (failure, failed) = tokio_watch::channel(None);
        let mut writer = Writer::new(
            writer_connection,
            path.clone(),
            options.clock.clone(),
            Arc::clone(&handover),
            Arc::clone(&settled),
            failure,
            options.on_commit,
        );
        writer.recover()?;
        let workers = start(writer, checkpointer).map_err(|e| unavailable(format!("cannot start a thread: {e}")))?;
        Ok(Self {
            shared: Arc::new(Shared {
                path,
                clock: options.clock,
                workers,
                handover,
                watch: settled,
                readers: Mutex::new(readers),
                reading: Semaphore::new(READERS_MAX),
                failed,
                lock: Mutex::new(Some(lock)),
            }),
        })
    }

    /// The database's file.
    pub(super) fn path(&self) -> &std::path::Path {
        &self.shared.path
    }

    /// Resolves when the store can no longer be used.
    pub async fn failed(&self) -> StoreError {
        let mut failed = self.shared.failed.clone();
        let gone = StoreError::Unavailable { reason: "the store is closed".to_owned() };
        match failed.wait_for(Option::is_some).await {
            Ok(error) => error.clone().unwrap_or(gone),
            Err(_) => gone,
        }
    }

    async fn call<I, O>(&self, command: impl FnOnce(Call<I, O>) -> Command, input: I) -> Result<O, StoreError> {
        let (call, answer) = Call::new(input);
        self.shared.workers.send(command(call)).await.map_err(|_| self.why_gone())?;
        answer.await.map_err(|_| self.why_gone())?
    }

    fn why_gone(&self) -> StoreError {
        let closed = || StoreError::Unavailable { reason: "the store is closed: the server is shutting down".to_owned() };
        self.shared.failed.borrow().clone().unwrap_or_else(closed)
    }

    /// Runs `query` on a reader, off the runtime.
    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection, &Shared) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let _permit = self.shared.reading.acquire().await.map_err(|_| self.why_gone())?;
        let shared = Arc::clone(&self.shared);
        let work = move || {
            let lock = || shared.readers.lock().unwrap_or_else(PoisonError::into_inner);
            let reader = lock().pop();
            let reader = match reader {
                Some(reader) => reader,
                // A query that panicked took its reader along.
                None => schema::open_reader(&shared.path).map_err(|e| writer::explain(&e, &shared.path))?,
            };
            let result = query(&reader, &shared).map_err(|e| writer::explain(&e, &shared.path));
            lock().push(reader);
            result
        };
        self.shared.workers.read(work).await
    }

    pub(super) async fn intern(&self, ids: Vec<WebhookId>) -> Result<Vec<WebhookKey>, StoreError> {
        self.call(Command::Intern, ids).await
    }

    pub(super) async fn known_webhooks(&self) -> Result<Vec<KnownWebhook>, StoreError> {
        self.read(|reader, _| read::known_webhooks(reader)).await
    }

    pub(super) async fn append(&self, events: Vec<NewEvent>) -> Result<Vec<Accepted>, StoreError> {
        self.call(Command::Append, events).await
    }

    pub(super) async fn ready(&self) -> Ready {
        self.shared.handover.ready().await
    }

    pub(super) async fn claim(&self, webhook: WebhookKey, limit: usize, leased: Vec<i64>) -> Result<Claimed, StoreError> {
        loop {
            if leased.is_empty() {
                self.shared.handover.memory_to_read().await;
            } else if self.shared.handover.is_short() {
                // It has something to attempt and claims again after that; others have nothing.
                return Ok(Claimed { leases: Vec::new(), more: true, is_short: true, next_due: None });
            }
            let now = self.shared.clock.now();
            if self.shared.handover.has_batches(webhook) {
                // Batches that are due now take no more events, so that they are claimed whole.
                self.call(Command::CloseDueBatch, (webhook, now)).await?;
            }
            let leased = leased.clone();
            let claimed = self.read(move |reader, shared| {
                if !shared.handover.may_read() {
                    return Ok(None);
                }
                let seen = shared.handover.spilled(webhook);
                let claimed = claim::claim(reader, &shared.handover, webhook, now, limit, &leased)?;
                if !claimed.more {
                    shared.handover.drained(webhook, seen);
                }
                Ok(Some(claimed))
            });
            if let Some(claimed) = claimed.await? {
                return Ok(claimed);
            }
        }
    }

    pub(super) async fn settle(&self, settle: Arc<Settle>) -> Result<Settled, StoreError> {
        // Encoded here, on the caller's thread: the writer has the least time of all.
        let settle = EncodedSettle::new(settle);
        self.call(Command::Settle, Box::new(settle)).await
    }

    pub(super) async fn sweep_while(
        &self,
        webhook: WebhookKey,
        sweep: Sweep,
        go_on: impl Fn() -> bool,
    ) -> Result<u64, StoreError> {
        let (mut total, mut report_at) = (0, Instant::now() + SWEEP_REPORT);
        loop {
            if !go_on() {
                return Ok(total);
            }
            match self.call(Command::Sweep, (webhook, sweep)).await? {
                0 => return Ok(total),
                swept => total += swept,
            }
            if Instant::now() >= report_at {
                report_at += SWEEP_REPORT;
                let left = self.read(move |reader, _| read::open_deliveries(reader, webhook)).await?;
                tracing::info!(
                    webhook = left.webhook,
                    ?sweep,
                    done = total,
                    waiting = left.waiting,
                    held = left.held,
                    "sweep in progress"
                );
            }
        }
    }

    pub(super) async fn retry(&self, delivery: DeliveryId, retransform: bool) -> Result<Option<DeliveryState>, StoreError> {
        self.call(Command::Retry, (delivery, retransform)).await
    }

    pub(super) async fn cancel(&self, delivery: DeliveryId) -> Result<Option<DeliveryState>, StoreError> {
        self.call(Command::Cancel, delivery).await
    }

    pub(super) async fn secrets(
        &self,
        webhooks: Vec<(WebhookKey, fn() -> String)>,
    ) -> Result<Vec<Vec<StoredSecret>>, StoreError> {
        self.call(Command::Secrets, webhooks).await
    }

    pub(super) async fn rotate_secret(
        &self,
        webhook: WebhookKey,
        text: Zeroizing<String>,
        overlap: Duration,
    ) -> Result<Vec<StoredSecret>, StoreError> {
        self.call(Command::RotateSecret, Rotation { webhook, text, overlap }).await
    }

    pub(super) async fn rekey(&self, keys: StorageKeys) -> Result<u64, StoreError> {
        self.call(Command::Rekey, keys).await
    }

    pub(super) async fn webhook_statuses(&self) -> Result<HashMap<WebhookKey, WebhookStatus>, StoreError> {
        self.read(|reader, shared| webhook_status::webhook_statuses(reader, shared.clock.now())).await
    }

    pub(super) async fn save_status(&self, changes: Vec<(WebhookKey, StatusChange)>) -> Result<(), StoreError> {
        self.call(Command::SaveStatus, changes).await
    }

    pub(super) async fn event(&self, id: EventId) -> Result<Option<EventRecord>, StoreError> {
        self.read(move |reader, _| read::event(reader, &id)).await
    }

    pub(super) async fn events(
        &self,
        filter: EventFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<EventRecord>, StoreError> {
        self.read(move |reader, _| list::events(reader, &filter, after, limit)).await
    }

    pub(super) async fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryDetail>, StoreError> {
        self.read(move |reader, _| read::delivery(reader, id)).await
    }

    pub(super) async fn deliveries(
        &self,
        filter: DeliveryFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<DeliveryRecord>, StoreError> {
        self.read(move |reader, _| list::deliveries(reader, &filter, after, limit)).await
    }

    pub(super) async fn stats(&self, webhook: Option<WebhookId>) -> Result<Stats, StoreError> {
        self.read(move |reader, shared| read::stats(reader, webhook.as_ref(), shared.clock.now())).await
    }

    pub(super) async fn backlog(&self) -> Result<Backlog, StoreError> {
        self.read(|reader, _| read::backlog(reader)).await
    }

    pub(super) async fn prune(&self, events_before: Timestamp, failed_before: Timestamp) -> Result<u64, StoreError> {
        let mut removed = 0;
        let mut at = PruneAt::Events(0);
        loop {
            let step = self.call(Command::Prune, Prune { at, events_before, failed_before }).await?;
            removed += step.removed;
            match step.next {
                Some(next) => at = next,
                None => return Ok(removed),
            }
        }
    }

    pub(super) async fn probe(&self) -> Result<(), StoreError> {
        self.call(Command::Probe, ()).await
    }

    pub(super) async fn crash(&self) {
        if let Workers::Simulated(simulated) = &self.shared.workers {
            simulated.crash().await;
            self.shared.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }

    pub(super) async fn close(&self) {
        // The error means that the writer has ended already, which is what we want.
        let _ = self.call(Command::Close, ()).await;
        if self.shared.workers.join().await {
            // Nothing is written any more: another process may open it, although reads may still run here.
            self.shared.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }
}
