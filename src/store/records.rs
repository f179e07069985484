//! What goes into the store and comes out of it.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use zeroize::Zeroizing;

use super::{Histogram, Slot};
use crate::model::{
    Attempt, AttemptId, Condition, DeliveryId, DeliveryState, Disabled, Event, EventId, EventType, Settlement, Target, Timestamp,
    Trigger, Unmatched, WebhookId, WebhookKey,
};

/// An event to be stored, with where it goes.
#[derive(Debug, Clone)]
pub struct NewEvent {
    pub event: Arc<Event>,
    pub targets: Vec<Target>,
    /// Webhooks whose pattern matched and that still do not get it.
    pub unmatched: Vec<Unmatched>,
    /// Whether the producer gave the timestamp: a repeated publish without one is still the same content.
    pub timestamp_given: bool,
}

/// The answer to one event of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// Stored. One id per target, in the order of the targets; for a batched target the id of its batch. Empty if another
    /// event of the call is a conflict, because then nothing was stored.
    New { deliveries: Vec<DeliveryId> },
    /// Same id, same content: nothing was stored. `deliveries` is the count of the first answer.
    Duplicate { deliveries: u32 },
    /// Same id, other content: neither this event nor any other of the same call was stored.
    Conflict,
}

/// A delivery that this process attempts until it is settled.
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
    /// Manual retries requested before it was leased, in a row.
    pub retry_requests: u32,
    /// Of a batch, how often it lost events since it was made: its payload is another one each time.
    pub edition: u32,
    /// What is to be sent, when an earlier attempt has made it.
    pub made: Option<Payload>,
    /// Memory, given back with the lease; `None` where nobody counts.
    pub slot: Option<Slot>,
}

/// What a delivery sends, made once: every retry sends the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// The event's envelope.
    Envelope,
    /// What transformers made of it.
    Request(Arc<TransformedRequest>),
}

/// A request that transformers made: stored with the delivery, so that a retry sends the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransformedRequest {
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
    /// Events that it was leased with, of a batch: fewer by now means that one was erased during the attempt.
    pub batch: Option<usize>,
    /// As in the lease: more by now means that another attempt was requested since. `None` where it is not known.
    pub retry_requests: Option<u32>,
    /// Why it ended so, for people; stored as the delivery's `reason`.
    pub reason: Option<String>,
    /// What was made on this attempt, when it was the first to send.
    pub made: Option<Payload>,
}

impl Settle {
    /// Nothing was tried.
    pub fn untried(delivery: DeliveryId, webhook: WebhookKey, settlement: Settlement) -> Self {
        Self { delivery, webhook, attempt: None, settlement, batch: None, retry_requests: None, reason: None, made: None }
    }
}

/// What a lease came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settled {
    /// The delivery's state then; `None`: it has been erased.
    pub state: Option<DeliveryState>,
    /// When the delivery is due next.
    pub due: Option<Timestamp>,
    /// Whether the attempt is recorded: an attempt that sent something erased since is not, and is not reported.
    pub kept: bool,
}

/// What became ready since the last call.
#[derive(Debug, Default)]
pub struct Ready {
    /// Just appended, from memory.
    pub fresh: Vec<Lease>,
    /// Webhooks with work on disk, and when its first is due.
    pub due: HashMap<WebhookKey, Timestamp>,
    /// Revoked leases: not to be attempted as they wait in memory, because they were cancelled or changed.
    pub cancelled: Vec<(WebhookKey, i64)>,
}

/// The last delivery of a step, in the order of due times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueCursor {
    pub(super) due: i64,
    pub(super) number: i64,
}

/// One step of [`Store::shift_due`](super::Store::shift_due).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShiftedDue {
    pub deliveries: u64,
    /// Where the next step begins; `None`: this was the last.
    pub next: Option<DueCursor>,
}

#[derive(Debug)]
pub struct Claimed {
    pub leases: Vec<Lease>,
    /// Whether more is due now than was asked for, or than there is memory for.
    pub more: bool,
    /// There is little memory: the next claim is worth it only when something of the webhook's has been settled.
    pub is_short: bool,
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
    /// Its webhook is gone from the configuration: it waits to see whether the webhook is declared again.
    HoldRemoved,
    /// Its webhook is gone for good.
    Cancel,
    /// Its webhook no longer waits for what was given up.
    Unblock,
}

/// A change of a webhook's status, to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatusChange {
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
    /// Whether a delivery that is given up blocks others of its key, or would.
    pub blocks: bool,
    /// When the webhook was first missing from the configuration, see [`Store::save_removed`](super::Store::save_removed).
    pub removed_since: Option<Timestamp>,
}

/// A webhook's secret as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredSecret {
    pub text: Zeroizing<String>,
    /// When it stops to sign; `None` for the newest.
    pub until: Option<Timestamp>,
}

impl std::fmt::Debug for StoredSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredSecret").field("until", &self.until).finish_non_exhaustive()
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

/// Where a list goes on: the number of the last row read. Rows are newest first, so new ones never shift it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(pub i64);

#[derive(Debug, Clone)]
pub struct Page<T> {
    pub rows: Vec<T>,
    /// `Some` also when a sparse filter found less than `limit` within one bounded read.
    pub next: Option<Cursor>,
}

/// Counts of one webhook, or of all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// Deliveries by state; open ones as they are, finished ones since the store began.
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

/// Bytes of the store's file before and after it was rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vacuumed {
    pub before: u64,
    pub after: u64,
}

/// The result of a check of the whole store.
#[derive(Debug, Clone, Default)]
pub struct StoreCheck {
    /// `None`: nothing can be said of what is in the file.
    pub counts: Option<StoreCounts>,
    /// Empty: every invariant holds.
    pub problems: Vec<String>,
    /// What to do about them, where that does not follow from each.
    pub advice: Option<String>,
}

/// What is in a store.
#[derive(Debug, Clone)]
pub struct StoreCounts {
    pub events: u64,
    pub deliveries: u64,
    pub attempts: u64,
    /// Deliveries that are not finished.
    pub open: u64,
    /// Those of them that may be attempted now.
    pub due: u64,
    /// Those of these that were handed over in memory: without a server they wait for the next start.
    pub in_memory: u64,
    pub oldest_due: Option<Timestamp>,
}
