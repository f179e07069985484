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

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::model::{
    Attempt, AttemptId, Condition, DeliveryId, DeliveryState, Disabled, Event, EventId, EventType, Intake, Settlement, Standing,
    StorageKeys, Timestamp, Trigger, Unmatched, WebhookId, WebhookKey,
};
pub use embedded::{Embedded, Slot};
pub use follow::{Place, Tail, Told, ToldAttempt};
pub use manage::{
    ApiWebhook, AuditEntry, AuditFilter, AuditRecord, FailureClass, Job, JobSpec, JobState, JobStep, SeenType, Subject, Waiting,
    WebhookCounts,
};
pub use once::{Begun, KeptAnswer};

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

/// An event to be stored, with where it goes.
#[derive(Debug, Clone)]
pub struct NewEvent {
    pub event: Arc<Event>,
    pub targets: Vec<WebhookKey>,
    /// Those of `targets` whose delivery does not simply go by itself and at once.
    pub apart: Vec<(WebhookKey, Intake)>,
    /// Webhooks whose pattern matched and that still do not get it.
    pub unmatched: Vec<Unmatched>,
    /// Whether the producer gave the timestamp: a repeated publish without one is still the same content.
    pub timestamp_given: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    New {
        deliveries: u32,
    },
    /// Same id and same content again: nothing was stored, this was the first answer.
    Duplicate {
        deliveries: u32,
    },
    /// Same id, other content: nothing was stored, nor anything else of the same call.
    Conflict,
}

/// A delivery that is ours to attempt until it is settled.
#[derive(Debug)]
pub struct Lease {
    pub delivery: DeliveryId,
    pub webhook: WebhookKey,
    pub event: Arc<Event>,
    /// Of a batch, all its events; `event` is the first.
    pub batch: Option<Arc<[Arc<Event>]>>,
    /// Scheduled attempts made so far: what the retry budget counts.
    pub attempts_spent: u32,
    /// All attempts made so far.
    pub attempt_count: u32,
    pub trigger: Trigger,
    /// What is to be sent, when an earlier attempt has made it.
    pub made: Option<Made>,
    /// Room in memory, given back when the attempt begins; `None` for what came from disk.
    pub slot: Option<Slot>,
}

/// What a delivery sends, made once: every retry sends the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// The event's envelope.
    Envelope,
    /// What transformers made of it.
    Request(Arc<MadeRequest>),
}

/// A request that transformers made: kept with the delivery, so that a retry sends the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeRequest {
    pub method: Option<String>,
    /// Within the webhook's origin.
    pub url: Option<String>,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

/// What happened to a leased delivery.
#[derive(Debug)]
pub struct Settle {
    pub delivery: DeliveryId,
    pub webhook: WebhookKey,
    /// `None` when nothing was tried (its webhook is gone or disabled).
    pub attempt: Option<Attempt>,
    pub settlement: Settlement,
    /// Why it ended so, for people; kept as the delivery's `reason`.
    pub reason: Option<String>,
    /// What was made on this attempt, when it was the first to send.
    pub made: Option<Made>,
}

/// What became ready since the last look.
#[derive(Debug, Default)]
pub struct Ready {
    /// Just appended, from memory.
    pub fresh: Vec<Lease>,
    /// Webhooks with work on disk, and when its first is due.
    pub due: HashMap<WebhookKey, Timestamp>,
    /// Cancelled by hand: not to be attempted, if they still wait in memory.
    pub cancelled: Vec<(WebhookKey, i64)>,
}

#[derive(Debug)]
pub struct Claimed {
    pub leases: Vec<Lease>,
    /// Whether more is due now than was asked for.
    pub more: bool,
    /// When the first of what is not due yet becomes due.
    pub next_due: Option<Timestamp>,
}

/// A change of all the waiting deliveries of one webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sweep {
    /// Its webhook was disabled.
    Hold,
    /// Its webhook was enabled again.
    Release,
    /// Its webhook was removed.
    Cancel,
    /// Its webhook no longer waits for what was given up.
    Unblock,
}

/// What is to be kept of how a webhook stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StandingChange {
    /// `None`: switched on.
    Disabled(Option<Disabled>),
    Condition(Condition),
}

/// A webhook that the store knows of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownWebhook {
    pub id: WebhookId,
    pub key: WebhookKey,
    /// Deliveries that are pending or retrying.
    pub waiting: u64,
    pub held: u64,
    /// Whether something that is given up keeps others of its key waiting, or would.
    pub blocks: bool,
}

/// A webhook's secret that the store keeps.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptSecret {
    pub text: Zeroizing<String>,
    /// When it stops to sign; `None` for the newest.
    pub until: Option<Timestamp>,
}

impl std::fmt::Debug for KeptSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeptSecret").field("until", &self.until).finish_non_exhaustive()
    }
}

/// A published event as it is shown.
#[derive(Debug, Clone)]
pub struct EventRecord {
    pub event: Event,
    pub deliveries: Vec<(DeliveryId, WebhookId, DeliveryState)>,
    pub unmatched: Vec<Unmatched>,
}

/// A delivery as it is listed.
#[derive(Debug, Clone)]
pub struct DeliveryRecord {
    pub id: DeliveryId,
    pub event_id: EventId,
    pub event_type: EventType,
    pub tenant: Option<Arc<str>>,
    pub webhook: WebhookId,
    pub state: DeliveryState,
    pub reason: Option<String>,
    pub attempt_count: u32,
    pub created_at: Timestamp,
    pub next_attempt_at: Option<Timestamp>,
}

/// An attempt as it is shown, with the bytes that were sent.
#[derive(Debug, Clone)]
pub struct AttemptRecord {
    pub id: AttemptId,
    pub attempt: Attempt,
    pub request_body: Bytes,
}

#[derive(Debug, Clone)]
pub struct DeliveryDetail {
    pub record: DeliveryRecord,
    /// Of a batch, in their order.
    pub batch: Option<Vec<EventId>>,
    pub attempts: Vec<AttemptRecord>,
}

/// `None` in a field: any.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    pub webhook: Option<WebhookId>,
    pub state: Option<DeliveryState>,
    pub event_type: Option<EventType>,
    pub event_id: Option<EventId>,
    pub tenant: Option<String>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    pub event_type: Option<EventType>,
    pub tenant: Option<String>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

/// Where a list goes on: the number of the last row looked at. Rows are newest first, so new ones never shift it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(pub i64);

#[derive(Debug, Clone)]
pub struct Page<T> {
    pub rows: Vec<T>,
    /// `Some` also when a sparse filter found less than `limit` within one bounded look.
    pub next: Option<Cursor>,
}

/// Counts of one webhook, or of all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// Deliveries by state; open ones as they stand, finished ones since the store began.
    pub states: [u64; 7],
    pub attempts: u64,
    pub attempts_failed: u64,
    /// Summed over all attempts that sent something, in microseconds.
    pub duration_us: u64,
    /// Attempts that `duration_us` sums.
    pub timed: u64,
    /// Last 24 hours, oldest first.
    pub hours: Vec<HourStats>,
    pub next_due: Option<Timestamp>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct HourStats {
    pub start: Timestamp,
    pub attempts: u64,
    pub attempts_failed: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub dropped: u64,
    pub durations: Histogram,
}

pub use embedded::Histogram;

impl Stats {
    pub fn state(&self, state: DeliveryState) -> u64 {
        self.states[state as usize]
    }

    pub fn total(&self) -> u64 {
        self.states.iter().sum()
    }
}

/// What the store holds, for gauges and readiness.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Deliveries that are not finished.
    pub open: u64,
    /// When the longest waiting of those due was due.
    pub oldest_due: Option<Timestamp>,
}

/// What a look at the whole store came to.
#[derive(Debug, Clone)]
pub struct StoreCheck {
    pub events: u64,
    pub deliveries: u64,
    pub attempts: u64,
    /// Deliveries that are not finished.
    pub open: u64,
    /// Those of them that may be attempted now.
    pub due: u64,
    pub oldest_due: Option<Timestamp>,
    /// Empty: every invariant holds.
    pub problems: Vec<String>,
}

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

    /// Leases what is due on disk for one webhook, oldest due first, without those in `leased`.
    pub async fn claim(&self, webhook: WebhookKey, limit: usize, leased: Vec<i64>) -> Result<Claimed, StoreError> {
        forward!(self, claim(webhook, limit, leased))
    }

    /// Ends a lease: attempt, next state and next due time in one commit.
    pub async fn settle(&self, settle: Arc<Settle>) -> Result<(), StoreError> {
        forward!(self, settle(settle))
    }

    /// Holds, releases or cancels everything of a webhook that waits on disk; answers how many.
    pub async fn sweep(&self, webhook: WebhookKey, sweep: Sweep) -> Result<u64, StoreError> {
        forward!(self, sweep(webhook, sweep))
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

    /// Seals all kept secrets with the current key (or none); answers how many were sealed otherwise before. Fails, and
    /// changes nothing, when one of them is sealed with a key that is not among these.
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

    /// Ends the writer after what it was given; nothing can be stored afterwards.
    pub async fn close(&self) {
        forward!(self, close())
    }
}
