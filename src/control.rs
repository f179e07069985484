//! Requests from the API to the reload loop, which owns the configuration: create, change and delete webhooks, reload,
//! load a module by name. The only way from `http` to `reload`; requests are handled one after the other.

use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};

use crate::config::{FieldProblem, Location};
use crate::model::WebhookId;
use crate::snapshot::Snapshot;
use crate::store::StoreError;
use crate::transform::Module;

/// Queued requests. Each takes milliseconds; a caller that finds the queue full waits.
const WAITING_MAX: usize = 64;

#[derive(Debug)]
pub enum Change {
    /// Refused if the webhook exists.
    Create {
        id: WebhookId,
        body: Map<String, Value>,
    },
    /// Creates the webhook, or replaces it.
    Replace {
        id: WebhookId,
        body: Map<String, Value>,
    },
    /// A merge patch (RFC 7396) of an existing webhook.
    Patch {
        id: WebhookId,
        patch: Map<String, Value>,
    },
    Delete {
        id: WebhookId,
    },
}

impl Change {
    pub fn id(&self) -> &WebhookId {
        match self {
            Self::Create { id, .. } | Self::Replace { id, .. } | Self::Patch { id, .. } | Self::Delete { id } => id,
        }
    }
}

/// Whether a change takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Live,
    /// Validated with the same errors; nothing changes.
    DryRun,
}

/// The change is live (or would be, of a dry run).
pub struct Changed {
    pub snapshot: Arc<Snapshot>,
    pub is_new: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("config.toml declares it")]
    Declared(Location),
    #[error("the webhook exists already")]
    Exists,
    #[error("there is no such webhook")]
    Unknown,
    #[error("there are {0} webhooks made over the API, which is the maximum: delete one first")]
    Full(usize),
    #[error("{} problem(s)", .0.len())]
    Invalid(Vec<FieldProblem>),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Unavailable(String),
}

pub type Reply<T> = oneshot::Sender<T>;

pub enum Request {
    Change {
        change: Change,
        effect: Effect,
        /// The tenant of the caller's token; `None`: a token that may change every webhook.
        tenant: Option<Arc<str>>,
        reply: Reply<Result<Changed, ChangeError>>,
    },
    /// Answered when the files have been read; what came of it is in the live snapshot. `force`: a configuration without
    /// any table is meant.
    Reload { force: bool, reply: Reply<()> },
    /// Loads a transformer, whether a webhook uses it or not; the error says why it cannot be loaded.
    Module { name: String, reply: Reply<Result<Arc<Module>, String>> },
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Control(mpsc::Sender<Request>);

/// The reload loop has ended: the process is stopping.
#[derive(Debug, thiserror::Error)]
#[error("the server is shutting down")]
pub struct Gone;

/// The API's end and the reload loop's end.
pub fn channel() -> (Control, mpsc::Receiver<Request>) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    (Control(sender), receiver)
}

impl Control {
    /// # Errors
    /// Why the change is not live; then nothing has changed.
    pub async fn change(&self, change: Change, effect: Effect, tenant: Option<Arc<str>>) -> Result<Changed, ChangeError> {
        let changed = self.send(|reply| Request::Change { change, effect, tenant, reply }).await;
        changed.unwrap_or_else(|gone| Err(ChangeError::Unavailable(gone.to_string())))
    }

    /// # Errors
    /// Only [`Gone`]: whether the files were accepted is in [`Live::last_error`](crate::snapshot::Live::last_error).
    pub async fn reload(&self, force: bool) -> Result<(), Gone> {
        self.send(|reply| Request::Reload { force, reply }).await
    }

    /// # Errors
    /// Why it cannot be loaded.
    pub async fn module(&self, name: String) -> Result<Arc<Module>, String> {
        self.send(|reply| Request::Module { name, reply }).await.unwrap_or_else(|gone| Err(gone.to_string()))
    }

    async fn send<T>(&self, make: impl FnOnce(Reply<T>) -> Request) -> Result<T, Gone> {
        let (reply, answer) = oneshot::channel();
        self.0.send(make(reply)).await.map_err(|_| Gone)?;
        answer.await.map_err(|_| Gone)
    }
}
