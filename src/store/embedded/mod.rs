//! The embedded store: SQLite in one file, one writer thread with group commit, readers in a pool of their own.

mod api_webhooks;
mod append;
mod audit;
mod batches;
mod check;
mod claim;
mod command;
mod erase;
mod failures;
mod handover;
mod histogram;
mod idempotency;
mod inbox;
mod jobs;
mod laggards;
mod list;
mod log;
mod operate;
mod ordered;
mod prune;
mod read;
mod rows;
mod schema;
mod secrets;
mod seen;
mod settle;
mod simulated;
mod standings;
mod tail;
mod tally;
mod watch;
mod work;
mod workers;
mod writer;

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot, watch as tokio_watch};
use zeroize::Zeroizing;

use self::handover::Handover;
pub use self::handover::Slot;
pub use self::histogram::Histogram;
use self::prune::PruneAt;
use self::settle::EncodedSettle;
use self::simulated::Simulated;
pub use self::simulated::{Access, Disk, Served};
use self::workers::{Workers, blocking};
use self::writer::{Command, Reply, Writer};
use super::{
    Accepted, Backlog, Claimed, Cursor, DeliveryDetail, DeliveryFilter, DeliveryRecord, EventFilter, EventRecord, KeptSecret,
    KnownWebhook, NewEvent, Page, Ready, Settle, Settled, StandingChange, Stats, StoreCheck, StoreError, StoreOptions, Sweep,
};
use crate::clock::Clock;
use crate::model::{DeliveryId, DeliveryState, EventId, Standing, StorageKeys, Timestamp, WebhookId, WebhookKey};

/// Readers at work at once: lists, claims and scrapes together; more would only compete for two cores.
const READERS_MAX: usize = 4;

const FILE_NAME: &str = "tenterhook.db";

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
    lock: Mutex<Option<File>>,
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
        make_directory(&directory)
            .map_err(|e| unavailable(format!("cannot make the data directory {}: {e}", directory.display())))?;
        let lock = lock_directory(&directory).map_err(unavailable)?;
        let path = directory.join(FILE_NAME);
        keep_private(&path).map_err(|e| unavailable(format!("cannot make {}: {e}", path.display())))?;
        let failed_to_open = |e: rusqlite::Error| unavailable(format!("cannot open {}: {e}", path.display()));
        let writer_connection = schema::open_writer(&path).map_err(failed_to_open)?;
        let checkpointer = schema::open_checkpointer(&path).map_err(failed_to_open)?;
        let readers = (0..READERS_MAX).map(|_| schema::open_reader(&path)).collect::<Result<_, _>>().map_err(failed_to_open)?;

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

    /// Resolves when the store can no longer be used.
    pub async fn failed(&self) -> StoreError {
        let mut failed = self.shared.failed.clone();
        let gone = StoreError::Unavailable { reason: "the store is closed".to_owned() };
        match failed.wait_for(Option::is_some).await {
            Ok(error) => error.clone().unwrap_or(gone),
            Err(_) => gone,
        }
    }

    async fn command<T>(&self, make: impl FnOnce(Reply<T>) -> Command) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.shared.workers.send(make(reply)).await.map_err(|_| self.why_gone())?;
        answer.await.map_err(|_| self.why_gone())?
    }

    fn why_gone(&self) -> StoreError {
        let closed = || StoreError::Unavailable { reason: "the store is closed: the server is shutting down".to_owned() };
        self.shared.failed.borrow().clone().unwrap_or_else(closed)
    }

    /// Runs `look` on a reader, off the runtime.
    async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Connection, &Shared) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let _permit = self.shared.reading.acquire().await.map_err(|_| self.why_gone())?;
        let shared = Arc::clone(&self.shared);
        let work = move || {
            let lock = || shared.readers.lock().unwrap_or_else(PoisonError::into_inner);
            let reader = lock().pop();
            let reader = match reader {
                Some(reader) => reader,
                // A look that panicked took its reader along.
                None => schema::open_reader(&shared.path).map_err(|e| writer::explain(&e, &shared.path))?,
            };
            let result = look(&reader, &shared).map_err(|e| writer::explain(&e, &shared.path));
            lock().push(reader);
            result
        };
        self.shared.workers.look(work).await
    }

    pub(super) async fn intern(&self, ids: Vec<WebhookId>) -> Result<Vec<WebhookKey>, StoreError> {
        self.command(|reply| Command::Intern { ids, reply }).await
    }

    pub(super) async fn known_webhooks(&self) -> Result<Vec<KnownWebhook>, StoreError> {
        self.read(|reader, _| read::known_webhooks(reader)).await
    }

    pub(super) async fn append(&self, events: Vec<NewEvent>) -> Result<Vec<Accepted>, StoreError> {
        self.command(|reply| Command::Append { events, reply }).await
    }

    pub(super) async fn ready(&self) -> Ready {
        self.shared.handover.ready().await
    }

    pub(super) async fn claim(&self, webhook: WebhookKey, limit: usize, leased: Vec<i64>) -> Result<Claimed, StoreError> {
        loop {
            if leased.is_empty() {
                self.shared.handover.room_to_read().await;
            } else if self.shared.handover.is_short() {
                // It has something to go on with, and comes again when that is over; others have nothing.
                return Ok(Claimed { leases: Vec::new(), more: true, is_short: true, next_due: None });
            }
            let now = self.shared.clock.now();
            if self.shared.handover.has_batches(webhook) {
                // What is due at this moment takes nothing more, so that it is claimed whole.
                self.command(|reply| Command::Seal { webhook, now, reply }).await?;
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
        self.command(|reply| Command::Settle { settle: Box::new(settle), reply }).await
    }

    pub(super) async fn sweep_while(
        &self,
        webhook: WebhookKey,
        sweep: Sweep,
        go_on: impl Fn() -> bool,
    ) -> Result<u64, StoreError> {
        let mut total = 0;
        loop {
            if !go_on() {
                return Ok(total);
            }
            match self.command(|reply| Command::Sweep { webhook, sweep, reply }).await? {
                0 => return Ok(total),
                swept => total += swept,
            }
        }
    }

    pub(super) async fn retry(&self, delivery: DeliveryId, retransform: bool) -> Result<Option<DeliveryState>, StoreError> {
        self.command(|reply| Command::Retry { delivery, retransform, reply }).await
    }

    pub(super) async fn cancel(&self, delivery: DeliveryId) -> Result<Option<DeliveryState>, StoreError> {
        self.command(|reply| Command::Cancel { delivery, reply }).await
    }

    pub(super) async fn secrets(&self, webhooks: Vec<(WebhookKey, fn() -> String)>) -> Result<Vec<Vec<KeptSecret>>, StoreError> {
        self.command(|reply| Command::Secrets { webhooks, reply }).await
    }

    pub(super) async fn rotate_secret(
        &self,
        webhook: WebhookKey,
        text: Zeroizing<String>,
        overlap: Duration,
    ) -> Result<Vec<KeptSecret>, StoreError> {
        self.command(|reply| Command::RotateSecret { webhook, text, overlap, reply }).await
    }

    pub(super) async fn rekey(&self, keys: StorageKeys) -> Result<u64, StoreError> {
        self.command(|reply| Command::Rekey { keys, reply }).await
    }

    pub(super) async fn standings(&self) -> Result<HashMap<WebhookKey, Standing>, StoreError> {
        self.read(|reader, shared| standings::standings(reader, shared.clock.now())).await
    }

    pub(super) async fn stand(&self, changes: Vec<(WebhookKey, StandingChange)>) -> Result<(), StoreError> {
        self.command(|reply| Command::Stand { changes, reply }).await
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
            let step = self.command(|reply| Command::Prune { at, events_before, failed_before, reply }).await?;
            removed += step.removed;
            match step.next {
                Some(next) => at = next,
                None => return Ok(removed),
            }
        }
    }

    pub(super) async fn probe(&self) -> Result<(), StoreError> {
        self.command(|reply| Command::Probe { reply }).await
    }

    pub(super) async fn crash(&self) {
        if let Workers::Simulated(simulated) = &self.shared.workers {
            simulated.crash().await;
            self.shared.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }

    pub(super) async fn close(&self) {
        // The error means that the writer has ended already, which is what we want.
        let _ = self.command(|reply| Command::Close { reply }).await;
        if self.shared.workers.join().await {
            // Nothing is written any more: another may open it, although somebody still reads here.
            self.shared.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }
}

fn make_directory(path: &std::path::Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    // Events and secrets are nobody else's business.
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// The file for its owner alone, whatever the umask: SQLite gives what it makes beside it the same mode. Mends what an
/// older version, or a copy, has left open.
#[cfg(unix)]
fn keep_private(path: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    File::options().create(true).truncate(false).append(true).mode(0o600).open(path)?;
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let name = std::path::Path::new(&name);
        let Ok(found) = name.metadata() else { continue };
        let mode = found.permissions().mode();
        if mode & 0o077 != 0
            && let Err(error) = std::fs::set_permissions(name, std::fs::Permissions::from_mode(mode & !0o077))
        {
            tracing::warn!(file = %name.display(), %error, "others may read the store, and that cannot be changed: make it the server's own");
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn keep_private(_: &std::path::Path) -> std::io::Result<()> {
    Ok(())
}

fn lock_directory(directory: &std::path::Path) -> Result<File, String> {
    let path = directory.join("lock");
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&path).map_err(|e| format!("cannot open {}: {e}", path.display()))?;
    // Whoever may open it may hold it. Whether it can be changed says the store's own file.
    #[cfg(unix)]
    let _ = file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600));
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(format!(
            "another tenterhook is running on the data directory {}: stop it, or set another `[storage] path`",
            directory.display()
        )),
        Err(std::fs::TryLockError::Error(e)) => Err(format!("cannot lock {}: {e}", path.display())),
    }
}
