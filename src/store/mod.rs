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

mod embedded;
mod follow;
mod manage;
mod once;
mod records;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::model::{DeliveryId, DeliveryState, EventId, Standing, StorageKeys, Timestamp, WebhookId, WebhookKey};
pub use embedded::{Access, Disk, Embedded, Histogram, Served, Slot};
pub use follow::{Place, Tail, Told, ToldAttempt};
pub use manage::{
    ApiWebhook, AuditEntry, AuditFilter, AuditRecord, FailureClass, Job, JobSpec, JobState, JobStep, SeenType, Subject, Waiting,
    WebhookCounts,
};
pub use once::{Begun, KeptAnswer};
pub use records::{
    Accepted, AttemptRecord, Backlog, Claimed, Cursor, DeliveryDetail, DeliveryFilter, DeliveryRecord, EventFilter, EventRecord,
    HourStats, KeptSecret, KnownWebhook, Lease, Made, MadeRequest, NewEvent, Page, Ready, Settle, Settled, StandingChange, Stats,
    StoreCheck, StoreCounts, Sweep,
};

/// What a failure of the store means to whoever asked.
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
    /// Told of every group commit: its duration and how many commands it made durable.
    pub on_commit: Option<CommitObserver>,
}

pub type CommitObserver = Box<dyn Fn(Duration, usize) + Send>;

/// The store, one backend chosen at start. Cheap to clone.
#[derive(Clone)]
pub enum Store {
    Embedded(Embedded),
}

impl Store {
    /// Opens or makes the store, and takes up what a crash left.
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

    /// The numbers of these webhooks, given out when they are new.
    pub async fn intern(&self, ids: Vec<WebhookId>) -> Result<Vec<WebhookKey>, StoreError> {
        forward!(self, intern(ids))
    }

    /// Every webhook that the store knows of, those no longer declared included.
    pub async fn known_webhooks(&self) -> Result<Vec<KnownWebhook>, StoreError> {
        forward!(self, known_webhooks())
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
    /// memory is bounded: waits for room, unless the webhook has something leased already. Cancel-safe.
    pub async fn claim(&self, webhook: WebhookKey, limit: usize, leased: Vec<i64>) -> Result<Claimed, StoreError> {
        forward!(self, claim(webhook, limit, leased))
    }

    /// Ends a lease: attempt, next state and next due time in one commit.
    pub async fn settle(&self, settle: Arc<Settle>) -> Result<Settled, StoreError> {
        forward!(self, settle(settle))
    }

    /// Holds, releases or cancels everything of a webhook that waits on disk; answers how many.
    pub async fn sweep(&self, webhook: WebhookKey, sweep: Sweep) -> Result<u64, StoreError> {
        self.sweep_while(webhook, sweep, || true).await
    }

    /// As [`Store::sweep`], in steps, each only if `go_on` says so.
    pub async fn sweep_while(&self, webhook: WebhookKey, sweep: Sweep, go_on: impl Fn() -> bool) -> Result<u64, StoreError> {
        forward!(self, sweep_while(webhook, sweep, go_on))
    }

    /// By hand, now; does not spend the automatic budget. With `retransform` the bytes are made anew, otherwise they are
    /// those of before. `None`: no such delivery.
    pub async fn retry(&self, delivery: DeliveryId, retransform: bool) -> Result<Option<DeliveryState>, StoreError> {
        forward!(self, retry(delivery, retransform))
    }

    /// Ends an open delivery; answers the state that it has then. `None`: no such delivery.
    pub async fn cancel(&self, delivery: DeliveryId) -> Result<Option<DeliveryState>, StoreError> {
        forward!(self, cancel(delivery))
    }

    /// The kept secrets of webhooks, in their order, each webhook's live ones newest first; made on first use by the
    /// function beside it; in one commit.
    pub async fn secrets(&self, webhooks: Vec<(WebhookKey, fn() -> String)>) -> Result<Vec<Vec<KeptSecret>>, StoreError> {
        forward!(self, secrets(webhooks))
    }

    /// A new secret for a webhook: from now on it signs, and those before it for `overlap` longer. Answers all that are
    /// live then, newest first.
    pub async fn rotate_secret(
        &self,
        webhook: WebhookKey,
        text: Zeroizing<String>,
        overlap: Duration,
    ) -> Result<Vec<KeptSecret>, StoreError> {
        forward!(self, rotate_secret(webhook, text, overlap))
    }

    /// Seals all kept secrets and webhooks made over the API with the current key (or none); answers how many were sealed
    /// otherwise before. Fails, and changes nothing, when one of them is sealed with a key that is not among these.
    pub async fn rekey(&self, keys: StorageKeys) -> Result<u64, StoreError> {
        forward!(self, rekey(keys))
    }

    /// How webhooks stand: those that are not simply well.
    pub async fn standings(&self) -> Result<HashMap<WebhookKey, Standing>, StoreError> {
        forward!(self, standings())
    }

    /// Keeps how webhooks stand, in one commit.
    pub async fn stand(&self, changes: Vec<(WebhookKey, StandingChange)>) -> Result<(), StoreError> {
        forward!(self, stand(changes))
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
    pub async fn begin_once(&self, key: [u8; 32], request: [u8; 32], since: Timestamp) -> Result<Begun, StoreError> {
        forward!(self, begin_once(key, request, since))
    }

    /// Keeps the answer to a request that [`Store::begin_once`] let through, or gives its key back.
    pub async fn end_once(&self, key: [u8; 32], answer: Option<KeptAnswer>) -> Result<(), StoreError> {
        forward!(self, end_once(key, answer))
    }

    /// Ticks after every commit, from now on.
    pub fn commits(&self) -> watch::Receiver<()> {
        match self {
            Self::Embedded(store) => store.commits(),
        }
    }

    /// Where [`Store::tail`] has nothing more to tell at the moment.
    pub async fn here(&self) -> Result<Place, StoreError> {
        forward!(self, here())
    }

    /// Events and attempts after a place, in their order, as far as one look goes.
    pub async fn tail(&self, after: Place, limit: usize) -> Result<Tail, StoreError> {
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
