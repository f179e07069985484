//! What the API asks of the one who owns the configuration: webhooks made, changed and removed, a reload, a module by
//! name. The only way from `http` to `reload`; requests are taken one after the other, between reloads.

use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};

use crate::config::{FieldProblem, Place};
use crate::model::WebhookId;
use crate::snapshot::Snapshot;
use crate::store::StoreError;
use crate::transform::Module;

/// Requests that wait: more would only grow old.
const WAITING_MAX: usize = 64;

#[derive(Debug)]
pub enum Change {
    /// Refused when there is one.
    Create {
        id: WebhookId,
        body: Map<String, Value>,
    },
    /// Instead of what there is, if anything.
    Replace {
        id: WebhookId,
        body: Map<String, Value>,
    },
    /// A merge patch (RFC 7396) of what there is.
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

/// What a change is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Live,
    /// Judged, with the same words, and left at that.
    DryRun,
}

/// It is live (or would be, of a dry run).
pub struct Changed {
    pub snapshot: Arc<Snapshot>,
    pub is_new: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("config.toml declares it")]
    Declared(Place),
    #[error("there is one already")]
    Exists,
    #[error("there is none")]
    Unknown,
    /// As many as there may be.
    #[error("there are {0} webhooks made by the API, more are not taken")]
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
        /// Whose token asks; `None`: one that may change every webhook.
        tenant: Option<Arc<str>>,
        reply: Reply<Result<Changed, ChangeError>>,
    },
    /// Answered when the files have been looked at; what came of it is in the live snapshot.
    Reload { reply: Reply<()> },
    /// A transformer, whether a webhook uses it or not; the error says why it cannot be loaded.
    Module { name: String, reply: Reply<Result<Arc<Module>, String>> },
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Control(mpsc::Sender<Request>);

/// The other end is gone: the process is about to stop.
#[derive(Debug, thiserror::Error)]
#[error("the server is shutting down")]
pub struct Gone;

/// The two ends.
pub fn channel() -> (Control, mpsc::Receiver<Request>) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    (Control(sender), receiver)
}

impl Control {
    /// # Errors
    /// Why it is not live; then nothing has changed.
    pub async fn change(&self, change: Change, effect: Effect, tenant: Option<Arc<str>>) -> Result<Changed, ChangeError> {
        let asked = self.ask(|reply| Request::Change { change, effect, tenant, reply }).await;
        asked.unwrap_or_else(|gone| Err(ChangeError::Unavailable(gone.to_string())))
    }

    /// # Errors
    /// [`Gone`] alone: whether the files were good is told by the live snapshot.
    pub async fn reload(&self) -> Result<(), Gone> {
        self.ask(|reply| Request::Reload { reply }).await
    }

    /// # Errors
    /// In words, why it cannot be loaded.
    pub async fn module(&self, name: String) -> Result<Arc<Module>, String> {
        self.ask(|reply| Request::Module { name, reply }).await.unwrap_or_else(|gone| Err(gone.to_string()))
    }

    async fn ask<T>(&self, make: impl FnOnce(Reply<T>) -> Request) -> Result<T, Gone> {
        let (reply, answer) = oneshot::channel();
        self.0.send(make(reply)).await.map_err(|_| Gone)?;
        answer.await.map_err(|_| Gone)
    }
}
