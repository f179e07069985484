//! What management stores: webhooks made by the API, jobs, the audit log, and counts for dashboards.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{Cursor, DeliveryDetail, Histogram, Page, Store, StoreError};
use crate::model::{DeliveryId, DeliveryState, EventId, EventType, Timestamp, WebhookId, WebhookKey};

/// A webhook made by the API, without its secret.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiWebhook {
    pub id: WebhookId,
    /// The keys of config.toml, as they came.
    pub body: Map<String, Value>,
    pub created: Timestamp,
    pub updated: Timestamp,
}

impl ApiWebhook {
    /// Whose it is.
    pub fn tenant(&self) -> Option<&str> {
        self.body.get("tenant").and_then(Value::as_str)
    }
}

/// What a job does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum JobSpec {
    /// Deliveries of a webhook that ended are due again.
    Replay {
        webhook: String,
        since: Timestamp,
        until: Timestamp,
        /// Empty: all that ended.
        states: Vec<DeliveryState>,
        /// Patterns; empty: all.
        event_types: Vec<String>,
        retransform: bool,
    },
    /// Events are removed with everything that was made of them.
    Erase { subject: Subject, until: Timestamp },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    Tenant(String),
    Metadata { key: String, value: Value },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

impl JobState {
    pub const ALL: [Self; 4] = [Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled];

    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub number: i64,
    pub spec: JobSpec,
    pub state: JobState,
    pub reason: Option<String>,
    /// The token that asked for it.
    pub by: String,
    pub created: Timestamp,
    pub updated: Timestamp,
    pub ended: Option<Timestamp>,
    /// Where the next step begins; `None` before the first.
    pub position: Option<Cursor>,
    /// Deliveries made due, or events erased.
    pub done: u64,
    /// As counted when it was made; `None` when that would have taken too long.
    pub total: Option<u64>,
}

/// One step of a job, in one commit with the position that it leads to.
#[derive(Debug, Default)]
pub struct JobStep {
    pub requeue: Vec<DeliveryId>,
    pub retransform: bool,
    pub erase: Vec<EventId>,
    pub position: Option<Cursor>,
}

/// One management call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditEntry {
    pub at: Timestamp,
    /// The token's name.
    pub token: String,
    /// Where it came from.
    pub peer: Option<String>,
    pub request_id: String,
    pub method: String,
    pub path: String,
    /// The route: method and path without the ids.
    pub action: String,
    pub status: u16,
    /// Why it was refused, when it was.
    pub detail: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    pub number: i64,
    pub entry: AuditEntry,
}

/// `None` in a field: any.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    pub token: Option<String>,
    pub action: Option<String>,
    /// A part of the path, such as an id.
    pub path: Option<String>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

/// An event type that was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenType {
    pub kind: EventType,
    pub events: u64,
    pub first: Timestamp,
    pub last: Timestamp,
}

/// Failed attempts of one webhook and class, and the last of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureClass {
    pub webhook: WebhookId,
    pub class: String,
    /// As the class, but answers separated by their status: `HTTP 503`.
    pub cause: String,
    pub attempts: u64,
    pub at: Timestamp,
    pub status: Option<u16>,
    pub error: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookCounts {
    pub id: WebhookId,
    /// By [`DeliveryState`].
    pub states: [u64; 7],
    pub attempts: u64,
    pub attempts_failed: u64,
    pub next_due: Option<Timestamp>,
}

/// What is not finished, of one webhook or of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    pub open: u64,
    /// Since when the one that should have gone first waits.
    pub oldest: Option<Timestamp>,
    pub next_due: Option<Timestamp>,
}

impl Store {
    /// In the order of their ids.
    pub async fn api_webhooks(&self) -> Result<Vec<ApiWebhook>, StoreError> {
        forward!(self, api_webhooks())
    }

    /// Stores a webhook, new or changed, and its secret when one is given.
    pub async fn put_api_webhook(
        &self,
        webhook: ApiWebhook,
        key: WebhookKey,
        secret: Option<Zeroizing<String>>,
    ) -> Result<(), StoreError> {
        forward!(self, put_api_webhook(webhook, key, secret))
    }

    /// With its secret and its status; answers whether there was one.
    pub async fn delete_api_webhook(&self, id: WebhookId, key: WebhookKey) -> Result<bool, StoreError> {
        forward!(self, delete_api_webhook(id, key))
    }

    pub async fn webhook_key(&self, id: WebhookId) -> Result<Option<WebhookKey>, StoreError> {
        forward!(self, webhook_key(id))
    }

    /// Waits until a delivery was attempted, or waits for nothing any more. Cancel-safe.
    pub async fn attempted(&self, delivery: DeliveryId) -> Result<Option<DeliveryDetail>, StoreError> {
        forward!(self, attempted(delivery))
    }

    pub async fn create_job(&self, spec: JobSpec, by: String, total: Option<u64>) -> Result<Job, StoreError> {
        forward!(self, create_job(spec, by, total))
    }

    pub async fn job(&self, number: i64) -> Result<Option<Job>, StoreError> {
        forward!(self, job(number))
    }

    /// Newest first.
    pub async fn jobs(&self, state: Option<JobState>, after: Option<Cursor>, limit: usize) -> Result<Page<Job>, StoreError> {
        forward!(self, jobs(state, after, limit))
    }

    /// Ends a running job; answers it as it is then. `None`: no such job.
    pub async fn end_job(&self, number: i64, state: JobState, reason: Option<String>) -> Result<Option<Job>, StoreError> {
        forward!(self, end_job(number, state, reason))
    }

    /// One step, and where the next begins, in one commit. `None` when the job has ended: nothing was done.
    pub async fn advance_job(&self, number: i64, step: JobStep) -> Result<Option<Job>, StoreError> {
        forward!(self, advance_job(number, step))
    }

    /// Up to `limit` events about a subject that were published until then, newest first.
    pub async fn erasable(
        &self,
        subject: Subject,
        until: Timestamp,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<EventId>, StoreError> {
        forward!(self, erasable(subject, until, after, limit))
    }

    /// Deliveries of a webhook that are due now, counted up to `most`.
    pub async fn due_count(&self, webhook: WebhookKey, most: usize) -> Result<usize, StoreError> {
        forward!(self, due_count(webhook, most))
    }

    pub async fn audit(&self, entry: AuditEntry) -> Result<(), StoreError> {
        forward!(self, audit(entry))
    }

    /// Newest first.
    pub async fn audit_log(
        &self,
        filter: AuditFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<AuditRecord>, StoreError> {
        forward!(self, audit_log(filter, after, limit))
    }

    /// Removes audit entries, and jobs and counts of failures, from before then; answers how many entries went.
    pub async fn prune_management(&self, audit: Timestamp, jobs: Timestamp) -> Result<u64, StoreError> {
        forward!(self, prune_management(audit, jobs))
    }

    /// Event types that were published, in the order of their names.
    pub async fn seen_types(&self) -> Result<Vec<SeenType>, StoreError> {
        forward!(self, seen_types())
    }

    /// Failed attempts of the last 24 hours, of one webhook or of all.
    pub async fn failures(&self, webhook: Option<WebhookId>) -> Result<Vec<FailureClass>, StoreError> {
        forward!(self, failures(webhook))
    }

    /// How long attempts took in the last 24 hours, by webhook; of these alone, if given.
    pub async fn durations(&self, only: Option<Vec<WebhookId>>) -> Result<Vec<(WebhookId, Histogram)>, StoreError> {
        forward!(self, durations(only))
    }

    /// Of every webhook that the store knows of.
    pub async fn webhook_counts(&self) -> Result<Vec<WebhookCounts>, StoreError> {
        forward!(self, webhook_counts())
    }

    pub async fn waiting(&self, webhook: Option<WebhookId>) -> Result<Waiting, StoreError> {
        forward!(self, waiting(webhook))
    }
}
