//! Where events and deliveries live. The only thing between `http` and `dispatch`: a crash anywhere means
//! "claim again".
//!
//! The contract of every backend:
//! - durable before `Ok`: what [`Store::append`] and [`Store::settle`] answered survives `kill -9` and power loss;
//! - an event and its deliveries are one commit; an attempt, the next state and the next due time are one commit;
//! - at least once: a lease that was not settled is claimable again after a crash, so a crash may repeat an attempt,
//!   never lose one;
//! - memory is bounded whatever the backlog: what does not fit waits on disk.

macro_rules! forward {
    ($self:ident, $method:ident ( $($arg:expr),* )) => {
        match $self {
            Store::Embedded(store) => store.$method($($arg),*).await,
        }
    };
}

mod disk_usage;
mod embedded;
mod follow;
mod histogram;
mod idempotency;
mod keyring;
mod manage;
mod records;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::model::{DeliveryId, DeliveryState, EventId, StorageKeys, Timestamp, WebhookId, WebhookKey, WebhookStatus};
pub use disk_usage::DiskUsage;
pub use embedded::{Access, Disk, Embedded, Served, Slot};
pub use follow::{FeedAttempt, FeedItem, Position, Tail};
pub use histogram::Histogram;
pub use idempotency::{IdempotencyState, StoredResponse};
pub use manage::{
    ApiWebhook, AuditEntry, AuditFilter, AuditRecord, FailureClass, Job, JobSpec, JobState, JobStep, SeenType, Subject, Waiting,
    WebhookCounts,
};
pub use records::{
    Accepted, AttemptRecord, Backlog, Claimed, Cursor, DeliveryDetail, DeliveryFilter, DeliveryRecord, DueCursor, EventFilter,
    EventRecord, HourStats, KnownWebhook, Lease, NewEvent, Page, Payload, Ready, Settle, Settled, ShiftedDue, Stats,
    StatusChange, StoreCheck, StoreCounts, StoredSecret, Sweep, TransformedRequest, Vacuumed,
};

/// What a failure of the store means to the caller.
#[non_exhaustive]
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// 507: nothing was stored, nothing is lost, room has to be made.
    #[error("the disk that holds {path} is full: free some space, or shorten `[retention]`")]
    Full { path: String },
    /// The process has to stop: what is on disk can no longer be trusted to be what we think.
    #[error("the store at {path} failed: {reason}")]
    Poisoned { path: String, reason: String },
    /// 503: try again.
    #[error("the store is not available: {reason}")]
    Unavailable { reason: String },
}

pub struct StoreOptions {
    /// The data directory; made when missing, mode 0700.
    pub path: PathBuf,
    pub clock: Clock,
    /// Called after every group commit with its duration and how many commands it made durable.
    pub on_commit: Option<CommitObserver>,
}

pub type CommitObserver = Box<dyn Fn(Duration, usize) + Send>;

/// The store, one backend chosen at start. Cheap to clone.
#[derive(Clone)]
pub enum Store {
    Embedded(Embedded),
}

impl Store {
    /// Opens or makes the store, and recovers what a crash left.
    pub async fn open(options: StoreOptions) -> Result<Self, StoreError> {
        Embedded::open(options).await.map(Self::Embedded)
    }

    /// As [`Store::open`], for simulations: on a disk that takes virtual time and fails when it is told to, and with no
    /// threads, so that a run on one thread depends on nothing but its seeds.
    pub fn simulated(options: StoreOptions, disk: Disk) -> Result<Self, StoreError> {
        Embedded::simulated(options, disk).map(Self::Embedded)
    }

    /// Proves the invariants of a store that need not be open; changes nothing.
    pub async fn check(directory: PathBuf, now: Timestamp) -> Result<StoreCheck, StoreError> {
        Embedded::check(directory, now).await
    }

    /// Rewrites the store, which must not be open, without its free space.
    pub async fn vacuum(directory: PathBuf) -> Result<Vacuumed, StoreError> {
        Embedded::vacuum(directory).await
    }

    /// Writes a copy of the store as one file, also while a server runs on it, and proves its invariants.
    pub async fn backup(directory: PathBuf, to: PathBuf, now: Timestamp) -> Result<StoreCheck, StoreError> {
        Embedded::backup(directory, to, now).await
    }

    /// Puts a backup into a data directory without a store, and proves its invariants.
    pub async fn restore(from: PathBuf, directory: PathBuf, now: Timestamp) -> Result<StoreCheck, StoreError> {
        Embedded::restore(from, directory, now).await
    }

    /// The stored key of each of these webhooks; an id that is new gets one.
    pub async fn intern(&self, ids: Vec<WebhookId>) -> Result<Vec<WebhookKey>, StoreError> {
        forward!(self, intern(ids))
    }

    /// Every webhook that the store knows of, those no longer declared included.
    pub async fn known_webhooks(&self) -> Result<Vec<KnownWebhook>, StoreError> {
        forward!(self, known_webhooks())
    }

    /// Records since when webhooks are missing from the configuration (`Some`), or that they are declared again (`None`), in
    /// one commit. A time that is recorded already stays: it survives restarts and later reloads. Read back as
    /// [`KnownWebhook::removed_since`]. [`Store::delete_api_webhook`] records [`Timestamp::default`]: nobody waits for the
    /// return of a webhook that was deleted on purpose.
    pub async fn save_removed(&self, changes: Vec<(WebhookKey, Option<Timestamp>)>) -> Result<(), StoreError> {
        forward!(self, save_removed(changes))
    }

    /// Stores events with their deliveries in one commit, all or nothing: a [`Accepted::Conflict`] among the answers
    /// means that none was stored.
    pub async fn append(&self, events: Vec<NewEvent>) -> Result<Vec<Accepted>, StoreError> {
        forward!(self, append(events))
    }

    /// Waits for work: freshly appended deliveries, and webhooks with work on disk. Cancel-safe.
    pub async fn ready(&self) -> Ready {
        forward!(self, ready())
    }

    /// Leases what is due on disk for one webhook, oldest due first, without those in `leased`. What all leases take of
    /// memory is bounded: waits for memory, unless the webhook has something leased already. Cancel-safe.
    pub async fn claim(&self, webhook: WebhookKey, limit: usize, leased: Vec<i64>) -> Result<Claimed, StoreError> {
        forward!(self, claim(webhook, limit, leased))
    }

    /// Ends a lease: attempt, next state and next due time in one commit.
    pub async fn settle(&self, settle: Arc<Settle>) -> Result<Settled, StoreError> {
        forward!(self, settle(settle))
    }

    /// Holds, releases, cancels or unblocks a webhook's deliveries on disk, in steps of one commit; answers how many.
    pub async fn sweep(&self, webhook: WebhookKey, sweep: Sweep) -> Result<u64, StoreError> {
        self.sweep_while(webhook, sweep, || true).await
    }

    /// As [`Store::sweep`], in steps, each only if `go_on` says so.
    pub async fn sweep_while(&self, webhook: WebhookKey, sweep: Sweep, go_on: impl Fn() -> bool) -> Result<u64, StoreError> {
        forward!(self, sweep_while(webhook, sweep, go_on))
    }

    /// The wall-clock time of the newest event or attempt: the clock showed at least that.
    pub async fn newest_record(&self) -> Result<Option<Timestamp>, StoreError> {
        forward!(self, newest_record())
    }

    /// The clock was set back by `step`: a webhook's deliveries that are due later than now are due earlier by that, in
    /// steps of one commit each.
    pub async fn shift_due(
        &self,
        webhook: WebhookKey,
        after: Option<DueCursor>,
        step: Duration,
    ) -> Result<ShiftedDue, StoreError> {
        forward!(self, shift_due(webhook, after, step))
    }

    /// Sets every due time of the webhook that is later than `latest` to `latest`; answers how many it changed.
    pub async fn clamp_due(&self, webhook: WebhookKey, latest: Timestamp) -> Result<u64, StoreError> {
        forward!(self, clamp_due(webhook, latest))
    }

    /// A manual retry, now; does not spend the automatic budget. With `retransform` the payload is built again, otherwise it is
    /// the one of before. `None`: no such delivery.
    pub async fn retry(&self, delivery: DeliveryId, retransform: bool) -> Result<Option<DeliveryState>, StoreError> {
        forward!(self, retry(delivery, retransform))
    }

    /// Ends an open delivery; answers the state that it has then. `None`: no such delivery.
    pub async fn cancel(&self, delivery: DeliveryId) -> Result<Option<DeliveryState>, StoreError> {
        forward!(self, cancel(delivery))
    }

    /// The stored secrets of webhooks, in their order, each webhook's live ones newest first; made on first use by the
    /// function beside it; in one commit.
    pub async fn secrets(&self, webhooks: Vec<(WebhookKey, fn() -> String)>) -> Result<Vec<Vec<StoredSecret>>, StoreError> {
        forward!(self, secrets(webhooks))
    }

    /// A new secret for a webhook: from now on it signs, and those before it for `overlap` longer. Answers all that are
    /// live then, newest first.
    pub async fn rotate_secret(
        &self,
        webhook: WebhookKey,
        text: Zeroizing<String>,
        overlap: Duration,
    ) -> Result<Vec<StoredSecret>, StoreError> {
        forward!(self, rotate_secret(webhook, text, overlap))
    }

    /// Seals stored secrets, webhooks made over the API and stored responses with the current key; answers how many were sealed
    /// otherwise before. No current key: stores them unsealed. Fails, and changes nothing, when a key they need is missing.
    pub async fn rekey(&self, keys: StorageKeys) -> Result<u64, StoreError> {
        forward!(self, rekey(keys))
    }

    /// The statuses of webhooks that are not simply enabled and well.
    pub async fn webhook_statuses(&self) -> Result<HashMap<WebhookKey, WebhookStatus>, StoreError> {
        forward!(self, webhook_statuses())
    }

    /// Stores statuses of webhooks, in one commit.
    pub async fn save_status(&self, changes: Vec<(WebhookKey, StatusChange)>) -> Result<(), StoreError> {
        forward!(self, save_status(changes))
    }

    pub async fn event(&self, id: EventId) -> Result<Option<EventRecord>, StoreError> {
        forward!(self, event(id))
    }

    /// Newest first; bodies included.
    pub async fn events(
        &self,
        filter: EventFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<EventRecord>, StoreError> {
        forward!(self, events(filter, after, limit))
    }

    pub async fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryDetail>, StoreError> {
        forward!(self, delivery(id))
    }

    /// Newest first.
    pub async fn deliveries(
        &self,
        filter: DeliveryFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<DeliveryRecord>, StoreError> {
        forward!(self, deliveries(filter, after, limit))
    }

    /// Of one webhook, or of all.
    pub async fn stats(&self, webhook: Option<WebhookId>) -> Result<Stats, StoreError> {
        forward!(self, stats(webhook))
    }

    pub async fn backlog(&self) -> Result<Backlog, StoreError> {
        forward!(self, backlog())
    }

    /// Removes what is older than retention allows, in small commits; answers how many events went.
    pub async fn prune(&self, events_before: Timestamp, failed_before: Timestamp) -> Result<u64, StoreError> {
        forward!(self, prune(events_before, failed_before))
    }

    /// Claims a key for a request that must be done once. `since`: older uses of the key are forgotten.
    pub async fn begin_idempotent(
        &self,
        key: [u8; 32],
        request: [u8; 32],
        since: Timestamp,
    ) -> Result<IdempotencyState, StoreError> {
        forward!(self, begin_idempotent(key, request, since))
    }

    /// Stores the answer to a request that [`Store::begin_idempotent`] let through, or gives its key back.
    pub async fn end_idempotent(&self, key: [u8; 32], answer: Option<StoredResponse>) -> Result<(), StoreError> {
        forward!(self, end_idempotent(key, answer))
    }

    /// Ticks after every commit, from now on.
    pub fn commits(&self) -> watch::Receiver<()> {
        match self {
            Self::Embedded(store) => store.commits(),
        }
    }

    /// The position after which [`Store::tail`] has nothing at present.
    pub async fn tail_position(&self) -> Result<Position, StoreError> {
        forward!(self, tail_position())
    }

    /// Events and attempts after a position, in their order, as many as one read takes.
    pub async fn tail(&self, after: Position, limit: usize) -> Result<Tail, StoreError> {
        forward!(self, tail(after, limit))
    }

    /// Whether a commit goes through right now.
    pub async fn probe(&self) -> Result<(), StoreError> {
        forward!(self, probe())
    }

    /// Resolves when the store can no longer be used.
    pub async fn failed(&self) -> StoreError {
        forward!(self, failed())
    }

    /// Ends a simulated store as a process is killed: what was answered stays, and nothing else is written any more.
    pub async fn crash(&self) {
        forward!(self, crash())
    }

    /// Ends the writer after what it was given; nothing can be stored afterwards.
    pub async fn close(&self) {
        forward!(self, close())
    }
}
